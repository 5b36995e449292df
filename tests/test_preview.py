"""Before and after in one picture."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clips import Clips
from tests.examine import examine, planes, upscale
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.jobs.preview import SideBySide, preview_part
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.media.video.streams import Clip, VideoStream


def lasting(seconds: float | None) -> Clip:
    stream = VideoStream(
        index=0, codec="h264", width=64, height=48, pixel_format="yuv420p", time_base=Fraction(1, 25), start=0,
        rate=Fraction(25), frames=None, seconds=seconds,
    )  # fmt: skip
    return Clip(source="file:clip.mp4", name="clip.mp4", format="mov", video=(stream,), main=0, seconds=seconds)


@pytest.mark.parametrize(
    ("start", "seconds", "lasts", "part"),
    [
        (None, 5, 100, (47.5, 52.5)),
        (None, 5, 4, (0, 5)),
        (None, 5, None, (0, 5)),
        (20.0, 5, 100, (20, 25)),
        (0.0, 5, 100, (0, 5)),
    ],
)
def test_which_part_is_shown(
    start: float | None, seconds: float, lasts: float | None, part: tuple[float, float]
) -> None:
    assert preview_part(DecodeOptions(start=start), seconds, lasting(lasts)) == part


@pytest.mark.parametrize(
    ("start", "end", "part"),
    [(None, 20.0, (7.5, 12.5)), (None, 3.0, (0, 3)), (10.0, 12.0, (10, 12)), (1.0, 99.0, (1, 6))],
)
def test_nothing_behind_the_end_is_shown(start: float | None, end: float, part: tuple[float, float]) -> None:
    assert preview_part(DecodeOptions(start=start, end=end), 5, lasting(100)) == part


@pytest.mark.parametrize("name", ["gray", "yuv420p", "yuv444p10le", "yuva420p", "gbrp"])
@pytest.mark.parametrize("size", [(10, 6), (9, 7)])
def test_both_halves_are_what_each_would_be_alone(name: str, size: tuple[int, int]) -> None:
    """Left what bicubic makes of it, right what the lane's own model makes."""
    format, (width, height) = FORMATS[name], size
    rng = np.random.default_rng(2)
    samples = rng.integers(0, format.white, format.frame_samples(*size), format.dtype, endpoint=True)
    tags = ColourTags("bt709", "bt709", "bt709", "tv", "left")
    upscaler = Upscaler("espcn", device="cpu")
    frames = VideoUpscaler(upscaler, format, width, height, tags, Target(scale=2))
    pipeline = SideBySide(frames, format)
    joined = pipeline.collect(pipeline.submit(samples))
    before, after = (frames.collect(frames.submit(samples, net=net)) for net in (False, True))
    assert (before != after).any()
    start = 0
    for rows, columns in format.plane_sizes(2 * width, 2 * height):
        plane = joined[2 * start : 2 * (start + rows * columns)].reshape(rows, 2 * columns)
        for half, alone in ((plane[:, :columns], before), (plane[:, columns:], after)):
            np.testing.assert_array_equal(half, alone[start : start + rows * columns].reshape(rows, columns))
        start += rows * columns
    assert joined.size == 2 * start


def test_on_the_command_line(clips: Clips, tmp_path: Path) -> None:
    """Half a second of forty frames, twice as wide; with a model that is bicubic both halves are the same."""
    output = tmp_path / "preview.mp4"
    outcome = upscale(clips("long_gop"), "-m", "bicubic", "--preview", 0.4, "-o", output, "--preset", "ultrafast")
    assert outcome.code == 0, outcome.err
    report = examine(output)
    assert report.picture.sizes == ((2 * 192, 128),)
    assert len(report.picture.pts) == 10
    luma: Any = next(planes(output))[0]
    assert np.abs(luma[:, :192].astype(int) - luma[:, 192:]).mean() < 3
