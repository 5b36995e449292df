"""A walk through the blocks of a GIF, for what Pillow trusts and should not: where frames claim to lie.

Pillow lets a frame beyond the screen enlarge the picture, in memory that was not allowed.

Source: CompuServe, Graphics Interchange Format 89a (1990), sections 17 to 26.
"""

import struct
from typing import BinaryIO

_IMAGE, _EXTENSION = 0x2C, 0x21


def extent_of(file: BinaryIO) -> tuple[int, int]:
    """The smallest width and height that hold the screen and every frame; ends where the blocks make no sense."""
    file.seek(0)
    head = file.read(13).ljust(13, b"\0")
    width, height = struct.unpack_from("<HH", head, 6)
    _skip_palette(file, head[10])
    while kind := file.read(1):
        if kind[0] == _EXTENSION:
            file.read(1)
        elif kind[0] == _IMAGE:
            descriptor = file.read(9).ljust(9, b"\0")
            left, top, across, down, flags = struct.unpack("<HHHHB", descriptor)
            width, height = max(width, left + across), max(height, top + down)
            _skip_palette(file, flags)
            file.read(1)  # how wide the codes are at the beginning
        elif kind == b";":
            break
        else:  # Pillow ignores what it does not know
            continue
        while length := file.read(1):
            if not length[0]:
                break
            file.seek(length[0], 1)
    return width, height


def _skip_palette(file: BinaryIO, flags: int) -> None:
    if flags & 0x80:
        file.seek(3 << (flags & 7) + 1, 1)
