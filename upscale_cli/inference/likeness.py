"""Whether what a net makes of a picture is still that picture: made as small as the input again, it has to be like it.

A loose check of what no finite number shows: a file of another training, a range or a mean that its keys do not tell
of, weights that are damaged. Real-ESRGAN's x4plus, which is healthy and invents a lot, comes down to 17.8 dB on
textures.
"""

import math
from typing import Any, Final

import numpy as np

from upscale_cli.events import Say
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixels import white_of
from upscale_cli.models.store import quiet

LEAST_DB: Final = 15.0
"""PSNR of the result against the input, below which it is told."""

STEP: Final = 4
"""Every so many LR pixels, along both axes, one is looked at; of large pieces fewer are."""

ENOUGH: Final = 32
"""Pixels along each axis of a piece that tell enough about it."""

LEAST_PIXELS: Final = 64
"""Below which nothing can be said."""

FAR: Final = (
    "the result, made as small as the input again, is far from it: other colours, brightness or contents. Look at it "
    "before you use it, and at where the model comes from."
)


class Likeness:
    """Adds up by how much pieces of a picture differ from what was made of them.

    Args:
        name: of what made it.
        say: is told at the end, if it is far.
    """

    def __init__(self, name: str = "", say: Say = quiet) -> None:
        self._name, self._say = name, say
        self._squares, self._values = 0.0, 0

    def add(self, lr: Pixels, sr: Any, white: float | None = None) -> None:
        """A piece, where SR has a whole number of pixels for each LR pixel.

        Args:
            lr: (h, w, C) of any depth.
            sr: (scale * h, scale * w, C) of any depth, numpy's or torch's on the host.
            white: of both; None: by their types.
        """
        sr = np.asarray(sr)
        height, width, channels = lr.shape
        scale = sr.shape[0] // height
        if sr.shape != (scale * height, scale * width, channels):
            return
        y, x = (max(STEP, side // ENOUGH) for side in (height, width))
        cells = sr.reshape(height, scale, width, scale, channels)[::y, :, ::x]
        with np.errstate(all="ignore"):  # NaN is found out by its health
            made = cells.mean(axis=(1, 3), dtype=np.float32) / np.float32(white or white_of(sr))
            difference = made - lr[::y, ::x] / np.float32(white or white_of(lr))
            self._squares += float(np.square(difference).sum())
        self._values += difference.size

    @property
    def decibels(self) -> float:
        """PSNR; inf where nothing differs, or too little was looked at."""
        if self._values < LEAST_PIXELS or not self._squares > 0:
            return math.inf
        return 10 * math.log10(self._values / self._squares)

    def end(self) -> None:
        """All pieces have come."""
        if self.is_far:
            self._say(f"{self._name}: {FAR}")

    @property
    def is_far(self) -> bool:
        """Whether the user should know."""
        return self.decibels < LEAST_DB
