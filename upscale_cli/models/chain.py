"""Several nets as one: each gets what the one before has made. Imports no torch.

A chain is described as a net is, in pixels of the picture that goes into its first net; so tiles are cut once, and a
window goes through all nets before it is blended with its neighbours.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from upscale_cli.errors import OptionError
from upscale_cli.messages import option
from upscale_cli.models.interface import (
    SCALE_INPUT,
    Descriptor,
    InputSpec,
    LoadedNet,
    Precision,
    Scale,
    as_scale,
)

ARCH: Final = "chain"
"""What a chain's descriptor has in the place of an architecture."""

COLOUR_REACH: Final = 2
"""LR pixels that the colours of a luma net, which are interpolated, look at on each side."""


def chained(parts: Sequence[tuple[LoadedNet, Scale]]) -> LoadedNet:
    """One net of several.

    Args:
        parts: each with the scale of its pass, in order.

    Raises:
        OptionError: two of them want different things of one name.
    """
    return LoadedNet(descriptor_of([(net.descriptor, scale) for net, scale in parts]), {}, parts=tuple(parts))


def descriptor_of(parts: Sequence[tuple[Descriptor, Scale]]) -> Descriptor:
    """What a chain is, as a net: it takes pictures, whatever colours its nets work on; see `chained`."""
    halo, before = 0, _scales_before(parts)
    for facts, scale in reversed(parts):
        halo = math.ceil(halo / scale) + max(facts.halo, COLOUR_REACH)
    is_luma = all(facts.colour == "luma" for facts, _ in parts)
    exact = all(facts.exact and not facts.sees_whole for facts, _ in parts)
    precisions: frozenset[Precision] = frozenset.intersection(*(facts.precisions for facts, _ in parts))
    fixed = [
        tuple(int(side / so_far) for side in facts.fixed_sides)
        for (facts, _), so_far in zip(parts, before, strict=False)
        if facts.fixed_sides
    ]
    return Descriptor(
        arch=ARCH,
        variant="+".join(facts.name for facts, _ in parts),
        scales=(as_scale(before[-1]),),
        channels=1 if is_luma else 3,
        colour="luma" if is_luma else "rgb",
        halo=halo,
        exact=exact,
        multiple_of=_multiple_of(parts, before),
        least_side=max(math.ceil(facts.least_side / so_far) for (facts, _), so_far in zip(parts, before, strict=False)),
        sees_whole=any(facts.sees_whole for facts, _ in parts),
        precisions=precisions,
        inputs=_inputs([facts for facts, _ in parts]),
        fixed_sides=(min(sides[0] for sides in fixed), min(sides[1] for sides in fixed)) if fixed else None,
        one_at_a_time=any(facts.one_at_a_time for facts, _ in parts),
    )


def _scales_before(parts: Sequence[tuple[Descriptor, Scale]]) -> list[Fraction]:
    """Pixels per LR pixel of what goes into each net, and of what comes out of the last."""
    scales = [Fraction(1)]
    for _, scale in parts:
        scales.append(scales[-1] * scale)
    return scales


def _multiple_of(parts: Sequence[tuple[Descriptor, Scale]], before: Sequence[Fraction]) -> int:
    """What LR sides must divide by, so that every net gets sides that it can take, and gives whole pixels."""
    needed = 1
    for (facts, scale), so_far in zip(parts, before, strict=False):
        needed = math.lcm(needed, (so_far / facts.multiple_of).denominator, (so_far * scale).denominator)
    return needed


def _inputs(nets: Sequence[Descriptor]) -> tuple[InputSpec, ...]:
    """What all nets together want beside the picture: what has one name is given once."""
    found: dict[str, InputSpec] = {}
    for net in nets:
        for spec in net.inputs:
            if spec.name == SCALE_INPUT:  # each gets its own
                continue
            known = found.setdefault(spec.name, spec)
            if (known.shape, known.tiled) != (spec.shape, spec.tiled):
                raise OptionError(
                    f"{option('model')}: two nets of this chain take {spec.name}, each of another shape. "
                    "Run them one after the other."
                )
    return tuple(found.values())
