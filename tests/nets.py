"""Nets for tests: real ones with weights of any kind, and made-up ones that misbehave."""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

from upscale_cli.inference.backends.torch_eager import TORCH_EAGER
from upscale_cli.inference.color_adapter import ColorAdapter
from upscale_cli.inference.device import Device
from upscale_cli.models.interface import Architecture, Colour, Descriptor, LoadedNet, LumaRange, Scale, SidecarMetadata
from upscale_cli.models.loading import recognise

CPU: Final = Device("cpu")


def loaded(module: nn.Module, **facts: Any) -> LoadedNet:
    """A net of one of our architectures, known by its keys and shapes as if it came from a file.

    Args:
        facts: the file's sidecar metadata; see `SidecarMetadata`.
    """
    recognised = recognise(module.state_dict(), SidecarMetadata(**facts))
    assert recognised is not None, "no architecture knows it"
    return LoadedNet(recognised.descriptor, recognised.state_dict)


def picture_net(net: LoadedNet) -> ColorAdapter:
    """Pictures in, pictures out: in fp32 on the CPU, without tiles."""
    scale = net.descriptor.only_scale
    assert scale is not None
    return ColorAdapter(net.descriptor, TORCH_EAGER.load(net, CPU, "fp32"), scale)


def stub(
    make: Callable[[], nn.Module],
    *,
    scale: Scale = 2,
    colour: Colour = "rgb",
    luma_range: LumaRange = "full",
    halo: int = 0,
    exact: bool = True,
    **facts: Any,
) -> LoadedNet:
    """A net that no file could hold; wants the fixture `stubs`, which makes its architecture known.

    Args:
        make: it; asked again for every device and precision.
        facts: the rest of its `Descriptor`.
    """
    channels = 1 if colour == "luma" else 3
    net = Descriptor(
        arch=MADE_UP.name, config={"make": make}, scales=(scale,), channels=channels, colour=colour,
        luma_range=luma_range, halo=halo, exact=exact, **facts,
    )  # fmt: skip
    return LoadedNet(net, make().state_dict())


class Leveled(nn.Module):
    """Has an input beside the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, lr: Tensor, noise_level: Tensor) -> Tensor:
        made: Tensor = torch.tanh(self.shuffle(self.conv(lr))) * noise_level[:, None, None, None]
        return made


MADE_UP: Final = Architecture(
    name="made-up",
    recognise=lambda _state_dict, _metadata: None,
    net=lambda make: make(),
    about="the nets of `stub`",
)
