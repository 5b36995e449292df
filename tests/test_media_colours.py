"""Colours keep their meaning from every way to declare them to every format."""

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.pictures import encoded, icc_profile, read, write
from upscale_cli.frames.image import Frame
from upscale_cli.media.image import colours, exif, icc
from upscale_cli.media.image.codecs import openimageio
from upscale_cli.media.image.codecs.jxl_header import codes_of, read_header
from upscale_cli.media.image.codecs.png_chunks import chunk
from upscale_cli.media.image.formats import FORMATS
from upscale_cli.media.image.reader_writer import ImageWriter

VALUES = (100, 150, 200)
SRGB = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
P3 = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
ADOBE = (0.3127, 0.3290, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
WIDE = (0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046)


def to_xyz(points: tuple[float, ...]) -> Any:
    """Matrix from linear RGB to XYZ with the white's Y = 1, as any textbook has it."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in zip(points[2::2], points[3::2], strict=True)]).T
    x, y = points[:2]
    return columns * np.linalg.solve(columns, [x / y, 1, (1 - x - y) / y])


def expected(points: tuple[float, ...], light: Callable[[Any], Any], values: tuple[int, ...] = VALUES) -> Any:
    """Values declared so, as sRGB's of 8 bits."""
    linear = np.linalg.inv(to_xyz(SRGB)) @ to_xyz(points) @ light(np.array(values) / 255)
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def within(points: tuple[float, ...], light: Callable[[Any], Any], levels: int) -> float:
    """How far a stored value that a lossy codec moves by so many levels moves the colour that is seen."""
    middle = expected(points, light)
    moved = [
        expected(points, light, tuple(VALUES + sign * levels * np.eye(3, dtype=int)[each]))
        for sign in (-1, 1)
        for each in range(3)
    ]
    return float(np.abs(np.array(moved) - middle).max())


def srgb_light(value: Any) -> Any:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def patch() -> Frame:
    return Frame(np.tile(np.array(VALUES, np.uint8), (16, 24, 1)), "RGB")


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    data = encoded(patch(), "PNG")
    return data[:33] + b"".join(chunk(kind, content) for kind, content in chunks) + data[33:]


def gama(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def chrm(points: tuple[float, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *(round(value * 100_000) for value in points))


def adobe_exif() -> bytes:
    index = (exif.Field(exif.INTEROP_INDEX, 2, 4, b"R03\0"),)
    inner = (
        exif.Field(exif.COLOUR_SPACE, 3, 1, struct.pack("<H", 0xFFFF)),
        exif.Field(exif.INTEROP_IFD, 4, 1, b"", children=index),
    )
    return b"Exif\0\0" + (exif.block_of([exif.Field(exif.EXIF_IFD, 4, 1, b"", children=inner)], "<") or b"")


def avif(primaries: int, transfer: int, bits: int = 8) -> bytes:
    imagecodecs = pytest.importorskip("imagecodecs")
    top = 2**bits - 1
    pixels = patch().pixels if bits == 8 else (patch().pixels.astype(np.uint32) * top // 255).astype(np.uint16)
    how: dict[str, Any] = {"pixelformat": "444", "matrix": 6, "bitspersample": bits}
    return bytes(imagecodecs.avif_encode(pixels, level=100, primaries=primaries, transfer=transfer, **how))


def heic(primaries: int, transfer: int) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    buffer = io.BytesIO()
    how = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 6}
    pillow_heif.encode("RGB", (24, 16), patch().pixels.tobytes(), buffer, quality=100, chroma=444, **how)
    return buffer.getvalue()


def jxl(primaries: int, transfer: int) -> bytes:
    data = openimageio.encode(patch().pixels, None, {"effort": 3, "distance": 0.0}, (primaries, transfer), None)
    assert data is not None
    return data


def gamma(exponent: float) -> Callable[[Any], Any]:
    return lambda value: value**exponent


WRITTEN = [row.name for row in FORMATS.values() if row.written and not row.only_own]
PROFILE = icc_profile(gamma=1.8)
SOURCES: dict[str, tuple[Callable[[], bytes], tuple[float, ...], Callable[[Any], Any]]] = {
    "PNG gAMA 1": (lambda: png(gama(1.0)), SRGB, gamma(1.0)),
    "PNG gAMA, cHRM": (lambda: png(gama(1 / 1.8), chrm(ADOBE)), ADOBE, gamma(1.8)),
    "PNG gAMA of sRGB": (lambda: png(gama(0.45455), chrm(SRGB)), SRGB, srgb_light),
    "PNG sRGB": (lambda: png((b"sRGB", b"\0"), gama(1.0)), SRGB, srgb_light),
    "PNG cICP": (lambda: png((b"cICP", bytes((12, 13, 0, 1)))), P3, srgb_light),
    "PNG cICP linear": (lambda: png((b"cICP", bytes((1, 8, 0, 1)))), SRGB, gamma(1.0)),
    "JPEG ICC": (lambda: encoded(patch(), "JPEG", icc_profile=PROFILE, quality=100), WIDE, gamma(1.8)),
    "WebP ICC": (lambda: encoded(patch(), "WEBP", icc_profile=PROFILE, lossless=True), WIDE, gamma(1.8)),
    "TIFF ICC": (lambda: encoded(patch(), "TIFF", icc_profile=PROFILE), WIDE, gamma(1.8)),
    "JPEG EXIF": (lambda: encoded(patch(), "JPEG", exif=adobe_exif(), quality=100), ADOBE, gamma(563 / 256)),
    "AVIF nclx": (lambda: avif(12, 13), P3, srgb_light),
    "AVIF nclx, 10 bits": (lambda: avif(9, 14, 10), WIDE, srgb_light),
    "AVIF linear": (lambda: avif(1, 8), SRGB, gamma(1.0)),
    "HEIC nclx": (lambda: heic(12, 13), P3, srgb_light),
    "JPEG XL": (lambda: jxl(12, 13), P3, srgb_light),
    "JPEG XL linear": (lambda: jxl(1, 8), SRGB, gamma(1.0)),
}


def resaved(data: bytes, path: Path, format: str) -> list[str]:
    said: list[str] = []
    info, frames = read(data, say=said.append)
    with ImageWriter(
        path, format=format, info=info, say=said.append, quality=FORMATS[format].quality and 100
    ) as writer:
        for frame in frames:
            writer.write(frame)
    return said


def shown(path: Path, format: str) -> Any:
    """The picture's colour as sRGB, as a reader with nothing of ours in it sees it: by its profile, or as it is."""
    data = path.read_bytes()
    profile = None
    if format == "JPEG XL":
        import imagecodecs

        pixels, profile = imagecodecs.jpegxl_decode(data), openimageio.profile_of(data)
        pixels = pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)
        image = Image.fromarray(pixels)
    elif format == "HEIC":
        import pillow_heif

        image = pillow_heif.open_heif(data).to_pillow()
        profile = image.info.get("icc_profile")
    elif format not in ("JPEG", "WebP", "AVIF", "BMP", "GIF", "TGA"):
        image, profile = eight_bits(data, FORMATS[format].light)
    else:
        with Image.open(path) as opened:
            image, profile = opened.convert("RGB"), opened.info.get("icc_profile")
    image = image.convert("RGB")
    if profile:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        relative = ImageCms.Intent.RELATIVE_COLORIMETRIC
        seen = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), renderingIntent=relative)
        assert seen is not None
        image = seen
    return np.asarray(image).reshape(-1, 3).mean(0)


def eight_bits(data: bytes, light: bool) -> tuple[Image.Image, bytes | None]:
    """A picture that may have more than 8 bits, or hold light, which Pillow would cut or refuse."""
    info, (frame,) = read(data)
    white = 1.0 if frame.pixels.dtype == np.float32 else float(np.iinfo(frame.pixels.dtype).max)
    values = np.clip(frame.pixels / white, 0, 1)
    if light:
        values = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    return Image.fromarray((255 * values).round().astype(np.uint8)), info.metadata.icc


@pytest.mark.slow
@pytest.mark.parametrize("target", WRITTEN)
@pytest.mark.parametrize("source", list(SOURCES))
def test_every_pair_of_formats_shows_the_same_colour(tmp_path: Path, source: str, target: str) -> None:
    if target == "HEIC":
        pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    make, points, light = SOURCES[source]
    path = tmp_path / f"a{FORMATS[target].extensions[0]}"
    said = resaved(make(), path, target)
    want = expected(points, light)
    lossy = any(name in f"{source} to {target} " for name in ("AVIF", "HEIC", "JPEG "))
    if (source.startswith("PNG") and target == "PNG") or (source, target) == ("JPEG EXIF", "JPEG"):
        written = path.read_bytes()  # the declaration itself, as it was
        assert all(kind in written for kind in (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"R03\0") if kind in make())
        want = np.array(VALUES, float)
    np.testing.assert_allclose(shown(path, target), want, atol=4 + within(points, light, 3 if lossy else 0))
    if not FORMATS[target].icc and np.abs(want - VALUES).max() > 3:
        assert any("sRGB" in text for text in said)


def test_eight_bit_linear_light_becomes_what_it_shows(tmp_path: Path) -> None:
    assert np.round(expected(SRGB, gamma(1.0))).tolist() == [168, 202, 229]
    said = resaved(png(gama(1.0)), tmp_path / "a.bmp", "BMP")
    with Image.open(tmp_path / "a.bmp") as image:
        assert image.getpixel((3, 3)) == (168, 202, 229)
    assert len(said) == 1
    for format in ("JPEG", "WebP", "TIFF"):
        assert resaved(png(gama(1.0)), tmp_path / f"a.{format}", format) == []
        with Image.open(tmp_path / f"a.{format}") as image:
            assert icc.is_linear(image.info["icc_profile"])


HDR: dict[str, Callable[[int], bytes]] = {
    "PNG": lambda transfer: png((b"cICP", bytes((9, transfer, 0, 1)))),
    "AVIF": lambda transfer: avif(9, transfer),
    "AVIF, 10 bits": lambda transfer: avif(9, transfer, 10),
    "HEIC": lambda transfer: heic(9, transfer),
    "JPEG XL": lambda transfer: jxl(9, transfer),
}


@pytest.mark.slow
@pytest.mark.parametrize("transfer", [16, 18])
@pytest.mark.parametrize("target", WRITTEN)
@pytest.mark.parametrize("source", list(HDR))
def test_pq_and_hlg_keep_their_tag_or_are_told(tmp_path: Path, source: str, target: str, transfer: int) -> None:
    if target == "HEIC":
        pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    path = tmp_path / f"a{FORMATS[target].extensions[0]}"
    said = resaved(HDR[source](transfer), path, target)
    named = [text for text in said if "HDR" in text and ("PQ" if transfer == 16 else "HLG") in text]
    assert len(named) == (target not in ("PNG", "AVIF", "HEIC", "JPEG XL"))
    data = path.read_bytes()
    if target == "PNG":
        assert b"cICP" + bytes((9, transfer, 0, 1)) in data
        assert b"iCCP" not in data
    elif target in ("AVIF", "HEIC"):
        assert b"colrnclx" + struct.pack(">HH", 9, transfer) in data
        assert b"colrprof" not in data
    elif target == "JPEG XL":
        at = data.index(b"\xff\x0a")
        assert codes_of(read_header(data[at:])) == (9, transfer)
    _, (frame,) = read(data)
    if frame.transfer == "display":
        top = 1 if frame.pixels.dtype == np.float32 else np.iinfo(frame.pixels.dtype).max
        np.testing.assert_allclose(frame.pixels[3, 3] / top, np.array(VALUES) / 255, atol=0.012)


def test_gray_in_linear_light_stays_what_it_shows(tmp_path: Path) -> None:
    data = encoded(Frame(np.full((16, 24, 1), 100, np.uint8), "L"), "PNG")
    data = data[:33] + chunk(*gama(1.0)) + data[33:]
    for format in ("JPEG", "TIFF", "BMP", "WebP", "JPEG XL", "PNM"):
        path = tmp_path / f"a{FORMATS[format].extensions[0]}"
        resaved(data, path, format)
        info, (frame,) = read(path.read_bytes())
        values = icc.to_srgb(frame.pixels, frame.layout, info.metadata.icc) if info.metadata.icc else frame.pixels
        np.testing.assert_allclose(values[3, 3], 168, atol=2)


def test_an_alpha_is_no_part_of_it(tmp_path: Path) -> None:
    pixels = np.concatenate([patch().pixels, np.full((16, 24, 1), 77, np.uint8)], axis=2)
    data = encoded(Frame(pixels, "RGBA"), "PNG")
    resaved(data[:33] + chunk(*gama(1.0)) + data[33:], tmp_path / "a.tga", "TGA")
    with Image.open(tmp_path / "a.tga") as image:
        assert image.getpixel((3, 3)) == (168, 202, 229, 77)


def test_what_declares_srgb_declares_nothing() -> None:
    assert colours.of_codes(1, 13) is None
    assert colours.of_codes(2, 2) is None
    assert colours.of_codes(1, 1) is None
    assert colours.of_numbers(None, 2.2) is None
    assert colours.of_numbers(SRGB, None) is None
    assert colours.of_numbers((0.0,) * 8, 2.2) is None
    assert colours.of_codes(12, 13) is not None
    assert colours.of_codes(1, 16) is not None


def test_a_profile_does_not_depend_on_the_time_of_day() -> None:
    profile = colours.Colours(12, 13).profile("RGB")
    assert profile is not None
    assert profile[24:36] == struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    assert icc.space(profile) == "RGB"
    assert colours.Colours(9, 16).profile("RGB") is None
    assert colours.Colours(10, 13).profile("RGB") is None


def test_colours_that_nobody_knows_are_told(tmp_path: Path) -> None:
    said = resaved(png((b"cICP", bytes((77, 13, 0, 1)))), tmp_path / "a.jpg", "JPEG")
    assert len(said) == 1
    assert "not known" in said[0]


def deep_heic(bits: int, value: int) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    buffer = io.BytesIO()
    pixels = np.full((16, 24, 3), value << (16 - bits), np.uint16)
    pillow_heif.encode("RGB;16", (24, 16), pixels.tobytes(), buffer, quality=100, chroma=444, bit_depth=bits)
    return buffer.getvalue()


def deep_avif(bits: int, value: int, channels: int = 3) -> bytes:
    imagecodecs = pytest.importorskip("imagecodecs")
    pixels = np.full((16, 24, channels), value, np.uint16)
    return bytes(imagecodecs.avif_encode(pixels, level=100, bitspersample=bits, pixelformat="444"))


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("make", [deep_heic, deep_avif])
def test_white_is_white_above_eight_bits(make: Callable[[int, int], bytes], bits: int) -> None:
    top = 2**bits - 1
    for value in (0, top // 2, top):
        said: list[str] = []
        info, (frame,) = read(make(bits, value), say=said.append)
        assert said == []
        assert (info.bits, info.sample_bits, frame.pixels.itemsize) == (16, bits, 2)
        np.testing.assert_allclose(frame.pixels, round(value * 65_535 / top), atol=1.5 * 65_535 / top)
    assert (frame.pixels == 65_535).all()


@pytest.mark.parametrize(("source", "target"), [("AVIF", "AVIF"), ("AVIF", "HEIC"), ("HEIC", "AVIF"), ("HEIC", "HEIC")])
@pytest.mark.parametrize("bits", [10, 12])
def test_ten_and_twelve_bits_stay(tmp_path: Path, bits: int, source: str, target: str) -> None:
    pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    make = deep_avif if source == "AVIF" else deep_heic
    path = tmp_path / f"a.{target.lower()}"
    assert resaved(make(bits, 2**bits - 1), path, target) == []
    assert b"pixi" + bytes((0, 0, 0, 0, 3, bits, bits, bits)) in path.read_bytes()
    info, (frame,) = read(path)
    assert info.sample_bits == bits
    assert (frame.pixels == 65_535).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_kind_of_deep_avif(channels: int) -> None:
    info, (frame,) = read(deep_avif(10, 1023, channels))
    assert info.layout == ("L" if channels < 3 else "RGB")  # an opaque alpha is none
    assert (frame.pixels == 65_535).all()


def test_metadata_of_a_deep_avif(tmp_path: Path) -> None:
    from tests.pictures import XMP, exif_block
    from upscale_cli.media.image.metadata import upright_metadata

    metadata, _ = upright_metadata(icc=icc_profile(), exif=exif_block(), xmp=XMP)
    pixels = np.random.default_rng(0).integers(0, 65_536, (24, 37, 4)).astype(np.uint16)
    said: list[str] = []
    path = write(tmp_path / "a.avif", Frame(pixels, "RGBA"), "AVIF", metadata=metadata, quality=100, reported=said)
    assert len(said) == 1
    assert "12 bits" in said[0]
    with Image.open(path) as image:  # libavif by another way
        assert image.info["icc_profile"] == metadata.icc
        assert image.getexif()[0x010F] == "Acme"
        assert b"upscale test" in image.info["xmp"]
        assert np.abs(np.asarray(image.convert("RGBA"), int) - (pixels // 257)).max() < 6
    info, (frame,) = read(path)
    assert (info.metadata.icc, info.sample_bits) == (metadata.icc, 12)
    assert np.abs(frame.pixels.astype(int) - pixels).max() < 65_535 * 6 / 4095


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_no_flipped_byte_breaks_the_reader_of_items(at: int) -> None:
    from upscale_cli.media.image.codecs.heif_items import primary_of

    data = bytearray(avif(12, 13))
    data[at % len(data)] ^= 0xFF
    primary_of(io.BytesIO(bytes(data)))


def test_a_plain_picture_gets_no_profile(tmp_path: Path) -> None:
    for format in ("JPEG", "WebP", "TIFF", "AVIF", "JPEG XL", "PNG"):
        path = tmp_path / f"a{FORMATS[format].extensions[0]}"
        assert resaved(encoded(patch(), "PNG"), path, format) == []
        assert read(path)[0].metadata.icc is None
        assert read(path)[0].metadata.colours is None
