"""NUT around raw frames, so that each goes through a pipe with its own timestamp. Pure.

Only headers are made here, a dozen bytes a frame. So samples go into the pipe from where they lie, which a muxer would
copy twice first. Written after the specification of NUT 4 (M. Niedermayer et al., https://ffmpeg.org/~michael/nut.txt),
and no more of it than a pipe of raw frames needs: every frame is a key frame, no frame can be sought.

    file id, main header, a header for each stream, one syncpoint, then (frame header, samples) again and again
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

_FILE_ID: Final = b"nut/multimedia container\0"
_MAIN: Final = bytes.fromhex("4E4D7A561F5F04AD")
_STREAM: Final = bytes.fromhex("4E5311405BF2F9DB")
_SYNCPOINT: Final = bytes.fromhex("4E4BE4ADEECA4569")
_INFO: Final = bytes.fromhex("4E49AB68B596BA78")

_FRAME_CODE: Final = 1
"""The first byte of every frame: the only code that the main header's table allows."""

_FRAME_FLAGS: Final = 1 | 8 | 16 | 32 | 64  # key frame; coded: time, stream, size, checksum
_INVALID: Final = 1 << 13
_OTHER_CODES: Final = 256 - 3
"""All but code 0, ours, and "N", which begins what is no frame and is never counted."""

_MAX_DISTANCE: Final = 2**15 - 1
"""Bytes a frame may have without a checksum of its header. Ours all have one."""

_SHORT_TIME_BITS: Final = 7
"""Timestamps below 2 ** this would be taken for the end of one; ours are whole, which this much added declares."""

_IS_PIPE: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RawStream:
    """What the headers declare of a stream of raw frames.

    Attributes:
        tag: four bytes that name the pixel format, as ffmpeg's raw video has them.
        width, height: in pixels.
        time_base: seconds per tick of its timestamps.
        rate: frames per second, the best guess.
    """

    tag: bytes
    width: int
    height: int
    time_base: Fraction
    rate: Fraction


def headers(streams: Sequence[RawStream]) -> bytes:
    """What comes before the first frame."""
    packets = [_packet(_MAIN, _main(streams))]
    packets += [_packet(_STREAM, _stream(number, stream)) for number, stream in enumerate(streams)]
    packets += [_packet(_INFO, _info(number, stream)) for number, stream in enumerate(streams)]
    packets += [_packet(_SYNCPOINT, _number(0) + _number(0))]  # times count from 0, and no syncpoint lies before
    return _FILE_ID + b"".join(packets)


def frame_header(stream: int, pts: int, size: int) -> bytes:
    """What comes before the samples of a frame.

    Args:
        stream: which of the streams.
        pts: in its ticks, not below 0.
        size: of the samples, in bytes.
    """
    assert pts >= 0, f"NUT has no time below zero: {pts}"
    coded = _number(stream) + _number(pts + (1 << _SHORT_TIME_BITS)) + _number(size)
    header = bytes((_FRAME_CODE,)) + coded
    return header + _checksum(header)


def _main(streams: Sequence[RawStream]) -> bytes:
    numbers = [4, 1, len(streams), _MAX_DISTANCE, len(streams)]  # version 4.1; each stream has a time base of its own
    for stream in streams:
        numbers += [stream.time_base.numerator, stream.time_base.denominator]
    # Flags, how many fields follow, and the fields: time, factor of the size, stream, size, reserved, number of codes.
    numbers += [_INVALID, 0]
    numbers += [_FRAME_FLAGS, 0]
    numbers += [_INVALID, 6, 0, 1, 0, 0, 0, _OTHER_CODES]
    numbers += [0, _IS_PIPE]  # frames have no beginnings in common
    return b"".join(map(_number, numbers))


def _stream(number: int, stream: RawStream) -> bytes:
    second = int(1 / stream.time_base)
    return b"".join(
        (
            *map(_number, (number, 0)),  # of class video
            _text(stream.tag),
            *map(_number, (number, _SHORT_TIME_BITS, second, 0, 0)),  # time base; a jump; frames out of order; flags
            _text(b""),  # the codec needs no more
            *map(_number, (stream.width, stream.height, 0, 0, 0)),  # shape of a pixel and colours: not declared here
        )
    )


def _info(number: int, stream: RawStream) -> bytes:
    rate = f"{stream.rate.numerator}/{stream.rate.denominator}".encode()
    is_text = _number(2)  # -1, as signed numbers are coded
    return b"".join((*map(_number, (number + 1, 0, 0, 0, 1)), _text(b"r_frame_rate"), is_text, _text(rate)))


def _packet(startcode: bytes, payload: bytes) -> bytes:
    """One of the headers. Above 4096 bytes it would need one more checksum; even those of 256 streams are smaller, and
    readers take no more streams."""
    return startcode + _number(len(payload) + 4) + payload + _checksum(payload)


def _text(data: bytes) -> bytes:
    return _number(len(data)) + data


def _number(value: int) -> bytes:
    """Seven bits a byte, the highest first; all bytes but the last have their top bit set.

    >>> _number(300).hex()
    '822c'
    """
    coded = bytearray((value & 127,))
    while value := value >> 7:
        coded.append(value & 127 | 128)
    return bytes(reversed(coded))


def _checksum(data: bytes) -> bytes:
    """CRC-32 of Ethernet's polynomial, the highest bit first, beginning with 0 (zlib's goes the other way)."""
    crc = 0
    for byte in data:
        crc = crc << 8 & 0xFFFFFFFF ^ _CRC[crc >> 24 ^ byte]
    return crc.to_bytes(4, "big")


def _crc_table() -> Iterator[int]:
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x104C11DB7 if crc >> 31 else 0)
        yield crc


_CRC: Final = tuple(_crc_table())
