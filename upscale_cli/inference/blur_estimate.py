"""Blur and noise of a picture, found in it: the kernel by its sharpest edges, the noise by its finest details.

A step that a Gaussian of sigma has blurred rises by 1 / (sigma sqrt(2 pi)) of its height in a pixel. Natural pictures
have steps in all directions; the sharpest of a direction tell the blur along it, and all directions its covariance. So
does Polyblur (Delbracio et al., "Polyblur: Removing Mild Blur by Polynomial Reblurring", 2021,
https://arxiv.org/abs/2012.09322), which measures against the range of the whole picture, where this takes that of the
surroundings of each pixel.
"""

import math
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from upscale_cli.inference.blur_kernels import Kernel, anisotropic

Plane = NDArray[np.float64]
"""(H, W), luma in [0, 1]."""

WINDOW: Final = 9
"""Pixels a side of the surroundings whose range is a step's height."""

SHARPEST: Final = 0.997
"""The quantile of the steepness of a direction's edges that counts."""

DIRECTIONS: Final = 12
"""That edges are sorted by, over half a turn."""

FEWEST: Final = 30
"""Pixels on edges, below which a direction tells nothing."""

CONTRAST: Final = 0.25
"""What a step must have, as a share of the highest in the picture."""

ABOVE_NOISE: Final = 8.0
"""How many standard deviations of the noise a step must have."""

OWN: Final = 0.594
SLOPE: Final = 0.647
"""Measured steepness, as a variance in LR pixels, is OWN + SLOPE * blur: what edges of pictures have that were shrunk
by bicubic without any blur, and how much of the blur shows within the window. Of 17 pictures of BSDS200, blurred by
Gaussians of 0 to 2.4 (benchmarks/degradation.py)."""

LEAST_VARIANCE: Final = 0.2**2
MOST_VARIANCE: Final = 16.0
"""SR pixels^2, along an axis."""

CAUTION: Final = 0.93
"""Of the sigmas that are found, what is taken: too little blur costs less than too much."""

LEAST_SIDE: Final = 32
"""LR pixels of a picture that tells anything."""


def kernel_of(luma: Plane, scale: float, noise: float = 0.0) -> Kernel | None:
    """The Gaussian that blurred the SR picture of an LR picture, in SR pixels; None where the picture has no edges.

    Args:
        scale: SR pixels per LR pixel.
        noise: standard deviation, of white 1.
    """
    if min(luma.shape) < LEAST_SIDE:
        return None
    found = [(angle, measured, count) for angle, measured, count in _edges(luma, noise) if count >= FEWEST]
    if len(found) < 3:
        return None
    angles, measured, counts = (np.array(column) for column in zip(*found, strict=True))
    blur = (measured - OWN) / SLOPE * scale**2
    cos, sin, weight = np.cos(angles), np.sin(angles), np.sqrt(counts)
    along = np.stack((cos * cos, sin * sin, 2 * sin * cos), axis=1)
    xx, yy, xy = np.linalg.lstsq(along * weight[:, None], blur * weight, rcond=None)[0]
    variances, axes = np.linalg.eigh(np.array([[xx, xy], [xy, yy]]))
    short, long = np.sqrt(np.clip(variances, LEAST_VARIANCE, MOST_VARIANCE)) * CAUTION
    x, y = axes[:, 1]
    return anisotropic(float(long), float(short), math.degrees(math.atan2(-y, x)))


def _edges(luma: Plane, noise: float) -> list[tuple[float, float, int]]:
    """(angle of the gradient, variance of the sharpest edges in LR pixels^2, how many pixels) of each direction."""
    x, y = np.zeros_like(luma), np.zeros_like(luma)
    x[:, 1:-1] = (luma[:, 2:] - luma[:, :-2]) / 2
    y[1:-1] = (luma[2:] - luma[:-2]) / 2
    height = _range(luma)
    least = max(CONTRAST * float(np.percentile(height, 99)), ABOVE_NOISE * noise, 1e-3)
    inside = np.zeros(luma.shape, bool)
    edge = WINDOW // 2
    inside[edge:-edge, edge:-edge] = height[edge:-edge, edge:-edge] > least
    steepness = np.hypot(x, y)[inside] / height[inside]
    angles = np.arctan2(y, x)[inside] % np.pi
    found = []
    for number in range(DIRECTIONS):
        middle = number * np.pi / DIRECTIONS
        near = np.abs((angles - middle + np.pi / 2) % np.pi - np.pi / 2) < np.pi / DIRECTIONS
        count = int(near.sum())
        steepest = float(np.quantile(steepness[near], SHARPEST)) if count >= FEWEST else 1.0
        found.append((middle, 1 / (2 * np.pi * steepest**2), count))
    return found


def _range(luma: Plane) -> Plane:
    """Highest less lowest value of each pixel's surroundings."""
    high = low = luma
    for axis in (0, 1):
        around = [(0, 0), (0, 0)]
        around[axis] = (WINDOW // 2, WINDOW // 2)
        high = sliding_window_view(np.pad(high, around, mode="edge"), WINDOW, axis=axis).max(axis=-1)
        low = sliding_window_view(np.pad(low, around, mode="edge"), WINDOW, axis=axis).min(axis=-1)
    return high - low


def noise_of(channels: NDArray[np.float64]) -> float:
    """The standard deviation of a picture's noise: the median of the finest diagonal wavelet coefficients.

    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994; by Daubechies'
    wavelet of four taps, as scikit-image's `estimate_sigma`.

    Args:
        channels: (C, H, W); the mean over the channels comes back.
    """
    root = math.sqrt(3)
    taps = np.array([1 - root, -(3 - root), 3 + root, -(1 + root)]) / (4 * math.sqrt(2))
    found = []
    for plane in channels:
        detail = sliding_window_view(plane, 4, axis=0)[::2] @ taps
        detail = sliding_window_view(detail, 4, axis=1)[:, ::2] @ taps
        moved = np.abs(detail[detail != 0])
        found.append(float(np.median(moved)) / 0.6744897501960817 if moved.size else 0.0)
    return float(np.mean(found)) if found else 0.0
