"""A look at a picture file, before it is upscaled: how it was compressed, how noisy it is, and what it shows.

    header, tables  ->  some windows of the luma  ->  measures  ->  Appearance

The work is bounded: a picture of up to `WHOLE_PIXELS` is decoded, of a larger one `SOME_PIXELS` of its rows; a larger
JPEG is decoded at a half, a quarter or an eighth of its size. What has no rows to read alone is judged by its header.
"""

import io
import math
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import UpscaleError
from upscale_cli.frames.appearance import Appearance
from upscale_cli.frames.image import Layout, Pixels
from upscale_cli.frames.pixels import white_of
from upscale_cli.frames.rows import RowReader
from upscale_cli.media.image.formats import FORMATS, MAX_PIXELS
from upscale_cli.media.image.jpeg_quality import quality_by_traces, quality_of_tables
from upscale_cli.media.image.measures import (
    Windows,
    fineness_of,
    kind_of,
    noise_and_texture_of,
    overshoot_of,
    steps_of,
)
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.media.image.reader_writer import ImageReader
from upscale_cli.media.image.source import calm_pillow

WHOLE_PIXELS: Final = 2 * 2**20
"""Most pixels of a picture that is decoded whole for a look."""

SOME_PIXELS: Final = 3 * 2**18
"""Pixels of the rows that are decoded of a larger one."""

WINDOW: Final = 128
"""Side of a window: a multiple of 8, so that windows begin where blocks of a JPEG do."""

WINDOWS_A_SIDE: Final = 4
"""Windows across, and down: 16, of a quarter of a million pixels."""

_LEAST_SIDE: Final = 24
"""Pixels of a side, below which nothing is measured."""

_WEIGHTS: Final = np.array([0.299, 0.587, 0.114], np.float32)
_FORMER: Final = 8
"""By how much coarser traces of a former compression are than the file's own tables."""

_HIDING: Final = 60
"""Quality below which a file's own compression has wiped out what was there before."""


def look_at(
    source: Path | bytes, *, max_pixels: int = MAX_PIXELS, salvage: bool = False, bands: tuple[int, ...] = ()
) -> Appearance:
    """What a picture file looks like; of one that cannot be read, nothing: whoever upscales it will say why.

    Of an animation, or of pages, the first frame counts.

    Args:
        source: a path, or the file's bytes.
        max_pixels, salvage, bands: as of an `ImageReader`.
    """
    try:
        with ImageReader(source, max_pixels=max_pixels, salvage=salvage, bands=bands) as reader:
            return replace(_appearance(source, reader), width=reader.info.width, height=reader.info.height)
    except UpscaleError:
        return Appearance()


def _appearance(source: Path | bytes, reader: ImageReader) -> Appearance:
    info = reader.info
    if _is_data(info):
        return Appearance(info.format, is_data=True)
    own, windows, is_reduced = None, None, False
    if info.format == "JPEG":
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            start = max(file.read(1024).find(b"\xff\xd8\xff"), 0)
            own = quality_of_tables(file, start)
            if info.width * info.height > WHOLE_PIXELS:
                windows, is_reduced = _reduced(file, start), True
    if not is_reduced:
        windows = _windows_of(reader)
    is_lossy = info.format in ("WebP", "AVIF", "HEIC", "JPEG XL", "JPEG 2000") and not info.lossless
    if windows is None or not len(windows):
        return Appearance(info.format, jpeg_quality=own, is_lossy=is_lossy)
    traces = None
    if not is_reduced and (own is None or own >= _HIDING):
        traces = quality_by_traces(windows)
    by_pixels = traces is not None and (own is None or traces <= own - _FORMER)
    quality = traces if by_pixels else own
    noise, texture = noise_and_texture_of(windows)
    noise = 0.0 if is_reduced else noise
    is_top = info.format == "PNG" and info.width * info.height > WHOLE_PIXELS  # where there may be nothing but sky
    seen = Appearance(info.format, None, quality, by_pixels, is_lossy, round(noise, 1))
    if not (is_reduced or is_top):
        seen = replace(seen, fineness=round(fineness_of(windows), 2), edges=steps_of(windows, noise))
    clear = windows[:, ::2, ::2] if seen.is_blurred else windows  # at half its size it is sharp, and shows what it is
    kind = kind_of(clear, noise, texture, quality)
    overshoot = None if is_reduced or kind == "photograph" else overshoot_of(windows)
    return replace(seen, kind=kind, overshoot=overshoot)


def _is_data(info: PhotoInfo) -> bool:
    """Whether the values are measurements, which nobody wants embellished."""
    tiff = info.metadata.tiff
    measured = tiff is not None and (
        tiff.geo is not None or tiff.nodata is not None or tiff.description is not None or bool(tiff.imagej)
    )
    return info.bits == 32 or bool(info.extra) or info.format == "DICOM" or measured or FORMATS[info.format].light


def _windows_of(reader: ImageReader) -> Windows | None:
    """Windows from all over the picture, or of some of its rows; None where that would take too long."""
    info, rows = reader.info, reader.row_reader
    is_small = info.width * info.height <= WHOLE_PIXELS
    if rows is not None:
        pixels = rows.rows().read(0, rows.height) if is_small else _some_rows(rows, info.format)
        return luma_of(windows_of(pixels), rows.layout)
    if not is_small:
        return None
    frame = next(iter(reader))
    return luma_of(windows_of(frame.pixels), frame.layout)


def _some_rows(reader: RowReader, format: str) -> Pixels:
    """Rows of a large picture: from the middle, where rows lie by themselves; else from the top."""
    count = min(reader.height, max(WINDOW, SOME_PIXELS // reader.width // 8 * 8))
    start = 0 if format == "PNG" else (reader.height - count) // 16 * 8
    return reader.rows().read(start, start + count)


def _reduced(file: BinaryIO, start: int) -> Windows | None:
    """Windows of a JPEG that is decoded at a fraction of its size, which takes a fraction of the time."""
    from PIL import Image

    file.seek(0)
    data = io.BytesIO(file.read()[start:]) if start else file
    with calm_pillow():
        try:
            with Image.open(data, formats=("JPEG", "MPO")) as image:
                part = math.sqrt(image.width * image.height / WHOLE_PIXELS * 2)
                image.draft("L", (int(image.width / part), int(image.height / part)))
                if image.width * image.height > 2 * WHOLE_PIXELS:
                    return None  # larger than JPEG can be made, or none that can be made smaller
                return luma_of(windows_of(np.asarray(image.convert("L"))[..., None]), "L")
        except (OSError, ValueError, SyntaxError):
            return None


def windows_of(pixels: Pixels) -> Pixels:
    """(n, height, width, channels): windows all over a picture (height, width, channels); they begin at multiples of 8.

    One of a picture that is smaller than a window; none of one that has not `_LEAST_SIDE` pixels a side.
    """
    sides = [min(WINDOW, length // 8 * 8) for length in pixels.shape[:2]]
    if min(pixels.shape[:2]) < _LEAST_SIDE:
        return np.empty((0, *sides, pixels.shape[2]), pixels.dtype)
    down, across = (
        np.unique(np.linspace(0, length - side, min(WINDOWS_A_SIDE, -(-length // side))).astype(int) // 8 * 8)
        for length, side in zip(pixels.shape[:2], sides, strict=True)
    )
    return np.stack([pixels[y : y + sides[0], x : x + sides[1]] for y in down for x in across])


def luma_of(pixels: Pixels, layout: Layout) -> NDArray[np.float32]:
    """(...) luma in levels of 8 bits, of uint8 or uint16 pixels (..., channels)."""
    level = np.float32(255 / white_of(pixels))
    if layout in ("RGB", "RGBA"):
        return np.asarray(pixels[..., :3].astype(np.float32) @ _WEIGHTS * level)
    if layout == "CMYK":
        paper = 1 - pixels.astype(np.float32) / np.float32(white_of(pixels))  # that each ink leaves bare
        return np.asarray((paper[..., :3] @ _WEIGHTS) * paper[..., 3] * np.float32(255))
    return np.asarray(pixels[..., 0].astype(np.float32) * level)
