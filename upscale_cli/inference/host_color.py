"""What `color_adapter` does, by numpy: a net of an engine on the host as pictures see it.

Rounding apart, the results are those of torch: sums are in another order, and bicubic interpolation is Pillow's, whose
kernel torch has taken over (a = -0.5, cut and scaled at the border).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from upscale_cli.frames.image import Pixels, Transfer
from upscale_cli.frames.pixels import white_of
from upscale_cli.inference.backends.base import ArraySession
from upscale_cli.inference.color import CENTRE, KB, KR, rounded
from upscale_cli.inference.tiling import BLOCK_ROWS
from upscale_cli.models.interface import INPUT, Descriptor, Scale, scaled

Array = NDArray[np.float32]

KG: Final = 1 - KR - KB

STUDIO_SPAN, STUDIO_BLACK, STUDIO_CHROMA = (np.float32(value / 255) for value in (219, 16, 224))


def unit_of(lr: Pixels) -> Array:
    """(h, w, C) of any depth to (1, C, h, w) in [0, 1]."""
    unit = np.empty((1, lr.shape[2], *lr.shape[:2]), np.float32)
    np.divide(lr.transpose(2, 0, 1), np.float32(white_of(lr)), out=unit[0], dtype=np.float32)
    return unit


def pixels_of(sr: Array, dtype: Any) -> Pixels:
    """(H, W, C), a view whose channels lie apart, to pixels of uint8 or uint16; `sr` is changed in place."""
    out = np.empty(sr.shape, dtype)
    with np.errstate(invalid="ignore"):  # NaN is found out by its health
        for y in range(0, len(sr), BLOCK_ROWS):
            for channel in range(sr.shape[2]):
                rounded(sr[y : y + BLOCK_ROWS, :, channel], dtype, out=out[y : y + BLOCK_ROWS, :, channel])
    return out


def health_of_array(sr: Array) -> Array:
    """(1, C, H, W) to (3,): as `health.health_of`."""
    with np.errstate(all="ignore"):
        return np.array([sr.min(), sr.max(), sr.mean()], np.float32)


class HostColorAdapter:
    """See `color_adapter.ColorAdapter`.

    Args:
        net: what it is.
        session: runs it.
        scale: of the pass.
    """

    def __init__(self, net: Descriptor, session: ArraySession, scale: Scale) -> None:
        self._session, self._scale = session, scale
        self._colour, self._is_studio = net.colour, net.luma_range == "studio"

    def __call__(self, lr: Array, conditions: Mapping[str, Array], transfer: Transfer) -> Array:
        """(1, 1 or 3, h, w) float32 in [0, 1] to (1, 1 or 3, scale * h, scale * w) float32, not clamped."""

        def run(picture: Array) -> Array:
            return self._session.infer({INPUT: picture, **conditions})

        if transfer == "linear":  # nets know display values only; the curve is undone after them
            return display_to_linear(self._in_colours(linear_to_display(lr), run))
        return self._in_colours(lr, run)

    def _in_colours(self, lr: Array, run: Callable[[Array], Array]) -> Array:
        if lr.shape[1] == 1:
            return self._gray(lr, run)
        if self._colour == "rgb":
            return run(lr)
        if self._colour == "ycbcr":
            return self._rgb(run(self._ycbcr(lr)))
        luma, differences = _split(lr)
        sr = self._from_net(run(self._to_net(luma)))
        height, width = (scaled(side, self._scale) for side in lr.shape[-2:])
        red, blue = (_bicubic(plane, height, width) for plane in differences)
        return _joined(sr[0, 0], red, blue)

    def _gray(self, lr: Array, run: Callable[[Array], Array]) -> Array:
        if self._colour == "luma":
            return self._from_net(run(self._to_net(lr)))
        rgb = np.repeat(lr, 3, axis=1)
        sr = run(rgb) if self._colour == "rgb" else self._rgb(run(self._ycbcr(rgb)))
        return _split(sr)[0]

    def _to_net(self, luma: Array) -> Array:
        return luma * STUDIO_SPAN + STUDIO_BLACK if self._is_studio else luma

    def _from_net(self, luma: Array) -> Array:
        return (luma - STUDIO_BLACK) / STUDIO_SPAN if self._is_studio else luma

    def _ycbcr(self, rgb: Array) -> Array:
        luma, (red, blue) = _split(rgb)
        chroma = np.stack((blue / np.float32(2 - 2 * KB), red / np.float32(2 - 2 * KR)))
        if self._is_studio:
            chroma *= STUDIO_CHROMA
        chroma += np.float32(CENTRE)
        return np.concatenate((self._to_net(luma), chroma[None]), axis=1)

    def _rgb(self, ycbcr: Array) -> Array:
        blue, red = (ycbcr[0, 1:] - np.float32(CENTRE)) / (STUDIO_CHROMA if self._is_studio else np.float32(1))
        blue *= np.float32(2 - 2 * KB)
        red *= np.float32(2 - 2 * KR)
        return _joined(self._from_net(ycbcr[:, :1])[0, 0], red, blue)


def _split(rgb: Array) -> tuple[Array, tuple[Array, Array]]:
    """(1, 3, h, w) to luma (1, 1, h, w) of BT.601, and R - Y and B - Y, (h, w) each.

    These, and no more, are enlarged by bicubic and added again: what brings them into the range of Cb and Cr is linear.
    """
    red, green, blue = rgb[0]
    luma = np.float32(KR) * red
    luma += np.float32(KG) * green
    luma += np.float32(KB) * blue
    return luma[None, None], (red - luma, blue - luma)


def _joined(luma: Array, red: Array, blue: Array) -> Array:
    """Y, R - Y and B - Y, (H, W) each, to RGB, (1, 3, H, W)."""
    out = np.empty((1, 3, *luma.shape), np.float32)
    of_red, of_blue = np.float32(-KR / KG), np.float32(-KB / KG)
    for y in range(0, len(luma), BLOCK_ROWS):
        rows = slice(y, y + BLOCK_ROWS)
        np.add(luma[rows], red[rows], out=out[0, 0, rows])
        np.add(luma[rows], blue[rows], out=out[0, 2, rows])
        green = np.multiply(red[rows], of_red, out=out[0, 1, rows])
        green += blue[rows] * of_blue
        green += luma[rows]
    return out


def _bicubic(plane: Array, height: int, width: int) -> Array:
    """(h, w) to (height, width)."""
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))


def linear_to_display(linear: Array) -> Array:
    """As in `color`."""
    size = np.abs(linear)
    curve = np.where(
        size <= np.float32(0.0031308),
        np.float32(12.92) * size,
        np.float32(1.055) * np.maximum(size, np.float32(1e-8)) ** np.float32(1 / 2.4) - np.float32(0.055),
    )
    return np.copysign(curve, linear)


def display_to_linear(display: Array) -> Array:
    """As in `color`."""
    size = np.abs(display)
    curve = np.where(
        size <= np.float32(0.04045),
        size / np.float32(12.92),
        ((size + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4),
    )
    return np.copysign(curve, display)
