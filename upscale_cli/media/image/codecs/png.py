"""PNG and APNG: 8 and 16 bits, animation, and what can be saved of a damaged file.

The compressed rows go to a decoder wrapped as a minimal PNG of their own: Pillow's up to 8 bits, libpng in imagecodecs
for 16, which Pillow would cut to 8, and for bands.

Source: W3C, Portable Network Graphics (PNG) Specification, third edition (2025), chapters 8, 9, 12 and 13.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.frames.image import Frame, Layout, Transfer
from upscale_cli.frames.pixels import turned, upright_pixels
from upscale_cli.frames.rows import RowReader
from upscale_cli.media.image import icc
from upscale_cli.media.image.codecs.pillow_reader import pixels_of, plan, without_opaque_alpha
from upscale_cli.media.image.codecs.png_chunks import (
    GRAY,
    GRAY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    Chunks,
    Header,
    read_chunks,
    wrapped,
)
from upscale_cli.media.image.colours import of_png
from upscale_cli.media.image.metadata import PhotoInfo, upright_metadata
from upscale_cli.media.image.source import Picture, Source, calm_pillow, decoding, stream_of
from upscale_cli.messages import option

BAND_BYTES = 2**20
"""Of a band: small, for a look at a picture takes only some rows from the top; more would not be faster."""

_CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}
# Where the seven passes of an interlaced picture begin, and how far apart their pixels are: (x, y, step x, step y).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def open_png(source: Source) -> Picture:
    """A PNG of any kind, or an APNG.

    Raises:
        InputError: damaged, truncated or too large.
    """
    with decoding(source):
        chunks = read_chunks(source)
        if not chunks.whole and not source.salvage:
            raise InputError(
                f"{source.name}: the PNG is truncated. {option('salvage', True)} takes the rows that are there."
            )
        colours = of_png(dict(chunks.kept), chunks.icc is not None)
        metadata, orientation = upright_metadata(
            icc=chunks.icc, colours=colours, exif=chunks.exif, xmp=chunks.xmp, dpi=chunks.dpi, aspect=chunks.aspect
        )
        metadata = replace(metadata, png_chunks=tuple(chunks.kept))
        animated = chunks.plays is not None and len(chunks.parts) > 1
        if animated:
            metadata = replace(metadata, plays=chunks.plays)
        header = chunks.header
        width, height = (header.width, header.height) if orientation < 5 else (header.height, header.width)
        frames = len(chunks.parts) if animated else 1
        info = PhotoInfo(
            name=source.name,
            format="PNG",
            width=width,
            height=height,
            layout=_layout(chunks) if not animated else "RGBA",
            bits=16 if header.depth == 16 else 8,
            frames=frames,
            animated=animated,
            metadata=metadata,
            lossless=True,
            total_pixels=frames * width * height,
        )
    transfer: Transfer = "linear" if metadata.is_linear else "display"
    if animated:
        return Picture(info, lambda: _composed(source, chunks, orientation, transfer))
    by_rows = orientation == 1 and not source.salvage and _can_be_read_by_rows(chunks)
    row_reader = _row_reader(source, chunks, transfer) if by_rows else None
    return Picture(info, lambda: _still(source, chunks, orientation, transfer), row_reader)


def _can_be_read_by_rows(chunks: Chunks) -> bool:
    """Whether rows come from the top down, and rows as they are decoded can stand above others (see `_bands`)."""
    header = chunks.header
    return header.color in (GRAY, RGB) and header.depth >= 8 and not header.interlaced and chunks.transparency is None


def _row_reader(source: Source, chunks: Chunks, transfer: Transfer) -> RowReader:
    header = chunks.header
    dtype = np.uint16 if header.depth == 16 else np.uint8
    return RowReader(
        header.height, header.width, _layout(chunks), np.dtype(dtype), transfer,
        lambda start: _bands(source, chunks, start), held=3 * BAND_BYTES + sum(map(len, chunks.rows)),
    )  # fmt: skip


def _bands(source: Source, chunks: Chunks, start: int) -> Iterator[NDArray[Any]]:
    """The rows from `start` on, decoded some at a time.

    A PNG's rows are filtered by the rows above them and compressed in one piece. The piece is inflated bit by bit; of
    the rows that come, the decoder is given a PNG of their own, whose first row, not filtered, is the one above.
    """
    header = chunks.header
    length = _row_lengths(header)[0]
    step = max(1, BAND_BYTES // length)
    inflater = _Inflater(chunks.rows)
    above = b""
    for top in range(0, header.height, step):
        height = min(step, header.height - top)
        with decoding(source):
            filtered = inflater.take(height * length)
            lead = 1 if above else 0
            part = replace(header, height=height + lead)
            pixels = _by_libpng(part, [zlib.compress(above + filtered, 0)])[lead:]
            above = b"\0" + pixels[-1].astype(pixels.dtype.newbyteorder(">")).tobytes()
        if top + height > start:
            yield pixels[max(start - top, 0) :]


class _Inflater:
    """Inflates compressed rows as far as they are asked for."""

    def __init__(self, rows: list[bytes]) -> None:
        self._rows = iter(rows)
        self._engine = zlib.decompressobj()

    def take(self, length: int) -> bytes:
        """The next `length` bytes.

        Raises:
            EOFError: there are not so many.
        """
        parts = []
        while length:
            data = self._engine.unconsumed_tail or next(self._rows, b"")
            part = self._engine.decompress(data, length)
            if not (data or part):
                raise EOFError("the compressed rows end too early")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


def _layout(chunks: Chunks) -> Layout:
    color = chunks.header.color
    if color == PALETTE:
        gray = _has_gray_palette(chunks)
        transparent = chunks.transparency is not None
        return ("LA" if transparent else "L") if gray else ("RGBA" if transparent else "RGB")
    alpha = color in (GRAY_ALPHA, RGB_ALPHA) or chunks.transparency is not None
    base = "L" if color in (GRAY, GRAY_ALPHA) else "RGB"
    return cast(Layout, base + "A" if alpha else base)


def _has_gray_palette(chunks: Chunks) -> bool:
    entries = np.frombuffer((chunks.palette or b"")[: len(chunks.palette or b"") // 3 * 3], np.uint8).reshape(-1, 3)
    rgb_profile = chunks.icc is not None and icc.space(chunks.icc) == "RGB"
    return len(entries) > 0 and not rgb_profile and bool((entries == entries[:, :1]).all())


def _still(source: Source, chunks: Chunks, orientation: int, transfer: Transfer) -> Iterator[Frame]:
    with decoding(source):
        header = chunks.header
        rows = salvaged_rows(source, chunks.rows, header) if source.salvage else chunks.rows
        pixels = _decoded(header, rows, chunks)
        frame = Frame(upright_pixels(pixels, orientation), _layout(chunks), transfer)
    yield frame


def _decoded(header: Header, rows: list[bytes], chunks: Chunks) -> NDArray[Any]:
    """(H, W, C) uint8 or uint16 of compressed rows, with the alpha that tRNS stands for."""
    pixels = _by_libpng(header, rows) if header.depth == 16 else _decoded_by_pillow(header, rows, chunks)
    if chunks.transparency is not None and header.color in (GRAY, RGB):
        pixels = _with_color_key(pixels, chunks.transparency, header.depth)
    return pixels


def _by_libpng(header: Header, rows: list[bytes]) -> NDArray[Any]:
    """(H, W, C) of compressed rows without a palette, which it decodes in a third of Pillow's time."""
    import imagecodecs

    pixels: NDArray[Any] = imagecodecs.png_decode(wrapped(header, rows))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def _decoded_by_pillow(header: Header, rows: list[bytes], chunks: Chunks) -> NDArray[Any]:
    from PIL import Image

    extra = []
    if header.color == PALETTE:
        extra.append((b"PLTE", chunks.palette or b""))
        if chunks.transparency is not None:
            extra.append((b"tRNS", chunks.transparency))
    with (
        calm_pillow(),
        Image.open(stream_of(wrapped(header, rows, extra)), formats=("PNG",)) as image,
    ):
        image.load()
        layout, dtype, convert = plan(image, animated=False)
        if header.color == PALETTE:
            layout = _layout(chunks)
            return pixels_of(image, len(layout), dtype, lambda strip: strip.convert("RGBA").convert(layout))
        return pixels_of(image, len(layout), dtype, convert)


def _with_color_key(pixels: NDArray[Any], key: bytes, depth: int) -> NDArray[Any]:
    """Add an alpha that is 0 where the pixel has the one colour that tRNS declares transparent."""
    channels = pixels.shape[2]
    if len(key) < 2 * channels:
        key = key.ljust(2 * channels, b"\0")
    values = np.array(struct.unpack(f">{channels}H", key[: 2 * channels])) & (2**depth - 1)
    if depth < 8:
        values = values * 255 // (2**depth - 1)
    top = np.iinfo(pixels.dtype).max
    result = np.empty((*pixels.shape[:2], channels + 1), pixels.dtype)
    result[..., :channels] = pixels
    result[..., channels] = np.where((pixels == values).all(axis=2), 0, top)
    return result


def _composed(source: Source, chunks: Chunks, orientation: int, transfer: Transfer) -> Iterator[Frame]:
    """The frames of an APNG as they are seen: each part put on what the one before it has left."""
    header = chunks.header
    dtype = np.uint16 if header.depth == 16 else np.uint8
    canvas = np.zeros((header.height, header.width, 4), dtype)
    for part in chunks.parts:
        with decoding(source):
            patch = replace(header, width=part.width, height=part.height)
            rows = salvaged_rows(source, part.rows, patch) if source.salvage else part.rows
            pixels = _as_rgba(_decoded(patch, rows, chunks))
            window = canvas[part.top : part.top + part.height, part.left : part.left + part.width]
            before = window.copy() if part.dispose == 2 else None
            window[:] = pixels if part.blend == 0 else _over(pixels, window)
            seen: Layout = "RGBA"
            seen, shown = without_opaque_alpha(seen, np.ascontiguousarray(turned(canvas, orientation)))
            shown = shown.copy() if shown.base is canvas or shown is canvas else shown
            frame = Frame(shown, seen, transfer, part.duration_ms)
        yield frame
        if part.dispose == 1:
            window[:] = 0
        elif before is not None:
            window[:] = before


def _as_rgba(pixels: NDArray[Any]) -> NDArray[Any]:
    channels = pixels.shape[2]
    if channels == 4:
        return pixels
    result = np.full((*pixels.shape[:2], 4), np.iinfo(pixels.dtype).max, pixels.dtype)
    result[..., :3] = pixels[..., : 3 if channels == 3 else 1]
    if channels == 2:
        result[..., 3] = pixels[..., 1]
    return result


def _over(above: NDArray[Any], below: NDArray[Any]) -> NDArray[Any]:
    """Straight-alpha "over" (PNG specification, 13.16), rounded to the dtype."""
    top = float(np.iinfo(above.dtype).max)
    upper, lower = above[..., 3:] / top, below[..., 3:] / top
    alpha = upper + lower * (1 - upper)
    color = above[..., :3] * upper + below[..., :3] * lower * (1 - upper)
    with np.errstate(invalid="ignore", divide="ignore"):
        color = np.where(alpha > 0, color / alpha, 0.0)
    return np.concatenate([color, alpha * top], axis=2).round().astype(above.dtype)


def salvaged_rows(source: Source, rows: list[bytes], header: Header) -> list[bytes]:
    """Damaged compressed rows made whole: what decompresses and makes sense, then empty rows. Reports how many."""
    lengths = _row_lengths(header)
    raw = _inflated(rows, sum(lengths))
    position = sound = 0
    for length in lengths:
        if position + length > len(raw) or raw[position] > 4:  # five ways to filter a row, 0 to 4
            break
        position += length
        sound += 1
    if sound < len(lengths):
        kept = f"{sound} of {header.height} rows" if not header.interlaced else f"{100 * sound // len(lengths)} %"
        source.say(f"{source.name}: damaged; {kept} could be decoded, the rest is left empty")
    return [zlib.compress(bytes(raw[:position]) + bytes(sum(lengths[sound:])), 1)]


def _inflated(rows: list[bytes], needed: int) -> bytearray:
    """What decompresses, in small steps up to the damage, and no more than a whole picture of it (a bomb has more)."""
    raw = bytearray()
    engine = zlib.decompressobj()
    with suppress(zlib.error):
        for data in rows:
            for start in range(0, len(data), 4096):
                if len(raw) >= needed:  # a length of 0 would mean no limit
                    return raw
                raw += engine.decompress(data[start : start + 4096], needed - len(raw))
    return raw


def _row_lengths(header: Header) -> list[int]:
    """Bytes of every row, its filter's number included, of all passes of an interlaced picture."""
    bits = header.depth * _CHANNELS[header.color]
    lengths = []
    for left, top, step_x, step_y in _ADAM7 if header.interlaced else ((0, 0, 1, 1),):
        across, down = -(-(header.width - left) // step_x), -(-(header.height - top) // step_y)
        if across > 0 and down > 0:
            lengths += [1 + (across * bits + 7) // 8] * down
    return lengths
