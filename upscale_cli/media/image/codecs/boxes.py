"""Boxes of the ISO media family: what JPEG XL and JPEG 2000 keep around their codestream.

Source: ISO/IEC 14496-12, section 4.2; the same in 15444-1 annex I and 18181-2 section 9.
"""

import struct
from collections.abc import Iterator
from typing import BinaryIO


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


def boxes_in(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, stop) of each box's content, none of which is read; ends where the lengths make no sense."""
    at, end = 0, file.seek(0, 2)
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack_from(">I4s", head)
        start = at + 8
        if length == 1 and len(head) == 16:
            (length,), start = struct.unpack_from(">Q", head, 8), at + 16
        elif length == 0:
            length = end - at
        if length < start - at or at + length > end:
            return
        yield kind, start, at + length
        at += length


def box(kind: bytes, content: bytes) -> bytes:
    """A box of that type, with a length of 64 bits from 4 GiB on (ISO/IEC 14496-12, 4.2)."""
    if len(content) + 8 < 2**32:
        return struct.pack(">I4s", len(content) + 8, kind) + content
    return struct.pack(">I4sQ", 1, kind, len(content) + 16) + content
