"""Spheres and pairs of views in finished MP4 and QuickTime files: the boxes st3d and sv3d, which ffmpeg writes only for
streams that it copies.

Sources: ISO/IEC 14496-12 (boxes, stco, co64); Spherical Video V2 RFC
(https://github.com/google/spatial-media/blob/master/docs/spherical-video-v2-rfc.md).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from upscale_cli.errors import OutputError
from upscale_cli.media.video.spatial import MP4_STEREO, Spatial, Sphere

_CHUNK_BYTES: Final = 8 * 2**20
_VISUAL_ENTRY_BYTES: Final = 86
"""Of a sample entry of pictures, before its own boxes."""
_REPLACED: Final = (b"st3d", b"sv3d")


def write_spatial_mp4(path: Path, tracks: dict[int, Spatial]) -> None:
    """Puts the boxes into the sample descriptions of these tracks.

    Args:
        path: of a file that is whole.
        tracks: by their place among the `trak` boxes.

    Raises:
        OutputError: it is not as ffmpeg writes it.
        OSError: it cannot be written.
    """
    with path.open("r+b") as file:
        places = {kind: (start, size) for kind, start, size in _outermost(file)}
        if b"moov" not in places:
            raise OutputError(f"{path.name}: it has no index. Choose another container.")
        start, size = places[b"moov"]
        file.seek(start)
        old = file.read(size)
        moov = _patched(old, tracks)
        grown = len(moov) - len(old)
        if places.get(b"mdat", (0, 0))[0] > start:
            moov = _moved(moov, grown, path.name)
        _shift(file, start + size, grown)
        file.seek(start)
        file.write(moov)


def _outermost(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, size) of the outermost boxes."""
    end = file.seek(0, 2)
    start = 0
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        size = size or end - start
        yield kind, start, size
        start += max(8, size)


def _boxes(data: bytes, start: int) -> Iterator[tuple[bytes, bytes]]:
    """(kind, whole box) of those that lie in these bytes from there on."""
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        if size < 8:
            return
        yield kind, data[start : start + size]
        start += size


def _box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def _patched(moov: bytes, tracks: dict[int, Spatial]) -> bytes:
    number, parts = 0, []
    for kind, box in _boxes(moov, 8):
        if kind == b"trak":
            parts.append(_in_track(box, tracks[number]) if number in tracks else box)
            number += 1
        else:
            parts.append(box)
    return _box(b"moov", b"".join(parts))


def _in_track(box: bytes, spatial: Spatial) -> bytes:
    """A box on the way down to the sample description, with the new boxes in that."""
    kind = box[4:8]
    if kind == b"stsd":
        entries = [_in_entry(entry, spatial) for _, entry in _boxes(box, 16)]
        return _box(kind, box[8:16] + b"".join(entries))
    if kind in (b"trak", b"mdia", b"minf", b"stbl"):
        return _box(kind, b"".join(_in_track(inner, spatial) for _, inner in _boxes(box, 8)))
    return box


def _in_entry(entry: bytes, spatial: Spatial) -> bytes:
    kept = b"".join(box for kind, box in _boxes(entry, _VISUAL_ENTRY_BYTES) if kind not in _REPLACED)
    return _box(entry[4:8], entry[8:_VISUAL_ENTRY_BYTES] + kept + _stereo(spatial) + _sphere(spatial.sphere))


def _stereo(spatial: Spatial) -> bytes:
    if spatial.packing is None:
        return b""
    return _box(b"st3d", struct.pack(">IB", 0, MP4_STEREO[spatial.packing, spatial.is_inverted]))


def _sphere(sphere: Sphere | None) -> bytes:
    if sphere is None:
        return b""
    header = _box(b"svhd", struct.pack(">I", 0) + b"upscale-cli\0")
    pose = _box(b"prhd", struct.pack(">I3i", 0, sphere.yaw, sphere.pitch, sphere.roll))
    if sphere.projection == "cubemap":
        projection = _box(b"cbmp", struct.pack(">3I", 0, 0, sphere.padding))
    else:
        bounds = sphere.top, sphere.bottom, sphere.left, sphere.right
        projection = _box(b"equi", struct.pack(">5I", 0, *bounds))
    return _box(b"sv3d", header + _box(b"proj", pose + projection))


def _moved(box: bytes, by: int, name: str) -> bytes:
    """The index of media data that lie so many bytes further on."""
    kind = box[4:8]
    if kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        return _box(kind, b"".join(_moved(inner, by, name) for _, inner in _boxes(box, 8)))
    if kind not in (b"stco", b"co64"):
        return box
    letter = "I" if kind == b"stco" else "Q"
    offsets = [place + by for (place,) in struct.iter_unpack(f">{letter}", box[16:])]
    if letter == "I" and max(offsets, default=0) >= 2**32:
        raise OutputError(f"{name}: 4 GiB of media data leave no room for the spherical mapping. Choose .mkv.")
    return _box(kind, box[8:16] + struct.pack(f">{len(offsets)}{letter}", *offsets))


def _shift(file: IO[bytes], start: int, by: int) -> None:
    """Moves all bytes from there on, the last first."""
    place = file.seek(0, 2)
    while by and place > start:
        length = min(_CHUNK_BYTES, place - start)
        place -= length
        file.seek(place)
        data = file.read(length)
        file.seek(place + by)
        file.write(data)
