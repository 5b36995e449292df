"""What a look at a picture file has shown: the value that the choice of a model rests on. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["photograph", "drawing", "text", "screen"]
"""What a picture shows: drawings have lines and even areas, texts are writing on paper, screens what programs show."""

NOISE_TOLD: Final = 4.0
"""Standard deviation in levels of 8 bits from which on noise is mentioned, and counts; fine texture can have 3."""


SMOOTHING: Final = 84
"""Quality of a JPEG below which it loses fine detail itself."""

BLURRED: Final = 0.27
BLURRED_BLUNT: Final = 0.35
BLUNT: Final = 0.62
"""Of `fineness`: what is below the first was blurred, and below the second where `edges[1]` is below `BLUNT`."""

JAGGED: Final = 1.36
JAGGED_DRAWN: Final = 0.98
"""Of `fineness` and `edges[1]` together in photographs, of `edges[0]` in drawings, whose edges tell more than their
detail: what is above was shrunk without smoothing. By the pictures of benchmarks/chooser.py that make the ranking."""

RINGING: Final = 0.007
"""Of `overshoot`: averages of areas, and what was drawn at its size, have 0."""

STEEP: Final = 0.975
"""Of `edges[1]` where they overshoot: what is above was shrunk by a cubic kernel that did not smooth."""


@dataclass(frozen=True, slots=True)
class Appearance:
    """What a look at a file has shown.

    Attributes:
        format: key of `formats.FORMATS`; "" where the file was not looked into.
        kind: what it shows; None where no pixel was looked at.
        jpeg_quality: 1 to 100 on the scale of the Independent JPEG Group, of the strongest JPEG compression that was
            found; None: none was.
        by_pixels: that compression has left its traces in the pixels only: the file has other tables, or none.
        is_lossy: compressed with loss by another codec than JPEG, such as that of WebP.
        noise: standard deviation of the noise in even areas, in levels of 8 bits.
        fineness: how strong differences of next neighbours are, in proportion to those of pixels four apart; None where
            that was not measured.
        edges: how much of a strong edge lies between two neighbouring pixels, 0 to 1: the middle one of all edges, and
            the upper quartile; None where there are few, or that was not measured.
        overshoot: how far strong edges of what is drawn go beyond the even areas beside them, in proportion to their
            height; None of photographs, where there are few such areas, or where that was not measured.
        width, height: of the first frame; 0 where the file was not looked into.
        is_data: measurements rather than a picture to look at: floats, DICOM, GeoTIFF, further channels.
    """

    format: str = ""
    kind: Kind | None = None
    jpeg_quality: int | None = None
    by_pixels: bool = False
    is_lossy: bool = False
    noise: float = 0.0
    fineness: float | None = None
    edges: tuple[float, float] | None = None
    overshoot: float | None = None
    width: int = 0
    height: int = 0
    is_data: bool = False

    @property
    def is_drawn(self) -> bool:
        """Whether it is no photograph."""
        return self.kind not in (None, "photograph")

    @property
    def is_blurred(self) -> bool:
        """Whether fine detail is missing that no JPEG compression has taken."""
        if self.fineness is None or (self.jpeg_quality is not None and self.jpeg_quality < SMOOTHING):
            return False
        is_blunt = self.edges is not None and self.edges[1] < BLUNT
        return 0 < self.fineness < (BLURRED_BLUNT if is_blunt else BLURRED)

    @property
    def is_jagged(self) -> bool:
        """Whether it has more fine detail than a picture has that was shrunk with antialiasing."""
        if self.fineness is None or self.edges is None:
            return False
        middle, high = self.edges
        if self.is_drawn:  # thin strokes of writing and frames on screens lie on pixels of their own, however smoothed
            is_stepped = middle > JAGGED_DRAWN or (self._overshoots and high > STEEP)
            return self.kind == "drawing" and is_stepped
        return self.fineness + high > JAGGED

    @property
    def is_ringing(self) -> bool:
        """Whether it is drawn, and was smoothed and shrunk by a kernel that overshoots, as bicubic and Lanczos do."""
        return self._overshoots and self.edges is not None and self.edges[1] <= STEEP

    @property
    def _overshoots(self) -> bool:
        return self.overshoot is not None and self.overshoot > RINGING

    def __str__(self) -> str:
        """For people.

        >>> str(Appearance("JPEG", "photograph", jpeg_quality=40))
        'JPEG of quality about 40, photograph'
        >>> str(Appearance("PNG", "drawing", jpeg_quality=62, by_pixels=True)), str(Appearance("PNG", "text"))
        ('PNG, formerly JPEG of quality about 62, drawing', 'PNG without damage, text')
        >>> str(Appearance("PNG", "photograph", noise=8.1)), str(Appearance("PNG", "photograph", fineness=0.2))
        ('PNG, noise of about 8 levels, photograph', 'PNG, blurred, photograph')
        >>> str(Appearance("PNG", "screen", edges=(0.7, 0.9), overshoot=0.03))
        'PNG, ringing, screen'
        >>> str(Appearance("DICOM", is_data=True)), str(Appearance())
        ('DICOM, measured data', 'not looked into')
        """
        if not self.format:
            return "not looked into"
        if self.is_data:
            return f"{self.format}, measured data"
        damages = []
        if self.jpeg_quality is not None and self.by_pixels:
            damages.append(f", formerly JPEG of quality about {self.jpeg_quality}")
        elif self.jpeg_quality is not None:
            damages.append(f" of quality about {self.jpeg_quality}")
        if self.is_lossy:
            damages.append(", compressed with loss")
        if self.noise >= NOISE_TOLD:
            damages.append(f", noise of about {self.noise:.0f} levels")
        elif self.is_blurred:
            damages.append(", blurred")
        elif self.is_jagged:
            damages.append(", not smoothed")
        elif self.is_ringing and not damages:
            damages.append(", ringing")
        without = "" if damages or self.kind is None else " without damage"
        return f"{self.format}{without}{''.join(damages)}{'' if self.kind is None else f', {self.kind}'}"
