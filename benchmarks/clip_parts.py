"""What a frame of a clip is made of: processor time of each part, in milliseconds, of the default and of --realtime.

    python -m benchmarks.clip_parts [--repeats 3] [--frames 24 240] [--quick]

A clip of 960 x 540 to 1920 x 1080 by espcn, once short and once long: the difference, over the frames between, is what
a frame takes; what is left of the short one is the start. Decoding is ffmpeg's of the source alone, encoding ffmpeg's
of the result with the same settings (to decode that is taken off again), the net its session alone, on frames that lie
in memory. All else is what the program does besides: chroma, copies, pipes, threads. Whole processes and their
children, in turn; the least of each counts.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.clips import CRF, ffmpeg, make_clip, pan
from benchmarks.engines import cpu_seconds
from benchmarks.report import REPOSITORY, write
from upscale_cli.inference.device import cpu_is_fast_at_bf16
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.yuv import luma_levels
from upscale_cli.models.interface import Precision

HEIGHT, WIDTH = 540, 960


@dataclass(frozen=True)
class Case:
    """Settings of a run.

    Attributes:
        arguments: of the command line.
        precision: that the net is computed in, by OpenVINO.
        encoder: ffmpeg's arguments that come to the same.
    """

    arguments: tuple[str, ...]
    precision: Precision
    encoder: tuple[str, ...]


CASES: Final = {
    "default": Case((), "bf16" if cpu_is_fast_at_bf16() else "fp32", ("-preset", "medium")),
    "realtime": Case(("--realtime",), "int8", ("-preset", "ultrafast")),
}


def main() -> None:
    """Writes benchmarks/clip_parts.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", nargs=2, type=int, default=(24, 240), metavar=("SHORT", "LONG"))
    parser.add_argument("--quick", action="store_true", help="shorter clips; nothing is written")
    arguments = parser.parse_args()
    short, long = (8, 24) if arguments.quick else arguments.frames
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = {frames: make_clip(folder / f"{frames}.mp4", pan(HEIGHT, WIDTH, frames)) for frames in (short, long)}
        results = {
            case_name: parts(case, clips, folder, arguments.repeats) for case_name, case in CASES.items()
        }  # fmt: skip
    report = {"frames": [short, long], "repeats": arguments.repeats, "ms_per_frame": results}
    if arguments.quick:
        print(json.dumps(report, indent=2))
        return
    write("clip_parts", "Processor time of the parts of a frame, espcn x2 of 960 x 540.", report)


def parts(case: Case, clips: dict[int, Path], folder: Path, repeats: int) -> dict[str, float]:
    """Milliseconds of a frame, but for the start, which is of a run."""
    short, long = clips
    commands = dict[str, list[str]]()
    for frames, source in clips.items():
        result = folder / f"out-{frames}.mp4"
        commands[f"run {frames}"] = [
            *(sys.executable, "-m", "upscale_cli", str(source), "-o", str(result), "--overwrite", "-s", "2"),
            *("-m", "espcn", "--engine", "openvino", "--precision", case.precision, *case.arguments),
        ]  # fmt: skip
        nothing = ("-f", "null", "-")
        again = ("-c:v", "libx264", *case.encoder, "-crf", str(CRF), str(folder / "again.mp4"))
        for what, given, taking in (
            ("decode", source, nothing), ("decode result", result, nothing), ("encode", result, again),
        ):  # fmt: skip
            commands[f"{what} {frames}"] = [*ffmpeg(), "-i", str(given), *taking]
    net = Net(case.precision)
    least = dict.fromkeys(commands, math.inf)
    least_net = math.inf
    for repeat in range(repeats + 1):
        for name, command in commands.items():
            seconds = of_process(command)
            if repeat:  # the first round finds out how to run the net
                least[name] = min(least[name], seconds)
        least_net = min(least_net, net.seconds(8))

    def a_frame(what: str) -> float:
        return 1e3 * (least[f"{what} {long}"] - least[f"{what} {short}"]) / (long - short)

    whole = a_frame("run")
    shares = {
        "net": 1e3 * least_net, "encode": a_frame("encode") - a_frame("decode result"), "decode": a_frame("decode")
    }  # fmt: skip
    rest = whole - sum(shares.values())
    start = 1e3 * least[f"run {short}"] - short * whole
    return {
        name: round(ms, 1) for name, ms in {"whole": whole, **shares, "rest": rest, "start of a run": start}.items()
    }


class Net:
    """The net by itself, as clips use it: codes in, codes out."""

    def __init__(self, precision: Precision) -> None:
        net = Upscaler("espcn", device="cpu", engine="openvino", precision=precision).net(2, 8)
        self._frames, self._levels = net.frames, luma_levels(8, "tv")
        self._lr = torch.randint(16, 236, (1, 1, HEIGHT, WIDTH), dtype=torch.uint8)
        self._at_a_time = net.concurrency
        self._pool = ThreadPoolExecutor(self._at_a_time)

    def seconds(self, frames: int) -> float:
        """Of the processor, a frame."""
        list(self._pool.map(self._frame, range(self._at_a_time)))  # it is compiled, and has its buffers
        begin = time.process_time()
        list(self._pool.map(self._frame, range(frames)))
        return (time.process_time() - begin) / frames

    def _frame(self, _: int) -> None:
        assert self._frames.codes(self._lr, self._levels) is not None


def of_process(command: list[str]) -> float:
    """Seconds of the processor that a process and its children take.

    Raises:
        SystemExit: it fails; with what it said.
    """
    environment: dict[str, Any] = {**os.environ, "PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    used = cpu_seconds()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    return cpu_seconds() - used


if __name__ == "__main__":
    main()
