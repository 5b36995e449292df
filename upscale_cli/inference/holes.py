"""Holes: pixels without a measurement. They are filled from around for the net, and are holes again afterwards.

What stands in a hole (-9999, 0, NaN) is no light and no height: a net or a filter would mix it into its neighbours.
In float32 a hole is whatever is not finite; in integers it is one declared value (`Frame.nodata`). Each channel has its
own. Filling works in blocks of `BLOCK` rows, so a picture that is read in bands is filled as one that is held.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixels import white_of
from upscale_cli.frames.rows import BAND_BYTES, Rows
from upscale_cli.inference.color import push_pull, sum_of_quads

LEVELS: Final = 4
"""How often a block is halved; what lies further away than a block is filled from the whole picture, at 1 / BLOCK."""

BLOCK: Final = 2**LEVELS

Mask = NDArray[np.bool_]


def holes_in(pixels: Pixels, nodata: int | None) -> Mask:
    """Which samples of (H, W, C) are none; `nodata` is for integers."""
    return ~np.isfinite(pixels) if pixels.dtype == np.float32 else np.asarray(pixels == nodata)


def has_holes(picture: Rows, nodata: int | None) -> bool:
    """Whether there is any; reads the picture to the first."""
    if nodata is None and picture.dtype != np.float32:
        return False
    return any(holes_in(band, nodata).any() for _, band in picture.bands())


class Filled(Rows):
    """A picture whose holes hold what is around them; all other samples are as they were.

    The mean of what is known is taken over ever larger squares, and a hole gets that of the smallest square that knows
    anything (push-pull, as `color.bleed`).

    Args:
        opened: the picture with its holes, from its first row on; read once to its end here, and once more later.
        nodata: as of a `Frame`.
    """

    def __init__(self, opened: Callable[[], Rows], nodata: int | None) -> None:
        self._rows, self._nodata = opened(), nodata
        super().__init__(self._rows.height, self._rows.width, self._rows.channels, self._rows.dtype)
        self._coarse = self._far(opened())

    def _far(self, picture: Rows) -> Pixels:
        """What each block holds in the mean, (ceil(H / BLOCK), ceil(W / BLOCK), C), those that are all holes filled."""
        step = BLOCK * max(1, BAND_BYTES // (BLOCK * self.width * self.channels * 4))
        parts = []
        for top in range(0, self.height, step):
            parts.append(self._levels(picture.read(top, min(top + step, self.height)))[-1])
        value, weight = (np.concatenate(planes) for planes in zip(*parts, strict=True))
        return push_pull(value, weight)

    def _levels(self, band: Pixels) -> list[tuple[Pixels, Pixels]]:
        """Means and weights (0 or 1) of rows from a multiple of BLOCK on: as they are, and halved LEVELS times."""
        known = ~holes_in(band, self._nodata)
        height, width = (-(-side // BLOCK) * BLOCK for side in band.shape[:2])
        beyond = ((0, height - band.shape[0]), (0, width - band.shape[1]), (0, 0))
        weight = np.pad(known.astype(np.float32), beyond)
        value = np.pad(np.where(known, band, 0).astype(np.float32), beyond)
        levels = [(value, weight)]
        for _ in range(LEVELS):
            total = sum_of_quads(weight)
            value = np.asarray(sum_of_quads(value * weight) / np.maximum(total, 1))
            weight = np.minimum(total, 1)
            levels.append((value, weight))
        return levels

    def read(self, start: int, stop: int) -> Pixels:
        first = start // BLOCK * BLOCK
        last = min(-(-stop // BLOCK) * BLOCK, self.height)
        band = self._rows.read(first, last)
        holes = holes_in(band, self._nodata)
        if not holes.any():
            return band[start - first : stop - first]
        filled = self._coarse[first // BLOCK : -(-last // BLOCK)]
        for value, weight in reversed(self._levels(band)[:-1]):
            filled = np.where(weight > 0, value, filled.repeat(2, axis=0).repeat(2, axis=1))
        filled = filled[: last - first, : self.width]
        if self.dtype != np.float32:
            filled = np.rint(filled).clip(0, white_of(band))
        return np.where(holes, filled.astype(self.dtype), band)[start - first : stop - first]


class WithHoles(Rows):
    """An SR picture with the holes of the LR picture, by nearest neighbour; no other sample is taken for one.

    Args:
        sr: without holes.
        lr: with holes, and with the same channels.
        nodata: as of a `Frame`; samples of SR that happen to have this value give way by one level.
    """

    def __init__(self, sr: Rows, lr: Rows, nodata: int | None) -> None:
        super().__init__(sr.height, sr.width, sr.channels, sr.dtype)
        self._sr, self._lr, self._nodata = sr, lr, nodata
        self._columns = ((np.arange(sr.width) + 0.5) * lr.width / sr.width).astype(int)

    def read(self, start: int, stop: int) -> Pixels:
        out = np.array(self._sr.read(start, stop))
        rows = ((np.arange(start, stop) + 0.5) * self._lr.height / self.height).astype(int)
        first = int(rows[0])
        holes = holes_in(self._lr.read(first, int(rows[-1]) + 1)[:, :, : self.channels], self._nodata)
        if self._nodata is not None:
            out[out == self._nodata] = self._nodata + (1 if self._nodata < white_of(out) else -1)
        if holes.any():
            out[holes[(rows - first)[:, None], self._columns[None, :]]] = (
                np.nan if self._nodata is None else self._nodata
            )
        return out
