"""TIFF directories, read by tifffile and made into what a page is: size, coding, metadata.

What EXIF keeps in directories of its own is read by `exif`, which also writes it again.

Sources: TIFF 6.0 (1992); Adobe Photoshop TIFF Technical Notes (2002) for LAB and float; BigTIFF as in libtiff.
"""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Layout, channels_of
from upscale_cli.media.image import exif
from upscale_cli.media.image.codecs.tiff_tags import (
    DESCRIPTION,
    MAX_VALUE,
    UNIT,
    X_RESOLUTION,
    Y_RESOLUTION,
    facts_of,
    numbers_of,
)
from upscale_cli.media.image.formats import RAW_REMEDY
from upscale_cli.media.image.metadata import Bits, Metadata, ratio, upright_metadata
from upscale_cli.media.image.source import Source
from upscale_cli.messages import option

SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
SAMPLES, PLANAR, COLOR_MAP, FILL_ORDER = 277, 284, 320, 266
EXTRA_SAMPLES, SAMPLE_FORMAT, XMP, ICC_PROFILE, DNG_VERSION = 338, 339, 700, 34675, 50706
DESCRIPTIVE = frozenset((269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 33723, 18246, 18249, 40091, 40092, 40093))
DESCRIPTIVE |= frozenset((40094, 40095, 286, 287, 297, exif.EXIF_IFD, exif.GPS_IFD))
"""Tags of IFD0 that describe the picture and not how it is stored: who, when, with what, where."""

MIN_IS_WHITE, MIN_IS_BLACK, IS_RGB, IS_PALETTE, IS_INK, IS_YCBCR, IS_LAB = 0, 1, 2, 3, 5, 6, 8
UNSIGNED, SIGNED, FLOAT = 1, 2, 3
OLD_JPEG, JPEG = 6, 7
NO_UNIT = 1
_MASK = 4
_REDUCED_OR_MASK = 1 | _MASK
BASES: dict[int, tuple[Layout, int]] = {
    MIN_IS_WHITE: ("L", 1),
    MIN_IS_BLACK: ("L", 1),
    IS_RGB: ("RGB", 3),
    IS_PALETTE: ("RGB", 1),
    IS_INK: ("CMYK", 4),
    IS_YCBCR: ("RGB", 3),
    IS_LAB: ("LAB", 3),
}
_MAX_PAGES = 100_000


@dataclass(frozen=True, slots=True)
class Page:
    """What one IFD declares.

    Attributes:
        index: counts all IFDs of the file.
        extra_kinds: ExtraSamples of the samples that are kept beside those of the layout.
        chosen: the samples that are kept, from 0, where the user chose them; () for the first ones.
        plane: of a stack that ImageJ has written with one IFD: which of the pictures that follow each other.
    """

    index: int
    width: int
    height: int
    bits: int
    samples: int
    kind: int
    photometric: int
    compression: int
    alpha: Literal["none", "straight", "premultiplied"]
    largest: int | None
    orientation: int
    metadata: Metadata
    palette: tuple[float, ...] = ()
    planar: int = 1
    extra_kinds: tuple[int, ...] = ()
    chosen: tuple[int, ...] = ()
    plane: int = 0

    @property
    def channels(self) -> int:
        """Of a frame, those that follow its layout's included."""
        return channels_of(self.layout) + len(self.extra_kinds)

    @property
    def needs_libtiff(self) -> bool:
        """Codings that tifffile does not decode: chroma at half the resolution, unless JPEG's own; the old JPEG."""
        return self.compression == OLD_JPEG or (self.photometric == IS_YCBCR and self.compression != JPEG)

    @property
    def layout(self) -> Layout:
        if self.chosen:
            return "RGB" if len(self.chosen) == 3 else "L"
        base = BASES[self.photometric][0]
        return cast(Layout, base + "A") if self.alpha != "none" and base in ("L", "RGB") else base

    @property
    def depth(self) -> Bits:
        return 32 if self.kind == FLOAT or self.bits > 16 else 8 if self.bits <= 8 else 16


def pages_of(source: Source) -> Iterator[Page]:
    """Follow the chain of IFDs; a chain that comes back to an earlier one ends there."""
    seen: set[int] = set()
    try:
        with opened(source) as file:
            count, calibrated = _count(file), False
            for index in range(_MAX_PAGES):
                found = _directory(file, index)
                if found is None or found.offset in seen:
                    return
                seen.add(found.offset)
                page = _page(source, index, found, (count, calibrated))
                if page is not None:
                    calibrated = calibrated or bool(page.metadata.tiff and page.metadata.tiff.calibrated)
                    yield page
                    yield from _unlisted(source, found, page) if count == 1 else ()
    except (ValueError, TypeError, LookupError, ArithmeticError, struct.error) as error:
        raise InputError(f"{source.name}: the TIFF's directory makes no sense. The file is damaged.") from error


def _directory(file: Any, index: int) -> Any:
    try:
        return file.pages[index]
    except IndexError:
        return None


def _unlisted(source: Source, found: Any, first: Page) -> Iterator[Page]:
    """The further pictures of a stack above 4 GB, as ImageJ writes it: one IFD, and the samples in a row."""
    facts = first.metadata.tiff
    if facts is None or facts.description is None:
        return
    count, size = facts.description.images, first.width * first.height * first.samples * first.bits // 8
    end = source.file.seek(0, 2)
    there = (end - found.dataoffsets[0]) // size if first.compression == 1 and found.is_contiguous else 1
    if count > there:
        source.say(f"{source.name}: of the {count} pictures that ImageJ announces {there} are in the file")
    metadata = replace(first.metadata, tiff=replace(facts, description=None, imagej={}))
    for plane in range(1, min(count, there, _MAX_PAGES)):
        yield replace(first, plane=plane, metadata=metadata)


def _count(file: Any) -> int:
    try:
        return len(file.pages)
    except (ValueError, TypeError, LookupError, ArithmeticError, struct.error):
        return 1


def _page(source: Source, index: int, found: Any, stack: tuple[int, bool]) -> Page | None:
    """One page, checked for its size and for a coding that makes sense; None for a thumbnail or a mask."""

    def numbers(tag: int, *defaults: int) -> tuple[float, ...]:
        return numbers_of(found.tags.valueof(tag)) or defaults

    def one(tag: int, default: int) -> int:
        return int(numbers(tag, default)[0])

    if DNG_VERSION in found.tags:
        raise InputError(f"{source.name}: {RAW_REMEDY}.")
    if one(SUBFILE, 0) & _REDUCED_OR_MASK and index > 0:
        what = "the mask of what is valid in it is" if one(SUBFILE, 0) & _MASK else "smaller versions of it are"
        source.say(f"{source.name}: {what} left out")
        return None
    width, height = one(WIDTH, 0), one(LENGTH, 0)
    source.check_size(width, height)
    bits = {int(value) for value in numbers(BITS, 1)}
    kinds = {int(value) for value in numbers(SAMPLE_FORMAT, UNSIGNED)}
    photometric, samples = one(PHOTOMETRIC, -1), one(SAMPLES, 1)
    known = photometric in BASES and samples >= BASES[photometric][1]
    many = samples > 16 and samples * width * height > 16 * source.max_pixels
    if not known or many or len(bits) != 1 or len(kinds) != 1 or not kinds <= {1, 2, 3, 4}:
        raise InputError(
            f"{source.name}: page {index + 1} is coded as {samples} samples of {sorted(bits)} bits with photometric "
            f"interpretation {photometric}, which is not read. Convert it to RGB first."
        )
    planar, fill = one(PLANAR, 1), one(FILL_ORDER, 1)
    if planar not in (1, 2) or fill not in (1, 2):
        name, value = ("PlanarConfiguration", planar) if planar not in (1, 2) else ("FillOrder", fill)
        raise InputError(
            f"{source.name}: page {index + 1} has {name} {value}, which there is not. The file is damaged."
        )
    _check_segments(source, index, found, samples if planar == 2 else 1)
    alpha, kinds_of_extra, chosen = _channels(source, index, photometric, samples, numbers(EXTRA_SAMPLES))
    metadata, orientation = _metadata(source, found, (width, height), chosen, kinds_of_extra, stack)
    return Page(
        index=index,
        width=width,
        height=height,
        bits=bits.pop(),
        samples=samples,
        kind=kinds.pop() % 4 or UNSIGNED,
        photometric=photometric,
        compression=one(COMPRESSION, 1),
        alpha=alpha,
        largest=one(MAX_VALUE, 0) or None,
        orientation=orientation,
        metadata=metadata,
        palette=numbers(COLOR_MAP),
        planar=planar,
        extra_kinds=kinds_of_extra,
        chosen=chosen,
    )


def _check_segments(source: Source, index: int, found: Any, planes: int) -> None:
    """Refuses a page with fewer strips or tiles than its size takes: what they would hold would be black.

    Tiles of 0 bytes are how GDAL writes what holds nothing.
    """
    across = -(-found.imagewidth // found.tilewidth) if found.is_tiled else 1
    height = found.tilelength if found.is_tiled else min(found.rowsperstrip or 1, found.imagelength)
    needed = across * -(-found.imagelength // max(1, height)) * planes
    there = min(len(found.dataoffsets), len(found.databytecounts))
    plane = found.imagelength * -(-found.imagewidth * found.bitspersample * found.samplesperpixel // planes // 8)
    if there >= needed or (found.compression == 1 and sum(found.databytecounts) >= plane * planes):
        return
    kind = "tiles" if found.is_tiled else "strips"
    text = f"{source.name}: page {index + 1} has {there} of the {needed} {kind} that its size takes"
    if not source.salvage:
        raise InputError(f"{text}. The file is damaged; {option('salvage', True)} takes what is there.")
    source.say(f"{text}; the rest is left black")


Alpha = Literal["none", "straight", "premultiplied"]


def _channels(
    source: Source, index: int, photometric: int, samples: int, extras: tuple[float, ...]
) -> tuple[Alpha, tuple[int, ...], tuple[int, ...]]:
    """What the samples of a page are: alpha, kinds of the further ones that are kept, and which the user chose."""
    own = BASES[photometric][1]
    kinds = tuple(int(kind) for kind in extras[: samples - own])
    kinds = (0,) * (samples - own - len(kinds)) + kinds if len(kinds) < samples - own else kinds
    if source.bands:
        return "none", *_chosen(source, index, photometric, samples)
    if photometric in (IS_PALETTE, IS_YCBCR):
        if kinds:
            source.say(f"{source.name}: page {index + 1} has extra channels beside its colour, which are left out")
        return "none", (), ()
    alphas: dict[int, Alpha] = {1: "premultiplied", 2: "straight"}
    alpha = alphas.get(kinds[0], "none") if kinds else "none"
    if alpha != "none" and BASES[photometric][0] in ("L", "RGB"):
        return alpha, kinds[1:], ()
    return "none", kinds, ()


def _chosen(source: Source, index: int, photometric: int, samples: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The bands that the user wants, checked: kinds of those after the first or the first three, and from 0."""
    if photometric not in (MIN_IS_WHITE, MIN_IS_BLACK, IS_RGB):
        raise InputError(
            f"{source.name}: {option('bands')} chooses among gray and RGB bands, and page {index + 1} has others. "
            f"Leave it out."
        )
    wrong = next((band for band in source.bands if band > samples), None)
    if wrong is not None:
        raise InputError(
            f"{source.name}: there is no band {wrong}, page {index + 1} has {samples}. "
            f"Choose {option('bands')} from 1 to {samples}."
        )
    count = len(source.bands)
    return (0,) * (0 if count == 3 else count - 1), tuple(band - 1 for band in source.bands)


def _metadata(
    source: Source,
    found: Any,
    size: tuple[int, int],
    chosen: tuple[int, ...],
    extra_kinds: tuple[int, ...],
    stack: tuple[int, bool],
) -> tuple[Metadata, int]:
    tags = found.tags
    kept = [_field(source, found, tag) for tag in tags if tag.code in DESCRIPTIVE or tag.code == exif.ORIENTATION]
    dpi, aspect = None, None
    number = int((numbers_of(tags.valueof(UNIT)) or (2,))[0])
    unit = {2: 1.0, 3: 2.54}.get(number)
    sides = [numbers_of(tags.valueof(code)) for code in (X_RESOLUTION, Y_RESOLUTION)]
    if all(len(side) == 2 and side[1] for side in sides):
        across, down = (side[0] / side[1] for side in sides)
        dpi = (across * unit, down * unit) if unit else None
        aspect = ratio(across, down) if number == NO_UNIT else None
    profile, packet = (value if isinstance(value := tags.valueof(code), bytes) else None for code in (ICC_PROFILE, XMP))
    order = found.parent.byteorder
    orientation = upright_metadata(exif=exif.block_of(kept, order), xmp=packet)[1]
    facts, text = facts_of(tags, size, orientation, chosen, stack)
    facts = replace(facts, extra_kinds=extra_kinds)
    described = [field for field in kept if field.tag != DESCRIPTION]
    if text:
        described.append(exif.Field(DESCRIPTION, 2, len(text) + 1, text + b"\0"))
    block = exif.block_of(described, order)
    metadata, _ = upright_metadata(icc=profile, exif=block, xmp=packet, dpi=dpi, aspect=aspect)
    return replace(metadata, tiff=facts if facts.says_anything else None), orientation


def _field(source: Source, found: Any, tag: Any) -> exif.Field:
    """A tag as EXIF holds it, its sub-directory included."""
    file = found.parent
    if tag.code in (exif.EXIF_IFD, exif.GPS_IFD):
        children = exif.read_ifd(source.file, tag.valueoffset, file.byteorder, file.is_bigtiff, depth=1)[0]
        return exif.Field(tag.code, int(tag.dtype), tag.count, b"", children=tuple(children))
    source.file.seek(tag.valueoffset)
    return exif.Field(tag.code, int(tag.dtype), tag.count, source.file.read(tag.valuebytecount))


@contextmanager
def _quiet_tifffile() -> Iterator[None]:
    """tifffile reports oddities through its logger, which would print to stderr where no handler is set."""
    logger = logging.getLogger("tifffile")
    handler = logging.NullHandler()
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


@contextmanager
def opened(source: Source) -> Iterator[Any]:
    """The file as tifffile knows it."""
    import tifffile

    source.file.seek(0)
    with _quiet_tifffile(), tifffile.TiffFile(source.file, name=source.name) as file:
        yield file
