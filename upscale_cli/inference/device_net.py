"""One net on one device, by torch: windows in, SR windows out.

window  ->  upload  ->  ColorAdapter  ->  Session  ->  ColorAdapter  ->  kept part  ->  download
"""

import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.events import Say
from upscale_cli.frames.image import Pixels, Transfer
from upscale_cli.frames.pixels import white_of
from upscale_cli.inference import conditions
from upscale_cli.inference.backends.base import CodesSession, Session
from upscale_cli.inference.chain_session import ArrayChainSession, ChainSession
from upscale_cli.inference.color import as_seen, to_depth
from upscale_cli.inference.conditions import Conditions
from upscale_cli.inference.device import CPU, Device, computing, is_out_of_memory, memory_explained, release_memory
from upscale_cli.inference.health import health_of
from upscale_cli.inference.net_runner import NetRunner, Sessions, Through, Window
from upscale_cli.inference.scheduler import InFlight, Pending
from upscale_cli.inference.tiling import Geometry, RowBlender, Span
from upscale_cli.inference.window_adapter import adapter_of
from upscale_cli.inference.yuv import Levels
from upscale_cli.models.interface import Precision
from upscale_cli.models.watch import blank_conditions


class TorchArrays:
    """See `tiling.Arrays`."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def of(self, array: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(array).to(self._device)

    def empty(self, *shape: int, like: Tensor | None = None) -> Tensor:
        return torch.empty(shape, device=self._device, dtype=None if like is None else like.dtype)

    def copy(self, array: Tensor) -> Tensor:
        return array.clone(memory_format=torch.contiguous_format)

    def add_product(self, total: Tensor, one: Tensor, other: Tensor) -> None:
        total.addcmul_(one, other)

    def turned(self, array: Tensor, turns: int, *, mirrored: bool) -> Tensor:
        return torch.rot90(array.flip(-1) if mirrored else array, turns, dims=(-2, -1)).contiguous()

    def turned_back(self, array: Tensor, turns: int, *, mirrored: bool) -> Tensor:
        back = torch.rot90(array, -turns, dims=(-2, -1))
        return back.flip(-1) if mirrored else back

    def joined(self, bands: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(bands))

    def channels_last(self, array: Tensor) -> Tensor:
        return array.permute(1, 2, 0)

    def channels_first(self, array: Tensor) -> Tensor:
        return array.permute(2, 0, 1)


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


class DeviceNet(NetRunner):
    """A net on a device of torch's.

    Args:
        geometry: of its tiles.
        tta: average over the eight flips and rotations.
        say: takes what the user should know.
    """

    def __init__(self, sessions: Sessions, geometry: Geometry, *, tta: bool, say: Say) -> None:
        super().__init__(sessions, geometry, TorchArrays(sessions.device), tta=tta, say=say)
        device = sessions.device
        self._download = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._pool: ThreadPoolExecutor | None = None

    @property
    def concurrency(self) -> int:
        """How many batches in progress keep the device busy. On a GPU, while one is fetched, the next is computed."""
        return 2 if self._download is not None else super().concurrency

    @property
    def begins_at_once(self) -> bool:
        return self._download is not None or super().begins_at_once

    @property
    def requests(self) -> int:
        return 2 if self._download is not None else super().requests

    def blender(self, rows: Sequence[Span], columns: Sequence[Span], channels: int) -> RowBlender:
        shape = self._geometry
        return RowBlender(rows, columns, shape.overlap, shape.scale, channels, TorchArrays(CPU))

    def in_depth(self, unit: Tensor, dtype: "np.dtype[Any]", *, clip: bool) -> Pixels:
        """See `NetRunner.in_depth`; `unit` is changed in place."""
        if dtype != np.float32:
            return np.asarray(to_depth(unit, dtype).numpy())
        return np.asarray((unit.clamp_(0, 1) if clip else unit).numpy())

    def pace(self, precision: Precision, side: int) -> float:
        small = torch.zeros(1, 3, side, side, device=self.device)
        its = blank_conditions(self._net, side, self._geometry.scale, self.device)
        seconds = math.inf
        for _ in range(2):  # the first run also chooses algorithms and starts threads
            begin = time.perf_counter()
            with computing(self.device, precision):
                float(self.load(precision)(small, its, "display").amax())  # waits for the device
            seconds = min(seconds, time.perf_counter() - begin)
        return seconds

    def _adapter(self, session: Session) -> Through:
        if isinstance(session, ArrayChainSession):
            return session.on_tensors(self.device).through
        if isinstance(session, ChainSession):
            return session.through
        return adapter_of(self._net, session, self._geometry.scale)

    def codes_session(self, precision: Precision, levels: Levels) -> CodesSession | None:
        """The net there for planes of such codes; None where it takes more than luma, or its engine no codes."""
        facts = self._net
        plain = facts.colour == "luma" and not facts.inputs and not facts.fixed_sides and not facts.one_at_a_time
        if not plain or self._tta or self._geometry.overlap:
            return None
        return self._sessions.for_codes(precision, *as_seen(levels.zero, levels.span, facts.luma_range), many=True)

    def session(self, precision: Precision) -> Session:
        """What runs the net there."""
        return self._sessions.load(precision)

    def batch_of(self, values: Sequence[Conditions]) -> dict[str, Tensor]:
        """Conditions as the net takes them, there."""
        return conditions.batch_of(self._net, values, self._geometry.scale, self.device)

    def launch(self, windows: Sequence[Window]) -> InFlight[tuple[Tensor, Tensor]]:
        if self._download is not None or not self.begins_at_once:
            return self._compute(windows)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="net")
        return Pending(self._pool.submit(self._compute, windows))

    def _compute(self, windows: Sequence[Window]) -> SRWindows:
        first = windows[0]
        with memory_explained(self.device), computing(self.device, first.precision):
            given = self.batch_of([window.conditions for window in windows])
            sr = self._batch(self.load(first.precision), self._upload(windows), given, first.transfer)
            kept = [self.kept_part(one, window.rows, window.columns) for one, window in zip(sr, windows, strict=True)]
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

    def _batch(self, net: Through, lr: Tensor, given: Mapping[str, Tensor], transfer: Transfer) -> Tensor:
        """Several windows through the net; where memory does not suffice for all at once, one by one."""
        if len(lr) > 1 and self._limit is None:
            try:
                return self._whole_batch(net, lr, given, transfer)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            release_memory(self.device)  # outside of `except`, whose traceback would keep the tensors alive
        alone = ({name: value[number, None] for name, value in given.items()} for number in range(len(lr)))
        return torch.cat([self.run(net, one[None], its, transfer) for one, its in zip(lr, alone, strict=True)])

    def _whole_batch(self, net: Through, lr: Tensor, given: Mapping[str, Tensor], transfer: Transfer) -> Tensor:
        sr: Tensor = self._ensemble(net, lr, given, transfer)
        return sr
