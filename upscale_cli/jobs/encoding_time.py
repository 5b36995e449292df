"""How long a large picture takes to encode here: by the pace of a small one of its kind."""

import io
import time
from dataclasses import replace
from typing import Final

import numpy as np

from upscale_cli.errors import OutputError
from upscale_cli.frames.image import Frame, Pixels
from upscale_cli.frames.pixels import white_of
from upscale_cli.jobs.long_runs import DTYPES, WORTH_TIMING_PIXELS
from upscale_cli.media.image.formats import Format
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.reader_writer import ImageWriter

SIDE: Final = 512
"""Pixels of the picture that is timed: tenths of a second in the slowest format, too many for its start to count."""

NOISE: Final = 2.0
"""Its standard deviation, of 255: what an upscaled photo has; an encoder is much faster on a plain slope."""


def encoding_seconds(format: Format, info: PhotoInfo, pixels: int, quality: int | None = None) -> float:
    """How long a frame is likely to take to encode; 0 where that is too little to be worth trying.

    Args:
        info: of the source, whose layout and depth the result has.
        pixels: of the result.
        quality: as of an `ImageWriter`.
    """
    if pixels < WORTH_TIMING_PIXELS:
        return 0.0
    side = min(SIDE, format.max_side)
    small = replace(
        info, width=side, height=side, frames=1, animated=False, metadata=Metadata(), pages=(), page_sizes=()
    )
    frame = Frame(_sample(side, info), info.layout, extra=info.extra)
    begin = time.perf_counter()
    try:
        with ImageWriter(io.BytesIO(), format=format.name, info=small, quality=quality) as writer:
            writer.write(frame)
    except OutputError:  # which encoding the picture itself will raise, too
        return 0.0
    return (time.perf_counter() - begin) * pixels / side**2


def _sample(side: int, info: PhotoInfo) -> Pixels:
    """(side, side, channels) of `info.bits`: noise on a slope."""
    noise = np.random.default_rng(0).normal(0, NOISE / 255, (side, side, info.channels))
    levels = (np.linspace(0.1, 0.9, side)[:, None] + noise).clip(0, 1)
    white = white_of(np.empty(0, DTYPES[info.bits]))
    return (levels * white).astype(DTYPES[info.bits])
