"""What an XMP packet claims of the file around its picture: a clip behind it, a gain map, further data.

A claim that no longer holds makes viewers look for what is not there; so claims follow what a file really has.

Sources: Google, Motion Photo format 1.0, with its predecessor MicroVideo, and Ultra HDR image format 1.1 (both at
developer.android.com/media/platform); Adobe, XMP Specification part 3 (2020), section 1.1.3.1 (extended XMP).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from upscale_cli.media.image import xmp

CLIP_SEMANTIC: Final = "MotionPhoto"
GAIN_MAP_SEMANTIC: Final = "GainMap"
_PRIMARY: Final = "Primary"

_CAMERA: Final = b"http://ns.google.com/photos/1.0/camera/"
_CONTAINER: Final = b"http://ns.google.com/photos/1.0/container/"
_ITEM: Final = b"http://ns.google.com/photos/1.0/container/item/"
_NOTE: Final = b"http://ns.adobe.com/xmp/note/"
_GAIN_MAP: Final = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"http://ns.apple.com/HDRGainMap/1.0/")
_EXTENDED: Final = (
    b"http://ns.google.com/photos/1.0/depthmap/",
    b"http://ns.google.com/photos/1.0/image/",
    b"http://ns.google.com/photos/1.0/audio/",
)
"""Whose data is too long for the packet itself, so that it lies in an extended one."""

_DEPTH_CONTAINER: Final = b"http://ns.google.com/photos/dd/1.0/container/"
_DEPTH_DEVICE: Final = b"http://ns.google.com/photos/dd/1.0/device/"
_CLIP_NAMES: Final = rb"MotionPhoto\w{0,40}|MicroVideo\w{0,40}"
_ANY_NAME: Final = rb"[\w.-]{1,100}"
_LIST_ITEM: Final = re.compile(rb"<([\w.-]{1,100}:li)\b[^<>]*>")


@dataclass(frozen=True, slots=True)
class Item:
    """An entry of the directory of what a file consists of; lengths are in bytes."""

    semantic: str
    mime: str
    length: int
    padding: int


@dataclass(frozen=True, slots=True)
class Held:
    """What an output consists of, for its packet to say so.

    Attributes:
        mime: of the picture itself.
        padding: bytes between the picture and what follows.
        lengths: bytes of each further part, by its semantic, in the order of the file.
    """

    mime: str = "image/jpeg"
    padding: int = 0
    lengths: tuple[tuple[str, int], ...] = ()

    def length(self, semantic: str) -> int | None:
        return dict(self.lengths).get(semantic)


def items(packet: bytes) -> list[Item]:
    """The directory's entries, in its order; none where there is no directory."""
    span = _element(packet, _opening(packet, _CONTAINER, b"Directory"), 0)
    if span is None:
        return []
    prefix = xmp.names(packet, _ITEM, b"")
    return [_item(prefix, packet[start:stop]) for start, stop in _entries(packet, *span)]


def clip_length(packet: bytes) -> int | None:
    """Bytes of the clip at the end of the file, as the packet claims; 0 where it claims one of an unknown length."""
    for item in items(packet):
        if item.semantic == CLIP_SEMANTIC:
            return item.length
    name = xmp.names(packet, _CAMERA, b"MicroVideoOffset")
    found = name and xmp.value_pattern(name, rb"\d{1,12}").search(packet)
    if found:
        return int(found["value"])
    name = xmp.names(packet, _CAMERA, b"MotionPhoto|MicroVideo")
    return 0 if name and xmp.value_pattern(name, rb"1").search(packet) else None


def claims_gain_map(packet: bytes) -> bool:
    """Whether the packet says that a gain map belongs to the picture, or describes one itself."""
    return any(xmp.names(packet, uri, b"Version|HDRGainMapVersion|HDRGainMapHeadroom") is not None for uri in _GAIN_MAP)


def claims_extended(packet: bytes) -> bool:
    """Whether the packet says that it goes on in further segments."""
    name = xmp.names(packet, _NOTE, b"HasExtendedXMP")
    return name is not None and xmp.value_pattern(name, b"").search(packet) is not None


def described(packet: bytes, held: Held) -> bytes:
    """The packet with claims of what the output holds, and no others."""
    extended = claims_extended(packet)
    packet = _with_directory(packet, held)
    clip = held.length(CLIP_SEMANTIC)
    if clip is None:
        packet = _without(packet, _CAMERA, _CLIP_NAMES)
    elif name := xmp.names(packet, _CAMERA, b"MicroVideoOffset"):
        packet = xmp.value_pattern(name, rb"\d{1,12}").sub(rb"\g<lead>%d" % clip, packet)
    if held.length(GAIN_MAP_SEMANTIC) is None:
        for uri in _GAIN_MAP:
            packet = _without(packet, uri, _ANY_NAME)
    for uri in (_DEPTH_CONTAINER, _DEPTH_DEVICE):
        packet = _without(packet, uri, _ANY_NAME)
    if extended:
        packet = _without(packet, _NOTE, b"HasExtendedXMP")
        for uri in _EXTENDED:
            packet = _without(packet, uri, _ANY_NAME)
    return packet


def _with_directory(packet: bytes, held: Held) -> bytes:
    """The directory with the entries of what is held, at the lengths that it has now; none for a picture alone."""
    span = _element(packet, _opening(packet, _CONTAINER, b"Directory"), 0)
    if span is None:
        return packet
    if not held.lengths:
        return _without(packet, _CONTAINER, b"Directory")
    prefix = xmp.names(packet, _ITEM, b"")
    start, stop = span
    kept, at = [packet[:start]], start
    for begin, end in _entries(packet, start, stop):
        kept.append(packet[at:begin])
        entry, at = packet[begin:end], end
        item = _item(prefix, entry)
        length = held.length(item.semantic)
        if item.semantic == _PRIMARY:
            kept.append(_set(prefix, _set(prefix, entry, b"Mime", held.mime), b"Padding", str(held.padding)))
        elif length is not None:
            kept.append(_set(prefix, entry, b"Length", str(length)))
    return b"".join([*kept, packet[at:]])


def _item(prefix: bytes | None, entry: bytes) -> Item:
    def text(local: bytes) -> str:
        found = prefix and xmp.value_pattern(prefix + local, rb"[^\"'<]{0,200}").search(entry)
        return found["value"].decode("utf-8", "replace").strip() if found else ""

    def number(local: bytes) -> int:
        value = text(local)
        return int(value) if value.isascii() and value.isdigit() and len(value) < 16 else 0

    return Item(text(b"Semantic"), text(b"Mime"), number(b"Length"), number(b"Padding"))


def _set(prefix: bytes | None, entry: bytes, local: bytes, value: str) -> bytes:
    """The entry with another value, or as it was where it does not have that property."""
    if prefix is None:
        return entry
    return xmp.value_pattern(prefix + local, rb"[^\"'<]{0,200}").sub(rb"\g<lead>" + value.encode(), entry)


def _entries(packet: bytes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """Where the list items of the directory begin and end."""
    while (opening := _LIST_ITEM.search(packet, start, stop)) is not None:
        closing = b"</" + opening[1] + b">"
        end = packet.find(closing, opening.end(), stop)
        if end < 0:
            return
        start = end + len(closing)
        yield opening.start(), start


def _opening(packet: bytes, uri: bytes, local: bytes) -> re.Pattern[bytes] | None:
    """Opening tags of a name, group 1; None where the packet declares no such namespace."""
    name = xmp.names(packet, uri, local)
    return None if name is None else re.compile(b"<(" + name + rb")(?=[\s/>])[^<>]*>")


def _element(packet: bytes, opening: re.Pattern[bytes] | None, start: int) -> tuple[int, int] | None:
    """Where the next element with such a tag begins, and where it ends."""
    found = opening and opening.search(packet, start)
    if not found:
        return None
    if found[0].endswith(b"/>"):
        return found.span()
    closing = b"</" + found[1] + b">"
    end = packet.find(closing, found.end())
    return None if end < 0 else (found.start(), end + len(closing))


def _without(packet: bytes, uri: bytes, local: bytes) -> bytes:
    """The packet without properties of a namespace, whether attributes or elements, by steps."""
    name, opening = xmp.names(packet, uri, local), _opening(packet, uri, local)
    if name is None:
        return packet
    kept, at = [], 0
    while span := _element(packet, opening, at):
        kept.append(packet[at : span[0]])
        at = span[1]
    packet = b"".join([*kept, packet[at:]])
    return re.compile(rb"\s" + name + rb"\s*=\s*(?:\"[^\"]*\"|'[^']*')").sub(b"", packet)
