"""What a window takes of a device's memory beside what the net in it does: its pixels as floats, and its colours."""

from typing import Final

from upscale_cli.models.interface import Descriptor, Scale

FLOAT: Final = 4
"""Bytes of a value."""


def beside_net(net: Descriptor, scale: Scale, *, by_arrays: bool) -> float:
    """Bytes for each LR pixel of a window, of three channels; measured by benchmarks/max_memory.py.

    A net for luma gets luma alone: what it was made of waits until luma is large, and goes by bicubic to that size.

    Args:
        by_arrays: it is an engine's that takes arrays, which holds a window by itself while what it gives goes into
            another array; torch's planes take the place of some of what its layers have left.
    """
    area = float(scale) ** 2
    if net.colour == "luma":
        # LR as R'G'B', Y, and two differences. SR: Y and R'G'B', or both differences; by torch copies as well.
        return FLOAT * (6 + area * (4 if by_arrays else 9))
    # As floats before and after, by an engine also as bytes.
    return (FLOAT + 1 if by_arrays else FLOAT) * net.channels * (1 + area)
