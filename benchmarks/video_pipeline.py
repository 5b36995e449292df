"""What reading, pipes and writing cost: pixel repetition in place of a net, against one ffmpeg command.

    python -m benchmarks.video_pipeline [--frames 900] [--repeats 5] [CLIP ...]

Clips made for it decide; each CLIP of your own (8 bits, even sides) is measured too.
All decode the same clip, enlarge it by repeating pixels and encode it alike, in turn. "two_commands" are two ffmpegs
with raw frames as NUT between them, and nothing of ours: what the second process and the pipe alone cost.
"""

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import CRF, FASTEST, ffmpeg, luma, make_clip, one_command, packet_times, pan, race, upscaled
from benchmarks.report import write
from upscale_cli.events import Say
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

SIZES = {"540p_to_1080p": (540, 960, 1.0), "1080p_to_2160p": (1080, 1920, 0.4)}
"""Height, width, and which share of the frames is enough."""

LIMIT = 0.9


class PixelRepetition:
    """The cheapest upscaling there is, with the interface of `VideoUpscaler`: each sample becomes four.

    Only for scale 2 and even sides.
    """

    def __init__(
        self,
        upscaler: Upscaler,
        format: PixelFormat,
        width: int,
        height: int,
        tags: ColourTags,  # noqa: ARG002  # repetition needs no colours
        target: Target,
        *,
        graph: bool = False,  # noqa: ARG002
        say: Say = print,  # noqa: ARG002
    ) -> None:
        self.plan = upscaler.plan(width, height, target)
        self.precision = "fp32"
        self.sr_width, self.sr_height = self.plan.width, self.plan.height
        assert (self.sr_width, self.sr_height) == (2 * width, 2 * height)
        self.out_width, self.out_height = self.sr_width, self.sr_height
        self.depth = 0
        self.seconds = {"upload": 0.0, "net": 0.0, "download": 0.0}
        self._planes = format.plane_sizes(width, height)
        self._twice = {1: (np.uint16, 0x101), 2: (np.uint32, 0x10001)}[format.dtype.itemsize]

    def pad_to(self, width: int, height: int) -> None:
        """Even sides need no padding."""
        raise AssertionError(f"{width} x {height}: choose even sides")

    def submit(self, samples: NDArray[Any], *, net: bool = True) -> NDArray[Any]:  # noqa: ARG002
        """A sample twice is a product with 0x101, and a row twice a copy."""
        begin = time.perf_counter()
        dtype, factor = self._twice
        sr = np.empty(4 * samples.size, samples.dtype)
        start = 0
        for rows, columns in self._planes:
            stop = start + rows * columns
            wide = np.multiply(samples[start:stop], factor, dtype=dtype).view(samples.dtype)
            sr[4 * start : 4 * stop].reshape(rows, 2, 2 * columns)[:] = wide.reshape(rows, 1, 2 * columns)
            start = stop
        self.seconds["net"] += time.perf_counter() - begin
        return sr

    def collect(self, pending: NDArray[Any]) -> NDArray[Any]:
        """As it was made."""
        return pending


def main() -> None:
    """Writes benchmarks/video_pipeline.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=900, help="of the smaller size")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("clips", nargs="*", type=Path)
    arguments = parser.parse_args()
    sizes, given = {}, {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, (height, width, share) in SIZES.items():
            clip = make_clip(folder / "clip.mp4", pan(height, width, max(2, round(arguments.frames * share))))
            sizes[size] = compared(clip, folder, arguments.repeats)
            show(size, sizes[size])
        for clip in arguments.clips:
            given[clip.stem] = compared(clip, folder, arguments.repeats)
            show(clip.stem, given[clip.stem])
    write(
        "video_pipeline",
        f"Decode, repeat pixels, encode with x264 ultrafast at crf {CRF}: ours with pixel repetition for a net, two "
        "ffmpegs with a pipe, and one ffmpeg, in turn. Files in the page cache; start of Python not counted.",
        {
            "ffmpeg": find_ffmpeg().version,
            "repeats": arguments.repeats,
            "sizes": sizes,
            **({"given": given} if given else {}),
            "requirement": {
                "fps_to_one_command_at_least": LIMIT,
                "met": all(size["fps_to_one_command"] >= LIMIT for size in sizes.values()),
            },
        },
    )


def compared(clip: Path, folder: Path, repeats: int) -> dict[str, Any]:
    """The three in turn, and whether ours and ffmpeg's frames are the same."""
    frames = len(packet_times(clip, "video"))
    upscaler = Upscaler("bicubic", device="cpu")
    options = ClipOptions(encode=EncodeOptions(codec="libx264", preset="ultrafast", crf=CRF), overwrite=True)
    ours, theirs, two = (folder / f"{who}.mp4" for who in ("ours", "theirs", "two"))
    stages: dict[str, float] = {}

    def run() -> None:
        stages.update(upscaled(clip, ours, upscaler, options).stages)

    candidates: dict[str, Callable[[], object]] = {
        "ours": run,
        "two_commands": lambda: two_commands(clip, two),
        "one_command": lambda: one_command(clip, theirs),
    }
    with mock.patch("upscale_cli.jobs.video_plan.VideoUpscaler", PixelRepetition):
        results = race(candidates, frames, repeats)
    return {
        "frames": frames,
        **results,
        "waiting_s_of_our_last_run": stages,
        "fps_to_one_command": round(results["ours"]["fps"] / results["one_command"]["fps"], 3),
        "cpu_to_one_command": round(results["ours"]["cpu_s"] / results["one_command"]["cpu_s"], 3),
        "same_luma": all(np.array_equal(a, b) for a, b in zip(luma(ours), luma(theirs), strict=True)),
    }


def two_commands(source: Path, output: Path) -> None:
    """As ours, without us: one ffmpeg decodes into a pipe, another enlarges and encodes."""
    raw = ("-c:v", "rawvideo", "-fps_mode", "passthrough", "-f", "nut", "pipe:1")
    enlarge = ("-vf", "scale=iw*2:ih*2:flags=neighbor")
    with subprocess.Popen([*ffmpeg(), "-nostdin", "-i", str(source), *raw], stdout=subprocess.PIPE) as decoder:
        subprocess.run(
            [*ffmpeg(), "-f", "nut", "-i", "pipe:0", *enlarge, *FASTEST, str(output)], stdin=decoder.stdout, check=True
        )


def show(name: str, size: dict[str, Any]) -> None:
    """One line a candidate."""
    print(f"{name}, {size['frames']} frames")
    for candidate in ("ours", "two_commands", "one_command"):
        row = size[candidate]
        print(f"  {candidate:14} {row['fps']:7.1f} fps  {row['cpu_s']:7.2f} s of CPU")
    print(f"  ours to one command: {size['fps_to_one_command']} of its fps, {size['cpu_to_one_command']} of its CPU")


if __name__ == "__main__":
    main()
