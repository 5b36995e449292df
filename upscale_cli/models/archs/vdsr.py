"""VDSR: twenty convolutions on the picture enlarged by bicubic interpolation, which add what is missing of it.

Kim, Lee, Lee, "Accurate Image Super-Resolution Using Very Deep Convolutional Networks", CVPR 2016,
https://arxiv.org/abs/1511.04587
"""

from collections.abc import Mapping
from typing import Final

from torch import Tensor, nn

from upscale_cli.models.archs.colours import colours_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata, enlarged_halo
from upscale_cli.text import counted

SCALES: Final = (2, 3, 4)
"""One net was trained for them all."""


class ConvReLU(nn.Module):
    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x).relu()
        return out


class VDSR(nn.Module):
    """Without biases.

    Args:
        num_channels: 1 or 3.
        num_feat: feature maps.
        num_block: convolutions between the first and the last one.

    Shapes: (N, C, H, W) in [0, 1], the picture already enlarged, to (N, C, H, W), not clamped.
    """

    def __init__(self, num_channels: int = 1, num_feat: int = 64, num_block: int = 18) -> None:
        super().__init__()
        self.residual_layer = nn.Sequential(*(ConvReLU(num_feat) for _ in range(num_block)))
        self.input = nn.Conv2d(num_channels, num_feat, 3, padding=1, bias=False)
        self.output = nn.Conv2d(num_feat, num_channels, 3, padding=1, bias=False)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.input(lr).relu()  # (N, num_feat, H, W)
        residual: Tensor = self.output(self.residual_layer(x))  # (N, C, H, W)
        return residual + lr


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """`input`, `output` and a row of `residual_layer.N.conv` of one width, none with a bias."""
    num_block = len(state_dict) - 2
    inner = [f"residual_layer.{number}.conv.weight" for number in range(num_block)]
    if num_block < 1 or set(state_dict) != {"input.weight", "output.weight", *inner}:
        return None
    first = state_dict["input.weight"]
    if first.ndim != 4:
        return None
    num_feat, channels = first.shape[:2]
    wanted = {"input.weight": (num_feat, channels, 3, 3), "output.weight": (channels, num_feat, 3, 3)}
    wanted |= dict.fromkeys(inner, (num_feat, num_feat, 3, 3))
    if channels not in (1, 3) or any(state_dict[key].shape != shape for key, shape in wanted.items()):
        return None
    colour, luma_range, assumed = colours_of(channels, metadata)
    descriptor = Descriptor(
        arch=ARCH.name,
        config={"num_channels": channels, "num_feat": num_feat, "num_block": num_block},
        scales=SCALES,
        channels=channels,
        colour=colour,
        luma_range=luma_range,
        halo=enlarged_halo(num_block + 2, min(SCALES)),
        exact=True,
        enlarged=True,
        sr_reach=num_block + 2,
        depth=counted(num_block + 2, "convolution"),
    )
    return Recognised(descriptor, dict(state_dict), assumed)


ARCH: Final = Architecture(
    name="vdsr", recognise=recognise, net=VDSR, about="Kim et al., CVPR 2016, https://arxiv.org/abs/1511.04587"
)
