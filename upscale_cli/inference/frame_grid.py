"""Into which windows a clip's frames are cut, so that those that repeat need not be computed again. Pure.

A window of another shape may be computed by other instructions and end in other last bits. Where it does
(`same_bits.py` finds out), a frame is always cut the same way, whether anything repeats or not, and each window is
computed alone; elsewhere `frame_cells.py` says what is computed. Above and below lie bands of their own,
narrower than the bars of a film in a picture of another shape::

    |------------------------|  edge
    |       |        |       |
    |-------|--------|-------|  middle: windows of one size, which share their halos
    |       |        |       |
    |------------------------|  edge (in columns too)
"""

import functools
import math
from dataclasses import replace
from typing import Final

from upscale_cli.inference.tiling import MIN_TILE, Span, tile_spans
from upscale_cli.models.interface import Precision

SIDES: Final = (64, 96, 128, 160, 192, 256, 320, 384, 512, 640, 768, 1024, 1536, 2048)
"""LR pixels that a window is to keep of the middle, about; the smallest that costs no more than it may is taken."""

BAR: Final = 9
"""A window of the edge is this part of the height. Bars of 2.35:1 and 2.39:1 in 16:9 are 0.122 and 0.128 of it, and
their last rows are no more constant, once they were compressed."""

SPARE: Final[dict[tuple[str, Precision], float]] = {("torch", "bf16"): 0.1}
"""By engine and precision: what share more may be computed for the halos. Windows whose activations fit into a cache
win that back, where the processor waits for memory."""

LIGHT_SPARE: Final = 0.1
"""As `SPARE`, of light nets in fp32 by torch."""

LIGHT: Final = 500
"""Multiply-adds for each activation that is alive, below which a net in fp32 by torch waits for memory too."""

USUAL_SPARE: Final = 0.03
"""Of all others: little enough to be lost in decoding and encoding."""


def spare_of(engine: str, precision: Precision, intensity: float) -> float:
    """Which share more may be computed for windows that can be reused.

    Args:
        intensity: multiply-adds for each activation that is alive at the worst moment.
    """
    if engine == "torch" and precision == "fp32" and intensity < LIGHT:
        return LIGHT_SPARE
    return SPARE.get((engine, precision), USUAL_SPARE)


@functools.lru_cache(maxsize=64)
def frame_spans(
    height: int, width: int, halo: int, multiple_of: int, spare: float
) -> tuple[list[Span], list[Span]] | None:
    """The windows of a frame, along y and along x, not to be changed; None where they would cost too much.

    Args:
        height, width: LR pixels, divisible by `multiple_of`.
        halo: LR pixels read on each side; rounded up to `multiple_of`.
        spare: how much more may be computed than for the frame as one window, as a share of it.
    """
    halo = math.ceil(halo / multiple_of) * multiple_of
    most = (1 + spare) * height * width
    for side in SIDES:
        rows, columns = _rows(height, side, halo, multiple_of), cut(width, side, halo, multiple_of)
        if len(rows) * len(columns) > 1 and _read(rows) * _read(columns) <= most:
            return rows, columns
    return None


def _read(spans: list[Span]) -> int:
    return sum(span.read for span in spans)


def _rows(height: int, side: int, halo: int, multiple_of: int) -> list[Span]:
    """Two edges, and the middle between them; where the edges would be too narrow, the middle is all."""
    edge = height // BAR // multiple_of * multiple_of - halo
    if edge < max(MIN_TILE, halo):
        return cut(height, side, halo, multiple_of)
    above = edge - halo  # the middle's windows begin here
    middle = [
        Span(
            above + span.window_start, above + span.window_stop,
            above + max(span.start, halo), above + min(span.stop, height - 2 * edge + halo),
        )
        for span in cut(height - 2 * above, side, halo, multiple_of)
    ]  # fmt: skip
    return [
        Span(0, edge + halo, 0, edge),
        *middle,
        Span(height - edge - halo, height, height - edge, height),
    ]


def cut(length: int, side: int, halo: int, multiple_of: int) -> list[Span]:
    """Windows of one length along an axis, that keep about `side` LR pixels each; every pixel is kept once."""
    count = max(1, round(length / side))
    window = math.ceil((length + (count - 1) * 2 * halo) / count / multiple_of) * multiple_of
    spans = tile_spans(length, max(window - 2 * halo, 1), 0, halo, multiple_of)
    # Neighbours meet where the one before ends: none is kept twice.
    return [
        replace(span, start=max(span.start, before.stop)) if before is not None else span
        for before, span in zip([None, *spans], spans, strict=False)
    ]
