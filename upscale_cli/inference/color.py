"""uint8, uint16 <-> [0, 1]; RGB <-> luma + chroma; what lies under transparent pixels. Pure functions."""

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixels import white_of
from upscale_cli.models.interface import LumaRange

if TYPE_CHECKING:
    from torch import Tensor

KR: Final = 0.299
KB: Final = 0.114
"""Luma weights of BT.601 (https://www.itu.int/rec/R-REC-BT.601): Y = KR R + (1 - KR - KB) G + KB B."""

BLOCK_VALUES: Final = 2**16

CENTRE: Final = 128 / 255
"""Where chroma is zero, in the 8-bit convention of JPEG and BT.601."""


def as_seen(zero: float, span: float, luma_range: LumaRange) -> tuple[float, float]:
    """Zero and span of codes that mean `(code - zero) / span`, to a net whose own black may be 16 of 255.

    >>> as_seen(0, 255, "full"), as_seen(16, 219, "studio")
    ((0, 255), (0.0, 255.0))
    """
    if luma_range == "full":
        return zero, span
    return zero - span * 16 / 219, span * 255 / 219


def to_depth(unit: "Tensor", dtype: np.dtype[Any]) -> "Tensor":
    """[0, 1] float32 to a depth: pixels are rounded (half to even) and clipped; as `rounded`, by torch.

    Args:
        unit: any shape, float32, changed in place.
        dtype: uint8 or uint16, clipped to the full range; float32 is given back as it is, HDR included.
    """
    if dtype == np.float32:
        return unit
    import torch

    white = int(np.iinfo(dtype).max)
    unit.mul_(white).round_().clamp_(0, white)
    return unit.to(torch.uint8 if dtype == np.uint8 else torch.uint16)


def rounded(unit: NDArray[np.float32], dtype: Any, out: Pixels | None = None) -> Pixels:
    """[0, 1] float32 to a depth: pixels are rounded (half to even) and clipped.

    Args:
        unit: any shape, float32, changed in place.
        dtype: uint8 or uint16, clipped to the full range; float32 is given back as it is, HDR included.
        out: of that dtype and shape, to write into; a view will do. None: a new array.
    """
    if dtype == np.float32 and out is None:
        return unit
    out = np.empty(unit.shape, dtype) if out is None else out
    white = np.float32(np.iinfo(dtype).max) if dtype != np.float32 else None
    step = max(1, BLOCK_VALUES // max(1, math.prod(unit.shape[1:])))
    for start in range(0, len(unit), step):  # between the steps values stay in the processor's cache
        block = unit[start : start + step]
        if white is not None:
            np.multiply(block, white, out=block)
            np.rint(block, out=block)
            np.clip(block, np.float32(0), white, out=block)
        np.copyto(out[start : start + step], block, casting="unsafe")
    return out


def rgb_to_ycbcr(rgb: "Tensor", luma_range: LumaRange) -> "tuple[Tensor, Tensor]":
    """(N, 3, H, W) in [0, 1] to luma (N, 1, H, W) and chroma (N, 2, H, W), BT.601.

    Args:
        luma_range: "full": Y in [0, 1] (JPEG); "studio": Y in [16, 235] / 255, chroma in [16, 240] / 255.
    """
    import torch

    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    luma = KR * red + (1 - KR - KB) * green + KB * blue
    chroma = torch.cat(((blue - luma) / (2 - 2 * KB), (red - luma) / (2 - 2 * KR)), dim=1)  # [-0.5, 0.5]
    if luma_range == "studio":
        return luma * (219 / 255) + 16 / 255, chroma * (224 / 255) + CENTRE
    return luma, chroma + CENTRE


def ycbcr_to_rgb(luma: "Tensor", chroma: "Tensor", luma_range: LumaRange) -> "Tensor":
    """The inverse of `rgb_to_ycbcr`, not clamped."""
    import torch

    chroma = chroma - CENTRE
    if luma_range == "studio":
        luma, chroma = (luma - 16 / 255) * (255 / 219), chroma * (255 / 224)
    red = luma + (2 - 2 * KR) * chroma[:, 1:2]
    blue = luma + (2 - 2 * KB) * chroma[:, 0:1]
    green = (luma - KR * red - KB * blue) / (1 - KR - KB)
    return torch.cat((red, green, blue), dim=1)


def linear_to_display(linear: "Tensor") -> "Tensor":
    """Light to display values by the sRGB curve (IEC 61966-2-1), kept odd below 0 so that nothing is clipped."""
    import torch

    size = linear.abs()
    curve = torch.where(size <= 0.0031308, 12.92 * size, 1.055 * size.clamp(min=1e-8) ** (1 / 2.4) - 0.055)
    return torch.copysign(curve, linear)


def display_to_linear(display: "Tensor") -> "Tensor":
    """The inverse of `linear_to_display`."""
    import torch

    size = display.abs()
    curve = torch.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    return torch.copysign(curve, display)


def bleed(colour: Pixels, alpha: Pixels) -> Pixels:
    """Gives fully transparent pixels the colour of their opaque surroundings, so that no fringe seeps in.

    What lies under alpha 0 is arbitrary (often black); a net or a filter would mix it into the edge. The colours
    are averaged down a pyramid, weighted by opacity, and filled back from the coarse levels (push-pull, after
    Gortler et al., "The Lumigraph", SIGGRAPH 1996). Visible pixels stay as they are.

    Args:
        colour: (H, W, C); alpha: (H, W, 1) of the same depth.
    """
    hidden = alpha == 0
    if not hidden.any() or hidden.all():
        return colour
    weight = np.where(hidden, 0, 1).astype(np.float32)
    filled = push_pull(colour.astype(np.float32), weight)
    if colour.dtype != np.float32:
        filled = np.rint(filled).clip(0, white_of(colour))
    return np.where(hidden, filled.astype(colour.dtype), colour)


def push_pull(colour: Pixels, weight: Pixels) -> Pixels:
    """`colour` where weight is 1, elsewhere what the next coarser level has. float32: (H, W, C), and
    (H, W, 1) or (H, W, C).
    """
    height, width = weight.shape[:2]
    if weight.all() or max(height, width) == 1:
        return colour
    even = ((0, height % 2), (0, width % 2), (0, 0))
    padded_weight = np.pad(weight, even)
    known = sum_of_quads(np.pad(colour * weight, even))
    total = sum_of_quads(padded_weight)
    coarse = push_pull(known / np.maximum(total, 1), np.minimum(total, 1))
    fine = coarse.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    return np.where(weight > 0, colour, fine)


def sum_of_quads(plane: Pixels) -> Pixels:
    """(2 h, 2 w, C) to (h, w, C) float32: the sum of every 2 x 2 pixels."""
    height, width, channels = plane.shape
    return np.asarray(plane.reshape(height // 2, 2, width // 2, 2, channels).sum(axis=(1, 3)), dtype=np.float32)
