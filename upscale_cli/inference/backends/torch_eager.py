"""torch, layer by layer: runs on every machine, and everything that can be written as an `nn.Module`."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn

from upscale_cli.inference.device import Device
from upscale_cli.models.interface import LoadedNet, Precision
from upscale_cli.models.loading import build_net

DTYPES: Final[dict[Precision, torch.dtype]] = {
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
}


class EagerSession:
    """A module on a device; see `base.Session`.

    Attributes:
        concurrency: one, for its layers use all cores, or the whole of a GPU.
    """

    concurrency: Final = 1

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        self._module, self._dtype = module, dtype

    def share(self, callers: int) -> None:
        """Nothing to do: torch asks each thread how many cores are its own."""

    def run(self, batch: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        given = {name: value.to(self._dtype) for name, value in conditions.items()}
        out: Tensor = self._module(batch.to(self._dtype), **given)
        return out.float()


class TorchEager:
    """See `base.Backend`."""

    name = "torch"

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> EagerSession:
        module = build_net(net).to(device, DTYPES[precision])
        # Channels last is the layout convolutions are fastest in.
        layout = torch.contiguous_format if device.type == "mps" else torch.channels_last
        module.to(memory_format=layout)  # type: ignore[call-overload]  # in place; torch's stub lacks the keyword
        return EagerSession(module, DTYPES[precision])


TORCH_EAGER: Final = TorchEager()
