"""A run of --resume killed at random moments: does the second run end with what an undisturbed one gives.

    python -m benchmarks.video_kill [--kills 10] [--seed 0]

Every other kill takes the program alone: its encoders live on, see the end of their input and close their files.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any, Final

import av
import psutil

from benchmarks.clips import RATE, make_clip, pan
from benchmarks.report import REPOSITORY, write

HEIGHT, WIDTH, FRAMES = 90, 160, 1250
X264: Final = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-pix_fmt", "yuv420p")
LATEST: Final = 0.85
"""Share of an undisturbed run's time within which kills fall: some runs are faster, and none shall be over by then."""
OPTIONS: Final = ("-m", "bicubic", "-s", "4", "--preset", "slow", "-q", "--resume")


def main() -> None:
    """Writes benchmarks/video_kill.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    lot = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = make_clip(folder / "lr.mp4", pan(HEIGHT, WIDTH, FRAMES), *X264, sound_seconds=FRAMES / RATE)
        for name in ("warm.mp4", "whole.mp4"):
            begin = time.perf_counter()
            assert start(source, folder / name).wait() == 0
            seconds = time.perf_counter() - begin
        wanted = content(folder / "whole.mp4")
        kills = [
            killed(
                source, folder / f"{number}.mp4", wanted, alone=bool(number % 2), after=lot.uniform(0, LATEST * seconds)
            )
            for number in range(arguments.kills)
        ]
    write(
        "video_kill",
        f"{FRAMES} frames of {WIDTH}x{HEIGHT} with sound, bicubic at scale 4, --resume, killed once at a random moment "
        "and run again: frames, timestamps and packets of the sound against a run that was not killed.",
        {
            "undisturbed_s": round(seconds, 2),
            "kills": kills,
            "verdicts": {
                "all_equal": all(kill["equal"] for kill in kills),
                "only_outputs_left": all(kill["only_output_left"] for kill in kills),
            },
        },
    )


def start(source: Path, output: Path) -> "subprocess.Popen[bytes]":
    """The command line as a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"}
    command = [sys.executable, "-m", "upscale_cli", str(source), "-o", str(output), *OPTIONS]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def killed(source: Path, output: Path, wanted: str, *, alone: bool, after: float) -> dict[str, Any]:
    """One run, killed after so many seconds, and run again.

    Args:
        alone: kill the program and not its children.
    """
    process = start(source, output)
    time.sleep(after)
    was_running = process.poll() is None
    victims = psutil.Process(process.pid).children(recursive=True) if was_running and not alone else []
    process.kill()
    for victim in victims:
        victim.kill()
    process.wait()
    done = frames_recorded(output.with_name(f"{output.name}.work"))
    code = start(source, output).wait()
    found = content(output) if code == 0 else None
    left = [path.name for path in output.parent.glob(f"{output.name}*") if path != output]
    output.unlink(missing_ok=True)
    return {
        "killed": "the program alone" if alone else "the program and its children",
        "after_s": round(after, 2),
        "was_running": was_running,
        "frames_recorded": done,
        "exit_code": code,
        "equal": found == wanted,
        "only_output_left": not left,
    }


def frames_recorded(folder: Path) -> int:
    """What the journal of a work folder says; a torn last line does not count."""
    done = 0
    journal = folder / "journal.jsonl"
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
        try:
            done += len(json.loads(line).get("pts", ()))
        except ValueError:
            break
    return done


def content(path: Path) -> str:
    """SHA-256 over every decoded frame with its timestamp, and over every packet of the sound with its own."""
    digest = hashlib.sha256()
    with av.open(str(path)) as container:
        for number, frame in zip(count(), container.decode(video=0), strict=False):
            digest.update(f"{number} {frame.pts} {frame.time_base} ".encode())
            digest.update(frame.to_ndarray().tobytes())
    with av.open(str(path)) as container:
        for packet in container.demux(audio=0):
            digest.update(f"{packet.pts} {packet.duration} ".encode())
            digest.update(bytes(packet))
    return digest.hexdigest()


if __name__ == "__main__":
    main()
