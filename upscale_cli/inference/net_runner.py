"""A net on one device, whatever kind of array holds the pictures there.

Sessions   one for each precision, loaded when first needed, and one for each meaning of 8-bit codes
NetRunner  a window: whole, in pieces of half the side, or eight times turned
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from upscale_cli.errors import DeviceError
from upscale_cli.events import Say
from upscale_cli.frames.image import Pixels, Transfer
from upscale_cli.inference import conditions
from upscale_cli.inference.backends.base import Backend, CodesSession, Session, SharesThreads, TakesCodes
from upscale_cli.inference.conditions import Conditions
from upscale_cli.inference.device import Device, is_out_of_memory, release_memory
from upscale_cli.inference.scheduler import InFlight
from upscale_cli.inference.tiling import MIN_TILE, Arrays, Geometry, RowBlender, Span, tile_spans
from upscale_cli.messages import option
from upscale_cli.models.interface import Descriptor, LoadedNet, Precision, scaled

Through = Callable[[Any, Mapping[str, Any], Transfer], Any]
"""A net as pictures see it: (1, C, h, w) float32, its conditions, and what its values mean, to (1, C, scale * h,
scale * w) float32."""

Known = Callable[[Callable[[Span, Span], Any]], Sequence[Any]]
"""Takes what computes a window, by its rows and columns, and gives all windows, row by row."""

Kept = tuple[Any, Any]
"""(kept part of a window, `health_of` it)."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A piece of an LR picture on its way through a device.

    Attributes:
        lr: (h, w, C) uint8, uint16 or float32; a view into the picture.
        rows, columns: what of it is kept.
        transfer: of the picture.
        precision: to compute in.
        conditions: what the net needs in addition to it, cut as it is.
        depth: that the kept part is wanted in, where it is final; a runner may leave it float32.
        alone: no other window is computed meanwhile.
    """

    lr: Pixels
    rows: Span
    columns: Span
    transfer: Transfer
    precision: Precision
    conditions: Conditions = field(default_factory=dict)
    depth: "np.dtype[Any]" = np.dtype(np.float32)  # noqa: RUF009  # a value: it cannot be changed
    alone: bool = False

    @property
    def kind(self) -> tuple[Any, ...]:
        """Windows of one kind can go through a net together."""
        return (
            self.lr.shape, self.lr.dtype, self.transfer, self.precision, conditions.kind_of(self.conditions)
        )  # fmt: skip


class Sessions:
    """The sessions of a net on a device.

    Args:
        net: shared with other devices.
        backend: runs it.
    """

    def __init__(self, net: LoadedNet, backend: Backend, device: Device) -> None:
        self.net, self.device, self._backend = net, device, backend
        self._loaded: dict[Precision, Session] = {}
        self._for_codes: dict[tuple[Precision, float, float, int, bool, bool], CodesSession] = {}
        self._at_a_time = 1  # what a session by itself is busy with
        self.requests = 1  # of those, what it computes at a time; the rest waits
        self.callers = 1
        self._lock = threading.RLock()

    @property
    def concurrency(self) -> int:
        """How many windows at a time keep the device busy."""
        return max(self.callers, self._at_a_time)

    def load(self, precision: Precision, *, alone: bool = False) -> Session:
        """The net there in that precision, loaded the first time.

        Args:
            alone: for windows that come one at a time.
        """
        with self._lock:
            if precision not in self._loaded:
                session = self._loaded[precision] = self._backend.load(self.net, self.device, precision)
                self._at_a_time = session.concurrency
                self.requests = session.requests if isinstance(session, SharesThreads) else 1
                if self.callers > 1:
                    session.share(self.callers)
            session = self._loaded[precision]
            return session.alone() if alone and isinstance(session, SharesThreads) else session

    def for_codes(
        self, precision: Precision, zero: float, span: float, channels_last: int = 0, *, many: bool = False,
        alone: bool = False,
    ) -> CodesSession | None:  # fmt: skip
        """The same for 8-bit codes; see `base.TakesCodes.with_codes`. None where the engine has no such way."""
        with self._lock:
            session = self.load(precision, alone=alone)
            if not isinstance(session, TakesCodes):
                return None
            meaning = precision, zero, span, channels_last, many, alone
            if meaning not in self._for_codes:
                self._for_codes[meaning] = session.with_codes(zero, span, channels_last, many=many)
            return self._for_codes[meaning]

    def share(self, callers: int) -> None:
        """So many threads will use it at a time."""
        with self._lock:
            self.callers = callers
            for session in self._loaded.values():
                session.share(callers)


class NetRunner(ABC):
    """A net on a device: what does not depend on whose arrays hold the windows there.

    Args:
        geometry: of its tiles.
        arrays: there.
        tta: average over the eight flips and rotations.
        say: takes what the user should know.
    """

    def __init__(self, sessions: Sessions, geometry: Geometry, arrays: Arrays, *, tta: bool, say: Say) -> None:
        self.device = sessions.device
        self._sessions, self._geometry, self._arrays, self._tta, self._say = sessions, geometry, arrays, tta, say
        self._adapters: dict[tuple[Precision, bool], Through] = {}
        self._limit: int | None = None  # side of the largest window that memory has room for, once it ran out

    @property
    def _net(self) -> Descriptor:
        return self._sessions.net.descriptor

    @property
    def concurrency(self) -> int:
        """How many batches in progress keep the device busy."""
        return self._sessions.concurrency

    @property
    def begins_at_once(self) -> bool:
        """Whether `launch` returns before the windows are done: where there is room for several of them, and no other
        caller to bring the rest."""
        return self._sessions.callers == 1 < self.concurrency

    @property
    def requests(self) -> int:
        """How many windows of a picture are computed at a time, where there is no other caller; the rest waits."""
        return self._sessions.requests

    @abstractmethod
    def launch(self, windows: Sequence[Window]) -> InFlight[Kept]:
        """Begins with some windows of one kind; with `begins_at_once` this returns before they are done.

        Raises:
            DeviceError: memory is too small even for a small window.
        """

    @abstractmethod
    def in_depth(self, unit: Any, dtype: "np.dtype[Any]", *, clip: bool) -> Pixels:
        """What is kept of a window, or blended rows, as pixels of that depth on the host; float is cut to [0, 1] if
        `clip`."""

    @abstractmethod
    def pace(self, precision: Precision, side: int) -> float:
        """Seconds that a square window of so many LR pixels takes, after the first."""

    @abstractmethod
    def _adapter(self, session: Session) -> Through:
        """What brings pictures into the colours of the net, and back."""

    def blender(self, rows: Sequence[Span], columns: Sequence[Span], channels: int) -> RowBlender:
        """What blends the tiles on the host."""
        return RowBlender(rows, columns, self._geometry.overlap, self._geometry.scale, channels, self._arrays)

    def share(self, callers: int) -> None:
        """So many threads will use it at a time."""
        self._sessions.share(callers)

    def load(self, precision: Precision, *, alone: bool = False) -> Through:
        """The net there in that precision, loaded the first time; see `Sessions.load`."""
        way = precision, alone
        if way not in self._adapters:
            self._adapters[way] = self._adapter(self._sessions.load(precision, alone=alone))
        return self._adapters[way]

    def kept_part(self, sr: Any, rows: Span, columns: Span) -> Any:
        """(C, scale * h, scale * w) of a window to (scale * h', scale * w', C) of the tile in it."""
        scale = self._geometry.scale
        top, left = scaled(rows.start - rows.window_start, scale), scaled(columns.start - columns.window_start, scale)
        height, width = scaled(rows.length, scale), scaled(columns.length, scale)
        return self._arrays.channels_last(sr[:, top : top + height, left : left + width])

    def run(self, net: Through, lr: Any, given: Mapping[str, Any], transfer: Transfer) -> Any:
        """One window, (1, C, h, w), through the net; where memory does not suffice, in pieces of half the side."""
        side = max(lr.shape[-2:])
        if self._limit is None or side <= self._limit:
            try:
                return self._ensemble(net, lr, given, transfer)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._shrink(side, self._rest(lr))
        assert self._limit is not None
        geometry = self._geometry
        tile = self._limit - 2 * geometry.halo - self._rest(lr)
        rows, columns = (
            tile_spans(length, tile, geometry.overlap, geometry.halo, geometry.multiple_of) for length in lr.shape[-2:]
        )
        return self.run_in_pieces(net, lr, given, transfer, rows, columns)

    def _rest(self, lr: Any) -> int:
        """LR pixels by which windows may be longer than what they keep and the halo, where a side does not divide."""
        multiple_of = self._geometry.multiple_of
        return multiple_of if any(side % multiple_of for side in lr.shape[-2:]) else 0

    def _shrink(self, side: int, rest: int) -> None:
        release_memory(self.device)
        halo, multiple_of = self._geometry.halo, self._geometry.multiple_of
        smaller = side // 2 // multiple_of * multiple_of
        least = max(MIN_TILE, self._geometry.overlap + 1, self._net.least_side - 2 * halo)
        if self._net.fixed_sides:  # a smaller window takes as much
            smaller = 0
        if smaller - 2 * halo - rest < least:
            raise DeviceError(
                f"out of memory on {self.device} even for a window of {side} pixels. "
                f"Close other programs, or choose {option('device', 'cpu')}, a smaller model or "
                f"{option('precision', 'fp16')}."
            )
        self._limit = smaller
        self._say(f"out of memory on {self.device}: going on with windows of {smaller} pixels instead of {side}.")

    def run_in_pieces(
        self,
        net: Through,
        lr: Any,
        given: Mapping[str, Any],
        transfer: Transfer,
        rows: Sequence[Span],
        columns: Sequence[Span],
        known: Known | None = None,
    ) -> Any:
        """What `run` gives for the window, computed as smaller windows within it. (1, C, h, w) as there.

        Args:
            known: gives those that need not be computed; see `reuse.Turn.windows`.
        """
        arrays, geometry = self._arrays, self._geometry

        def compute(y: Span, x: Span) -> Any:
            return self.kept(net, lr, given, transfer, y, x)

        made = (compute(y, x) for y in rows for x in columns) if known is None else iter(known(compute))
        if not geometry.overlap:
            return self._side_by_side(made, rows, columns, lr.shape[1])
        blender = RowBlender(rows, columns, geometry.overlap, geometry.scale, lr.shape[1], arrays)
        bands = []
        for row in range(len(rows)):
            for column in range(len(columns)):
                blender.add(column, next(made))
            bands.append(arrays.copy(blender.finish_row(row)[1]))
        return arrays.channels_first(arrays.joined(bands))[None]

    def run_in_cells(self, net: Through, lr: Any, transfer: Transfer, frame: Callable[[Any], Any]) -> Any:
        """What `run` gives for the window, of which some was there.

        Args:
            frame: gives the whole, if it is told how to compute a window; see `reuse.Turn.frame`.
        """
        return self._arrays.channels_first(frame(lambda y, x: self.kept(net, lr, {}, transfer, y, x)))[None]

    def kept(self, net: Through, lr: Any, given: Mapping[str, Any], transfer: Transfer, y: Span, x: Span) -> Any:
        """(scale * h', scale * w', C) of a window of (1, C, h, w), through the net by itself."""
        window = self._arrays.copy(lr[..., y.window_start : y.window_stop, x.window_start : x.window_stop])
        its = conditions.cut_batch(self._net, given, y, x)
        return self.kept_part(self.run(net, window, its, transfer)[0], y, x)

    def _side_by_side(self, made: Iterator[Any], rows: Sequence[Span], columns: Sequence[Span], channels: int) -> Any:
        """Windows that need no blending; where two meet, the later wins."""
        scale, whole = self._geometry.scale, None
        height, width = scaled(rows[-1].stop, scale), scaled(columns[-1].stop, scale)
        for y in rows:
            for x in columns:
                top, left, sr = scaled(y.start, scale), scaled(x.start, scale), next(made)
                if whole is None:
                    whole = self._arrays.empty(1, channels, height, width, like=sr)
                whole[0, :, top : top + sr.shape[0], left : left + sr.shape[1]] = self._arrays.channels_first(sr)
        return whole

    def _ensemble(self, net: Through, lr: Any, given: Mapping[str, Any], transfer: Transfer) -> Any:
        """The net's answer; with `tta` the mean over the eight flips and rotations of the square."""
        if not self._tta:
            return net(lr, given, transfer)
        arrays, total = self._arrays, None
        for turns in range(4):
            for mirrored in (False, True):

                def turn(array: Any, turns: int = turns, mirrored: bool = mirrored) -> Any:
                    return arrays.turned(array, turns, mirrored=mirrored)

                sr = net(turn(lr), conditions.turned(self._net, given, turn), transfer)
                sr = arrays.turned_back(sr, turns, mirrored=mirrored)
                total = sr if total is None else total + sr
        assert total is not None
        return total / 8
