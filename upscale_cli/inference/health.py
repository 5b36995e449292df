"""Whether a net's answer is fit to be seen, and what is done where half precision has spoilt it."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from upscale_cli.errors import CheckpointError
from upscale_cli.events import Say
from upscale_cli.messages import option
from upscale_cli.models.interface import Precision

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Result = TypeVar("Result")


def health_of(sr: "Tensor") -> "Tensor":
    """What `judge` needs to know of SR windows, computed where they are, without waiting for it.

    The mean is there because NaN and Inf reach it on every device; a maximum may ignore NaN.

    Args:
        sr: (n, C, h, w).

    Returns:
        (n, 3): least, greatest and mean value of each.
    """
    import torch

    every = (1, 2, 3)
    return torch.stack((sr.amin(every), sr.amax(every), sr.mean(every)), dim=1)


def judge(health: "Tensor | NDArray[Any]") -> tuple[bool, bool]:
    """(all values finite, all values one and the same), of one window's health."""
    low, high, mean = health.tolist()
    return all(math.isfinite(value) for value in (low, high, mean)), low == high


def is_sound(health: "Tensor") -> bool:
    """Whether an SR picture is fit to be seen: finite, and not of one value where the input had more.

    Args:
        health: (5,): `health_of` the SR picture, least and greatest value of the LR picture.
    """
    finite, constant = judge(health[:3])
    low, high = health[3:].tolist()
    return finite and not (constant and low != high)


class PrecisionFallback:
    """The one retry: what half precision spoils is computed again in fp32; if that helps, the net stays in fp32.

    Attributes:
        precision: that the net runs in from now on.
    """

    def __init__(self, precision: Precision, say: Say) -> None:
        self.precision: Precision = precision
        self._say = say

    def checked(
        self,
        result: Result,
        health: "Tensor | NDArray[Any]",
        varies: Callable[[], bool],
        again: "Callable[[], tuple[Result, Tensor | NDArray[Any]]]",
        *,
        precision: Precision,
        what: str,
    ) -> Result:
        """A result that is fit to be seen: the one that was given, or another in its place.

        Args:
            health: (3,), `health_of` it.
            varies: whether the input has more than one value; asked only where it matters.
            again: computes it once more, in fp32; gives that result and its health.
            precision: that it was computed in.
            what: it is, for people: "tile" or "frame".

        Raises:
            CheckpointError: it is NaN or Inf in fp32, too.
        """
        finite, constant = judge(health)
        if finite and not (constant and varies()):
            return result
        if precision == "fp32":
            _accept(finite)
            return result
        full, full_health = again()
        finite_now, constant_now = judge(full_health)
        _accept(finite_now)
        helped = not (finite and constant_now)  # what is blank in fp32, too, is the net's own result
        if self.precision != "fp32" and helped:
            self._say(
                f"{self.precision} is too coarse for this net ({f'a blank {what}' if finite else 'NaN or Inf'}): "
                f"the {what} was computed again, and the rest runs in fp32."
            )
            self.precision = "fp32"
        return full


def _accept(finite: bool) -> None:
    if not finite:
        raise CheckpointError(
            "the net gives NaN or Inf in full precision: its weights are damaged or unfit for this picture. "
            f"Fetch the checkpoint again, or choose another {option('model')}."
        )
