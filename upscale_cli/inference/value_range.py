"""Which values a picture uses. Nets know [0, 1] and are at home where photos are: all over it.

A depth map of 0..254 in 16 bits lies within a 250th of that, where a net's own error, of a few 255ths, is larger than
the picture. What is used is therefore brought to [0, 1], goes through the net, and is brought back:

    codes  ->  Unit  ->  net  ->  Restored  ->  codes
               Beyond  ->  Lanczos  ->

Pure functions of pixels; nothing here knows files or nets.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.frames.image import Frame, Layout, Pixels, channels_of
from upscale_cli.frames.rows import RowReader, Rows
from upscale_cli.inference.color import rounded

LITTLE: Final = 0.5
"""Part of the type's range below which a picture uses little of it: 15 bits in 16."""

LITTLE_IN_8_BITS: Final = 1 / 8
"""The same of 8 bits, where dark and foggy photos are usual; of 32 levels no photo is made."""

FEW: Final = 0.001
"""Part of the values at either end that may be broken pixels, lamps, or marks of what is unknown."""

_STRIP_VALUES: Final = 2**20
_BINS: Final = 2**16

PICTURES: Final[frozenset[Layout]] = frozenset({"L", "LA", "RGB", "RGBA"})
"""Layouts in which data come. Inks use little of their range in any photo, and Lab is made for photos only."""


@dataclass(frozen=True, slots=True)
class ValueRange:
    """What a net gets as 0 and as 1, in the values of a picture: codes of integers, or floats.

    Attributes:
        black, white: become 0 and 1; the same for a picture of one value.
        low, high: the least and the largest value there is; what lies beyond black and white is interpolated and added
            again. Of a picture that uses its range they are not looked for, and the same as black and white.
        usual: what `black` and `white` are for a picture that uses its range.
    """

    black: float
    white: float
    low: float
    high: float
    usual: tuple[float, float]

    @classmethod
    def full(cls, dtype: Any) -> "ValueRange":
        """Of a picture that uses the range of its type: 0 to the largest integer, or to 1."""
        top = white_of_type(dtype)
        return cls(0.0, top, 0.0, top, (0.0, top))

    @property
    def is_full(self) -> bool:
        """Whether nothing is to be done."""
        return self.is_constant or ((self.black, self.white) == self.usual and not self.exceeds)

    @property
    def is_constant(self) -> bool:
        """Whether there is one value only."""
        return self.black == self.white

    @property
    def exceeds(self) -> bool:
        """Whether there are values beyond black and white."""
        return self.low < self.black or self.high > self.white

    @property
    def is_own(self) -> bool:
        """Whether the picture's own values decide, and not what light may be: worth a line to the user."""
        return not self.is_full and (self.black != self.usual[0] or self.white < self.usual[1])

    def with_that_of(self, other: "ValueRange") -> "ValueRange":
        """One for both: two pages of a stack, of one dtype."""
        black, white = min(self.black, other.black), max(self.white, other.white)
        low, high = min(self.low, other.low), max(self.high, other.high)
        bottom, top = self.usual
        if bottom <= black and white <= top and white - black > top * _little(top):
            black, white = self.usual
        return ValueRange(black, white, low, high, self.usual)


def white_of_type(dtype: Any) -> float:
    """The largest value of an integer dtype, or 1 for float."""
    return 1.0 if np.dtype(dtype) == np.float32 else float(np.iinfo(dtype).max)


def told(used: ValueRange) -> str:
    """One line for the user."""
    black, white = (f"{value:,.0f}" if used.usual[1] > 1 else f"{value:.6g}" for value in (used.black, used.white))
    top = f" of {used.usual[1]:,.0f}" if used.usual[1] > 1 else ""
    return f"its values lie between {black} and {white}{top}: the net gets them over its whole range, and they go back."


def value_range(lr: Frame | RowReader, channels: slice | None = None) -> ValueRange:
    """What a picture uses: of its colour, where it can be seen and was measured, all channels together.

    Where it uses its range this is found out by its first rows.

    Args:
        channels: others than those of colour.
    """
    if lr.layout not in PICTURES:
        return ValueRange.full(lr.dtype if isinstance(lr, RowReader) else lr.pixels.dtype)
    channels = slice(0, 3 if lr.layout.startswith("RGB") else 1) if channels is None else channels
    if isinstance(lr, RowReader):
        strips = (_measured(band[:, :, channels], lr.nodata) for band in lr.begin(0))
        return _of_integers(strips, lr.dtype, lr.height * lr.width * len(range(lr.channels)[channels]))
    colour = lr.pixels[:, :, channels]
    if lr.pixels.dtype == np.float32:
        return _of_floats(np.concatenate(list(_seen(lr, colour))))
    return _of_integers(_seen(lr, colour), colour.dtype, colour.size)


def _seen(lr: Frame, colour: Pixels) -> Iterator[NDArray[Any]]:
    """The values of all pixels that are not wholly transparent, and measured; strip by strip, flat."""
    alpha = channels_of(lr.layout) - 1
    step = max(1, _STRIP_VALUES // (lr.width * colour.shape[2]))
    for top in range(0, lr.height, step):
        strip = colour[top : top + step]
        if lr.has_alpha:
            strip = strip[lr.pixels[top : top + step, :, alpha] > 0]
        yield _measured(strip, lr.nodata)


def _measured(strip: Pixels, nodata: int | None) -> NDArray[Any]:
    """All values but those that stand for none, flat."""
    values = strip.reshape(-1)
    if values.dtype == np.float32:
        return values[np.isfinite(values)]
    return values if nodata is None else values[values != nodata]


def _little(top: float) -> float:
    return LITTLE_IN_8_BITS if top == 255 else LITTLE


def _of_integers(strips: Iterable[NDArray[Any]], dtype: Any, count: int) -> ValueRange:
    """Of `count` values (or fewer), which need not all be looked at where they differ much."""
    full = ValueRange.full(dtype)
    top = int(full.white)
    if top <= 255:
        return _of_bytes(strips, full)
    counts = np.zeros(top + 1, np.int64)
    spare = count * FEW
    for strip in strips:
        for start in range(0, len(strip), _STRIP_VALUES):
            counts += np.bincount(strip[start : start + _STRIP_VALUES], minlength=top + 1)
            below, above = ends(counts, spare)
            if above - below > top * _little(top):
                return full  # whatever comes can only make it wider
    if not counts.any():
        return full
    used = np.flatnonzero(counts)
    low, high = int(used[0]), int(used[-1])
    black, white = robust(low, high, *ends(counts, spare))
    if white - black > top * _little(top):
        return full
    return ValueRange(black, white, low, high, full.usual)


def _of_bytes(strips: Iterable[NDArray[Any]], full: ValueRange) -> ValueRange:
    """Of 8 bits any pixel counts, a lamp in the night, a star: the least and the greatest value are all there is to
    know, which is found much faster than how many there are of each."""
    low, high = 255, 0
    for strip in strips:
        if len(strip):
            low, high = min(low, int(strip.min())), max(high, int(strip.max()))
        if high - low > full.white * LITTLE_IN_8_BITS:
            return full
    return full if low > high else ValueRange(low, high, low, high, full.usual)


def ends(counts: NDArray[np.int64], spare: float) -> tuple[int, int]:
    """The values that no more than `spare` lie below, and above; counted values decide, (0, 0) where all are spare."""
    sums = np.cumsum(counts)
    if sums[-1] <= 2 * spare:
        return 0, 0
    return int(np.searchsorted(sums, spare, side="right")), int(np.searchsorted(sums, sums[-1] - spare))


def robust(low: float, high: float, few: float, most: float) -> tuple[float, float]:
    """The range of a picture: all of it, unless a few values lie further out than all others do from one another."""
    span = most - few
    if span <= 0:
        return low, high
    return (low if few - low <= span else few), (high if high - most <= span else most)


def _of_floats(values: NDArray[np.float32]) -> ValueRange:
    """Of finite values. Light exceeds 1 in a few lamps; what lies below 0 or wholly above 1 is no light but a map."""
    full = ValueRange.full(np.float32)
    if not len(values):
        return full
    low, high = float(values.min()), float(values.max())
    if low == high:
        return ValueRange(low, low, low, low, full.usual)
    within = low >= 0 and high <= 1
    if within and _uses_unit(values):
        return full
    few, most = (float(value) for value in np.quantile(values, (FEW, 1 - FEW)))
    black, white = (0.0, 1.0) if within else (min(few, 0.0), max(most, 1.0))
    own_black, own_white = robust(low, high, few, most)
    is_map = low > 1 or (few < 0 and most > 1)
    if is_map or own_white - own_black <= (white - black) * LITTLE:
        black, white = own_black, own_white
    return ValueRange(black, white, low, high, full.usual)


def _uses_unit(values: NDArray[np.float32]) -> bool:
    """Whether floats in [0, 1] certainly use that range; mostly known by the first of them."""
    counts, spare = np.zeros(_BINS, np.int64), len(values) * FEW
    for start in range(0, len(values), _STRIP_VALUES):
        codes = (values[start : start + _STRIP_VALUES] * np.float32(_BINS - 1)).astype(np.int64)
        counts += np.bincount(codes, minlength=_BINS)
        below, above = ends(counts, spare)
        if above - below - 1 > (_BINS - 1) * LITTLE:
            return True
    return False


class Unit(Rows):
    """What of a picture lies within its range, as [0, 1] float32."""

    def __init__(self, picture: Rows, used: ValueRange) -> None:
        super().__init__(picture.height, picture.width, picture.channels, np.float32)
        self._picture, self._used = picture, used

    def read(self, start: int, stop: int) -> Pixels:
        used, values = self._used, self._picture.read(start, stop).astype(np.float32, copy=False)
        values = values.clip(np.float32(used.black), np.float32(used.white)) if used.exceeds else values
        return np.asarray((values - np.float32(used.black)) / np.float32(used.white - used.black))


class Beyond(Rows):
    """What of a picture lies beyond its range, float32: 0 where nothing does."""

    def __init__(self, picture: Rows, used: ValueRange) -> None:
        super().__init__(picture.height, picture.width, picture.channels, np.float32)
        self._picture, self._used = picture, used

    def read(self, start: int, stop: int) -> Pixels:
        values = self._picture.read(start, stop).astype(np.float32, copy=False)
        return np.asarray(values - values.clip(np.float32(self._used.black), np.float32(self._used.white)))


class Restored(Rows):
    """The SR picture: what the net has made of `Unit`, brought back, and what lay beyond.

    Args:
        unit: SR rows, float32.
        beyond: the same of `Beyond`, interpolated; None where there is nothing.
        dtype: of the result. Integers are cut to the range that the picture uses, as a net's result always is cut to
            the range of its type; floats may exceed it, as they always may.
    """

    def __init__(self, unit: Rows, used: ValueRange, beyond: Rows | None, dtype: Any) -> None:
        super().__init__(unit.height, unit.width, unit.channels, dtype)
        self._unit, self._beyond, self._used = unit, beyond, used

    def read(self, start: int, stop: int) -> Pixels:
        unit = self._unit.read(start, stop)
        is_float = self.dtype == np.float32
        out = (unit if is_float else unit.clip(0, 1)) * np.float32(self._used.white - self._used.black)
        out += np.float32(self._used.black)
        if self._beyond is not None:
            out += self._beyond.read(start, stop)
        if is_float:
            return np.asarray(out)
        return rounded(out / np.float32(self._used.usual[1]), self.dtype)


def in_its_range(
    picture: Callable[[], Rows],
    used: ValueRange,
    net: Callable[[Rows, Callable[[], Rows]], Rows],
    interpolated: Callable[[Rows], Rows],
) -> Rows:
    """A picture through a net, in the range of values that it uses.

    Args:
        picture: gives its rows, to be read from the top; asked for once or some times.
        net, interpolated: make SR rows of LR rows, both float32; the net's also gets what gives those once more.
    """
    lr = picture()
    sr = net(Unit(lr, used), lambda: Unit(picture(), used))
    beyond = interpolated(Beyond(picture(), used)) if used.exceeds else None
    return Restored(sr, used, beyond, lr.dtype)


def joint(ranges: Iterable[tuple[Any, ValueRange]]) -> dict[str, ValueRange]:
    """One range for all pages of a stack, by the dtype of the pages; it is known once one page uses its range.

    Args:
        ranges: (dtype, range) of each page, in order.
    """
    found: dict[str, ValueRange] = {}
    for dtype, used in ranges:
        kind = np.dtype(dtype).str
        found[kind] = found[kind].with_that_of(used) if kind in found else used
        if np.dtype(dtype) != np.float32 and found[kind].is_full and not found[kind].is_constant:
            break
    return found
