"""What is kept in addition to the pixels: profile, EXIF, XMP, resolution; and what a file's header declares.

Orientation is handled once, here, when a picture is opened: the decoders turn the pixels upright, and every
place that noted an orientation holds 1 from then on. Sizes are brought up to date when the picture is written.
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from upscale_cli.frames.image import Layout
from upscale_cli.media.image import exif as exif_block

Bits = Literal[8, 16, 32]
_EXIF_PREFIX = b"Exif\0\0"


@dataclass(frozen=True, slots=True)
class Metadata:
    """Everything about an upright picture that is kept although the net never sees it.

    Attributes:
        icc: ICC profile, bit for bit.
        exif: EXIF block from its TIFF header on (no "Exif" prefix), orientation 1, no thumbnail.
        xmp: XMP packet, orientation 1.
        dpi: dots per inch, horizontally and vertically.
        plays: how often an animation is shown; 0 for ever, None for a still.
        png_chunks: (type, data) of the PNG chunks that only PNG has: text, gamma, coding of colour.
        white: which value of a float file stands for white, 1.0 in a `Frame`.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    plays: int | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    white: float = 1.0

    def resized(self, width: int, height: int) -> "Metadata":
        """The same for the picture in its new size."""
        return replace(
            self,
            exif=exif_block.resized(self.exif, width, height) if self.exif else None,
            xmp=_resized_xmp(self.xmp, width, height) if self.xmp else None,
        )


@dataclass(frozen=True, slots=True)
class PhotoInfo:
    """What the header declares, before any pixel is decoded.

    Attributes:
        name: the source, for messages.
        format: key of `formats.FORMATS`.
        width, height: upright, of the first frame.
        frames: frames of an animation or pages of a TIFF; 1 for a still.
        animated: whether frames follow each other in time.
        layout, bits: of the first frame; an animation's frames may drop an alpha that is opaque throughout.
        metadata: of the first frame.
        lossless: whether the file kept the pixels as they were, so that an output should too.
        total_pixels: of all frames together.
        pages: metadata of each page, for files with pages.
    """

    name: str
    format: str
    width: int
    height: int
    layout: Layout
    bits: Bits
    frames: int = 1
    animated: bool = False
    metadata: Metadata = Metadata()
    lossless: bool = False
    total_pixels: int = 0
    pages: tuple[Metadata, ...] = ()


def upright_metadata(
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | str | None = None,
    dpi: tuple[float, float] | None = None,
    turned_already: bool = False,
) -> tuple[Metadata, int]:
    """Metadata as found in a file, made upright; and the orientation (1..8) that the pixels still need.

    With `turned_already` the decoder has turned the pixels (irot and imir in AVIF and HEIC, the header of JPEG XL), and
    what EXIF and XMP note is left from before that.
    """
    if exif is not None:
        exif = exif.removeprefix(_EXIF_PREFIX)
        exif = exif if exif_block.byte_order(exif) else None
    packet = xmp.encode() if isinstance(xmp, str) else xmp
    orientation = 1
    if not turned_already:
        orientation = exif_block.orientation(exif) if exif else 1
        if orientation == 1 and packet:
            orientation = _xmp_orientation(packet)
    if dpi is not None and not all(0 < side < 1e6 for side in dpi):
        dpi = None
    if dpi is not None and orientation >= 5:
        dpi = dpi[1], dpi[0]
    metadata = Metadata(
        icc=icc or None,
        exif=exif_block.upright(exif) if exif else None,
        xmp=_upright_xmp(packet) if packet else None,
        dpi=dpi,
    )
    return metadata, orientation


def _xmp_property(name: str) -> re.Pattern[bytes]:
    """A whole-number property of an XMP packet, written as attribute or as element; group 2 is its value."""
    return re.compile(rb"(" + name.encode() + rb"(?:\s*=\s*[\"']|>)\s*)(\d{1,9})")


_XMP_ORIENTATION = _xmp_property("tiff:Orientation")
_XMP_WIDTH = _xmp_property("(?:tiff:ImageWidth|exif:PixelXDimension)")
_XMP_HEIGHT = _xmp_property("(?:tiff:ImageLength|exif:PixelYDimension)")
_XMP_THUMBNAILS = re.compile(rb"<(x[am]p:Thumbnails)\b[^<>]*>")


def _xmp_orientation(packet: bytes) -> int:
    found = _XMP_ORIENTATION.search(packet)
    value = int(found[2]) if found else 1
    return value if 1 <= value <= 8 else 1


def _upright_xmp(packet: bytes) -> bytes:
    return _without_thumbnails(_XMP_ORIENTATION.sub(rb"\g<1>1", packet))


def _resized_xmp(packet: bytes, width: int, height: int) -> bytes:
    packet = _XMP_WIDTH.sub(rb"\g<1>" + str(width).encode(), packet)
    return _XMP_HEIGHT.sub(rb"\g<1>" + str(height).encode(), packet)


def _without_thumbnails(packet: bytes) -> bytes:
    """XMP without its thumbnails; by steps, since one pattern for all would take quadratic time on a hostile packet."""
    kept, start = [], 0
    while opening := _XMP_THUMBNAILS.search(packet, start):
        closing = b"</" + opening[1] + b">"
        stop = packet.find(closing, opening.end())
        if stop < 0:
            break
        kept.append(packet[start : opening.start()])
        start = stop + len(closing)
    return b"".join(kept) + packet[start:]
