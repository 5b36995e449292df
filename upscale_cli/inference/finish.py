"""What is done with what a net has made, before it is rounded: its colours set right, mixed with what interpolation
makes of the input, and kept out of what a mask protects.

    sr + low frequencies of (lr - sr)          `match_colour`
    sr * weight + interpolated * (1 - weight)  `blend`, `mask`

All of it depends on a known neighbourhood only, so that it can be done band by band, or on a frame as a whole (by
torch: `finish_frames`), with the same result.

The low frequencies of one picture in the place of another's are an old idea, known from StableSR (Wang et al., IJCV
2024, https://arxiv.org/abs/2305.07015), which takes wavelets for it; here it is a Gaussian.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import OptionError
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.rows import Held, Rows, Shared
from upscale_cli.inference.color import rounded
from upscale_cli.inference.conditions import read_picture
from upscale_cli.inference.resample import Resampled
from upscale_cli.messages import option
from upscale_cli.models.registry import Kernel

KERNEL: Final[Kernel] = "bicubic"
"""What the input is enlarged by where it takes the net's place."""

CELL: Final = 4
"""LR pixels of a side of the cells that colours are compared in."""

SIGMA: Final = 2.0
"""Cells: 8 LR pixels. Blocks of JPEG, which have 8, are finer than what it lets through."""

REACH: Final = 6
"""Cells: three times sigma."""


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Where the net's result counts.

    Attributes:
        weights: (h, w) float32, 1 where it does, 0 where the input is enlarged by interpolation.
        name: for messages.
    """

    weights: NDArray[np.float32]
    name: str

    @classmethod
    def read(cls, value: "str | Path | NDArray[Any]") -> "Mask":
        """A picture, whose white is 1; or an array (h, w) or (h, w, C): of integers up to their type's white, of
        floats in [0, 1].

        Raises:
            OptionError: it is no picture. InputError: the file cannot be read.
        """
        if isinstance(value, np.ndarray):
            array, name = np.atleast_3d(value), "the array"
            white = np.iinfo(array.dtype).max if array.dtype.kind in "ui" else 1
            unit = np.moveaxis(array.astype(np.float32) / np.float32(white), 2, 0)
        else:
            path, name = Path(value).expanduser(), str(value)
            if not path.is_file():
                raise OptionError(f"{option('mask', name)}: there is no such file. Give a picture.")
            unit = read_picture(path)
        if unit.ndim != 3 or not unit.size or not np.isfinite(unit).all():
            raise OptionError(f"{option('mask')}: an array of shape {unit.shape[1:]} is no picture. Give (h, w).")
        colours = {2: 1, 4: 3}.get(len(unit), len(unit))  # transparency is not looked at
        return cls(np.ascontiguousarray(unit[:colours].mean(axis=0).clip(0, 1)), name)

    def check(self, height: int, width: int) -> None:
        """Refuses a mask of another aspect than the picture's, but for what rounding makes of it.

        Raises:
            OptionError: so it is.
        """
        own_height, own_width = self.weights.shape
        in_lr = abs(own_width * height / own_height - width), abs(own_height * width / own_width - height)
        in_own = abs(width * own_height / height - own_width), abs(height * own_width / width - own_height)
        if min(*in_lr, *in_own) > 1:
            raise OptionError(
                f"{option('mask', self.name)}: is {own_width} x {own_height}, and the picture is {width} x {height}, "
                f"another shape. Give a mask of {width} x {height}, or of that aspect."
            )

    def sized(self, height: int, width: int, *, wrap: bool = False) -> Rows:
        """(height, width, 1) float32 in [0, 1] and, where it overshoots, a little beyond."""
        return Resampled(Held(self.weights[:, :, None]), height, width, np.float32, KERNEL, wrap=wrap)


@dataclass(frozen=True, slots=True)
class Finish:
    """What is done with a net's result.

    Attributes:
        blend: 0 to 1, how much of it counts; the rest is the enlarged input.
        match_colour: its low frequencies become those of the input.
        mask: where it counts; None: everywhere.
    """

    blend: float = 1.0
    match_colour: bool = False
    mask: Mask | None = None

    @property
    def is_any(self) -> bool:
        """Whether there is anything to do."""
        return self.mixes or self.match_colour

    @property
    def mixes(self) -> bool:
        """Whether the enlarged input is part of the result."""
        return self.blend != 1 or self.mask is not None

    def identity(self) -> dict[str, Any]:
        """What decides about a pixel, for comparing two runs; nothing where nothing is done."""
        found: dict[str, Any] = {"blend": self.blend} if self.blend != 1 else {}
        if self.match_colour:
            found["match_colour"] = True
        if self.mask is not None:
            found["mask"] = hashlib.sha256(
                self.mask.weights.tobytes() + repr(self.mask.weights.shape).encode()
            ).hexdigest()
        return found


def finished(sr: Rows, lr: Callable[[], Rows], finish: Finish, dtype: Any, *, is_colour: bool, wrap: bool) -> Rows:
    """The rows of an SR picture, finished.

    Args:
        sr: float32; one that wraps is `Held`.
        lr: gives the rows of the picture it was made of, of any depth, whenever it is called.
        dtype: of the result; integers are rounded and clipped.
        is_colour: transparency keeps its low frequencies.
    """
    size = sr.height, sr.width

    def opened() -> Rows:
        picture = lr()
        return Held(picture.whole()) if wrap and not isinstance(picture, Held) else picture

    correction = None
    if finish.match_colour and is_colour:
        shared = Shared(lambda: sr, [slice(0, sr.channels)] * 2)
        low = _Low(_Coarse(opened(), shared.view(1)(), wrap=wrap), wrap=wrap)
        correction = Resampled(low, *size, np.float32, KERNEL, wrap=wrap)
        sr = shared.view(0)()
    enlarged, weights = None, None
    if finish.mixes:
        enlarged = Resampled(opened(), *size, np.float32, KERNEL, wrap=wrap)
        weights = finish.mask.sized(*size, wrap=wrap) if finish.mask is not None else None
    return _Finished(sr, correction, enlarged, weights, finish.blend, dtype)


class _Finished(Rows):
    def __init__(
        self, sr: Rows, correction: Rows | None, enlarged: Rows | None, weights: Rows | None, blend: float, dtype: Any
    ) -> None:
        super().__init__(sr.height, sr.width, sr.channels, dtype)
        self._sr, self._correction, self._enlarged, self._weights = sr, correction, enlarged, weights
        self._blend = np.float32(blend)

    def read(self, start: int, stop: int) -> Pixels:
        # What needs rows further up is asked for first: readers that share a picture begin in that order.
        correction = None if self._correction is None else self._correction.read(start, stop)
        out = self._sr.read(start, stop).astype(np.float32, copy=True)
        if correction is not None:
            out += correction
        if self._enlarged is not None:
            weight: Any = self._blend
            if self._weights is not None:
                weight = weight * self._weights.read(start, stop).clip(0, 1)
            enlarged = self._enlarged.read(start, stop)
            out -= enlarged
            out *= weight
            out += enlarged
        return rounded(out, self.dtype)


def cells(length: int) -> int:
    """How many cells a side of so many LR pixels has."""
    return -(-length // CELL)


def gaussian() -> NDArray[np.float32]:
    """(2 * REACH + 1,) weights of a cell's neighbours."""
    places = np.arange(-REACH, REACH + 1)
    weights = np.exp(-(places**2) / (2 * SIGMA**2))
    return np.asarray(weights / weights.sum(), np.float32)


class _Coarse(Rows):
    """What a picture lacks against the one it was made of, cell by cell."""

    def __init__(self, lr: Rows, sr: Rows, *, wrap: bool) -> None:
        super().__init__(cells(lr.height), cells(lr.width), lr.channels, np.float32)
        self._lr, self._sr = (
            Resampled(picture, self.height, self.width, np.float32, KERNEL, wrap=wrap) for picture in (lr, sr)
        )

    def read(self, start: int, stop: int) -> Pixels:
        return np.asarray(self._lr.read(start, stop) - self._sr.read(start, stop))


class _Low(Rows):
    """Rows under a Gaussian; beyond the borders there is nothing, or the opposite side."""

    def __init__(self, source: Rows, *, wrap: bool) -> None:
        super().__init__(source.height, source.width, source.channels, np.float32)
        self._source: Rows = Held(source.whole()) if wrap else source
        self._wrap = wrap

    def read(self, start: int, stop: int) -> Pixels:
        wanted = np.arange(start - REACH, stop + REACH)
        if self._wrap:
            around = self._source.read(0, self.height)[wanted % self.height]
            inside = np.ones(len(wanted), np.float32)
        else:
            first, last = max(start - REACH, 0), min(stop + REACH, self.height)
            around = np.zeros((len(wanted), self.width, self.channels), np.float32)
            around[first - wanted[0] : last - wanted[0]] = self._source.read(first, last)
            inside = ((wanted >= 0) & (wanted < self.height)).astype(np.float32)
        down = _along(around, axis=0) / _along(inside, axis=0)[:, None, None]
        sides: Any = ((0, 0), (REACH, REACH), (0, 0))
        padded = np.pad(down, sides, mode="wrap" if self._wrap else "constant")
        share = np.ones(self.width, np.float32)
        share = np.pad(share, REACH, mode="wrap" if self._wrap else "constant")
        return np.asarray(_along(padded, axis=1) / _along(share, axis=0)[None, :, None])


def _along(values: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """Weighted by the Gaussian along an axis, which becomes 2 * REACH shorter."""
    length = values.shape[axis] - 2 * REACH
    total = np.zeros_like(values[:length] if axis == 0 else values[:, :length])
    for at, weight in enumerate(gaussian()):
        total += weight * (values[at : at + length] if axis == 0 else values[:, at : at + length])
    return np.asarray(total)
