"""What a container cuts off the picture is cut off once, with every ffmpeg; what a bitstream cuts off, decoders do."""

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.boxes import add_to_sample_entry, box
from tests.clips import X264, Clips, ffmpeg, video
from tests.conftest import SHARED
from tests.examine import upscale
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.streams import Crop

EXACT = ("-s", 1, "-m", "bicubic", "--codec", "ffv1")


def cropped(path: Path, width: int, height: int, right: int, down: int) -> Path:
    """96 x 64 pixels in QuickTime with a clean aperture, whose centre is moved (ISO/IEC 14496-12, 12.1.4)."""
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25", "-frames:v", 6, *X264, "-pix_fmt", "yuv420p", path)
    aperture = struct.pack(">8i", width, 1, height, 1, right, 1, down, 1)
    return add_to_sample_entry(path, b"avc1", box(b"clap", aperture))


def luma(path: Path) -> list[NDArray[Any]]:
    """The first plane of each frame, (H, W) uint8."""
    with av.open(str(path)) as container:
        planes = [(frame, frame.planes[0]) for frame in container.decode(video=0)]
        return [
            np.frombuffer(memoryview(plane), np.uint8)
            .reshape(-1, plane.line_size)[: frame.height, : frame.width]
            .copy()
            for frame, plane in planes
        ]


@pytest.mark.parametrize(
    ("aperture", "crop"),
    [
        ((80, 60, 0, 0), Crop(8, 8, 2, 2)),
        ((80, 60, 4, -1), Crop(12, 4, 1, 3)),
        ((96, 60, 0, 2), Crop(0, 0, 4, 0)),
        ((96, 64, 0, 0), None),
    ],
)
def test_a_clean_aperture_is_found(tmp_path: Path, aperture: tuple[int, int, int, int], crop: Crop | None) -> None:
    (stream,) = probe(cropped(tmp_path / "in.mov", *aperture)).video
    assert (stream.width, stream.height) == aperture[:2]
    assert stream.crop == crop


@pytest.mark.slow
@pytest.mark.parametrize("aperture", [(80, 60, 0, 0), (80, 60, 4, -1), (81, 59, 0, 0), (96, 61, 0, 0)])
def test_it_is_applied_once(tmp_path: Path, aperture: tuple[int, int, int, int]) -> None:
    source = cropped(tmp_path / "in.mov", *aperture)
    crop = probe(source).video[0].crop
    assert crop is not None
    outcome = upscale(source, "-o", tmp_path / "out.mkv", *EXACT)
    assert outcome.code == 0, outcome.err
    assert "left out" not in outcome.err
    shown = [frame[crop.top : 64 - crop.bottom, crop.left : 96 - crop.right] for frame in luma(source)]
    made = luma(tmp_path / "out.mkv")
    assert len(made) == 6
    assert made[0].shape == (aperture[1], aperture[0])
    np.testing.assert_array_equal(made, shown)
    assert probe(tmp_path / "out.mkv").video[0].crop is None


@pytest.mark.slow
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 2)])
def test_a_crop_of_the_bitstream_that_moves(clips: Clips, tmp_path: Path, order: tuple[int, int]) -> None:
    """libavcodec shifts a left border to where it is aligned in memory, unless told otherwise."""
    whole = clips.folder / "whole.h264"
    video(whole, *X264, "-bf", 0, frames=6)
    parts = []
    for number, (left, right) in enumerate([(0, 0), (8, 24), (24, 8)]):
        part = tmp_path / f"{number}.h264"
        ffmpeg("-i", whole, "-c", "copy", "-bsf:v", f"h264_metadata=crop_left={left}:crop_right={right}", part)
        parts.append(part.read_bytes())
    joined = clips.text("moving_crop.h264", b"".join(parts[number] for number in order))
    source = tmp_path / "in.mkv"
    ffmpeg("-framerate", 25, "-fflags", "+genpts", "-i", joined, "-c", "copy", source)
    outcome = upscale(source, "-o", tmp_path / "out.mkv", *EXACT)
    assert outcome.code == 0, outcome.err
    made = luma(tmp_path / "out.mkv")
    assert len(made) == 12
    first = [(0, 96), (8, 72), (24, 88)][order[0]]
    np.testing.assert_array_equal(made[:6], [frame[:, slice(*first)] for frame in luma(whole)])
    if order == (1, 2):
        np.testing.assert_array_equal(made[6:], [frame[:, 24:88] for frame in luma(whole)])


@pytest.mark.slow
def test_the_case(tmp_path: Path) -> None:
    source = SHARED / "cases" / "clap.mov"
    if not source.exists():
        pytest.skip("shared/cases is not here")
    outcome = upscale(source, "-o", tmp_path / "out.mov", "-s", 2, "-m", "bicubic", "--preset", "ultrafast")
    assert outcome.code == 0, outcome.err
    with av.open(str(tmp_path / "out.mov")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (160, 120)
    assert b"clap" not in (tmp_path / "out.mov").read_bytes()
