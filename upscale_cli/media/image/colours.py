"""Colours that a file declares by numbers instead of a profile, and the profile that says the same.

Where a format holds a declaration of the same kind, it is passed on; everywhere else a profile made of it is. What that
would be for PQ and HLG depends on the screen, so there is none for them.

Sources: ITU-T H.273 (07/2024), tables 2 and 3; PNG third edition, 11.3.2; CIPA DC-008 and DC-010 (colour space of EXIF,
"R03"); Adobe RGB (1998) Color Image Encoding, 4.3.
"""

import functools
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from upscale_cli.media.image import icc

Chromaticities = tuple[float, ...]
"""CIE x and y of white, red, green and blue: eight numbers."""

_D65: Final = (0.3127, 0.3290)
_ILLUMINANT_C: Final = (0.310, 0.316)
_BY_CODE: Final[dict[int, Chromaticities]] = {
    1: (*_D65, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060),
    4: (*_ILLUMINANT_C, 0.670, 0.330, 0.210, 0.710, 0.140, 0.080),
    5: (*_D65, 0.640, 0.330, 0.290, 0.600, 0.150, 0.060),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    8: (*_ILLUMINANT_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_UNSPECIFIED: Final = 2
_GAMMAS: Final = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
_AS_SRGB: Final = (1, 2, 6, 7, 11, 12, 13, 14, 15)
"""Transfer characteristics that are shown by sRGB's curve: its own, and those of video, as browsers do with stills."""

_HDR: Final = {16: "PQ", 18: "HLG"}
_SRGB_GAMMAS: Final = (2.15, 2.25)
_ADOBE: Final = (*_D65, 0.640, 0.330, 0.210, 0.710, 0.150, 0.060)
_ADOBE_GAMMA: Final = 563 / 256
_CLOSE: Final = 0.0015
_CURVE_POINTS: Final = 1024


@dataclass(frozen=True, slots=True)
class Colours:
    """A declaration other than that of sRGB.

    Attributes:
        primaries: of H.273, or chromaticities.
        transfer: of H.273, or the exponent (a float) that makes light of a value.
        in_exif: EXIF declares it, and keeps doing so in a JPEG.
    """

    primaries: int | Chromaticities
    transfer: int | float
    in_exif: bool = False

    @property
    def codes(self) -> tuple[int, int] | None:
        """Primaries and transfer characteristics by H.273, where both are given so."""
        if isinstance(self.primaries, int) and isinstance(self.transfer, int):
            return self.primaries, self.transfer
        return None

    @property
    def hdr(self) -> str | None:
        """ "PQ" or "HLG"; None for a curve of standard dynamic range."""
        return _HDR.get(self.transfer) if isinstance(self.transfer, int) else None

    @property
    def is_linear(self) -> bool:
        """Whether values are proportional to light."""
        gamma = _GAMMAS.get(self.transfer) if isinstance(self.transfer, int) else self.transfer
        return gamma is not None and gamma < icc.LINEAR_GAMMA

    def on_srgb_curve(self) -> "Colours | None":
        """The same primaries with sRGB's curve, for values that were brought to that; None for sRGB itself."""
        return None if self.primaries == 1 else Colours(self.primaries, 13)

    def profile(self, space: str) -> bytes | None:
        """The same as an ICC profile; None where that would say something else, or nobody knows.

        Args:
            space: "L" or "RGB".
        """
        chromaticities = _BY_CODE.get(self.primaries) if isinstance(self.primaries, int) else self.primaries
        gamma = _GAMMAS.get(self.transfer) if isinstance(self.transfer, int) else self.transfer
        if space not in ("L", "RGB") or chromaticities is None or self.hdr:
            return None
        if gamma is None and self.transfer not in _AS_SRGB:
            return None
        return _profile(space, chromaticities, gamma)


def of_codes(primaries: int, transfer: int) -> Colours | None:
    """What codes of H.273 declare; None for sRGB, and for what a picture without any would be taken as."""
    primaries = 1 if primaries == _UNSPECIFIED else primaries
    transfer = 13 if transfer in _AS_SRGB else transfer
    return None if (primaries, transfer) == (1, 13) else Colours(primaries, transfer)


def of_numbers(chromaticities: Chromaticities | None, gamma: float | None) -> Colours | None:
    """What chromaticities and an exponent declare; None where they are those of sRGB, or make no sense."""
    standard = _BY_CODE[1]
    if chromaticities is None or not _make_sense(chromaticities):
        chromaticities = standard
    near = all(abs(a - b) < _CLOSE for a, b in zip(chromaticities, standard, strict=True))
    like_srgb = gamma is None or not 0.1 < gamma < 10 or _SRGB_GAMMAS[0] < gamma < _SRGB_GAMMAS[1]
    if near and like_srgb:
        return None
    return Colours(1 if near else chromaticities, 13 if like_srgb or gamma is None else gamma)


def of_png(chunks: Mapping[bytes, bytes], has_profile: bool) -> Colours | None:
    """What the chunks of a PNG declare, in the order of their precedence; a profile comes second."""
    coded = chunks.get(b"cICP", b"")
    if len(coded) == 4:
        return of_codes(coded[0], coded[1])
    if has_profile or b"sRGB" in chunks:
        return None
    gamma, points = chunks.get(b"gAMA", b""), chunks.get(b"cHRM", b"")
    exponent = int.from_bytes(gamma, "big") / 100_000 if len(gamma) == 4 else 0
    numbers = tuple(value / 100_000 for value in struct.unpack(">8I", points)) if len(points) == 32 else None
    return of_numbers(numbers, 1 / exponent if exponent else None)


def adobe_rgb() -> Colours:
    """What cameras declare in EXIF by "R03", or by another colour space than sRGB's."""
    return Colours(_ADOBE, _ADOBE_GAMMA, in_exif=True)


def _make_sense(points: Chromaticities) -> bool:
    """Whether these are colours that span something."""
    if len(points) != 8 or not all(0 <= value <= 1 for value in points) or points[1] == 0:
        return False
    red, green, blue = points[2:4], points[4:6], points[6:8]
    area = (green[0] - red[0]) * (blue[1] - red[1]) - (blue[0] - red[0]) * (green[1] - red[1])
    return abs(area) > 0.01


@functools.lru_cache(maxsize=8)
def _profile(space: str, points: Chromaticities, gamma: float | None) -> bytes:
    """A profile by littleCMS; `gamma` None: sRGB's curve."""
    import imagecodecs
    import numpy as np

    curve = None
    if gamma is None:
        value = np.linspace(0, 1, _CURVE_POINTS)
        light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        curve = np.round(light * 65_535).astype(np.uint16)
    profile = bytes(
        imagecodecs.cms_profile(
            "rgb" if space == "RGB" else "gray",
            whitepoint=points[:2],
            primaries=points[2:] if space == "RGB" else None,
            transferfunction=curve,
            gamma=gamma,
        )
    )
    # Without the time of day, so that the same picture always becomes the same file.
    return profile[:24] + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + profile[36:]
