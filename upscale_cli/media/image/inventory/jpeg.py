"""What a JPEG file carries beside its pixels: segments, and what is appended behind the picture.

Sources: ITU-T T.81, annex B; T.871 (JFIF); CIPA DC-007 (MPF); ISO 21496-1 (gain maps); C2PA 2.1 (JUMBF in APP11).
"""

import re
import struct
from collections.abc import Iterator
from typing import Final

from upscale_cli.media.image.inventory.blocks import Items, of_exif, of_profile, of_text, of_xmp, tail
from upscale_cli.media.image.inventory.photoshop import of_resources
from upscale_cli.media.inventory import digest

_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_XMP_EXTENSION: Final = b"http://ns.adobe.com/xmp/extension/\0"
_PHOTOSHOP: Final = b"Photoshop 3.0\0"
_GAIN_MAP: Final = re.compile(rb"hdr-gain-map/1\.0/|HDRGainMap|urn:iso:std:iso:ts:21496")
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_STRUCTURE: Final = {0x01, 0xDB, 0xDC, 0xDD, 0xC4, 0xCC, *range(0xC0, 0xD0), 0xEE}
"""Tables, frame headers, and Adobe's APP14, which says how the components are coded."""


def of_jpeg(data: bytes) -> Items:
    """The segments by what is in them, and what follows the picture."""
    profile, extended, directory, end = b"", b"", b"", len(data)
    for marker, content, after in _segments(data):
        if marker == _END:
            end = after
        elif marker == 0xE2 and content.startswith(b"ICC_PROFILE\0"):
            profile += content[14:]
        elif marker == 0xE1 and content.startswith(_XMP_EXTENSION):
            extended += content[len(_XMP_EXTENSION) + 40 :]
        elif marker == 0xE2 and content.startswith(b"MPF\0"):
            directory = content
        else:
            yield from _segment(marker, content)
    if profile:
        yield from of_profile(profile)
    if extended:
        yield "extended XMP", digest(extended)
    yield from _behind(data[end:], directory)


def _behind(data: bytes, directory: bytes) -> Items:
    """What follows the picture: further ones, of which a directory tells, or a clip, or whatever."""
    if directory:
        yield ("gain map: MPF" if _GAIN_MAP.search(data) else "further pictures (MPF)"), digest(directory)
    clip = data.find(b"ftyp") - 4
    if clip >= 0:
        yield "motion photo (clip)", digest(data[clip:])
        data = data[:clip]
    if not (data.startswith(b"\xff\xd8\xff") and (directory or _GAIN_MAP.search(data))):
        yield from tail(data)


def _segment(marker: int, content: bytes) -> Items:
    if marker == 0xE0 and content.startswith(b"JFIF\0"):
        yield from _density(content)
    elif marker == 0xE0 and content.startswith(b"JFXX\0"):
        yield "thumbnail", ""
    elif marker == 0xE1 and content.startswith(b"Exif\0"):
        yield from of_exif(content[6:])
    elif marker == 0xE1 and content.startswith(_XMP):
        yield from of_xmp(content[len(_XMP) :])
    elif marker == 0xE2 and content.startswith(b"urn:iso:std:iso:ts:21496"):
        yield "gain map: ISO 21496-1", digest(content)
    elif marker == 0xEB and content.startswith(b"JP"):
        yield "content credentials (JUMBF)", digest(content)
    elif marker == 0xED and content.startswith(_PHOTOSHOP):
        yield from of_resources(content[len(_PHOTOSHOP) :])
    elif marker == 0xFE:
        yield from of_text("comment", content)
    elif 0xE0 <= marker <= 0xEF and marker not in _STRUCTURE:
        yield f"JPEG segment: APP{marker - 0xE0} {_identifier(content)}".rstrip(), digest(content)


def _density(content: bytes) -> Items:
    if len(content) < 12:
        return
    unit, across, down = struct.unpack_from(">BHH", content, 7)
    if unit in (1, 2) and across and down:
        yield "resolution", f"{across} x {down} per {'inch' if unit == 1 else 'cm'}"
    elif across and down and across != down:
        yield "pixel aspect", f"{across}:{down}"


def _identifier(content: bytes) -> str:
    """How a segment begins, where that is a name."""
    name = content.split(b"\0", 1)[0][:32]
    return name.decode("ascii") if name.isascii() and name.decode("ascii").isprintable() else ""


def _segments(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(marker, content, where what follows begins) up to the end of the first picture."""
    at = data.find(b"\xff\xd8")
    if at < 0:
        return
    at += 2
    while found := _MARKER.search(data, at):
        marker, at = data[found.start() + 1], found.end()
        if marker in (_END, _START, 0x01):
            yield marker, b"", at
            if marker == _END:
                return
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        yield marker, data[at + 2 : at + length], at + length
        at += max(length, 2)
