"""What a TIFF file carries beside its pixels: the tags of its directories.

Sources: TIFF 6.0; Adobe's technical notes; GeoTIFF 1.1 (OGC 19-008r4); BigTIFF.
"""

import logging
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from upscale_cli.media.image import exif
from upscale_cli.media.image.inventory.blocks import Items, of_fields, of_profile, of_xmp
from upscale_cli.media.image.inventory.photoshop import of_resources
from upscale_cli.media.image.stack_description import understood
from upscale_cli.media.inventory import SHAPE, digest, short

DESCRIPTION: Final = 270

_STRUCTURE: Final = frozenset(
    (
        254, 255, 256, 257, 258, 259, 262, 263, 264, 265, 266, 273, 274, 277, 278, 279, 280, 281, 284, 288, 289, 292,
        293, 297, 317, 320, 321, 322, 323, 324, 325, 330, 332, 334, 336, 338, 339, 340, 341, 347, 512,
        513, 514, 515,
        517, 518, 519, 520, 521, 529, 530, 531, 532, 32995, 32996, 32997, 32998, 37439, 37724, 50838, 50839, 65000,
    )
)  # fmt: skip
"""Tags that say how the samples are stored, and ImageJ's, which go with its description."""

_NAMES: Final = {
    DESCRIPTION: "description",
    33550: "place on the map (GeoTIFF): pixel scale", 33922: "place on the map (GeoTIFF): tie points",
    34264: "place on the map (GeoTIFF): transformation", 34735: "place on the map (GeoTIFF): keys",
    34736: "place on the map (GeoTIFF): numbers", 34737: "place on the map (GeoTIFF): texts",
    42112: "GDAL metadata", 42113: "no-data value (GDAL)", 50844: "rational polynomials (RPC)", 33723: "IPTC",
    301: "colours: transfer function", 318: "colours: white point", 319: "colours: primaries",
}  # fmt: skip
_MOST_PAGES: Final = 10_000


def of_tiff(file: BinaryIO) -> Items:
    """The tags of the first page, how many pages there are, and tags that only later pages have."""
    import tifffile

    file.seek(0)
    logger = logging.getLogger("tifffile")
    was_disabled, logger.disabled = logger.disabled, True
    try:
        with tifffile.TiffFile(file) as tiff:
            seen: set[str] = set()
            for page in _pages(tiff):
                for name, value in _tags(page, file):
                    if name not in seen:
                        seen.add(name)
                        yield name, value
    finally:
        logger.disabled = was_disabled


def _pages(tiff: Any) -> Iterator[Any]:
    for index in range(_MOST_PAGES):
        try:
            page = tiff.pages[index]
        except IndexError:
            return
        if not (index and page.subfiletype & 5):
            yield page


def _tags(page: Any, file: BinaryIO) -> Items:
    unit = page.tags.valueof(296, default=2)
    for tag in page.tags:
        code = tag.code
        if code in _STRUCTURE or code in (283, 296):
            continue
        if code == 282:
            across, down = page.tags.valueof(282), page.tags.valueof(283)
            if unit != 1 or across != down:
                yield ("resolution" if unit != 1 else "pixel aspect"), f"{across} x {down}, unit {unit}"
        elif code == 700:
            yield from of_xmp(_bytes(tag.value))
        elif code == 34675:
            yield from of_profile(_bytes(tag.value))
        elif code == 34377:
            yield from of_resources(_bytes(tag.value))
        elif code in (exif.EXIF_IFD, exif.GPS_IFD):
            yield from _directory(tag, page, file)
        elif code == DESCRIPTION and understood(_bytes(tag.value), pages=1) == (None, ()):
            yield SHAPE, short(str(tag.value))
        elif code in _NAMES:
            yield _NAMES[code], short(str(tag.value))
        else:
            yield f"TIFF tag: {code} {tag.name}".removesuffix(str(code)).rstrip(), _value(tag.value)


def _directory(tag: Any, page: Any, file: BinaryIO) -> Items:
    parent = page.parent
    offset = tag.value if isinstance(tag.value, int) else tag.valueoffset
    if isinstance(tag.value, dict):  # tifffile has read the directory; where it lies is in the entry itself
        file.seek(tag.valueoffset)
        offset = int.from_bytes(file.read(parent.tiff.offsetsize), "little" if parent.byteorder == "<" else "big")
    children, _ = exif.read_ifd(file, offset, parent.byteorder, parent.is_bigtiff, 1)
    yield from of_fields([exif.Field(tag.code, 4, 1, b"", children=tuple(children))])


def _value(value: object) -> str:
    return digest(value) if isinstance(value, bytes) else short(str(value))


def _bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else bytes(value)  # type: ignore[call-overload]
