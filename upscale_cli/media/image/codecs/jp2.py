"""JPEG 2000: boxes and codestream header read here, pixels by Pillow (8 bits) or imagecodecs (more).

OpenImageIO (3.2.2) does less: it drops EXIF, XMP and resolution, refuses gray with alpha, and fills 12 bits up to 16 by
repeating bits, which is off by one in a quarter of the levels.

Source: ISO/IEC 15444-1, annexes A (SIZ marker) and I (JP2 boxes); the UUIDs for EXIF and XMP are Adobe's and JP2's own.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Layout, Transfer
from upscale_cli.frames.pixels import stretched, upright_pixels
from upscale_cli.media.image import icc
from upscale_cli.media.image.codecs.boxes import box, boxes_of
from upscale_cli.media.image.codecs.pillow_reader import pixels_of, plan
from upscale_cli.media.image.encoder import Encoder
from upscale_cli.media.image.metadata import Metadata, PhotoInfo, upright_metadata
from upscale_cli.media.image.source import Picture, Source, calm_pillow, decoding, stream_of

_CODESTREAM = b"\xff\x4f\xff\x51"
_EXIF_UUID = b"JpgTiffExif->JP2"
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_CMYK_SPACE, _SRGB_SPACE, _GRAY_SPACE = 12, 16, 17
_METRES_PER_INCH = 0.0254
_MOST_CHANNELS = 4
RAW_SUFFIXES = (".j2k", ".j2c", ".jpc")


@dataclass(slots=True)
class Header:
    """What boxes and SIZ marker declare."""

    width: int = 0
    height: int = 0
    channels: int = 0
    bits: int = 8
    signed: bool = False
    cmyk: bool = False
    palette: bool = False
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


def open_jp2(source: Source) -> Picture:
    """A JP2 file or a codestream without boxes.

    Raises:
        InputError: damaged, too large, or signed samples.
    """
    with decoding(source):
        data = source.read_all()
        header = _header(data)
        source.check_size(header.width, header.height)
        if header.signed:
            raise InputError(f"{source.name}: signed samples in JPEG 2000 are not read. Convert it to TIFF first.")
        if header.channels > _MOST_CHANNELS:
            raise InputError(
                f"{source.name}: {header.channels} channels in JPEG 2000 are not read. "
                "Convert it to TIFF first, which may have as many."
            )
        metadata, orientation = upright_metadata(icc=header.icc, exif=header.exif, xmp=header.xmp, dpi=header.dpi)
        width, height = (header.width, header.height) if orientation < 5 else (header.height, header.width)
        info = PhotoInfo(
            name=source.name,
            format="JPEG 2000",
            width=width,
            height=height,
            layout=_layout(header),
            bits=8 if header.bits <= 8 else 16,
            metadata=metadata,
            lossless=True,
            total_pixels=width * height,
        )
    return Picture(info, lambda: _frames(source, data, header, info, orientation))


def _layout(header: Header) -> Layout:
    if header.palette:
        return "RGB"
    if header.cmyk and header.channels >= 4:
        return "CMYK"
    return cast(Layout, {1: "L", 2: "LA", 3: "RGB"}.get(header.channels, "RGBA"))


def _header(data: bytes) -> Header:
    header = Header()
    codestream = data if data.startswith(_CODESTREAM) else b""
    if not codestream:
        for kind, content in boxes_of(data):
            if kind == b"jp2h":
                _read_jp2h(header, content)
            elif kind == b"jp2c" and not codestream:
                codestream = content
            elif kind == b"uuid" and content.startswith(_EXIF_UUID):
                header.exif = content[16:]
            elif kind == b"uuid" and content.startswith(_XMP_UUID):
                header.xmp = content[16:]
    if not codestream.startswith(_CODESTREAM) or len(codestream) < 45:
        raise InputError("no JPEG 2000 codestream in it")
    right, bottom, left, top = struct.unpack_from(">IIII", codestream, 8)
    (header.channels,) = struct.unpack_from(">H", codestream, 40)
    header.width, header.height = right - left, bottom - top
    header.bits = (codestream[42] & 0x7F) + 1
    header.signed = codestream[42] & 0x80 != 0
    return header


def _read_jp2h(header: Header, content: bytes) -> None:
    for kind, inner in boxes_of(content):
        if kind == b"colr" and inner[:1] == b"\2":
            header.icc = inner[3:]
        elif kind == b"colr" and inner[:1] == b"\1" and len(inner) >= 7:
            header.cmyk = int.from_bytes(inner[3:7], "big") == _CMYK_SPACE
        elif kind == b"pclr":
            header.palette = True
        elif kind == b"res ":
            for name, numbers in boxes_of(inner):
                if name in (b"resc", b"resd") and len(numbers) == 10 and header.dpi is None:
                    up, up_by, across, across_by, up_power, across_power = struct.unpack(">HHHHbb", numbers)
                    if up_by and across_by:
                        down_dpi = up / up_by * 10.0**up_power * _METRES_PER_INCH
                        header.dpi = across / across_by * 10.0**across_power * _METRES_PER_INCH, down_dpi


def _frames(source: Source, data: bytes, header: Header, info: PhotoInfo, orientation: int) -> Iterator[Frame]:
    transfer: Transfer = "linear" if info.layout != "CMYK" and icc.is_linear(info.metadata.icc) else "display"
    with decoding(source):
        if header.bits <= 8:
            from PIL import Image

            with calm_pillow(), Image.open(stream_of(data), formats=("JPEG2000",)) as image:
                image.load()
                layout, dtype, convert = plan(image, animated=False)
                pixels: Any = pixels_of(image, len(layout), dtype, convert, orientation)
        else:
            import imagecodecs

            layout = info.layout
            stored = imagecodecs.jpeg2k_decode(_without_profile(data, header) if header.icc else data)
            stored = stored[..., None] if stored.ndim == 2 else stored
            if stored.dtype != np.uint16:
                raise InputError(f"samples of type {stored.dtype} are not read")
            pixels = upright_pixels(stretched(stored[..., : len(layout)], 2**header.bits - 1, header.bits), orientation)
        frame = Frame(pixels, layout, transfer)
    yield frame


def _without_profile(data: bytes, header: Header) -> bytes:
    """The file as if it were in sRGB: imagecodecs converts colours to that by a profile that it finds."""
    untagged = _enumerated(_GRAY_SPACE if header.channels < 3 else _SRGB_SPACE)
    result = []
    for kind, content in boxes_of(data):
        if kind == b"jp2h":
            inner = [(name, old) for name, old in boxes_of(content) if name != b"colr" or old[:1] != b"\2"]
            if all(name != b"colr" for name, _ in inner):
                inner.insert(1, (b"colr", untagged))
            content = b"".join(box(name, old) for name, old in inner)
        result.append(box(kind, content))
    return b"".join(result)


class Jpeg2000(Encoder):
    """One picture, always lossless (reversible 5-3 wavelet); a codestream without boxes where the name asks for one."""

    def add(self, frame: Frame, metadata: Metadata) -> None:
        import imagecodecs

        raw = self.job.suffix in RAW_SUFFIXES
        pixels = np.ascontiguousarray(frame.pixels[..., 0] if frame.layout == "L" else frame.pixels)
        data = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k" if raw else "jp2")
        if not raw:
            data = _with_metadata(bytes(data), metadata)
        elif metadata != replace(Metadata(), white=metadata.white):
            self.job.notes("a raw JPEG 2000 codestream holds no metadata: left out (.jp2 keeps them)")
        self.job.stream.write(data)


def _with_metadata(data: bytes, metadata: Metadata) -> bytes:
    """The JP2 file with profile and resolution in its header, and EXIF and XMP behind its codestream."""
    result = []
    for kind, content in boxes_of(data):
        if kind == b"jp2h":
            inner = [(name, _colour(metadata.icc) if name == b"colr" else old) for name, old in boxes_of(content)]
            if metadata.icc is None:
                inner = list(boxes_of(content))
            if metadata.dpi:
                inner.append((b"res ", box(b"resc", _resolution(metadata.dpi))))
            content = b"".join(box(name, new) for name, new in inner)
        result.append(box(kind, content))
    if metadata.exif:
        result.append(box(b"uuid", _EXIF_UUID + metadata.exif))
    if metadata.xmp:
        result.append(box(b"uuid", _XMP_UUID + metadata.xmp))
    return b"".join(result)


def _colour(profile: bytes | None) -> bytes:
    return b"\2\0\0" + (profile or b"")


def _enumerated(space: int) -> bytes:
    return b"\1\0\0" + struct.pack(">I", space)


def _resolution(dpi: tuple[float, float]) -> bytes:
    """Vertical, then horizontal samples per metre: numerator over 100, and a power of ten."""

    def parts(side: float) -> tuple[int, int]:
        value, power = side / _METRES_PER_INCH, 0
        while value * 100 >= 65_535:
            value, power = value / 10, power + 1
        return max(round(value * 100), 1), power

    (across, across_power), (down, down_power) = parts(dpi[0]), parts(dpi[1])
    return struct.pack(">HHHHbb", down, 100, across, 100, down_power, across_power)
