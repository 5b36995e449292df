"""How much larger a picture becomes: whole numbers and fractions, so that sizes stay exact."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

Scale = int | Fraction
"""SR pixels per LR pixel; a Fraction only where it is no whole number, so that sizes stay exact."""

MOST_DENOMINATOR: Final = 8
"""Of the scales that are taken from an interval. Windows start at multiples of it, so it cannot be large."""

MOST_PARTS: Final = 100
"""Of the scales that a net which `rounds_up` makes as they are asked for: 3.37 is 337/100."""

CUBIC_REACH: Final = 2
"""Pixels on each side that the cubic kernel looks at when it enlarges."""


def as_scale(value: float | Fraction) -> Scale:
    """The number as a `Scale`: whole where it is whole.

    >>> as_scale(2.0), as_scale(1.5)
    (2, Fraction(3, 2))
    """
    exact = Fraction(value).limit_denominator(1000)
    return exact.numerator if exact.denominator == 1 else exact


def enlarged_halo(reach: int, scale: Scale) -> int:
    """LR pixels that a net depends on which looks `reach` pixels far in the picture enlarged by cubic convolution.

    >>> [enlarged_halo(20, scale) for scale in (2, 3, 4)]
    [12, 9, 7]
    """
    whole = int(scale)
    # Behind the middle of an LR pixel two more on that side count, before it one, and on it none.
    taps = [
        CUBIC_REACH if 2 * place + 1 > whole else CUBIC_REACH - 1 if 2 * place + 1 < whole else 0
        for place in range(whole)
    ]
    return max(pixel // whole + taps[pixel % whole] for pixel in range(reach + whole))


def scaled(length: int, scale: Scale) -> int:
    """SR pixels of that many LR pixels; rounded up, where `scale` is no whole number and does not divide.

    >>> scaled(7, 2), scaled(7, Fraction(3, 2))
    (14, 11)
    """
    return math.ceil(length * scale)


@dataclass(frozen=True, slots=True)
class Interval:
    """The scales of a net that makes any scale between two."""

    least: float
    most: float

    def __post_init__(self) -> None:
        if not 0 < self.least <= self.most:
            raise ValueError(f"scales from {self.least} to {self.most} are no interval")
        if self.nearest(self.least) < Fraction(self.least).limit_denominator(10**6):
            raise ValueError(
                f"no scale from {self.least} to {self.most} has a denominator of {MOST_DENOMINATOR} or less"
            )

    def nearest(self, needed: float) -> Scale:
        """The least scale of a small denominator that makes at least `needed`, or the largest there is.

        >>> Interval(1, 4).nearest(1.3), Interval(1, 4).nearest(9)
        (Fraction(4, 3), 4)
        """
        lower = max(needed, self.least)
        above = [
            Fraction(math.ceil(Fraction(lower).limit_denominator(10**6) * parts), parts)
            for parts in range(1, MOST_DENOMINATOR + 1)
        ]
        within = [scale for scale in above if scale <= self.most]
        if within:
            return as_scale(min(within))
        most = Fraction(self.most).limit_denominator(10**6)
        return as_scale(max(Fraction(math.floor(most * parts), parts) for parts in range(1, MOST_DENOMINATOR + 1)))


Scales = tuple[Scale, ...] | Interval
"""What a net can do in one pass: one scale, some (nets with several tails), or any within an interval."""


def scales_named(scales: Scales) -> str:
    """For people.

    >>> scales_named((2, 4)), scales_named(Interval(1, 4))
    ('x2, x4', 'x1 to x4')
    """
    if isinstance(scales, Interval):
        return f"x{scales.least:g} to x{scales.most:g}"
    return ", ".join(f"x{float(scale):g}" for scale in scales)
