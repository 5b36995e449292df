"""GeoTIFF: where the pixels of a map, a height model or a satellite picture lie, and where they lie once enlarged.

The corners of a picture stay where they are on the Earth, so its pixels become smaller. Raster coordinates count from
the outer corner of the first pixel where a pixel is an area, and from its centre where it is a point: then the same
corners mean a first centre that is half a new pixel from the corner.

Source: OGC GeoTIFF Standard 1.1 (OGC 19-008r4), chapter 7; GDAL_METADATA and GDAL_NODATA: GDAL, GTiff driver.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, Final

PIXEL_SCALE, TIE_POINTS, TRANSFORMATION = 33550, 33922, 34264
KEY_DIRECTORY, DOUBLES, TEXTS = 34735, 34736, 34737
GDAL_METADATA, GDAL_NODATA, RPC = 42112, 42113, 50844
INTERGRAPH = 33920

TAGS: Final = frozenset((PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, KEY_DIRECTORY, DOUBLES, TEXTS))

_RASTER_TYPE, _IS_POINT = 1025, 2
_SHORT, _DOUBLE = 3, 12

Tag = tuple[int, int, int, Any]
"""Code, TIFF type, count and value."""

_STORED: Final[dict[int, tuple[int, int, int, int]]] = {
    # Orientation: c and r as (0: x, 1: y) and the sign of each; stored column c and row r of the upright (x, y).
    2: (0, -1, 1, 1),
    3: (0, -1, 1, -1),
    4: (0, 1, 1, -1),
    5: (1, 1, 0, 1),
    6: (1, 1, 0, -1),
    7: (1, -1, 0, -1),
    8: (1, -1, 0, 1),
}


@dataclass(frozen=True, slots=True)
class GeoReference:
    """From raster to model coordinates, and what these mean.

    Attributes:
        pixel_scale: size of a pixel in model units, (x, y, z); () where there is none. Model y goes up, rows go down.
        tie_points: six numbers each: raster i, j, k and model x, y, z. One with a pixel scale; or any number of ground
            control points.
        transformation: 4 x 4, row by row, from (i, j, k, 1) to (x, y, z, 1); () where there is none.
        keys: the tags that name the coordinate system, as they are.
        is_point: raster coordinates count from pixel centres (GTRasterTypeGeoKey is RasterPixelIsPoint).
    """

    pixel_scale: tuple[float, ...] = ()
    tie_points: tuple[float, ...] = ()
    transformation: tuple[float, ...] = ()
    keys: tuple[Tag, ...] = ()
    is_point: bool = False

    def scaled(self, old: tuple[int, int], new: tuple[int, int]) -> "GeoReference":
        """The same corners for a picture of other sides.

        Args:
            old, new: (width, height) in pixels.
        """
        factors = new[0] / old[0], new[1] / old[1]
        shifts = tuple((factor - 1) / 2 if self.is_point else 0.0 for factor in factors)
        matrix = _columns(
            self.transformation,
            lambda x, y, zero: (
                x * old[0] / new[0],
                y * old[1] / new[1],
                zero - x * shifts[0] / factors[0] - y * shifts[1] / factors[1],
            ),
        )
        pixel = self.pixel_scale
        if len(pixel) < 2:
            return replace(self, transformation=matrix, tie_points=_moved(self.tie_points, factors, shifts))
        pixel = (pixel[0] * old[0] / new[0], pixel[1] * old[1] / new[1], *pixel[2:])
        points = self.tie_points
        if len(points) == 6 and points[:2] == (0.0, 0.0):
            # Many readers expect the tie point at the first pixel, so it stays there.
            points = (*points[:3], points[3] - shifts[0] * pixel[0], points[4] + shifts[1] * pixel[1], points[5])
        else:
            points = _moved(points, factors, shifts)
        return replace(self, pixel_scale=pixel, tie_points=points, transformation=matrix)

    def turned(self, orientation: int, width: int, height: int) -> "GeoReference":
        """For the upright picture of one that is stored turned, as EXIF counts orientations, in `width` x `height`."""
        if orientation not in _STORED:
            return self
        column, across, row, down = _STORED[orientation]
        far = (width, height) if not self.is_point else (width - 1, height - 1)

        def turn(x: float, y: float, zero: float) -> tuple[float, float, float]:
            parts = {column: x * across, row: y * down}
            return parts[0], parts[1], zero + (x * far[0] if across < 0 else 0) + (y * far[1] if down < 0 else 0)

        points: tuple[float, ...] = ()
        for i, j, *rest in _sixes(self.tie_points):
            stored = {column: far[0] - i if across < 0 else i, row: far[1] - j if down < 0 else j}
            points += (stored[0], stored[1], *rest)
        if len(self.pixel_scale) >= 2 and len(self.tie_points) >= 6:  # which cannot say that an axis is turned
            return replace(self, pixel_scale=(), tie_points=(), transformation=_columns(self._matrix(), turn))
        return replace(self, tie_points=points, transformation=_columns(self.transformation, turn))

    def _matrix(self) -> tuple[float, ...]:
        """The transformation that pixel scale and first tie point stand for."""
        across, down = self.pixel_scale[:2]
        upwards = self.pixel_scale[2] if len(self.pixel_scale) > 2 else 0.0
        i, j, k, x, y, z = self.tie_points[:6]
        return (
            across, 0.0, 0.0, x - i * across,
            0.0, -down, 0.0, y + j * down,
            0.0, 0.0, upwards, z - k * upwards,
            0.0, 0.0, 0.0, 1.0,
        )  # fmt: skip

    def tags(self) -> list[Tag]:
        """As a TIFF holds it."""
        numbers = (
            (PIXEL_SCALE, self.pixel_scale),
            (TIE_POINTS, self.tie_points),
            (TRANSFORMATION, self.transformation),
        )
        return [(code, _DOUBLE, len(values), values) for code, values in numbers if values] + list(self.keys)


def georeference(values: dict[int, Any], texts: bytes | None) -> GeoReference | None:
    """What a directory says; None where it says nothing.

    Args:
        values: of the tags in `TAGS`, numbers in tuples.
        texts: of GeoAsciiParams, as they are.
    """
    directory = tuple(int(value) for value in values.get(KEY_DIRECTORY, ()))
    doubles = tuple(float(value) for value in values.get(DOUBLES, ()))
    keys: list[Tag] = []
    if directory:
        keys.append((KEY_DIRECTORY, _SHORT, len(directory), directory))
    if doubles:
        keys.append((DOUBLES, _DOUBLE, len(doubles), doubles))
    if texts:
        keys.append((TEXTS, 2, len(texts), texts))
    numbers = [
        tuple(float(value) for value in values.get(code, ())) for code in (PIXEL_SCALE, TIE_POINTS, TRANSFORMATION)
    ]
    found = GeoReference(numbers[0], numbers[1], numbers[2], tuple(keys), _is_point(directory))
    return found if found != GeoReference() else None


def _is_point(directory: tuple[int, ...]) -> bool:
    for at in range(4, len(directory) - 3, 4):
        key, place, _, value = directory[at : at + 4]
        if key == _RASTER_TYPE and place == 0:
            return value == _IS_POINT
    return False


def _sixes(points: tuple[float, ...]) -> list[tuple[float, ...]]:
    return [points[at : at + 6] for at in range(0, len(points) - 5, 6)]


def _moved(points: tuple[float, ...], factors: tuple[float, ...], shifts: tuple[float, ...]) -> tuple[float, ...]:
    """Tie points with their raster coordinates in the new picture."""
    moved: tuple[float, ...] = ()
    for i, j, *rest in _sixes(points):
        moved += (i * factors[0] + shifts[0], j * factors[1] + shifts[1], *rest)
    return moved


def _columns(matrix: tuple[float, ...], change: Any) -> tuple[float, ...]:
    """A 4 x 4 matrix, of each row of which `change` makes the parts of i, j and 1 anew; () stays ()."""
    if len(matrix) != 16:
        return ()
    out: list[float] = []
    for at in (0, 4, 8):
        i, j, k, one = matrix[at : at + 4]
        i, j, one = change(i, j, one)
        out += (i, j, k, one)
    return (*out, *matrix[12:])


_STATISTICS = re.compile(rb"[ \t]*<Item\b[^>]*\bname=\"(?:STATISTICS_|RPC|STDDEV)[^>]*>[^<]*</Item>\s*?\n?")
_ITEM = re.compile(rb"[ \t]*<Item\b[^>]*\bsample=\"(\d+)\"[^>]*>[^<]*</Item>[ \t]*\n?")


def gdal_metadata(text: bytes, bands: tuple[int, ...] = ()) -> tuple[bytes, bool]:
    """GDAL's own metadata without the statistics of pixels that are others now; and whether there were any.

    Args:
        bands: those that are kept, in order, from 0; () for all.
    """
    kept = _STATISTICS.sub(b"", text)

    def renumbered(found: re.Match[bytes]) -> bytes:
        old = int(found[1])
        lines = []
        for new, band in enumerate(bands):
            if band == old:
                start, stop = found.start(1) - found.start(), found.end(1) - found.start()
                lines.append(found[0][:start] + str(new).encode() + found[0][stop:])
        return b"".join(lines)

    return _ITEM.sub(renumbered, kept) if bands else kept, kept != text
