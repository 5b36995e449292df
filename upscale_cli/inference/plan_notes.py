"""What a plan does that a user may not expect: a net that runs twice, a result that is made smaller, a checkpoint that
is not here. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from upscale_cli.inference.sizing import chain_cost, cheapest_chain
from upscale_cli.messages import command
from upscale_cli.models.interface import Scale

MUCH: Final = 1.5
"""How much too large a single pass may be before it is worth a line."""


def shrinking(name: str, passes: Sequence[Scale], needed: float) -> str:
    """The line about passes that make more than is needed; "" where they hardly do.

    >>> shrinking("realesrgan", (4, 4), 8)
    'realesrgan: 8x is made by two passes, 4x and 4x, whose 16x is made smaller.'
    """
    made = float(math.prod(passes, start=1))
    if not passes or made <= needed * (1.001 if len(passes) > 1 else MUCH):
        return ""
    if len(passes) == 1:
        return f"{name}: {needed:.4g}x is made by {made:g}x, which is made smaller."
    number = {2: "two", 3: "three", 4: "four"}.get(len(passes), str(len(passes)))
    *first, last = (f"{float(scale):g}x" for scale in passes)
    each = f"{', '.join(first)} and {last}"
    return f"{name}: {needed:.4g}x is made by {number} passes, {each}, whose {made:g}x is made smaller."


def gain(model: str, here: Mapping[Scale, float], all_there_are: Mapping[Scale, float], needed: float) -> str:
    """The line about a checkpoint that is not here, and would make less work of it; "" where none is.

    Args:
        here, all_there_are: costs of a pass per pixel that goes into it, by its scale.

    >>> "4 times less work" in gain("realesrgan", {4: 16.0}, {4: 16.0, 2: 4.0}, 2)
    True
    """
    missing = set(all_there_are) - set(here)
    best = cheapest_chain(all_there_are, needed)
    if not missing & set(best):
        return ""
    less = chain_cost(here, cheapest_chain(here, needed)) / chain_cost(all_there_are, best)
    fetch = command("models fetch", python="upscale_cli.models.resolve.obtain()")
    wanted = " and ".join(f"{float(scale):g}x" for scale in sorted(missing & set(best)))
    return f"{fetch} brings that of {model} for {wanted}: {less:.2g} times less work."
