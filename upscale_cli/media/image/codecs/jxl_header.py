"""The header of a JPEG XL codestream: size, depth, channels, orientation and colour space.

No library reads these without decoding the picture, and they decide whether it may be decoded at all.

Source: ISO/IEC 18181-1:2024, annexes B and D.
"""

from dataclasses import dataclass

from upscale_cli.errors import InputError

CODESTREAM = b"\xff\x0a"
HEADER_BYTES = 4096
LINEAR, SRGB_CURVE, PQ, HLG = 8, 13, 16, 18
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_ALPHA = 0
_GRAY = 1
_D65, _SRGB_PRIMARIES, _CUSTOM = 1, 1, 2


class _Bits:
    """Bits of a codestream, lowest first; U32 and Enum as the standard's section B defines them."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._length = 8 * len(data)
        self.position = 0

    def u(self, count: int) -> int:
        if self.position + count > self._length:
            raise InputError("the JPEG XL header is cut off")
        value = self._value >> self.position & (1 << count) - 1
        self.position += count
        return value

    def flag(self) -> bool:
        return self.u(1) == 1

    def choice(self, *choices: int | tuple[int, int]) -> int:
        """U32: two bits choose a constant, or (offset, bits)."""
        chosen = choices[self.u(2)]
        return chosen if isinstance(chosen, int) else chosen[0] + self.u(chosen[1])

    def enum(self) -> int:
        return self.choice(0, 1, (2, 4), (18, 6))


@dataclass(slots=True)
class Header:
    """SizeHeader and ImageMetadata, as far as they matter here; defaults are the standard's.

    `extra_channels` are all but the colours, alpha included. `white` and `primaries` are numbers as well; `curve` is
    the transfer function's number, or minus its gamma, and `curve_at` the bit of the codestream where it begins.
    """

    width: int
    height: int
    orientation: int = 1
    animated: bool = False
    bits: int = 8
    is_float: bool = False
    gray: bool = False
    alpha: bool = False
    extra_channels: int = 0
    premultiplied: bool = False
    xyb: bool = True
    has_icc: bool = False
    white: int = _D65
    primaries: int = _SRGB_PRIMARIES
    curve: int = SRGB_CURVE
    curve_at: int | None = None

    @property
    def needs_profile(self) -> bool:
        """Whether the colours are others than those of sRGB, by its curve or in proportion to light, and not HDR."""
        return self.curve not in (PQ, HLG) and (
            self.has_icc
            or (self.white, self.primaries) != (_D65, _SRGB_PRIMARIES)
            or self.curve not in (LINEAR, SRGB_CURVE)
        )


_CODES = {(1, 1): 1, (1, 9): 9, (1, 11): 12, (11, 11): 11}
"""Primaries of H.273 by the numbers of white point and primaries."""


def codes_of(header: Header) -> tuple[int, int] | None:
    """What the header declares as primaries and transfer characteristics of H.273, where it can be said so."""
    primaries = _CODES.get((header.white, 1 if header.gray else header.primaries))
    return None if header.has_icc or primaries is None or header.curve < 0 else (primaries, header.curve)


def read_header(codestream: bytes) -> Header:
    """The header of a codestream that begins with FF 0A."""
    bits = _Bits(codestream[2 : 2 + HEADER_BYTES])
    header = Header(*_size(bits))
    if bits.flag():  # everything has its default
        return header
    if bits.flag():
        header.orientation = 1 + bits.u(3)
        if bits.flag():
            _size(bits)  # intrinsic size: how large to show it
        if bits.flag():
            _skip_preview(bits)
        if bits.flag():
            header.animated = True
            _skip_animation(bits)
    header.bits, header.is_float = _depth(bits)
    bits.flag()  # whether 16-bit buffers suffice
    header.extra_channels = bits.choice(0, 1, (2, 4), (1, 12))
    for _ in range(header.extra_channels):
        is_alpha, premultiplied = _extra_channel(bits)
        header.alpha = header.alpha or is_alpha
        header.premultiplied = header.premultiplied or premultiplied
    header.xyb = bits.flag()
    _colour(bits, header)
    return header


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()

    def side() -> int:
        return 8 * (1 + bits.u(5)) if small else 1 + bits.choice((0, 9), (0, 13), (0, 18), (0, 30))

    height = side()
    ratio = bits.u(3)
    if ratio == 0:
        return side(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _skip_preview(bits: _Bits) -> None:
    small = bits.flag()

    def side() -> int:
        return bits.choice(16, 32, (1, 5), (33, 9)) if small else bits.choice((1, 6), (65, 8), (321, 10), (1345, 12))

    side()
    if bits.u(3) == 0:
        side()


def _skip_animation(bits: _Bits) -> None:
    bits.choice(100, 1000, (1, 10), (1, 30))
    bits.choice(1, 1001, (1, 8), (1, 10))
    bits.choice(0, (0, 3), (0, 16), (0, 32))
    bits.flag()


def _depth(bits: _Bits) -> tuple[int, bool]:
    if not bits.flag():
        return bits.choice(8, 10, 12, (1, 6)), False
    depth = bits.choice(32, 16, 24, (1, 6))
    bits.u(4)
    return depth, True


def _extra_channel(bits: _Bits) -> tuple[bool, bool]:
    """Whether a channel in addition to the colours is alpha, and whether colours were multiplied by it."""
    if bits.flag():
        return True, False
    kind = bits.enum()
    _depth(bits)
    bits.choice(0, 3, 4, (1, 3))
    for _ in range(bits.choice(0, (0, 4), (16, 5), (48, 10))):
        bits.u(8)
    premultiplied = kind == _ALPHA and bits.flag()
    if kind == 2:  # spot colour
        bits.u(64)
    elif kind == 5:  # colour filter array
        bits.choice(1, (0, 2), (3, 4), (19, 8))
    return kind == _ALPHA, premultiplied


def _colour(bits: _Bits, header: Header) -> None:
    if bits.flag():
        return
    header.has_icc = bits.flag()
    space = bits.enum()
    header.gray = space == _GRAY
    if header.has_icc or space > _GRAY:
        return

    def point() -> None:
        for _ in "xy":
            bits.choice((0, 19), (524_288, 19), (1_048_576, 20), (2_097_152, 21))

    header.white = bits.enum()
    if header.white == _CUSTOM:
        point()
    if not header.gray:
        header.primaries = bits.enum()
        if header.primaries == _CUSTOM:
            for _ in "rgb":
                point()
    if bits.flag():
        header.curve = -bits.u(24)
    else:
        header.curve_at = 16 + bits.position
        header.curve = bits.enum()
