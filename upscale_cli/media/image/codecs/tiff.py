"""TIFF: every page, at its full depth.

Raw samples come from tifffile and are made into a frame's here; Pillow (libtiff, which writes its complaints past us to
stderr) is asked only where tifffile cannot decode. The directories are read by `tiff_directory`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Transfer
from upscale_cli.frames.pixels import stretched, unpremultiplied, upright_pixels, white_of
from upscale_cli.frames.rows import BAND_BYTES, RowReader
from upscale_cli.media.image import icc
from upscale_cli.media.image.codecs.netpbm import float_white
from upscale_cli.media.image.codecs.pillow_reader import pixels_of, plan
from upscale_cli.media.image.codecs.tiff_directory import (
    BASES,
    FLOAT,
    IS_LAB,
    IS_PALETTE,
    IS_RGB,
    JPEG,
    MIN_IS_BLACK,
    MIN_IS_WHITE,
    OLD_JPEG,
    SIGNED,
    UNSIGNED,
    Page,
    opened,
    pages_of,
)
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.source import Picture, Source, calm_pillow, decoding

_LOSSY = (OLD_JPEG, JPEG, 34892)

SMALL_SEGMENTS: Final = 64 * 2**20
"""Bytes of decoded strips or tiles, side by side, that are bands however small the picture is; else a quarter of it."""


def open_tiff(source: Source) -> Picture:
    """All pages of a TIFF or BigTIFF; thumbnails and masks among them are ignored.

    Raises:
        InputError: damaged, too large, camera RAW in a TIFF, or of a coding that nothing here decodes.
    """
    with decoding(source):
        pages = list(pages_of(source))
        if not pages:
            raise InputError(f"{source.name}: the TIFF holds no picture. The file is damaged.")
        whites = {page.index: _white(source, page) for page in pages}
    metadata = [_with_white(page.metadata, whites[page.index]) for page in pages]
    sizes = [_upright_size(page) for page in pages]
    info = PhotoInfo(
        name=source.name,
        format="TIFF",
        width=sizes[0][0],
        height=sizes[0][1],
        layout=pages[0].layout,
        bits=pages[0].depth,
        frames=len(pages),
        metadata=metadata[0],
        lossless=all(page.compression not in _LOSSY for page in pages),
        total_pixels=sum(width * height for width, height in sizes),
        pages=tuple(metadata),
        page_sizes=tuple(sizes),
    )
    row_reader = _row_reader(source, pages[0]) if len(pages) == 1 and _can_be_read_by_rows(pages[0]) else None
    return Picture(info, lambda: (_frame(source, page, whites[page.index]) for page in pages), row_reader)


def _can_be_read_by_rows(page: Page) -> bool:
    """Whether the pixels of a row can be known from its samples alone."""
    return (
        not page.needs_libtiff
        and page.layout in ("L", "RGB")
        and page.photometric in (MIN_IS_WHITE, MIN_IS_BLACK, IS_RGB)
        and page.kind == UNSIGNED
        and page.bits in (8, 16)
        and page.largest is None
        and page.orientation == 1
    )


def _row_reader(source: Source, page: Page) -> RowReader | None:
    """The page, to be decoded strip by strip or row of tiles by row of tiles; None where these are too large."""
    with decoding(source), _opened_page(source, page) as found:
        height, count, size = _segments(found)
    if count == 0 or size > max(SMALL_SEGMENTS, page.height * page.width * page.samples * page.bits // 8 // 4):
        return None
    linear = icc.is_linear(page.metadata.icc)
    return RowReader(
        page.height, page.width, page.layout, np.dtype(f"u{page.bits // 8}"), "linear" if linear else "display",
        lambda start: _bands(source, page, start, height, count), held=3 * max(size, BAND_BYTES),
    )  # fmt: skip


def _segments(found: Any) -> tuple[int, int, int]:
    """Of one row of segments: rows, how many segments, their bytes when decoded; no segments where planes are apart.

    Rows that lie uncompressed one after the other are cut as suits us: 0 rows to a segment.
    """
    row = found.imagewidth * found.samplesperpixel * found.bitspersample // 8
    if found.planarconfig != 1 and found.samplesperpixel > 1:
        return 0, 0, 0
    if found.is_tiled:
        return found.tilelength, -(-found.imagewidth // found.tilewidth), found.tilelength * row
    if found.compression == 1 and found.predictor == 1 and found.fillorder == 1 and found.is_contiguous:
        return 0, 1, 0
    return found.rowsperstrip, 1, min(found.rowsperstrip, found.imagelength) * row


def _bands(source: Source, page: Page, start: int, height: int, count: int) -> Iterator[NDArray[Any]]:
    """The pixels of the rows from `start` on; `height` and `count` are from `_segments`."""
    with _opened_page(source, page) as found:
        if height:
            first = start // height
            rows_of_segments = range(first, -(-page.height // height))
            raw: Iterator[NDArray[Any]] = (_row_of_segments(found, row, count) for row in rows_of_segments)
            skip = start - first * height
        else:
            raw, skip = _stored_rows(found, page, start), 0
        while True:
            with decoding(source):
                values = next(raw, None)
                pixels = None if values is None else _pixels(source, page, values, 1.0)[skip:]
            if pixels is None:
                return
            yield pixels
            skip = 0


def _stored_rows(found: Any, page: Page, start: int) -> Iterator[NDArray[Any]]:
    """Samples (h, W, S) that are stored as they are."""
    dtype = np.dtype(found.dtype).newbyteorder(found.parent.byteorder)
    row = page.width * page.samples * dtype.itemsize
    step = max(1, BAND_BYTES // row)
    file = found.parent.filehandle
    for top in range(start, page.height, step):
        rows = min(step, page.height - top)
        file.seek(found.dataoffsets[0] + top * row)
        data = file.read(rows * row)
        if len(data) < rows * row:
            raise InputError(f"the samples end at row {top + len(data) // row}")
        yield np.frombuffer(data, dtype).reshape(rows, page.width, page.samples).astype(dtype.newbyteorder("="))


def _row_of_segments(found: Any, row: int, count: int) -> NDArray[Any]:
    """Samples (h, W, S) of one strip, or of one row of tiles."""
    parts = []
    for index in range(row * count, (row + 1) * count):
        found.parent.filehandle.seek(found.dataoffsets[index])
        data = found.parent.filehandle.read(found.databytecounts[index])
        decoded, _, (_, height, width, _) = found.decode(
            data, index, jpegtables=found.jpegtables, jpegheader=found.jpegheader
        )
        if decoded is None:
            raise InputError(f"segment {index} of the picture is missing")
        parts.append(decoded[0, :height, :width])
    return np.concatenate(parts, axis=1)


def _upright_size(page: Page) -> tuple[int, int]:
    return (page.width, page.height) if page.orientation < 5 else (page.height, page.width)


def _with_white(metadata: Metadata, white: float) -> Metadata:
    return metadata if white == 1 else replace(metadata, white=white)


def _frame(source: Source, page: Page, white: float) -> Frame:
    with decoding(source):
        linear = page.layout != "CMYK" and icc.is_linear(page.metadata.icc)
        transfer: Transfer = "linear" if linear else "display"
        if page.needs_libtiff:
            return _decoded_by_pillow(source, page, transfer)
        return _decoded_by_tifffile(source, page, transfer, white)


def _decoded_by_pillow(source: Source, page: Page, transfer: Transfer) -> Frame:
    from PIL import Image

    with calm_pillow():
        source.file.seek(0)
        image = Image.open(source.file, formats=("TIFF",))
        image.seek(page.index)
        image.load()  # which turns a TIFF, and no other format, upright
        layout, dtype, convert = plan(image, animated=False)
        return Frame(pixels_of(image, len(layout), dtype, convert), layout, transfer)


@contextmanager
def _opened_page(source: Source, page: Page) -> Iterator[Any]:
    with opened(source) as file:
        yield file.pages[page.index]


def _samples(source: Source, page: Page) -> NDArray[Any]:
    """Raw samples of a page, (H, W, S)."""
    with _opened_page(source, page) as found:
        samples = found.asarray()
        if found.axes == "SYX":
            samples = np.moveaxis(samples, 0, -1)
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.shape[:2] != (page.height, page.width) or samples.ndim != 3:
        raise InputError(f"{source.name}: page {page.index + 1} has the shape {samples.shape}, which is no picture.")
    return cast("NDArray[Any]", samples)


def _white(source: Source, page: Page) -> float:
    """Which float value is white; needs the pixels, for no tag gives it reliably."""
    if page.kind != FLOAT:
        return 1.0
    white = float_white(_samples(source, page))
    if white != 1:
        source.say(f"{source.name}: float values go beyond 1, {white:,.0f} is taken as white")
    return white


def _decoded_by_tifffile(source: Source, page: Page, transfer: Transfer, white: float) -> Frame:
    pixels = _pixels(source, page, _samples(source, page), white)
    return Frame(upright_pixels(pixels, page.orientation), page.layout, transfer)


def _pixels(source: Source, page: Page, samples: NDArray[Any], white: float) -> NDArray[Any]:
    """Samples (H, W, S) as the pixels that they mean, not turned yet."""
    channels = BASES[page.photometric][1]
    values = samples[..., : channels + (page.layout in ("LA", "RGBA"))]
    if page.kind == FLOAT:
        pixels = values.astype(np.float32)
        if white != 1:
            pixels /= np.float32(white)
    elif page.photometric == IS_LAB:
        pixels = _lab(values)
    elif page.photometric == IS_PALETTE:
        pixels = _coloured(page, values)
    else:
        pixels = _full_range(source, page, values)
    if page.photometric == MIN_IS_WHITE:
        pixels[..., :1] = white_of(pixels) - pixels[..., :1]
    if page.alpha == "premultiplied" and page.layout in ("LA", "RGBA"):
        pixels = unpremultiplied(pixels)
    return pixels


def _coloured(page: Page, values: NDArray[Any]) -> NDArray[Any]:
    """Palette indices as colours of 8 bits; the palette has 16, of which some writers fill the lower 8 only."""
    palette = np.array(page.palette, np.uint16).reshape(3, -1).T
    shift = 8 if palette.max(initial=0) > 255 else 0
    return cast("NDArray[Any]", (palette >> shift).astype(np.uint8)[values[..., 0]])


def _lab(values: NDArray[Any]) -> NDArray[Any]:
    """TIFF counts a and b signed around 0, a frame around the middle; L alike."""
    middle = 2 ** (8 * values.dtype.itemsize - 1)
    pixels = values.view(np.dtype(f"u{values.dtype.itemsize}")).copy()
    pixels[..., 1:] ^= middle
    return pixels


def _full_range(source: Source, page: Page, values: NDArray[Any]) -> NDArray[Any]:
    """Integers of any width as uint8 or uint16 that use its full range, so that nothing gets darker.

    What stands for white: MaxSampleValue where it is given and true; else the largest value of the declared bits. Of
    signed samples without a negative one, the largest positive value. 32 bits that hold 16 are taken as 16.
    """
    largest = int(values.max(initial=0))
    if page.kind == SIGNED:
        half = 2 ** (8 * values.dtype.itemsize - 1)
        if int(values.min(initial=0)) < 0:
            source.say(f"{source.name}: signed samples, shifted to begin at 0")
            return stretched(values.astype(np.int64) + half, 2 * half - 1, page.bits)
        if page.bits <= 16 or largest > 65_535:
            return stretched(values, half - 1, page.bits)
    top = 2**page.bits - 1
    if page.largest is not None and largest <= page.largest < top:
        source.say(f"{source.name}: white is {page.largest:,} as the file declares, stretched to the full range")
        return stretched(values, page.largest, page.bits)
    if page.bits > 16 and largest <= 65_535:
        return values.astype(np.uint16)
    if page.bits > 16:
        source.say(f"{source.name}: {page.bits} bits per channel are computed as 16")
    return stretched(values, top, page.bits)
