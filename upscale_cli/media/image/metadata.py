"""What is kept in addition to the pixels: profile, EXIF, XMP, resolution; and what a file's header declares.

Orientation is handled once, here, when a picture is opened: the decoders turn the pixels upright, and every
place that noted an orientation holds 1 from then on. Sizes are brought up to date when the picture is written.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from upscale_cli.frames.image import Layout, channels_of
from upscale_cli.media.image import exif as exif_block
from upscale_cli.media.image import icc as icc_profile
from upscale_cli.media.image import xmp as xmp_packet
from upscale_cli.media.image.colours import Colours
from upscale_cli.media.image.header import Header
from upscale_cli.media.image.parts import Part
from upscale_cli.media.image.tiff_facts import TiffFacts

Bits = Literal[8, 16, 32]
_EXIF_PREFIX = b"Exif\0\0"
_MAX_SIDE = 65_536


@dataclass(frozen=True, slots=True)
class Metadata:
    """Everything about an upright picture that is kept although the net never sees it.

    Attributes:
        icc: ICC profile, bit for bit.
        colours: what is declared of them by numbers; beside a profile it says the same, unless it is HDR.
        exif: EXIF block from its TIFF header on (no "Exif" prefix), orientation 1, no thumbnail.
        xmp: XMP packet, orientation 1.
        dpi: dots per inch, horizontally and vertically.
        aspect: pixels per unit of unknown length, horizontally and vertically: (2, 1) is twice as many across as down.
        plays: how often an animation is shown; 0 for ever, None for a still.
        png_chunks: (type, data) of the PNG chunks that only PNG has: text, gamma, coding of colour.
        white: which value of a float file stands for white, 1.0 in a `Frame`.
        parts: what else the file holds, in its order.
        header: what only the file's own format has.
        tiff: what only a TIFF knows: place on the Earth, kind of its samples, bands, calibration.
        photoshop: image resources of a JPEG that stay true in any size, IPTC among them.
        comment: of a JPEG or a GIF, in a coding that nobody knows.
    """

    icc: bytes | None = None
    colours: Colours | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    aspect: tuple[int, int] | None = None
    plays: int | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    white: float = 1.0
    parts: tuple[Part, ...] = ()
    header: Header | None = None
    tiff: TiffFacts | None = None
    photoshop: bytes = b""
    comment: bytes = b""

    @property
    def is_linear(self) -> bool:
        """Whether gray or RGB values are proportional to light."""
        if self.icc is not None:
            return icc_profile.is_linear(self.icc)
        return self.colours is not None and self.colours.is_linear

    def resized(self, width: int, height: int, scale: tuple[float, float] = (1.0, 1.0)) -> "Metadata":
        """The same for the picture in its new size, which is its former one times `scale`."""
        return replace(
            self,
            exif=exif_block.resized(self.exif, width, height, scale) if self.exif else None,
            xmp=xmp_packet.resized(self.xmp, width, height, scale) if self.xmp else None,
            header=self.header.resized(width, height) if self.header else None,
            tiff=self.tiff.resized(width, height) if self.tiff else None,
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
        sample_bits: of a sample as stored, where they are more than 8 and fewer than 16; 0 where they are as many as
            `bits`.
        layout, bits: of the first frame; an animation's frames may drop an alpha that is opaque throughout.
        metadata: of the first frame.
        lossless: whether the file kept the pixels as they were, so that an output should too.
        total_pixels: of all frames together.
        pages: metadata of each page, for files with pages.
        page_sizes: (width, height) of each, upright.
        extra: channels after those of the layout, as of a `Frame`.
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
    page_sizes: tuple[tuple[int, int], ...] = ()
    sample_bits: int = 0
    extra: int = 0

    @property
    def channels(self) -> int:
        """Of the first frame."""
        return channels_of(self.layout) + self.extra


def ratio(across: float, down: float) -> tuple[int, int] | None:
    """Two densities as whole numbers of the same ratio, as they are where they are whole."""
    if not (0 < across < _MAX_SIDE and 0 < down < _MAX_SIDE):
        return None
    if across.is_integer() and down.is_integer():
        return int(across), int(down)
    exact = Fraction(across / down).limit_denominator(10_000)
    return exact.numerator, exact.denominator


def upright_metadata(
    *,
    icc: bytes | None = None,
    colours: Colours | None = None,
    exif: bytes | None = None,
    xmp: bytes | str | None = None,
    dpi: tuple[float, float] | None = None,
    aspect: tuple[int, int] | None = None,
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
            orientation = xmp_packet.orientation(packet)
    if dpi is not None and not all(0 < side < 1e6 for side in dpi):
        dpi = None
    if aspect is not None and (0 in aspect or aspect == (1, 1) or (dpi and aspect[0] == aspect[1])):
        aspect = None
    if aspect is not None:
        dpi = None  # of another place in the file, and contradicted
    if orientation >= 5:
        dpi = dpi and (dpi[1], dpi[0])
        aspect = aspect and (aspect[1], aspect[0])
    metadata = Metadata(
        icc=icc or None,
        colours=colours,
        exif=exif_block.upright(exif) if exif else None,
        xmp=xmp_packet.upright(packet) if packet else None,
        dpi=dpi,
        aspect=aspect,
    )
    return metadata, orientation
