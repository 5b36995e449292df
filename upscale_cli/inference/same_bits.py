"""Whether a net gives the same bits whatever the shape of the window that a pixel lies in: tried, once for each size.

An engine may choose its instructions by the shape of what it is given. On two processors and by three engines none was
seen to end in other bits for that; but nobody promises it, so each net is asked where it runs.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Final

import torch
from torch import Tensor

from upscale_cli.inference.frame_cells import FrameCells
from upscale_cli.inference.tiling import Span

Kept = Callable[[Tensor, Span, Span], Tensor]
"""What a picture's window keeps: (1, C, h, w), its rows and columns, to (scale * h', scale * w', C)."""

MOST_MACS: Final = 3e10
"""Multiply-adds of the noise that is tried, some tenths of a second. Of larger frames three cells a side are."""


class SameBits:
    """Of one net on one device."""

    def __init__(self) -> None:
        self._known = dict[Hashable, bool]()
        self._lock = threading.Lock()

    def holds(self, key: Hashable, like: Tensor, cells: FrameCells, kept: Kept, macs: float) -> bool:
        """Whether noise ends in the same bits as a whole and in cells.

        Args:
            key: precision, and what else decides about how pixels are computed.
            like: (1, C, h, w) float32 or uint8; the frame's size and kind.
            kept: through the net.
            macs: multiply-adds per LR pixel.
        """
        key = (key, like.shape, like.dtype)
        with self._lock:
            if key not in self._known:
                self._known[key] = _agrees(like, cells, kept, macs)
            return self._known[key]


def _agrees(like: Tensor, cells: FrameCells, kept: Kept, macs: float) -> bool:
    rows, columns = cells.rows, cells.columns
    if macs * like.shape[-2] * like.shape[-1] > MOST_MACS:
        rows, columns = rows[:3], columns[:3]
    height, width = rows[-1].window_stop, columns[-1].window_stop
    noise = _noise(like, height, width)
    whole = kept(noise, Span(0, height, 0, height), Span(0, width, 0, width))
    scale = whole.shape[0] // height
    # A corner, and one that has neighbours on all sides where there are so many.
    for y, x in ((rows[0], columns[0]), (rows[len(rows) // 2], columns[len(columns) // 2])):
        part = whole[y.start * scale : y.stop * scale, x.start * scale : x.stop * scale]
        if not torch.equal(part, kept(noise, y, x)):
            return False
    return True


def _noise(like: Tensor, height: int, width: int) -> Tensor:
    shape, seed = (1, like.shape[1], height, width), torch.Generator().manual_seed(0)
    if like.dtype == torch.uint8:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seed)
    return torch.rand(shape, generator=seed)
