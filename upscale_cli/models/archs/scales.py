"""What nets of several scales have in common."""

from torch import Tensor


def factor_of(scale: Tensor | float | None, scales: tuple[int, ...]) -> int:
    """The scale of a pass as a whole number.

    Args:
        scale: a number, or (N,) or (1,) of which the first one counts; None: the largest of `scales`.

    Raises:
        ValueError: the net has no such scale.

    >>> factor_of(None, (2, 4)), factor_of(2.0, (2, 4))
    (4, 2)
    """
    if scale is None:
        return max(scales)
    factor = float(scale.reshape(-1)[0]) if isinstance(scale, Tensor) else float(scale)
    if factor not in scales:
        raise ValueError(f"scale {factor:g} is none of {', '.join(map(str, scales))}")
    return int(factor)
