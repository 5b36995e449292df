"""A plane enlarged by a whole number: the kernel of each phase, which is a place between two samples. Pure.

The same interpolation as `yuv.Resampler`'s, for engines that have convolutions.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.yuv import FILTERS, Axis, Grid
from upscale_cli.models.registry import Kernel


@dataclass(frozen=True, slots=True, eq=False)
class PolyphaseKernels:
    """The kernels of an enlargement.

    Attributes:
        kernels: (scale * scale, 1, h, w) float32, each of sum 1; row of phases by row of phases.
        before, after: samples that they reach over, down and across.
        scale: along both sides.
    """

    kernels: NDArray[np.float32]
    before: tuple[int, int]
    after: tuple[int, int]
    scale: int


def polyphase_kernels(source: Grid, target: Grid, kernel: Kernel) -> PolyphaseKernels | None:
    """The kernels from one grid to another; None where these do not lie so, or it is nothing to enlarge."""
    scale = round(target.x.density / source.x.density)
    down, across = (_axis(one, other, kernel, scale) for one, other in ((source.y, target.y), (source.x, target.x)))
    if down is None or across is None:
        return None
    (y_weights, y_before), (x_weights, x_before) = down, across
    kernels = np.einsum("ph,qw->pqhw", y_weights, x_weights)
    sides = kernels.shape[2:]
    return PolyphaseKernels(
        np.ascontiguousarray(kernels.reshape(scale * scale, 1, *sides), np.float32),
        (y_before, x_before), (sides[0] - 1 - y_before, sides[1] - 1 - x_before), scale,
    )  # fmt: skip


def _axis(source: Axis, target: Axis, kernel: Kernel, scale: int) -> tuple[NDArray[np.float64], int] | None:
    """((scale, taps) weights, how many taps lie before the sample), of one axis."""
    fits = scale > 1 and target.density == scale * source.density and target.count <= scale * source.count
    if not fits:
        return None
    filter_, reach = FILTERS[kernel]
    offsets = (np.arange(scale) + target.phase) / scale - source.phase  # of the phases, from the sample before them
    first = math.floor(offsets.min()) - reach + 1
    last = math.floor(offsets.max()) + reach
    if first > 0 or last < 0:
        return None
    weights = filter_(np.arange(first, last + 1)[None] - offsets[:, None])
    return weights / weights.sum(axis=1, keepdims=True), -first
