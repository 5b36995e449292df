"""A picture file without private metadata: the coded pixels byte for byte, colours too, no EXIF.

Sources: ITU-T T.81, annex B (JPEG); W3C, PNG third edition, chapter 5; RFC 9649 (WebP).
"""

import re
import struct
from collections.abc import Iterator
from typing import Final

_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR: Final = {b"tRNS", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"sBIT"}
_WEBP_KEPT: Final = {b"VP8 ", b"VP8L", b"ALPH", b"ICCP"}
_WEBP_METADATA: Final = 0b1100
"""Of the flags in VP8X: EXIF, XMP."""

_START, _END, _SCAN, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
_APP0, _APP2, _APP14, _APP15 = 0xE0, 0xE2, 0xEE, 0xEF
_AFTER_SCAN: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
"""A marker; within a scan stand only FF 00, which is the value FF, and restart markers."""


def stripped(data: bytes, format: str) -> bytes | None:
    """A still picture without metadata.

    Args:
        format: key of `formats.FORMATS`.

    Returns:
        A file that decodes to the same pixels; None where it is of another format, animated, or laid out unusually.
    """
    strip = {"JPEG": _stripped_jpeg, "PNG": _stripped_png, "WebP": _stripped_webp}.get(format)
    try:
        return strip(data) if strip else None
    except (struct.error, IndexError):
        return None


def _stripped_jpeg(data: bytes) -> bytes | None:
    """Of the application segments JFIF, the ICC profile and Adobe's flag stay, and nothing of what follows the end."""
    if data[:2] != bytes((0xFF, _START)):
        return None
    kept, at = [data[:2]], 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == _END:
            return b"".join([*kept, data[at : at + 2]])
        end = at + 2 + int(struct.unpack_from(">H", data, at + 2)[0])
        profile = marker == _APP2 and data[at + 4 : at + 16] == b"ICC_PROFILE\0"
        if marker == _SCAN:
            found = _AFTER_SCAN.search(data, end)
            if found is None:
                return None
            end = found.start()
        if profile or marker in (_APP0, _APP14) or not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
            kept.append(data[at:end])
        at = end
    return None


def _stripped_png(data: bytes) -> bytes | None:
    if not data.startswith(_PNG_SIGNATURE):
        return None
    kept, at = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind == b"acTL" or end > len(data):
            return None
        if kind[:1].isupper() or kind in _PNG_COLOUR:
            kept.append(data[at:end])
        if kind == b"IEND":
            return b"".join(kept)
        at = end


def _stripped_webp(data: bytes) -> bytes | None:
    kept = []
    for kind, body in _webp_chunks(data):
        if kind == b"VP8X":
            kept.append((kind, bytes([body[0] & ~_WEBP_METADATA]) + body[1:]))
        elif kind in _WEBP_KEPT:
            kept.append((kind, body))
        elif kind in (b"ANIM", b"ANMF"):
            return None
    chunks = b"".join(kind + struct.pack("<I", len(body)) + body + bytes(len(body) % 2) for kind, body in kept)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks if kept else None


def _webp_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        yield kind, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2
