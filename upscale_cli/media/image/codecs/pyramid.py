"""Ever smaller versions of a picture, made while its rows pass by; for viewers that show a gigapixel at any zoom."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import numpy as np

from upscale_cli.frames.image import Pixels
from upscale_cli.frames.rows import Rows, Streamed

SMALLEST: Final = 512
"""Pixels of the longer side below which no smaller version is made."""


def level_count(width: int, height: int) -> int:
    """How many smaller versions a picture of that size has.

    >>> level_count(20_000, 10_000)
    6
    """
    count = 0
    while max(width, height) > SMALLEST:
        width, height, count = -(-width // 2), -(-height // 2), count + 1
    return count


class Halving(Rows):
    """A picture that is halved while it is read: every row once, in bands of an even number of rows but for the last.

    The halved rows go to a temporary file; `halved` gives them when all are read.
    """

    def __init__(self, picture: Rows, file: IO[bytes]) -> None:
        super().__init__(picture.height, picture.width, picture.channels, picture.dtype)
        self._picture, self._file = picture, file

    def read(self, start: int, stop: int) -> Pixels:
        band = self._picture.read(start, stop)
        self._file.write(halved(band).tobytes())
        return band

    def halved(self) -> Rows:
        """The picture at half the size."""
        height, width = -(-self.height // 2), -(-self.width // 2)
        row = width * self.channels * self.dtype.itemsize

        def begin(start: int) -> Iterator[Pixels]:
            self._file.seek(start * row, os.SEEK_SET)
            step = max(1, 2**20 // row)
            for top in range(start, height, step):
                data = self._file.read(min(step, height - top) * row)
                yield np.frombuffer(data, self.dtype).reshape(-1, width, self.channels)

        return Streamed(height, width, self.channels, self.dtype, begin)


def halved(band: Pixels) -> Pixels:
    """(H, W, C) to (ceil(H / 2), ceil(W / 2), C) of the same dtype: the mean of four, rounded; edges count twice."""
    height, width, channels = band.shape
    even = np.pad(band, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    quads = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, channels)
    if band.dtype == np.float32:
        return np.asarray(quads.mean(axis=(1, 3), dtype=np.float32))
    return np.asarray((quads.sum(axis=(1, 3), dtype=np.uint32) + 2) // 4).astype(band.dtype)


@contextmanager
def halving(picture: Rows, folder: Path | None) -> Iterator[Halving]:
    """The picture, to be read once and halved on the way; its temporary file, in that folder, goes at the end."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield Halving(picture, file)
