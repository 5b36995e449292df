"""One net at work on one device: a picture in, its SR picture out, tile by tile.

The LR picture and the SR picture stay in host memory; a tile at a time is on the device. (A clip's frames are there as
a whole.) Owns the module there, and knows the two ways a tile can go wrong: memory runs out, or half precision
overflows.
"""

import copy
import functools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.color import to_depth
from upscale_cli.device import (
    DTYPES,
    Precision,
    computing,
    is_out_of_memory,
    memory_explained,
    release_memory,
    tile_budget,
)
from upscale_cli.errors import CheckpointError, DeviceError
from upscale_cli.events import Say
from upscale_cli.media.frame import Pixels, Transfer
from upscale_cli.media.pixels import white_of
from upscale_cli.media.rows import Held, Padded, Rows, Streamed
from upscale_cli.models.picture import PictureNet
from upscale_cli.models.profile import profile
from upscale_cli.tiling import MIN_TILE, Limits, RowBlender, RowJoiner, Span, automatic_tiles, check_tile, tile_spans

MAX_WINDOW: Final = 1024
"""LR pixels of a window's side that is never exceeded by itself: larger ones make no device faster."""

WINDOW_PER_HALO: Final = 32
"""How many halos a window is wide where memory allows: what is computed in vain is then about an eighth."""

PACE_SIDE: Final = 64
"""LR pixels of the window that the pace is measured on; divides by every multiple_of."""

WORTH_TIMING: Final = 10**12
"""Multiply-adds below which no machine takes long."""

BLENDED_BYTES: Final = 3 * (4 + 2)
JOINED_BYTES: Final = 3 * 2
"""Of an SR pixel in a row of tiles, until it is final: as float and then in its depth, or in its depth at once."""

DEFAULT_OVERLAP: Final = 16
"""LR pixels over which the tiles blend, for nets whose halo is less than their field."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile on its way through the device."""

    row: int
    column: int
    rows: Span
    columns: Span
    window: Pixels  # (h, w, C), a view into the LR picture


def kept_part(sr: Tensor, rows: Span, columns: Span, scale: int) -> Tensor:
    """(1, C, scale * h, scale * w) of a window to (scale * h', scale * w', C) of the tile in it."""
    top = (rows.start - rows.window_start) * scale
    left = (columns.start - columns.window_start) * scale
    inner = sr[0, :, top : top + rows.length * scale, left : left + columns.length * scale]
    return inner.permute(1, 2, 0)


def _in_depth(unit: Tensor, dtype: np.dtype[Any], *, clip: bool) -> Pixels:
    """SR values, changed in place, as pixels of that depth; float is cut to [0, 1] if `clip`."""
    if dtype != np.float32:
        return np.asarray(to_depth(unit, dtype).numpy())
    return np.asarray((unit.clamp_(0, 1) if clip else unit).numpy())


@dataclass(frozen=True, slots=True)
class InFlight:
    """A tile whose result is on its way to the host."""

    tile: Tile
    precision: Precision  # that it is computed in; the engine's may change meanwhile
    kept: Tensor
    health: Tensor  # (3,): least, greatest and mean value of the whole SR window
    arrived: torch.cuda.Event | None


def health_of(sr: Tensor) -> Tensor:
    """What `judge` needs to know of an SR window: (3,), computed where the window is, without waiting for it.

    The mean is there for its faithfulness: NaN and Inf reach it on every device, a maximum may pass NaN by.
    """
    return torch.stack((sr.amin(), sr.amax(), sr.mean()))


def judge(health: Tensor) -> tuple[bool, bool]:
    """(all values finite, all values one and the same)."""
    low, high, mean = health.tolist()
    return all(math.isfinite(value) for value in (low, high, mean)), low == high


def is_sound(health: Tensor) -> bool:
    """Whether a picture of `Engine.unjudged` is fit to be seen: finite, and not of one value where the input had more.

    Args:
        health: (5,): `health_of` the SR picture, least and greatest value of the LR picture.
    """
    finite, constant = judge(health[:3])
    low, high = health[3:].tolist()
    return finite and not (constant and low != high)


class Engine:
    """Runs `net` over pictures.

    Args:
        net: scale, halo and colours are its own.
        device, precision: where and how to compute.
        tile: side of the LR square a tile keeps; 0 chooses by the free memory.
        overlap: LR pixels over which tiles blend; None: 0 where the halo is exact, else 16
                (half of a small `tile`).
        wrap: the picture continues on its opposite side.
        tta: average over the eight flips and rotations (self-ensemble of EDSR, https://arxiv.org/abs/1707.02921).
        memory: bytes of host memory that a row of tiles may take, and on a CPU a window too; None: by what is free.
        say: takes what the user should know.
    """

    def __init__(
        self,
        net: PictureNet,
        device: torch.device,
        precision: Precision,
        *,
        tile: int = 0,
        overlap: int | None = None,
        wrap: bool = False,
        tta: bool = False,
        memory: int | None = None,
        say: Say,
    ) -> None:
        self.scale, self.halo, self.multiple_of = net.scale, net.halo, net.multiple_of
        self.colour = net.colour
        self.device, self.precision = device, precision
        self._say, self._wrap, self._tta = say, wrap, tta
        usual = 0 if net.exact else min(DEFAULT_OVERLAP, tile // 2 if tile else DEFAULT_OVERLAP)
        self._overlap = usual if overlap is None else overlap
        if tile:
            check_tile(tile, self._overlap)
        self._tile, self._memory = tile, memory
        self._fp32 = net.float().eval().requires_grad_(False)
        self._cost = profile(net, 1 if net.colour == "luma" else 3, net.multiple_of)
        with memory_explained(device):
            self._net = self._placed(precision)
        self._ahead = 1 if device.type == "cuda" else 0  # tiles under way while one is put into the picture
        self._limit: int | None = None  # side of the largest window that memory has room for, once it ran out
        self._download = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    @property
    def elements(self) -> float:
        """Activations per LR pixel of a window that are alive at the worst moment."""
        return self._cost.elements

    def upscale(
        self,
        lr: Pixels,
        dtype: Any,
        *,
        out: Pixels | None = None,
        transfer: Transfer = "display",
        clip: bool = True,
        on_tile: Callable[[], object] | None = None,
    ) -> Pixels:
        """Upscales once.

        Args:
            lr: (H, W, 1 or 3) uint8, uint16 or float32 with 1.0 for white.
            dtype: of the result: that of `lr`, or float32 for a further pass.
            out: (scale * H, scale * W, C) of `dtype` to write into; a view will do. None: a new array.
            transfer: of `lr`, and of the result.
            clip: cut a float result to [0, 1].
            on_tile: called after each tile.

        Returns:
            `out`, or the new array.

        Raises:
            DeviceError: memory is too small even for a small tile.
            CheckpointError: the net gives NaN or Inf in full precision.
        """
        height, width, channels = lr.shape
        if out is None:
            out = np.empty((height * self.scale, width * self.scale, channels), dtype)
        y = 0
        for band in self.bands(Held(lr), dtype, transfer=transfer, clip=clip, on_tile=on_tile):
            out[y : y + len(band)] = band
            y += len(band)
        return out

    def rows(self, lr: Rows, dtype: Any, **options: Any) -> Rows:
        """`bands` as a picture of its own, for whoever asks for its rows."""
        begin = functools.partial(self.bands, lr, dtype, **options)
        return Streamed(lr.height * self.scale, lr.width * self.scale, lr.channels, dtype, begin)

    def bands(
        self,
        lr: Rows,
        dtype: Any,
        start: int = 0,
        *,
        transfer: Transfer = "display",
        clip: bool = True,
        on_tile: Callable[[], object] | None = None,
    ) -> Iterator[Pixels]:
        """Upscales once, row of tiles by row of tiles; the arguments are those of `upscale`.

        Args:
            lr: a picture that wraps must be `Held`.
            start: SR row to begin with. Rows of tiles without a part in it are left out.

        Yields:
            The next SR rows, (h, scale * W, C) of `dtype`: those that no later tile touches.
        """
        scale = self.scale
        top, _, left, _ = self._margins(lr.height, lr.width)
        rows, columns = self._grid(lr.height, lr.width)
        first = next(number for number, span in enumerate(rows) if (span.stop - top) * scale > start)
        blended, depth = self._overlap > 0, np.dtype(dtype)
        strip: Any = (
            RowBlender(rows, columns, self._overlap, scale, lr.channels)
            if blended
            else RowJoiner(rows, columns, scale, lr.channels, depth)
        )
        for tile, kept in self._stream(self._tiles(self._padded(lr), rows, columns, first), transfer):
            strip.add(tile.column, kept if blended else _in_depth(kept, depth, clip=clip))
            if on_tile:
                on_tile()
            if tile.column < len(columns) - 1:
                continue
            y, sr = strip.finish_row(tile.row)
            y -= top * scale
            sr = sr[max(start - y, 0) : max(lr.height * scale - y, 0), left * scale : (left + lr.width) * scale]
            if len(sr):
                yield _in_depth(sr, depth, clip=clip).copy() if blended else sr

    def upscale_tensor(self, lr: Tensor) -> Tensor:
        """Upscales once what is on the device already, and leaves the result there.

        Windows are as large as memory allows; a `tile` that was asked for is kept to.

        Args:
            lr: (1, 1 or 3, h, w) float32 on the device, display values, [0, 1] and a little beyond.

        Returns:
            (1, C, scale * h, scale * w) float32, not clipped. Where half precision spoils it, in fp32, and so are all
            pictures after it.

        Raises:
            DeviceError, CheckpointError: as `upscale`.
        """
        sr, health = self.unjudged(lr)
        if is_sound(health):
            return sr
        finite, _ = judge(health[:3])
        if self.precision == "fp32":
            self._accept(finite)
            return sr
        full = self._whole(self._full, lr, "fp32")
        self._settle(health_of(full), finite=finite, what="frame")
        return full

    def unjudged(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """`upscale_tensor` that does not wait for the device: its result, and the health for `is_sound` to judge."""
        sr = self._whole(self._net, lr, self.precision)
        with torch.no_grad():
            return sr, torch.cat((health_of(sr), torch.stack((lr.amin(), lr.amax()))))

    def _whole(self, net: PictureNet, lr: Tensor, precision: Precision) -> Tensor:
        """A picture on the device through a net, with the margins it needs."""
        height, width = lr.shape[-2:]
        top, bottom, left, right = self._margins(height, width)
        with memory_explained(self.device), computing(self.device, precision):
            if self._wrap:
                lr = lr.index_select(-2, torch.arange(-top, height + bottom, device=lr.device) % height)
                lr = lr.index_select(-1, torch.arange(-left, width + right, device=lr.device) % width)
            elif bottom or right:
                lr = F.pad(lr, (0, right, 0, bottom), "reflect" if bottom < height and right < width else "replicate")
            rows, columns = self._grid(height, width, self._affordable)
            alone = len(rows) == len(columns) == 1
            sr = self._run(net, lr, "display") if alone else self._in_pieces(net, lr, "display", rows, columns)
        y, x = top * self.scale, left * self.scale
        return sr[..., y : y + height * self.scale, x : x + width * self.scale]

    def tile_count(self, height: int, width: int) -> int:
        """How many tiles an LR picture of that size takes."""
        rows, columns = self._grid(height, width)
        return len(rows) * len(columns)

    def expected_seconds(self, height: int, width: int) -> float:
        """How long an LR picture of that size is likely to take: by the pace of a small window, run twice.

        0 where it is too little to be worth trying.
        """
        rows, columns = self._grid(height, width)
        window = (rows[0].window_stop - rows[0].window_start) * (columns[0].window_stop - columns[0].window_start)
        pixels = len(rows) * len(columns) * window * (8 if self._tta else 1)
        if pixels * self._cost.macs < WORTH_TIMING:
            return 0.0
        small = torch.zeros(1, 3, PACE_SIDE, PACE_SIDE, device=self.device)
        seconds = math.inf
        for _ in range(2):  # the first run also chooses algorithms and starts threads
            begin = time.perf_counter()
            with computing(self.device, self.precision):
                float(self._net(small).amax())  # waits for the device
            seconds = min(seconds, time.perf_counter() - begin)
        return seconds * pixels / PACE_SIDE**2

    # Where the tiles lie

    def _margins(self, height: int, width: int) -> tuple[int, int, int, int]:
        """LR pixels to add (top, bottom, left, right): for `multiple_of`, and all around where the picture wraps."""
        around = math.ceil(self.halo / self.multiple_of) * self.multiple_of if self._wrap else 0
        return around, around + -height % self.multiple_of, around, around + -width % self.multiple_of

    def _padded(self, lr: Rows) -> Rows:
        top, bottom, left, right = self._margins(lr.height, lr.width)
        if not (top or bottom or left or right):
            return lr
        reflects = max(top, bottom) < lr.height and max(left, right) < lr.width
        return Padded(lr, top, bottom, left, right, "wrap" if self._wrap else "reflect" if reflects else "edge")

    def _grid(self, height: int, width: int, limits: Limits | None = None) -> tuple[list[Span], list[Span]]:
        """The tiles of an LR picture of that size, margins included: along y, along x."""
        top, bottom, left, right = self._margins(height, width)
        height, width = height + top + bottom, width + left + right
        if self._tile:
            tiles = (self._tile, self._tile)
        else:
            tiles = automatic_tiles(height, width, self._overlap, self.halo, self.multiple_of, limits or self._limits)
        rows, columns = (
            tile_spans(length, tile, self._overlap, self.halo, self.multiple_of)
            for length, tile in zip((height, width), tiles, strict=True)
        )
        return rows, columns

    @functools.cached_property
    def _limits(self) -> Limits:
        """How large windows may be: by the memory that is free at first, and by what is of any use."""
        side = min(MAX_WINDOW, max(MAX_WINDOW // 2, WINDOW_PER_HALO * self.halo))
        per_pixel = self.scale**2 * (BLENDED_BYTES if self._overlap else JOINED_BYTES)
        return Limits(side, min(side**2, self._affordable.pixels), self._host_budget() // per_pixel)

    @functools.cached_property
    def _affordable(self) -> Limits:
        """How large windows may be by the memory that is free at first, alone."""
        bytes_per_pixel = self._cost.elements * DTYPES[self.precision].itemsize
        budget = self._host_budget() if self.device.type == "cpu" else tile_budget(self.device)
        pixels = int(budget / bytes_per_pixel)
        return Limits(side=pixels, pixels=pixels)

    def _host_budget(self) -> int:
        return self._memory or tile_budget(torch.device("cpu"))

    def limit_memory(self, memory: int | None) -> None:
        """From the next picture on, another bound; see `memory`."""
        self._memory = memory
        for name in ("_limits", "_affordable"):
            self.__dict__.pop(name, None)

    @staticmethod
    def _tiles(lr: Rows, rows: list[Span], columns: list[Span], first: int = 0) -> Iterator[Tile]:
        """The tiles of all rows of tiles from the `first` on, left to right."""
        for row, y in enumerate(rows[first:], start=first):
            strip = lr.read(y.window_start, y.window_stop)
            for column, x in enumerate(columns):
                yield Tile(row, column, y, x, strip[:, x.window_start : x.window_stop])

    # Through the device

    def _stream(self, tiles: Iterable[Tile], transfer: Transfer) -> Iterator[tuple[Tile, Tensor]]:
        """Tiles in, (tile, kept SR pixels on the host) out, in order.

        On CUDA one tile is ahead: while it is computed, the one before is downloaded and blended.
        """
        under_way: deque[InFlight] = deque()
        for tile in tiles:
            under_way.append(self._submit(tile, transfer))
            if len(under_way) > self._ahead:
                yield self._collect(under_way.popleft(), transfer)
        while under_way:
            yield self._collect(under_way.popleft(), transfer)

    def _submit(self, tile: Tile, transfer: Transfer) -> InFlight:
        with memory_explained(self.device), computing(self.device, self.precision):
            sr = self._run(self._net, self._upload(tile), transfer)
            kept = kept_part(sr, tile.rows, tile.columns, self.scale)
            return self._send_back(InFlight(tile, self.precision, kept, health_of(sr), None))

    def _collect(self, flight: InFlight, transfer: Transfer) -> tuple[Tile, Tensor]:
        if flight.arrived is not None:
            flight.arrived.synchronize()
        finite, constant = judge(flight.health)
        constant = constant and flight.tile.window.min() != flight.tile.window.max()
        if finite and not constant:
            return flight.tile, flight.kept
        if flight.precision == "fp32":
            self._accept(finite)
            return flight.tile, flight.kept
        return flight.tile, self._again(flight.tile, transfer, finite=finite)

    def _again(self, tile: Tile, transfer: Transfer, *, finite: bool) -> Tensor:
        """A tile that half precision made black, again in fp32; if that helps, the net stays in fp32."""
        with memory_explained(self.device), computing(self.device, "fp32"):
            sr = self._run(self._full, self._upload(tile), transfer)
            self._settle(health_of(sr), finite=finite, what="tile")
            return kept_part(sr, tile.rows, tile.columns, self.scale).cpu()

    def _settle(self, health: Tensor, *, finite: bool, what: str) -> None:
        """Whether the net stays in fp32, after fp32 computed again what half precision made `finite` or not."""
        finite_now, constant_now = judge(health)
        self._accept(finite_now)
        if self.precision == "fp32" or (finite and constant_now):
            return
        self._say(
            f"{self.precision} is too coarse for this net ({f'a blank {what}' if finite else 'NaN or Inf'}): "
            f"the {what} was computed again, and the rest runs in fp32."
        )
        self.precision = "fp32"
        self._net = self._full

    @staticmethod
    def _accept(finite: bool) -> None:
        if not finite:
            raise CheckpointError(
                "the net gives NaN or Inf in full precision: its weights are damaged or unfit for this picture. "
                "Fetch the checkpoint again, or choose another -m."
            )

    def _upload(self, tile: Tile) -> Tensor:
        """(h, w, C) of any depth on the host to (1, C, h, w) float32 in [0, 1] on the device."""
        window = torch.from_numpy(np.array(tile.window))  # a copy: contiguous, writable
        if self.device.type == "mps":
            window = window.float()  # MPS has no uint16
        if self._download is not None:
            window = window.pin_memory()
        window = window.to(self.device, non_blocking=True)
        unit = window.permute(2, 0, 1)[None].to(torch.float32, memory_format=torch.contiguous_format)
        return unit.div_(white_of(tile.window))

    def _send_back(self, flight: InFlight) -> InFlight:
        """Starts the download on a stream of its own, so that the next tile need not wait for it."""
        if self._download is None:
            return replace(flight, kept=flight.kept.cpu(), health=flight.health.cpu())
        self._download.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._download):
            on_host = []
            for tensor in (flight.kept.contiguous(), flight.health):
                pinned = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
                on_host.append(pinned.copy_(tensor, non_blocking=True))
                tensor.record_stream(self._download)
            flight.kept.record_stream(self._download)
            arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            arrived.record(self._download)
        return replace(flight, kept=on_host[0], health=on_host[1], arrived=arrived)

    @functools.cached_property
    def _full(self) -> PictureNet:
        """The net in fp32 on the device, for tiles that half precision spoils; made when the first one is."""
        return self._placed("fp32")

    def _placed(self, precision: Precision) -> PictureNet:
        """The net on the device in that precision; channels last, the layout convolutions are fastest in."""
        shared = precision == "fp32" and self.device.type == "cpu"
        net = self._fp32 if shared else copy.deepcopy(self._fp32).to(self.device, DTYPES[precision])
        layout = torch.contiguous_format if self.device.type == "mps" else torch.channels_last
        net.to(memory_format=layout)  # type: ignore[call-overload]  # moves in place; torch's stub lacks the keyword
        return net

    # When memory runs out

    def _run(self, net: PictureNet, lr: Tensor, transfer: Transfer) -> Tensor:
        """One window through the net; where memory does not suffice, in pieces of half the side."""
        side = max(lr.shape[-2:])
        if self._limit is None or side <= self._limit:
            try:
                return self._ensemble(net, lr, transfer)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            self._shrink(side)  # outside of `except`, whose traceback would keep the tensors alive
        assert self._limit is not None
        tile = self._limit - 2 * self.halo
        rows = tile_spans(lr.shape[-2], tile, self._overlap, self.halo, self.multiple_of)
        columns = tile_spans(lr.shape[-1], tile, self._overlap, self.halo, self.multiple_of)
        return self._in_pieces(net, lr, transfer, rows, columns)

    def _shrink(self, side: int) -> None:
        release_memory(self.device)
        smaller = side // 2 // self.multiple_of * self.multiple_of
        if smaller - 2 * self.halo < max(MIN_TILE, self._overlap + 1):
            raise DeviceError(
                f"out of memory on {self.device} even for a window of {side} pixels. "
                f"Close other programs, or choose --device cpu, a smaller model or --precision fp16."
            )
        self._limit = smaller
        self._say(f"out of memory on {self.device}: going on with windows of {smaller} pixels instead of {side}.")

    def _in_pieces(
        self, net: PictureNet, lr: Tensor, transfer: Transfer, rows: list[Span], columns: list[Span]
    ) -> Tensor:
        """What `_run` gives for the window, computed as smaller windows within it. (1, C, h, w) as there."""
        blender = RowBlender(rows, columns, self._overlap, self.scale, lr.shape[1], self.device)
        bands = []
        for row, y in enumerate(rows):
            for column, x in enumerate(columns):
                window = lr[..., y.window_start : y.window_stop, x.window_start : x.window_stop].contiguous()
                blender.add(column, kept_part(self._run(net, window, transfer), y, x, self.scale))
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
