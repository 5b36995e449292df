"""Whether a clip of H.264 or HEVC was coded without loss, as far as its headers say. Pure.

H.264 can by its High 4:4:4 Predictive profile only, and then says so of the whole sequence. HEVC says so block by
block; x265, which most such clips come from, notes in a message of its own what it was asked for.

Sources: ITU-T H.264, 7.3.2.1.1 (`qpprime_y_zero_transform_bypass_flag`), 7.4.1.1 (emulation prevention); ISO/IEC
14496-15, 5.3.3 (`avcC`).
"""

import re
from collections.abc import Iterator
from typing import Final

HIGH_444_PREDICTIVE: Final = 244
_SEQUENCE: Final = 7
_UNIT: Final = re.compile(rb"\x00\x00\x01(?=[\x07\x27\x47\x67])")
_X265: Final = re.compile(rb"x265 \(build [^\x00]*options:([^\x00\x80]*)")


def is_lossless(codec: str, extradata: bytes, packet: bytes) -> bool:
    """Whether the headers say so; False where they do not, whatever the samples are.

    Args:
        codec: "h264" or "hevc"; any other is not known.
        extradata: of the container, as libavformat gives it.
        packet: the first one, with all headers where the container has none.
    """
    if codec == "h264":
        return any(_bypasses(unit) for data in (extradata, packet) for unit in _sequences(data))
    if codec == "hevc":
        return any("lossless" in found[1].decode("latin-1").split() for found in _X265.finditer(extradata + packet))
    return False


def _sequences(data: bytes) -> Iterator[bytes]:
    """The sequence parameter sets in an `avcC`, or between start codes; without the byte of their type."""
    if data[:1] == b"\1" and len(data) > 8:
        at = 6
        for _ in range(data[5] & 0x1F):
            length = int.from_bytes(data[at : at + 2], "big")
            yield data[at + 3 : at + 2 + length]
            at += 2 + length
        return
    for found in _UNIT.finditer(data):
        if data[found.end()] & 0x1F == _SEQUENCE:
            yield data[found.end() + 1 :].partition(b"\0\0\1")[0]


def _bypasses(sequence: bytes) -> bool:
    """Whether transform and quantisation are left out at the least quantiser, which encoders declare for that alone."""
    if len(sequence) < 4 or sequence[0] != HIGH_444_PREDICTIVE:
        return False
    bits = _Bits(sequence[3:64].replace(b"\0\0\3", b"\0\0"))
    try:
        bits.golomb()  # its number
        if bits.golomb() == 3:  # 4:4:4
            bits.take(1)  # separate planes
        bits.golomb(), bits.golomb()  # depths of luma and chroma
        return bits.take(1) == 1
    except EOFError:
        return False


class _Bits:
    """Bits from the first byte's highest on."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, count: int) -> int:
        """A number of so many bits.

        Raises:
            EOFError: there are fewer.
        """
        part = self._bits[self._at : self._at + count]
        if len(part) < count:
            raise EOFError
        self._at += count
        return int(part, 2) if part else 0

    def golomb(self) -> int:
        """ue(v), H.264 9.1.

        Raises:
            EOFError: it does not end.
        """
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
