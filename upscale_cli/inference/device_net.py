"""One net on one device: windows in, SR windows out.

    window  ->  upload  ->  ColorAdapter  ->  Session  ->  ColorAdapter  ->  kept part  ->  download

Owns the sessions there, one for each precision, and knows what to do when memory runs out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upscale_cli.errors import DeviceError
from upscale_cli.events import Say
from upscale_cli.frames.image import Pixels, Transfer
from upscale_cli.frames.pixels import white_of
from upscale_cli.inference import conditions
from upscale_cli.inference.backends.base import Backend, Session
from upscale_cli.inference.color_adapter import ColorAdapter
from upscale_cli.inference.conditions import Conditions
from upscale_cli.inference.device import computing, is_out_of_memory, memory_explained, release_memory
from upscale_cli.inference.health import health_of
from upscale_cli.inference.tiling import MIN_TILE, Geometry, RowBlender, Span, tile_spans
from upscale_cli.inference.window_adapter import WindowAdapter
from upscale_cli.messages import option
from upscale_cli.models.interface import LoadedNet, Precision, scaled

Known = Callable[[Callable[[Span, Span], Tensor]], Sequence[Tensor]]
"""Takes what computes a window, by its rows and columns, and gives all windows, row by row."""


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A piece of an LR picture on its way through a device.

    Attributes:
        lr: (h, w, C) uint8, uint16 or float32; a view into the picture.
        rows, columns: what of it is kept.
        transfer: of the picture.
        precision: to compute in.
        conditions: what the net needs in addition to it, cut as it is.
    """

    lr: Pixels
    rows: Span
    columns: Span
    transfer: Transfer
    precision: Precision
    conditions: Conditions = field(default_factory=dict)

    @property
    def kind(self) -> tuple[Any, ...]:
        """Windows of one kind can go through a net together."""
        return (
            self.lr.shape, self.lr.dtype, self.transfer, self.precision, conditions.kind_of(self.conditions)
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class SRWindows:
    """A batch of windows, in progress or done; see `scheduler.InFlight`.

    Attributes:
        kept: (scale * h, scale * w, C) float32 of each.
        health: (n, 3): `health_of` each.
        arrived: on a GPU, passed once they are on the host.
    """

    kept: Sequence[Tensor]
    health: Tensor
    arrived: torch.cuda.Event | None

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.arrived is None

    def wait(self) -> None:
        if self.arrived is not None:
            self.arrived.synchronize()

    def result(self, place: int) -> tuple[Tensor, Tensor]:
        """(kept part, health) of one window."""
        return self.kept[place], self.health[place]


@dataclass(frozen=True, slots=True, eq=False)
class PendingWindows:
    """A batch of windows that a thread is at work on; see `scheduler.InFlight`."""

    future: Future[SRWindows]

    @property
    def is_done(self) -> bool:
        return False

    def wait(self) -> None:
        self.future.result()

    def result(self, place: int) -> tuple[Tensor, Tensor]:
        return self.future.result().result(place)


def kept_part(sr: Tensor, rows: Span, columns: Span, geometry: Geometry) -> Tensor:
    """(C, scale * h, scale * w) of a window to (scale * h', scale * w', C) of the tile in it."""
    top = scaled(rows.start - rows.window_start, geometry.scale)
    left = scaled(columns.start - columns.window_start, geometry.scale)
    height, width = scaled(rows.length, geometry.scale), scaled(columns.length, geometry.scale)
    return sr[:, top : top + height, left : left + width].permute(1, 2, 0)


class DeviceNet:
    """A net on a device.

    Args:
        net: shared with other devices.
        backend: runs it.
        geometry: of its tiles.
        tta: average over the eight flips and rotations.
        say: takes what the user should know.

    """

    def __init__(
        self, net: LoadedNet, backend: Backend, device: torch.device, geometry: Geometry, *, tta: bool, say: Say
    ) -> None:
        self.device = device
        self._net, self._backend, self._geometry, self._tta, self._say = net, backend, geometry, tta, say
        self._adapters: dict[Precision, ColorAdapter] = {}
        self._sessions: dict[Precision, Session] = {}
        self._limit: int | None = None  # side of the largest window that memory has room for, once it ran out
        self._download = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._callers = 1
        self._at_a_time = 1  # what the session by itself is busy with
        self._pool: ThreadPoolExecutor | None = None

    @property
    def concurrency(self) -> int:
        """How many batches in progress keep the device busy. On a GPU, while one is fetched, the next is computed."""
        return 2 if self._download is not None else max(self._callers, self._at_a_time)

    @property
    def begins_at_once(self) -> bool:
        """Whether `launch` returns before the windows are done: where there is a GPU, or room for several of them and
        no other caller to bring the rest."""
        return self._download is not None or (self._at_a_time > 1 and self._callers == 1)

    def share(self, callers: int) -> None:
        """So many threads will use it at a time."""
        self._callers = callers
        for session in self._sessions.values():
            session.share(callers if callers > 1 else self._at_a_time)

    def load(self, precision: Precision) -> ColorAdapter:
        """The net there in that precision, loaded the first time."""
        if precision not in self._adapters:
            session = self._sessions[precision] = self._backend.load(self._net, self.device, precision)
            self._at_a_time = session.concurrency
            if self._callers > 1:
                session.share(self._callers)
            facts, scale = self._net.descriptor, self._geometry.scale
            if facts.fixed_sides or facts.one_at_a_time:
                session = WindowAdapter(facts, session, scale)
            self._adapters[precision] = ColorAdapter(facts, session, scale)
        return self._adapters[precision]

    def batch_of(self, values: Sequence[Conditions]) -> dict[str, Tensor]:
        """Conditions as the net takes them, there."""
        return conditions.batch_of(self._net.descriptor, values, self._geometry.scale, self.device)

    def launch(self, windows: Sequence[Window]) -> SRWindows | PendingWindows:
        """Begins with some windows of one kind; with `begins_at_once` this returns before they are done.

        Raises:
            DeviceError: memory is too small even for a small window.
        """
        if self._download is not None or not self.begins_at_once:
            return self._compute(windows)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._at_a_time, thread_name_prefix="net")
        return PendingWindows(self._pool.submit(self._compute, windows))

    def _compute(self, windows: Sequence[Window]) -> SRWindows:
        first = windows[0]
        with memory_explained(self.device), computing(self.device, first.precision):
            given = self.batch_of([window.conditions for window in windows])
            sr = self._batch(self.load(first.precision), self._upload(windows), given, first.transfer)
            kept = [
                kept_part(one, window.rows, window.columns, self._geometry)
                for one, window in zip(sr, windows, strict=True)
            ]
            return self._send_back(kept, health_of(sr))

    def _upload(self, windows: Sequence[Window]) -> Tensor:
        """(h, w, C) of any depth on the host to (n, C, h, w) float32 in [0, 1] on the device."""
        together = torch.from_numpy(np.stack([window.lr for window in windows]))  # a copy: contiguous, writable
        if self.device.type == "mps":
            together = together.float()  # MPS has no uint16
        if self._download is not None:
            together = together.pin_memory()
        together = together.to(self.device, non_blocking=True)
        unit = together.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return unit.div_(white_of(windows[0].lr))

    def _send_back(self, kept: Sequence[Tensor], health: Tensor) -> SRWindows:
        """Starts the download on a stream of its own, so that the next windows need not wait for it."""
        if self._download is None:
            return SRWindows([one.cpu() for one in kept], health.cpu(), None)
        self._download.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._download):
            on_host = []
            for tensor in (*(one.contiguous() for one in kept), health):
                pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                on_host.append(pinned.copy_(tensor, non_blocking=True))
                tensor.record_stream(self._download)
            for one in kept:
                one.record_stream(self._download)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(self._download)
        return SRWindows(on_host[:-1], on_host[-1], arrived)

    # When memory runs out

    def _batch(self, net: ColorAdapter, lr: Tensor, given: Mapping[str, Tensor], transfer: Transfer) -> Tensor:
        """Several windows through the net; where memory does not suffice for all at once, one by one."""
        if len(lr) > 1 and self._limit is None:
            try:
                return self._ensemble(net, lr, given, transfer)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            release_memory(self.device)  # outside of `except`, whose traceback would keep the tensors alive
        alone = ({name: value[number, None] for name, value in given.items()} for number in range(len(lr)))
        return torch.cat([self.run(net, one[None], its, transfer) for one, its in zip(lr, alone, strict=True)])

    def run(self, net: ColorAdapter, lr: Tensor, given: Mapping[str, Tensor], transfer: Transfer) -> Tensor:
        """One window, (1, C, h, w), through the net; where memory does not suffice, in pieces of half the side."""
        side = max(lr.shape[-2:])
        if self._limit is None or side <= self._limit:
            try:
                return self._ensemble(net, lr, given, transfer)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._shrink(side)
        assert self._limit is not None
        geometry = self._geometry
        tile = self._limit - 2 * geometry.halo
        rows, columns = (
            tile_spans(length, tile, geometry.overlap, geometry.halo, geometry.multiple_of) for length in lr.shape[-2:]
        )
        return self.run_in_pieces(net, lr, given, transfer, rows, columns)

    def _shrink(self, side: int) -> None:
        release_memory(self.device)
        halo, multiple_of = self._geometry.halo, self._geometry.multiple_of
        smaller = side // 2 // multiple_of * multiple_of
        least = max(MIN_TILE, self._geometry.overlap + 1, self._net.descriptor.least_side - 2 * halo)
        if self._net.descriptor.fixed_sides:  # a smaller window takes as much
            smaller = 0
        if smaller - 2 * halo < least:
            raise DeviceError(
                f"out of memory on {self.device} even for a window of {side} pixels. "
                f"Close other programs, or choose {option('device', 'cpu')}, a smaller model or "
                f"{option('precision', 'fp16')}."
            )
        self._limit = smaller
        self._say(f"out of memory on {self.device}: going on with windows of {smaller} pixels instead of {side}.")

    def run_in_pieces(
        self,
        net: ColorAdapter,
        lr: Tensor,
        given: Mapping[str, Tensor],
        transfer: Transfer,
        rows: Sequence[Span],
        columns: Sequence[Span],
        known: Known | None = None,
    ) -> Tensor:
        """What `run` gives for the window, computed as smaller windows within it. (1, C, h, w) as there.

        Args:
            known: gives those that need not be computed; see `reuse.Turn.windows`.
        """

        def compute(y: Span, x: Span) -> Tensor:
            window = lr[..., y.window_start : y.window_stop, x.window_start : x.window_stop].contiguous()
            its = conditions.cut_batch(self._net.descriptor, given, y, x)
            return kept_part(self.run(net, window, its, transfer)[0], y, x, self._geometry)

        made = (compute(y, x) for y in rows for x in columns) if known is None else iter(known(compute))
        if not self._geometry.overlap:
            return self._joined(made, rows, columns, lr.shape[1])
        blender = RowBlender(
            rows, columns, self._geometry.overlap, self._geometry.scale, lr.shape[1], self.device
        )  # fmt: skip
        bands = []
        for row in range(len(rows)):
            for column in range(len(columns)):
                blender.add(column, next(made))
            bands.append(blender.finish_row(row)[1].clone())
        return torch.cat(bands).permute(2, 0, 1)[None]

    def _joined(self, made: Iterator[Tensor], rows: Sequence[Span], columns: Sequence[Span], channels: int) -> Tensor:
        """Windows that need no blending, side by side; where two meet, the later wins."""
        scale = self._geometry.scale
        whole = torch.empty(
            1, channels, scaled(rows[-1].stop, scale), scaled(columns[-1].stop, scale), device=self.device
        )
        for y in rows:
            for x in columns:
                top, left, sr = scaled(y.start, scale), scaled(x.start, scale), next(made)
                whole[0, :, top : top + sr.shape[0], left : left + sr.shape[1]] = sr.permute(2, 0, 1)
        return whole

    def _ensemble(self, net: ColorAdapter, lr: Tensor, given: Mapping[str, Tensor], transfer: Transfer) -> Tensor:
        """The net's answer; with `tta` the mean over the eight flips and rotations of the square."""
        if not self._tta:
            return net(lr, given, transfer)
        total: Tensor | None = None
        for turns in range(4):
            for mirrored in (False, True):
                turned = torch.rot90(lr.flip(-1) if mirrored else lr, turns, dims=(-2, -1))
                its = conditions.turned(self._net.descriptor, given, turns, mirrored=mirrored)
                sr = torch.rot90(net(turned.contiguous(), its, transfer), -turns, dims=(-2, -1))
                sr = sr.flip(-1) if mirrored else sr
                total = sr if total is None else total + sr
        assert total is not None
        return total / 8
