"""Headers that are wrong, and pictures with more in them than is read: one line each, never a wrong picture."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.pictures import exif_block, frame_of, read, write
from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame
from upscale_cli.media.image.codecs.jxl_header import read_header
from upscale_cli.media.image.codecs.png_chunks import chunk
from upscale_cli.media.image.xmp import _without_thumbnails as without_thumbnails

HEADER = struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 0)
ROWS = zlib.compress((b"\0" + bytes(12)) * 3)


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, data) for kind, data in chunks)


def frame_control(width: int, left: int) -> bytes:
    return struct.pack(">IIIIIHHBB", 0, width, 3, left, 0, 1, 10, 0, 0)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"P5 2 2 70000\n" + bytes(8), "white is 70000"),
        (b"P5 2 2 0\n" + bytes(8), "white is 0"),
        (b"P6 2 x 255\n" + bytes(12), "no Netpbm header"),
        (b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 5\nMAXVAL 255\nENDHDR\n" + bytes(20), "PAM with 5 channels"),
        (b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 70000\nENDHDR\n" + bytes(12), "up to 70000"),
        (b"P7\nWIDTH 2\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + bytes(12), "no PAM header"),
        (png((b"IDAT", ROWS), (b"IEND", b"")), "begins with its header"),
        (png((b"IHDR", HEADER[:-1]), (b"IDAT", ROWS)), "begins with its header"),
        (png((b"IHDR", HEADER[:9] + b"\5" + HEADER[10:]), (b"IDAT", ROWS)), "a coding that does not exist"),
        (png((b"IHDR", HEADER[:10] + b"\1" + HEADER[11:]), (b"IDAT", ROWS)), "a coding that does not exist"),
        (png((b"IHDR", HEADER), (b"fcTL", frame_control(5, 0)), (b"IDAT", ROWS)), "lies outside of the picture"),
        (png((b"IHDR", HEADER), (b"fcTL", frame_control(2, 3)), (b"IDAT", ROWS)), "lies outside of the picture"),
        (png((b"IHDR", HEADER), (b"fcTL", frame_control(0, 0)), (b"IDAT", ROWS)), "lies outside of the picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "XML or SVG"),
        (b"<!DOCTYPE html><title>x</title>", "web page"),
        (struct.pack(">I", 24) + b"ftypcrx " + bytes(16), "RAW"),
    ],
)
def test_what_its_header_rules_out_is_one_line(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        read(data)
    assert "\n" not in str(refused.value)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder, not a picture"):
        read(tmp_path)


@pytest.mark.parametrize("keyword", [b"Raw profile type exif", b"Raw profile type APP1"])
def test_exif_that_imagemagick_put_into_a_text_is_exif(keyword: bytes) -> None:
    exif = b"Exif\0\0" + exif_block(6)

    def with_text(text: bytes) -> bytes:
        profile = (b"zTXt", keyword + b"\0\0" + zlib.compress(text))
        return png((b"IHDR", HEADER), profile, (b"IDAT", ROWS), (b"IEND", b""))

    info, (frame,) = read(with_text(b"\nexif\n%8d\n%s\n" % (len(exif), exif.hex().encode())))
    assert (frame.height, frame.width) == (4, 3), "it is turned"
    assert b"Acme" in (info.metadata.exif or b"")
    for damaged in (b"no digits", b"\nexif\n 4\nzz"):
        info, (frame,) = read(with_text(damaged))
        assert (frame.height, info.metadata.exif) == (3, None)


@pytest.mark.parametrize(
    ("coding", "name"), [("jpeg", "a JPEG of 12 bits"), ("ljpeg", "a lossless JPEG"), ("jpegls", "JPEG-LS")]
)
def test_a_jpeg_of_a_rare_coding_is_not_called_damaged(coding: str, name: str) -> None:
    gray = np.arange(24 * 24, dtype=np.uint16).reshape(24, 24)
    data = getattr(imagecodecs, f"{coding}_encode")(gray, **({"bitspersample": 12} if coding == "jpeg" else {}))
    with pytest.raises(InputError, match=f"{name}, which is not read. Convert it to 16-bit PNG or TIFF"):
        read(data)


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
def test_signed_samples_of_a_tiff_are_shifted_while_they_are_upscaled(dtype: type, tmp_path: Path) -> None:
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    tifffile.imwrite(tmp_path / "a.tif", np.array([[low, -1, 0, high]], dtype), photometric="minisblack")
    _, (frame,) = read(tmp_path / "a.tif")
    white = np.iinfo(frame.pixels.dtype).max
    assert frame.pixels.ravel().tolist() == [0, white // 2, white // 2 + 1, white]


def test_signed_samples_of_jpeg_2000_are_refused() -> None:
    data = imagecodecs.jpeg2k_encode(np.arange(-32, 32, dtype=np.int16).reshape(8, 8), level=0, codecformat="j2k")
    with pytest.raises(InputError, match="signed samples"):
        read(bytes(data))


def test_many_channels_in_jpeg_2000_are_refused_as_such() -> None:
    data = bytes(imagecodecs.jpeg2k_encode(np.zeros((8, 8, 6), np.uint16), level=0))
    with pytest.raises(InputError, match=r"6 channels in JPEG 2000 are not read\. Convert it to TIFF"):
        read(data)


def test_further_pictures_in_a_jpeg_are_left_out_and_said() -> None:
    pictures = [Image.fromarray(frame_of("RGB", seed=seed).pixels) for seed in range(2)]
    stream = io.BytesIO()
    pictures[0].save(stream, "MPO", save_all=True, append_images=pictures[1:])
    reported: list[str] = []
    info, frames = read(stream.getvalue(), say=reported.append)
    assert (info.format, info.frames, len(frames)) == ("JPEG", 1, 1)
    assert len(reported) == 1
    assert "further pictures" in reported[0]


def test_of_several_heic_pictures_the_primary_one_is_taken(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="the extra [heif] is not installed")
    made = pillow_heif.HeifFile()
    for height in (32, 64):
        frame = frame_of("RGB", height=height, width=48)
        made.add_frombytes("RGB", (48, height), frame.pixels.tobytes())
    made.save(tmp_path / "a.heic", quality=90, primary_index=1)
    reported: list[str] = []
    _, (frame,) = read(tmp_path / "a.heic", say=reported.append)
    assert frame.height == 64
    assert any("holds 2 pictures" in text for text in reported)


def test_thumbnails_in_xmp_are_left_out() -> None:
    inner = b"<xmp:Thumbnails><rdf:Alt><rdf:li>AAAA</rdf:li></rdf:Alt></xmp:Thumbnails>"
    for before, between, after in ((b"<a>", b"<b/>", b"</a>"), (b"", b"", b"")):
        packet = before + inner + between + inner + after
        assert without_thumbnails(packet) == before + between + after
    open_ended = b"<a><xmp:Thumbnails><rdf:Alt>"
    assert without_thumbnails(open_ended) == open_ended


# JPEG XL


class Bits:
    """Writes a header bit by bit, as the standard's section B has it."""

    def __init__(self) -> None:
        self._value, self._length = 0, 0

    def u(self, value: int, count: int) -> "Bits":
        self._value |= value << self._length
        self._length += count
        return self

    def bytes(self) -> bytes:
        return b"\xff\x0a" + self._value.to_bytes(self._length // 8 + 64, "little")


def small(bits: Bits, height: int, width: int) -> Bits:
    """A size that is a multiple of 8."""
    return bits.u(1, 1).u(height // 8 - 1, 5).u(0, 3).u(width // 8 - 1, 5)


@pytest.mark.parametrize("has_size", [False, True])
@pytest.mark.parametrize("preview", ["none", "small", "square", "large"])
@pytest.mark.parametrize("is_animated", [False, True])
def test_what_may_stand_in_a_jpeg_xl_header_is_read_over(has_size: bool, preview: str, is_animated: bool) -> None:
    bits = small(Bits(), 24, 40).u(0, 1).u(1, 1).u(5, 3)  # not all by default; more fields; orientation 6
    bits.u(has_size, 1)
    if has_size:
        small(bits, 8, 256)
    bits.u(preview != "none", 1)
    match preview:
        case "small":
            bits.u(1, 1).u(2, 2).u(9, 5).u(0, 3).u(0, 2)  # 8 * 10 high, 8 * 16 wide
        case "square":
            bits.u(1, 1).u(1, 2).u(1, 3)
        case "large":
            bits.u(0, 1).u(1, 2).u(100, 8).u(0, 3).u(3, 2).u(999, 12)
    bits.u(is_animated, 1)
    if is_animated:
        bits.u(2, 2).u(23, 10).u(0, 2).u(1, 2).u(4, 3).u(1, 1)  # 24 per second, four times, with timecodes
    bits.u(0, 1).u(2, 2)  # 12 bits, integers
    bits.u(1, 1).u(1, 2).u(1, 1)  # 16-bit buffers; one extra channel; alpha by default
    bits.u(0, 1).u(1, 1)  # no XYB; colours by default
    header = read_header(bits.bytes())
    assert (header.height, header.width, header.orientation, header.animated) == (24, 40, 6, is_animated)
    assert (header.bits, header.is_float, header.alpha, header.extra_channels, header.xyb) == (
        12,
        False,
        True,
        1,
        False,
    )


def test_a_jpeg_xl_header_that_is_cut_off_is_refused() -> None:
    with pytest.raises(InputError, match="cut off"):
        read_header(b"\xff\x0a\x01")


def test_of_a_jpeg_xl_animation_the_first_frame_is_taken_and_that_is_said() -> None:
    frames = np.stack([frame_of("RGB", seed=seed).pixels for seed in range(3)])
    reported: list[str] = []
    info, (frame,) = read(bytes(imagecodecs.jpegxl_encode(frames, lossless=True)), say=reported.append)
    np.testing.assert_array_equal(frame.pixels, frames[0])
    assert (info.frames, info.animated) == (1, False)
    assert any("animations are not read" in text for text in reported)


# Values that make no sense


@pytest.mark.parametrize(
    ("pixels", "layout", "says"),
    [
        (np.zeros((2, 2, 4), np.uint8), "RGB", "shape"),
        (np.zeros((2, 2), np.uint8), "L", "shape"),
        (np.zeros((2, 2, 1), np.float64), "L", "float64"),
        (np.zeros((2, 2, 1), np.int16), "L", "int16"),
    ],
)
def test_a_frame_is_what_it_says(pixels: Any, layout: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Frame(pixels, layout)


def test_quality_without_effect_is_said(tmp_path: Path) -> None:
    reported: list[str] = []
    write(tmp_path / "a.png", frame_of(), "PNG", quality=50, reported=reported)
    assert len(reported) == 1
    assert "no effect on PNG" in reported[0]
