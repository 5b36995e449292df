"""What a frame has in common with the one before in its clip is not computed again.

    LR values of a pass, cut into windows  ->  equal to those of the frame before?  ->  its SR window
                                                                             no     ->  the net

A window goes through the net alone, and its SR pixels depend on its LR pixels only, halo included. So where those are
the same, bit for bit, the SR pixels are: a cache, and it can be left out without any difference. It sits where values
go into a pass: a net for luma asks for equal luma only, one for R'G'B' also for the chroma that its colours were made
of, and a second pass for what the first one has made.

Frames may be in progress at the same time, each in a thread: a frame computes its own windows first, and then takes the
others from the one before, which has begun earlier, and waits for none that comes later.
"""

import math
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence, Set
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.inference.frame_cells import Bands, Block, FrameCells
from upscale_cli.inference.tiling import Span
from upscale_cli.models.interface import Precision, Scale, scaled

MOST_BYTES: Final = 256 * 2**20
"""What is kept of a frame's pass, at most. Larger frames are computed anew (equal ones are not: `jobs.frame_queue`)."""

GLANCE_ROWS: Final = 16
"""One row in so many is compared before all are: where windows differ, they mostly do there."""

Compute = Callable[[Span, Span], Tensor]
"""A window's SR pixels, by its rows and columns."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """What a pass has got of a frame, and what it makes of it.

    Attributes:
        key: of another, nothing can be taken.
        lr: (1, C, h, w) float32 or uint8 on the host; never changed any more.
        windows: SR pixels of each, there or to come; cancelled where they will not come.
        whole: of a frame that was computed as one window, in the place of its windows.
    """

    key: Hashable
    lr: Tensor
    windows: "Sequence[Future[Tensor] | _Part]"
    whole: Future[Tensor] | None = None

    def cell(self, row: int, column: int, cells: FrameCells, scale: Scale) -> "Future[Tensor] | _Part":
        if self.whole is None:
            return self.windows[row * len(cells.columns) + column]
        y, x = cells.rows[row], cells.columns[column]
        return _Part(
            self.whole, slice(scaled(y.start, scale), scaled(y.stop, scale)),
            slice(scaled(x.start, scale), scaled(x.stop, scale)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Part:
    """A cell of a frame that is computed as one window."""

    whole: Future[Tensor]
    rows: slice
    columns: slice

    def result(self) -> Tensor:
        return self.whole.result()[self.rows, self.columns]


class Reuse:
    """The frames of a stream that go through the nets of one device, in order; owns what is kept of the last one.

    Attributes:
        frames: what was taken over so far, as a number of frames: two of which half was taken are one.
        bands: of each pass, by its name and size.
    """

    def __init__(self) -> None:
        self.frames = 0.0
        self.bands = defaultdict[Hashable, Bands](Bands)
        self._last: Turn | None = None
        self._counting = threading.Lock()

    def turn(self) -> "Turn":
        """For the next frame; to be asked for in the order in which frames begin, and to be entered."""
        self._last = Turn(self, self._last)
        return self._last

    def blocks(self, key: Hashable, cells: FrameCells, changed: NDArray[np.bool_]) -> Sequence[Block]:
        """What of a frame of which that has changed is computed; see `frame_cells`."""
        with self._counting:
            return self.bands[key].chosen(cells.ways(changed), cells)

    def count(self, share: float) -> None:
        with self._counting:
            self.frames += share


class Turn:
    """One frame's part in a `Reuse`, and a context: when it is left, nothing of that frame will come any more.

    Args:
        before: of the frame before.
    """

    def __init__(self, line: Reuse, before: "Turn | None") -> None:
        self._line, self._before = line, before
        self._passes: dict[str, _Pass] = {}
        self._own: list[Future[Tensor]] = []
        self._is_over = False
        self._changed = threading.Condition()
        self._work = self._taken = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._is_over = True
            self._before = None
            for window in self._own:
                window.cancel()  # which does nothing to those that are there
            self._changed.notify_all()
        if kind is None and self._work:
            self._line.count(self._taken / self._work)

    def windows(
        self, name: str, key: Hashable, lr: Tensor, rows: Sequence[Span], columns: Sequence[Span], compute: Compute,
        *, sr_bytes: int, macs: float,
    ) -> list[Tensor]:  # fmt: skip
        """The SR windows of a pass, row of windows by row of windows; not to be changed.

        Args:
            name: of the pass within the frame.
            key: everything besides pixels that decides about SR pixels: precision, and how the frame is cut.
            lr: (1, C, h, w) float32 or uint8 on the host, contiguous, not to be changed from now on.
            compute: gives the same for the same pixels, and is called once for each window that is not there.
            sr_bytes: of all windows together.
            macs: multiply-adds per LR pixel, for the share of work that was saved.
        """
        cells = [(y, x) for y in rows for x in columns]
        work = [max(macs, 1.0) * y.read * x.read for y, x in cells]
        self._work += sum(work)
        if sr_bytes + lr.nbytes > MOST_BYTES:
            return [compute(y, x) for y, x in cells]
        known = self._known(name, key, lr)
        same = [False] * len(cells) if known is None else (~differences(known.lr, lr, rows, columns)).ravel().tolist()
        own: list[Future[Tensor]] = [Future() for _ in cells]
        self._own += own
        windows: list[Future[Tensor] | _Part] = [
            known.windows[place] if known and same[place] else own[place] for place in range(len(cells))
        ]
        self._begin(name, _Pass(key, lr, windows))
        for (y, x), is_same, missing in zip(cells, same, own, strict=True):
            if not is_same:
                missing.set_result(compute(y, x))
        made = []
        for (y, x), is_same, window, cost in zip(cells, same, windows, work, strict=True):
            try:
                made.append(window.result())
                self._taken += is_same * cost
            except CancelledError:  # the frame before has failed, or was given up
                made.append(compute(y, x))
        return made

    def frame(
        self, name: str, key: Hashable, lr: Tensor, cells: FrameCells, compute: Compute, *, scale: Scale, macs: float
    ) -> Tensor | list[Tensor]:
        """The SR pixels of a pass whose windows may be of any shape: of the whole, to be changed by nobody but the
        caller, or those of all cells, not to be changed, row by row.

        Args:
            name, key, lr, compute, macs: as of `windows`.
            scale: SR pixels per LR pixel.
        """
        whole = cells.whole
        self._work += macs * whole.read
        if lr.nbytes * (1 + scale**2) > MOST_BYTES:
            return compute(whole.y, whole.x)
        known = self._known(name, key, lr)
        blocks: Sequence[Block] = (whole,)
        if known is not None:
            changed = differences(known.lr, lr, cells.rows, cells.columns)
            blocks = self._line.blocks((name, lr.shape), cells, changed)
        if known is None or blocks == (whole,):
            done = Future[Tensor]()
            self._own.append(done)
            self._begin(name, _Pass(key, lr, (), done))
            done.set_result(sr := compute(whole.y, whole.x))
            return sr if lr.dtype == torch.uint8 else sr.clone()
        own = {(row, column): Future[Tensor]() for b in blocks for row in b.rows for column in b.columns}
        self._own += own.values()
        places = [(row, column) for row in whole.rows for column in whole.columns]
        windows = [own[at] if at in own else known.cell(*at, cells, scale) for at in places]
        self._begin(name, _Pass(key, lr, windows))
        for block in blocks:
            for at, part in _parts(compute(block.y, block.x), block, cells, scale):
                own[at].set_result(part)
        self._taken += macs * max(0, whole.read - sum(block.read for block in blocks))
        return self._gathered(windows, cells, compute, {row * len(cells.columns) + column for row, column in own})

    def _gathered(
        self, windows: list[Future[Tensor] | _Part], cells: FrameCells, compute: Compute, own: Set[int]
    ) -> list[Tensor]:
        """All cells; those that are parts of a larger window of another frame are kept without it from now on.

        Args:
            own: places of those that are this frame's.
        """
        made = []
        for place, window in enumerate(windows):
            try:
                sr = window.result()
            except CancelledError:  # the frame before has failed, or was given up
                row, column = divmod(place, len(cells.columns))
                sr = compute(cells.rows[row], cells.columns[column])
            if place not in own and sr.untyped_storage().nbytes() > 2 * sr.nbytes:
                sr = sr.clone()
                windows[place] = done = Future[Tensor]()
                done.set_result(sr)
            made.append(sr)
        return made

    def _known(self, name: str, key: Hashable, lr: Tensor) -> _Pass | None:
        """What that pass has got of the frame before, if anything can be taken from it."""
        known = self._before.wait_for(name) if self._before is not None else None
        is_alike = known is not None and (known.key, known.lr.shape, known.lr.dtype) == (key, lr.shape, lr.dtype)
        return known if is_alike else None

    def _begin(self, name: str, one: _Pass) -> None:
        with self._changed:
            self._passes[name] = one
            self._changed.notify_all()

    def wait_for(self, name: str) -> _Pass | None:
        """What a pass has got of this frame; None where the frame is over, and has had no such pass."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_over or name in self._passes)
            return self._passes.get(name)


@dataclass(frozen=True, slots=True)
class PassReuse:
    """One pass of a frame: where its windows are looked for.

    Attributes:
        name: of the pass within the frame.
    """

    turn: Turn
    name: str

    def known(
        self, precision: Precision, lr: Tensor, rows: Sequence[Span], columns: Sequence[Span], scale: Scale, macs: float
    ) -> Callable[[Compute], Sequence[Tensor]]:
        """What gives the windows of a pass, if it is told how to compute one; the arguments are those of `windows`."""

        def windows(compute: Compute) -> Sequence[Tensor]:
            key, sr_bytes = (precision, tuple(rows), tuple(columns)), math.ceil(lr.nbytes * scale**2)
            return self.turn.windows(self.name, key, lr, rows, columns, compute, sr_bytes=sr_bytes, macs=macs)

        return windows

    def frame(
        self, precision: Precision, lr: Tensor, cells: FrameCells, scale: Scale, macs: float
    ) -> Callable[[Compute], Tensor | list[Tensor]]:
        """As `known`, for windows of any shape."""
        return lambda compute: self.turn.frame(
            self.name, (precision, cells), lr, cells, compute, scale=scale, macs=max(macs, 1.0)
        )


def differences(before: Tensor, lr: Tensor, rows: Sequence[Span], columns: Sequence[Span]) -> NDArray[np.bool_]:
    """(rows, columns): which windows do not have the same values in both, bit for bit (0.0 is not -0.0)."""
    one, other = (_values(picture) for picture in (before, lr))
    if (at_a_glance := _differences(one, other, rows, columns, GLANCE_ROWS)).all():
        return at_a_glance
    return _differences(one, other, rows, columns, 1)


def _differences(
    one: NDArray[Any], other: NDArray[Any], rows: Sequence[Span], columns: Sequence[Span], step: int
) -> NDArray[np.bool_]:
    """`differences` of (C, h, w) by one row in so many."""
    pixels = (one[:, ::step] != other[:, ::step]).any(axis=0)
    bands = np.stack(
        [pixels[-(-span.window_start // step) : -(-span.window_stop // step)].any(axis=0) for span in rows]
    )
    return np.stack([bands[:, span.window_start : span.window_stop].any(axis=1) for span in columns], axis=1)


def _parts(sr: Tensor, block: Block, cells: FrameCells, scale: Scale) -> Iterator[tuple[tuple[int, int], Tensor]]:
    """The cells within a block's SR pixels, (h, w, C); views."""
    for row in block.rows:
        y = cells.rows[row]
        band = sr[scaled(y.start - block.y.start, scale) : scaled(y.stop - block.y.start, scale)]
        for column in block.columns:
            x = cells.columns[column]
            yield (
                (row, column),
                band[:, scaled(x.start - block.x.start, scale) : scaled(x.stop - block.x.start, scale)],
            )


def _values(picture: Tensor) -> NDArray[Any]:
    """(C, h, w) whose integers are equal where the values' bits are."""
    values: NDArray[Any] = picture[0].numpy()
    return values.view(np.int32) if values.dtype == np.float32 else values
