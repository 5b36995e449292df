"""What the tags of a TIFF page say beyond its pixels, as `TiffFacts`; and as tags again."""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np

from upscale_cli.media.image import geotiff
from upscale_cli.media.image.geotiff import Tag
from upscale_cli.media.image.stack_description import ROI, StackDescription, understood
from upscale_cli.media.image.tiff_facts import TiffFacts

DESCRIPTION = 270
IMAGEJ_DATA = 50839
MAX_VALUE, X_RESOLUTION, Y_RESOLUTION, UNIT, SUB_IFDS = 281, 282, 283, 296, 330
TRANSFER_FUNCTION, WHITE_POINT, PRIMARIES, BITS = 301, 318, 319, 258
SHORT, RATIONAL = 3, 5
NO_UNIT: Final = 1

LOST: Final = {
    geotiff.RPC: "the rational polynomials (RPC) of its camera, which count the old pixels",
    geotiff.INTERGRAPH: "the Intergraph matrix, which counts the old pixels",
    SUB_IFDS: "smaller versions of it",
    37724: "Photoshop's layers",
}
"""What is in the way of a reader who believes it; `media.image.inventory` tells of all others that are not carried."""


def facts_of(
    tags: Any,
    size: tuple[int, int],
    orientation: int,
    bands: tuple[int, ...],
    stack: tuple[int, bool],
) -> tuple[TiffFacts, bytes | None]:
    """What a directory says; and the description that is text for people, None where it has none.

    Args:
        tags: of a tifffile page.
        size: stored (width, height).
        orientation: that the pixels have yet.
        bands: that are kept, from 0; () for all.
        stack: pages of the file, and whether the first of them is calibrated.
    """
    lost: list[str] = []
    text = _raw_text(tags.get(DESCRIPTION))
    description, left_out = understood(text, stack[0]) if text else (None, ())
    lost += left_out
    imagej, regions = _imagej(tags)
    lost += regions
    geo = geotiff.georeference(
        {code: numbers_of(tags.valueof(code)) for code in geotiff.TAGS if code != geotiff.TEXTS},
        _raw_text(tags.get(geotiff.TEXTS), ended=True),
    )
    gdal = _raw_text(tags.get(geotiff.GDAL_METADATA))
    if gdal:
        gdal, had_statistics = geotiff.gdal_metadata(gdal, bands)
        lost += ["statistics of the old pixels"] if had_statistics else []
    nodata = _raw_text(tags.get(geotiff.GDAL_NODATA))
    lost += [LOST[tag.code] for tag in tags if tag.code in LOST]
    width, height = size
    calibrated = stack[1] or isinstance(description, StackDescription)
    facts = TiffFacts(
        *((height, width) if orientation >= 5 else size),
        geo=geo.turned(orientation, width, height) if geo else None,
        nodata=nodata.decode("latin-1").strip() if nodata else None,
        gdal=gdal or None,
        description=description if isinstance(description, StackDescription) else None,
        resolution=_resolution(tags, calibrated, orientation),
        calibrated=calibrated,
        imagej=imagej,
        colorimetry=_colorimetry(tags),
        lost=tuple(dict.fromkeys(lost)),
    )
    return facts, description if isinstance(description, bytes) else None


def _raw_text(tag: Any, ended: bool = False) -> bytes | None:
    """The bytes of a text; tifffile decodes them, and not all are ASCII.

    Args:
        ended: with the zero at its end.
    """
    if tag is None or tag.dtype not in (1, 2, 7):
        return None
    file = tag.parent.filehandle
    file.seek(tag.valueoffset)
    data: bytes = file.read(tag.valuebytecount)
    return data if ended else data.rstrip(b"\0") or None


def numbers_of(value: Any) -> tuple[float, ...]:
    """The numbers of a tag; none where it is missing, or text or bytes."""
    if value is None or isinstance(value, str | bytes):
        return ()
    return tuple(np.ravel(value).tolist())


def _imagej(tags: Any) -> tuple[dict[str, Any], list[str]]:
    found = tags.valueof(IMAGEJ_DATA)
    if not isinstance(found, dict):
        return {}, []
    kept = {key: value for key, value in found.items() if key not in ("ROI", "Overlays", "Plot")}
    return kept, [ROI] if len(kept) < len(found) else []


def _colorimetry(tags: Any) -> tuple[Tag, ...]:
    """What the samples mean as colours, where there is no profile: it is true in any size, and at the same depth.

    Source: TIFF 6.0, section 20 (TransferFunction, WhitePoint, PrimaryChromaticities).
    """
    found: list[Tag] = []
    for code, count in ((WHITE_POINT, 2), (PRIMARIES, 6)):
        tag = tags.get(code)
        if tag is not None and (tag.dtype, tag.count) == (RATIONAL, count):
            found.append((code, RATIONAL, count, tuple(int(part) for part in tag.value)))
    tag, bits = tags.get(TRANSFER_FUNCTION), numbers_of(tags.valueof(BITS))
    is_wide = len(set(bits)) == 1 and bits[0] in (8, 16)  # others come to one of these
    if tag is not None and is_wide and tag.dtype == SHORT and tag.count in (2 ** int(bits[0]), 3 * 2 ** int(bits[0])):
        found.append((TRANSFER_FUNCTION, SHORT, tag.count, tuple(int(value) for value in tag.value)))
    return tuple(found)


def _resolution(tags: Any, calibrated: bool, orientation: int) -> tuple[Fraction, Fraction, int] | None:
    unit = int((numbers_of(tags.valueof(UNIT)) or (2,))[0])
    sides = [numbers_of(tags.valueof(code)) for code in (X_RESOLUTION, Y_RESOLUTION)]
    if not all(len(side) == 2 and side[0] > 0 and side[1] > 0 for side in sides):
        return None
    across, down = (Fraction(int(side[0]), int(side[1])) for side in sides)
    if orientation >= 5:
        across, down = down, across
    if not calibrated and (unit != NO_UNIT or across == down == 1):
        return None
    return across, down, unit


def nodata_number(text: str | None) -> float | int | None:
    """The value that GDAL_NODATA names; None for what is no number."""
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if math.isfinite(value) and value == int(value) and abs(value) < 2**53 else value


def tags_of(facts: TiffFacts, order: str, *, reduced: bool = False) -> list[tuple[Any, ...]]:
    """As tifffile wants extra tags; a smaller version of a picture has no place of its own."""
    found: list[Tag] = list(facts.colorimetry)
    if facts.nodata is not None:
        found.append(_text(geotiff.GDAL_NODATA, facts.nodata.encode("latin-1")))
    if facts.samples is not None and facts.samples.largest is not None:
        found.append((MAX_VALUE, 3, 1, facts.samples.largest))
    if not reduced:
        found += facts.geo.tags() if facts.geo else []
        if facts.gdal:
            found.append(_text(geotiff.GDAL_METADATA, facts.gdal))
        if facts.description:
            found.append(_text(DESCRIPTION, facts.description.text))
    tags: list[tuple[Any, ...]] = [(*tag, True) for tag in found]
    if facts.imagej and not reduced:
        import tifffile

        tags += tifffile.tifffile.imagej_metadata_tag(facts.imagej, order)
    return tags


def _text(code: int, text: bytes) -> Tag:
    return code, 2, len(text) + 1, text + b"\0"


def rationals(sides: Sequence[Fraction]) -> tuple[tuple[int, int], ...]:
    """As TIFF holds them: both parts below 2**32."""
    parts = []
    for side in sides:
        most = min(2**32 - 1, int((2**32 - 1) / max(side, Fraction(1))))
        near = side.limit_denominator(most)
        parts.append((near.numerator, near.denominator))
    return tuple(parts)
