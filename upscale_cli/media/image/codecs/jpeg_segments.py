"""JPEG files as segments, and what lies behind the end of the picture: further pictures, clips, a camera's own data.

Sources: ITU-T T.81 (1992), annex B; CIPA DC-007-2021 (Multi-Picture Format); Google, Motion Photo format 1.0 and Ultra
HDR image format 1.1; ISO 21496-1 (gain maps). Samsung's trailer as exiftool documents it (Samsung.pm).
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from upscale_cli.media.image import exif, xmp_parts
from upscale_cli.media.image.parts import Part
from upscale_cli.media.image.source import Source

MPF_NAME: Final = b"MPF\0"
XMP_NAME: Final = b"http://ns.adobe.com/xap/1.0/\0"
ISO_GAIN_MAP_NAME: Final = b"urn:iso:std:iso:ts:21496:-1\0"
MPF_VERSION, MPF_COUNT, MPF_ENTRIES = 0xB000, 0xB001, 0xB002

_START: Final = b"\xff\xd8\xff"
_END: Final = b"\xff\xd9"
_FRAME_HEADERS: Final = (0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_SCAN, APP1, APP2 = 0xDA, 0xE1, 0xE2
_MOST_BEHIND: Final = 2**30
"""Bytes that are held of what lies behind a picture; no phone appends more."""

_JUNK_BYTES: Final = 1024
_BLOCK_BYTES: Final = 2**20
_NAME_BYTES: Final = 40
_TRAILER_END: Final = b"SEFT"


class Seekable(Protocol):
    """A file, or what an encoder knows of one."""

    def read(self, length: int = -1, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment before the first scan: its marker's second byte, where that marker begins, and where it ends."""

    kind: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Behind:
    """What lies behind the end of the picture.

    Attributes:
        parts: what is known well enough to be carried.
        pictures: how many further pictures there are.
        unknown: bytes of something else.
    """

    parts: tuple[Part, ...] = ()
    pictures: int = 0
    unknown: int = 0


def segments_of(file: Seekable, start: int = 0) -> Iterator[Segment]:
    """The segments up to the first scan, whose header is the last; ends where they make no sense.

    Args:
        start: where the picture begins.
    """
    at = start + 2
    while True:
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            return
        if head[1] == 0xFF:  # fill
            at += 1
            continue
        stop = at + 2 + int.from_bytes(head[2:], "big")
        yield Segment(head[1], at, stop)
        if head[1] == _SCAN:
            return
        at = stop


def content_of(file: Seekable, segment: Segment, length: int = -1) -> bytes:
    """What a segment holds behind its length, or the first bytes of that."""
    file.seek(segment.start + 4)
    held = segment.stop - segment.start - 4
    return file.read(held if length < 0 else min(length, held))


def behind_picture(source: Source, packet: bytes | None, orientation: int, sides: tuple[int, int]) -> Behind:
    """What a JPEG file holds behind its picture.

    Args:
        packet: its XMP, which may say where what is.
        orientation: EXIF orientation 1..8 of the picture, which its gain map shares.
        sides: width and height of the picture as stored; no gain map is larger.
    """
    file = source.file
    file.seek(0)
    start = max(file.read(_JUNK_BYTES).find(_START), 0)
    segments = list(segments_of(file, start))
    end = _end_of_scans(file, segments[-1].stop) if segments and segments[-1].kind == _SCAN else None
    if end is None:
        return Behind()
    if (size := file.seek(0, 2) - end) > _MOST_BEHIND:
        return Behind(unknown=size)
    file.seek(end)
    data = file.read()
    if not data.strip(b"\0"):
        return Behind()
    pictures = _further_pictures(file, segments, end, len(data))
    maps = [span for span in pictures if _is_gain_map(data[slice(*span)])]
    if not maps and packet:
        maps = _announced_map(data, packet)
    maps = [span for span in maps if _fits(data[slice(*span)], sides)]
    parts = []
    if maps:
        kept = b"".join(_iso_segments(file, segments))
        parts.append(Part("gain map", data[slice(*maps[0])], orientation=orientation, segments=kept))
    known, (clip, trailer) = [*pictures, *maps], (_clip(data, packet), _trailer_start(data))
    if clip is not None:
        begin = clip if trailer is None else min(clip, trailer)
        parts.append(Part("clip", data[begin:], lead=clip - begin))
        known.append((begin, len(data)))
    elif trailer is not None:
        parts.append(Part("trailer", data[trailer:]))
        known.append((trailer, len(data)))
    return Behind(tuple(parts), len(set(pictures) - set(maps[:1])), _uncovered(data, known))


def _end_of_scans(file: Seekable, start: int) -> int | None:
    """Where the picture ends. Within scans FF D9 cannot stand; between them it could, but no table has such a value."""
    file.seek(start)
    at, last = start, b""
    while block := file.read(_BLOCK_BYTES):
        found = (last + block).find(_END)
        if found >= 0:
            return at - len(last) + found + len(_END)
        at += len(block)
        last = block[-1:]
    return None


def _further_pictures(file: Seekable, segments: list[Segment], end: int, length: int) -> list[tuple[int, int]]:
    """Where the further pictures of a multi-picture file lie, counted from the end of the first."""
    found = []
    for segment in segments:
        if segment.kind == APP2 and content_of(file, segment, 4) == MPF_NAME:
            base = segment.start + 4 + len(MPF_NAME)
            for size, offset in _mpf_entries(content_of(file, segment)[len(MPF_NAME) :]):
                begin = base + offset - end
                if offset and 0 <= begin < begin + size <= length:
                    found.append((begin, begin + size))
    return found


def _mpf_entries(block: bytes) -> Iterator[tuple[int, int]]:
    """(bytes, offset) of each picture; the offset counts from the block's first byte, and is 0 for the first."""
    fields, order = exif.fields(block)
    for field in fields:
        if field.tag == MPF_ENTRIES:
            for at in range(0, len(field.data) - 15, 16):
                size, offset = struct.unpack_from(order + "II", field.data, at + 4)
                yield size, offset


def _fits(data: bytes, sides: tuple[int, int]) -> bool:
    """Whether a picture's header declares some size up to this one."""
    file = io.BytesIO(data)
    for segment in segments_of(file):
        if segment.kind in _FRAME_HEADERS:
            size: tuple[int, int] = struct.unpack(">HH", content_of(file, segment, 5)[1:].ljust(4, b"\0"))
            return 0 < size[1] <= sides[0] and 0 < size[0] <= sides[1]
    return False


def _is_gain_map(data: bytes) -> bool:
    """Whether a picture calls itself a gain map, in the way of Adobe and Google, Apple or ISO."""
    file = io.BytesIO(data)
    for segment in segments_of(file):
        content = content_of(file, segment)
        if segment.kind == APP1 and content.startswith(XMP_NAME) and xmp_parts.claims_gain_map(content):
            return True
        if segment.kind == APP2 and content.startswith(ISO_GAIN_MAP_NAME):
            return True
    return False


def _announced_map(data: bytes, packet: bytes) -> list[tuple[int, int]]:
    """Where the directory in the XMP says that a gain map is: the parts it names end with the file."""
    stop = len(data)
    for item in reversed(xmp_parts.items(packet)):
        begin = stop - item.length
        if item.semantic == xmp_parts.GAIN_MAP_SEMANTIC and begin >= 0 and data[begin : begin + 3] == _START:
            return [(begin, stop)]
        stop = begin - item.padding
    return []


def _clip(data: bytes, packet: bytes | None) -> int | None:
    """Where a motion photo's clip begins: where its XMP says, else where such a file's first box is."""
    length = xmp_parts.clip_length(packet) if packet else None
    if length is None and b"MotionPhoto_Data" not in data:
        return None
    if length and data[len(data) - length :][4:8] == b"ftyp" and length <= len(data):
        return len(data) - length
    found = data.find(b"ftyp")
    return found - 4 if found >= 4 else None


def _trailer_start(data: bytes) -> int | None:
    """Where Samsung's trailer begins: a directory at its end counts back to each of its blocks."""
    if not data.endswith(_TRAILER_END) or len(data) < 8:
        return None
    length = int.from_bytes(data[-8:-4], "little")
    head = len(data) - 8 - length
    if head < 0 or data[head : head + 4] != b"SEFH":
        return None
    count = int.from_bytes(data[head + 8 : head + 12], "little")
    offsets = [int.from_bytes(data[at + 4 : at + 8], "little") for at in range(head + 12, len(data) - 19, 12)][:count]
    begin = head - max(offsets, default=0)
    return begin if begin >= 0 else None


def _iso_segments(file: Seekable, segments: list[Segment]) -> Iterator[bytes]:
    for segment in segments:
        if segment.kind == APP2 and content_of(file, segment, _NAME_BYTES).startswith(ISO_GAIN_MAP_NAME):
            file.seek(segment.start)
            yield file.read(segment.stop - segment.start)


def _uncovered(data: bytes, spans: list[tuple[int, int]]) -> int:
    """Bytes that belong to nothing known, zeros aside."""
    at, count = 0, 0
    for begin, stop in sorted(spans):
        count += len(data[at:begin].strip(b"\0"))
        at = max(at, stop)
    return count + len(data[at:].strip(b"\0"))
