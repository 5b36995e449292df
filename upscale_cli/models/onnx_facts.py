"""What an ONNX file of ours says of itself in its metadata: names, and values as text. `export` writes, `-m` reads it.

docs/export.md lists them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, cast, get_args

from upscale_cli.models.interface import (
    SCALE_INPUT,
    Colour,
    Descriptor,
    LumaRange,
    Scale,
    as_scale,
    scales_named,
)

UNIT_RANGE: Final = "0..1"
"""Of the pictures' values."""

ABOUT_INPUT: Final = "input."
"""Before the name of an input beside the picture."""

LARGEST_SCALE: Final = 64
LARGEST_SIDE: Final = 4096
"""LR pixels; what a file says beyond is no help."""


def described(net: Descriptor, scale: Scale, *, fp16: bool) -> dict[str, str]:
    """What a program has to know to use the file."""
    facts = {
        "arch": net.name,
        "scale": scales_named((scale,)).removeprefix("x"),
        "colour": net.colour,
        "value_range": UNIT_RANGE,
        "precision": "fp16" if fp16 else "fp32",
        "halo": str(net.halo),
        "halo_is_exact": str(net.exact).lower(),
        "multiple_of": str(net.multiple_of),
        "least_side": str(net.least_side),
        "sees_whole": str(net.sees_whole).lower(),
    }
    if net.colour != "rgb":
        facts["luma_range"] = net.luma_range
    for spec in net.inputs:
        if spec.name != SCALE_INPUT:
            facts[f"{ABOUT_INPUT}{spec.name}"] = spec.about
    return facts


@dataclass(frozen=True, slots=True)
class StatedFacts:
    """What a file says of itself; None where it says nothing that can be.

    Attributes:
        arch: for people.
        is_unit: values are in 0..1.
        Others: as of `Descriptor`.
    """

    arch: str | None = None
    scale: Scale | None = None
    colour: Colour | None = None
    luma_range: LumaRange | None = None
    is_unit: bool | None = None
    halo: int | None = None
    exact: bool | None = None
    multiple_of: int | None = None
    least_side: int | None = None
    sees_whole: bool | None = None

    @classmethod
    def read(cls, facts: Mapping[str, str]) -> "StatedFacts":
        """Takes what it understands, and ignores the rest."""
        arch = " ".join(facts.get("arch", "").split())
        return cls(
            arch=arch[:60] if arch.isprintable() and arch else None,
            scale=_scale(facts.get("scale", "")),
            colour=cast("Colour | None", _one_of(facts.get("colour"), get_args(Colour))),
            luma_range=cast("LumaRange | None", _one_of(facts.get("luma_range"), get_args(LumaRange))),
            is_unit=True if facts.get("value_range") == UNIT_RANGE else None,
            halo=_whole(facts.get("halo", ""), 0),
            exact=_truth(facts.get("halo_is_exact")),
            multiple_of=_whole(facts.get("multiple_of", ""), 1),
            least_side=_whole(facts.get("least_side", ""), 1),
            sees_whole=_truth(facts.get("sees_whole")),
        )

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left that would have to be measured."""
        measured = (self.scale, self.is_unit, self.halo, self.exact, self.multiple_of, self.least_side, self.sees_whole)
        return all(fact is not None for fact in measured)


def _scale(text: str) -> Scale | None:
    try:
        scale = as_scale(Fraction(text))
    except (ValueError, ZeroDivisionError):
        return None
    return scale if 0 < scale <= LARGEST_SCALE else None


def _whole(text: str, least: int) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and least <= int(text[:9]) <= LARGEST_SIDE else None


def _truth(text: str | None) -> bool | None:
    return {"true": True, "false": False}.get(text or "")


def _one_of(text: str | None, known: tuple[Any, ...]) -> str | None:
    return text if text in known else None
