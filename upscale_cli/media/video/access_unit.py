"""Messages put into an encoded picture: SEI messages of H.264 and HEVC, metadata OBUs of AV1. Pure.

Nothing else of the packet changes. Packets are as MP4 and Matroska hold them: units of H.264 and HEVC begin with their
length (`avcC`, `hvcC`), OBUs of AV1 have a size field.

Sources: ITU-T H.264 and H.265, 7.3.2.3 and annex D (SEI, `user_data_registered_itu_t_t35`); AV1 bitstream
specification, 5.3 (OBU), 5.8 (metadata), 5.9.2 (frame header).
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal

Coding = Literal["h264", "hevc", "av1"]

_LENGTH_BYTES: Final = 4
"""Of the length before a unit: what libavformat always writes."""

_REGISTERED_USER_DATA: Final = 4
"""`payloadType` of user_data_registered_itu_t_t35, and `metadata_type` METADATA_TYPE_ITUT_T35 of AV1."""

_H264_SEI: Final = b"\x06"
_HEVC_PREFIX_SEI: Final = 39 << 1
_OBU_METADATA: Final = 5
_OBU_FRAME_HEADER, _OBU_FRAME, _OBU_TILE_GROUP = 3, 6, 4
_HAS_EXTENSION, _HAS_SIZE = 0x04, 0x02


def with_messages(packet: bytes, coding: Coding, messages: Sequence[bytes]) -> bytes:
    """The packet of one picture, and T.35 messages in it.

    Args:
        messages: each from its country code on.

    Raises:
        ValueError: the packet is not as described above.
    """
    if not messages:
        return packet
    if coding == "av1":
        place = _shown_frame(packet)
        return packet[:place] + b"".join(map(_metadata_obu, messages)) + packet[place:]
    place = _first_picture(packet, coding)
    unit = _sei_header(packet[place + _LENGTH_BYTES :], coding) + _escaped(b"".join(map(_sei, messages)) + b"\x80")
    return packet[:place] + len(unit).to_bytes(_LENGTH_BYTES, "big") + unit + packet[place:]


# H.264 and HEVC


def _units(packet: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each unit begins, its length first, and its first two bytes."""
    place = 0
    while place < len(packet):
        begin = place + _LENGTH_BYTES
        length = int.from_bytes(packet[place:begin], "big")
        if length < 2 or begin + length > len(packet):
            raise ValueError("the packet is not made of units with their lengths")
        yield place, packet[begin : begin + 2]
        place = begin + length


def _first_picture(packet: bytes, coding: Coding) -> int:
    """Where the first unit with samples begins."""
    for place, unit in _units(packet):
        if _is_picture(unit, coding):
            return place
    raise ValueError("there is no picture in the packet")


def _is_picture(unit: bytes, coding: Coding) -> bool:
    """Whether a unit has samples: SEI messages come before the first that does."""
    return 1 <= unit[0] & 0x1F <= 5 if coding == "h264" else unit[0] >> 1 & 0x3F < 32


def _sei_header(picture: bytes, coding: Coding) -> bytes:
    """Of a unit of SEI messages; in HEVC of the same layer and temporal sub-layer as the picture."""
    if coding == "h264":
        return _H264_SEI
    return bytes((_HEVC_PREFIX_SEI | picture[0] & 1, picture[1]))


def _sei(message: bytes) -> bytes:
    whole, rest = divmod(len(message), 255)
    return bytes((_REGISTERED_USER_DATA, *(255,) * whole, rest)) + message


def _escaped(data: bytes) -> bytes:
    """With emulation prevention: no three bytes in it look like the beginning of a unit.

    >>> _escaped(bytes((0, 0, 1, 0, 0, 0, 0))).hex()
    '00000301000003000000'
    """
    escaped, zeros = bytearray(), 0
    for byte in data:
        if zeros == 2 and byte <= 3:
            escaped.append(3)
            zeros = 0
        escaped.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(escaped)


# AV1


def _metadata_obu(message: bytes) -> bytes:
    payload = bytes((_REGISTERED_USER_DATA,)) + message + b"\x80"
    return bytes((_OBU_METADATA << 3 | _HAS_SIZE,)) + _leb128(len(payload)) + payload


def _leb128(number: int) -> bytes:
    groups = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        groups.append(low | (0x80 if number else 0))
        if not number:
            return bytes(groups)


def _shown_frame(packet: bytes) -> int:
    """Where the frame begins that is shown, behind hidden ones: decoders give a message to the frame after it."""
    place = 0
    while place < len(packet):
        begin = place
        header = packet[place]
        if not header & _HAS_SIZE:
            raise ValueError("an OBU of the packet has no size")
        place += 2 if header & _HAS_EXTENSION else 1
        size, shift = 0, 0
        while True:
            if place >= len(packet):
                raise ValueError("the packet ends within an OBU")
            byte = packet[place]
            size |= (byte & 0x7F) << shift
            place, shift = place + 1, shift + 7
            if not byte & 0x80:
                break
        kind = header >> 3 & 0x0F
        if kind in (_OBU_FRAME, _OBU_FRAME_HEADER) and size and _is_shown(packet[place]):
            return begin
        place += size
    raise ValueError("the packet shows no frame")


def _is_shown(first: int) -> bool:
    """By the first byte of a frame header: show_existing_frame, two bits of the type, show_frame."""
    return bool(first & 0x80 or first & 0x10)
