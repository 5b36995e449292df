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
from upscale_cli.frames.pixels import upright_pixels
from upscale_cli.frames.rows import BAND_BYTES, RowReader
from upscale_cli.media.image.codecs.pillow_reader import pixels_of, plan
from upscale_cli.media.image.codecs.tiff_directory import (
    FLOAT,
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
from upscale_cli.media.image.codecs.tiff_jpeg import check_page, check_segment
from upscale_cli.media.image.codecs.tiff_samples import Counting, counting, needs_pixels, pixels_of_samples
from upscale_cli.media.image.metadata import Metadata, PhotoInfo
from upscale_cli.media.image.source import Picture, Source, calm_pillow, decoding
from upscale_cli.media.image.tiff_facts import TiffFacts

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
        counted = [(page, counting(source, page, _extent(source, page))) for page in pages]
    metadata = [_counted(page.metadata, how, page) for page, how in counted]
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
        extra=len(pages[0].extra_kinds),
    )
    row_reader = _row_reader(source, *counted[0]) if len(pages) == 1 and _can_be_read_by_rows(pages[0]) else None
    return Picture(info, lambda: (_frame(source, page, how) for page, how in counted), row_reader)


def _extent(source: Source, page: Page) -> NDArray[Any] | None:
    """Samples that tell the range of a page: all of them, or the least and the largest; None where none is needed."""
    if not needs_pixels(page):
        return None
    if page.kind == FLOAT or page.bits > 16 or not _can_be_read_by_rows(page):
        return _samples(source, page)
    ends: list[Any] = []
    with _opened_page(source, page) as found:
        height, count, _ = _segments(found)
        if not count:
            return _samples(source, page)
        for band in _raw_bands(source, found, page, 0, height, count):
            ends += [band.min(), band.max()]
    return np.array(ends)


def _counted(metadata: Metadata, how: Counting, page: Page) -> Metadata:
    """Metadata that also say how the samples are brought back."""
    facts = metadata.tiff
    if how.samples is not None:
        facts = replace(facts or TiffFacts(*_upright_size(page)), samples=how.samples)
        if facts.description is not None:
            facts = replace(facts, description=facts.description.of_type(how.samples.dtype))
    return metadata if (how.white, facts) == (1, metadata.tiff) else replace(metadata, white=how.white, tiff=facts)


def _can_be_read_by_rows(page: Page) -> bool:
    """Whether the pixels of a row can be known from its samples alone."""
    return (
        not page.needs_libtiff
        and page.layout in ("L", "RGB")
        and page.photometric in (MIN_IS_WHITE, MIN_IS_BLACK, IS_RGB)
        and page.kind in (UNSIGNED, SIGNED)
        and page.bits in (8, 16)
        and page.orientation == 1
    )


def _row_reader(source: Source, page: Page, how: Counting) -> RowReader | None:
    """The page, to be decoded strip by strip or row of tiles by row of tiles; None where these are too large."""
    with decoding(source), _opened_page(source, page) as found:
        height, count, size = _segments(found)
    if count == 0 or size > max(SMALL_SEGMENTS, page.height * page.width * page.samples * page.bits // 8 // 4):
        return None
    linear = page.metadata.is_linear
    return RowReader(
        page.height, page.width, page.layout, np.dtype(f"u{page.bits // 8}"), "linear" if linear else "display",
        lambda start: _bands(source, page, how, start, height, count), held=3 * max(size, BAND_BYTES),
        extra=len(page.extra_kinds), nodata=how.nodata,
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


def _bands(source: Source, page: Page, how: Counting, start: int, height: int, count: int) -> Iterator[NDArray[Any]]:
    """The pixels of the rows from `start` on; `height` and `count` are from `_segments`."""
    with _opened_page(source, page) as found:
        raw = _raw_bands(source, found, page, start, height, count)
        while True:
            with decoding(source):
                values = next(raw, None)
                pixels = None if values is None else pixels_of_samples(page, values, how)
            if pixels is None:
                return
            yield pixels


def _raw_bands(source: Source, found: Any, page: Page, start: int, height: int, count: int) -> Iterator[NDArray[Any]]:
    """The samples of the rows from `start` on."""
    if not height:
        yield from _stored_rows(found, page, start)
        return
    first = start // height
    for row in range(first, -(-page.height // height)):
        yield _row_of_segments(source, found, row, count)[start - first * height if row == first else 0 :]


def _nothing(found: Any, height: int, page: Page) -> NDArray[Any]:
    """Rows of a map of which nothing is stored, as GDAL writes it (SPARSE_OK): there is what stands for no data.

    tifffile (2026.3.3) knows single strips and tiles without bytes; of a picture without any it takes the beginning of
    the file for the samples.
    """
    return np.full((height, page.width, page.samples), found.nodata, found.dtype)


def _stored_rows(found: Any, page: Page, start: int) -> Iterator[NDArray[Any]]:
    """Samples (h, W, S) that are stored as they are."""
    if not any(found.databytecounts):
        yield _nothing(found, page.height - start, page)
        return
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


def _row_of_segments(source: Source, found: Any, row: int, count: int) -> NDArray[Any]:
    """Samples (h, W, S) of one strip, or of one row of tiles."""
    parts = []
    for index in range(row * count, (row + 1) * count):
        found.parent.filehandle.seek(found.dataoffsets[index])
        data = found.parent.filehandle.read(found.databytecounts[index]) or None
        decoded, _, (_, height, width, _) = found.decode(
            data, index, jpegtables=found.jpegtables, jpegheader=found.jpegheader
        )
        if decoded is None:  # 0 bytes: nothing is known there
            decoded = np.full((1, height, width, found.samplesperpixel), found.nodata, found.dtype)
        else:
            check_segment(source, found, data or b"", decoded[0])
        parts.append(decoded[0, :height, :width])
    band = np.concatenate(parts, axis=1)
    # Of some layouts tifffile (2026.3.3) gives the tiles at the right and the bottom with what lies beyond the picture.
    return band[: found.imagelength - row * len(band), : found.imagewidth]


def _upright_size(page: Page) -> tuple[int, int]:
    return (page.width, page.height) if page.orientation < 5 else (page.height, page.width)


def _frame(source: Source, page: Page, how: Counting) -> Frame:
    with decoding(source):
        linear = page.layout != "CMYK" and page.metadata.is_linear
        transfer: Transfer = "linear" if linear else "display"
        if page.needs_libtiff:
            return _decoded_by_pillow(source, page, transfer)
        pixels = pixels_of_samples(page, _samples(source, page), how)
        pixels = upright_pixels(pixels, page.orientation)
        return Frame(pixels, page.layout, transfer, extra=len(page.extra_kinds), nodata=how.nodata)


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


def _plane(found: Any, page: Page) -> NDArray[Any]:
    """Samples (H, W, S) of a picture that has no IFD of its own."""
    dtype = np.dtype(found.dtype).newbyteorder(found.parent.byteorder)
    size = page.height * page.width * page.samples * dtype.itemsize
    found.parent.filehandle.seek(found.dataoffsets[0] + page.plane * size)
    values = np.frombuffer(found.parent.filehandle.read(size), dtype)
    return values.reshape(page.height, page.width, page.samples).astype(dtype.newbyteorder("="))


def _samples(source: Source, page: Page) -> NDArray[Any]:
    """Raw samples of a page, (H, W, S)."""
    with _opened_page(source, page) as found:
        if page.plane:
            return _plane(found, page)
        if not any(found.databytecounts):
            return _nothing(found, page.height, page)
        samples = found.asarray()
        if found.axes != "SYX":
            check_page(source, found, samples)
        if found.axes == "SYX":
            samples = np.moveaxis(samples, 0, -1)
    if samples.ndim == 2:
        samples = samples[..., None]
    if samples.shape[:2] != (page.height, page.width) or samples.ndim != 3:
        raise InputError(f"{source.name}: page {page.index + 1} has the shape {samples.shape}, which is no picture.")
    return cast("NDArray[Any]", samples)
