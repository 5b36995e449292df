"""What pixels show: noise, and what kind of picture it is. Pure; NumPy only."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.appearance import Kind

Windows = NDArray[np.float32]
"""(n, height, width) luma in levels of 8 bits."""

_CELL: Final = 16
"""Side of the squares that noise is measured in."""

_WIDEST: Final = 14
"""How many standard deviations of noise lie between the darkest and the lightest pixel of a square that counts: 6 of
noise alone, more where there are edges."""

_EVEN_SHARE: Final = 10
"""Percent of the squares, the evenest ones, that count for noise: others have texture."""


def noise_of(windows: Windows) -> float:
    """Standard deviation of the noise in levels of 8 bits, by the evenest squares that are neither clipped nor flat.

    The mask of Immerkaer, "Fast noise variance estimation", CVIU 1996, which a plane of any slope leaves at 0.
    """
    if min(windows.shape[1:]) < _CELL + 2:
        return 0.0
    across = windows[:, :, :-2] - 2 * windows[:, :, 1:-1] + windows[:, :, 2:]
    mask = np.abs(across[:, :-2] - 2 * across[:, 1:-1] + across[:, 2:])
    means = _cells(mask).mean(axis=(1, 2))
    inner = _cells(windows[:, 1:-1, 1:-1])
    low, high = inner.min(axis=(1, 2)), inner.max(axis=(1, 2))
    sigmas = means * np.float32(math.sqrt(math.pi / 2) / 6)
    counted = sigmas[(low > 2) & (high < 253) & (high > low) & (high - low < _WIDEST * sigmas)]
    if len(counted) < max(4, len(sigmas) // _EVEN_SHARE // 2):
        return 0.0
    return float(np.percentile(counted, _EVEN_SHARE))


def _cells(windows: Windows) -> NDArray[np.float32]:
    """(n, 16, 16)."""
    height, width = (side // _CELL * _CELL for side in windows.shape[1:])
    cut = windows[:, :height, :width].reshape(len(windows), height // _CELL, _CELL, width // _CELL, _CELL)
    return cut.swapaxes(2, 3).reshape(-1, _CELL, _CELL)


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

_DRAWN_STRONG: Final = 0.33
_DRAWN_EVEN: Final = 0.12
_DRAWN_FINE: Final = 0.5
"""Of what is drawn: strong edges for each soft one at least, and the share of even pixels; from which fineness on it
takes more strong edges, for detail that was not smoothed when it was shrunk is strong in photographs too."""

_TEXT_PAPER: Final = 0.4
_TEXT_STRONG: Final = 0.18
_TEXT_LEVEL: Final = 150
"""Of text: shares of paper and of strong edges, and how light the paper is."""

_SCREEN_STRAIGHT: Final = 0.3
"""Of a screen: the share of strong edges that run along a row or a column."""


@dataclass(frozen=True, slots=True)
class Edges:
    """How pixels differ from the next ones, as shares of all pixels.

    Attributes:
        even: hardly at all.
        strong: by more than a fifth of all levels.
        soft: by something between.
        straight: of those that differ strongly, the part that does so along one axis alone.
        paper: that have about the level which is the most frequent one.
        paper_level: that level, 0 to 255.
    """

    even: float
    strong: float
    soft: float
    straight: float
    paper: float
    paper_level: float


def edges_of(windows: Windows, tolerance: float) -> Edges:
    """Args:
    tolerance: levels that noise and compression make of none.
    """
    down = np.abs(windows[:, 1:, :-1] - windows[:, :-1, :-1])
    across = np.abs(windows[:, :-1, 1:] - windows[:, :-1, :-1])
    larger, smaller = np.maximum(down, across), np.minimum(down, across)
    strong = larger > _STRONG
    even = float((larger <= tolerance).mean())
    counts = np.bincount(windows.astype(np.int64).ravel().clip(0, 255), minlength=256)
    near = np.convolve(counts, np.ones(2 * 8 + 1, np.int64), mode="same")
    level = int(near.argmax())
    return Edges(
        even, float(strong.mean()), 1 - even - float(strong.mean()),
        float((smaller[strong] <= tolerance).mean()) if strong.any() else 0.0, float(near[level] / counts.sum()),
        level,
    )  # fmt: skip


def kind_of(windows: Windows, noise: float, fineness: float, jpeg_quality: int | None) -> Kind:
    """What a picture shows, by how its pixels differ from the next ones.

    Args:
        noise, fineness: `noise_of` and `fineness_of` it.
        jpeg_quality: 1 to 100, of the compression that has left its own small differences; None: none has.
    """
    coarse = 0.0 if jpeg_quality is None else 2 + (100 - jpeg_quality) / 12
    edges = edges_of(windows, max(2.0, 2.5 * noise, coarse))
    least = _DRAWN_STRONG + max(0.0, fineness - _DRAWN_FINE)
    if edges.strong <= least * edges.soft or edges.even <= _DRAWN_EVEN:
        return "photograph"
    if edges.paper > _TEXT_PAPER and edges.paper_level > _TEXT_LEVEL and edges.strong > _TEXT_STRONG:
        return "text"
    return "screen" if edges.straight > _SCREEN_STRAIGHT else "drawing"
