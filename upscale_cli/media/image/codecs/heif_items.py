"""The items of an AVIF or HEIC file and their properties: what the libraries do not tell, and cannot write.

Sources: ISO/IEC 14496-12:2022, sections 8.11 (meta, iloc, iinf, iref, iprp) and 12.1.5 (colr); ISO/IEC 23008-12:2022,
sections 6.5 and A.2 (Exif); AV1 ISO media file format binding 1.3, section 2.3 (av1C).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from upscale_cli.errors import InputError
from upscale_cli.media.image.codecs.boxes import box, boxes_in, boxes_of
from upscale_cli.media.image.colours import Colours, of_codes

_MAX_META: Final = 2**24
_FULL: Final = 4
"""Bytes of version and flags, with which a full box begins."""

_NCLX: Final = b"nclx"
_EXIF_TYPE, _XMP_TYPE = b"Exif", b"mime"
_XMP_MIME: Final = b"application/rdf+xml"


@dataclass(frozen=True, slots=True)
class Primary:
    """What the properties of the picture itself declare.

    Attributes:
        bits: per sample.
        codes: primaries and transfer characteristics, by ITU-T H.273; None where none are declared.
        aspect: width and height of a pixel.
        types: of all items of the file.
        urns: kinds of all auxiliary pictures.
    """

    bits: int = 8
    codes: tuple[int, int] | None = None
    aspect: tuple[int, int] | None = None
    types: frozenset[bytes] = frozenset()
    urns: frozenset[bytes] = frozenset()


def primary_of(file: BinaryIO) -> Primary:
    """What a file declares of its primary picture; the defaults where its boxes make no sense."""
    for kind, start, stop in boxes_in(file):
        if kind == b"meta" and stop - start < _MAX_META:
            file.seek(start + _FULL)
            try:
                return _primary(dict(boxes_of(file.read(stop - start - _FULL))))
            except (struct.error, IndexError, KeyError):
                return Primary()
    return Primary()


def _primary(meta: dict[bytes, bytes]) -> Primary:
    properties = list(boxes_of(dict(boxes_of(meta[b"iprp"]))[b"ipco"]))
    number = _number(meta[b"pitm"][_FULL:], 2 if meta[b"pitm"][0] == 0 else 4)
    owned = [properties[index - 1] for index in _owned(dict(boxes_of(meta[b"iprp"]))[b"ipma"], number) if index]
    found = Primary(
        types=frozenset(kind for kind in _item_types(meta[b"iinf"])),
        urns=frozenset(data[_FULL:].split(b"\0")[0] for kind, data in properties if kind == b"auxC"),
    )
    bits, codes, aspect = found.bits, found.codes, found.aspect
    for kind, data in owned:
        if kind == b"av1C" and data[2] & 0x40:
            bits = 12 if data[2] & 0x20 else 10
        elif kind == b"pixi" and data[_FULL]:
            bits = data[_FULL + 1]
        elif kind == b"colr" and data[:4] == _NCLX:
            codes = struct.unpack_from(">HH", data, 4)
        elif kind == b"pasp":
            aspect = struct.unpack_from(">II", data)
    return Primary(bits, codes, aspect, found.types, found.urns)


def _number(data: bytes, length: int) -> int:
    return int.from_bytes(data[:length], "big")


def _owned(ipma: bytes, number: int) -> list[int]:
    """Indices, from 1, of the properties of an item."""
    wide, long = ipma[3] & 1, 4 if ipma[0] else 2
    (count,) = struct.unpack_from(">I", ipma, _FULL)
    at = _FULL + 4
    for _ in range(count):
        item, associations = _number(ipma[at:], long), ipma[at + long]
        at += long + 1
        step = 2 if wide else 1
        indices = [_number(ipma[at + step * each :], step) & (0x7FFF if wide else 0x7F) for each in range(associations)]
        if item == number:
            return indices
        at += step * associations
    return []


def _item_types(iinf: bytes) -> Iterator[bytes]:
    for kind, data in boxes_of(iinf[_FULL + (4 if iinf[0] else 2) :]):
        if kind == b"infe" and data[0] >= 2:
            at = _FULL + (2 if data[0] == 2 else 4) + 2
            yield data[at : at + 4]


def colours_of(primary: Primary, has_profile: bool) -> Colours | None:
    """What a picture's numbers declare; beside a profile they count only where they say that it is HDR."""
    colours = of_codes(*primary.codes) if primary.codes else None
    return None if has_profile and colours and not colours.hdr else colours


def matrix_of(primaries: int) -> int:
    """The matrix of H.273 that goes with primaries: BT.2020's, else BT.601's, which stills have by tradition."""
    return 9 if primaries == 9 else 6


def with_metadata(data: bytes, *, icc: bytes | None, exif: bytes | None, xmp: bytes | None) -> bytes:
    """An AVIF file as libavif lays it out (ftyp, meta, mdat; 16-bit numbers of items), with further metadata.

    Args:
        exif: from its TIFF header on.

    Raises:
        InputError: the file is laid out in another way.
    """
    if not (icc or exif or xmp):
        return data
    kinds = list(boxes_of(data))
    if [kind for kind, _ in kinds] != [b"ftyp", b"meta", b"mdat"]:
        raise InputError("the AVIF file is laid out in an unknown way")
    (_, ftyp), (_, meta), (_, mdat) = kinds
    parts = dict(boxes_of(meta[_FULL:]))
    added = []
    if exif:
        added.append((_EXIF_TYPE, b"Exif\0", bytes(4) + exif))
    if xmp:
        added.append((_XMP_TYPE, b"XMP\0" + _XMP_MIME + b"\0", xmp))
    primary = _number(parts[b"pitm"][_FULL:], 2)
    places = _places(parts[b"iloc"])
    first = max(places) + 1
    parts[b"iinf"] = _more_items(parts[b"iinf"], added, first)
    parts[b"iref"] = _more_references(parts.get(b"iref", bytes(_FULL)), len(added), first, primary)
    if icc:
        parts[b"iprp"] = _with_profile(parts[b"iprp"], icc, primary)
    # Places count from the file's beginning, and so depend on how long the meta box is, which their values do not.
    data_at = len(data) - len(mdat)
    places = {number: (offset - data_at, length) for number, (offset, length) in places.items()}
    behind = len(mdat)
    for index, (_, _, content) in enumerate(added):
        places[first + index] = (behind, len(content))
        behind += len(content)
    parts[b"iloc"] = _located(places, 0)
    head = box(b"ftyp", ftyp)
    body = box(b"mdat", mdat + b"".join(content for _, _, content in added))
    shift = len(head) + len(box(b"meta", _joined(meta, parts))) + len(body) - behind
    parts[b"iloc"] = _located(places, shift)
    return head + box(b"meta", _joined(meta, parts)) + body


def _joined(meta: bytes, parts: dict[bytes, bytes]) -> bytes:
    return meta[:_FULL] + b"".join(box(kind, content) for kind, content in parts.items())


def _places(iloc: bytes) -> dict[int, tuple[int, int]]:
    """(offset, bytes) of each item, of a version 0 box with 32-bit numbers and one extent each, as libavif has it."""
    if iloc[0] != 0 or iloc[_FULL : _FULL + 2] != b"\x44\0":
        raise InputError("the AVIF file locates its items in an unknown way")
    (count,) = struct.unpack_from(">H", iloc, _FULL + 2)
    found = {}
    for index in range(count):
        number, _, extents, offset, length = struct.unpack_from(">HHHII", iloc, _FULL + 4 + 14 * index)
        if extents != 1:
            raise InputError("the AVIF file locates its items in an unknown way")
        found[number] = (offset, length)
    return found


def _located(places: dict[int, tuple[int, int]], shift: int) -> bytes:
    entries = b"".join(
        struct.pack(">HHHII", number, 0, 1, offset + shift, length) for number, (offset, length) in places.items()
    )
    return bytes(_FULL) + b"\x44\0" + struct.pack(">H", len(places)) + entries


def _more_items(iinf: bytes, added: list[tuple[bytes, bytes, bytes]], first: int) -> bytes:
    (count,) = struct.unpack_from(">H", iinf, _FULL)
    further = b"".join(
        box(b"infe", struct.pack(">IHH", 2 << 24, first + index, 0) + kind + name)
        for index, (kind, name, _) in enumerate(added)
    )
    return iinf[:_FULL] + struct.pack(">H", count + len(added)) + iinf[_FULL + 2 :] + further


def _more_references(iref: bytes, count: int, first: int, primary: int) -> bytes:
    """Each new item describes the picture."""
    return iref + b"".join(box(b"cdsc", struct.pack(">HHH", first + index, 1, primary)) for index in range(count))


def _with_profile(iprp: bytes, icc: bytes, primary: int) -> bytes:
    """The properties with a profile, which is the last of them, for the primary picture."""
    parts = dict(boxes_of(iprp))
    index = sum(1 for _ in boxes_of(parts[b"ipco"])) + 1
    ipma, at = parts[b"ipma"], _FULL + 4
    if ipma[0] or ipma[3] & 1 or index > 0x7F:
        raise InputError("the AVIF file keeps its properties in an unknown way")
    while _number(ipma[at:], 2) != primary:
        at += 3 + ipma[at + 2]
    end = at + 3 + ipma[at + 2]
    ipma = ipma[: at + 2] + bytes([ipma[at + 2] + 1]) + ipma[at + 3 : end] + bytes([index]) + ipma[end:]
    return box(b"ipco", parts[b"ipco"] + box(b"colr", b"prof" + icc)) + box(b"ipma", ipma)
