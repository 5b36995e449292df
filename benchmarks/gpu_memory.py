"""Memory that runs out on purpose: once so that smaller windows help, once so that nothing does."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu_setting import Setting
from benchmarks.nets import row
from benchmarks.peers_nets import picture, weights
from upscale_cli.errors import DeviceError
from upscale_cli.inference.backends.torch_eager import DTYPES, TORCH_EAGER, EagerSession
from upscale_cli.inference.device import Device
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.interface import LoadedNet, Precision
from upscale_cli.models.loading import build_net, load_net


class ScantSession(EagerSession):
    """torch's, with memory for windows of so many pixels."""

    most_pixels = 0

    def run(self, batch: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        if batch.shape[-1] * batch.shape[-2] > self.most_pixels:
            raise torch.OutOfMemoryError("out of memory, on purpose")
        return super().run(batch, conditions)


class Scant:
    """A backend whose memory is soon full, for machines without a GPU to fill up."""

    name = "torch"

    def __init__(self, most_pixels: int) -> None:
        self._most = most_pixels

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> ScantSession:
        session = ScantSession(build_net(net).to(device, DTYPES[precision]), DTYPES[precision])
        session.most_pixels = self._most
        return session


def memory(setting: Setting) -> dict[str, Any]:
    """What the user reads in both cases, and whether the first answer is right all the same."""
    path = weights(row("espcn", 2))
    assert path is not None, "espcn is bundled"
    net = load_net(path)
    side, device = 2 * setting.side, Device(setting.device)
    lr = np.rint(picture(side, side, luma=True)[0].transpose(1, 2, 0) * 255).astype(np.uint8)
    expected = TiledNet(net, device, "fp32", tile=side, say=print).upscale(lr, np.float32)

    def scant(pixels: int, reported: list[str]) -> TiledNet:
        backend = TORCH_EAGER if setting.is_cuda else Scant(pixels)
        return TiledNet(net, device, "fp32", tile=side, backend=backend, say=reported.append)

    hoard: list[Tensor] = []
    lines: list[str] = []
    found: dict[str, Any] = {}
    try:
        made = scant(side**2 // 3, lines)
        if setting.is_cuda:
            torch.cuda.empty_cache()
            free, _ = torch.cuda.mem_get_info()
            hoard.append(torch.empty(free - setting.spare_mb * 2**20, dtype=torch.uint8, device=device))
        difference = float(np.abs(made.upscale(lr, np.float32) - expected).max())
        found["smaller_windows"] = {"reported": lines, "greatest_difference": difference}
        hoard.clear()
        made = scant(0, [])
        if setting.is_cuda:
            hoard += everything(device)
        try:
            made.upscale(lr, np.float32)
            found["nothing_helps"] = {"unexpected": "it came out all the same"}
        except DeviceError as error:
            found["nothing_helps"] = {"message": str(error)}
    finally:
        hoard.clear()
        if setting.is_cuda:
            torch.cuda.empty_cache()
    met = bool(lines) and difference < 1e-4 and "message" in found["nothing_helps"]
    return {**found, "met": met}


def everything(device: Device) -> list[Tensor]:
    """All the memory of a GPU, down to the gaps in what torch keeps for small tensors."""
    taken: list[Tensor] = []
    for size in (2**30, 2**26, 2**21, 2**19, 2**16, 2**12, 2**9):
        try:
            while True:
                taken.append(torch.empty(size, dtype=torch.uint8, device=device))
        except torch.OutOfMemoryError:
            continue
    return taken
