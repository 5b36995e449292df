"""One net at work: a picture in, its SR picture out, tile by tile.

    picture  ->  tiles  ->  Dealer  ->  DeviceNet  ->  blended rows
                            (who)       (the net on one device)

The LR picture and the SR picture stay in host memory; some tiles at a time are on devices. (A clip's frames are there
as a whole.) Owns the nets there, and knows what to do where half precision overflows.
"""

import functools
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.errors import CheckpointError
from upscale_cli.events import Say
from upscale_cli.frames.image import Pixels, Transfer
from upscale_cli.frames.rows import Held, Padded, Rows, Streamed
from upscale_cli.inference.backends.torch_eager import DeviceNet, Window, health_of, judge
from upscale_cli.inference.color import to_depth
from upscale_cli.inference.color_adapter import PictureNet
from upscale_cli.inference.device import DTYPES, Precision, computing, memory_explained, tile_budget
from upscale_cli.inference.profile import profile
from upscale_cli.inference.scheduler import Dealer, Ticket
from upscale_cli.inference.tiling import Limits, RowBlender, RowJoiner, Span, automatic_tiles, check_tile, tile_spans

MAX_WINDOW: Final = 1024
"""LR pixels of a window's side that is never exceeded by itself: larger ones make no device faster."""

WINDOW_PER_HALO: Final = 32
"""How many halos a window is wide where memory allows: what is computed in vain is then about an eighth."""

PACE_SIDE: Final = 64
"""LR pixels of the window that the pace is measured on; divides by every multiple_of."""

BATCH_PIXELS: Final = 512**2
"""LR pixels that go through a net together at most, where several small pictures wait."""

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


def _in_depth(unit: Tensor, dtype: np.dtype[Any], *, clip: bool) -> Pixels:
    """SR values, changed in place, as pixels of that depth; float is cut to [0, 1] if `clip`."""
    if dtype != np.float32:
        return np.asarray(to_depth(unit, dtype).numpy())
    return np.asarray((unit.clamp_(0, 1) if clip else unit).numpy())


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
        devices: where to compute; tiles are dealt out to all of them.
        precision: how to compute.
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
        devices: torch.device | Sequence[torch.device],
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
        self.precision = precision
        self._say, self._wrap, self._tta = say, wrap, tta
        usual = 0 if net.exact else min(DEFAULT_OVERLAP, tile // 2 if tile else DEFAULT_OVERLAP)
        self._overlap = usual if overlap is None else overlap
        if tile:
            check_tile(tile, self._overlap)
        self._tile, self._memory, self._sharing = tile, memory, 1
        self._cost = profile(net, 1 if net.colour == "luma" else 3, net.multiple_of)
        net = net.float().eval().requires_grad_(False)
        self.devices = [devices] if isinstance(devices, torch.device) else list(devices)
        self._nets = [DeviceNet(net, device, overlap=self._overlap, tta=tta, say=say) for device in self.devices]
        for one in self._nets:
            with memory_explained(one.device):
                one.net(precision)
        self._dealer = Dealer(self._nets, self._together, say)
        self._ahead = self._dealer.hands - 1 if self.device.type == "cuda" else 0  # tiles, while one is blended

    @property
    def device(self) -> torch.device:
        """The first one."""
        return self.devices[0]

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

    def upscale_tensor(self, lr: Tensor, place: int = 0) -> Tensor:
        """Upscales once what is on a device already, and leaves the result there.

        Windows are as large as memory allows; a `tile` that was asked for is kept to.

        Args:
            lr: (1, 1 or 3, h, w) float32 on the device, display values, [0, 1] and a little beyond.
            place: of the device among `devices`.

        Returns:
            (1, C, scale * h, scale * w) float32, not clipped. Where half precision spoils it, in fp32, and so are all
            pictures after it.

        Raises:
            DeviceError, CheckpointError: as `upscale`.
        """
        sr, health = self.unjudged(lr, place)
        if is_sound(health):
            return sr
        finite, _ = judge(health[:3])
        if self.precision == "fp32":
            self._accept(finite)
            return sr
        full = self._whole(place, lr, "fp32")
        self._settle(health_of(full)[0], finite=finite, what="frame")
        return full

    def unjudged(self, lr: Tensor, place: int = 0) -> tuple[Tensor, Tensor]:
        """`upscale_tensor` that does not wait for the device: its result, and the health for `is_sound` to judge."""
        sr = self._whole(place, lr, self.precision)
        with torch.no_grad():
            return sr, torch.cat((health_of(sr)[0], torch.stack((lr.amin(), lr.amax()))))

    def _whole(self, place: int, lr: Tensor, precision: Precision) -> Tensor:
        """A picture on a device through its net, with the margins it needs."""
        there = self._nets[place]
        height, width = lr.shape[-2:]
        top, bottom, left, right = self._margins(height, width)
        with memory_explained(there.device), computing(there.device, precision):
            net = there.net(precision)
            if self._wrap:
                lr = lr.index_select(-2, torch.arange(-top, height + bottom, device=lr.device) % height)
                lr = lr.index_select(-1, torch.arange(-left, width + right, device=lr.device) % width)
            elif bottom or right:
                lr = F.pad(lr, (0, right, 0, bottom), "reflect" if bottom < height and right < width else "replicate")
            rows, columns = self._grid(height, width, self._affordable)
            alone = len(rows) == len(columns) == 1
            sr = there.run(net, lr, "display") if alone else there.run_in_pieces(net, lr, "display", rows, columns)
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
                float(self._nets[0].net(self.precision)(small).amax())  # waits for the device
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
        on_host = self.device.type == "cpu"
        budget = self._host_budget() if on_host else min(tile_budget(device) for device in self.devices)
        pixels = int(budget / bytes_per_pixel)
        return Limits(side=pixels, pixels=pixels)

    def _host_budget(self) -> int:
        return (self._memory or tile_budget(torch.device("cpu"))) // self._sharing

    def share(self, threads: int) -> None:
        """So many threads will use it at a time; on a CPU, each on its share of the cores and of the memory."""
        if self.device.type == "cpu" and threads != self._sharing:
            self._sharing = threads
            for net in self._nets:
                net.hands = threads
            self.limit_memory(self._memory)

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

    # Through the devices

    def _stream(self, tiles: Iterable[Tile], transfer: Transfer) -> Iterator[tuple[Tile, Tensor]]:
        """Tiles in, (tile, kept SR pixels on the host) out, in order.

        On CUDA some tiles are ahead: while they are computed, the one before is downloaded and blended.
        """
        under_way: deque[tuple[Tile, Ticket]] = deque()
        try:
            for tile in tiles:
                window = Window(tile.window, tile.rows, tile.columns, transfer, self.precision)
                under_way.append((tile, self._dealer.submit(window)))
                if len(under_way) > self._ahead:
                    yield self._collect(*under_way.popleft())
            while under_way:
                yield self._collect(*under_way.popleft())
        finally:
            for _, ticket in under_way:
                self._dealer.forget(ticket)

    def _collect(self, tile: Tile, ticket: Ticket) -> tuple[Tile, Tensor]:
        kept, health = self._dealer.collect(ticket)
        window = ticket.window
        finite, constant = judge(health)
        constant = constant and window.lr.min() != window.lr.max()
        if finite and not constant:
            return tile, kept
        if window.precision == "fp32":
            self._accept(finite)
            return tile, kept
        return tile, self._again(window, finite=finite)

    def _again(self, window: Window, *, finite: bool) -> Tensor:
        """A tile that half precision made black, again in fp32; if that helps, the net stays in fp32."""
        kept, health = self._dealer.collect(self._dealer.submit(replace(window, precision="fp32")))
        self._settle(health, finite=finite, what="tile")
        return kept

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

    @staticmethod
    def _accept(finite: bool) -> None:
        if not finite:
            raise CheckpointError(
                "the net gives NaN or Inf in full precision: its weights are damaged or unfit for this picture. "
                "Fetch the checkpoint again, or choose another -m."
            )

    def _together(self, window: Window) -> int:
        """How many windows like this one make a batch that is worth it, and that memory has room for."""
        height, width = (int(side) for side in window.lr.shape[:2])
        return max(1, min(self._affordable.pixels, BATCH_PIXELS) // (height * width))
