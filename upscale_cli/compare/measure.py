"""How much two pictures of one size differ: PSNR and SSIM, strip by strip, so that large pictures fit into memory.

The whole pictures count, no border is cut: what is measured is what is seen. Luma is that of `metrics.studio_luma`;
gray pictures are taken as they are.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.compare.browser_image import Picture
from upscale_cli.evaluation.metrics import SSIM_TAPS, psnr, ssim, studio_luma
from upscale_cli.frames.pixels import by_strips, on_white
from upscale_cli.media.image import icc

_STRIP_PIXELS: Final = 2**20

Levels = NDArray[Any]
"""(height, width, 1 or 3) uint8."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How alike two pictures are.

    Attributes:
        psnr_luma, psnr_rgb: dB; inf where nothing differs. RGB is None where both are gray.
        ssim_luma: -1..1, 1 where nothing differs; None where a side is below 11 pixels.
        largest: difference of any two samples, in levels, 0..255.
    """

    psnr_luma: float
    psnr_rgb: float | None
    ssim_luma: float | None
    largest: int


def likeness(a: Picture, b: Picture) -> Likeness | None:
    """How alike two pictures are; None where their sizes differ. Transparency is seen on white."""
    if a.size != b.size:
        return None
    same_profile = a.profile == b.profile
    left, right = (_levels(picture, in_srgb=not same_profile) for picture in (a, b))
    is_gray = left.shape[2] == right.shape[2] == 1
    if not is_gray:
        left, right = _in_colour(left), _in_colour(right)

    def luma(levels: Levels) -> NDArray[np.float64]:
        return levels[..., 0].astype(np.float64) if is_gray else studio_luma(levels)

    noise, rgb_noise, similar = _Mean(), _Mean(), _Mean()
    largest = 0
    height, width = left.shape[:2]
    rows = max(SSIM_TAPS, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        one, other = left[top : top + rows], right[top : top + rows]
        largest = max(largest, int(np.abs(one.astype(np.int16) - other).max()))
        noise.add(_mse(luma(one), luma(other)), len(one))
        if not is_gray:
            rgb_noise.add(_mse(one, other), len(one))
        kept = min(rows, height - top - SSIM_TAPS + 1)  # rows around which the whole window lies in the picture
        if kept > 0 and width >= SSIM_TAPS:
            bottom = top + kept + SSIM_TAPS - 1
            similar.add(ssim(luma(left[top:bottom]), luma(right[top:bottom])), kept)
    return Likeness(
        psnr_luma=_decibels(noise.value),
        psnr_rgb=None if is_gray else _decibels(rgb_noise.value),
        ssim_luma=similar.value if similar.weight else None,
        largest=largest,
    )


class _Mean:
    """Of strips that may differ in height."""

    def __init__(self) -> None:
        self._sum, self.weight = 0.0, 0

    def add(self, value: float, weight: int) -> None:
        self._sum, self.weight = self._sum + value * weight, self.weight + weight

    @property
    def value(self) -> float:
        return self._sum / self.weight


def _mse(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Mean squared difference, out of the one definition of PSNR that there is."""
    return float(255.0**2 / 10 ** (psnr(one, other) / 10))


def _decibels(mse: float) -> float:
    return math.inf if mse == 0 else 10 * math.log10(255.0**2 / mse)


def _levels(picture: Picture, *, in_srgb: bool) -> Levels:
    pixels = picture.frame.pixels
    if picture.frame.has_alpha:
        pixels = on_white(pixels)
    if not in_srgb or picture.profile is None:
        return pixels
    profile, layout = picture.profile, picture.frame.layout.removesuffix("A")
    convert: Callable[[Levels], Levels] = lambda strip: icc.to_srgb(strip, layout, profile)  # noqa: E731
    try:
        return by_strips(convert, pixels)
    except (ValueError, RuntimeError):  # a profile that no colour engine understands, the browser's no more than ours
        return pixels


def _in_colour(levels: Levels) -> Levels:
    return levels if levels.shape[2] == 3 else np.repeat(levels, 3, axis=2)
