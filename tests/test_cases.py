"""The small inputs that a build of 2026-11-22 got wrong: each comes out right, as others' programs see it."""

import json
import subprocess
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest
import tifffile
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from tests.command import Run
from tests.conftest import SHARED
from tests.pictures import tool
from upscale_cli import Upscaler

CASES = SHARED / "cases"

pytestmark = [
    pytest.mark.skipif(not CASES.is_dir(), reason="the shared folder with cases is not here"),
    pytest.mark.slow,
]


@pytest.fixture
def upscaled(run: Run, tmp_path: Path) -> Any:
    """Upscales a case as its README does: `-s 2 -m bicubic`, or with other options."""

    def upscaled(name: str, *options: str) -> tuple[Path, Path, str]:
        source = CASES / name
        output = tmp_path / name
        outcome = run(source, "-o", output, "-s", "2", *(options or ("-m", "bicubic")))
        assert outcome.code == 0, outcome.err
        return source, output, outcome.err

    return upscaled


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        return [bytes(packet) for packet in container.demux(streams[:1]) if packet.size]


def frames_of(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


def dump_of(path: Path) -> str:
    """What ffmpeg says of a file."""
    command = [get_ffmpeg_exe(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, check=False).stderr.decode("utf-8", "replace")


@pytest.mark.parametrize("name", ["mkv_unknown_audio.mkv", "mkv_unknown_sub.mkv"])
def test_a_stream_that_nobody_can_name(upscaled: Any, name: str) -> None:
    source, output, err = upscaled(name)
    assert len(frames_of(output)) == 50
    assert "left out" in err
    if name == "mkv_unknown_sub.mkv":
        assert packets(output, "audio") == packets(source, "audio") != []


def test_a_crop_of_the_container(upscaled: Any) -> None:
    _, output, _ = upscaled("clap.mov")
    first = frames_of(output)[0]
    assert (first.width, first.height) == (160, 120)
    assert "Cropping" not in dump_of(output)


def test_a_sphere(upscaled: Any) -> None:
    _, output, _ = upscaled("sph_v2.mp4")
    assert "equirectangular" in dump_of(output)
    assert "Stereo 3D" in dump_of(output)


def test_captions(upscaled: Any) -> None:
    source, output, _ = upscaled("cc.ts")

    def captions(path: Path) -> list[bytes]:
        sides: list[list[Any]] = [
            [side_data[index] for index in range(len(side_data))]
            for side_data in (cast(Any, frame.side_data) for frame in frames_of(path))
        ]
        return [b"".join(bytes(side) for side in each if side.type.name == "A53_CC") for each in sides]

    assert captions(output) == captions(source)
    assert any(captions(output))


def test_a_motion_photo(upscaled: Any) -> None:
    source, output, _ = upscaled("motionphoto.MP.jpg")
    clip = source.read_bytes()[-2672:]
    assert output.read_bytes().endswith(clip)
    tags = json.loads(tool("exiftool")("-j", "-XMP:all", output))[0]
    assert (tags["MotionPhoto"], tags["MicroVideoOffset"]) == (1, 2672)
    with Image.open(source) as small, Image.open(output) as large:
        assert large.size == (small.width * 2, small.height * 2)


@pytest.mark.parametrize("name", ["geo_rgb.tif", "geo_s2_4band_u16.tif"])
def test_a_map(upscaled: Any, name: str) -> None:
    rasterio = pytest.importorskip("rasterio", reason="rasterio is not installed (extra [test])")
    source, output, _ = upscaled(name)
    with rasterio.open(source) as before, rasterio.open(output) as after:
        assert (after.crs, after.bounds, after.count) == (before.crs, before.bounds, before.count)
        assert (after.res, after.dtypes, after.nodata) == ((5.0, 5.0), before.dtypes, before.nodata)
        holes = np.repeat(np.repeat(before.dataset_mask() == 0, 2, 0), 2, 1)
        np.testing.assert_array_equal(after.dataset_mask() == 0, holes)


def test_a_sphere_of_a_photo(upscaled: Any) -> None:
    _, output, _ = upscaled("photosphere.jpg")
    tags = json.loads(tool("exiftool")("-j", "-XMP-GPano:all", output))[0]
    names = (
        "FullPanoWidthPixels", "FullPanoHeightPixels", "CroppedAreaImageWidthPixels", "CroppedAreaImageHeightPixels",
        "CroppedAreaLeftPixels", "CroppedAreaTopPixels",
    )  # fmt: skip
    assert [tags[name] for name in names] == [256, 128, 256, 80, 0, 24]


def test_a_stack(upscaled: Any) -> None:
    _, output, _ = upscaled("imagej_stack.tif")
    with tifffile.TiffFile(output) as tiff:
        assert tiff.imagej_metadata is not None
        assert tiff.imagej_metadata["unit"] == "um"
        assert all(page.tags["XResolution"].value == (40, 13) for page in tiff.pages)


def test_an_aspect_without_a_unit(upscaled: Any) -> None:
    _, output, _ = upscaled("jpg_aspect21.jpg")
    with Image.open(output) as image:
        assert (image.info["jfif_unit"], image.info["jfif_density"]) == (0, (2, 1))


@pytest.mark.parametrize("options", [("-m", "espcn"), ("-m", "photo-lite")])
def test_little_of_the_range(upscaled: Any, options: tuple[str, str]) -> None:
    """Within 2 % of the picture's own range of what comes of it stretched to all of its type first, and back after."""
    source, output, err = upscaled("depth_u16_0_255.png", *options)
    lr, sr = (np.asarray(Image.open(path)).astype(np.float64) for path in (source, output))
    low, high = lr.min(), lr.max()
    stretched = np.rint((lr - low) / (high - low) * 65_535).astype(np.uint16)
    expected = Upscaler(options[1])(stretched[..., None], scale=2)[..., 0] / 65_535 * (high - low) + low
    assert np.abs(sr - expected).max() <= 0.02 * (high - low)
    assert "its values lie between" in err
