"""What PNG, WebP and GIF files carry beside their pixels: chunks and extension blocks.

Sources: PNG third edition (2025); WebP Container Specification (2025); GIF89a (1990).
"""

import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO, Final

from upscale_cli.media.image.colours import of_png as of_png_chunks
from upscale_cli.media.image.inventory.blocks import Items, of_exif, of_profile, of_text, of_xmp, tail
from upscale_cli.media.inventory import digest

_PNG_STRUCTURE: Final = frozenset(
    (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"sBIT", b"hIST", b"acTL", b"fcTL", b"fdAT")
)
_PNG_NAMES: Final = {
    b"mDCV": "mastering display", b"cLLI": "content light level", b"bKGD": "background colour",
    b"tIME": "time of change", b"caBX": "content credentials (JUMBF)",
}  # fmt: skip
_PNG_COLOURS: Final = frozenset((b"gAMA", b"cHRM", b"sRGB", b"cICP"))
_WEBP_STRUCTURE: Final = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"))
_LARGEST_CHUNK: Final = 64 * 2**20
_LARGEST_PROFILE: Final = 16 * 2**20
_LARGEST_TAIL: Final = 64 * 2**20


def of_png(file: BinaryIO) -> Items:
    """The chunks by what is in them, and what follows the last. Pixels are skipped, so a file may be of any size."""
    declared: dict[bytes, bytes] = {}
    for kind, content in _png_chunks(file):
        if kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, _, rest = content.partition(b"\0")
            if keyword == b"XML:com.adobe.xmp":
                yield from of_xmp(rest)
            elif keyword == b"Raw profile type exif":  # ImageMagick's way, in hexadecimal digits
                yield "EXIF", ""
            else:
                yield f"text: {keyword.decode('latin-1')[:80]}", digest(rest)
        elif kind == b"eXIf":
            yield from of_exif(content)
        elif kind == b"iCCP":
            declared[kind] = b""
            with suppress(zlib.error):
                profile = zlib.decompressobj().decompress(content.partition(b"\0")[2][1:], _LARGEST_PROFILE)
                yield from of_profile(profile)
        elif kind == b"pHYs" and len(content) == 9:
            across, down, unit = struct.unpack(">IIB", content)
            if unit or across != down:
                yield ("resolution" if unit else "pixel aspect"), f"{across} x {down}"
        elif kind in _PNG_COLOURS:
            declared[kind] = content
        else:
            yield _PNG_NAMES.get(kind, f"PNG chunk: {kind.decode('latin-1')}"), digest(content)
    if colours := of_png_chunks(declared, b"iCCP" in declared):
        yield "colours", repr(colours)
    yield from tail(file.read(_LARGEST_TAIL))


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Those that do not say how the pixels are stored; afterwards the file stands behind the last."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if not kind.isalpha():
            return
        if kind in _PNG_STRUCTURE or length > _LARGEST_CHUNK:
            file.seek(length + 4, os.SEEK_CUR)
        else:
            yield kind, file.read(length)
            file.seek(4, os.SEEK_CUR)
        if kind == b"IEND":
            return


def of_webp(data: bytes) -> Items:
    """The chunks by what is in them, and what follows the file's own end."""
    end = 8 + int.from_bytes(data[4:8], "little")
    at = 12
    while at + 8 <= min(end, len(data)):
        kind, length = struct.unpack_from("<4sI", data, at)
        content = data[at + 8 : at + 8 + length]
        if kind == b"ICCP":
            yield from of_profile(content)
        elif kind == b"EXIF":
            yield from of_exif(content)
        elif kind == b"XMP ":
            yield from of_xmp(content)
        elif kind == b"C2PA":
            yield "content credentials (JUMBF)", digest(content)
        elif kind not in _WEBP_STRUCTURE:
            yield f"WebP chunk: {kind.decode('latin-1').strip()}", digest(content)
        at += 8 + length + length % 2
    yield from tail(data[end + end % 2 :])


def of_gif(data: bytes) -> Items:
    """Comments and application extensions, and what follows the trailer."""
    flags = data[10] if len(data) > 12 else 0
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while at < len(data):
        kind = data[at]
        if kind == 0x3B:
            yield from tail(data[at + 1 :])
            return
        if kind == 0x21 and at + 1 < len(data):
            label, (content, at) = data[at + 1], _sub_blocks(data, at + 2)
            yield from _gif_extension(label, content)
        elif kind == 0x2C and at + 9 < len(data):
            flags = data[at + 9]
            at += 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
            _, at = _sub_blocks(data, at)
        else:
            return


def _gif_extension(label: int, content: bytes) -> Items:
    if label == 0xFE:
        yield from of_text("comment", content)
    elif label == 0x01:
        yield "text: on the picture", digest(content)
    elif label == 0xFF and content.startswith(b"XMP DataXMP"):
        yield from of_xmp(content[11:])
    elif label == 0xFF and content.startswith(b"ICCRGBG1012"):
        yield from of_profile(content[11:])
    elif label == 0xFF and not content.startswith((b"NETSCAPE2.0", b"ANIMEXTS1.0")):
        yield f"GIF extension: {content[:11].decode('latin-1')}", digest(content)


def _sub_blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """The content of a chain of sub-blocks, and where the next block begins."""
    parts = []
    while at < len(data) and (length := data[at]):
        parts.append(data[at + 1 : at + 1 + length])
        at += 1 + length
    return b"".join(parts), at + 1
