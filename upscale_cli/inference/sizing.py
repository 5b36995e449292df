"""From the scale that is wanted to the passes that reach it. Pure."""

import heapq
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from upscale_cli.errors import OptionError
from upscale_cli.inference.degradation import Degradation
from upscale_cli.messages import option
from upscale_cli.models.interface import Scale, scaled
from upscale_cli.models.registry import Kernel

MAX_SCALE: Final = 1024.0
"""Beyond this a number is a typing error, not a request."""

MAX_SIDE: Final = 10**8
"""Few formats reach it, and no machine."""


@dataclass(frozen=True, slots=True)
class Target:
    """How large the SR picture shall be; exactly one of the fields is set.

    Attributes:
        scale: SR pixels per LR pixel, any real number above 0.
        box: (width, height) in SR pixels to fit inside, either may be None (free).
        stretch: with both sides of `box` given, fill it and ignore the aspect.
        long_side: SR pixels of the longer side.
        megapixels: million SR pixels in all.
    """

    scale: float | None = None
    box: tuple[int | None, int | None] | None = None
    stretch: bool = False
    long_side: int | None = None
    megapixels: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.scale, self.box, self.long_side, self.megapixels) if value is not None]
        if len(given) != 1:
            raise OptionError(
                f"give one of {option('scale')}, {option('box')}, {option('long_side')} and "
                f"{option('megapixels')}; they exclude each other."
            )
        if self.scale is not None and not 0 < self.scale <= MAX_SCALE:
            raise OptionError(
                f"scale {self.scale:g} is out of range. Choose a number above 0 and up to {MAX_SCALE:g}, such as "
                f"{option('scale', 4)}."
            )
        for side in (self.long_side, *(self.box or ())):
            if side is not None and not 1 <= side <= MAX_SIDE:
                name = "box" if self.long_side is None else "long_side"
                raise OptionError(
                    f"{option(name)}: a side of {min(side, 10**15):,} pixels is no picture. Choose 1 to {MAX_SIDE:,}."
                )
        if self.megapixels is not None and not 0 < self.megapixels <= MAX_SIDE:
            raise OptionError(
                f"{self.megapixels:g} megapixels is no picture. Choose {option('megapixels')} from 0 to {MAX_SIDE:,}."
            )

    def size_for(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) of the SR picture for an LR picture of that size; each at least 1."""
        if self.scale is not None:
            factor = self.scale
        elif self.long_side is not None:
            factor = self.long_side / max(width, height)
        elif self.megapixels is not None:
            factor = math.sqrt(self.megapixels * 1e6 / (width * height))
        else:
            assert self.box is not None
            box_width, box_height = self.box
            if self.stretch and box_width and box_height:
                return box_width, box_height
            factor = min(box_width / width if box_width else math.inf, box_height / height if box_height else math.inf)
        return max(1, round(width * factor)), max(1, round(height * factor))


def chosen_target(scale: float | None, target: Target | None, default: float | None = None) -> Target:
    """A scale or a target, the one that is given.

    Args:
        default: the scale where neither is.

    Raises:
        OptionError: both are given, or the scale is out of range.
    """
    if target is None:
        return Target(scale=default if scale is None else scale)
    if scale is not None:
        raise OptionError(f"{option('scale', scale)} and {option('target')} exclude each other. Give one of them.")
    return target


def parse_size(text: str) -> Target:
    """`--size`: WxH fits inside and keeps the aspect, WxH! stretches, W or xH set one side.

    Raises:
        OptionError: anything else.

    >>> parse_size("800x600").size_for(400, 400)
    (600, 600)
    """
    match = re.fullmatch(r"(\d{0,10})(?:[xX](\d{0,10}))?(!?)", text.strip())
    sides = [int(side) if side else None for side in match.groups()[:2]] if match else [None, None]
    stretch = bool(match and match[3])
    if sides == [None, None] or 0 in sides or (stretch and None in sides):
        raise OptionError(
            f"{option('box', text)} is not understood. Write WxH (fits inside), WxH! (stretches), W or xH."
        )
    return Target(box=(sides[0], sides[1]), stretch=stretch)


def cheapest_chain(costs: Mapping[Scale, float], needed: float) -> tuple[Scale, ...]:
    """The cheapest sequence of passes whose scales multiply to at least `needed`; always at least one pass.

    Args:
        costs: of one pass of each scale, per pixel that goes into it.
        needed: SR pixels per LR pixel that must be reached; what is too much is resampled away at the end.

    Raises:
        OptionError: no pass makes the picture larger and `needed` asks for more.

    >>> cheapest_chain({2: 0.25, 4: 1.0}, needed=8)
    (2, 4)
    """
    if needed > max(costs) == 1:
        raise OptionError(
            f"this net keeps the size: scale {needed:g} is out of its reach. Choose {option('scale', 1)} or less."
        )
    open_chains: list[tuple[float, Scale, tuple[Scale, ...]]] = [(0.0, 1, ())]
    settled: set[Scale] = set()
    while True:  # the cheapest first; of two chains that make one scale only the cheaper goes on
        cost, product, chain = heapq.heappop(open_chains)
        if chain and product >= needed * (1 - 1e-9):  # as a float, 5/3 is a little more than 5/3
            return chain
        if product in settled:
            continue
        settled.add(product)
        for scale, price in costs.items():
            if scale > 1 or needed <= 1:
                heapq.heappush(open_chains, (cost + price * float(product) ** 2, product * scale, (*chain, scale)))


def chain_cost(costs: Mapping[Scale, float], passes: Sequence[Scale]) -> float:
    """Of a sequence of passes, per LR pixel; the costs are those of `cheapest_chain`.

    >>> chain_cost({2: 0.25, 4: 1.0}, (2, 4))
    4.25
    """
    total, product = 0.0, Fraction(1)
    for scale in passes:
        total += costs[scale] * float(product) ** 2
        product *= scale
    return total


@dataclass(frozen=True, slots=True)
class Plan:
    """How a picture of one size becomes one of another.

    Attributes:
        passes: scales of the net passes, in order; none for a kernel.
        width, height: SR pixels, exactly.
        kernel: what resamples what the passes made to that size.
        degradation: of this picture, where it was found in it; None: as the options say.
    """

    passes: tuple[Scale, ...]
    width: int
    height: int
    kernel: Kernel
    degradation: Degradation | None = None

    def is_made(self, width: int, height: int) -> bool:
        """Whether the passes make the SR picture of an LR picture of that size, or it and a part of a pixel more, which
        is cut off: a fractional scale need not divide a side, and to squeeze the rest in would be another scale."""
        exact = math.prod(self.passes)
        for side, wanted in ((width, self.width), (height, self.height)):
            made = side
            for scale in self.passes:
                made = scaled(made, scale)
            if not math.floor(side * exact) <= wanted <= made:
                return False
        return True
