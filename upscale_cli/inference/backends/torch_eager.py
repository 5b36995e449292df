"""One net on one device: windows in, SR windows out.

Owns the module there. Knows what to do when memory runs out, and tells the health of what it has made.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from upscale_cli.errors import DeviceError
from upscale_cli.events import Say
from upscale_cli.frames.image import Pixels, Transfer
from upscale_cli.frames.pixels import white_of
from upscale_cli.inference.color_adapter import PictureNet
from upscale_cli.inference.device import (
    DTYPES,
    Precision,
    computing,
    is_out_of_memory,
    memory_explained,
    release_memory,
)
from upscale_cli.inference.tiling import MIN_TILE, RowBlender, Span, tile_spans


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A piece of an LR picture on its way through a device.

    Attributes:
        lr: (h, w, C) uint8, uint16 or float32; a view into the picture.
        rows, columns: what of it is kept.
        transfer: of the picture.
        precision: to compute in.
    """

    lr: Pixels
    rows: Span
    columns: Span
    transfer: Transfer
    precision: Precision

    @property
    def kind(self) -> tuple[Any, ...]:
        """Windows of one kind can go through a net together."""
        return self.lr.shape, self.lr.dtype, self.transfer, self.precision


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """Windows whose results are on their way to the host, and there once `wait` has returned.

    Attributes:
        kept: (scale * h, scale * w, C) float32 of each.
        health: (n, 3): `health_of` each.
    """

    kept: Sequence[Tensor]
    health: Tensor
    arrived: torch.cuda.Event | None

    def wait(self) -> None:
        if self.arrived is not None:
            self.arrived.synchronize()


def kept_part(sr: Tensor, rows: Span, columns: Span, scale: int) -> Tensor:
    """(C, scale * h, scale * w) of a window to (scale * h', scale * w', C) of the tile in it."""
    top = (rows.start - rows.window_start) * scale
    left = (columns.start - columns.window_start) * scale
    inner = sr[:, top : top + rows.length * scale, left : left + columns.length * scale]
    return inner.permute(1, 2, 0)


def health_of(sr: Tensor) -> Tensor:
    """What `judge` needs to know of SR windows, computed where they are, without waiting for it.

    The mean is there for its faithfulness: NaN and Inf reach it on every device, a maximum may pass NaN by.

    Args:
        sr: (n, C, h, w).

    Returns:
        (n, 3): least, greatest and mean value of each.
    """
    every = (1, 2, 3)
    return torch.stack((sr.amin(every), sr.amax(every), sr.mean(every)), dim=1)


def judge(health: Tensor) -> tuple[bool, bool]:
    """(all values finite, all values one and the same), of one window's health."""
    low, high, mean = health.tolist()
    return all(math.isfinite(value) for value in (low, high, mean)), low == high


class DeviceNet:
    """A net on a device.

    Args:
        net: in fp32 on the host; shared with other devices, so it stays there.
        overlap: LR pixels over which pieces of a window blend.
        tta: average over the eight flips and rotations.
        say: takes what the user should know.

    Attributes:
        hands: how many flights keep the device busy. On a GPU, while one is fetched, the next is computed.
    """

    def __init__(self, net: PictureNet, device: torch.device, *, overlap: int, tta: bool, say: Say) -> None:
        self.device = device
        self._fp32, self._overlap, self._tta, self._say = net, overlap, tta, say
        self._nets: dict[Precision, PictureNet] = {}
        self._limit: int | None = None  # side of the largest window that memory has room for, once it ran out
        self._download = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self.hands = 2 if device.type == "cuda" else 1

    def net(self, precision: Precision) -> PictureNet:
        """The net there in that precision; channels last, the layout convolutions are fastest in."""
        if precision not in self._nets:
            shared = precision == "fp32" and self.device.type == "cpu"
            net = self._fp32 if shared else copy.deepcopy(self._fp32).to(self.device, DTYPES[precision])
            layout = torch.contiguous_format if self.device.type == "mps" else torch.channels_last
            net.to(memory_format=layout)  # type: ignore[call-overload]  # in place; torch's stub lacks the keyword
            self._nets[precision] = net
        return self._nets[precision]

    def launch(self, windows: Sequence[Window]) -> Flight:
        """Begins with some windows of one kind; on CUDA this returns before they are done.

        Raises:
            DeviceError: memory is too small even for a small window.
        """
        first = windows[0]
        with memory_explained(self.device), computing(self.device, first.precision):
            sr = self._batch(self.net(first.precision), self._upload(windows), first.transfer)
            kept = [
                kept_part(one, window.rows, window.columns, self._fp32.scale)
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

    def _send_back(self, kept: Sequence[Tensor], health: Tensor) -> Flight:
        """Starts the download on a stream of its own, so that the next windows need not wait for it."""
        if self._download is None:
            return Flight([one.cpu() for one in kept], health.cpu(), None)
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
        return Flight(on_host[:-1], on_host[-1], arrived)

    # When memory runs out

    def _batch(self, net: PictureNet, lr: Tensor, transfer: Transfer) -> Tensor:
        """Several windows through the net; where memory does not suffice for all at once, one by one."""
        if len(lr) > 1 and self._limit is None:
            try:
                return self._ensemble(net, lr, transfer)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            release_memory(self.device)  # outside of `except`, whose traceback would keep the tensors alive
        return torch.cat([self.run(net, one[None], transfer) for one in lr])

    def run(self, net: PictureNet, lr: Tensor, transfer: Transfer) -> Tensor:
        """One window, (1, C, h, w), through the net; where memory does not suffice, in pieces of half the side."""
        side = max(lr.shape[-2:])
        if self._limit is None or side <= self._limit:
            try:
                return self._ensemble(net, lr, transfer)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._shrink(side)
        assert self._limit is not None
        halo, multiple_of = self._fp32.halo, self._fp32.multiple_of
        tile = self._limit - 2 * halo
        rows, columns = (tile_spans(length, tile, self._overlap, halo, multiple_of) for length in lr.shape[-2:])
        return self.run_in_pieces(net, lr, transfer, rows, columns)

    def _shrink(self, side: int) -> None:
        release_memory(self.device)
        halo, multiple_of = self._fp32.halo, self._fp32.multiple_of
        smaller = side // 2 // multiple_of * multiple_of
        if smaller - 2 * halo < max(MIN_TILE, self._overlap + 1):
            raise DeviceError(
                f"out of memory on {self.device} even for a window of {side} pixels. "
                f"Close other programs, or choose --device cpu, a smaller model or --precision fp16."
            )
        self._limit = smaller
        self._say(f"out of memory on {self.device}: going on with windows of {smaller} pixels instead of {side}.")

    def run_in_pieces(
        self, net: PictureNet, lr: Tensor, transfer: Transfer, rows: list[Span], columns: list[Span]
    ) -> Tensor:
        """What `run` gives for the window, computed as smaller windows within it. (1, C, h, w) as there."""
        blender = RowBlender(rows, columns, self._overlap, self._fp32.scale, lr.shape[1], self.device)
        bands = []
        for row, y in enumerate(rows):
            for column, x in enumerate(columns):
                window = lr[..., y.window_start : y.window_stop, x.window_start : x.window_stop].contiguous()
                blender.add(column, kept_part(self.run(net, window, transfer)[0], y, x, self._fp32.scale))
            bands.append(blender.finish_row(row)[1].clone())
        return torch.cat(bands).permute(2, 0, 1)[None]

    def _ensemble(self, net: PictureNet, lr: Tensor, transfer: Transfer) -> Tensor:
        """The net's answer; with `tta` the mean over the eight flips and rotations of the square."""
        if not self._tta:
            out: Tensor = net(lr, transfer)
            return out
        total: Tensor | None = None
        for turns in range(4):
            for mirrored in (False, True):
                turned = torch.rot90(lr.flip(-1) if mirrored else lr, turns, dims=(-2, -1))
                sr = torch.rot90(net(turned.contiguous(), transfer), -turns, dims=(-2, -1))
                sr = sr.flip(-1) if mirrored else sr
                total = sr if total is None else total + sr
        assert total is not None
        return total / 8
