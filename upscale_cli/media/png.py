"""PNG and APNG: chunks, 16 bits, animation, and what can be saved of a damaged file.

The container is read and written here; a picture's compressed rows go to a decoder wrapped as a minimal PNG of their
own: Pillow's up to 8 bits, imagecodecs' for 16, which Pillow would cut to 8.

Source: W3C, Portable Network Graphics (PNG) Specification, third edition (2025), chapters 5, 9, 11 and 12.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import icc
from .frame import Frame, Layout, Transfer
from .metadata import PhotoInfo, upright_metadata
from .pillow_reader import pixels_of, plan, without_opaque_alpha
from .source import Picture, Source, calm_pillow, decoding, stream_of, turned, upright_pixels

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6

_CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}
_DEPTHS = {GRAY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8), RGB: (8, 16), GRAY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_MAX_INFLATED = 2**20
_MAX_PROFILE = 16 * 2**20
_INCHES_PER_METRE = 39.3700787
# Where the seven passes of an interlaced picture begin, and how far apart their pixels are: (x, y, step x, step y).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, slots=True)
class Header:
    """IHDR."""

    width: int
    height: int
    depth: int
    color: int
    interlaced: bool

    def packed(self) -> bytes:
        return struct.pack(
            ">IIBBBBB", self.width, self.height, self.depth, self.color, 0, 0, 1 if self.interlaced else 0
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One animation frame: where it lies on the canvas, how long it shows, and its compressed rows."""

    width: int
    height: int
    left: int
    top: int
    duration_ms: float
    dispose: int
    blend: int
    rows: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class Chunks:
    """What a PNG file consists of."""

    header: Header
    palette: bytes | None = None
    transparency: bytes | None = None
    rows: list[bytes] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)
    plays: int | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    whole: bool = False


def open_png(source: Source) -> Picture:
    """A PNG of any kind, or an APNG.

    Raises:
        InputError: damaged, truncated or too large.
    """
    with decoding(source):
        chunks = _read_chunks(source)
        if not chunks.whole and not source.salvage:
            raise InputError(f"{source.name}: the PNG is truncated. --salvage takes the rows that are there.")
        metadata, orientation = upright_metadata(icc=chunks.icc, exif=chunks.exif, xmp=chunks.xmp, dpi=chunks.dpi)
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
    transfer: Transfer = "linear" if _is_linear(chunks) else "display"
    if animated:
        return Picture(info, lambda: _composed(source, chunks, orientation, transfer))
    return Picture(info, lambda: _still(source, chunks, orientation, transfer))


def _read_chunks(source: Source) -> Chunks:
    """Walk through the file; the size is checked as soon as IHDR has told it."""
    file = source.file
    file.seek(len(SIGNATURE))
    chunks: Chunks | None = None
    while True:
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if not kind.isalpha():
            break
        data = file.read(length)
        crc = file.read(4)
        complete = len(data) == length and len(crc) == 4
        sound = complete and zlib.crc32(data, zlib.crc32(kind)) == int.from_bytes(crc, "big")
        if complete and not sound:
            if kind[:1].isupper() and not source.salvage:
                raise InputError(f"{source.name}: chunk {kind.decode()} is damaged. --salvage takes what decodes.")
            source.say(
                f"{source.name}: chunk {kind.decode()} is damaged" + ("" if kind[:1].isupper() else ", left out")
            )
            if kind[:1].islower():
                continue
        if chunks is None:
            chunks = Chunks(_header(source, kind, data))
        elif kind == b"IEND":
            chunks.whole = complete
            break
        elif complete or kind in (b"IDAT", b"fdAT"):
            _take(source, chunks, kind, data)
    if chunks is None:
        raise InputError(f"{source.name}: the PNG ends before its header does. The file is damaged.")
    if not chunks.rows and not chunks.parts:
        raise InputError(f"{source.name}: the PNG holds no pixels. The file is damaged.")
    return chunks


def _header(source: Source, kind: bytes, data: bytes) -> Header:
    if kind != b"IHDR" or len(data) != 13:
        raise InputError(f"{source.name}: a PNG begins with its header, this one does not. The file is damaged.")
    width, height, depth, color, compression, filtering, interlace = struct.unpack(">IIBBBBB", data)
    source.check_size(width, height)
    if depth not in _DEPTHS.get(color, ()) or compression or filtering or interlace > 1:
        raise InputError(f"{source.name}: the PNG header names a coding that does not exist. The file is damaged.")
    return Header(width, height, depth, color, interlace == 1)


def _take(source: Source, chunks: Chunks, kind: bytes, data: bytes) -> None:
    """Put one sound chunk where it belongs."""
    header = chunks.header
    if kind == b"IDAT":
        chunks.rows.append(data)
        if chunks.parts:
            chunks.parts[0].rows.append(data)
    elif kind == b"fdAT" and chunks.parts:
        chunks.parts[-1].rows.append(data[4:])
    elif kind == b"fcTL" and len(data) == 26:
        chunks.parts.append(_part(source, header, data))
    elif kind == b"acTL" and len(data) == 8:
        chunks.plays = struct.unpack(">II", data)[1]
    elif kind == b"PLTE":
        chunks.palette = data
    elif kind == b"tRNS":
        chunks.transparency = data
    elif kind == b"pHYs" and len(data) == 9 and data[8] == 1:
        across, down = struct.unpack(">II", data[:8])
        chunks.dpi = across / _INCHES_PER_METRE, down / _INCHES_PER_METRE
    elif kind == b"iCCP":
        chunks.icc = _inflated(data[data.find(b"\0") + 2 :], _MAX_PROFILE)
    elif kind == b"eXIf":
        chunks.exif = data
    elif kind in _TEXT:
        _take_text(source, chunks, kind, data)
    elif kind in _COLOUR:
        chunks.kept.append((kind, data))


def _part(source: Source, header: Header, data: bytes) -> Part:
    width, height, left, top, delay, unit, dispose, blend = struct.unpack(">IIIIHHBB", data[4:])
    if not (0 < width <= header.width - left and 0 < height <= header.height - top):
        raise InputError(f"{source.name}: an animation frame lies outside of the picture. The file is damaged.")
    return Part(width, height, left, top, 1000 * delay / (unit or 100), dispose, blend)


def _take_text(source: Source, chunks: Chunks, kind: bytes, data: bytes) -> None:
    """Text is kept as it is, except for XMP and ImageMagick's EXIF in text, which are metadata of ours."""
    keyword, _, rest = data.partition(b"\0")
    text: bytes | None = rest
    if kind == b"zTXt":
        text = _inflated(rest[1:], _MAX_INFLATED)
    elif kind == b"iTXt":
        compressed, body = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        text = _inflated(body, _MAX_INFLATED) if compressed else body
    if text is None or len(text) > _MAX_INFLATED:
        source.say(f"{source.name}: a text of more than {_MAX_INFLATED:,} bytes is left out")
    elif keyword == _XMP_KEYWORD:
        chunks.xmp = text
    elif keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
        raw = _raw_profile(text)
        if raw is not None and chunks.exif is None and raw.startswith(b"Exif"):
            chunks.exif = raw
    elif not keyword.startswith(b"Raw profile type"):
        chunks.kept.append((kind, data))


def _raw_profile(text: bytes) -> bytes | None:
    """ImageMagick's way to put bytes into a text: name, length, then hexadecimal digits."""
    try:
        return bytes.fromhex(b"".join(text.split()[2:]).decode("ascii"))
    except ValueError:
        return None


def _inflated(data: bytes, limit: int) -> bytes | None:
    """Decompressed bytes; None where they are damaged or more than `limit`."""
    engine = zlib.decompressobj()
    try:
        result = engine.decompress(data, limit + 1)
    except zlib.error:
        return None
    return result if len(result) <= limit else None


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


def _is_linear(chunks: Chunks) -> bool:
    """By the profile; without one, by gAMA, which tells the encoding exponent in 1/100,000."""
    if chunks.icc is not None:
        return icc.is_linear(chunks.icc)
    known = dict(chunks.kept)
    gamma = known.get(b"gAMA", b"")
    return b"sRGB" not in known and len(gamma) == 4 and int.from_bytes(gamma, "big") * icc.LINEAR_GAMMA > 100_000


def _still(source: Source, chunks: Chunks, orientation: int, transfer: Transfer) -> Iterator[Frame]:
    with decoding(source):
        header = chunks.header
        rows = b"".join(chunks.rows)
        if source.salvage:
            rows, whole = salvaged_rows(rows, header)
            if whole < header.height:
                kept = f"{whole} of {header.height} rows" if not header.interlaced else "a part of the pixels"
                source.say(f"{source.name}: damaged; {kept} could be decoded, the rest is left empty")
        pixels = _decoded(header, rows, chunks)
        frame = Frame(upright_pixels(pixels, orientation), _layout(chunks), transfer)
    yield frame


def _decoded(header: Header, rows: bytes, chunks: Chunks) -> NDArray[Any]:
    """(H, W, C) uint8 or uint16 of compressed rows, with the alpha that tRNS stands for."""
    if header.depth == 16:
        import imagecodecs

        pixels = imagecodecs.png_decode(wrapped(header, rows))
        pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    else:
        pixels = _decoded_by_pillow(header, rows, chunks)
    if chunks.transparency is not None and header.color in (GRAY, RGB):
        pixels = _with_color_key(pixels, chunks.transparency, header.depth)
    return cast("NDArray[Any]", pixels)


def _decoded_by_pillow(header: Header, rows: bytes, chunks: Chunks) -> NDArray[Any]:
    from PIL import Image

    extra = []
    if header.color == PALETTE:
        extra.append((b"PLTE", chunks.palette or b""))
        if chunks.transparency is not None:
            extra.append((b"tRNS", chunks.transparency))
    with calm_pillow(), Image.open(stream_of(wrapped(header, rows, extra)), formats=("PNG",)) as image:
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


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def wrapped(header: Header, rows: bytes, extra: list[tuple[bytes, bytes]] | None = None) -> bytes:
    """A minimal PNG file around compressed rows."""
    between = b"".join(chunk(kind, data) for kind, data in extra or [])
    return SIGNATURE + chunk(b"IHDR", header.packed()) + between + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def _composed(source: Source, chunks: Chunks, orientation: int, transfer: Transfer) -> Iterator[Frame]:
    """The frames of an APNG as they are seen: each part put on what the one before it has left."""
    header = chunks.header
    dtype = np.uint16 if header.depth == 16 else np.uint8
    canvas = np.zeros((header.height, header.width, 4), dtype)
    for part in chunks.parts:
        with decoding(source):
            patch = replace(header, width=part.width, height=part.height)
            pixels = _as_rgba(_decoded(patch, b"".join(part.rows), chunks))
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


def salvaged_rows(rows: bytes, header: Header) -> tuple[bytes, int]:
    """Damaged compressed rows made whole: what decompresses, then empty rows; and how many rows are sound."""
    raw = bytearray()
    engine = zlib.decompressobj()
    try:
        for start in range(0, len(rows), 4096):
            raw += engine.decompress(rows[start : start + 4096])
    except zlib.error:
        pass
    bits = header.depth * _CHANNELS[header.color]
    passes = _ADAM7 if header.interlaced else ((0, 0, 1, 1),)
    position, sound, failed = 0, 0, False
    result = bytearray()
    for left, top, step_x, step_y in passes:
        across, down = -(-(header.width - left) // step_x), -(-(header.height - top) // step_y)
        if across <= 0 or down <= 0:
            continue
        length = 1 + (across * bits + 7) // 8
        for _ in range(down):
            row = raw[position : position + length]
            failed = failed or len(row) < length or row[0] > 4
            result += bytes(length) if failed else row
            sound += not failed
            position += length
    return zlib.compress(result, 1), min(sound, header.height - failed)
