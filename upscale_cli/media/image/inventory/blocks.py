"""What the blocks consist of that many formats have in common: EXIF, XMP, profiles."""

import re
from collections.abc import Iterator
from typing import Final

from upscale_cli.media.image import exif
from upscale_cli.media.inventory import digest, short

Items = Iterator[tuple[str, str]]
"""(name, value) of each thing."""

_PROPERTY: Final = re.compile(rb"[\s<]([A-Za-z][\w.-]{0,40}:[A-Za-z][\w.-]{0,80})(?:\s*=\s*[\"']|(?=[\s>/]))")
_FRAMEWORK: Final = ("xmlns:", "rdf:", "x:", "xml:")
_MOST_PROPERTIES: Final = 2000
_POINTERS: Final = (exif.EXIF_IFD, exif.GPS_IFD, exif.INTEROP_IFD)
_GPS_NAME: Final = "EXIF: place (GPS)"


def of_exif(block: bytes) -> Items:
    """The fields of an EXIF block, by number; the place where it was taken and the thumbnail as one thing each."""
    block = block.removeprefix(b"Exif\0\0")
    found, order = exif.fields(block)
    if not found:
        if block:
            yield "EXIF", digest(block)
        return
    yield "EXIF", f"{len(found)} fields"
    yield from of_fields(found)
    if exif.has_thumbnail(block, order):
        yield "thumbnail", ""


def of_fields(found: list[exif.Field] | tuple[exif.Field, ...]) -> Items:
    """The fields of a directory and of those below it; but for the orientation, which has been applied."""
    for field in found:
        if field.tag == exif.GPS_IFD:
            yield _GPS_NAME, digest(b"".join(child.data for child in field.children))
        elif field.tag not in (*_POINTERS, exif.ORIENTATION):
            yield f"EXIF: field 0x{field.tag:04x}", digest(field.data)
        elif field.tag == exif.EXIF_IFD:
            yield from of_fields(field.children)


def of_xmp(packet: bytes) -> Items:
    """The properties of an XMP packet, by name; not their values, which a pattern cannot tell apart."""
    yield "XMP", ""
    names = dict.fromkeys(match[1].decode("ascii", "replace") for match in _PROPERTY.finditer(packet))
    for name in list(names)[:_MOST_PROPERTIES]:
        if not name.startswith(_FRAMEWORK) and name != "xmp:Thumbnails":
            yield f"XMP: {name}", ""


def of_profile(profile: bytes) -> Items:
    """An ICC profile is one item: its parts mean nothing alone."""
    yield "colour profile", digest(profile)


def tail(data: bytes) -> Items:
    """What follows the end of a picture, where that is more than padding."""
    if data.strip(b"\0\r\n\t "):
        yield "data after the picture", digest(data)


def of_text(name: str, text: bytes) -> Items:
    """A text whose coding nobody knows."""
    yield name, short(text.decode("utf-8", "replace"))
