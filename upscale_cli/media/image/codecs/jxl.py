"""JPEG XL, read: pixels by imagecodecs, profiles by OpenImageIO, header and metadata boxes here.

imagecodecs decodes every depth, and the first frame of an animation alone, but knows neither profiles nor boxes.
Both libraries are libjxl inside, and agree on the colour space of what they decode.

Source: ISO/IEC 18181-2:2024 (container); `jxl_header` for the codestream.
"""

from collections.abc import Iterator
from typing import cast

import numpy as np

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Layout, Transfer
from upscale_cli.frames.pixels import stretched, unpremultiplied
from upscale_cli.media.image import icc
from upscale_cli.media.image.codecs import openimageio
from upscale_cli.media.image.codecs.boxes import boxes_of
from upscale_cli.media.image.codecs.jxl_header import CODESTREAM, HEADER_BYTES, LINEAR, Header, codes_of, read_header
from upscale_cli.media.image.colours import of_codes
from upscale_cli.media.image.metadata import Bits, PhotoInfo, upright_metadata
from upscale_cli.media.image.source import Picture, Source, decoding

CONTAINER = b"\0\0\0\x0cJXL \r\n\x87\n"
_MAX_BOX = 2**24


def open_jxl(source: Source) -> Picture:
    """A JPEG XL still, or the first frame of an animation. One with a profile is decoded once for that alone.

    Raises:
        InputError: damaged or too large.
    """
    with decoding(source):
        data = source.read_all()
        codestream, exif, xmp = _parts(data)
        header = read_header(codestream)
        source.check_size(header.width, header.height)
        if header.animated:
            source.say(f"{source.name}: JPEG XL animations are not read, only their first frame")
        layout = cast(Layout, ("L" if header.gray else "RGB") + ("A" if header.alpha else ""))
        # libjxl turns the pixels as the codestream declares; what EXIF notes is the camera's, and no longer holds.
        codes = codes_of(header)
        metadata, _ = upright_metadata(
            icc=_profile(source, data, header, layout.removesuffix("A")),
            colours=of_codes(*codes) if codes else None,
            exif=exif,
            xmp=xmp,
            turned_already=True,
        )
        width, height = (header.width, header.height) if header.orientation < 5 else (header.height, header.width)
        bits: Bits = 32 if header.is_float else 8 if header.bits <= 8 else 16
        info = PhotoInfo(
            name=source.name,
            format="JPEG XL",
            width=width,
            height=height,
            layout=layout,
            bits=bits,
            sample_bits=header.bits if 8 < header.bits < 16 and not header.is_float else 0,
            metadata=metadata,
            lossless=not header.xyb,
            total_pixels=width * height,
        )
    return Picture(info, lambda: _frames(source, data, header, info))


def _profile(source: Source, data: bytes, header: Header, space: str) -> bytes | None:
    """The profile of the pixels, where they are not those of an untagged picture."""
    if not header.needs_profile:
        return None
    # OpenImageIO would decode every frame and every channel: as many as a hostile header announces.
    if not header.animated and header.extra_channels == int(header.alpha):
        profile = openimageio.profile_of(data)
        if profile is not None and icc.space(profile) == space:
            return profile
    source.say(f"{source.name}: the colour space of this JPEG XL cannot be read, its colours are taken as sRGB")
    return None


def _parts(data: bytes) -> tuple[bytes, bytes | None, bytes | None]:
    """The beginning of the codestream, EXIF and XMP."""
    if not data.startswith(CONTAINER):
        return data, None, None
    codestream, exif, xmp = b"", None, None
    for kind, content in boxes_of(data):
        if kind == b"brob" and len(content) < _MAX_BOX:
            kind, content = content[:4], _unpacked(content[4:])
        if kind == b"jxlc":
            codestream = content
        elif kind == b"jxlp" and len(codestream) < HEADER_BYTES:
            codestream += content[4:]
        elif kind == b"Exif":
            exif = content[4 + int.from_bytes(content[:4], "big") :]
        elif kind == b"xml ":
            xmp = content
    if not codestream.startswith(CODESTREAM):
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
        transfer: Transfer = "linear" if header.curve == LINEAR or info.metadata.is_linear else "display"
        frame = Frame(pixels, info.layout, transfer)
    yield frame
