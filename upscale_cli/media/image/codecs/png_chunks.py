"""PNG files as chunks: what is read from them, checked and sorted, and how chunks are put together again.

Source: W3C, Portable Network Graphics (PNG) Specification, third edition (2025), chapters 5 and 11.
"""

import struct
import zlib
from dataclasses import dataclass, field

from upscale_cli.errors import InputError
from upscale_cli.media.image.source import Source
from upscale_cli.messages import option

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6

_DEPTHS = {GRAY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8), RGB: (8, 16), GRAY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_MAX_INFLATED = 2**20
_MAX_PROFILE = 16 * 2**20
_INCHES_PER_METRE = 39.3700787


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
    aspect: tuple[int, int] | None = None
    kept: list[tuple[bytes, bytes]] = field(default_factory=list)
    whole: bool = False


def read_chunks(source: Source) -> Chunks:
    """Walk through the file; the size is checked as soon as IHDR has been read."""
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
                raise InputError(
                    f"{source.name}: chunk {kind.decode()} is damaged. {option('salvage', True)} takes what decodes."
                )
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
    elif kind == b"pHYs" and len(data) == 9:
        across, down = struct.unpack(">II", data[:8])
        if data[8] == 1:
            chunks.dpi = across / _INCHES_PER_METRE, down / _INCHES_PER_METRE
        else:
            chunks.aspect = across, down
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


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum (PNG, third edition, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def wrapped(header: Header, rows: list[bytes], extra: list[tuple[bytes, bytes]] | None = None) -> bytes:
    """A minimal PNG file around compressed rows."""
    parts = [(b"IHDR", header.packed()), *(extra or []), *((b"IDAT", data) for data in rows), (b"IEND", b"")]
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in parts)
