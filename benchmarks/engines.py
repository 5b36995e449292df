"""What the engines bring: this build beside the build of commit 1a123c1, whole runs of the program, in turn in one run.

    python -m benchmarks.engines [--repeats 3] [--only espcn-default,photo-lite-1mp] [--out engines_avx2] [--frames 240]
        [--quick]

With --only the rows of those cases are measured anew and take their place in the file; each has its commit and date.
--out names another file, for another kind of processor: rows of two machines do not go into one.

Frame rates are those that the program reports (its own start is not counted); photos are whole processes. Windows are
alike on both sides: clips and photos here are small enough to be one window, or `--tile` names it. The case `realtime`
names no model: each build takes the one that it chooses then. `compute` is what one command of ffmpeg with bicubic and
the same encoder settings does. How near the pictures stay to fp32 by torch is measured on frames and pixels, before any
encoder.
"""

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from benchmarks.clips import CRF, make_clip, pan
from benchmarks.report import REPOSITORY, SHARED, json_of, machine, photo, write
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

FORMER: Final = "1a123c1"

Side = str  # "now" or "before"


@dataclass(frozen=True)
class Case:
    """Something that both builds do.

    Attributes:
        arguments: of the command line, beside input and output, by the side.
        wanted: how many times as fast it is to be now.
        clip: it is one: the frame rate counts; else the time of the whole process.
        needs: a checkpoint of the shared folder.
        first: what the round that is not counted takes, where that may be shorter; None: the same.
    """

    source: Callable[[Path], Path]
    arguments: dict[Side, tuple[str, ...]]
    wanted: float
    clip: bool = False
    needs: str | None = None
    first: Callable[[Path], Path] | None = None


def both(*arguments: str) -> dict[Side, tuple[str, ...]]:
    return {"now": arguments, "before": arguments}


def clip(frames: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"clip-{frames}.mp4"
        return path if path.exists() else make_clip(path, pan(540, 960, frames))

    return make


def picture(height: int, width: int, kind: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"{height}x{width}.{kind}"
        if not path.exists():
            Image.fromarray(photo(height, width)).save(path, quality=92)
        return path

    return make


GENERAL, X4PLUS = "weights/realesr-general-x4v3.safetensors", "weights-more/RealESRGAN_x4plus.safetensors"


FIRST_FRAMES: Final = 24
"""Of the round that is not counted, and of all with --quick."""


def clip_case(frames: int, wanted: float, *arguments: str) -> Case:
    """espcn at scale 2."""
    given = both("-m", "espcn", "-s", "2", *arguments)
    return Case(clip(frames), given, wanted, clip=True, first=clip(FIRST_FRAMES))


def cases(frames: int) -> dict[str, Case]:
    fast = ("--preset", "ultrafast", "--crf", str(CRF))
    return {
        "espcn-ultrafast": clip_case(frames, 3.0, *fast),
        "espcn-default": clip_case(frames, 2.4),
        "espcn-realtime": clip_case(frames, 5.0, "--realtime"),
        "realtime": Case(clip(frames), both("-s", "2", "--realtime"), 5.0, clip=True, first=clip(FIRST_FRAMES)),
        "photo-lite-1mp": Case(picture(1000, 1000, "jpg"), both("-m", "photo-lite", "-s", "4"), 2.2),
        "general-1mp": Case(picture(1000, 1000, "jpg"), both("-m", GENERAL, "-s", "4", "--precision", "bf16"), 1.6,
                            needs=GENERAL),
        "x4plus-fp32": Case(picture(224, 224, "png"), both("-m", X4PLUS, "-s", "4", "--precision", "fp32"), 1.4,
                            needs=X4PLUS),
        "x4plus-mixed": Case(picture(224, 224, "png"), {"now": ("-m", X4PLUS, "-s", "4", "--precision", "bf16"),
                                                       "before": ("-m", X4PLUS, "-s", "4", "--precision", "fp32")},
                             2.8, needs=X4PLUS),
        "small-64": Case(picture(64, 64, "png"), both("-m", "espcn", "-s", "4"), 2.0),
        "fp32-espcn": clip_case(frames, 1.0, "--precision", "fp32", *fast),
        "fp32-photo-lite": Case(picture(500, 500, "jpg"), both("-m", "photo-lite", "-s", "4", "--precision", "fp32"),
                                1.0),
        "avx2-espcn": clip_case(frames // 2, 1.0, "--precision", "fp32", *fast),
    }  # fmt: skip


SWITCHES: Final = {"avx2-espcn": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}
"""Environment of a case, on both sides: oneDNN's own switch, as if the processor had no more than that."""


def main() -> None:
    """Writes benchmarks/engines.json, or what --out names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--out", default="engines", help="name of the JSON, without its ending")
    parser.add_argument("--frames", type=int, default=240, help="of a clip")
    parser.add_argument("--quick", action="store_true", help="clips of 24 frames; nothing is written")
    arguments = parser.parse_args()
    frames = FIRST_FRAMES if arguments.quick else arguments.frames
    chosen = cases(frames)
    if arguments.only:
        chosen = {name: chosen[name] for name in arguments.only.split(",")}
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, former_build(Path(name)) as before:
        folder = Path(name)
        for case_name, case in chosen.items():
            if case.needs and not (SHARED / case.needs).is_file():
                results[case_name] = {"skipped": f"{case.needs} is not here"}
                continue
            results[case_name] = paired(case_name, case, folder, before, arguments.repeats)
            print(case_name, json.dumps(results[case_name]), file=sys.stderr, flush=True)
        report: dict[str, Any] = {"former": FORMER, "repeats": arguments.repeats, "cases": results}
        if "espcn-realtime" in results:
            base = ffmpeg_alone(clip(frames)(folder), folder, arguments.repeats)
            report["ffmpeg_bicubic_ultrafast"] = base
            share = round(results["espcn-realtime"]["now_fps"] / base["fps"], 3)
            results["espcn-realtime"]["share_of_ffmpeg_bicubic"] = share
        if not arguments.only:
            report["auto_to_fp32_by_torch_db"] = {
                model: round(decibels(model, scale), 1) for model, scale in (("espcn", 2), ("photo-lite", 4))
            }
    report["ffmpeg"] = find_ffmpeg().version
    if arguments.quick:
        print(json.dumps(report, indent=2))
        return
    if arguments.only:
        report = among_others(report, arguments.out)
    write(arguments.out, "This build beside commit 1a123c1, in turn: frame rates of clips, seconds of photos.", report)


def among_others(report: dict[str, Any], name: str) -> dict[str, Any]:
    """The rows of a few cases in the place of those that the file has; all others stay."""
    before = json_of(name)
    for fact in ("question", "machine"):
        before.pop(fact, None)
    return {**before, **report, "cases": {**before.get("cases", {}), **report["cases"]}}


@contextmanager
def former_build(folder: Path) -> Iterator[Path]:
    """A checkout of the former commit, for as long as it is needed."""
    path = folder / "former"
    subprocess.run(["git", "worktree", "add", "--detach", str(path), FORMER], cwd=REPOSITORY, check=True,
                   capture_output=True)  # fmt: skip
    try:
        yield path
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", str(path)], cwd=REPOSITORY, check=True)


def paired(name: str, case: Case, folder: Path, before: Path, repeats: int) -> dict[str, Any]:
    """Both sides in turn, after a round that is not counted (this build tries its engines in it)."""
    source, places = case.source(folder), {"now": REPOSITORY, "before": before}
    first = case.first(folder) if case.first else source
    figures: dict[Side, list[float]] = {"now": [], "before": []}
    busy: dict[Side, list[float]] = {"now": [], "before": []}
    engine = ""
    for repeat in range(repeats + 1):
        for side in ("before", "now") if repeat % 2 else ("now", "before"):
            used = cpu_seconds()
            figure, events = once(case, source if repeat else first, folder, side, places[side], SWITCHES.get(name, {}))
            if repeat:
                figures[side].append(figure)
                busy[side].append(cpu_seconds() - used)
            if side == "now":
                engine = f"{events['started'].get('engine', 'torch')} {events['started']['precision']}"
    pairs = zip(figures["now"], figures["before"], strict=True)
    faster = statistics.median(a / b if case.clip else b / a for a, b in pairs)
    unit = "fps" if case.clip else "s"
    shown = {f"{side}_{unit}": round(statistics.median(values), 3) for side, values in figures.items()}
    work = {f"{side}_cpu_s": round(min(values), 2) for side, values in busy.items()}
    return {
        **shown, **work, "engine": engine, "times_as_fast": round(faster, 2), "wanted": case.wanted,
        "met": faster >= case.wanted, "repeats": repeats, **({"frames": frames_of(source)} if case.clip else {}),
        **{name: fact for name, fact in machine().items() if name in ("commit", "date", "load_before")},
    }  # fmt: skip


def cpu_seconds() -> float:
    """Of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def once(
    case: Case, source: Path, folder: Path, side: Side, place: Path, switches: dict[str, str]
) -> tuple[float, dict[str, Any]]:
    """One run of the program; its figure, and its events by kind."""
    output = folder / f"out-{side}{'.mp4' if case.clip else '.png' if source.suffix == '.png' else '.jpg'}"
    given = [str(SHARED / one) if one.startswith("weights") else one for one in case.arguments[side]]
    environment = {
        **os.environ, **switches, "PYTHONPATH": str(place), "UPSCALE_OFFLINE": "1",
        "XDG_CACHE_HOME": str(folder / f"cache-{'-'.join(switches.values())}"),
    }  # fmt: skip
    for name in ("UPSCALE_ENGINE", "PYTHONDONTWRITEBYTECODE"):  # what is installed has its bytecode; so do both sides
        environment.pop(name, None)
    command = [sys.executable, "-m", "upscale_cli", str(source), "-o", str(output), "--overwrite", "--json", *given]
    begin = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder, check=False)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    events = {event["event"]: event for event in map(json.loads, done.stdout.splitlines())}
    if case.clip:
        return float(events["clip_finished"]["fps"]), events
    return seconds, events


def frames_of(source: Path) -> int:
    """Of a clip that `clip` made."""
    return int(source.stem.partition("-")[2])


def ffmpeg_alone(source: Path, folder: Path, repeats: int) -> dict[str, float]:
    """One command that enlarges by bicubic, with the encoder of the fastest settings."""
    frames, best = frames_of(source), math.inf
    command = [str(find_ffmpeg().path), "-v", "error", "-y", "-i", str(source), "-vf", "scale=iw*2:ih*2:flags=bicubic",
               "-c:v", "libx264", "-preset", "ultrafast", "-crf", str(CRF), str(folder / "ffmpeg.mp4")]  # fmt: skip
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        subprocess.run(command, check=True)
        best = min(best, time.perf_counter() - begin)
    return {"fps": round(frames / best, 1)}


def decibels(model: str, scale: int) -> float:
    """The worst picture's PSNR of the engine and precision that "auto" takes here, to fp32 by torch; floats."""
    worst = math.inf
    folder = SHARED / "eval/B100"
    names = sorted(folder.glob("*.png"))[:12] if folder.is_dir() else []
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in names] or [photo(240, 320)]
    auto = Upscaler(model, device="cpu")
    fp32 = Upscaler(model, device="cpu", engine="torch", precision="fp32")
    precision = auto.engines.choice(scale, 8).precision
    near = Upscaler(model, device="cpu", precision=precision)  # floats are computed in fp32 unless it is named
    for pixels in pictures:
        unit = pixels.astype(np.float32) / 255
        error = float(np.square(np.asarray(near(unit, scale)) - np.asarray(fp32(unit, scale))).mean())
        worst = min(worst, -10 * math.log10(max(error, 1e-20)))
    return worst


if __name__ == "__main__":
    main()
