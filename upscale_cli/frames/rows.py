"""Pictures that are read from the top down, some rows at a time, so that they need not be held as a whole. Pure."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np

from upscale_cli.frames.image import Layout, Pixels, Transfer, channels_of

Edge = Literal["reflect", "edge", "wrap"]
"""How a picture goes on beyond its borders; numpy.pad's names."""

BAND_BYTES: Final = 8 * 2**20
"""Of a band, where nothing else decides: small against a row of tiles, large against what a call costs."""


class Rows(ABC):
    """A picture of (height, width, channels) of `dtype`, whose rows are asked for from the top down.

    A reader that begins further down than at row 0 gets the same rows, and nothing above them is computed that they do
    not depend on.
    """

    def __init__(self, height: int, width: int, channels: int, dtype: Any) -> None:
        self.height, self.width, self.channels, self.dtype = height, width, channels, np.dtype(dtype)

    @abstractmethod
    def read(self, start: int, stop: int) -> Pixels:
        """Rows `start` up to `stop`, (stop - start, width, channels); borrowed, to be read only.

        Args:
            start: never less than in the call before: what lies above may be forgotten.
        """

    def bands(self, start: int = 0) -> Iterator[tuple[int, Pixels]]:
        """(first row, rows) from `start` to the end, of about `BAND_BYTES` each."""
        step = max(1, BAND_BYTES // (self.width * self.channels * self.dtype.itemsize))
        for top in range(start, self.height, step):
            yield top, self.read(top, min(top + step, self.height))

    def whole(self) -> Pixels:
        """All rows, as an array."""
        out = np.empty((self.height, self.width, self.channels), self.dtype)
        for top, band in self.bands():
            out[top : top + len(band)] = band
        return out


class Held(Rows):
    """An array (H, W, C) in memory; its rows may be read in any order."""

    def __init__(self, pixels: Pixels) -> None:
        height, width, channels = pixels.shape
        super().__init__(height, width, channels, pixels.dtype)
        self.pixels = pixels

    def read(self, start: int, stop: int) -> Pixels:
        return self.pixels[start:stop]


class Constant(Rows):
    """One value everywhere."""

    def __init__(self, height: int, width: int, channels: int, value: Any) -> None:
        super().__init__(height, width, channels, value.dtype)
        self._value = value

    def read(self, start: int, stop: int) -> Pixels:
        return np.broadcast_to(self._value, (stop - start, self.width, self.channels))


class Streamed(Rows):
    """Rows that come in bands, of any heights, by iteration; those that are still needed are held.

    Args:
        begin: gives bands from that row on, without a gap.
    """

    def __init__(
        self, height: int, width: int, channels: int, dtype: Any, begin: Callable[[int], Iterator[Pixels]]
    ) -> None:
        super().__init__(height, width, channels, dtype)
        self._begin = begin
        self._coming: Iterator[Pixels] | None = None
        self._held: deque[tuple[int, Pixels]] = deque()  # (first row, rows), in order
        self._next = 0  # the first row of the band to come

    def read(self, start: int, stop: int) -> Pixels:
        if self._coming is None:
            self._coming, self._next = self._begin(start), start
        while self._held and self._held[0][0] + len(self._held[0][1]) <= start:
            self._held.popleft()
        while self._next < stop:
            band = next(self._coming)
            if self._next + len(band) > start:
                self._held.append((self._next, band))
            self._next += len(band)
        parts = [rows[max(start - top, 0) : stop - top] for top, rows in self._held if top < stop]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def whole(self) -> Pixels:
        if self._coming is not None:
            return super().whole()
        out, top = np.empty((self.height, self.width, self.channels), self.dtype), 0
        for band in self._begin(0):  # each is copied once, where it belongs
            out[top : top + len(band)] = band
            top += len(band)
            if top >= self.height:
                break
        return out


class Padded(Rows):
    """Rows with margins all around, filled in from the picture itself.

    Args:
        rows: the picture; to "wrap" or to go on above its first row, it must be `Held`.
        top, bottom, left, right: pixels to add.
        edge: where they come from; "reflect" needs margins that are smaller than the picture.
    """

    def __init__(self, rows: Rows, top: int, bottom: int, left: int, right: int, edge: Edge) -> None:
        super().__init__(rows.height + top + bottom, rows.width + left + right, rows.channels, rows.dtype)
        self._rows, self._top, self._bottom, self._edge = rows, top, bottom, edge
        self._sides = ((0, 0), (left, right), (0, 0))

    def read(self, start: int, stop: int) -> Pixels:
        wanted = self._sources(np.arange(start - self._top, stop - self._top))
        first, last = int(wanted.min()), int(wanted.max())
        if self._edge == "reflect":  # what the margin at the bottom mirrors must not be forgotten
            first = min(first, self._rows.height - 1 - self._bottom)
        band = self._rows.read(first, last + 1)
        if (wanted[0], wanted[-1]) != (first, first + len(wanted) - 1):
            band = band[wanted - first]
        return np.pad(band, self._sides, mode=self._edge) if any(self._sides[1]) else band

    def _sources(self, wanted: Any) -> Any:
        """Which rows of the picture stand for rows beyond its borders."""
        height = self._rows.height
        if self._edge == "wrap":
            return wanted % height
        if self._edge == "edge":
            return wanted.clip(0, height - 1)
        below = np.abs(wanted)
        return np.where(below < height, below, 2 * (height - 1) - below)


class Cropped(Rows):
    """The upper left part of a picture."""

    def __init__(self, rows: Rows, height: int, width: int) -> None:
        super().__init__(height, width, rows.channels, rows.dtype)
        self._rows = rows

    def read(self, start: int, stop: int) -> Pixels:
        return self._rows.read(start, stop)[:, : self.width]


class Shared:
    """One picture, read by several readers at their own pace; the rows between the slowest and the fastest are held.

    Args:
        opened: the picture, from any row on.
        readers: the channels that each of them sees.
    """

    def __init__(self, opened: Callable[[], Rows], readers: Sequence[slice]) -> None:
        self.opened, self.rows = opened, opened()
        self.starts: list[int | None] = [None] * len(readers)
        self.begin, self.stop = -1, 0
        self._views: list[Rows | None] = [_View(self, number, channels) for number, channels in enumerate(readers)]
        self._readers = readers

    def view(self, number: int) -> Callable[[], Rows]:
        """Gives what a reader sees: at first of what all share, when asked again of the picture opened once more."""

        def opened() -> Rows:
            view, self._views[number] = self._views[number], None
            return view or _View(self, number, self._readers[number], self.opened())

        return opened

    def read(self, number: int, start: int, stop: int) -> Pixels | None:
        """Those rows, for one reader; None for one that begins above where the first of them began."""
        if self.begin < 0:
            self.begin = start
        if start < self.begin:
            self.starts[number] = self.rows.height  # it holds up nobody
            return None
        self.starts[number], self.stop = start, max(self.stop, stop)
        first = min(self.begin if begun is None else begun for begun in self.starts)
        return self.rows.read(first, self.stop)[start - first : stop - first]


class _View(Rows):
    """What one reader of a `Shared` picture sees."""

    def __init__(self, shared: Shared, number: int, channels: slice, own: Rows | None = None) -> None:
        rows = shared.rows
        super().__init__(rows.height, rows.width, len(range(rows.channels)[channels]), rows.dtype)
        self._shared, self._number, self._channels = shared, number, channels
        self._own = own

    def read(self, start: int, stop: int) -> Pixels:
        if self._own is None:
            band = self._shared.read(self._number, start, stop)
            if band is not None:
                return band[:, :, self._channels]
            self._own = self._shared.opened()
        return self._own.read(start, stop)[:, :, self._channels]


@dataclass(frozen=True)
class RowReader:
    """An upright LR picture that is decoded band by band, as often as it is asked for.

    Attributes:
        height, width, layout, dtype, transfer, extra, nodata: as of a `Frame`; no alpha, no float.
        begin: decodes from that row on.
        held: bytes that decoding takes.
    """

    height: int
    width: int
    layout: Layout
    dtype: Any
    transfer: Transfer
    begin: Callable[[int], Iterator[Pixels]]
    held: int = 3 * BAND_BYTES
    extra: int = 0
    nodata: int | None = None

    def rows(self) -> Rows:
        """The rows, from the top."""
        return Streamed(self.height, self.width, self.channels, self.dtype, self.begin)

    @property
    def channels(self) -> int:
        return channels_of(self.layout) + self.extra

    @cached_property
    def constant(self) -> Any:
        """The one value that all pixels and channels have; None where they differ (mostly in the first band)."""
        value = None
        for band in self.begin(0):
            value = band.flat[0] if value is None else value
            if (band != value).any():
                return None
        return value
