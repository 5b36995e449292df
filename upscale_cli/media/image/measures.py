"""What pixels show: noise, and what kind of picture it is. Pure; NumPy only."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.appearance import Kind

Windows = NDArray[np.float32]
"""(n, height, width) luma in levels of 8 bits."""

_CELL: Final = 16
"""Side of the squares that noise is measured in."""

_EVEN_SHARE: Final = 10
"""Percent of the squares, the evenest ones, that count for noise: others have texture."""

_OF_NOISE: Final = 0.6745 * 6
"""What half of the mask's absolute values are below, of Gaussian noise with a standard deviation of 1."""


_MOST_CLIPPED: Final = 0.25
"""Share of a square's pixels that may be black or white, where noise has been cut off."""


def noise_of(windows: Windows) -> float:
    """Standard deviation of the noise in levels of 8 bits, by the evenest squares."""
    return noise_and_texture_of(windows)[0]


def noise_and_texture_of(windows: Windows) -> tuple[float, float]:
    """Standard deviation of the noise, and what the middle square has of noise and texture, in levels of 8 bits.

    Squares that are clipped do not count, unless nearly all are. The mask of Immerkaer, "Fast noise variance
    estimation", CVIU 1996, which a plane of any slope leaves at 0; of a square its median, which an edge that crosses
    it leaves as it is.
    """
    if min(windows.shape[1:]) < _CELL + 2:
        return 0.0, 0.0
    across = windows[:, :, :-2] - 2 * windows[:, :, 1:-1] + windows[:, :, 2:]
    mask = np.abs(across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:])
    inner = _cells(windows[:, 1:-1, 1:-1], _CELL)
    counted = ((inner <= 2) | (inner >= 253)).mean(axis=(1, 2)) <= _MOST_CLIPPED
    if counted.sum() < max(4, len(inner) // 20):
        counted[:] = True
    squares = np.median(_cells(mask, _CELL)[counted], axis=(1, 2)) / _OF_NOISE
    noise, texture = np.percentile(squares, (_EVEN_SHARE, 50))
    return float(noise), float(texture)


def _cells(windows: Windows, side: int) -> NDArray[np.float32]:
    """(n, side, side): the squares of all windows."""
    height, width = (length // side * side for length in windows.shape[1:])
    cut = windows[:, :height, :width].reshape(len(windows), height // side, side, width // side, side)
    return cut.swapaxes(2, 3).reshape(-1, side, side)


def fineness_of(windows: Windows) -> float:
    """How strong differences of next neighbours are, in proportion to those of pixels four apart; 0 of an even picture.

    A blur leaves little of them, shrinking without antialiasing all. Bicubic LR has 0.3 to 0.6, blurred by a pixel 0.2.
    """
    if min(windows.shape[1:]) < _CELL:
        return 0.0
    fine, coarse = _bend(windows, 1), _bend(windows, 4)
    return math.sqrt(fine / coarse) if coarse else 0.0


def _bend(windows: Windows, distance: int) -> float:
    """Mean square of second differences of pixels that are so far apart, along both axes."""
    middle, before, after = slice(distance, -distance), slice(None, -2 * distance), slice(2 * distance, None)
    down = windows[:, before] - 2 * windows[:, middle] + windows[:, after]
    across = windows[:, :, before] - 2 * windows[:, :, middle] + windows[:, :, after]
    return float(np.square(down).mean() + np.square(across).mean())


_STRONG: Final = 50.0

_PIECE: Final = 6
"""Pixels of a row or a column in which an edge is looked for."""

_LEAST_EDGES: Final = 60


def steps_of(windows: Windows, noise: float) -> tuple[float, float] | None:
    """How much of a strong edge lies between two neighbouring pixels: of all such edges the middle, and the upper
    quartile; None where there are few.

    Of each piece of `_PIECE` pixels that spans a fifth of all levels, the largest difference of neighbours in
    proportion to what it spans. Edges that were smoothed as a picture was shrunk have 0.55 to 0.9; without smoothing up
    to 1; behind a blur of a pixel 0.3 to 0.5, whatever their contrast, which misleads the fineness of bold writing.
    """
    parts = []
    for axis in (1, 2):
        along = np.moveaxis(windows, axis, 0)
        count = len(along) // _PIECE * _PIECE
        pixels = [along[at:count:_PIECE] for at in range(_PIECE)]
        spans = np.maximum.reduce(pixels) - np.minimum.reduce(pixels)
        largest = np.maximum.reduce([np.abs(one - other) for one, other in pairwise(pixels)])
        is_edge = spans > max(_STRONG, 10 * noise)
        parts.append(largest[is_edge] / spans[is_edge])
    found = np.concatenate(parts)
    if len(found) < _LEAST_EDGES:
        return None
    middle, high = np.percentile(found, (50, 75))
    return float(middle), float(high)


_SIDE: Final = 5
"""Pixels of a row or a column on each side of an edge."""

_EVEN: Final = 0.01
_NEARLY_EVEN: Final = 0.04
"""By how much of an edge's height the outer two pixels of a side may differ."""

_LEAST_SIDES: Final = 20


def overshoot_of(windows: Windows) -> float | None:
    """How far a strong edge goes beyond the even area beside it, in proportion to its height: of all such areas the
    middle; None where there are few, or where most are even but nearly: compression or noise would be measured.

    Kernels that are below zero in places, such as bicubic and Lanczos, leave 0.01 to 0.1 as they shrink drawn pictures;
    averages of areas leave 0. Areas near black and white, where the overshoot is cut off, do not count.
    """
    if min(windows.shape[1:]) < _CELL:
        return None
    found = []
    for axis in (1, 2):
        pixels = _edges_along(np.moveaxis(windows, axis, 0))
        found += [
            _overshoots(pixels[:_SIDE], pixels[_SIDE:]),
            _overshoots(pixels[: _SIDE - 1 : -1], pixels[_SIDE - 1 :: -1]),
        ]
    overshoot, unevenness = np.concatenate(found, axis=1)
    is_even = unevenness < _EVEN
    if is_even.sum() < max(_LEAST_SIDES, len(is_even) / 2):
        return None
    return float(np.median(overshoot[is_even]))


def _edges_along(along: Windows) -> NDArray[np.float32]:
    """(2 * _SIDE, n): the pixels around each of n places along the first axis where a step is larger than its
    neighbours."""
    steps = np.abs(along[1:] - along[:-1])
    reach = _SIDE - 1
    middle, *around = (steps[reach + by : len(steps) - reach + by] for by in (0, -2, -1, 1, 2))
    place = np.nonzero((middle > _STRONG / 2) & (middle >= np.maximum.reduce(around)))
    return np.stack([along[place[0] + by, place[1], place[2]] for by in range(2 * _SIDE)])


def _overshoots(side: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """(2, n): how far an edge overshoots on a side, and how uneven that is, of those where it is nearly even.

    Args:
        side, other: (_SIDE, n) pixels, from far away to the edge, and from the edge on.
    """
    level = side[:2].mean(axis=0)
    height = other[-2:].mean(axis=0) - level
    beyond = ((level - side[2:]) * np.sign(height)).max(axis=0)
    is_cut = (side.min(axis=0) < 7) | (side.max(axis=0) > 248)
    found = np.stack([beyond, np.abs(side[0] - side[1])]) / np.maximum(np.abs(height), 1)
    return np.asarray(found[:, (np.abs(height) > _STRONG) & (found[1] < _NEARLY_EVEN) & ~is_cut])


_DRAWN: Final = (3.25, 4.9, -1.4, 3.05)
"""Weights, whose sum is above 0 for what is drawn: of the logarithm of strong edges for each soft one, of the share of
the three most frequent levels, of the logarithm of 1 and the middle square's texture, and of 1. By logistic regression
of pictures made as those of benchmarks/chooser.py that make the ranking."""

_INKED_ROW: Final = 0.02
_INKED_ROWS: Final = 0.86
"""Share of strong differences in a row from which on it counts as written or drawn on; what has more of such rows is a
drawing: between lines of text, and between what a screen shows, rows are empty."""

_TEXT_STEEP: Final = 0.4
"""Of text: the share of squares with ink and paper, at least."""


@dataclass(frozen=True, slots=True)
class Edges:
    """How pixels differ from the next ones.

    Attributes:
        strong: share of the pixels that differ by more than a fifth of all levels.
        soft: by something between that and hardly at all.
        levels: that have about one of the three most frequent levels.
        steep: of squares of 4 pixels, the part that spans a quarter of all levels.
        inked: of rows, as long as a window, the part that has strong differences.
    """

    strong: float
    soft: float
    levels: float
    steep: float
    inked: float


def edges_of(windows: Windows, tolerance: float) -> Edges:
    """Args:
    tolerance: levels that noise and compression make of none; `_STRONG` at most.
    """
    down = np.abs(windows[:, 1:, :-1] - windows[:, :-1, :-1])
    across = np.abs(windows[:, :-1, 1:] - windows[:, :-1, :-1])
    larger = np.maximum(down, across)
    strong = float((larger > _STRONG).mean())
    soft = float((larger > tolerance).mean()) - strong
    steep = float((_of_squares(np.maximum, windows) - _of_squares(np.minimum, windows) > 60).mean())
    inked = float(((across > max(40.0, 4 * tolerance)).mean(axis=2) > _INKED_ROW).mean())
    return Edges(strong, soft, _frequent(windows, round(min(tolerance, 8))), steep, inked)


def _of_squares(most: np.ufunc, windows: Windows) -> Windows:
    """The greatest or least pixel of each square of 4."""
    height, width = (length // 4 * 4 for length in windows.shape[1:])
    rows = most.reduce([windows[:, at:height:4, :width] for at in range(4)])
    result: Windows = most.reduce([rows[:, :, at::4] for at in range(4)])
    return result


def _frequent(windows: Windows, reach: int) -> float:
    """The share of pixels at the three most frequent levels, and as far around each."""
    counts = np.bincount(windows.astype(np.int64).ravel().clip(0, 255), minlength=256).astype(np.float64)
    total, share = counts.sum(), 0.0
    for _ in range(3):
        near = np.convolve(counts, np.ones(2 * reach + 1), mode="same")
        level = int(near.argmax())
        share += float(near[level] / total)
        counts[max(0, level - reach) : level + reach + 1] = 0
    return share


def kind_of(windows: Windows, noise: float, texture: float, jpeg_quality: int | None) -> Kind:
    """What a picture shows, by how its pixels differ from the next ones, and how few levels it has.

    Args:
        noise, texture: `noise_and_texture_of` it.
        jpeg_quality: 1 to 100, of the compression that has left its own small differences; None: none has.
    """
    coarse = 0.0 if jpeg_quality is None else 2 + (100 - jpeg_quality) / 12
    edges = edges_of(windows, min(max(2.0, 2.5 * noise, coarse), _STRONG))
    if sum(weight * sign for weight, sign in zip(_DRAWN, signs_of(edges, texture), strict=True)) <= 0:
        return "photograph"
    if edges.inked > _INKED_ROWS:
        return "drawing"
    return "text" if edges.steep >= _TEXT_STEEP else "screen"


def signs_of(edges: Edges, texture: float) -> tuple[float, ...]:
    """What tells drawn pictures from photographs, for `_DRAWN`."""
    return math.log((edges.strong + 0.003) / (edges.soft + 0.003)), edges.levels, math.log(1 + texture), 1.0
