"""How code values relate to colours and to light, by ffmpeg's names. Pure."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Range = Literal["tv", "pc"]


@dataclass(frozen=True, slots=True)
class ColourTags:
    """How code values relate to colours, by ffmpeg's names (`-colorspace`, `-color_primaries`, ...); None: not tagged.

    Attributes:
        matrix: "bt709", "smpte170m", "bt470bg", "bt2020nc", "gbr", ...
        primaries, transfer: such as "bt709", "smpte2084" (PQ), "arib-std-b67" (HLG).
        range: "tv" (Y in 16..235 of 255) or "pc" (0..255).
        chroma_location: "left", "center", "topleft", "top", "bottomleft" or "bottom".
    """

    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None
    range: Range | None = None
    chroma_location: str | None = None

    @property
    def is_hdr(self) -> bool:
        return self.transfer in ("smpte2084", "arib-std-b67")


@dataclass(frozen=True, slots=True)
class MasteringDisplay:
    """SMPTE ST 2086: CIE xy of the primaries and the white point, luminance in cd/m2; exact, as stored."""

    red: tuple[Fraction, Fraction]
    green: tuple[Fraction, Fraction]
    blue: tuple[Fraction, Fraction]
    white: tuple[Fraction, Fraction]
    min_luminance: Fraction
    max_luminance: Fraction


@dataclass(frozen=True, slots=True)
class ContentLight:
    """CTA-861.3: brightest pixel and brightest frame average, cd/m2."""

    max_cll: int
    max_fall: int
