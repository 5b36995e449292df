"""What the values of a clip's frames come to. Pure."""

import math
from collections.abc import Sequence
from typing import Final, Literal

Pooling = Literal["mean", "harmonic", "worst"]

WORST_SHARE: Final = 0.01
"""Of the frames, that "worst" is the mean of."""


def pooled(values: Sequence[float], pooling: Pooling, *, in_decibels: bool = False) -> float:
    """One value for at least one.

    - mean: the arithmetic one; of decibels that of the errors' square roots, as ffmpeg's xpsnr has it, so that equal
      frames (inf) do not decide.
    - harmonic: 1 is added before and taken away after, as libvmaf does, for 0 is a value. Low values weigh more.
    - worst: the mean of the worst hundredth, of one frame at least.

    >>> pooled([90.0, 30.0], "mean"), round(pooled([90.0, 30.0], "harmonic"), 2), pooled([90.0, 30.0], "worst")
    (60.0, 45.25, 30.0)
    """
    if pooling == "harmonic":
        inverse = sum(1 / (value + 1) for value in values)
        return len(values) / inverse - 1 if inverse else math.inf
    if pooling == "worst":
        values = sorted(values)[: math.ceil(WORST_SHARE * len(values))]
    if in_decibels:
        error = sum(10 ** (-value / 20) for value in values) / len(values)
        return -20 * math.log10(error) if error else math.inf
    return sum(values) / len(values)
