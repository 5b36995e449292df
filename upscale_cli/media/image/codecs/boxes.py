"""Boxes of the ISO media family: what JPEG XL and JPEG 2000 keep around their codestream.

Source: ISO/IEC 14496-12, section 4.2; the same in 15444-1 annex I and 18181-2 section 9.
"""

import struct
from collections.abc import Iterator


def boxes_of(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, content) of each box, one after the other; ends where the lengths make no sense."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if length == 1 and at + 16 <= len(data):
            (length,), head = struct.unpack_from(">Q", data, at + 8), 16
        elif length == 0:
            length = len(data) - at
        if length < head:
            return
        yield kind, data[at + head : at + length]
        at += length


def box(kind: bytes, content: bytes) -> bytes:
    if len(content) + 8 < 2**32:
        return struct.pack(">I4s", len(content) + 8, kind) + content
    return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content
