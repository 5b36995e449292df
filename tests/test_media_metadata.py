"""What belongs to the pixels is kept: profile, EXIF, XMP, resolution; and orientation is applied once."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.pictures import XMP, encoded, exif_block, frame_of, icc_profile, info_of, read, tool, write
from upscale_cli.frames.image import Frame
from upscale_cli.media.image import exif, icc
from upscale_cli.media.image.formats import FORMATS
from upscale_cli.media.image.metadata import Metadata, upright_metadata
from upscale_cli.media.image.reader_writer import ImageWriter

WITH_EXIF = [row.name for row in FORMATS.values() if row.exif]
UPRIGHT = upright_metadata(
    icc=icc_profile(), exif=exif_block(), xmp=XMP.replace(b'ion="6"', b'ion="1"'), dpi=(300, 150)
)[0]


def suffix(name: str) -> str:
    return FORMATS[name].extensions[0]


@pytest.mark.parametrize("name", WITH_EXIF)
def test_metadata_survive_every_format_that_holds_them(tmp_path: Path, name: str) -> None:
    if name == "HEIC":
        pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    reported: list[str] = []
    dpi_unknown = UPRIGHT if FORMATS[name].icc else Metadata(exif=UPRIGHT.exif, xmp=UPRIGHT.xmp)
    path = write(tmp_path / f"a{suffix(name)}", frame_of(), name, metadata=dpi_unknown, reported=reported)
    assert reported == []
    found = read(path)[0].metadata
    assert found.icc == (UPRIGHT.icc if FORMATS[name].icc else None)
    assert found.xmp is not None
    assert b'tiff:Orientation="1"' in found.xmp
    assert b'exif:PixelXDimension="37"' in found.xmp
    assert found.exif is not None
    expected = values_of(exif.resized(UPRIGHT.exif or b"", 37, 24))
    assert values_of(found.exif) | {0x0112: expected[0x0112]} == expected  # none is as good as 1
    if FORMATS[name].dpi:
        np.testing.assert_allclose(found.dpi, (300, 150), rtol=1e-3)  # type: ignore[arg-type]


def values_of(block: bytes) -> dict[int, Any]:
    """Tags and values, however they lie in the block; offsets and byte counts left out."""
    found, order = exif.fields(block)

    def flat(fields: Any) -> dict[int, Any]:
        return {f.tag: flat(f.children) if f.children else f.data for f in fields}

    assert order == "<"
    return flat(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WebP", "AVIF", "JPEG XL"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_exiftool_reads_what_was_kept(tmp_path: Path, name: str, order: str) -> None:
    exiftool = tool("exiftool")
    metadata, _ = upright_metadata(exif=exif_block(6, order), xmp=XMP, icc=icc_profile(), dpi=(300, 300))
    if not FORMATS[name].icc:
        metadata = Metadata(exif=metadata.exif, xmp=metadata.xmp)
    path = write(tmp_path / f"a{suffix(name)}", frame_of(height=40, width=60), name, metadata=metadata)
    tags = json.loads(exiftool("-j", "-n", "-G1", "-a", path))[0]
    assert tags["IFD0:Make"] == "Acme"
    assert tags.get("IFD0:Orientation", 1) == 1
    assert tags["ExifIFD:ExposureTime"] == 0.008
    assert (tags["ExifIFD:ExifImageWidth"], tags["ExifIFD:ExifImageHeight"]) == (60, 40)
    assert tags["GPS:GPSLatitude"] == 52.5
    assert tags["XMP-tiff:Orientation"] == 1
    assert tags["XMP-xmp:CreatorTool"] == "upscale test"
    assert not any(key.startswith("IFD1:") for key in tags)
    if FORMATS[name].dpi:
        resolution = next(
            tags[key] for key in ("IFD0:XResolution", "JFIF:XResolution", "PNG-pHYs:PixelsPerUnitX") if key in tags
        )
        assert resolution == (11811 if name == "PNG" else 300)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("how", ["exif", "xmp", "both"])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "WebP"])
def test_orientation_is_applied_once_and_reset(tmp_path: Path, name: str, how: str, orientation: int) -> None:
    frame = frame_of(height=24, width=40)
    buffer = io.BytesIO()
    image = Image.fromarray(frame.pixels)
    options: dict[str, Any] = {"quality": 95, "lossless": True} if name != "TIFF" else {}
    tag = Image.Exif()
    tag[0x0112] = orientation
    xmp = XMP.replace(b'ion="6"', b'ion="%d"' % orientation)
    if how != "xmp":
        options["exif"] = tag
    if how != "exif" and name == "PNG":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif how != "exif" and name == "TIFF":
        options["tiffinfo"] = {700: xmp}
        if how == "both":
            options["tiffinfo"][0x0112] = orientation
            options.pop("exif")
    elif how != "exif":
        options["xmp"] = xmp
    image.save(buffer, name.upper(), **options)
    plain = io.BytesIO()
    image.save(plain, name.upper(), **({"quality": 95, "lossless": True} if name != "TIFF" else {}))
    with Image.open(plain) as stored:
        expected = np.asarray(turned_by(stored, orientation))
    info, (upright,) = read(buffer.getvalue())
    assert (info.height, info.width) == expected.shape[:2] == upright.pixels.shape[:2]
    np.testing.assert_array_equal(upright.pixels, expected)
    with ImageWriter(tmp_path / f"a{suffix(name)}", format=name, info=info) as writer:
        writer.write(upright)
    again_info, (again,) = read(tmp_path / f"a{suffix(name)}")
    assert again.pixels.shape == upright.pixels.shape
    assert exif.orientation(again_info.metadata.exif or b"") == 1
    assert b'Orientation="1"' in (again_info.metadata.xmp or b'Orientation="1"')


def turned_by(image: Image.Image, orientation: int) -> Image.Image:
    """As Pillow turns a picture whose EXIF has this orientation."""
    copy = Image.fromarray(np.asarray(image))
    copy.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(copy)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_page_has_its_own_orientation(tmp_path: Path, dtype: Any) -> None:
    tifffile = pytest.importorskip("tifffile")
    frame = frame_of("RGB", dtype)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for orientation in range(1, 9):
            tag = (0x0112, 3, 1, orientation, True)
            file.write(frame.pixels, photometric="rgb", extratags=[tag], metadata=None, contiguous=False)
    _, pages = read(tmp_path / "a.tif")
    for orientation, page in enumerate(pages, 1):
        if dtype is np.uint8:
            expected = np.asarray(turned_by(Image.fromarray(frame.pixels), orientation))
        else:
            flipped = frame.pixels if orientation < 5 else frame.pixels.swapaxes(0, 1)
            across, down = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
            expected = flipped[:: -1 if down else 1, :: -1 if across else 1]
        np.testing.assert_array_equal(page.pixels, expected)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_block_is_patched_in_place(order: str) -> None:
    block = exif_block(6, order)
    upright = exif.upright(block)
    assert exif.orientation(block) == 6
    assert exif.orientation(upright) == 1
    kept = exif_block(6, order, thumbnail=False)
    assert len(upright) == len(kept)
    changed = [at for at in range(len(kept)) if upright[at] != kept[at]]
    assert len(changed) == 1
    grown = exif.resized(upright, 70_000, 80_000)
    assert len(grown) == len(upright)
    inner = {f.tag: f for parent in exif.fields(grown)[0] for f in parent.children}
    for tag, value in ((exif.PIXEL_X, 70_000), (exif.PIXEL_Y, 80_000)):
        assert inner[tag].type == 4
        assert struct.unpack(order + "I", inner[tag].data)[0] == value


def test_a_thumbnail_in_the_middle_is_blanked() -> None:
    block = exif.upright(exif_block() + b"tail that a maker note may point to")
    assert b"JFIF" not in block
    block = exif_block()
    fields, order = exif.fields(block)
    moved = exif.pack(fields, 8 + 4000, order)
    first = block[:4] + struct.pack(order + "I", 8 + 4000)
    second = exif.pack(
        [
            exif.Field(0x0201, 4, 1, struct.pack(order + "I", 500)),
            exif.Field(0x0202, 4, 1, struct.pack(order + "I", 100)),
        ],
        8,
        order,
    )
    whole = bytearray((first + second).ljust(8 + 4000, b"x") + moved)
    link = 8 + 4000 + 2 + 12 * len(fields)
    whole[link : link + 4] = struct.pack(order + "I", 8)
    upright = exif.upright(bytes(whole))
    assert upright[link : link + 4] == bytes(4)  # unlinked; the bytes before the fields are not trusted
    assert values_of(upright) == values_of(exif_block())


@given(st.binary(max_size=300), st.sampled_from([b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b""]))
def test_no_bytes_can_break_the_exif_reader(junk: bytes, head: bytes) -> None:
    block = head + junk
    exif.orientation(block)
    exif.resized(exif.upright(block), 100, 100)


@given(st.integers(0, 400), st.integers(0, 255), st.sampled_from(["<", ">"]))
def test_no_flipped_byte_can_break_the_exif_reader(at: int, value: int, order: str) -> None:
    block = bytearray(exif_block(6, order))
    block[at % len(block)] = value
    exif.orientation(bytes(block))
    upright = exif.upright(bytes(block))
    assert len(upright) <= len(block)
    assert len(exif.resized(upright, 100, 100)) == len(upright)


@pytest.mark.parametrize(
    ("profile", "space", "linear"),
    [
        (icc_profile(), "RGB", False),
        (icc_profile(gamma=1.0), "RGB", True),
        (icc_profile(b"GRAY", 1.0), "L", True),
        (icc_profile(b"GRAY", 1.8), "L", False),
        (b"", None, False),
        (b"junk" * 100, None, False),
        (icc_profile()[:200], "RGB", False),
    ],
)
def test_what_is_known_of_a_profile(profile: bytes, space: str | None, linear: bool) -> None:
    assert icc.space(profile) == space
    assert icc.is_linear(profile) == linear


def test_curves_of_every_kind() -> None:
    def profile(curve: bytes) -> bytes:
        table = struct.pack(">I", 1) + b"gTRC" + struct.pack(">II", 144, len(curve))
        return b"\0" * 16 + b"RGB " + b"\0" * 16 + b"acsp" + b"\0" * 88 + table + curve

    def s15(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)

    srgb = s15(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    table = np.round(np.linspace(0, 1, 1024) ** 2.2 * 65_535).astype(">u2").tobytes()
    assert icc.is_linear(profile(b"curv\0\0\0\0\0\0\0\0"))
    assert not icc.is_linear(profile(b"curv\0\0\0\0" + struct.pack(">I", 1024) + table))
    assert not icc.is_linear(profile(b"para\0\0\0\0\0\3\0\0" + srgb))
    assert icc.is_linear(profile(b"para\0\0\0\0\0\0\0\0" + s15(1.0)))
    assert not icc.is_linear(profile(b"para\0\0\0\0\0\1\0\0" + s15(2.2, 1, 0)))
    assert not icc.is_linear(profile(b"para\0\0\0\0\0\4\0\0" + srgb + s15(0, 0)))
    assert not icc.is_linear(profile(b"para\0\0\0\0\0\x09\0\0" + srgb))


def test_srgb_from_any_tool_is_known() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert icc.is_srgb(profile)
    assert not icc.is_srgb(icc_profile())


def test_text_and_colour_chunks_of_a_png_stay(tmp_path: Path) -> None:
    from upscale_cli.media.image.codecs.png_chunks import chunk

    data = encoded(frame_of(), "PNG")
    kept = (
        chunk(b"gAMA", struct.pack(">I", 45_455)) + chunk(b"tEXt", b"parameters\0steps: 20") + chunk(b"cHRM", bytes(32))
    )
    info, frames = read(data[:33] + kept + data[33:])
    with ImageWriter(tmp_path / "a.png", format="PNG", info=info) as writer:
        writer.write(frames[0])
    written = (tmp_path / "a.png").read_bytes()
    assert kept in written
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        assert image.info["parameters"] == "steps: 20"


def test_metadata_too_long_for_jpeg_are_left_out_and_said(tmp_path: Path) -> None:
    reported: list[str] = []
    big = exif.block_of([exif.Field(0x010E, 2, 70_000, b"x" * 69_999 + b"\0")], "<")
    metadata = Metadata(exif=big, xmp=XMP + b" " * 70_000, icc=icc_profile() + bytes(200_000))
    path = write(tmp_path / "a.jpg", frame_of(), "JPEG", metadata=metadata, reported=reported)
    assert len(reported) == 2
    found = read(path)[0].metadata
    assert (found.exif, found.xmp) == (None, None)
    assert found.icc == metadata.icc


def test_a_gray_profile_goes_where_gray_goes(tmp_path: Path) -> None:
    metadata = Metadata(icc=icc_profile(b"GRAY", 1.0))
    gray = frame_of("L")
    assert read(write(tmp_path / "a.tif", gray, "TIFF", metadata=metadata))[0].metadata.icc == metadata.icc
    reported: list[str] = []
    info, (back,) = read(write(tmp_path / "a.webp", gray, "WebP", metadata=metadata, reported=reported))
    assert info.metadata.icc is None
    assert len(reported) == 1
    middle = back.pixels[np.isclose(gray.pixels[..., 0], 55, atol=1)]
    np.testing.assert_allclose(middle.mean(), 128, atol=3)  # 0.216 of the light is middle gray in sRGB


def test_pages_keep_their_own_metadata(tmp_path: Path) -> None:
    pages = tuple(
        upright_metadata(exif=exif_block(), icc=icc_profile(gamma=g), dpi=(d, d))[0] for g, d in ((1.8, 72), (2.4, 600))
    )
    frame = frame_of()
    info = info_of(frame, "TIFF", 2, metadata=pages[0], pages=pages)
    with ImageWriter(tmp_path / "a.tif", format="TIFF", info=info) as writer:
        writer.write(frame)
        writer.write(Frame(frame.pixels.repeat(2, 0), "RGB"))
    found = read(tmp_path / "a.tif")[0].pages
    assert [page.icc for page in found] == [page.icc for page in pages]
    assert [page.dpi for page in found] == [(72, 72), (600, 600)]
    assert [values_of(page.exif or b"").get(exif.EXIF_IFD) is not None for page in found] == [True, True]
