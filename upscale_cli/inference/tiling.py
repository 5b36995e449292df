"""Where tiles lie and how they blend. Pure: knows no model and no file.

Along one axis a picture is covered by windows of one length, so that a net sees one shape only. Of each window
the inner part is kept; the halo around it is read, computed and thrown away. At the picture's own borders there
is nothing to read beyond, so the kept part reaches up to them and no pixel is invented::

    picture   |------------------------------------------------|
    window 0  [........ kept ........|halo]
    window 1            [halo|... kept ...|halo]
    window 2                    [halo|......... kept ..........]   moved back to end on the border
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.options import check_tile
from upscale_cli.models.interface import Scale, scaled

BLOCK_ROWS: Final = 16
"""SR rows that are computed on at a time, so that what lies between two steps stays in the processor's cache."""

MIN_TILE: Final = 8
"""LR pixels that are kept of a window at least."""

ALIGNMENT: Final = 8
"""Windows that need not end on the border have sides that divide by this: convolutions are faster."""


class Arrays(Protocol):
    """What numpy and torch say in different ways; elsewhere their arrays are alike, and `Any` to us."""

    def of(self, array: NDArray[np.float32]) -> Any:
        """The same values as such an array."""

    def empty(self, *shape: int, like: Any = None) -> Any:
        """Of any values; float32, or of the kind of another array."""

    def copy(self, array: Any) -> Any:
        """In memory of its own, contiguous."""

    def add_product(self, total: Any, one: Any, other: Any) -> None:
        """Adds one * other to `total`, in place."""

    def turned(self, array: Any, turns: int, *, mirrored: bool) -> Any:
        """Mirrored from left to right if so, then turned by so many quarters, along the last two axes; contiguous."""

    def turned_back(self, array: Any, turns: int, *, mirrored: bool) -> Any:
        """The inverse."""

    def joined(self, bands: Sequence[Any]) -> Any:
        """One below the other, along the first axis."""

    def channels_last(self, array: Any) -> Any:
        """(C, H, W) to (H, W, C), a view."""

    def channels_first(self, array: Any) -> Any:
        """(H, W, C) to (C, H, W), a view."""


class NumpyArrays:
    """See `Arrays`."""

    def of(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array

    def empty(self, *shape: int, like: NDArray[Any] | None = None) -> NDArray[Any]:
        return np.empty(shape, np.float32 if like is None else like.dtype)

    def copy(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array.copy()

    def add_product(self, total: NDArray[np.float32], one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
        for y in range(0, len(total), BLOCK_ROWS):  # the product stays in the processor's cache
            total[y : y + BLOCK_ROWS] += one[y : y + BLOCK_ROWS] * other

    def turned(self, array: NDArray[np.float32], turns: int, *, mirrored: bool) -> NDArray[np.float32]:
        return np.ascontiguousarray(np.rot90(array[..., ::-1] if mirrored else array, turns, axes=(-2, -1)))

    def turned_back(self, array: NDArray[np.float32], turns: int, *, mirrored: bool) -> NDArray[np.float32]:
        back = np.rot90(array, -turns, axes=(-2, -1))
        return back[..., ::-1] if mirrored else back

    def joined(self, bands: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.concatenate(bands)

    def channels_last(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array.transpose(1, 2, 0)

    def channels_first(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array.transpose(2, 0, 1)


NUMPY: Final = NumpyArrays()


@dataclass(frozen=True, slots=True)
class Span:
    """One tile along one axis, in LR pixels: what is read and, within it, what is kept."""

    window_start: int
    window_stop: int
    start: int
    stop: int

    @property
    def length(self) -> int:
        return self.stop - self.start

    @property
    def read(self) -> int:
        """Pixels of the window."""
        return self.window_stop - self.window_start


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the tiles of a pass lie in a picture of any size.

    Attributes:
        scale: SR pixels per LR pixel.
        halo: LR pixels read around a tile and thrown away.
        multiple_of: windows begin at multiples of it, and have sides of which it leaves the rest that it leaves of the
            picture's.
        overlap: LR pixels that neighbours share, to be blended.
    """

    scale: Scale
    halo: int
    multiple_of: int
    overlap: int


def tile_spans(length: int, tile: int, overlap: int, halo: int, multiple_of: int = 1) -> list[Span]:
    """Cuts one axis of `length` LR pixels into tiles, first to last; every window has the same length.

    Args:
        length: LR pixels of the axis.
        tile: LR pixels an inner tile keeps; rounded up to `multiple_of`.
        overlap: LR pixels that neighbours at least share, to be blended.
        halo: LR pixels read on each side of a tile and thrown away; rounded up to `multiple_of`.
        multiple_of: windows start at multiples of it; their length divides by it, or leaves the rest that `length`
            leaves.

    Raises:
        OptionError: overlap >= tile, for then the tiles would never advance.

    >>> [(span.start, span.stop) for span in tile_spans(length=100, tile=64, overlap=16, halo=0)]
    [(0, 64), (36, 100)]
    """
    check_tile(tile, overlap)
    tile = _round_up(tile, multiple_of)
    halo = _round_up(halo, multiple_of)
    rest = length % multiple_of
    window = min(tile + 2 * halo + rest, length)
    step = max(multiple_of, (tile - overlap) // multiple_of * multiple_of)
    count = 1 + max(0, math.ceil((length - window) / step))
    spans = []
    for number in range(count):
        window_start = min(number * step, length - window)
        window_stop = window_start + window
        start = 0 if window_start == 0 else window_start + halo
        stop = length if window_stop == length else window_stop - halo - rest
        spans.append(Span(window_start, window_stop, start, stop))
    return spans


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a window may be: LR pixels of a side, and of the whole window; and of a whole row of windows."""

    side: int
    pixels: int
    row: int | None = None


def automatic_tiles(
    height: int, width: int, overlap: int, halo: int, multiple_of: int, limits: Limits
) -> tuple[int, int]:
    """The tiles (along y, along x) that cost the least: as few windows as the limits allow, all alike.

    A window of one fixed size would be wasted on most pictures: 512 pixels by windows of 500 is twice the work. So
    the number of windows is chosen, and they are made as small as that number lets them be.

    Args:
        height, width: LR pixels; the others as for `tile_spans`.

    >>> automatic_tiles(512, 1000, overlap=0, halo=34, multiple_of=1, limits=Limits(side=640, pixels=640 * 640))
    (444, 468)
    """
    around = 2 * _round_up(halo, multiple_of)

    def window(length: int, side: int) -> int:
        margin = around + length % multiple_of
        side = max(side, margin + overlap + max(multiple_of, MIN_TILE))
        if length <= side:
            return length
        shared = margin + overlap
        count = math.ceil((length - shared) / (side - shared))
        return _round_up(math.ceil((length + (count - 1) * shared) / count), math.lcm(multiple_of, ALIGNMENT))

    # A narrow picture leaves room for higher windows, and a low one for wider ones.
    highest = max(math.isqrt(limits.pixels), limits.pixels // width)
    if limits.row is not None:
        highest = min(highest, limits.row // width)
    row_window = window(height, min(limits.side, highest))
    column_window = window(width, min(limits.side, limits.pixels // row_window))
    return max(row_window - around, overlap + 1), max(column_window - around, overlap + 1)


def blend_weights(spans: Sequence[Span], overlap: int, scale: Scale) -> list[NDArray[np.float32]]:
    """How much each tile counts along one axis; over all tiles the weights of a pixel add up to 1.

    A tile's weight rises smoothly (sin ** 2) over `overlap` pixels from an inner edge, is flat in the middle, and
    falls the same way; then all are divided by their sum, so that any number of tiles may meet in a pixel.

    Returns:
        One float32 vector a span, of `scale * span.length` SR pixels.
    """
    length = scaled(spans[-1].stop, scale)
    total = np.zeros(length)
    ramp_length = scaled(overlap, scale)
    ramp = np.sin((np.arange(ramp_length) + 0.5) / max(ramp_length, 1) * math.pi / 2) ** 2
    raw = []
    for span in spans:
        weight = np.ones(scaled(span.length, scale))
        if span.start > 0:
            weight[:ramp_length] *= ramp
        if scaled(span.stop, scale) < length:
            weight[len(weight) - ramp_length :] *= ramp[::-1]
        raw.append(weight)
        total[scaled(span.start, scale) : scaled(span.stop, scale)] += weight
    return [
        (weight / total[scaled(span.start, scale) : scaled(span.stop, scale)]).astype(np.float32)
        for span, weight in zip(spans, raw, strict=True)
    ]


class RowBlender:
    """Puts SR tiles together row of tiles by row of tiles, holding no more than the rows still in the making.

    Weights along both axes are separable and add up to 1, so a pixel is a plain weighted sum of the tiles over it.

    Args:
        rows, columns: the spans of both axes.
        overlap: LR pixels over which neighbours blend; 0 cuts.
        scale: SR pixels per LR pixel; spans begin and end where it makes whole pixels.
        channels: of a tile.
        arrays: whose arrays the tiles are, and on which device.
    """

    def __init__(
        self,
        rows: Sequence[Span],
        columns: Sequence[Span],
        overlap: int,
        scale: Scale,
        channels: int,
        arrays: Arrays = NUMPY,
    ) -> None:
        self._rows, self._columns, self._scale, self._arrays = rows, columns, scale, arrays
        self._row_weights = [arrays.of(weight) for weight in blend_weights(rows, overlap, scale)]
        self._column_weights = [arrays.of(weight) for weight in blend_weights(columns, overlap, scale)]
        width = scaled(columns[-1].stop, scale)
        height = scaled(max(row.length for row in rows), scale)
        self._strip = arrays.of(np.zeros((height, width, channels), np.float32))  # one row of tiles, blended along x
        self._carry = self._strip[:0]  # rows begun by earlier tiles, blended along y so far

    def add(self, column: int, sr: Any) -> None:
        """Takes one tile's kept part, (scale * h, scale * w, C) float32; column 0 begins a row of tiles."""
        if column == 0:
            self._strip[:] = 0
        span = self._columns[column]
        left, right = scaled(span.start, self._scale), scaled(span.stop, self._scale)
        self._arrays.add_product(self._strip[: sr.shape[0], left:right], sr, self._column_weights[column][:, None])

    def finish_row(self, row: int) -> tuple[int, Any]:
        """Ends a row of tiles; gives (first SR row, (h, W, C) float32) for the rows that no later tile touches.

        The array is the blender's own memory: use it before the next `add`.
        """
        span = self._rows[row]
        top, bottom = scaled(span.start, self._scale), scaled(span.stop, self._scale)
        band = self._strip[: bottom - top]
        band *= self._row_weights[row][:, None, None]
        shared = self._carry.shape[0]  # rows top .. top + shared, begun by the rows of tiles before
        band[:shared] += self._carry
        final = scaled(self._rows[row + 1].start, self._scale) if row + 1 < len(self._rows) else bottom
        self._carry = self._arrays.copy(band[final - top :])
        return top, band[: final - top]


class RowJoiner:
    """Puts SR tiles that need no blending side by side, row of tiles by row of tiles; where two meet, the later wins.

    Args:
        rows, columns: the spans of both axes.
        scale: SR pixels per LR pixel.
        channels, dtype: of a tile.
    """

    def __init__(
        self, rows: Sequence[Span], columns: Sequence[Span], scale: Scale, channels: int, dtype: np.dtype[Any]
    ) -> None:
        self._rows, self._columns, self._scale = rows, columns, scale
        self._shape = scaled(max(row.length for row in rows), scale), scaled(columns[-1].stop, scale), channels
        self._dtype = dtype
        self._strip = np.empty(0, dtype)

    def add(self, column: int, sr: NDArray[Any]) -> None:
        """Takes one tile's kept part, (scale * h, scale * w, C); column 0 begins a row of tiles."""
        if len(self._columns) == 1:  # as it is: all rows of it, and nothing beside
            self._strip = sr
            return
        if column == 0:
            self._strip = np.empty(self._shape, self._dtype)  # a new one: who got the last may still have it
        left = scaled(self._columns[column].start, self._scale)
        self._strip[: sr.shape[0], left : left + sr.shape[1]] = sr

    def finish_row(self, row: int) -> tuple[int, NDArray[Any]]:
        """Ends a row of tiles; gives (first SR row, (h, W, C)) for the rows that no later tile touches."""
        start, stop = self._rows[row].start, self._rows[row].stop
        final = self._rows[row + 1].start if row + 1 < len(self._rows) else stop
        return scaled(start, self._scale), self._strip[: scaled(final - start, self._scale)]


def _round_up(value: int, multiple_of: int) -> int:
    return math.ceil(value / multiple_of) * multiple_of
