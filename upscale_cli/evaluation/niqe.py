"""NIQE: how natural a picture looks, without a reference. Pure; NumPy, and one small file of weights.

Mittal, Soundararajan, Bovik, "Making a 'Completely Blind' Image Quality Analyzer", IEEE Signal Processing Letters 20,
2013: in natural pictures, brightness freed of its local mean and contrast follows certain distributions. How far the
distributions of a picture lie from those of good photographs is its figure; lower is better, 0 the best there is.

The distance is to a model of our own, which training/niqe.py fits. The authors' model rests on other photographs: our
figures compare among themselves, and with no published one.
"""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.evaluation.metrics import Plane, bicubic
from upscale_cli.models.store import bundled_folder

BLOCK: Final = 96
"""Pixels a side of the squares that are described one by one; half as many at half size."""

LEAST_BLOCKS: Final = 4
"""Below that a picture's mean and covariance mean little."""

WINDOW_TAPS, WINDOW_SIGMA = 7, 7 / 6
"""Gaussian window of the local mean and contrast."""

NEIGHBOURS: Final = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Rows and columns to the pixel that a pixel is multiplied with."""

FEATURES: Final = 2 * (2 + 4 * len(NEIGHBOURS))
"""36: two sizes, each with shape and spread of the brightness, and four figures for each neighbour."""

MODEL_FILE: Final = "niqe.safetensors"

_SHAPES = np.arange(0.2, 10.0, 0.001)
"""Shapes of generalised Gaussians that are told apart; 2 is the normal one."""


@dataclass(frozen=True, slots=True)
class Naturalness:
    """The distribution of features over the blocks of a picture, or of good photographs.

    Attributes:
        mean: (36,) float64.
        covariance: (36, 36) float64.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @classmethod
    def of(cls, features: NDArray[np.float64]) -> "Naturalness":
        """From (blocks, 36) features."""
        return cls(features.mean(axis=0), np.cov(features, rowvar=False))

    def distance(self, other: "Naturalness") -> float:
        """Between two multivariate Gaussians, as the paper defines it; 0 for equal means."""
        difference = self.mean - other.mean
        inverse = np.linalg.pinv((self.covariance + other.covariance) / 2)
        return math.sqrt(max(float(difference @ inverse @ difference), 0.0))


def niqe(luma: Plane, photographs: Naturalness | None = None) -> float:
    """How far a picture is from a good photograph; 0 or more, lower is better.

    Args:
        luma: (height, width), full range, 0..255.
        photographs: to compare with; None: the bundled model.

    Raises:
        ValueError: fewer than four blocks of 96 x 96 pixels that are not flat.
    """
    features, _ = block_features(luma)
    if len(features) < LEAST_BLOCKS:
        raise ValueError(
            f"NIQE needs {LEAST_BLOCKS} blocks of {BLOCK} x {BLOCK} pixels with some texture in them, and this picture "
            f"of {luma.shape[1]} x {luma.shape[0]} pixels has {len(features)}"
        )
    return (photographs or bundled_model()).distance(Naturalness.of(features))


@functools.cache
def bundled_model() -> Naturalness:
    """Good photographs, as training/niqe.py has fitted them; the file's metadata names them."""
    return read_model(bundled_folder() / MODEL_FILE)


def read_model(path: Path) -> Naturalness:
    """A model from its safetensors file."""
    from safetensors.numpy import load_file

    tensors = load_file(path)
    return Naturalness(tensors["mean"].astype(np.float64), tensors["covariance"].astype(np.float64))


def block_features(luma: Plane) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What describes each block of a picture, and how sharp it is; what is left over at the end is not looked at.

    Args:
        luma: (height, width), full range, 0..255.

    Returns:
        (blocks, 36) features, and (blocks,) mean local contrasts; flat blocks, which have no features, are left out.
    """
    rows, columns = (side // BLOCK for side in luma.shape)
    if not rows * columns:
        return np.empty((0, FEATURES)), np.empty(0)
    luma = luma[: rows * BLOCK, : columns * BLOCK]
    normalised, contrast = _normalised(luma)
    halved, _ = _normalised(bicubic(luma, 0.5))
    features = np.hstack([_described(_blocks(normalised, BLOCK)), _described(_blocks(halved, BLOCK // 2))])
    sharpness = _blocks(contrast, BLOCK).mean(axis=(1, 2))
    textured = np.isfinite(features).all(axis=1)
    return features[textured], sharpness[textured]


def _normalised(luma: Plane) -> tuple[Plane, Plane]:
    """Brightness less its local mean, by its local contrast; and that contrast. Borders repeat their pixels."""
    mean = _local_mean(luma)
    contrast = np.sqrt(np.maximum(_local_mean(luma * luma) - mean * mean, 0))
    return (luma - mean) / (contrast + 1), contrast


def _local_mean(plane: Plane) -> Plane:
    reach = WINDOW_TAPS // 2
    taps = np.exp(-((np.arange(WINDOW_TAPS) - reach) ** 2) / (2 * WINDOW_SIGMA**2))
    taps /= taps.sum()
    height, width = plane.shape
    padded = np.pad(plane, reach, mode="edge")
    rows = sum((tap * padded[at : at + height] for at, tap in enumerate(taps)), start=np.zeros(()))
    return sum((tap * rows[:, at : at + width] for at, tap in enumerate(taps)), start=np.zeros(()))


def _blocks(plane: Plane, side: int) -> NDArray[np.float64]:
    """(height, width) to (blocks, side, side), row by row."""
    height, width = plane.shape
    return plane.reshape(height // side, side, width // side, side).swapaxes(1, 2).reshape(-1, side, side)


def _described(blocks: NDArray[np.float64]) -> NDArray[np.float64]:
    """(blocks, side, side) to (blocks, 18): of the values, then of their products with each neighbour."""
    shape, left, right = _fit(blocks)
    columns = [shape, (left + right) / 2]
    for down, across in NEIGHBOURS:
        height, width = blocks.shape[1] - down, blocks.shape[2] - abs(across)
        here, there = max(-across, 0), max(across, 0)
        first = blocks[:, :height, here : here + width]
        second = blocks[:, down : down + height, there : there + width]
        shape, left, right = _fit(first * second)
        mean = (right - left) * _gamma_ratio(shape)
        columns += [shape, mean, left, right]
    return np.stack(columns, axis=1)


def _fit(blocks: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Asymmetric generalised Gaussians by their moments: shape, and spread on either side of 0; NaN where all is flat.

    Lasmar, Stitou, Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP 2009.
    """
    values = blocks.reshape(len(blocks), -1)
    squares = values * values
    with np.errstate(invalid="ignore", divide="ignore"):
        left = np.sqrt(np.where(values < 0, squares, 0).sum(axis=1) / (values < 0).sum(axis=1))
        right = np.sqrt(np.where(values > 0, squares, 0).sum(axis=1) / (values > 0).sum(axis=1))
        skew = left / right
        ratio = np.abs(values).mean(axis=1) ** 2 / squares.mean(axis=1)
        ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    known_ratios, stretches = _moments()
    shape = np.interp(ratio, known_ratios, _SHAPES)
    stretch = np.interp(shape, _SHAPES, stretches)
    return shape, left * stretch, right * stretch


@functools.cache
def _moments() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By shape: (E|x|)^2 / E(x^2) of a generalised Gaussian, which rises with it, and its scale by its spread."""
    one, two, three = (_log_gamma(order / _SHAPES) for order in (1, 2, 3))
    return np.exp(2 * two - one - three), np.exp((one - three) / 2)


def _gamma_ratio(shape: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gamma(2 / shape) / Gamma(1 / shape)."""
    return np.exp(_log_gamma(2 / shape) - _log_gamma(1 / shape))


def _log_gamma(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([math.lgamma(value) for value in values.tolist()])
