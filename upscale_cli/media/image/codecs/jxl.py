"""JPEG XL through imagecodecs (libjxl), with the header and the metadata boxes read here.

imagecodecs gives pixels and nothing else: no profile and no EXIF, in or out. Size, depth, channels, orientation and
colour space are read from the codestream's header, before anything is decoded; EXIF and XMP from their boxes. An ICC
profile is entropy-coded and stays out of reach: it is said, and on writing colours are converted to sRGB first.

Source: ISO/IEC 18181-1:2024, annexes B and D (headers); 18181-2 (container).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Layout, Transfer
from upscale_cli.frames.pixels import from_float, stretched, to_8_bits, unpremultiplied
from upscale_cli.media.image.codecs.boxes import box, boxes_of
from upscale_cli.media.image.encoder import Encoder
from upscale_cli.media.image.metadata import Bits, Metadata, PhotoInfo, upright_metadata
from upscale_cli.media.image.source import Picture, Source, decoding

_CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_CODESTREAM = b"\xff\x0a"
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_ALPHA = 0
_GRAY = 1
_SRGB_PRIMARIES, _CUSTOM = 1, 2
_LINEAR, _SRGB_CURVE, _BT709_CURVE = 8, 13, 1
_EFFORT = 5
_MAX_BOX = 2**24


class _Bits:
    """Bits of a codestream, lowest first; U32 and Enum as the standard's section B defines them."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._length = 8 * len(data)
        self.position = 0

    def u(self, count: int) -> int:
        if self.position + count > self._length:
            raise InputError("the JPEG XL header is cut off")
        value = self._value >> self.position & (1 << count) - 1
        self.position += count
        return value

    def flag(self) -> bool:
        return self.u(1) == 1

    def choice(self, *choices: int | tuple[int, int]) -> int:
        """U32: two bits choose a constant, or (offset, bits)."""
        chosen = choices[self.u(2)]
        return chosen if isinstance(chosen, int) else chosen[0] + self.u(chosen[1])

    def enum(self) -> int:
        return self.choice(0, 1, (2, 4), (18, 6))


@dataclass(slots=True)
class Header:
    """SizeHeader and ImageMetadata, as far as they matter here; defaults are the standard's.

    `curve` is the transfer function's number, or minus its gamma; `curve_at` is the bit of the codestream where that
    number begins.
    """

    width: int
    height: int
    orientation: int = 1
    animated: bool = False
    bits: int = 8
    is_float: bool = False
    gray: bool = False
    alpha: bool = False
    premultiplied: bool = False
    xyb: bool = True
    has_icc: bool = False
    primaries: int = _SRGB_PRIMARIES
    curve: int = _SRGB_CURVE
    curve_at: int | None = None


def read_header(codestream: bytes) -> Header:
    """The header of a codestream that begins with FF 0A."""
    bits = _Bits(codestream[2:4098])
    header = Header(*_size(bits))
    if bits.flag():  # everything has its default
        return header
    if bits.flag():
        header.orientation = 1 + bits.u(3)
        if bits.flag():
            _size(bits)  # intrinsic size: how large to show it
        if bits.flag():
            _skip_preview(bits)
        if bits.flag():
            header.animated = True
            _skip_animation(bits)
    header.bits, header.is_float = _depth(bits)
    bits.flag()  # whether 16-bit buffers suffice
    for _ in range(bits.choice(0, 1, (2, 4), (1, 12))):
        is_alpha, premultiplied = _extra_channel(bits)
        header.alpha = header.alpha or is_alpha
        header.premultiplied = header.premultiplied or premultiplied
    header.xyb = bits.flag()
    _colour(bits, header)
    return header


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()

    def side() -> int:
        return 8 * (1 + bits.u(5)) if small else 1 + bits.choice((0, 9), (0, 13), (0, 18), (0, 30))

    height = side()
    ratio = bits.u(3)
    if ratio == 0:
        return side(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _skip_preview(bits: _Bits) -> None:
    small = bits.flag()

    def side() -> int:
        return bits.choice(16, 32, (1, 5), (33, 9)) if small else bits.choice((1, 6), (65, 8), (321, 10), (1345, 12))

    side()
    if bits.u(3) == 0:
        side()


def _skip_animation(bits: _Bits) -> None:
    bits.choice(100, 1000, (1, 10), (1, 30))
    bits.choice(1, 1001, (1, 8), (1, 10))
    bits.choice(0, (0, 3), (0, 16), (0, 32))
    bits.flag()


def _depth(bits: _Bits) -> tuple[int, bool]:
    if not bits.flag():
        return bits.choice(8, 10, 12, (1, 6)), False
    depth = bits.choice(32, 16, 24, (1, 6))
    bits.u(4)
    return depth, True


def _extra_channel(bits: _Bits) -> tuple[bool, bool]:
    """Whether a channel beside the colours is alpha, and whether colours were multiplied by it."""
    if bits.flag():
        return True, False
    kind = bits.enum()
    _depth(bits)
    bits.choice(0, 3, 4, (1, 3))
    for _ in range(bits.choice(0, (0, 4), (16, 5), (48, 10))):
        bits.u(8)
    premultiplied = kind == _ALPHA and bits.flag()
    if kind == 2:  # spot colour
        bits.u(64)
    elif kind == 5:  # colour filter array
        bits.choice(1, (0, 2), (3, 4), (19, 8))
    return kind == _ALPHA, premultiplied


def _colour(bits: _Bits, header: Header) -> None:
    if bits.flag():
        return
    header.has_icc = bits.flag()
    space = bits.enum()
    header.gray = space == _GRAY
    if header.has_icc or space > _GRAY:
        return

    def point() -> None:
        for _ in "xy":
            bits.choice((0, 19), (524_288, 19), (1_048_576, 20), (2_097_152, 21))

    if bits.enum() == _CUSTOM:
        point()
    if not header.gray:
        header.primaries = bits.enum()
        if header.primaries == _CUSTOM:
            for _ in "rgb":
                point()
    if bits.flag():
        header.curve = -bits.u(24)
    else:
        header.curve_at = 16 + bits.position
        header.curve = bits.enum()


def open_jxl(source: Source) -> Picture:
    """A JPEG XL still, or the first frame of an animation.

    Raises:
        InputError: damaged or too large.
    """
    with decoding(source):
        data = source.read_all()
        codestream, exif, xmp = _parts(data)
        header = read_header(codestream)
        source.check_size(header.width, header.height)
        # libjxl turns the pixels by the codestream's own word; what EXIF notes is the camera's, and done with.
        metadata, _ = upright_metadata(exif=exif, xmp=xmp, turned_already=True)
        _say_what_is_lost(source, header)
        width, height = (header.width, header.height) if header.orientation < 5 else (header.height, header.width)
        layout = cast(Layout, ("L" if header.gray else "RGB") + ("A" if header.alpha else ""))
        bits: Bits = 32 if header.is_float else 8 if header.bits <= 8 else 16
        info = PhotoInfo(
            name=source.name,
            format="JPEG XL",
            width=width,
            height=height,
            layout=layout,
            bits=bits,
            metadata=metadata,
            lossless=not header.xyb,
            total_pixels=width * height,
        )
    return Picture(info, lambda: _frames(source, data, header, info))


def _say_what_is_lost(source: Source, header: Header) -> None:
    if header.animated:
        source.say(f"{source.name}: JPEG XL animations are not read, only their first frame")
    if header.has_icc and not header.xyb:
        source.say(f"{source.name}: the ICC profile in a JPEG XL cannot be read, colours are taken as sRGB")
    elif header.primaries != _SRGB_PRIMARIES or (
        header.curve > 0 and header.curve not in (_LINEAR, _SRGB_CURVE, _BT709_CURVE)
    ):
        source.say(f"{source.name}: the JPEG XL's wide-gamut or HDR colour space is not kept, taken as sRGB")


def _parts(data: bytes) -> tuple[bytes, bytes | None, bytes | None]:
    """The beginning of the codestream, EXIF and XMP."""
    if not data.startswith(_CONTAINER):
        return data, None, None
    codestream, exif, xmp = b"", None, None
    for kind, content in boxes_of(data):
        if kind == b"brob" and len(content) < _MAX_BOX:
            kind, content = content[:4], _unpacked(content[4:])
        if kind == b"jxlc":
            codestream = content
        elif kind == b"jxlp" and len(codestream) < 4096:
            codestream += content[4:]
        elif kind == b"Exif":
            exif = content[4 + int.from_bytes(content[:4], "big") :]
        elif kind == b"xml ":
            xmp = content
    if not codestream.startswith(_CODESTREAM):
        raise InputError("the JPEG XL container holds no picture")
    return codestream, exif, xmp


def _unpacked(content: bytes) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.brotli_decode(content, out=_MAX_BOX))


def _frames(source: Source, data: bytes, header: Header, info: PhotoInfo) -> Iterator[Frame]:
    with decoding(source):
        import imagecodecs

        pixels = imagecodecs.jpegxl_decode(data, index=0)
        while pixels.ndim > 3:
            pixels = pixels[0]
        pixels = pixels[..., None] if pixels.ndim == 2 else pixels
        if pixels.shape[:2] != (info.height, info.width) or pixels.shape[2] < len(info.layout):
            raise InputError(f"pixels of shape {pixels.shape} are not what the header announced")
        pixels = np.ascontiguousarray(pixels[..., : len(info.layout)])
        if info.bits == 32:
            pixels = pixels.astype(np.float32, copy=False)
        elif header.bits not in (8, 16):
            pixels = stretched(pixels, 2**header.bits - 1, header.bits)
        if header.alpha and header.premultiplied:
            pixels = unpremultiplied(pixels)
        transfer: Transfer = "linear" if header.curve == _LINEAR else "display"
        frame = Frame(pixels, info.layout, transfer)
    yield frame


class JpegXl(Encoder):
    """One picture: lossless, or at the distance that libjxl sees in a JPEG of the same quality.

    imagecodecs declares every picture of more than 8 bits to be linear light. A lossless one can be set right, for its
    samples are stored as they are; a lossy one is coded by how bright it is meant to be, and has to have 8 bits.
    """

    def add(self, frame: Frame, metadata: Metadata) -> None:
        import imagecodecs

        job, pixels = self.job, frame.pixels
        deep = pixels.dtype != np.uint8
        lossless = job.lossless or (deep and job.quality is None)
        if deep and not lossless:
            job.notes("JPEG XL with a --quality below 100 is written with 8 bits")
            pixels, deep = to_8_bits(pixels) if pixels.dtype == np.uint16 else from_float(pixels, np.uint8), False
        options = {"lossless": True} if lossless else {"distance": distance_of(job.lossy_quality)}
        pixels = np.ascontiguousarray(pixels[..., 0] if frame.layout == "L" else pixels)
        data = imagecodecs.jpegxl_encode(pixels, effort=_EFFORT, usecontainer=True, **options)
        for kind, content in boxes_of(bytes(data)):
            if kind == b"jxlc" and deep and frame.transfer == "display":
                content = _declared_srgb(content)
            job.stream.write(box(kind, content))
        if metadata.exif:
            job.stream.write(box(b"Exif", bytes(4) + metadata.exif))
        if metadata.xmp:
            job.stream.write(box(b"xml ", metadata.xmp))


def _declared_srgb(codestream: bytes) -> bytes:
    """The codestream with sRGB's curve for linear light: both are the same number of bits, two and then four."""
    header = read_header(codestream)
    if header.curve != _LINEAR or header.curve_at is None:
        return codestream
    head = int.from_bytes(codestream[:4096], "little")
    head ^= ((_LINEAR - 2) ^ (_SRGB_CURVE - 2)) << header.curve_at + 2
    return head.to_bytes(len(codestream[:4096]), "little") + codestream[4096:]


def distance_of(quality: int) -> float:
    """Butteraugli distance that cjxl takes for a JPEG quality (its JxlEncoderDistanceFromQuality)."""
    if quality >= 100:
        return 0.0
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25
