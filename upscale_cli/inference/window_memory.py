"""What a window takes of a device's memory beside what the net in it does: its pixels as floats, and its colours."""

from typing import Final

from upscale_cli.models.interface import Descriptor, Precision, Scale

FLOAT: Final = 4
"""Bytes of a value."""


def beside_net(net: Descriptor, scale: Scale, precision: Precision, *, by_arrays: bool) -> float:
    """Bytes for each LR pixel of a window, of three channels; measured by benchmarks/max_memory.py.

    A net for luma gets luma alone: what it was made of waits until luma is large, and goes by bicubic to that size.

    Args:
        precision: that it computes in. Pixels of more than 8 bits always go in fp32, and take the most.
        by_arrays: it is an engine's that takes arrays, which holds a window by itself while what it gives goes into
            another array; torch's planes take the place of some of what its layers have left.
    """
    area = float(scale) ** 2
    if net.colour == "luma":
        # LR as R'G'B', Y, and two differences. SR: Y and R'G'B', or both differences; by torch copies as well.
        return FLOAT * (6 + area * (4 if by_arrays else 9))
    # As floats before and after. By an engine also as bytes; if of more bits, as floats of their range, and rounded.
    rounded = FLOAT + 2 if precision == "fp32" else 1
    return (FLOAT + rounded if by_arrays else FLOAT) * net.channels * (1 + area)
