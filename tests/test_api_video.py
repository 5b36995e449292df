"""Clips from Python: from file to file, and frame by frame."""

import gc
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest

from tests.clips import Clips, corrupted, ramps, write_frames
from tests.examine import examine
from upscale_cli import Upscaler
from upscale_cli.api import upscale_frames, upscale_video
from upscale_cli.errors import InputError, OptionError, OutputError
from upscale_cli.events import ClipFinished, Event, Note, Started
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.jobs.video_frames import SRFrame
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.reader_arguments import DecodeOptions

FAST = ClipOptions(encode=EncodeOptions(preset="ultrafast"))


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    before = psutil.Process().children(recursive=True)
    yield
    gc.collect()
    left = [process for process in psutil.Process().children(recursive=True) if process not in before]
    assert not left, left


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# From file to file


def test_from_file_to_file(clips: Clips, tmp_path: Path) -> None:
    events: list[Event] = []
    output = upscale_video(
        clips("plain"), tmp_path / "large.mp4", model="bicubic", options=FAST, listener=events.append
    )
    assert output == tmp_path / "large.mp4"
    report = examine(output)
    assert report.picture.sizes == ((192, 128),)
    assert len(report.picture.pts) == 12
    (finished,) = [event for event in events if isinstance(event, ClipFinished)]
    assert (finished.frames, finished.model, finished.width, finished.height) == (12, "bicubic", 192, 128)
    assert names(tmp_path) == ["large.mp4"]


@pytest.mark.parametrize(
    ("how", "size"),
    [
        ({}, (192, 128)),
        ({"scale": 3}, (288, 192)),
        ({"target": Target(long_side=300)}, (300, 200)),
        ({"target": Target(box=(50, 40), stretch=True)}, (50, 40)),
    ],
)
def test_sizes(clips: Clips, tmp_path: Path, how: dict[str, Any], size: tuple[int, int]) -> None:
    output = upscale_video(clips("one_frame"), f"{tmp_path}/", model="bicubic", options=FAST, **how)
    assert examine(output).picture.sizes == (size,)
    frames = list(upscale_frames(clips("one_frame"), model="bicubic", **how))
    assert [(frame.width, frame.height) for frame in frames] == [size]


def test_options_together(clips: Clips, tmp_path: Path) -> None:
    options = ClipOptions(
        decode=DecodeOptions(start=0.2, frames=5), encode=EncodeOptions(codec="ffv1", pix_fmt="yuv444p"), reuse=False,
        video_stream="0",
    )  # fmt: skip
    output = upscale_video(clips("long_gop"), tmp_path / "{stem}_{width}.mkv", 2, model="bicubic", options=options)
    assert output.name == "long_gop_192.mkv"
    report = examine(output)
    assert report.picture.pixel_format == "yuv444p"
    assert len(report.picture.pts) == 5


def test_what_exists_is_kept_unless_told(clips: Clips, tmp_path: Path) -> None:
    place = tmp_path / "there.mp4"
    place.write_text("here first")
    with pytest.raises(OutputError, match="exists already"):
        upscale_video(clips("one_frame"), place, model="bicubic", options=FAST)
    assert place.read_text() == "here first"
    over = ClipOptions(encode=FAST.encode, overwrite=True)
    assert len(examine(upscale_video(clips("one_frame"), place, model="bicubic", options=over)).picture.pts) == 1


def test_an_upscaler_may_be_used_again_and_has_its_own_options(clips: Clips, tmp_path: Path) -> None:
    upscaler = Upscaler("bicubic", device="cpu")
    for name in ("a.mp4", "b.mp4"):
        upscale_video(clips("one_frame"), tmp_path / name, model=upscaler, options=FAST)
    with pytest.raises(TypeError, match="precision"):
        upscale_video(clips("one_frame"), tmp_path / "c.mp4", model=upscaler, precision="fp32")
    with pytest.raises(TypeError, match="precision"):
        upscale_frames(clips("one_frame"), model=upscaler, precision="fp32")
    assert names(tmp_path) == ["a.mp4", "b.mp4"]


def test_what_makes_no_sense_is_refused_before_a_frame(clips: Clips, tmp_path: Path) -> None:
    for call in (
        lambda **given: upscale_video(clips("plain"), tmp_path / "x.mp4", model="bicubic", **given),
        lambda **given: upscale_frames(clips("plain"), model="bicubic", **given),
    ):
        with pytest.raises(OptionError):
            call(scale=0)
        with pytest.raises(OptionError):
            call(scale=2, target=Target(scale=2))
    with pytest.raises(InputError):
        upscale_frames(clips("prose"), model="bicubic")
    with pytest.raises(InputError, match="pixels"):
        upscale_frames(clips("plain"), model="bicubic", options=ClipOptions(max_pixels=100))
    assert not names(tmp_path)


@pytest.mark.parametrize(("start", "end"), [(0.13, 0.33), (None, 0.33), (0.01, None)])
def test_as_many_frames_are_announced_as_come(
    clips: Clips, tmp_path: Path, start: float | None, end: float | None
) -> None:
    """Limits that lie between two frames: the one before is not taken, or is the last."""
    events: list[Event] = []
    options = ClipOptions(decode=DecodeOptions(start=start, end=end), encode=EncodeOptions(preset="ultrafast"))
    upscale_video(clips("plain"), tmp_path / "part.mkv", 1, model="bicubic", options=options, listener=events.append)
    (announced,) = [event.frames for event in events if isinstance(event, Started)]
    (made,) = [event.frames for event in events if isinstance(event, ClipFinished)]
    assert announced == made


@pytest.mark.parametrize("start", [99.0, 0.481])
def test_a_part_without_frames_is_said(clips: Clips, tmp_path: Path, start: float) -> None:
    options = ClipOptions(decode=DecodeOptions(start=start), encode=FAST.encode)
    with pytest.raises(InputError, match=r"plain\.mp4: .* Choose (an earlier one|another start=)"):
        upscale_video(clips("plain"), tmp_path / "x.mp4", model="bicubic", options=options)
    assert not names(tmp_path)


# Frame by frame


@pytest.mark.parametrize("name", ["plain", "vfr", "offset", "ntsc_film"])
def test_every_frame_at_its_time(clips: Clips, name: str) -> None:
    with av.open(str(clips(name))) as container:
        wanted = [frame.pts * frame.time_base for frame in container.decode(video=0)]  # type: ignore[operator]
    frames = list(upscale_frames(clips(name), 2, model="bicubic"))
    assert [frame.seconds for frame in frames] == wanted
    for frame in frames:
        assert [plane.shape for plane in frame.planes] == frame.format.plane_sizes(frame.width, frame.height)


def test_which_frames(clips: Clips) -> None:
    options = ClipOptions(decode=DecodeOptions(start=0.2, frames=3))
    frames = upscale_frames(clips("long_gop"), model="bicubic", options=options)
    assert [frame.seconds for frame in frames] == [Fraction(at, 25) for at in (5, 6, 7)]


def test_what_was_taken_stays_as_it_was(clips: Clips) -> None:
    """Frames may be kept: later ones do not write over them."""
    frames = list(upscale_frames(clips("plain"), 1, model="bicubic"))
    again = [frame.samples.copy() for frame in upscale_frames(clips("plain"), 1, model="bicubic")]
    for frame, copy in zip(frames, again, strict=True):
        np.testing.assert_array_equal(frame.samples, copy)


@pytest.mark.parametrize("taken", [0, 1, 5])
def test_leaving_early_ends_the_decoder(clips: Clips, taken: int) -> None:
    frames: Any = upscale_frames(clips("long_gop"), 2, model="bicubic")
    for _ in range(taken):
        next(frames)
    frames.close()
    assert not [child for child in psutil.Process().children(recursive=True) if "ffmpeg" in child.name()]


def test_forgetting_the_iterator_ends_the_decoder(clips: Clips) -> None:
    next(upscale_frames(clips("long_gop"), 2, model="bicubic"))


def test_damage_is_told(clips: Clips) -> None:
    events: list[Event] = []
    frames = list(
        upscale_frames(corrupted(clips, "long_gop_mkv", range(20, 31)), 1, model="bicubic", listener=events.append)
    )
    assert len(frames) == 40
    assert any(isinstance(event, Note) and "damaged" in event.text for event in events)


# Colours


def as_libav_sees_it(frame: SRFrame) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The frame's planes, turned into RGB by libswscale: chroma to full size first, which its short cut leaves out."""
    given = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for plane, values in zip(given.planes, frame.planes, strict=True):
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows.view(values.dtype)[:, : values.shape[1]] = values
        plane.update(rows.tobytes())
    if frame.format.subsampled:
        full_size = re.sub(r"42[02]", "444", frame.format.name)
        given = given.reformat(format=full_size, interpolation="BICUBIC")
    matrix = {"bt709": 1, "smpte170m": 5, "bt2020nc": 9, "gbr": 1}[frame.tags.matrix or "bt709"]
    full = {"tv": 1, "pc": 2}[frame.tags.range or "tv"]
    made = given.reformat(
        format="rgb24", src_colorspace=matrix, src_color_range=full, dst_color_range=2, interpolation="BICUBIC"
    )
    pixels: np.ndarray[Any, np.dtype[np.uint8]] = made.to_ndarray().astype(np.uint8)
    return pixels


def smooth(format_name: str, width: int, height: int) -> np.ndarray[Any, Any]:
    """Slow waves within the range's legal values: how chroma is enlarged hardly shows."""
    format = FORMATS[format_name]
    step = 1 << (format.bits - 8)
    planes = []
    for at, (rows, columns) in enumerate(format.plane_sizes(width, height)):
        y, x = np.mgrid[:rows, :columns] / np.array([rows, columns]).reshape(2, 1, 1)
        wave = np.sin(2 * np.pi * (x * (at + 1) / 2 + y / 2) + at)
        colour = at in (1, 2) and format.model == "yuv"
        low, high = (60, 190) if colour else (40, 220)
        planes.append(((low + high) / 2 + (high - low) / 2 * wave * (0.5 if colour else 1)).round() * step)
    return np.concatenate([plane.astype(format.dtype).reshape(-1) for plane in planes])


@pytest.mark.parametrize("matrix", ["smpte170m", "bt709", "bt2020nc"])
@pytest.mark.parametrize("range_", ["tv", "pc"])
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le", "yuva420p", "gray"])
def test_to_rgb_is_what_libav_makes(name: str, matrix: str, range_: Any) -> None:
    if name == "gray" and range_ == "tv":
        pytest.skip("libswscale takes all gray as full range")
    tags = ColourTags(matrix, matrix.removesuffix("nc"), "bt709", range_, "center")  # as libswscale takes it
    frame = SRFrame(smooth(name, 64, 48), FORMATS[name], tags, 64, 48, Fraction(0))
    ours, theirs = frame.to_rgb().astype(int), as_libav_sees_it(frame).astype(int)
    assert ours.shape == (48, 64, 3)
    difference = np.abs(ours - theirs)
    assert difference.mean() < 1, difference.mean()
    assert np.percentile(difference, 99) <= 3, np.percentile(difference, 99)


def test_gray_is_stretched_by_its_range() -> None:
    """As 16..235, which libswscale does not believe of gray."""
    tags = ColourTags("bt709", "bt709", "bt709", "tv", None)
    frame = SRFrame(np.array([0, 16, 126, 235, 255, 200], np.uint8), FORMATS["gray"], tags, 3, 2, Fraction(0))
    assert frame.to_rgb()[..., 1].tolist() == [[0, 0, 128], [255, 255, 214]]
    assert (frame.to_rgb() == frame.to_rgb()[..., :1]).all()


@pytest.mark.parametrize("name", ["gbrp", "gbrap", "gbrp10le", "gbrp12le"])
def test_rgb_stays_rgb(name: str) -> None:
    format = FORMATS[name]
    tags = ColourTags("gbr", "bt709", "iec61966-2-1", "pc", None)
    frame = SRFrame(smooth(name, 16, 8), format, tags, 16, 8, Fraction(0))
    g, b, r = frame.planes[:3]
    wanted = np.stack([r, g, b], axis=-1).astype(float) * 255 / format.white
    assert np.abs(frame.to_rgb() - wanted).max() <= 0.501


def test_rgb_of_a_real_clip(tmp_path: Path) -> None:
    """A decoded frame of a tagged clip against PyAV's own picture of it, at scale 1."""
    path = tmp_path / "ramp.mkv"
    write_frames(path, "ffv1", "yuv444p", ramps(64, 48, "yuv444p", 1), [Fraction(0)])
    (frame,) = upscale_frames(path, 1, model="bicubic")
    np.testing.assert_allclose(frame.to_rgb().astype(int), as_libav_sees_it(frame).astype(int), atol=3)
