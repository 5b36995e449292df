"""Spheres in finished Matroska files: the element Projection, which ffmpeg writes only for streams that it copies.

The name of the track is given with room at its end (`with_room`). The room goes, Projection comes, and a Void fills the
rest, so that no other element moves.

Sources: RFC 8794 (EBML: sizes, Void, CRC-32), RFC 9559 (Matroska: 5.1.4.1.28.41 and what follows).
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from upscale_cli.errors import OutputError
from upscale_cli.media.video.spatial import Sphere

_SEGMENT: Final = 0x18538067
_TRACKS: Final = 0x1654AE6B
_CLUSTER: Final = 0x1F43B675
_TRACK_ENTRY, _NAME, _VIDEO, _CRC, _VOID = 0xAE, 0x536E, 0xE0, 0xBF, 0xEC
_PROJECTION, _TYPE, _PRIVATE, _YAW, _PITCH, _ROLL = 0x7670, 0x7671, 0x7672, 0x7673, 0x7674, 0x7675
_TYPES: Final = {"equirectangular": 1, "cubemap": 2}
_HEAD_BYTES: Final = 16 * 2**20
"""Tracks lie in front of all pictures; private data of codecs are kilobytes."""

ROOM: Final = "." * 80
"""More than the element takes, and sizes that get longer by it."""


def with_room(title: str) -> str:
    """The name that a track is to get from ffmpeg."""
    return title + ROOM


def write_sphere_matroska(path: Path, spheres: dict[int, Sphere]) -> None:
    """Puts the projection into the video elements of these tracks, and takes the room out of their names.

    Args:
        path: of a file that is whole.
        spheres: by their place among the tracks.

    Raises:
        OutputError: it is not as ffmpeg writes it.
        OSError: it cannot be written.
    """
    with path.open("r+b") as file:
        head = file.read(_HEAD_BYTES)
        start, tracks = _tracks(head, path.name)
        file.seek(start)
        file.write(_patched(tracks, spheres, path.name))


def _tracks(head: bytes, name: str) -> tuple[int, bytes]:
    """Where the content of Tracks begins, and that."""
    place = 0
    while place + 12 < len(head):
        kind, size, body = _header(head, place)
        if kind == _TRACKS and body + size <= len(head):
            return body, head[body : body + size]
        if kind == _CLUSTER:
            break
        place = body if kind == _SEGMENT else body + size
    raise OutputError(f"{name}: its tracks are not found. Choose another container.")


def _header(data: bytes, place: int) -> tuple[int, int, int]:
    """(identifier, size, where the content begins) of the element that begins there."""
    length = 9 - data[place].bit_length()
    kind = int.from_bytes(data[place : place + length], "big")
    place += length
    length = 9 - data[place].bit_length()
    size = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
    return kind, size, place + length


def _elements(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(identifier, content, all of it) of the elements in these bytes."""
    place = 0
    while place < len(data):
        kind, size, body = _header(data, place)
        yield kind, data[body : body + size], data[place : body + size]
        place = body + size


def _element(kind: int, content: bytes) -> bytes:
    size = len(content)
    length = next(length for length in range(1, 9) if size < (1 << 7 * length) - 1)
    coded = (size | 1 << 7 * length).to_bytes(length, "big")
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + coded + content


def _void(length: int) -> bytes:
    """A Void of so many bytes, its own header among them; at least 2, and at most 128."""
    return _element(_VOID, bytes(length - 2)) if length else b""


def _patched(tracks: bytes, spheres: dict[int, Sphere], name: str) -> bytes:
    number, parts, has_sum = 0, [], False
    for kind, content, whole in _elements(tracks):
        if kind == _TRACK_ENTRY:
            if number in spheres:
                whole = whole[: len(whole) - len(content)] + _in_entry(content, spheres[number], name)
            number += 1
        has_sum = has_sum or kind == _CRC
        if kind != _CRC:
            parts.append(whole)
    joined = b"".join(parts)
    checked = _element(_CRC, struct.pack("<I", zlib.crc32(joined))) + joined if has_sum else joined
    if len(checked) != len(tracks):
        raise OutputError(f"{name}: its tracks are not as ffmpeg writes them. Choose another container.")
    return checked


def _in_entry(entry: bytes, sphere: Sphere, name: str) -> bytes:
    parts = []
    for kind, content, whole in _elements(entry):
        if kind == _NAME and content.endswith(ROOM.encode()):
            title = content[: -len(ROOM)]
            parts.append(_element(_NAME, title) if title else b"")
        elif kind == _VIDEO:
            flat = b"".join(inner for inner_kind, _, inner in _elements(content) if inner_kind != _PROJECTION)
            parts.append(_element(_VIDEO, flat + _projection(sphere)))
        else:
            parts.append(whole)
    joined = b"".join(parts)
    left = len(entry) - len(joined)
    if left < 0 or left == 1:
        raise OutputError(f"{name}: its track has no room for a projection. Choose another container.")
    return joined + _void(left)


def _projection(sphere: Sphere) -> bytes:
    if sphere.projection == "cubemap":
        private = struct.pack(">3I", 0, 0, sphere.padding)
    else:
        private = struct.pack(">5I", 0, sphere.top, sphere.bottom, sphere.left, sphere.right)
    angles = ((_YAW, sphere.yaw), (_PITCH, sphere.pitch), (_ROLL, sphere.roll))
    pose = b"".join(_element(kind, struct.pack(">d", angle / 65536)) for kind, angle in angles)
    kinds = _element(_TYPE, bytes([_TYPES[sphere.projection]])) + _element(_PRIVATE, private)
    return _element(_PROJECTION, kinds + pose)
