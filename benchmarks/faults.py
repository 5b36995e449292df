"""Sixty faults, tried: each of twelve on each of five kinds of work; what was said, what was kept, and what was left.

    python -m benchmarks.faults [--only WORD]     (as root, for the disk that is full)

A fault comes when the first progress is reported. Then the same command runs once more, undisturbed: it has to end
well, and nothing but outputs may lie there.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import psutil
import tifffile
from filelock import FileLock
from PIL import Image

from benchmarks.report import REPOSITORY, write
from tests.clips import ffmpeg as make_with_ffmpeg
from tests.clips import moving, tone

WAIT_SECONDS: Final = 240


@dataclass(slots=True)
class Trial:
    """One kind of work in the making.

    Attributes:
        folder: holds `in` and `out`.
        arguments: of the command line.
        process: the run that the fault comes to.
        others: further runs that the fault has started.
    """

    folder: Path
    arguments: list[str]
    process: "subprocess.Popen[bytes] | None" = None
    others: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def sources(self) -> list[Path]:
        return [path for path in sorted((self.folder / "in").rglob("*")) if path.is_file()]

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def start(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "upscale_cli", *self.arguments, "--device", "cpu", "--json"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=self.folder)

    @property
    def running(self) -> "subprocess.Popen[bytes]":
        assert self.process is not None
        return self.process


# Kinds of work


def photo(folder: Path) -> list[str]:
    _picture(900, 700).save(folder / "in/photo.png")
    return ["in/photo.png", "-o", "out/photo.png", "-m", "photo-lite", "-s", "4"]


def bands(folder: Path) -> list[str]:
    tifffile.imwrite(folder / "in/large.tif", np.asarray(_picture(2600, 2000)), photometric="rgb", rowsperstrip=64)
    return ["in/large.tif", "-o", "out/large.tif", "-m", "espcn", "-s", "4", "--max-memory", "900M", "--resume"]


def clip(folder: Path) -> list[str]:
    _clip(folder / "in/clip.mp4")
    return ["in/clip.mp4", "-o", "out/clip.mp4", "-m", "espcn", "-s", "2"]


def clip_resumable(folder: Path) -> list[str]:
    return [*clip(folder), "--resume"]


def many(folder: Path) -> list[str]:
    for number in range(24):
        _picture(320, 240, number).save(folder / f"in/{number:02d}.jpg")
    return ["in", "-o", "out", "-r", "-m", "photo-lite", "-s", "2"]


KINDS: Final[dict[str, Callable[[Path], list[str]]]] = {
    "photo": photo, "photo in bands, --resume": bands, "clip": clip, "clip, --resume": clip_resumable, "folder": many,
}  # fmt: skip


def _picture(width: int, height: int, seed: int = 0) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 24, (height, width))
    return Image.fromarray(np.stack([x % 200 + noise, y % 220 + noise, (x + y) % 230 + noise], -1).astype(np.uint8))


def _clip(path: Path) -> None:
    sound = tone(seconds=8)
    make_with_ffmpeg(
        *moving(480, 270, 200), *sound, "-frames:v", 200, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", path
    )


# Faults


def _signalled(number: int) -> Callable[[Trial], None]:
    return lambda trial: trial.running.send_signal(number)


def source_removed(trial: Trial) -> None:
    for path in trial.sources:
        path.unlink()


def source_cut(trial: Trial) -> None:
    for path in trial.sources:
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)


def out_removed(trial: Trial) -> None:
    shutil.rmtree(trial.out)


def output_appears(trial: Trial) -> None:
    name = trial.arguments[trial.arguments.index("-o") + 1]
    path = trial.folder / name if Path(name).suffix else trial.out / "23_2x.jpg"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"of somebody else")


def disk_full(trial: Trial) -> None:
    """The folder of outputs lies on a disk of its own, which something else fills."""
    with contextlib.suppress(OSError), (trial.out / "of-others").open("wb") as file:
        while True:
            file.write(b"x" * 4096)
            file.flush()


def second_run(trial: Trial) -> None:
    trial.others.append(trial.start())


def ffmpeg_killed(trial: Trial) -> None:
    """Where there is none, the fault is a worker thread's: nothing to kill, and the run goes on."""
    for child in psutil.Process(trial.running.pid).children(recursive=True):
        if "ffmpeg" in child.name():
            child.kill()
            return


def stopped_for_a_while(trial: Trial) -> None:
    """As a laptop that sleeps."""
    processes = [
        trial.running.pid,
        *(child.pid for child in psutil.Process(trial.running.pid).children(recursive=True)),
    ]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(3)


FAULTS: Final[dict[str, Callable[[Trial], None]]] = {
    "Ctrl-C": _signalled(signal.SIGINT), "TERM": _signalled(signal.SIGTERM), "HUP": _signalled(signal.SIGHUP),
    "KILL": _signalled(signal.SIGKILL), "the source is removed": source_removed, "the source is cut": source_cut,
    "the folder of outputs is removed": out_removed, "a file appears under the output's name": output_appears,
    "the disk fills": disk_full, "a second run of the same command": second_run, "ffmpeg is killed": ffmpeg_killed,
    "the machine sleeps": stopped_for_a_while,
}  # fmt: skip


# A trial


def tried(kind: str, fault: str) -> dict[str, Any]:
    """The fault comes to that kind of work, and then the same command runs undisturbed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        trial = Trial(folder, KINDS[kind](folder))
        saved = folder / "saved"
        shutil.copytree(folder / "in", saved)
        with _out_of(trial, on_small_disk=fault == "the disk fills"):
            trial.process = trial.start()
            _wait_for_progress(trial.running)
            FAULTS[fault](trial)
            first = _ended(trial.running)
            others = [_ended(other) for other in trial.others]
            left = _listing(trial.out)
            damaged = [each for each in left if _is_damaged(trial.out / each)]
        if fault == "the disk fills":
            trial.out.mkdir(exist_ok=True)
        shutil.rmtree(folder / "in")
        shutil.copytree(saved, folder / "in")
        if first["exit_code"] == 0 or fault == "a file appears under the output's name":
            trial.arguments = [*trial.arguments, "--overwrite"]
        last = _ended(trial.start())
        wanted = _expected(trial)
        there = _listing(trial.out)
    return {
        "kind": kind, "fault": fault, **first, "second_runs": others, "left": left, "damaged_outputs": damaged,
        "the_same_command_again": last["exit_code"], "at_last": there,
        "verdict": _verdict(first, others, damaged, last, set(there) == wanted),
    }  # fmt: skip


def _verdict(
    first: dict[str, Any], others: list[dict[str, Any]], damaged: list[str], last: dict[str, Any], is_clean: bool
) -> str:
    wrong = []
    if any(run["traceback"] for run in (first, last, *others)):
        wrong.append("traceback")
    if any(run["hung"] for run in (first, last, *others)):
        wrong.append("hung")
    if damaged:
        wrong.append("a damaged file under an output's name")
    if last["exit_code"]:
        wrong.append("the next run failed")
    if not is_clean:
        wrong.append("something else is left")
    return "; ".join(wrong) or "well"


def _wait_for_progress(process: "subprocess.Popen[bytes]") -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if b'progress"' in line:
            return


def _ended(process: "subprocess.Popen[bytes]") -> dict[str, Any]:
    is_hung = False
    try:
        out, err = process.communicate(timeout=WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        is_hung = True
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        out, err = process.communicate()
    events = [json.loads(line) for line in (out or b"").splitlines() if line.startswith(b"{") and line.endswith(b"}")]
    said = [event["message"] for event in events if event["event"] == "failed"]
    said += [event["damage"] for event in events if event.get("damage")]
    return {
        "exit_code": process.returncode, "said": list(dict.fromkeys(said))[:3], "hung": is_hung,
        "traceback": b"Traceback" in (err or b"") or any(event.get("traceback") for event in events),
    }  # fmt: skip


@contextlib.contextmanager
def _out_of(trial: Trial, *, on_small_disk: bool) -> Iterator[None]:
    trial.out.mkdir()
    if not on_small_disk:
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(trial.out)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(trial.out)], check=True)


def _listing(folder: Path) -> list[str]:
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [path for path in paths if not path.startswith(("of-others", ".upscale-manifest"))]
    return names if len(names) <= 6 else [*names[:3], f"and {len(names) - 3} more"]


def _is_damaged(path: Path) -> bool:
    """Whether a file under an output's name is not whole. (Work folders, hidden files and what was there are none.)"""
    if ".work" in path.as_posix() or path.name.startswith(".") or not path.is_file():
        return False
    if path.read_bytes()[:16] == b"of somebody else":
        return False
    try:
        if path.suffix == ".mp4":
            with av.open(str(path)) as container:
                return not sum(1 for _ in container.decode(video=0))
        if path.suffix == ".tif":
            tifffile.imread(path)
        else:
            with Image.open(path) as image:
                image.load()
    except (OSError, ValueError):
        return True
    return False


def _expected(trial: Trial) -> set[str]:
    name = Path(trial.arguments[trial.arguments.index("-o") + 1])
    if name.suffix:
        return {name.name}
    names = [f"{path.stem}_2x.jpg" for path in trial.sources]
    return {*names[:3], f"and {len(names) - 3} more"}


def main() -> None:
    """Writes benchmarks/faults.json, anew after each trial; rows of other trials stay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="trials whose KIND/FAULT has it")
    only = parser.parse_args().only
    for kind in KINDS:
        for fault in FAULTS:
            if only in f"{kind}/{fault}":
                row = tried(kind, fault)
                print(f"{kind}/{fault}: {row['exit_code']}, {row['verdict']}", file=sys.stderr, flush=True)
                with FileLock(REPORT.with_suffix(".lock")):
                    report([*_rows(), row])


REPORT: Final = REPOSITORY / "benchmarks" / "faults.json"


def _rows() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(REPORT.read_text(encoding="utf-8"))["rows"] if REPORT.exists() else []
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """Writes the report; of two rows of one trial the later counts."""
    latest = {(row["kind"], row["fault"]): row for row in rows}
    ordered = [latest[kind, fault] for kind in KINDS for fault in FAULTS if (kind, fault) in latest]
    verdicts = [row["verdict"] for row in ordered]
    write(
        "faults",
        "What twelve faults do to five kinds of work: exit code, what is said, what is left, and whether the same "
        "command ends well afterwards and leaves nothing but outputs.",
        {"tried": len(ordered), "well": verdicts.count("well"), "rows": ordered},
    )


if __name__ == "__main__":
    main()
