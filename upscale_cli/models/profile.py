"""What a net costs per LR pixel, found by a dry run on shapes alone (torch's meta device)."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

_SIDE: Final = 48  # divides by every multiple_of; large enough that borders do not matter
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


def profile(net: nn.Module, channels: int) -> Profile:
    """Runs `net` on the meta device, where no weight is read and nothing is computed; foreign nets that do not
    work there (they change their own weights on the way) are run on a small picture instead."""
    macs = 0
    worst = 0

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, worst
        if any(True for _ in module.children()) or not isinstance(output, Tensor):
            return
        worst = max(worst, output.numel() + sum(given.numel() for given in inputs if isinstance(given, Tensor)))
        if isinstance(module, nn.Conv2d | nn.Linear):
            macs += output.numel() * module.weight[0].numel()

    def run(device: str) -> None:
        lr = torch.zeros(1, channels, _SIDE, _SIDE, device=device, dtype=dtype)
        torch.func.functional_call(net, state if device == "meta" else {}, lr)

    state = {name: tensor.to("meta") for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    dtype = next(iter(state.values())).dtype
    handles = [module.register_forward_hook(watch) for module in net.modules()]
    try:
        with torch.no_grad():
            try:
                run("meta")
            except (RuntimeError, NotImplementedError):
                macs = worst = 0
                run("cpu")
    finally:
        for handle in handles:
            handle.remove()
    return Profile(macs / _SIDE**2, worst * _HELD / _SIDE**2)
