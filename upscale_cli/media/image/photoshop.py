"""Photoshop's image resources, where JPEG and TIFF keep captions (IPTC), copyright and clipping paths.

Source: Adobe Photoshop File Formats Specification (2019), chapter "Image Resources Section".
"""

import struct
from collections.abc import Iterator
from typing import Final

JPEG_NAME: Final = b"Photoshop 3.0\0"
"""How the segment of a JPEG begins that holds them."""

IPTC: Final = 0x0404
NAMES: Final = {
    IPTC: "IPTC", 0x03ED: "resolution", 0x03F0: "caption", 0x040A: "copyright", 0x040B: "address",
    0x0425: "digest of IPTC", 0x0BB7: "name of the clipping path",
}  # fmt: skip
"""What is true of a picture of any size. Paths are, too: they count in parts of the picture's sides."""

_PATHS: Final = range(0x07D0, 0x0BB7)


def resources_of(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, content, all bytes) of each resource; ends where they make no sense."""
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 8 <= len(data):
        start = at
        (number,) = struct.unpack_from(">H", data, at + 4)
        at += 6 + (data[at + 6] + 2) // 2 * 2
        if at + 4 > len(data):
            return
        (size,) = struct.unpack_from(">I", data, at)
        content = data[at + 4 : at + 4 + size]
        at += 4 + (size + 1) // 2 * 2
        yield number, content, data[start:at]


def name_of(number: int) -> str:
    """A resource's name, for people."""
    return "clipping path" if number in _PATHS else NAMES.get(number, f"0x{number:04x}")


def of_any_size(data: bytes) -> bytes:
    """The resources that stay true when the picture is enlarged; without guides, slices, print settings, thumbnails."""
    return b"".join(whole for number, _, whole in resources_of(data) if number in NAMES or number in _PATHS)
