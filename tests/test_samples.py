"""The whole way, file to file, on real pictures of every kind: what goes in comes out larger, or is refused."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import SHARED
from upscale_cli import upscale_file
from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame
from upscale_cli.media.image.reader_writer import ImageReader, PhotoInfo

FOLDER = SHARED / "samples/images"
REFUSED = {
    "broken.png", "decompression_bomb.gif", "oom.tif", "truncated_image.png", "truncated_jpeg.jpg", "zero_width.gif",
}  # fmt: skip
LARGE = {"meadow_cube.jpg"}
PICTURES = sorted(path for path in FOLDER.glob("*/*") if path.name not in LARGE) if FOLDER.is_dir() else []
GOOD = [path for path in PICTURES if path.name not in REFUSED]
BAD = [path for path in PICTURES if path.name in REFUSED]


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def read(path: Path) -> tuple[PhotoInfo, list[Frame]]:
    with ImageReader(path) as reader:
        return reader.info, list(reader)


@pytest.mark.slow
@pytest.mark.parametrize("path", GOOD, ids=name_of)
def test_what_goes_in_comes_out_twice_as_large(path: Path, tmp_path: Path) -> None:
    before, lr = read(path)
    after, sr = read(upscale_file(path, tmp_path, scale=2, model="bicubic"))
    assert after.format == before.format
    assert (after.width, after.height, after.bits) == (2 * before.width, 2 * before.height, before.bits)
    assert after.metadata.icc == before.metadata.icc
    assert (after.frames, after.metadata.plays) == (before.frames, before.metadata.plays)
    assert [frame.duration_ms for frame in sr] == pytest.approx([frame.duration_ms for frame in lr])
    for small, large in zip(lr[:3], sr[:3], strict=True):
        assert (large.width, large.height) == (2 * small.width, 2 * small.height)
        if after.format not in ("AVIF", "WebP", "GIF"):  # these have colour and alpha only, or a palette
            assert large.layout == small.layout


@pytest.mark.slow
@pytest.mark.parametrize("path", GOOD, ids=name_of)
def test_at_scale_one_bicubic_changes_at_most_one_level(path: Path, tmp_path: Path) -> None:
    """Through a format that holds everything: no profile applied, no gamut clipped, no ink converted."""
    _, before = read(path)
    ending = "png" if before[0].duration_ms is not None else "tiff"
    with ImageReader(upscale_file(path, tmp_path / f"same.{ending}", scale=1, model="bicubic")) as reader:
        for frame, same in zip(before[:3], reader, strict=False):
            assert same.layout == frame.layout
            level = 1 if frame.pixels.dtype != np.float32 else 0
            np.testing.assert_allclose(same.pixels.astype(float), frame.pixels.astype(float), atol=level)


@pytest.mark.parametrize("path", BAD, ids=name_of)
def test_what_is_broken_is_refused_in_one_line(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refusal:
        upscale_file(path, tmp_path, scale=2, model="bicubic")
    assert path.name in str(refusal.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["truncated_image.png", "truncated_jpeg.jpg"])
def test_what_decodes_can_be_salvaged(name: str, sample_images: Path, tmp_path: Path) -> None:
    output = upscale_file(sample_images / "broken" / name, tmp_path, scale=2, model="bicubic", salvage=True)
    _, (picture,) = read(output)
    assert picture.pixels.std() > 10


@pytest.mark.slow
def test_the_net_keeps_the_colours_of_a_photo(sample_images: Path, tmp_path: Path) -> None:
    """What espcn makes of a photo is bicubic's picture, only sharper."""
    for name in ("chelsea.png", "wolf_gray.jpg", "tree_alpha_16bit.png"):
        photo = sample_images / "photos" / name
        _, (by_net,) = read(upscale_file(photo, tmp_path / f"{name}-net.tiff", scale=2, model="espcn"))
        _, (by_kernel,) = read(upscale_file(photo, tmp_path / f"{name}-kernel.tiff", scale=2, model="bicubic"))
        white = np.iinfo(by_net.pixels.dtype).max
        difference = by_net.pixels.astype(float) - by_kernel.pixels
        assert np.abs(difference.mean(axis=(0, 1))).max() < 0.004 * white
        assert 0.001 * white < np.abs(difference).mean() < 0.03 * white
