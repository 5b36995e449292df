"""Where the tiles of a pass lie in a picture of a given size, and how large they may be.

net, scale, tile, overlap, wrap  ->  geometry  ->  margins, spans of both axes
memory that is free              ->  limits    ->  size of the windows
"""

import functools
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

from upscale_cli.errors import DeviceError, OptionError
from upscale_cli.frames.rows import Padded, Rows
from upscale_cli.inference import conditions
from upscale_cli.inference.conditions import Conditions
from upscale_cli.inference.device import CPU, ELEMENT_BYTES, Device, tile_budget, whole_budget
from upscale_cli.inference.frame_cells import FrameCells, frame_cells
from upscale_cli.inference.frame_grid import frame_spans
from upscale_cli.inference.options import check_tile
from upscale_cli.inference.profile import Profile
from upscale_cli.inference.tiling import ALIGNMENT, MIN_TILE, Geometry, Limits, Span, automatic_tiles, tile_spans
from upscale_cli.messages import option
from upscale_cli.models.interface import Descriptor, Precision, Scale

MAX_WINDOW: Final = 1024
"""LR pixels of a window's side that is never exceeded by itself: larger ones make no device faster."""

WINDOW_PER_HALO: Final = 32
"""How many halos a window is wide where memory allows: what is computed in vain is then about an eighth. A picture that
MAX_WINDOW has room for is no more than one all the same: 960 x 540 pixels took espcn 1.11 times as long as the bare net
in four windows, in one as long."""

IN_CACHE: Final = 56 * 2**20
"""Bytes of activations, in half precision by an engine on a CPU, above which a window waits for memory: realesr-general
took 1.0 us a pixel in windows of 384 x 384, 1.6 in one of 1000 x 534."""

WORTH_CACHING: Final = 0.65
"""Which part of a window must be kept at least; what is computed in vain would take as long as the waiting."""

BATCH_PIXELS: Final = 512**2
"""LR pixels that go through a net together at most, where several small pictures wait."""

BLENDED_BYTES: Final = 3 * (4 + 2)
JOINED_BYTES: Final = 3 * 2
"""Of an SR pixel in a row of tiles, until it is final: as float and then in its depth, or in its depth at once."""

CHROMA_REACH: Final = 2
"""LR pixels on each side that bicubic interpolation looks at, by which the colours of a luma net are enlarged."""

WORTH_DIVIDING: Final = 256**2
"""LR pixels of a picture above which it is divided among the windows that are computed at a time."""

WORTH_READING_TWICE: Final = 0.05
"""Which part of a picture's rows may be read more than once where it is divided. Two windows at a time on two cores
took, of the time of one with all threads, 0.94 to 0.96 by espcn (0.03 of 256 rows), 1.05 by photo-lite (0.11) and 1.25
by realesr-general (0.27): what they gain is a twentieth."""

DEFAULT_OVERLAP: Final = 16
"""LR pixels over which the tiles blend, for nets whose halo is less than their field."""

Margins = tuple[int, int, int, int]
"""LR pixels added to a picture: top, bottom, left, right."""


def geometry_of(net: Descriptor, scale: Scale, tile: int, overlap: int | None, halo: int | None = None) -> Geometry:
    """How a net's tiles lie. Where the scale is no whole number, they begin where it makes whole SR pixels.

    Args:
        tile: side in LR pixels of the square a tile keeps, as asked for; 0: by the memory.
        overlap: LR pixels over which tiles blend, as asked for; None: 0 where the halo is exact, else 16 (half of a
            small `tile`).
        halo: LR pixels around a tile, as asked for; None: the net's own.
    """
    halo = net.halo if halo is None else halo
    is_exact = net.exact and not net.sees_whole and halo >= net.halo
    usual = 0 if is_exact else min(DEFAULT_OVERLAP, tile // 2 if tile else DEFAULT_OVERLAP)
    parts = scale.denominator
    shared = math.ceil((usual if overlap is None else overlap) / parts) * parts
    multiple_of = math.lcm(net.multiple_of, parts)
    halo = math.ceil(max(halo, CHROMA_REACH) / multiple_of) * multiple_of
    return Geometry(scale, halo, multiple_of, shared)


class TileLayout:
    """The tiles of a net's pass.

    Args:
        geometry: see `geometry_of`.
        tile: side in LR pixels of the square a tile keeps; 0 chooses by the free memory.
        wrap: the picture continues on its opposite side.
        devices: that the tiles go to; all tiles have the size that the smallest memory allows.
        cost: of the net.
        precision: they are held in.
        memory: bytes of host memory that a row of tiles may take, and on a CPU a window too; None: by what is free.
        tta: windows are turned, too.
        beside: bytes that each LR pixel of a window takes beside what the net does; see `window_memory`.
        in_cache: windows are no larger than what a processor's cache holds, where that takes less time.

    Raises:
        OptionError: the overlap leaves no room in the tile, or in the only window that the net takes.
    """

    def __init__(
        self,
        net: Descriptor,
        geometry: Geometry,
        *,
        tile: int,
        wrap: bool,
        devices: Sequence[Device],
        cost: Profile,
        precision: Precision,
        memory: int | None,
        tta: bool = False,
        beside: float = 0.0,
        in_cache: bool = False,
    ) -> None:
        if tile:
            check_tile(tile, geometry.overlap)
        self._only_window = _only_window(net, geometry, tta=tta)
        self._net, self.geometry, self._tile, self.wrap = net, geometry, tile, wrap
        self._devices, self._cost, self._precision = devices, cost, precision
        self._memory, self._sharing, self._in_cache = memory, 1, in_cache
        self.in_flight, self._beside = 1, beside
        # Turned, a picture would begin in the middle of an SR pixel.
        self._side_multiple = geometry.multiple_of if tta else net.side_multiple(geometry.scale)

    @property
    def is_asked_for(self) -> bool:
        """Whether the tiles have a size that the user gave."""
        return self._tile > 0

    @property
    def scale(self) -> Scale:
        """SR pixels per LR pixel."""
        return self.geometry.scale

    def margins(self, height: int, width: int) -> Margins:
        """LR pixels to add: for sides that the net can take, and around what wraps."""
        multiple_of = self.geometry.multiple_of
        around = math.ceil(self.geometry.halo / multiple_of) * multiple_of if self.wrap else 0

        def after(length: int) -> int:
            least = max(length, self._net.least_side - 2 * around)
            return around + math.ceil(least / self._side_multiple) * self._side_multiple - length

        return around, after(height), around, after(width)

    def padded(self, lr: Rows) -> Rows:
        """The picture with its margins."""
        margins = self.margins(lr.height, lr.width)
        return Padded(lr, *margins, self._padding(lr.height, lr.width)) if any(margins) else lr

    def padded_conditions(self, given: Conditions, height: int, width: int) -> Conditions:
        """Conditions whose maps have the margins of a picture of that size.

        Raises:
            OptionError: a map is not as large as the picture.
        """
        if not any(spec.tiled for spec in self._net.inputs):
            return given
        given = conditions.spread(self._net, given, height, width)
        conditions.check_maps(self._net, given, height, width)
        return conditions.padded(self._net, given, self.margins(height, width), self._padding(height, width))

    def _padding(self, height: int, width: int) -> Literal["wrap", "reflect", "edge"]:
        top, bottom, left, right = self.margins(height, width)
        reflects = max(top, bottom) < height and max(left, right) < width
        return "wrap" if self.wrap else "reflect" if reflects else "edge"

    def grid(self, height: int, width: int, limits: Limits | None = None) -> tuple[list[Span], list[Span]]:
        """The tiles of an LR picture of that size, margins included: along y, along x.

        Args:
            limits: None: the usual ones.
        """
        top, bottom, left, right = self.margins(height, width)
        height, width = height + top + bottom, width + left + right
        shape = self.geometry
        if self._only_window:
            margin = 2 * math.ceil(shape.halo / shape.multiple_of) * shape.multiple_of
            tiles = tuple(min(self._tile or side, side - margin) for side in self._only_window)
        elif self._tile:
            tiles = (self._tile, self._tile)
        else:
            usual = limits or self._limits_for(height, width)
            tiles = automatic_tiles(height, width, shape.overlap, shape.halo, shape.multiple_of, usual)
        rows, columns = (
            tile_spans(length, tile, shape.overlap, shape.halo, shape.multiple_of)
            for length, tile in zip((height, width), tiles, strict=True)
        )
        if len(rows) * len(columns) > 1 and any(spec.kind == "reference" for spec in self._net.inputs):
            raise DeviceError(
                f"{self._net.name} takes a picture and its reference as a whole, and {width} x {height} pixels are "
                f"more than memory has room for. Give a smaller picture, or choose another {option('model')}."
            )
        return rows, columns

    def _limits_for(self, height: int, width: int) -> Limits:
        """The usual limits; or those by which a small picture is one window, or as many as are computed at a time.

        The latter only where tiles are what the whole is, and read little of it twice.
        """
        usual, pixels, read_twice = self._limits, height * width, 2 * self.geometry.halo * (self.in_flight - 1)
        if max(height, width) > MAX_WINDOW or pixels > min(self.affordable.pixels, self._cached_pixels):
            return usual
        usual = replace(usual, side=max(usual.side, MAX_WINDOW), pixels=max(usual.pixels, pixels))
        is_divided = self.in_flight > 1 and self._net.exact and read_twice <= WORTH_READING_TWICE * height
        if not is_divided or pixels < WORTH_DIVIDING:
            return usual
        rows = math.ceil(height / self.in_flight) + 2 * self.geometry.halo + ALIGNMENT
        return replace(usual, pixels=min(usual.pixels, rows * width))

    def frame_grid(self, height: int, width: int, spare: float) -> tuple[list[Span], list[Span]]:
        """As `grid`, of a frame on its device: the same windows for all frames of that size, as large as memory allows.

        Args:
            spare: what share more may be computed, so that windows are smaller and more of them can be reused; 0: none.
        """
        sides = self._divisible_frame(height, width) if spare else None
        if sides is not None:
            fine = frame_spans(*sides, self.geometry.halo, self.geometry.multiple_of, spare)
            if fine is not None:
                return fine
        return self.grid(height, width, self.affordable)

    def frame_cells(self, height: int, width: int) -> FrameCells | None:
        """The cells of a frame that is one window, margins included; None where windows are not what the whole is."""
        scale, net = self.geometry.scale, self._net
        is_free = scale == int(scale) and not net.fixed_sides and not net.inputs
        sides = self._divisible_frame(height, width) if is_free else None
        return None if sides is None else frame_cells(*sides, self.geometry.halo, self.geometry.multiple_of)

    def _divisible_frame(self, height: int, width: int) -> tuple[int, int] | None:
        """The sides of a frame with its margins, if memory has room for it as one window and smaller ones, each by
        itself, are what it is; else None."""
        net, shape = self._net, self.geometry
        is_exact = net.exact and shape.halo >= net.halo and not shape.overlap
        if self._tile or self._only_window or not is_exact:
            return None
        top, bottom, left, right = self.margins(height, width)
        sides = height + top + bottom, width + left + right
        rows, columns = self.grid(height, width, self.affordable)
        divides = not any(side % shape.multiple_of for side in sides)
        return sides if divides and len(rows) * len(columns) == 1 else None

    @functools.cached_property
    def _limits(self) -> Limits:
        """How large windows may be: by the memory that is free at first, and by what is of any use."""
        per_pixel = math.ceil(self.geometry.scale**2) * (BLENDED_BYTES if self.geometry.overlap else JOINED_BYTES)
        row = self._host_budget() // per_pixel
        if self._net.sees_whole:  # one window, if memory has room for it
            return replace(self.affordable, row=row)
        side = min(MAX_WINDOW, max(MAX_WINDOW // 2, WINDOW_PER_HALO * self.geometry.halo))
        return Limits(side, min(side**2, self.affordable.pixels, self._cached_pixels), row)

    @property
    def _cached_pixels(self) -> int:
        """LR pixels of a window that a cache holds; without bound where smaller windows would not be faster."""
        pixels = max(1, int(IN_CACHE / ELEMENT_BYTES[self._precision] / max(self._cost.elements, 1.0)))
        kept = max(0.0, 1 - 2 * self.geometry.halo / math.sqrt(pixels)) ** 2
        return pixels if self._in_cache and kept >= WORTH_CACHING else sys.maxsize

    @functools.cached_property
    def affordable(self) -> Limits:
        """How large windows may be by the memory that is free at first, alone."""
        fixed = self._cost.fixed * ELEMENT_BYTES[self._precision]
        on_host = self._devices[0].type == "cpu"
        budget = self._host_budget() if on_host else min(tile_budget(device) for device in self._devices)
        pixels = max(1, int((budget - fixed) / self._per_pixel))
        return Limits(side=pixels, pixels=pixels)

    def window_bytes(self, height: int, width: int) -> int:
        """What a window of so many LR pixels is reckoned to take."""
        return int(self._per_pixel * height * width + self._cost.fixed * ELEMENT_BYTES[self._precision])

    @property
    def _per_pixel(self) -> float:
        """Bytes of a window for each of its LR pixels."""
        return self._cost.elements * ELEMENT_BYTES[self._precision] + self._beside

    def _host_budget(self) -> int:
        """Of a net that looks at the whole picture more than is of use to others."""
        usual = whole_budget() if self._net.sees_whole else tile_budget(CPU)
        return (self._memory or usual) // self._sharing

    def share(self, threads: int) -> None:
        """So many threads will use it at a time, each with its share of the memory."""
        self._sharing = threads
        self.limit_memory(self._memory)

    def limit_memory(self, memory: int | None) -> None:
        """From the next picture on, another bound; see `memory`."""
        self._memory = memory
        for name in ("_limits", "affordable"):
            self.__dict__.pop(name, None)

    def batch_size(self, height: int, width: int) -> int:
        """How many windows of that size make a batch that is worth it, and that memory has room for."""
        return 1 if self._net.one_at_a_time else max(1, min(self.affordable.pixels, BATCH_PIXELS) // (height * width))


def _only_window(net: Descriptor, geometry: Geometry, *, tta: bool) -> tuple[int, int] | None:
    """(height, width) of windows for a net that takes one size only; turned, they have to fit as well."""
    if net.fixed_sides is None:
        return None
    least = min(net.fixed_sides)
    if least < 2 * geometry.halo + geometry.overlap + MIN_TILE:
        raise OptionError(
            f"{net.name} takes windows of {net.fixed_sides[1]} x {net.fixed_sides[0]} pixels only, which leaves no "
            f"room for {option('halo', geometry.halo)} and {option('overlap', geometry.overlap)}. Choose less."
        )
    return (least, least) if tta else net.fixed_sides
