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


def noise_of(windows: Windows) -> float:
    """Standard deviation of the noise in levels of 8 bits, by the evenest squares that are not clipped.

    The mask of Immerkaer, "Fast noise variance estimation", CVIU 1996, which a plane of any slope leaves at 0; of a
    square its median, which an edge that crosses it leaves as it is.
    """
    if min(windows.shape[1:]) < _CELL + 2:
        return 0.0
    across = windows[:, :, :-2] - 2 * windows[:, :, 1:-1] + windows[:, :, 2:]
    mask = np.abs(across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:])
    inner = _cells(windows[:, 1:-1, 1:-1], _CELL)
    counted = (inner.min(axis=(1, 2)) > 2) & (inner.max(axis=(1, 2)) < 253)
    if counted.sum() < max(4, len(inner) // 20):
        return 0.0
    return float(np.percentile(np.median(_cells(mask, _CELL)[counted], axis=(1, 2)), _EVEN_SHARE)) / _OF_NOISE


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

    Of each piece of `_PIECE` pixels that spans a fifth of all levels, the largest difference of neighbours in proportion
    to what it spans. Edges that were smoothed as a picture was shrunk have 0.55 to 0.9; without smoothing up to 1;
    behind a blur of a pixel 0.3 to 0.5, whatever their contrast, which the fineness of bold writing is misled by.
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


_DRAWN: Final = (4.5, 3.5, -12.0, 4.3)
"""Weights, whose sum is above 0 for what is drawn: of the logarithm of strong edges for each soft one, of the share of
the three most frequent levels, of the fineness beyond `_DRAWN_FINE`, and of 1. By logistic regression of the pictures
of benchmarks/chooser.py that make the ranking, where photographs count twice."""

_DRAWN_FINE: Final = 0.5
"""Detail that was not smoothed when it was shrunk is strong in photographs too."""

_TEXT_PAPER: Final = 0.45
_TEXT_STRONG: Final = 0.18
_TEXT_STEEP: Final = 0.35
"""Of text: shares of paper, of strong edges and of squares with ink and paper, at least."""

_SCREEN_STRAIGHT: Final = 0.3
_SCREEN_STEEP: Final = 0.42
"""Of a screen: the share of strong edges that run along a row or a column, at least; of squares with edges, at most."""


@dataclass(frozen=True, slots=True)
class Edges:
    """How pixels differ from the next ones, as shares of all pixels.

    Attributes:
        strong: by more than a fifth of all levels.
        soft: by something between that and hardly at all.
        straight: of those that differ strongly, the part that does so along one axis alone.
        paper: that have about the level which is the most frequent one.
        levels: that have about one of the three most frequent levels.
        steep: of squares of 4 pixels, the part that spans a quarter of all levels.
    """

    strong: float
    soft: float
    straight: float
    paper: float
    levels: float
    steep: float


def edges_of(windows: Windows, tolerance: float) -> Edges:
    """Args:
    tolerance: levels that noise and compression make of none; `_STRONG` at most.
    """
    down = np.abs(windows[:, 1:, :-1] - windows[:, :-1, :-1])
    across = np.abs(windows[:, :-1, 1:] - windows[:, :-1, :-1])
    larger, smaller = np.maximum(down, across), np.minimum(down, across)
    strong = larger > _STRONG
    soft = float((larger > tolerance).mean()) - float(strong.mean())
    tops = _frequent(windows, round(min(tolerance, 8)))
    steep = float((_of_squares(np.maximum, windows) - _of_squares(np.minimum, windows) > 60).mean())
    straight = float((smaller[strong] <= tolerance).mean()) if strong.any() else 0.0
    return Edges(float(strong.mean()), soft, straight, tops[0], sum(tops), steep)


def _of_squares(most: np.ufunc, windows: Windows) -> Windows:
    """The greatest or least pixel of each square of 4."""
    height, width = (length // 4 * 4 for length in windows.shape[1:])
    rows = most.reduce([windows[:, at:height:4, :width] for at in range(4)])
    result: Windows = most.reduce([rows[:, :, at::4] for at in range(4)])
    return result


def _frequent(windows: Windows, reach: int) -> list[float]:
    """The shares of pixels at the three most frequent levels, and as far around each."""
    counts = np.bincount(windows.astype(np.int64).ravel().clip(0, 255), minlength=256).astype(np.float64)
    total, shares = counts.sum(), []
    for _ in range(3):
        near = np.convolve(counts, np.ones(2 * reach + 1), mode="same")
        level = int(near.argmax())
        shares.append(float(near[level] / total))
        counts[max(0, level - reach) : level + reach + 1] = 0
    return shares


def kind_of(windows: Windows, noise: float, fineness: float, jpeg_quality: int | None) -> Kind:
    """What a picture shows, by how its pixels differ from the next ones, and how few levels it has.

    Args:
        noise, fineness: `noise_of` and `fineness_of` it.
        jpeg_quality: 1 to 100, of the compression that has left its own small differences; None: none has.
    """
    coarse = 0.0 if jpeg_quality is None else 2 + (100 - jpeg_quality) / 12
    edges = edges_of(windows, min(max(2.0, 2.5 * noise, coarse), _STRONG))
    contrast = math.log((edges.strong + 0.003) / (edges.soft + 0.003))
    signs = (contrast, edges.levels, max(0.0, fineness - _DRAWN_FINE), 1.0)
    if sum(weight * sign for weight, sign in zip(_DRAWN, signs, strict=True)) <= 0:
        return "photograph"
    if edges.paper > _TEXT_PAPER and edges.strong > _TEXT_STRONG and edges.steep > _TEXT_STEEP:
        return "text"
    return "screen" if edges.straight > _SCREEN_STRAIGHT and edges.steep < _SCREEN_STEEP else "drawing"
