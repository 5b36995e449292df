"""`--realtime` by each of the nets for real time, 540p to 1080p from file to file, beside ffmpeg with bicubic.

    python -m benchmarks.realtime_nets [--frames 150] [--repeats 5] [--out realtime_nets_avx2] [--quick]

In turn, each with as many threads as it takes by itself. Ours has the encoder's settings of --realtime, and whichever
engine and precision the program takes here; one ffmpeg command decodes, enlarges and encodes by x264 with preset
ultrafast. Writes benchmarks/realtime_nets.json; --out names another file, for another kind of processor; --quick takes
fewer frames and rounds and writes nothing.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.clips import FASTEST, ffmpeg, make_clip, pan, upscaled
from benchmarks.report import alternating, write
from upscale_cli.events import ClipFinished, ignore
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.upscaler import Recipe, Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

NETS: Final = ("swift", "swift-robust", "sharp", "sharp-robust", "espcn", "espcn-robust")
SIDES: Final = (540, 960)
WANTED: Final = {"swift": 0.22}
"""Of the rate of the ffmpeg command."""


def bicubic(source: Path, output: Path) -> None:
    """One command that decodes, enlarges by bicubic and encodes."""
    enlarge = ("-vf", "scale=iw*2:ih*2:flags=bicubic")
    subprocess.run([*ffmpeg(), "-nostdin", "-i", str(source), *enlarge, *FASTEST, str(output)], check=True)


def main() -> None:
    """Writes benchmarks/realtime_nets.json, or what --out names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", default="realtime_nets", help="name of the JSON, without its ending")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    frames, repeats = (24, 1) if given.quick else (given.frames, given.repeats)
    upscalers = {net: Recipe(net, UpscalerOptions(device="cpu", hurry=True)).make(ignore) for net in NETS}
    runs: dict[str, list[ClipFinished]] = {net: [] for net in NETS}
    options = ClipOptions(encode=EncodeOptions(realtime=True), realtime="file", overwrite=True)

    def run(net: str, clip: Path) -> None:
        runs[net].append(upscaled(clip, clip.with_stem("sr"), upscalers[net], options))

    with tempfile.TemporaryDirectory() as folder:
        clip = make_clip(Path(folder, "clip.mp4"), pan(*SIDES, frames))
        candidates: dict[str, Callable[[], object]] = {
            "ffmpeg": lambda: bicubic(clip, clip.with_stem("bicubic")),
            **{net: partial(run, net, clip) for net in NETS},
        }
        seconds = alternating(candidates, repeats=repeats)
    result: dict[str, Any] = {
        "ffmpeg": find_ffmpeg().version,
        "frames": frames,
        "repeats": repeats,
        "ffmpeg_bicubic_fps": round(frames / min(seconds["ffmpeg"]), 1),
        "nets": {net: figures(net, upscalers[net], runs[net][1:], frames, seconds) for net in NETS},
    }
    if given.quick:
        print(json.dumps(result, indent=2))
        return
    write(
        given.out,
        "--realtime, 960 x 540 to 1920 x 1080 from file to file: frames per second, and their share of the rate of one "
        "ffmpeg command with bicubic and x264 ultrafast, of the quickest runs; the median share of runs side by side.",
        result,
    )


def figures(
    net: str, upscaler: Upscaler, runs: list[ClipFinished], frames: int, seconds: dict[str, list[float]]
) -> dict[str, Any]:
    """Of one net: its rate, and what share of ffmpeg's that is."""
    choice = upscaler.engines.choice(2, 8)
    share = min(seconds["ffmpeg"]) / min(seconds[net])
    pairs = [one / other for one, other in zip(seconds["ffmpeg"], seconds[net], strict=True)]
    wanted = {"wanted_share": WANTED[net], "met": share >= WANTED[net]} if net in WANTED else {}
    return {
        "engine": choice.engine, "precision": choice.precision,
        "fps": round(frames / min(seconds[net]), 1),
        "slowest_stage": statistics.mode(run.slowest for run in runs),
        "share_of_ffmpeg_bicubic": round(share, 3), "median_of_pairs": round(statistics.median(pairs), 3), **wanted,
    }  # fmt: skip


if __name__ == "__main__":
    main()
