"""Whether a clip of H.264, HEVC or VP9 was coded without loss, as far as its headers say. Pure.

H.264 can by its High 4:4:4 Predictive profile only, and then says so of the whole sequence. HEVC says so block by
block; x265, which most such clips come from, notes in a message of its own what it was asked for. VP9 says so of each
frame, by a quantiser of 0.

Sources: ITU-T H.264, 7.3.2.1.1 (`qpprime_y_zero_transform_bypass_flag`), 7.4.1.1 (emulation prevention); ISO/IEC
14496-15, 5.3.3 (`avcC`); VP9 bitstream specification 0.6, 6.2 (`uncompressed_header`), 7.2 (`Lossless`).
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
        codec: "h264", "hevc" or "vp9"; any other is not known.
        extradata: of the container, as libavformat gives it.
        packet: the first one, with all headers where the container has none.
    """
    if codec == "h264":
        return any(_bypasses(unit) for data in (extradata, packet) for unit in _sequences(data))
    if codec == "hevc":
        return any("lossless" in found[1].decode("latin-1").split() for found in _X265.finditer(extradata + packet))
    return codec == "vp9" and _is_unquantised(packet)


def _is_unquantised(frame: bytes) -> bool:
    """Whether a key frame of VP9 has a quantiser of 0 and no difference to it anywhere."""
    bits = _Bits(frame[:64])
    try:
        if bits.take(2) != 2:  # frame_marker
            return False
        profile = bits.take(1) + 2 * bits.take(1)
        if profile == 3:
            bits.take(1)
        if bits.take(1) or bits.take(1):  # shows an existing frame, or is no key frame
            return False
        bits.take(1)
        is_resilient = bits.take(1)
        bits.take(24)  # sync code
        _skip_vp9_colour(bits, profile)
        bits.take(32)  # size
        if bits.take(1):
            bits.take(32)  # size to be shown in
        bits.take(4 if not is_resilient else 2)  # contexts
        bits.take(9)  # loop filter
        if bits.take(1) and bits.take(1):
            for _ in range(6):
                if bits.take(1):
                    bits.take(7)
        return bits.take(8) == 0 and not any(bits.take(1) and bits.take(5) >> 1 for _ in range(3))
    except EOFError:
        return False


def _skip_vp9_colour(bits: "_Bits", profile: int) -> None:
    """color_config."""
    if profile >= 2:
        bits.take(1)  # 10 or 12 bits
    is_rgb = bits.take(3) == 7
    if not is_rgb:
        bits.take(1)  # range
    if profile in (1, 3):
        bits.take(1 if is_rgb else 3)  # subsampling


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
