"""Interpolation of whole pictures to an exact size, band by band; the same values however the bands are cut.

Down the columns the weights are ours, computed for the whole picture, so that a row never depends on the band it is
asked for in. Along the rows Pillow does the work: one row knows nothing of the others.
"""

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from upscale_cli.frames.cubic import cubic
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixels import white_of
from upscale_cli.frames.rows import BAND_BYTES, Held, Rows
from upscale_cli.inference.color import rounded
from upscale_cli.models.registry import Kernel

FILTERS: Final[dict[Kernel, Image.Resampling]] = {
    "bicubic": Image.Resampling.BICUBIC,  # a = -0.5, as in the field's benchmarks
    "lanczos": Image.Resampling.LANCZOS,
}

REACH: Final = 3
"""Source pixels that the wider filter (Lanczos-3) looks at on each side when it enlarges."""


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """sinc(x) windowed by sinc(x / 3)."""
    return np.where(np.abs(x) < REACH, np.sinc(x) * np.sinc(x / REACH), 0.0)


_KERNELS: Final[dict[Kernel, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]]] = {
    "bicubic": (cubic, 2),
    "lanczos": (_lanczos, REACH),
}
"""The weight of a source pixel by its distance, and how far it reaches, in source pixels when enlarging."""


def taps(
    source: int, length: int, kernel: Kernel, *, wrap: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How one axis of `source` pixels becomes one of `length`, antialiased where it shrinks.

    Returns:
        (length,) the first source pixel that counts, below 0 only if the axis wraps; and (length, n) the weights of it
        and its successors, which add up to 1. Weights of pixels beyond the border are 0 unless it wraps.

    >>> first, weights = taps(4, 8, "bicubic")
    >>> int(first[3]), weights[3].round(4).tolist()
    (0, [-0.0703, 0.8672, 0.2266, -0.0234, 0.0])
    """
    function, reach = _KERNELS[kernel]
    step = source / length
    stretch = max(step, 1.0)
    centres = (np.arange(length) + 0.5) * step
    first = np.floor(centres - reach * stretch + 0.5).astype(np.int64)
    if not wrap:
        first = first.clip(0, None)
    pixels = first[:, None] + np.arange(2 * math.ceil(reach * stretch) + 1)
    weights = function((pixels + 0.5 - centres[:, None]) / stretch)
    if not wrap:
        weights[pixels >= source] = 0
    return first, weights / weights.sum(axis=1, keepdims=True)


class Resampled(Rows):
    """A picture brought to exactly another size as it is read, one channel at a time in float32.

    Args:
        source: uint8, uint16 or float32; a picture that wraps must be `Held`.
        height, width, dtype: of the result; white stays white, integers are rounded and clipped.
        wrap: the picture continues on its opposite side (tileable textures).
    """

    def __init__(self, source: Rows, height: int, width: int, dtype: Any, kernel: Kernel, *, wrap: bool) -> None:
        super().__init__(height, width, source.channels, dtype)
        self._source, self._kernel, self._wrap = source, kernel, wrap
        self._first, self._weights = taps(source.height, height, kernel, wrap=wrap)

    def read(self, start: int, stop: int) -> Pixels:
        out = np.empty((stop - start, self.width, self.channels), self.dtype)
        step = max(1, BAND_BYTES // (8 * max(self.width, self._source.width)))
        for top in range(start, stop, step):
            bottom = min(top + step, stop)
            self._fill(out[top - start : bottom - start], top, bottom)
        return out

    def _fill(self, out: Pixels, start: int, stop: int) -> None:
        """Rows `start` to `stop`, one channel at a time."""
        first = int(self._first[start])
        last = int(self._first[stop - 1]) + self._weights.shape[1]
        if self._wrap:
            around = np.arange(first, last) % self._source.height
            source = self._source.read(0, self._source.height)[around]
        else:
            source = self._source.read(first, min(last, self._source.height))
        for channel in range(self.channels):
            plane = self._down(source[:, :, channel], first, start, stop)
            rounded(self._along(plane), self.dtype, out=out[:, :, channel])

    def _down(self, plane: Pixels, top: int, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the result at the width of the source, from the source's rows from `top` on."""
        values = plane.astype(np.float64)
        values /= white_of(plane)
        out = np.empty((stop - start, plane.shape[1]), np.float32)
        total, term = np.empty(plane.shape[1]), np.empty(plane.shape[1])
        for row in range(start, stop):
            total[:] = 0
            for source, weight in enumerate(self._weights[row], start=int(self._first[row]) - top):
                if weight:
                    total += np.multiply(values[source], weight, out=term)
            out[row - start] = total
        return out

    def _along(self, plane: NDArray[np.float32]) -> NDArray[np.float32]:
        """(h, source width) to (h, width)."""
        height, width = plane.shape
        if width == self.width:
            return plane
        reach = REACH * max(1, -(-width // self.width)) if self._wrap else 0
        if self._wrap:
            plane = np.pad(plane, ((0, 0), (reach, reach)), mode="wrap")
        box = (reach, 0, reach + width, height)
        return np.array(Image.fromarray(plane).resize((self.width, height), FILTERS[self._kernel], box=box))


def resample(pixels: Pixels, out: Pixels, kernel: Kernel, *, wrap: bool = False) -> None:
    """Resamples to exactly the size of `out`, antialiased where it shrinks.

    Args:
        pixels: (H, W, C) uint8, uint16 or float32.
        out: (height, width, C) of any depth, a view will do; white stays white, integers are rounded and clipped.
        wrap: the picture continues on its opposite side (tileable textures).
    """
    height, width = out.shape[:2]
    for top, band in Resampled(Held(pixels), height, width, out.dtype, kernel, wrap=wrap).bands():
        out[top : top + len(band)] = band
