"""What several nets need to know their checkpoints by: shapes, rows of layers, how far convolutions reach."""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Final

import torch
from torch import Tensor, nn

from upscale_cli.models.interface import SidecarMetadata

_COUNTER: Final = "num_batches_tracked"


def shape_of(state_dict: Mapping[str, Tensor], key: str, ndim: int = 4) -> tuple[int, ...] | None:
    """The shape of the tensor of that name; None: there is none, or it has other than `ndim` axes."""
    tensor = state_dict.get(key)
    return tuple(tensor.shape) if tensor is not None and tensor.ndim == ndim else None


def sides_of(state_dict: Mapping[str, Tensor], key: str, ndim: int = 4) -> tuple[int, ...]:
    """`shape_of`, all zeros where it has none."""
    return shape_of(state_dict, key, ndim) or (0,) * ndim


def shuffled_scale(planes: int, channels: int = 3) -> int:
    """The scale of a sub-pixel layer that gets so many planes; 0 where there is none.

    >>> shuffled_scale(48), shuffled_scale(50)
    (4, 0)
    """
    scale = math.isqrt(planes // channels)
    return scale if scale > 0 and channels * scale**2 == planes else 0


def in_a_row(state_dict: Mapping[str, Tensor], key: str, first: int = 0) -> int:
    """How many keys there are of a row: "body.{}.weight" counts body.0.weight, body.1.weight, ... to the first gap."""
    return next(number for number in count() if key.format(first + number) not in state_dict)


def with_batch_counters(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With the counter that each BatchNorm has since torch 0.4.1; of no use to a net that is trained."""
    stems = [key.removesuffix("running_mean") for key in state_dict if key.endswith(".running_mean")]
    counters = {f"{stem}{_COUNTER}": torch.zeros((), dtype=torch.int64) for stem in stems}
    return {**counters, **state_dict}


def stated_config(metadata: SidecarMetadata, shown: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a card says of a net's arguments: of its `configs`, the first that does not contradict the shapes.

    Args:
        shown: arguments that shapes show.
    """
    configs = metadata.stated.get("configs")
    for config in configs.values() if isinstance(configs, Mapping) else ():
        if isinstance(config, Mapping) and all(config.get(name, value) == value for name, value in shown.items()):
            return config
    return {}


def fits(state_dict: Mapping[str, Tensor], net: Callable[..., nn.Module], config: Mapping[str, Any]) -> bool:
    """Whether these are the keys of the net of that `config`, all of them and no others."""
    return state_dict.keys() == _keys(net, config).keys()


def fits_in_shape(state_dict: Mapping[str, Tensor], net: Callable[..., nn.Module], config: Mapping[str, Any]) -> bool:
    """Whether each tensor besides has the shape of its place: for nets that others share all keys with."""
    needed = _keys(net, config)
    return state_dict.keys() == needed.keys() and all(
        needed[key].shape == tensor.shape for key, tensor in state_dict.items()
    )


def first_missing(
    state_dict: Mapping[str, Tensor], net: Callable[..., nn.Module], config: Mapping[str, Any]
) -> str | None:
    """The first key that is missing of such a net; None where none is, or there are some that it has not."""
    needed = _keys(net, config)
    if not state_dict.keys() <= needed.keys():
        return None
    return next((key for key in needed if key not in state_dict and not key.endswith(_COUNTER)), None)


def _keys(net: Callable[..., nn.Module], config: Mapping[str, Any]) -> dict[str, Tensor]:
    with torch.device("meta"):
        return net(**config).state_dict()


def lr_reach(at_lr: int, *enlarged: tuple[int, int]) -> int:
    """LR pixels on each side that an SR pixel depends on, where a net enlarges once or more.

    Args:
        at_lr: pixels that the layers before the first enlargement reach.
        enlarged: of each enlargement its factor, and how many of the larger pixels the layers behind it reach.

    >>> lr_reach(5, (2, 1), (2, 2))  # the last two reach one pixel of half the size, with the one before two, one of LR
    6
    """
    reach = 0
    for factor, pixels in reversed(enlarged):
        reach = -(-(reach + pixels) // factor)
    return at_lr + reach


def factors_of_two(scale: int) -> Sequence[int]:
    """The enlargements that make a scale: 2 as often as it takes, or the scale at once where that cannot be.

    >>> factors_of_two(8), factors_of_two(3)
    ((2, 2, 2), (3,))
    """
    times = scale.bit_length() - 1
    return (2,) * times if scale == 2**times else (scale,)
