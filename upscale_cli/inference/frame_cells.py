"""What of a clip's frame is to be computed, where a window of any shape ends in the same bits. Pure.

A frame is compared with the one before. What is then computed is the cheapest of

    whole     the frame as one window: where nothing repeats, that costs nothing more than without any cells
    a block   all that lies between the first and the last pixel that has changed, in rows, in columns, or in both: what
              is between a film's bars, a ticker, a page that is scrolled, a speaker beside slides
    cells     those that have changed, each by itself: a cursor, a line that is typed

An engine prepares itself for every shape of window, and keeps few. So cells are all of one shape, and a block is taken
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

from upscale_cli.inference.frame_changes import Changes, Extent
from upscale_cli.inference.frame_grid import BAR, SIDES, cut
from upscale_cli.inference.tiling import Span

MOST_CELLS: Final = 300
"""Of a frame: to look at each of them takes a moment too."""

SIDE_PER_HALO: Final = 3
"""A side of a cell in halos, at least: cells of espcn are read with a quarter more pixels, of a deep net twice over."""

CALL_PIXELS: Final = 8192
"""What a window costs besides its pixels, in pixels of a light net: copies, and the call of an engine."""

WORTH: Final = 0.92
"""Of the whole's cost, above which the whole is computed: to put a frame together from parts takes time too."""

OFTEN: Final = 4
"""Frames that want a block of one shape before it is computed as such."""

MOST_BLOCKS: Final = 2
"""Shapes of blocks in a clip: engines keep four shapes, and two are the whole's and the cells'."""

BLOCK_STEP: Final = 4
"""LR pixels of the grid that blocks begin and end on."""

FORGOTTEN: Final = 100
"""Frames after which a shape that none of them was computed in makes room for another."""


@dataclass(frozen=True, slots=True)
class Block:
    """A window of the frame: what is read and kept of it."""

    y: Span
    x: Span

    @property
    def read(self) -> int:
        """LR pixels of the window."""
        return self.y.read * self.x.read

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.read, self.x.read

    def keeps(self, other: "Block") -> bool:
        """All that another one does."""
        return (self.y.start <= other.y.start and other.y.stop <= self.y.stop
                and self.x.start <= other.x.start and other.x.stop <= self.x.stop)  # fmt: skip


class Way(NamedTuple):
    """What may be computed of a frame, and what it costs in pixels of one large window."""

    cost: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class FrameCells:
    """The cells of a frame, along y and along x; windows of one shape, each pixel kept once.

    Attributes:
        halo: LR pixels that are read on each side of what is kept.
        multiple_of: windows begin and end at multiples of it; it divides the halo.
    """

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]
    halo: int = 0
    multiple_of: int = 1

    @property
    def whole(self) -> Block:
        return Block(*(Span(0, spans[-1].stop, 0, spans[-1].stop) for spans in (self.rows, self.columns)))

    def each(self, changed: NDArray[np.bool_]) -> Iterator[Block]:
        """The cells that have changed, by themselves."""
        for row, column in np.argwhere(changed).tolist():
            yield Block(self.rows[row], self.columns[column])

    def around(self, changes: Changes) -> tuple[Block, ...]:
        """All that depends on what has changed: as rows, as columns, and as neither, each shape once."""
        whole = self.whole
        y, x = self._around(changes.y, whole.y.stop), self._around(changes.x, whole.x.stop)
        return tuple({block.shape: block for block in (Block(y, whole.x), Block(whole.y, x), Block(y, x))}.values())

    def _around(self, changed: Extent, length: int) -> Span:
        """Begins and ends on a coarse grid, so that it stays while edges of a moving picture come and go."""
        step = math.lcm(BLOCK_STEP, self.multiple_of)
        start = max(0, (changed[0] - self.halo) // step * step)
        stop = min(length, math.ceil((changed[1] + self.halo) / step) * step)
        return Span(max(0, start - self.halo), min(length, stop + self.halo), start, stop)

    def ways(self, changes: Changes) -> list[Way]:
        """What may be computed so that all that has changed is, the cheapest first."""
        if not changes.cells.any():
            return [Way(0, ())]
        whole, count = self.whole, int(np.count_nonzero(changes.cells))
        most = WORTH * (whole.read + CALL_PIXELS)
        ways = [Way(block.read + CALL_PIXELS, (block,)) for block in self.around(changes)]
        ways = [way for way in ways if way.cost < most]
        ways.append(Way(whole.read + CALL_PIXELS, (whole,)))
        # Cells are many, and are only made where that is worth it.
        if (cost := count * (self.rows[0].read * self.columns[0].read + CALL_PIXELS)) < most:
            ways.append(Way(cost, tuple(self.each(changes.cells))))
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
        return FrameCells(rows, columns, halo, multiple_of) if len(rows) * len(columns) > 1 else None
    return None


class Blocks:
    """Which blocks are computed as such in a clip: of shapes that were wanted often, a few at a time."""

    def __init__(self) -> None:
        self._wanted = Counter[tuple[int, int]]()
        self._taken = dict[tuple[int, int], tuple[int, Block]]()  # shape: (frame, block) of the last one
        self._frame = 0

    def chosen(self, ways: Sequence[Way], cells: FrameCells) -> Sequence[Block]:
        """The cheapest way that may be taken; a block that would be cheaper is noted."""
        self._frame += 1
        shapes = {cells.whole.shape, (cells.rows[0].read, cells.columns[0].read)}
        for way in self._with_known(ways):
            if not way.blocks or way.blocks[0].shape in shapes:
                return way.blocks
            (block,) = way.blocks
            if self._may(block.shape):
                self._taken[block.shape] = self._frame, block
                return way.blocks
        return (cells.whole,)

    def _with_known(self, ways: Sequence[Way]) -> list[Way]:
        """What was computed before, too, where it holds what is wanted now and little more."""
        known = [
            Way(block.read + CALL_PIXELS, (block,))
            for _, block in self._taken.values()
            if any(len(way.blocks) == 1 and block.keeps(way.blocks[0]) for way in ways)
        ]
        return sorted([*ways, *known], key=lambda way: way.cost) if known else list(ways)

    def _may(self, shape: tuple[int, int]) -> bool:
        if shape in self._taken:
            return True
        self._wanted[shape] += 1
        if self._wanted[shape] < OFTEN:
            return False
        if len(self._taken) >= MOST_BLOCKS:
            oldest = min(self._taken, key=lambda taken: self._taken[taken][0])
            if self._taken[oldest][0] > self._frame - FORGOTTEN:
                return False
            del self._taken[oldest]
        self._wanted.clear()
        return True
