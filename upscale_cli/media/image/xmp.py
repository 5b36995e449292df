"""XMP packets: which way is up, and what must change when a picture is turned and enlarged.

A packet is text that others wrote; it is patched in place and never laid out anew. Names are found by the prefixes that
the packet declares for a namespace, and values as attributes or as elements, for both are in use.

Sources: ISO 16684-1:2019 (XMP); Google, Photo Sphere XMP metadata (GPano); Metadata Working Group,
Guidelines 2.0 (2010), section 5.9 (regions).
"""

import re
from typing import Final

GPANO: Final = b"http://ns.google.com/photos/1.0/panorama/"
DIMENSIONS: Final = b"http://ns.adobe.com/xap/1.0/sType/Dimensions#"

_ACROSS: Final = (
    b"FullPanoWidthPixels|CroppedAreaImageWidthPixels|CroppedAreaLeftPixels|LargestValidInteriorRectLeft"
    b"|LargestValidInteriorRectWidth"
)
_DOWN: Final = (
    b"FullPanoHeightPixels|CroppedAreaImageHeightPixels|CroppedAreaTopPixels|LargestValidInteriorRectTop"
    b"|LargestValidInteriorRectHeight"
)
_MAX_NUMBER: Final = 2**31 - 1


def _whole_number(name: str) -> re.Pattern[bytes]:
    """A whole-number property of an XMP packet, written as attribute or as element; group 2 is its value."""
    return re.compile(rb"(" + name.encode() + rb"(?:\s*=\s*[\"']|>)\s*)(\d{1,9})")


_ORIENTATION = _whole_number("tiff:Orientation")
_WIDTH = _whole_number("(?:tiff:ImageWidth|exif:PixelXDimension)")
_HEIGHT = _whole_number("(?:tiff:ImageLength|exif:PixelYDimension)")
_THUMBNAILS = re.compile(rb"<(x[am]p:Thumbnails)\b[^<>]*>")
_PIXEL_UNIT = re.compile(rb"unit(?:\s*=\s*[\"']|[^<>]*>)\s*pixel")


def orientation(packet: bytes) -> int:
    """EXIF orientation 1..8 that the packet notes; 1 where it notes none that makes sense."""
    found = _ORIENTATION.search(packet)
    value = int(found[2]) if found else 1
    return value if 1 <= value <= 8 else 1


def upright(packet: bytes) -> bytes:
    """The packet with orientation 1, and without thumbnails."""
    return _without_thumbnails(_ORIENTATION.sub(rb"\g<1>1", packet))


def resized(packet: bytes, width: int, height: int, scale: tuple[float, float]) -> bytes:
    """The packet of a picture in its new size: sizes, and what else it counts in pixels.

    Args:
        width, height: of the picture now.
        scale: what its width and its height were multiplied by.
    """
    packet = _WIDTH.sub(rb"\g<1>" + str(width).encode(), packet)
    packet = _HEIGHT.sub(rb"\g<1>" + str(height).encode(), packet)
    packet = _scaled(packet, GPANO, _ACROSS, scale[0])
    packet = _scaled(packet, GPANO, _DOWN, scale[1])
    if _PIXEL_UNIT.search(packet):  # else regions are given relative to the picture
        packet = _scaled(packet, DIMENSIONS, b"w", scale[0])
        packet = _scaled(packet, DIMENSIONS, b"h", scale[1])
    return packet


def names(packet: bytes, uri: bytes, local: bytes) -> bytes | None:
    """A pattern for names of a namespace, as the packet writes them; None where it declares no such namespace.

    Args:
        local: pattern for what follows the prefix.
    """
    prefixes = set(re.findall(rb"xmlns:([\w.-]{1,100})\s*=\s*[\"']" + re.escape(uri) + rb"[\"']", packet))
    return b"(?:" + b"|".join(map(re.escape, sorted(prefixes))) + b"):(?:" + local + b")" if prefixes else None


def value_pattern(name: bytes, value: bytes) -> re.Pattern[bytes]:
    """A property as attribute or element: group "lead" is what stands before its value, group "value" the value."""
    return re.compile(rb"(?P<lead>(?<![\w:.-])" + name + rb"(?:\s*=\s*[\"']|>)\s*)(?P<value>" + value + rb")")


def _scaled(packet: bytes, uri: bytes, local: bytes, scale: float) -> bytes:
    """Numbers of pixels, rounded to whole ones."""
    name = names(packet, uri, local)
    if name is None or scale == 1:
        return packet

    def times(found: re.Match[bytes]) -> bytes:
        return found["lead"] + b"%d" % min(round(float(found["value"]) * scale), _MAX_NUMBER)

    return value_pattern(name, rb"\d{1,9}(?:\.\d{1,20})?").sub(times, packet)


def _without_thumbnails(packet: bytes) -> bytes:
    """XMP without its thumbnails; by steps, since one pattern for all would take quadratic time on a hostile packet."""
    kept, start = [], 0
    while opening := _THUMBNAILS.search(packet, start):
        closing = b"</" + opening[1] + b">"
        stop = packet.find(closing, opening.end())
        if stop < 0:
            break
        kept.append(packet[start : opening.start()])
        start = stop + len(closing)
    return b"".join(kept) + packet[start:]
