"""One net at work: a picture in, its SR picture out, tile by tile.

    picture  ->  tiles  ->  Scheduler  ->  DeviceNet  ->  blended rows
                            (where)        (the net on one device: by torch; or HostNet, by numpy)

The LR picture and the SR picture stay in host memory; some tiles at a time are on devices. (A clip's frames are there
as a whole.) Owns the nets there.
"""

import functools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from upscale_cli.events import Say
from upscale_cli.frames.image import Pixels, Transfer
from upscale_cli.frames.rows import Held, Rows, Streamed
from upscale_cli.inference import conditions
from upscale_cli.inference.backends.base import ArrayBackend, Backend
from upscale_cli.inference.conditions import Conditions
from upscale_cli.inference.device import Device, memory_explained
from upscale_cli.inference.frame_grid import spare_of
from upscale_cli.inference.health import PrecisionFallback
from upscale_cli.inference.host_net import HostNet
from upscale_cli.inference.likeness import Likeness
from upscale_cli.inference.net_runner import Kept, NetRunner, Sessions, Window
from upscale_cli.inference.profile import Profile, profile
from upscale_cli.inference.scheduler import Future, Scheduler
from upscale_cli.inference.tile_layout import TileLayout, geometry_of
from upscale_cli.inference.tiling import RowJoiner, Span
from upscale_cli.inference.window_memory import beside_net
from upscale_cli.messages import option
from upscale_cli.models.interface import Colour, LoadedNet, Precision, Scale, scaled

if TYPE_CHECKING:
    from upscale_cli.inference.device_net import DeviceNet
    from upscale_cli.inference.whole_frames import WholeFrames

PACE_SIDE: Final = 64
"""LR pixels of the window that the pace is measured on, or a few more."""

WORTH_TIMING: Final = 10**12
"""Multiply-adds below which no machine takes long."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile on its way through the device."""

    row: int
    column: int
    rows: Span
    columns: Span
    window: Pixels  # (h, w, C), a view into the LR picture

    @property
    def kept_of_window(self) -> Pixels:
        """What of the window is kept."""
        top, left = self.rows.start - self.rows.window_start, self.columns.start - self.columns.window_start
        return self.window[top : top + self.rows.length, left : left + self.columns.length]


def _tiles(lr: Rows, rows: list[Span], columns: list[Span], first: int = 0) -> Iterator[Tile]:
    """The tiles of all rows of tiles from the `first` on, left to right."""
    for row, y in enumerate(rows[first:], start=first):
        strip = lr.read(y.window_start, y.window_stop)
        for column, x in enumerate(columns):
            yield Tile(row, column, y, x, strip[:, x.window_start : x.window_stop])


TileFuture = Future[Window, Kept]


class TiledNet:
    """Runs a net over pictures.

    Args:
        net: what it is, and its weights.
        devices: where to compute; tiles are dispatched to all of them.
        precision: how to compute.
        tile: side of the LR square a tile keeps; 0 chooses by the free memory.
        overlap: LR pixels over which tiles blend; None: 0 where the halo is exact, else 16
                (half of a small `tile`).
        halo: LR pixels read around a tile and thrown away; None: the net's own.
        wrap: the picture continues on its opposite side.
        tta: average over the eight flips and rotations (self-ensemble of EDSR, https://arxiv.org/abs/1707.02921).
        memory: bytes of host memory that a row of tiles may take, and on a CPU a window too; None: by what is free.
        scale: of the pass; None: the net's own, which has one only.
        given: what the net needs in addition to the picture, by name; see `conditions.resolve`.
        later: the same where a net has made the picture; None: as `given`.
        backend: runs the net; None: torch.
        say: takes what the user should know.
    """

    def __init__(
        self,
        net: LoadedNet,
        devices: Device | Sequence[Device],
        precision: Precision,
        *,
        tile: int = 0,
        overlap: int | None = None,
        halo: int | None = None,
        wrap: bool = False,
        tta: bool = False,
        memory: int | None = None,
        scale: Scale | None = None,
        given: Conditions | None = None,
        later: Conditions | None = None,
        backend: Backend | None = None,
        say: Say,
    ) -> None:
        facts = self.descriptor = net.descriptor
        scale = facts.only_scale if scale is None else scale
        if scale is None:
            raise ValueError(f"{facts.name} has several scales: name one")
        self._say, self._tta = say, tta
        self._geometry = geometry_of(facts, scale, tile, overlap, halo)
        self.conditions, self._later = conditions.resolve(facts, given or {}), later or {}
        self._cost = profile(net, scale)
        self.devices = [devices] if isinstance(devices, Device) else list(devices)
        self._layout = TileLayout(
            facts, self._geometry, tile=tile, wrap=wrap, devices=self.devices, cost=self._cost,
            precision=precision, memory=memory, tta=tta,
            beside=beside_net(facts, scale, precision, by_arrays=isinstance(backend, ArrayBackend)),
            in_cache=isinstance(backend, ArrayBackend) and precision in ("bf16", "fp16"),
        )  # fmt: skip
        if backend is None:
            from upscale_cli.inference.backends.torch_eager import TORCH_EAGER

            backend = TORCH_EAGER
        self._spare = 0.0
        if self.device.type == "cpu":  # elsewhere whole frames are faster, and only those are reused
            self._spare = spare_of(backend.name, precision, self._cost.macs / self._cost.elements)
        self._sessions = [Sessions(net, backend, device) for device in self.devices]
        self._runners: Sequence[NetRunner] = (
            [HostNet(sessions, self._geometry, tta=tta, say=say) for sessions in self._sessions]
            if isinstance(backend, ArrayBackend) and not facts.fixed_sides
            else self._nets
        )
        for one in self._runners:
            with memory_explained(one.device):
                one.load(precision)
        self._parts = 1
        self._fallback = PrecisionFallback(precision, say)
        self._scheduler: Scheduler[Window, Kept] = Scheduler(self._runners, self._together, say)
        self.share(1)
        self._is_tiling_reported = not facts.sees_whole

    @functools.cached_property
    def _nets(self) -> "list[DeviceNet]":
        """The net on the devices by torch: for clips, and for pictures where torch or a GPU runs it."""
        from upscale_cli.inference.device_net import DeviceNet

        return [DeviceNet(one, self._geometry, tta=self._tta, say=self._say) for one in self._sessions]

    @property
    def scale(self) -> Scale:
        """SR pixels per LR pixel."""
        return self._geometry.scale

    @property
    def colour(self) -> Colour:
        """What the net works on."""
        return self.descriptor.colour

    @property
    def precision(self) -> Precision:
        """That it computes in; fp32 from the moment on when half precision was seen to be too coarse."""
        return self._fallback.precision

    @property
    def device(self) -> Device:
        """The first one."""
        return self.devices[0]

    @property
    def cost(self) -> Profile:
        """What its net takes of a device."""
        return self._cost

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
            out = np.empty((scaled(height, self.scale), scaled(width, self.scale), channels), dtype)
        y = 0
        for band in self.bands(Held(lr), dtype, transfer=transfer, clip=clip, on_tile=on_tile):
            out[y : y + len(band)] = band
            y += len(band)
        return out

    def rows(
        self,
        lr: Rows,
        dtype: Any,
        *,
        transfer: Transfer = "display",
        clip: bool = True,
        on_tile: Callable[[], object] | None = None,
        given: Conditions | None = None,
        likeness: Likeness | None = None,
    ) -> Rows:
        """`bands` as a picture of its own, whose rows are computed when they are asked for."""
        begin = functools.partial(self.bands, lr, dtype, transfer=transfer, clip=clip, on_tile=on_tile, given=given,
                                  likeness=likeness)  # fmt: skip
        height, width = scaled(lr.height, self.scale), scaled(lr.width, self.scale)
        return Streamed(height, width, lr.channels, dtype, begin)

    def bands(
        self,
        lr: Rows,
        dtype: Any,
        start: int = 0,
        *,
        transfer: Transfer = "display",
        clip: bool = True,
        on_tile: Callable[[], object] | None = None,
        given: Conditions | None = None,
        likeness: Likeness | None = None,
    ) -> Iterator[Pixels]:
        """Upscales once, row of tiles by row of tiles; the arguments are those of `upscale`.

        Args:
            lr: a picture that wraps must be `Held`.
            start: SR row to begin with. Rows of tiles without a part in it are left out.
            given: conditions in the place of the net's own, for a picture that is not the first pass's.
            likeness: gets every tile and what was made of it.

        Yields:
            The next SR rows, (h, scale * W, C) of `dtype`: those that no later tile touches.
        """
        scale = self.scale
        top, _, left, _ = self._layout.margins(lr.height, lr.width)
        rows, columns = self._layout.grid(lr.height, lr.width)
        self._report_tiling(len(rows) * len(columns))
        first = next(number for number, span in enumerate(rows) if (span.stop - top) * scale > start)
        blended, depth = self._geometry.overlap > 0, np.dtype(dtype)
        strip: Any = (
            self._runners[0].blender(rows, columns, lr.channels)
            if blended
            else RowJoiner(rows, columns, scale, lr.channels, depth)
        )
        its = self._layout.padded_conditions(self.conditions if given is None else given, lr.height, lr.width)
        sr_height, sr_width = scaled(lr.height, scale), scaled(lr.width, scale)
        sr_top, sr_left = scaled(top, scale), scaled(left, scale)
        in_depth = self._runners[0].in_depth
        tiles = _tiles(self._layout.padded(lr), rows, columns, first)
        made_as, is_only = np.dtype(np.float32) if blended else depth, len(rows) * len(columns) == 1
        for tile, kept in self._stream(tiles, transfer, its, made_as, is_only=is_only):
            if likeness is not None:
                likeness.add(tile.kept_of_window, kept)
            strip.add(tile.column, kept if blended else in_depth(kept, depth, clip=clip))
            if on_tile:
                on_tile()
            if tile.column < len(columns) - 1:
                continue
            if tile.row == len(rows) - 1 and likeness is not None:  # nobody asks for more after the last rows
                likeness.end()
            y, sr = strip.finish_row(tile.row)
            y -= sr_top
            sr = sr[max(start - y, 0) : max(sr_height - y, 0), sr_left : sr_left + sr_width]
            if len(sr):
                yield in_depth(sr, depth, clip=clip).copy() if blended else sr

    @functools.cached_property
    def frames(self) -> "WholeFrames":
        """Pictures that are on a device already, through the net there."""
        from upscale_cli.inference.whole_frames import WholeFrames

        return WholeFrames(
            self._nets, self._layout, self._fallback, self._report_tiling, self.conditions, self._cost.macs, self._spare
        )

    def window_bytes(self, height: int, width: int) -> int:
        """What a window of so many LR pixels is reckoned to take of a device's memory."""
        return self._layout.window_bytes(height, width)

    def tile_count(self, height: int, width: int) -> int:
        """How many tiles an LR picture of that size takes."""
        rows, columns = self._layout.grid(height, width)
        return len(rows) * len(columns)

    def expected_seconds(self, height: int, width: int) -> float:
        """How long an LR picture of that size is likely to take: by the pace of a small window, run twice.

        0 where it is too little to be worth trying.
        """
        rows, columns = self._layout.grid(height, width)
        window = (rows[0].window_stop - rows[0].window_start) * (columns[0].window_stop - columns[0].window_start)
        pixels = len(rows) * len(columns) * window * (8 if self._tta else 1)
        if pixels * self._cost.macs < WORTH_TIMING:
            return 0.0
        multiple_of = self._geometry.multiple_of
        side = math.ceil(max(PACE_SIDE, self.descriptor.least_side) / multiple_of) * multiple_of
        if self.descriptor.fixed_sides:
            side = min(self.descriptor.fixed_sides)
        return self._runners[0].pace(self.precision, side) * pixels / side**2

    def share(self, threads: int) -> None:
        """So many threads will use it at a time; on a CPU, each on its share of the cores and of the memory."""
        if self.device.type != "cpu":
            return
        for net in self._runners:
            net.share(threads)
        self._layout.in_flight = self._runners[0].requests if self._runners[0].begins_at_once else 1
        if self.concurrency != self._parts:  # of the memory, each has its part
            self._parts = self.concurrency
            self._layout.share(self._parts)

    @property
    def concurrency(self) -> int:
        """How many windows, or frames, a device works on at a time."""
        return self._runners[0].concurrency

    @property
    def _ahead(self) -> int:
        """How many tiles are sent off while one is blended."""
        return self._scheduler.concurrency - 1 if self._runners[0].begins_at_once else 0

    def limit_memory(self, memory: int | None) -> None:
        """From the next picture on, another bound; see `memory`."""
        self._layout.limit_memory(memory)

    def conditions_for(self, height: int, width: int, source_height: int, source_width: int) -> Conditions:
        """The net's conditions for a picture of that size, which earlier passes have made of the source."""
        if (height, width) == (source_height, source_width):
            return self.conditions
        return conditions.enlarged(self.descriptor, {**self.conditions, **self._later}, height, width)

    # Through the devices

    def _report_tiling(self, tiles: int) -> None:
        """A net that looks at the whole picture gives something else for its tiles: that is reported, once."""
        if tiles > 1 and not self._is_tiling_reported:
            self._is_tiling_reported = True
            why = f"{option('tile')} is given" if self._layout.is_asked_for else "it does not fit into memory at once"
            self._say(
                f"{self.descriptor.name} looks at the whole picture, but {why}: "
                f"computed in tiles, the result differs a little from that of the whole."
            )

    def _together(self, window: Window) -> int:
        """How many windows like this one go as one batch."""
        return 1 if isinstance(self._runners[0], HostNet) else self._layout.batch_size(*window.lr.shape[:2])

    def _stream(
        self, tiles: Iterable[Tile], transfer: Transfer, given: Conditions, depth: "np.dtype[Any]", *, is_only: bool
    ) -> Iterator[tuple[Tile, Any]]:
        """Tiles in, (tile, kept SR pixels on the host) out, in order.

        Where they begin at once some tiles are ahead: while they are computed, the one before is blended.
        """
        in_progress: deque[tuple[Tile, TileFuture]] = deque()
        alone = is_only and self._runners[0].begins_at_once  # else other callers are at work, too
        try:
            for tile in tiles:
                its = conditions.cut(self.descriptor, given, tile.rows, tile.columns)
                window = Window(tile.window, tile.rows, tile.columns, transfer, self.precision, its, depth, alone)
                in_progress.append((tile, self._scheduler.submit(window)))
                if len(in_progress) > self._ahead:
                    yield self._collect(*in_progress.popleft())
            while in_progress:
                yield self._collect(*in_progress.popleft())
        finally:
            for _, future in in_progress:
                self._scheduler.forget(future)

    def _collect(self, tile: Tile, future: TileFuture) -> tuple[Tile, Any]:
        kept, health = self._scheduler.collect(future)
        window = future.request
        sound = self._fallback.checked(
            kept,
            health,
            lambda: bool(window.lr.min() != window.lr.max()),
            lambda: self._scheduler.collect(self._scheduler.submit(replace(window, precision="fp32"))),
            precision=window.precision,
            what="tile",
        )
        return tile, sound
