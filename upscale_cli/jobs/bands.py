"""A picture whose SR does not fit into memory: band by band through the upscaler, to the file as it becomes final.

    ImageReader.row_reader  ->  Upscaler.rows  ->  ImageWriter.write_rows
    (media/)              (upscaler)         (media/)

The writer asks for rows, the upscaler for the LR rows that it needs for them; docs/gigapixel.md says why the result is
that of the picture as a whole. Where LR cannot be decoded in bands, it is held: it is the smaller of the two.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

from upscale_cli.events import Say
from upscale_cli.frames.image import Frame, Layout, Pixels, Transfer
from upscale_cli.frames.rows import RowReader, Rows
from upscale_cli.inference.device import CPU_BUDGET, free_host_memory
from upscale_cli.inference.planes import OPAQUE, planes_of
from upscale_cli.inference.sizing import Plan
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.value_range import told
from upscale_cli.media.image.codecs.tiff_writer import TILE
from upscale_cli.media.image.formats import Format
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.media.image.reader_writer import ImageReader

LEAST_BUDGET: Final = 16 * 2**20
"""Bytes for a row of tiles below which a picture cannot well be upscaled."""

DECODING: Final = 2.5
"""Times its own size that a whole LR picture takes while it is decoded (Pillow's RGB has four bytes a pixel)."""

WORKING: Final = 96 * 2**20
"""Bytes for the bands between the stages, and for what the encoder holds."""

SHARE: Final = 0.8
"""Part of the memory left that is planned with; the allocator's gaps take some."""


@dataclass(frozen=True, slots=True)
class Bands:
    """How a picture goes through in bands.

    Attributes:
        needed: bytes of host memory that it takes at least.
        budget: bytes that a row of tiles may take, and on a CPU a window too; 0: there are too few.
        reads_rows: whether LR is decoded in bands too.
    """

    needed: int
    budget: int
    reads_rows: bool


def room(max_memory: int | None) -> int:
    """Bytes of host memory that a run may still take: what the user allows, less what the process has; or what is free.

    It may be negative.
    """
    if max_memory is None:
        return free_host_memory()
    return max_memory - int(psutil.Process().memory_info().rss)


def plan_bands(
    info: PhotoInfo,
    row_reader: RowReader | None,
    plan: Plan,
    format: Format,
    room: int,
    source_bytes: int,
    *,
    wrap: bool,
) -> Bands | None:
    """How the first frame of a source goes through in bands; None where it cannot.

    Args:
        row_reader: of the reader.
        source_bytes: of the file.
        wrap: a picture that continues on its opposite side is held, and so is what lies between its passes.
    """
    steps = len(plan.passes) + (not plan.passes or not plan.is_made(info.width, info.height))
    if not format.bands or (wrap and steps > 1):
        return None
    channels, depth = info.channels, info.bits // 8
    lr = info.width * info.height * channels * depth
    reads_rows = row_reader is not None and not wrap
    holding = row_reader.held if row_reader is not None and reads_rows else int(DECODING * lr) + source_bytes
    if info.layout in OPAQUE:
        holding += 40 * info.width * info.height
    writing = 3 * TILE * plan.width * channels * depth if format.name == "TIFF" else 0
    fixed = holding + writing + WORKING
    shares = 1 + len(plan.passes) * len(planes_of(info.layout, info.extra))
    budget = int((room - fixed) * SHARE) // shares
    needed = fixed + int(shares * LEAST_BUDGET / SHARE)
    return Bands(needed, min(budget, CPU_BUDGET) if budget >= LEAST_BUDGET else 0, reads_rows)


@dataclass(frozen=True, slots=True)
class Large:
    """The SR picture of the first frame of a source, to be computed as its rows are read.

    Attributes:
        rows, layout, transfer, extra: of the picture.
    """

    rows: Rows
    layout: Layout
    transfer: Transfer
    extra: int = 0


@contextmanager
def upscaled_in_bands(
    reader: ImageReader,
    upscaler: Upscaler,
    plan: Plan,
    bands: Bands,
    begin: Callable[[Frame | RowReader, int], Callable[[], None]],
    say: Say,
) -> Iterator[Large]:
    """Opens the SR picture of the first frame of `reader`; while it is open, the upscaler keeps to the budget.

    Args:
        begin: called with the LR picture, and with the number of bands that are written; gives what to call after each
            tile, or, where no net runs, after each band.
        say: takes what the user should know.
    """
    upscaler.limit_memory(bands.budget)
    try:
        lr = reader.row_reader if bands.reads_rows and reader.row_reader is not None else next(iter(reader))
        count = -(-plan.height // TILE)
        report = begin(lr, count)
        used = upscaler.value_range(lr, plan)
        if used.is_own:
            say(told(used))
        rows = upscaler.rows(lr, plan, report, used)
        if not upscaler.tile_count(lr, plan):
            rows = _Reported(rows, report, count)
        yield Large(rows, upscaler.layout(lr), lr.transfer, lr.extra)
    finally:
        upscaler.limit_memory(None)


class _Reported(Rows):
    """Reports every band of `TILE` rows that has been read."""

    def __init__(self, rows: Rows, report: Callable[[], None], count: int) -> None:
        super().__init__(rows.height, rows.width, rows.channels, rows.dtype)
        self._rows, self._report, self._left = rows, report, count

    def read(self, start: int, stop: int) -> Pixels:
        band = self._rows.read(start, stop)
        self._left = min(self._left, -(-(self.height - start) // TILE))  # what a former run has done is not reported
        while self._left > -(-(self.height - stop) // TILE):
            self._left -= 1
            self._report()
        return band
