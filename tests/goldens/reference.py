"""ESPCN in plain NumPy, which spandrel does not have: convolutions as sums over shifted planes, then depth to space."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Planes = NDArray[np.float64]
"""(channels, height, width)."""


def espcn(
    lr: Planes,
    weights: Mapping[str, NDArray[np.float32]],
    scale: int,
    activation: Literal["tanh", "relu"] = "tanh",
) -> Planes:
    """The published net: zeros around the picture, an activation after all convolutions but the last.

    Args:
        lr: (C, H, W) in [0, 1].
        weights: conv1.weight (out, in, k, k), conv1.bias (out,), conv2..., in that order.
        activation: tanh as published, or ReLU.

    Returns:
        (C, scale * H, scale * W), not clamped.
    """
    depth = len(weights) // 2
    for number in range(1, depth + 1):
        lr = _convolved(lr, weights[f"conv{number}.weight"]) + weights[f"conv{number}.bias"][:, None, None]
        if number < depth:
            lr = np.tanh(lr) if activation == "tanh" else np.maximum(lr, 0)
    return depth_to_space(lr, scale)


def depth_to_space(planes: Planes, scale: int) -> Planes:
    """(C * scale ** 2, H, W) to (C, scale * H, scale * W): channel (c, dy, dx) is the pixel dy down, dx right."""
    channels = len(planes) // scale**2
    out = np.empty((channels, planes.shape[1] * scale, planes.shape[2] * scale))
    for dy in range(scale):
        for dx in range(scale):
            out[:, dy::scale, dx::scale] = planes[dy * scale + dx :: scale**2]
    return out


def _convolved(planes: Planes, kernel: NDArray[np.float32]) -> Planes:
    """Cross-correlation, as nets understand convolution; same size."""
    _, height, width = planes.shape
    reach = kernel.shape[2] // 2
    padded = np.pad(planes, ((0, 0), (reach, reach), (reach, reach)))
    out = np.zeros((len(kernel), height, width))
    for dy in range(kernel.shape[2]):
        for dx in range(kernel.shape[3]):
            shifted = padded[:, dy : dy + height, dx : dx + width]
            out += np.tensordot(kernel[:, :, dy, dx].astype(np.float64), shifted, axes=1)
    return out
