"""JPEG XL: profiles in and out, depths, alpha; judged by cjxl, djxl and jxlinfo, which are the format's own tools."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.pictures import XMP, exif_block, frame_of, icc_profile, psnr, read, tool, write
from upscale_cli.frames.image import Frame, Layout
from upscale_cli.media.image import icc
from upscale_cli.media.image.codecs import openimageio
from upscale_cli.media.image.codecs.jxl_header import read_header
from upscale_cli.media.image.metadata import Metadata

LAYOUTS: tuple[Layout, ...] = ("L", "RGB", "RGBA")
P3 = "color_space=RGB_D65_DCI_Rel_SRG"


def profile_for(layout: Layout, gamma: float = 2.2) -> bytes:
    return icc_profile(b"GRAY" if layout == "L" else b"RGB ", gamma)


def in_srgb(frame: Frame, profile: bytes) -> Frame:
    return Frame(icc.to_srgb(frame.pixels, "RGB", profile), "RGB")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_profile_comes_back_byte_for_byte_with_every_level_and_all_metadata(
    tmp_path: Path, layout: Layout, dtype: Any
) -> None:
    frame = frame_of(layout, dtype)
    metadata = Metadata(icc=profile_for(layout), exif=exif_block(thumbnail=False), xmp=XMP)
    reported: list[str] = []
    path = write(tmp_path / "a.jxl", frame, "JPEG XL", metadata=metadata, reported=reported)
    info, (back,) = read(path, say=reported.append)
    assert reported == []
    assert info.metadata.icc == metadata.icc
    assert info.metadata.exif is not None
    assert info.metadata.xmp is not None
    assert (back.layout, info.lossless) == (layout, True)
    np.testing.assert_array_equal(back.pixels, frame.pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_djxl_sees_the_same_pixels_and_profile(tmp_path: Path, layout: Layout, dtype: Any) -> None:
    djxl, jxlinfo = tool("djxl"), tool("jxlinfo")
    frame, profile = frame_of(layout, dtype), profile_for(layout)
    path = write(tmp_path / "a.jxl", frame, "JPEG XL", metadata=Metadata(icc=profile))
    assert f"{len(profile)}-byte ICC profile" in jxlinfo("-v", path)
    djxl(path, tmp_path / "a.png")
    pixels = imagecodecs.png_decode((tmp_path / "a.png").read_bytes()).reshape(frame.pixels.shape)
    np.testing.assert_array_equal(pixels, frame.pixels)
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["icc_profile"] == profile


@pytest.mark.parametrize("distance", [0, 1])
def test_a_wide_gamut_of_cjxl_is_kept(tmp_path: Path, distance: int) -> None:
    """cjxl writes it as a few numbers, without any profile: libjxl makes one of them."""
    cjxl, djxl = tool("cjxl"), tool("djxl")
    Image.fromarray(frame_of(height=40, width=60).pixels).save(tmp_path / "a.png")
    cjxl(tmp_path / "a.png", tmp_path / "a.jxl", "-d", distance, "-x", P3)
    reported: list[str] = []
    info, (back,) = read(tmp_path / "a.jxl", say=reported.append)
    assert reported == []
    assert icc.space(info.metadata.icc or b"") == "RGB"
    djxl(tmp_path / "a.jxl", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert np.abs(np.asarray(image).astype(int) - back.pixels).max() <= 2 * distance
    white = Frame(np.full((1, 1, 3), 255, np.uint8), "RGB")
    green = Frame(np.array([[[0, 255, 0]]], np.uint8), "RGB")
    assert in_srgb(white, info.metadata.icc or b"").pixels.tolist() == [[[255, 255, 255]]]
    muted = Frame(np.array([[[80, 200, 80]]], np.uint8), "RGB")
    assert in_srgb(muted, info.metadata.icc or b"").pixels[0, 0, 1] > 200  # P3's green is more than sRGB's
    assert in_srgb(green, info.metadata.icc or b"").pixels.tolist() == [[[0, 255, 0]]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_lossy_picture_keeps_its_colours(tmp_path: Path, dtype: Any) -> None:
    frame, profile = frame_of("RGB", dtype, height=64, width=96), profile_for("RGB")
    path = write(tmp_path / "a.jxl", frame, "JPEG XL", metadata=Metadata(icc=profile), quality=90)
    info, (back,) = read(path)
    assert back.pixels.dtype == dtype
    assert not info.lossless
    assert psnr(in_srgb(frame, profile), in_srgb(back, info.metadata.icc or b"")) > 30


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("layout", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("transfer", ["display", "linear"])
def test_a_lossy_picture_has_the_depth_of_its_source_if_it_has_colour(
    tmp_path: Path, layout: Layout, dtype: Any, transfer: Any
) -> None:
    if dtype is np.uint8 and transfer == "linear" and layout in ("L", "LA"):
        pytest.skip("8 bits of gray in proportion to light cannot be declared")
    frame = frame_of(layout, dtype, height=64, width=96, transfer=transfer)
    reported: list[str] = []
    _, (back,) = read(write(tmp_path / "a.jxl", frame, "JPEG XL", quality=90, reported=reported))
    keeps = layout in ("RGB", "RGBA") or dtype is np.uint8
    assert back.pixels.dtype == (dtype if keeps else np.uint8)
    assert len(reported) == (not keeps)
    assert psnr(frame, back) > 28
    if keeps:
        assert back.transfer == transfer


def test_a_profile_beside_gray_with_alpha_is_used_up(tmp_path: Path) -> None:
    frame = frame_of("LA", np.uint16)
    reported: list[str] = []
    path = write(tmp_path / "a.jxl", frame, "JPEG XL", metadata=Metadata(icc=profile_for("L", 1.8)), reported=reported)
    info, (back,) = read(path)
    assert len(reported) == 1
    assert "converted to sRGB" in reported[0]
    assert info.metadata.icc is None
    np.testing.assert_array_equal(back.pixels[..., 1], frame.pixels[..., 1])
    assert (back.pixels[..., 0] != frame.pixels[..., 0]).any()


def test_a_profile_that_libjxl_refuses_is_used_up_or_left_aside(tmp_path: Path) -> None:
    frame = frame_of()
    reported: list[str] = []
    for number, profile in enumerate((b"no profile at all" * 20, profile_for("L"), imagecodecs.cms_profile("lab4"))):
        metadata = Metadata(icc=bytes(profile))
        info, (back,) = read(write(tmp_path / f"{number}.jxl", frame, "JPEG XL", metadata=metadata, reported=reported))
        assert info.metadata.icc is None
        np.testing.assert_array_equal(back.pixels, frame.pixels)
    assert reported == []
    gray = bytes(imagecodecs.cms_profile("gray", gamma=1.8))  # lcms takes it, libjxl does not
    path = write(tmp_path / "gray.jxl", frame_of("L"), "JPEG XL", metadata=Metadata(icc=gray), reported=reported)
    assert read(path)[0].metadata.icc is None
    assert len(reported) == 1
    assert "converted to sRGB" in reported[0]


def test_alpha_is_straight(tmp_path: Path) -> None:
    frame = frame_of("RGBA", np.uint16)
    frame.pixels[:5, :, 3] = 0
    path = write(tmp_path / "a.jxl", frame, "JPEG XL", metadata=Metadata(icc=profile_for("RGB")))
    data = path.read_bytes()
    header = read_header(data[data.index(b"jxlc") + 4 :])
    assert (header.alpha, header.premultiplied, header.extra_channels) == (True, False, 1)
    np.testing.assert_array_equal(read(path)[1][0].pixels, frame.pixels)


def test_a_tiny_file_has_its_profile_too(tmp_path: Path) -> None:
    """OpenImageIO takes less than 128 bytes for no JPEG XL."""
    cjxl = tool("cjxl")
    Image.new("RGB", (50, 40), (7, 0, 0)).save(tmp_path / "a.png")
    cjxl(tmp_path / "a.png", tmp_path / "a.jxl", "-d", "0", "-x", P3)
    assert (tmp_path / "a.jxl").stat().st_size < 128
    assert read(tmp_path / "a.jxl")[0].metadata.icc is not None


def test_a_profile_is_no_way_around_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenImageIO decodes every frame of every channel as soon as it is asked."""
    asked: list[int] = []
    monkeypatch.setattr(openimageio, "profile_of", lambda data: asked.append(len(data)))
    metadata = Metadata(icc=profile_for("RGB"))
    data = write(tmp_path / "a.jxl", frame_of(), "JPEG XL", metadata=metadata).read_bytes()
    reported: list[str] = []
    with pytest.raises(Exception, match="max_pixels="):
        read(data, max_pixels=100)
    assert asked == []
    read(data, say=reported.append)
    assert (len(asked), len(reported)) == (1, 1)
    assert "taken as sRGB" in reported[0]
    cjxl = tool("cjxl")
    frames = [Image.fromarray(frame_of("L", seed=seed).pixels[..., 0]) for seed in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=40)
    cjxl(tmp_path / "a.gif", tmp_path / "b.jxl", "-d", "0", "-x", P3)
    reported.clear()
    read(tmp_path / "b.jxl", say=reported.append)
    assert (len(asked), len(reported)) == (1, 2)


def test_damage_behind_a_profile_is_an_error(tmp_path: Path) -> None:
    metadata = Metadata(icc=profile_for("RGB"))
    data = write(tmp_path / "a.jxl", frame_of(height=80, width=80), "JPEG XL", metadata=metadata).read_bytes()
    for keep in (60, 200, len(data) // 2, len(data) - 40):
        with pytest.raises(Exception, match=r"damaged|cut off|cannot be decoded"):
            read(data[:keep])


def test_nothing_is_printed_and_no_file_is_left(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    (tmp_path / "out").mkdir()
    path = write(tmp_path / "out/a.jxl", frame_of(), "JPEG XL", metadata=Metadata(icc=profile_for("RGB")))
    read(path)
    assert openimageio.profile_of(b"\xff\x0a no picture") is None
    assert openimageio.encode(frame_of("LA").pixels, None, {}, (1, 13), None) is None
    assert openimageio.encode(frame_of("RGB").pixels, profile_for("L"), {}, (1, 13), None) is None
    assert capfd.readouterr() == ("", "")
    assert list((tmp_path / "scratch").iterdir()) == []
    assert list((tmp_path / "out").iterdir()) == [path]
