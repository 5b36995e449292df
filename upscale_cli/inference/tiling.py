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
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.inference.options import check_tile
from upscale_cli.models.interface import Scale, scaled

MIN_TILE: Final = 8
"""LR pixels that are kept of a window at least."""

ALIGNMENT: Final = 8
"""Windows that need not end on the border have sides that divide by this: convolutions are faster."""


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


@dataclass(frozen=True, slots=True)
class Geometry:
    """How the tiles of a pass lie in a picture of any size.

    Attributes:
        scale: SR pixels per LR pixel.
        halo: LR pixels read around a tile and thrown away.
        multiple_of: what sides of windows divide by, and where they begin.
        overlap: LR pixels that neighbours share, to be blended.
    """

    scale: Scale
    halo: int
    multiple_of: int
    overlap: int


def tile_spans(length: int, tile: int, overlap: int, halo: int, multiple_of: int = 1) -> list[Span]:
    """Cuts one axis of `length` LR pixels into tiles, first to last; every window has the same length.

    Args:
        length: LR pixels of the axis, divisible by `multiple_of`.
        tile: LR pixels an inner tile keeps; rounded up to `multiple_of`.
        overlap: LR pixels that neighbours at least share, to be blended.
        halo: LR pixels read on each side of a tile and thrown away; rounded up to `multiple_of`.
        multiple_of: windows start at multiples of it and their length divides by it.

    Raises:
        OptionError: overlap >= tile, for then the tiles would never advance.

    >>> [(span.start, span.stop) for span in tile_spans(length=100, tile=64, overlap=16, halo=0)]
    [(0, 64), (36, 100)]
    """
    check_tile(tile, overlap)
    tile = _round_up(tile, multiple_of)
    halo = _round_up(halo, multiple_of)
    window = min(tile + 2 * halo, length)
    step = max(multiple_of, (tile - overlap) // multiple_of * multiple_of)
    count = 1 + max(0, math.ceil((length - window) / step))
    spans = []
    for number in range(count):
        window_start = min(number * step, length - window)
        window_stop = window_start + window
        start = 0 if window_start == 0 else window_start + halo
        stop = length if window_stop == length else window_stop - halo
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
        height, width: LR pixels, divisible by `multiple_of`; the others as for `tile_spans`.

    >>> automatic_tiles(512, 1000, overlap=0, halo=34, multiple_of=1, limits=Limits(side=640, pixels=640 * 640))
    (444, 468)
    """
    margin = 2 * _round_up(halo, multiple_of)

    def window(length: int, side: int) -> int:
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
    return max(row_window - margin, overlap + 1), max(column_window - margin, overlap + 1)


def blend_weights(spans: Sequence[Span], overlap: int, scale: Scale) -> list[Tensor]:
    """How much each tile counts along one axis; over all tiles the weights of a pixel add up to 1.

    A tile's weight rises smoothly (sin ** 2) over `overlap` pixels from an inner edge, is flat in the middle, and
    falls the same way; then all are divided by their sum, so that any number of tiles may meet in a pixel.

    Returns:
        One float32 vector a span, of `scale * span.length` SR pixels.
    """
    length = scaled(spans[-1].stop, scale)
    total = torch.zeros(length, dtype=torch.float64)
    ramp_length = scaled(overlap, scale)
    ramp = torch.sin((torch.arange(ramp_length, dtype=torch.float64) + 0.5) / max(ramp_length, 1) * math.pi / 2) ** 2
    raw = []
    for span in spans:
        weight = torch.ones(scaled(span.length, scale), dtype=torch.float64)
        if span.start > 0:
            weight[:ramp_length] *= ramp
        if scaled(span.stop, scale) < length:
            weight[len(weight) - ramp_length :] *= ramp.flip(0)
        raw.append(weight)
        total[scaled(span.start, scale) : scaled(span.stop, scale)] += weight
    return [
        (weight / total[scaled(span.start, scale) : scaled(span.stop, scale)]).float()
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
        device: where the rows are put together; None: on the host.
    """

    def __init__(
        self,
        rows: Sequence[Span],
        columns: Sequence[Span],
        overlap: int,
        scale: Scale,
        channels: int,
        device: torch.device | None = None,
    ) -> None:
        self._rows, self._columns, self._scale = rows, columns, scale
        self._row_weights = [weight.to(device) for weight in blend_weights(rows, overlap, scale)]
        self._column_weights = [weight.to(device) for weight in blend_weights(columns, overlap, scale)]
        width = scaled(columns[-1].stop, scale)
        height = scaled(max(row.length for row in rows), scale)
        self._strip = torch.zeros(height, width, channels, device=device)  # one row of tiles, blended along x
        self._carry = torch.zeros(
            0, width, channels, device=device
        )  # rows begun by earlier tiles, blended along y so far

    def add(self, column: int, sr: Tensor) -> None:
        """Takes one tile's kept part, (scale * h, scale * w, C) float32 on the host; column 0 begins a row of tiles."""
        if column == 0:
            self._strip.zero_()
        span = self._columns[column]
        left, right = scaled(span.start, self._scale), scaled(span.stop, self._scale)
        weight = self._column_weights[column][:, None]
        self._strip[: sr.shape[0], left:right].addcmul_(sr, weight)

    def finish_row(self, row: int) -> tuple[int, Tensor]:
        """Ends a row of tiles; gives (first SR row, (h, W, C) float32) for the rows that no later tile touches.

        The tensor is the blender's own memory: use it before the next `add`.
        """
        span = self._rows[row]
        top, bottom = scaled(span.start, self._scale), scaled(span.stop, self._scale)
        band = self._strip[: bottom - top]
        band *= self._row_weights[row][:, None, None]
        shared = self._carry.shape[0]  # rows top .. top + shared, begun by the rows of tiles before
        band[:shared] += self._carry
        final = scaled(self._rows[row + 1].start, self._scale) if row + 1 < len(self._rows) else bottom
        self._carry = band[final - top :].clone()
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
