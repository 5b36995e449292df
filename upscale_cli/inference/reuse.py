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
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import numpy as np
import torch
from torch import Tensor

from upscale_cli.inference.frame_cells import Block, Blocks, FrameCells
from upscale_cli.inference.frame_changes import Changes, changes, differences
from upscale_cli.inference.tiling import Span
from upscale_cli.models.interface import Precision, Scale, scaled

MOST_BYTES: Final = 256 * 2**20
"""What is kept of a frame's pass, at most. Larger frames are computed anew (equal ones are not: `jobs.frame_queue`)."""

Compute = Callable[[Span, Span], Tensor]
"""A window's SR pixels, by its rows and columns."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    """What a pass has got of a frame, and what it makes of it.

    Attributes:
        key: of another, nothing can be taken.
        lr: (1, C, h, w) float32 or uint8 on the host; never changed any more.
        windows: SR pixels of each, there or to come; cancelled where they will not come. Of a frame whose windows may
            be of any shape one, the whole.
    """

    key: Hashable
    lr: Tensor
    windows: Sequence[Future[Tensor]]


class Reuse:
    """The frames of a stream that go through the nets of one device, in order; owns what is kept of the last one.

    Attributes:
        frames: what was taken over so far, as a number of frames: two of which half was taken are one.
        blocks: of each pass, by its name and size.
    """

    def __init__(self) -> None:
        self.frames = 0.0
        self.blocks = defaultdict[Hashable, Blocks](Blocks)
        self._last: Turn | None = None
        self._counting = threading.Lock()

    def turn(self) -> "Turn":
        """For the next frame; to be asked for in the order in which frames begin, and to be entered."""
        self._last = Turn(self, self._last)
        return self._last

    def chosen(self, key: Hashable, cells: FrameCells, its: Changes) -> Sequence[Block]:
        """What of a frame of which that has changed is computed; see `frame_cells`."""
        with self._counting:
            return self.blocks[key].chosen(cells.ways(its), cells)

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
        windows = [known.windows[place] if known and same[place] else own[place] for place in range(len(cells))]
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
    ) -> Tensor:
        """The SR pixels of a pass whose windows may be of any shape, (h, w, C); bytes are not to be changed, floats are
        the caller's own.

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
            its = changes(known.lr, lr, cells.rows, cells.columns)
            blocks = self._line.chosen((name, lr.shape), cells, its)
        done = Future[Tensor]()
        self._own.append(done)
        self._begin(name, _Pass(key, lr, (done,)))
        sr = None
        if known is not None and blocks != (whole,):
            parts = [compute(block.y, block.x) for block in blocks]
            sr = _with_parts(known.windows[0], blocks, parts, scale)
        if sr is None:
            sr = compute(whole.y, whole.x)
        else:
            self._taken += macs * max(0, whole.read - sum(block.read for block in blocks))
        done.set_result(sr)
        return sr if lr.dtype == torch.uint8 else sr.clone()

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
    ) -> Callable[[Compute], Tensor]:
        """As `known`, for windows of any shape."""
        return lambda compute: self.turn.frame(
            self.name, (precision, cells), lr, cells, compute, scale=scale, macs=max(macs, 1.0)
        )


def _with_parts(
    before: Future[Tensor], blocks: Sequence[Block], parts: Sequence[Tensor], scale: Scale
) -> Tensor | None:
    """A frame that differs from the one before in some blocks; None where that one has failed, or was given up.

    By numpy: a copy is a matter of moments, for which torch would wake threads that the engine has a use for.
    """
    try:
        sr = before.result()
    except CancelledError:
        return None
    if not blocks:
        return sr
    values = np.copy(sr.numpy(), order="K")
    for block, part in zip(blocks, parts, strict=True):
        top, left = scaled(block.y.start, scale), scaled(block.x.start, scale)
        values[top : top + part.shape[0], left : left + part.shape[1]] = part.numpy()
    return torch.from_numpy(values)
