"""What of a clip's frame is to be computed, where a window of any shape ends in the same bits. Pure.

A frame is compared with the one before in cells, as fine as makes sense. What is then computed is the cheapest of

    whole     the frame as one window: where nothing repeats, that costs nothing more than without any cells
    a band    all rows, or all columns, between the first and the last cell that has changed: a ticker, a scrolled page
    cells     those that have changed, each by itself: a cursor, a line that is typed

An engine prepares itself for every shape of window, and keeps few. So cells are all of one shape, and a band is taken
once one of its shape was wanted often.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.frame_grid import BAR, SIDES, cut
from upscale_cli.inference.tiling import Span

MOST_CELLS: Final = 300
"""Of a frame: to look at each of them takes a moment too."""

SIDE_PER_HALO: Final = 3
"""A side of a cell in halos, at least: cells of espcn are read with a quarter more pixels, of a deep net twice over."""

CALL_PIXELS: Final = 8192
"""What a window costs besides its pixels, in pixels of a light net: copies, and the call of an engine."""

WORTH: Final = 0.7
"""Of the whole's cost, above which the whole is computed: to put a frame together from parts takes time too, and frames
in progress wait for each other's parts."""

OFTEN: Final = 4
"""Frames that want a band of one shape before it is computed as such."""

MOST_BANDS: Final = 2
"""Shapes of bands in a clip: engines keep four shapes, and two are the whole's and the cells'."""


@dataclass(frozen=True, slots=True)
class Block:
    """A window of the frame that keeps whole cells.

    Attributes:
        y, x: what is read and kept of it.
        rows, columns: the cells that it keeps.
    """

    y: Span
    x: Span
    rows: range
    columns: range

    @property
    def read(self) -> int:
        """LR pixels of the window."""
        return self.y.read * self.x.read

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.read, self.x.read


class Way(NamedTuple):
    """What may be computed of a frame, and what it costs in pixels of one large window."""

    cost: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class FrameCells:
    """The cells of a frame, along y and along x; windows of one shape, each pixel kept once."""

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def block(self, rows: range, columns: range) -> Block:
        return Block(_joined(self.rows, rows), _joined(self.columns, columns), rows, columns)

    @property
    def whole(self) -> Block:
        return self.block(range(len(self.rows)), range(len(self.columns)))

    def each(self, changed: NDArray[np.bool_]) -> Iterator[Block]:
        """The cells that have changed, by themselves."""
        for row, column in np.argwhere(changed).tolist():
            yield self.block(range(row, row + 1), range(column, column + 1))

    def ways(self, changed: NDArray[np.bool_]) -> list[Way]:
        """What may be computed so that all that has changed is, the cheapest first.

        Args:
            changed: (rows, columns) of cells.
        """
        rows, columns = np.flatnonzero(np.any(changed, axis=1)), np.flatnonzero(np.any(changed, axis=0))
        if not len(rows):
            return [Way(0, ())]
        whole, count = self.whole, int(np.count_nonzero(changed))
        bands = (
            self.block(range(int(rows[0]), int(rows[-1]) + 1), whole.columns),
            self.block(whole.rows, range(int(columns[0]), int(columns[-1]) + 1)),
        )
        most = WORTH * (whole.read + CALL_PIXELS)
        ways = [Way(block.read + CALL_PIXELS, (block,)) for block in bands if block.read + CALL_PIXELS < most]
        ways.append(Way(whole.read + CALL_PIXELS, (whole,)))
        # Cells are many, and are only made where that is worth it.
        if (cost := count * (self.rows[0].read * self.columns[0].read + CALL_PIXELS)) < most:
            ways.append(Way(cost, tuple(self.each(changed))))
        return sorted(ways, key=lambda way: way.cost)


@functools.lru_cache(maxsize=64)
def frame_cells(height: int, width: int, halo: int, multiple_of: int) -> FrameCells | None:
    """The cells of a frame; None where they would be the whole.

    Args:
        height, width: LR pixels, divisible by `multiple_of`.
        halo: LR pixels read on each side; rounded up to `multiple_of`.
    """
    halo = math.ceil(halo / multiple_of) * multiple_of
    for side in SIDES:
        if side < SIDE_PER_HALO * halo or height * width > MOST_CELLS * side**2:
            continue
        in_bar = height // BAR - 2 * halo  # the first and the last of them lie within a film's bars
        high = min(side, in_bar) if in_bar >= SIDE_PER_HALO * halo else side
        rows, columns = (tuple(cut(*of, halo, multiple_of)) for of in ((height, high), (width, side)))
        return FrameCells(rows, columns) if len(rows) * len(columns) > 1 else None
    return None


class Bands:
    """Which bands are computed as such in a clip: shapes that were wanted often, the first few of them."""

    def __init__(self) -> None:
        self._wanted = Counter[tuple[int, int]]()
        self._taken = set[tuple[int, int]]()

    def chosen(self, ways: Sequence[Way], cells: FrameCells) -> Sequence[Block]:
        """The cheapest way that may be taken; a band that would be cheaper is noted."""
        shapes = {cells.whole.shape, (cells.rows[0].read, cells.columns[0].read)}
        for way in ways:
            if not way.blocks or way.blocks[0].shape in shapes or self._may(way.blocks[0].shape):
                return way.blocks
        return (cells.whole,)

    def _may(self, shape: tuple[int, int]) -> bool:
        if shape in self._taken:
            return True
        self._wanted[shape] += 1
        if self._wanted[shape] < OFTEN or len(self._taken) >= MOST_BANDS:
            return False
        self._taken.add(shape)
        return True


def _joined(spans: Sequence[Span], places: range) -> Span:
    first, last = spans[places[0]], spans[places[-1]]
    return Span(first.window_start, last.window_stop, first.start, last.stop)
