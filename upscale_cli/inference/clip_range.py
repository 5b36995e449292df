"""Which values the gray frames of a clip use: one range for all of them, as for the pages of a stack.

Thermal cameras and depth sensors write 16 bits of which a scene takes a few hundred codes; see `value_range`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.inference.value_range import FEW, LITTLE, ValueRange, ends, robust
from upscale_cli.inference.yuv import Levels


@dataclass(frozen=True, slots=True)
class UsedLevels(Levels):
    """The code values of a plane that uses little of its range; what lies beyond is `beyond`."""

    @classmethod
    def of(cls, used: ValueRange) -> Self:
        return cls(used.black, used.white - used.black)

    def values(self, codes: Tensor) -> Tensor:
        """Integer codes to float32 in [0, 1]."""
        return codes.to(torch.float32).sub_(self.zero).div_(self.span).clamp_(0, 1)

    def codes(self, values: Tensor) -> Tensor:
        """Values to codes within the range, not rounded yet; in place."""
        return values.clamp_(0, 1).mul_(self.span).add_(self.zero)

    def beyond(self, codes: Tensor) -> Tensor | None:
        """What of integer codes lies below or above the range, float32; 0 where nothing does."""
        wide = codes.to(torch.float32)
        return wide - wide.clamp(self.zero, self.zero + self.span)


def range_of_frames(frames: Iterable[NDArray[Any]], bits: int) -> ValueRange:
    """What all frames together use; looks no further than to the first that use their range together.

    Args:
        frames: (n,) codes each.
        bits: of a code, more than 8.
    """
    top = (1 << bits) - 1
    full = ValueRange(0.0, top, 0.0, top, (0.0, top))
    counts = np.zeros(top + 1, np.int64)
    for samples in frames:
        counts += np.bincount(samples, minlength=top + 1)
        few, most = ends(counts, counts.sum() * FEW)
        if most - few > top * LITTLE:
            return full
    if not counts.any():
        return full
    codes = np.flatnonzero(counts)
    low, high = int(codes[0]), int(codes[-1])
    black, white = robust(low, high, *ends(counts, counts.sum() * FEW))
    return full if white - black > top * LITTLE else ValueRange(black, white, low, high, full.usual)
