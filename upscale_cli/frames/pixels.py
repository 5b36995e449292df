"""Arithmetic on pixels that every format needs: turning, stretching, flattening, rounding. Pure."""

from collections.abc import Callable
from typing import Any

import numpy as np

from upscale_cli.frames.image import Pixels

_STRIP_VALUES = 2**22

_UNDO = {6: 8, 8: 6}
"""Orientations whose inverse is another one; each other one is its own."""


def white_of(pixels: Pixels) -> int:
    """The largest value of the dtype, or 1 for float."""
    return 1 if pixels.dtype == np.float32 else int(np.iinfo(pixels.dtype).max)


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """A view of stored (H, W, C) pixels as EXIF orientation 1..8 wants them seen."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return pixels[::rows, ::columns]


def upright_pixels(pixels: Pixels, orientation: int) -> Pixels:
    """Stored (H, W) or (H, W, C) pixels as upright, contiguous, writable (H, W, C)."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.require(turned(pixels, orientation), requirements=["C", "W"])


def empty_upright(height: int, width: int, channels: int, dtype: Any, orientation: int) -> tuple[Any, Any]:
    """A new upright array for a stored picture of (height, width), and the view of it in stored coordinates.

    Filling the view row by row turns the picture without a second copy of it.
    """
    upright = np.empty((width, height, channels) if orientation >= 5 else (height, width, channels), dtype)
    return upright, turned(upright, _UNDO.get(orientation, orientation))


def stretched(values: Pixels, top: float, bits: int) -> Pixels:
    """Integers 0..top to the full range of uint8 (for up to 8 bits) or uint16, rounded; larger ones are white."""
    full, dtype = (255, np.uint8) if bits <= 8 else (65_535, np.uint16)
    if top == full:
        return np.minimum(values, top).astype(dtype)
    return by_strips(lambda strip: (np.minimum(strip, top) * (full / top) + 0.5).astype(dtype), values)


def unpremultiplied(pixels: Pixels) -> Pixels:
    """Colour that was multiplied by its alpha (the last channel), divided by it again; same dtype, a new array."""
    top = white_of(pixels)
    alpha = pixels[..., -1:].astype(np.float64) / top
    with np.errstate(divide="ignore", invalid="ignore"):
        color = np.where(alpha > 0, pixels[..., :-1] / alpha, 0)
    if pixels.dtype != np.float32:
        color = np.clip(color + 0.5, 0, top)
    result = pixels.copy()
    result[..., :-1] = color.astype(pixels.dtype)
    return result


def by_strips(function: Callable[[Pixels], Pixels], pixels: Pixels) -> Pixels:
    """Apply a pixel-wise function strip by strip, so that its intermediate values never cover the whole picture."""
    rows = max(1, _STRIP_VALUES // max(1, pixels.shape[1] * pixels.shape[2]))
    first = function(pixels[:rows])
    if len(pixels) <= rows:
        return first
    result = np.empty((len(pixels), *first.shape[1:]), first.dtype)
    result[:rows] = first
    for top in range(rows, len(pixels), rows):
        result[top : top + rows] = function(pixels[top : top + rows])
    return result


def to_8_bits(pixels: Pixels) -> Pixels:
    """uint16 to uint8, rounded to the nearest: 65,535 / 255 is 257 exactly."""
    return by_strips(lambda strip: ((strip.astype(np.uint32) + 128) // 257).astype(np.uint8), pixels)


def from_float(pixels: Pixels, dtype: Any) -> Pixels:
    """float32 with 1.0 for white to integers, clipped to [0, 1]; NaN becomes 0."""
    top = np.iinfo(dtype).max

    def convert(strip: Pixels) -> Pixels:
        levels: Pixels = (np.clip(np.nan_to_num(strip, nan=0.0), 0, 1) * np.float64(top) + 0.5).astype(dtype)
        return levels

    return by_strips(convert, pixels)


def display_of_light(light: Pixels) -> Pixels:
    """float32 in proportion to light through sRGB's curve (IEC 61966-2-1), continued above 1, mirrored below 0."""

    def convert(strip: Pixels) -> Pixels:
        size = np.abs(strip)
        curve = np.where(size <= 0.0031308, 12.92 * size, 1.055 * np.maximum(size, 1e-8) ** (1 / 2.4) - 0.055)
        shown: Pixels = np.copysign(curve, strip).astype(np.float32)
        return shown

    return by_strips(convert, light)


def light_of_display(display: Pixels) -> Pixels:
    """The inverse of `display_of_light`."""

    def convert(strip: Pixels) -> Pixels:
        size = np.abs(strip)
        light: Pixels = np.copysign(np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), strip)
        return light.astype(np.float32)

    return by_strips(convert, display)


def on_white(pixels: Pixels) -> Pixels:
    """Straight alpha flattened on white: (H, W, C + alpha) to (H, W, C), same dtype."""

    def flatten(strip: Pixels) -> Pixels:
        color, alpha, top = strip[..., :-1], strip[..., -1:], white_of(strip)
        if strip.dtype == np.float32:
            return np.asarray(color * alpha + (1 - alpha))
        wide = alpha.astype(np.uint32)  # top * top + top // 2 still fits
        flat: Pixels = ((color * wide + (top - wide) * top + top // 2) // top).astype(strip.dtype)
        return flat

    return by_strips(flatten, pixels)
