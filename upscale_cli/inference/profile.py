"""What a net costs per LR pixel, found by watching it work on a very small picture."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

_SIDES: Final = (16, 64)  # the second for nets that refuse the first; borders cost nothing extra, so small will do
_HELD: Final = 1.5  # skip connections and activations that outlive the layer that needs them


@dataclass(frozen=True, slots=True)
class Profile:
    """Costs per LR pixel.

    Attributes:
        macs: multiply-adds of the convolutions and linear layers.
        elements: activations alive at the worst moment; times the bytes of the dtype this is the memory needed.
    """

    macs: float
    elements: float


def profile(net: nn.Module, channels: int, multiple_of: int = 1) -> Profile:
    """Runs `net`, on the CPU in fp32, on a blank picture of 16 x 16 pixels: some milliseconds.

    (torch's meta device would compute nothing at all, but to start it takes a second of imports.)

    Args:
        channels: that the net takes.
        multiple_of: what its sides must divide by.
    """
    small, large = (math.ceil(side / multiple_of) * multiple_of for side in _SIDES)
    try:
        return _watched(net, torch.zeros(1, channels, small, small))
    except (RuntimeError, ValueError, AssertionError):  # a least size, known to the net alone
        return _watched(net, torch.zeros(1, channels, large, large))


def _watched(net: nn.Module, lr: Tensor) -> Profile:
    macs = worst = 0

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, worst
        if any(True for _ in module.children()) or not isinstance(output, Tensor):
            return
        worst = max(worst, output.numel() + sum(given.numel() for given in inputs if isinstance(given, Tensor)))
        if isinstance(module, nn.Conv2d | nn.Linear):
            macs += output.numel() * module.weight[0].numel()

    handles = [module.register_forward_hook(watch) for module in net.modules()]
    try:
        with torch.no_grad():
            net(lr)
    finally:
        for handle in handles:
            handle.remove()
    pixels = lr.shape[-1] * lr.shape[-2]
    return Profile(macs / pixels, worst * _HELD / pixels)
