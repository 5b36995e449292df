"""Photoshop's image resources, as JPEG and TIFF hold them.

Source: Adobe Photoshop File Formats Specification (2019), chapter "Image Resources Section".
"""

import struct
from collections.abc import Iterator
from typing import Final

from upscale_cli.media.image.inventory.blocks import Items
from upscale_cli.media.inventory import digest

_IPTC: Final = 0x0404
_THUMBNAILS: Final = (0x0409, 0x040C)


def of_resources(data: bytes) -> Items:
    """IPTC by its name; of the others, which are settings of Photoshop, that they are there."""
    settings = []
    for number, content in _resources(data):
        if number == _IPTC:
            yield "IPTC", digest(content)
        elif number in _THUMBNAILS:
            yield "thumbnail", ""
        else:
            settings.append(content)
    if settings:
        yield "Photoshop resources", digest(b"".join(settings))


def _resources(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while data[at : at + 4] == b"8BIM" and at + 8 <= len(data):
        (number,) = struct.unpack_from(">H", data, at + 4)
        name = data[at + 6]
        at += 6 + (name + 2) // 2 * 2
        if at + 4 > len(data):
            return
        (size,) = struct.unpack_from(">I", data, at)
        yield number, data[at + 4 : at + 4 + size]
        at += 4 + (size + 1) // 2 * 2
