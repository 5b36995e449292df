"""JPEG decoded band by band, by libvips, where the extra `vips` is installed: Pillow decodes a JPEG as a whole only."""

import importlib.util
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from upscale_cli.frames.image import Layout, Pixels, Transfer, channels_of
from upscale_cli.frames.rows import BAND_BYTES, RowReader
from upscale_cli.media.image.codecs.jpeg_damage import refuse_damage, warning_of
from upscale_cli.media.image.source import Source, decoding

_HELD: Final = 64 * 2**20
"""Bytes that libvips takes for its caches."""


def jpeg_row_reader(source: Source, height: int, width: int, layout: Layout, transfer: Transfer) -> RowReader | None:
    """A JPEG as libvips reads it; None without libvips, for layouts that it would convert, and for what is no file.

    Both libraries decode by libjpeg-turbo; the pixels are the same.
    """
    path = getattr(source.file, "name", None)
    if layout not in ("L", "RGB") or not path or source.salvage or importlib.util.find_spec("pyvips") is None:
        return None
    looked_at: list[bool] = []

    def begin(start: int) -> Iterator[Pixels]:
        if not looked_at:  # once: a picture is read several times
            refuse_damage(source, warning_of(source.file))
            looked_at.append(True)
        return _bands(source, str(path), width, layout, start)

    return RowReader(height, width, layout, np.dtype(np.uint8), transfer, begin, held=_HELD)


def _bands(source: Source, path: str, width: int, layout: Layout, start: int) -> Iterator[Pixels]:
    import pyvips

    channels = channels_of(layout)
    step = max(1, BAND_BYTES // (width * channels))
    with decoding(source):
        opened = pyvips.Source.new_from_file(path)  # Image.new_from_file would look for options in the name
        image: Any = pyvips.Image.new_from_source(opened, "", access="sequential", fail_on="truncated")
        # A region is decoded by this thread, line by line. With `write_to_memory` several threads ask for pieces of a
        # band, on a busy machine out of order, which the JPEG reader refuses (libvips 8.18.7: "out of order read").
        region: Any = pyvips.Region.new(image)
    for top in range(start, image.height, step):
        with decoding(source):
            band = region.fetch(0, top, width, min(step, image.height - top))
            pixels = np.frombuffer(band, np.uint8).reshape(-1, width, channels)
        yield pixels
