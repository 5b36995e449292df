"""Boxes of MP4 and QuickTime put into files by hand (ISO/IEC 14496-12, 4.2), for what ffmpeg does not write."""

import struct
from pathlib import Path

_PARENTS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def box(kind: bytes, payload: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(payload), kind) + payload


def add_to_sample_entry(path: Path, entry: bytes, more: bytes) -> Path:
    """Appends boxes to the sample entry of that coding ("avc1"), in a file whose index lies at its end."""
    data = bytearray(path.read_bytes())
    assert data.find(b"mdat") < data.find(b"moov")
    place = _find_entry(data, entry)
    end = place + struct.unpack_from(">I", data, place)[0]
    for start in [*_above(data, place), place]:
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(more))
    data[end:end] = more
    path.write_bytes(data)
    return path


def add_to_track(path: Path, entry: bytes, more: bytes) -> Path:
    """Appends boxes to the `trak` of the sample entry of that coding."""
    data = bytearray(path.read_bytes())
    moov, trak, *_ = _above(data, _find_entry(data, entry))
    end = trak + struct.unpack_from(">I", data, trak)[0]
    for start in (moov, trak):
        (size,) = struct.unpack_from(">I", data, start)
        struct.pack_into(">I", data, start, size + len(more))
    data[end:end] = more
    path.write_bytes(data)
    return path


def _find_entry(data: bytearray, entry: bytes) -> int:
    description = data.find(b"stsd", data.find(b"moov"))
    place = data.find(entry, description)
    assert place > 0
    return place - 4


def _above(data: bytearray, place: int) -> list[int]:
    """Where the boxes begin that hold that place, the outermost first."""
    found: list[int] = []
    start, end = 0, len(data)
    while True:
        while start + 8 <= end:
            size, kind = struct.unpack_from(">I4s", data, start)
            if start < place < start + size:
                break
            start += size
        else:
            return found
        found.append(start)
        if kind == b"stsd":
            return found
        end = start + size
        start += 8
        assert kind in _PARENTS, kind
