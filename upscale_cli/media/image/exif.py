"""EXIF blocks: which way is up, and what must change when a picture is turned and enlarged.

An EXIF block is a small TIFF file: a header, IFD0, and sub-IFDs for the camera (Exif), the place (GPS) and an old
compatibility note (Interop); IFD1 describes a thumbnail. Maker notes inside it hold offsets that count from the
block's first byte, so a block is patched in place and never laid out anew, as long as it stays a block.
Only a TIFF file, whose own directory is IFD0, needs its fields taken apart and written again (`fields`, `pack`).

Source: CIPA DC-008-2023 (Exif 3.0), sections 4.5 and 4.6; TIFF 6.0, section 2; BigTIFF as in libtiff.
"""

import io
import struct
from dataclasses import dataclass
from typing import BinaryIO

IMAGE_WIDTH, IMAGE_LENGTH, ORIENTATION = 0x0100, 0x0101, 0x0112
EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
COLOUR_SPACE, INTEROP_INDEX = 0xA001, 0x0001
PIXEL_X, PIXEL_Y = 0xA002, 0xA003
SUBJECT_AREA, SUBJECT_LOCATION = 0x9214, 0xA214
FOCAL_PLANE_X, FOCAL_PLANE_Y = 0xA20E, 0xA20F
THUMBNAIL_OFFSET, THUMBNAIL_LENGTH = 0x0201, 0x0202

_SUB_IFDS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SHORT, _LONG, _RATIONAL = 3, 4, 5
_MAX_FIELD_BYTES = 64 * 2**20
_MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class Field:
    """One entry of an IFD: its tag, TIFF type, count, and value as raw bytes in the file's byte order.

    `entry` is where the 12 (BigTIFF: 20) bytes of the entry begin; `start` where the value does.
    `children` are the fields of the sub-IFD that the entry points to.
    """

    tag: int
    type: int
    count: int
    data: bytes
    entry: int = 0
    start: int = 0
    children: tuple["Field", ...] = ()


def byte_order(block: bytes) -> str | None:
    """'<' or '>' as struct wants it, or None where the block does not begin as TIFF does."""
    return {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])


def read_ifd(file: BinaryIO, offset: int, order: str, big: bool = False, depth: int = 0) -> tuple[list[Field], int]:
    """The fields of the IFD at `offset`, its sub-IFDs included, and the offset of the next IFD (0: none).

    Fields that lie outside of the file, or make no sense, are left out: half of the cameras write one.
    """
    head, entry_bytes, inline, number = (8, 20, 8, "Q") if big else (2, 12, 4, "I")
    file.seek(offset)
    raw = file.read(head)
    if len(raw) < head:
        return [], 0
    (count,) = struct.unpack(order + ("Q" if big else "H"), raw)
    if count > 65_535:
        return [], 0
    table = file.read(count * entry_bytes + inline)
    fields = []
    for index in range(min(count, len(table) // entry_bytes)):
        at = index * entry_bytes
        tag, kind = struct.unpack_from(order + "HH", table, at)
        (length,) = struct.unpack_from(order + number, table, at + 4)
        entry = offset + head + at
        size = _TYPE_BYTES.get(kind, 0) * length
        if not 0 < size <= _MAX_FIELD_BYTES:
            continue
        start = entry + entry_bytes - inline
        if size > inline:
            (start,) = struct.unpack_from(order + number, table, at + entry_bytes - inline)
        file.seek(start)
        data = file.read(size)
        if len(data) < size:
            continue
        children: tuple[Field, ...] = ()
        if tag in _SUB_IFDS and depth < _MAX_DEPTH and length == 1 and size in (4, 8):
            target = int.from_bytes(data, "little" if order == "<" else "big")
            children = tuple(read_ifd(file, target, order, big, depth + 1)[0])
        fields.append(Field(tag, kind, length, data, entry, start, children))
    following = table[count * entry_bytes : count * entry_bytes + inline]
    return fields, struct.unpack(order + number, following)[0] if len(following) == inline else 0


def fields(block: bytes) -> tuple[list[Field], str]:
    """The fields of IFD0 of an EXIF block, and the byte order; no fields where it is no EXIF block."""
    order = byte_order(block)
    if order is None or len(block) < 8:
        return [], "<"
    return read_ifd(io.BytesIO(block), struct.unpack_from(order + "I", block, 4)[0], order)[0], order


def orientation(block: bytes) -> int:
    """EXIF orientation 1..8 of a block; 1 where it has none that makes sense."""
    found, order = fields(block)
    for field in found:
        if field.tag == ORIENTATION and field.type in (_SHORT, _LONG):
            value = int.from_bytes(field.data[: _TYPE_BYTES[field.type]], "little" if order == "<" else "big")
            return value if 1 <= value <= 8 else 1
    return 1


def is_adobe_rgb(block: bytes) -> bool:
    """Whether a camera says that its colours are those of Adobe RGB: "uncalibrated" with R03, or its own number."""
    found, order = fields(block)
    inner = [child for field in found if field.tag == EXIF_IFD for child in field.children]
    spaces = [struct.unpack_from(order + "H", f.data)[0] for f in inner if f.tag == COLOUR_SPACE and len(f.data) >= 2]
    indices = [f.data for field in inner if field.tag == INTEROP_IFD for f in field.children if f.tag == INTEROP_INDEX]
    return spaces[:1] == [2] or (spaces[:1] == [0xFFFF] and any(index.startswith(b"R03") for index in indices))


def upright(block: bytes) -> bytes:
    """The block with orientation 1 and without a thumbnail; everything else byte for byte where it was."""
    found, order = fields(block)
    if not found:
        return block
    result = bytearray(block)
    for field in found:
        if field.tag == ORIENTATION:
            _put_number(result, field, 1, order)
    _drop_thumbnail(result, found, order)
    return bytes(result)


def has_thumbnail(block: bytes, order: str) -> bool:
    """Whether a second directory follows, which describes a thumbnail."""
    (first,) = struct.unpack_from(order + "I", block, 4)
    return read_ifd(io.BytesIO(block), first, order)[1] != 0


def without_orientation(block: bytes) -> bytes:
    """The block without that field, for encoders that would lay it out anew to take it out; all else stays in place."""
    found, order = fields(block)
    entry = next((field.entry for field in found if field.tag == ORIENTATION), None)
    if entry is None:
        return block
    (first,) = struct.unpack_from(order + "I", block, 4)
    (count,) = struct.unpack_from(order + "H", block, first)
    end = first + 2 + 12 * count + 4
    if end > len(block):
        return block
    table = struct.pack(order + "H", count - 1) + block[first + 2 : entry] + block[entry + 12 : end] + bytes(12)
    return block[:first] + table + block[end:]


def resized(block: bytes, width: int, height: int, scale: tuple[float, float] = (1.0, 1.0)) -> bytes:
    """The block with the picture's new size in every field that holds it, and with what it counts in pixels.

    Args:
        scale: what width and height were multiplied by.
    """
    found, order = fields(block)
    result = bytearray(block)
    values = {IMAGE_WIDTH: width, IMAGE_LENGTH: height, PIXEL_X: width, PIXEL_Y: height}
    nested = [child for field in found if field.tag == EXIF_IFD for child in field.children]
    for field in found + nested:
        if field.tag in values:
            _put_number(result, field, values[field.tag], order)
        elif field.tag in (SUBJECT_AREA, SUBJECT_LOCATION) and scale != (1, 1):
            _scale_subject(result, field, scale, order)
        elif field.tag in (FOCAL_PLANE_X, FOCAL_PLANE_Y) and scale != (1, 1):
            _scale_density(result, field, scale[field.tag == FOCAL_PLANE_Y], order)
    return bytes(result)


def _scale_subject(block: bytearray, field: Field, scale: tuple[float, float], order: str) -> None:
    """Where the subject is: x, y, and a diameter or a width and a height, in pixels."""
    if field.type == _SHORT and 2 <= field.count <= 4:
        numbers = struct.unpack(f"{order}{field.count}H", field.data)
        factors = (*scale, max(scale)) if field.count == 3 else scale * 2
        scaled = [min(round(number * factor), 65_535) for number, factor in zip(numbers, factors, strict=False)]
        struct.pack_into(f"{order}{field.count}H", block, field.start, *scaled)


def _scale_density(block: bytearray, field: Field, scale: float, order: str) -> None:
    """Pixels per unit of the sensor, of which the picture now has more."""
    if field.type == _RATIONAL and field.count == 1:
        above, below = struct.unpack(order + "II", field.data)
        if round(above * scale) < 2**32:
            struct.pack_into(order + "I", block, field.start, round(above * scale))
        else:
            struct.pack_into(order + "I", block, field.start + 4, max(round(below / scale), 1))


def _put_number(block: bytearray, field: Field, value: int, order: str) -> None:
    """Overwrite a single SHORT or LONG where it stands; a SHORT that is too small becomes a LONG: both are inline."""
    if field.count != 1 or field.type not in (_SHORT, _LONG) or field.entry + 12 > len(block):
        return
    kind = _SHORT if field.type == _SHORT and value < 2**16 else _LONG
    packed = struct.pack(order + ("HH" if kind == _SHORT else "I"), *((value, 0) if kind == _SHORT else (value,)))
    struct.pack_into(order + "H", block, field.entry + 2, kind)
    block[field.entry + 8 : field.entry + 12] = packed


def _drop_thumbnail(block: bytearray, found: list[Field], order: str) -> None:
    """Unlink IFD1; cut it off where it is the block's tail, else blank the thumbnail's bytes."""
    (first,) = struct.unpack_from(order + "I", block, 4)
    link = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    if link + 4 > len(block):
        return
    (second,) = struct.unpack_from(order + "I", block, link)
    if second == 0:
        return
    thumbnail, _ = read_ifd(io.BytesIO(bytes(block)), second, order)
    struct.pack_into(order + "I", block, link, 0)
    if second >= max(_end_of(found), link + 4):
        del block[second:]
        return
    numbers = {f.tag: int.from_bytes(f.data, "little" if order == "<" else "big") for f in thumbnail if f.count == 1}
    start, length = numbers.get(THUMBNAIL_OFFSET, 0), numbers.get(THUMBNAIL_LENGTH, 0)
    # A thumbnail that claims bytes of the fields before it is none, and stays.
    if start >= _end_of(found) and 0 < length <= len(block) - start:
        block[start : start + length] = bytes(length)


def _end_of(found: list[Field] | tuple[Field, ...]) -> int:
    """The first byte after everything that these fields hold."""
    ends = [max(f.entry + 12 + 4, f.start + len(f.data), _end_of(f.children)) for f in found]
    return max(ends, default=0)


def pack(found: list[Field], offset: int, order: str, big: bool = False, following: int = 0) -> bytes:
    """An IFD with these fields and their sub-IFDs, as it has to stand at byte `offset` of a file (an even number).

    `following` is the offset of the next IFD.
    """
    head, entry_bytes, inline, number = ("Q", 20, 8, "Q") if big else ("H", 12, 4, "I")
    found = sorted(found, key=lambda field: field.tag)
    table_bytes = struct.calcsize(order + head) + entry_bytes * len(found) + inline
    table, heap = bytearray(struct.pack(order + head, len(found))), bytearray()
    for field in found:
        data, kind, count = field.data, field.type, field.count
        here = offset + table_bytes + len(heap)
        if field.children:
            heap += _even(pack(list(field.children), here, order, big))
            kind, count, data = (18 if big else 4), 1, struct.pack(order + number, here)
        elif len(data) > inline:
            heap += _even(data)
            data = struct.pack(order + number, here)
        table += struct.pack(order + "HH" + number, field.tag, kind, count) + data.ljust(inline, b"\0")
    return bytes(table + struct.pack(order + number, following) + heap)


def block_of(found: list[Field], order: str) -> bytes | None:
    """A new EXIF block that holds these fields; None for no fields."""
    if not found:
        return None
    return (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8) + pack(found, 8, order)


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)
