"""LapSRN: a pyramid whose levels each double the picture; the lower ones come free with the highest.

Lai et al., "Deep Laplacian Pyramid Networks for Fast and Accurate Super-Resolution", CVPR 2017,
https://arxiv.org/abs/1704.03915
"""

import itertools
from collections.abc import Mapping
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.colours import colours_of
from upscale_cli.models.archs.scales import factor_of
from upscale_cli.models.interface import SCALE_INPUT, Architecture, Descriptor, InputSpec, Recognised, SidecarMetadata
from upscale_cli.text import counted

SLOPE: Final = 0.2
"""Of all leaky ReLUs."""

SCALE: Final = InputSpec(name=SCALE_INPUT, least=2, about="of the level that is wanted; the highest by default")


class _Features(nn.Module):
    """Convolutions at one level, then the features of the next: (N, num_feat, H, W) to (N, num_feat, 2 * H, 2 * W)."""

    def __init__(self, num_feat: int, num_conv: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(num_conv):
            layers += [nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False), nn.LeakyReLU(SLOPE)]
        layers += [nn.ConvTranspose2d(num_feat, num_feat, 4, stride=2, padding=1, bias=False), nn.LeakyReLU(SLOPE)]
        self.cov_block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cov_block(x)
        return out


class LapSRN(nn.Module):
    """Without biases.

    Args:
        num_channels: 1 or 3.
        num_feat: feature maps.
        num_conv: convolutions of a level.
        num_level: doublings; the net makes 2, 4, ... 2 ** num_level times the size.

    Shapes: (N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W), not clamped.
    """

    def __init__(self, num_channels: int = 1, num_feat: int = 64, num_conv: int = 10, num_level: int = 2) -> None:
        super().__init__()
        self.scales = tuple(2**level for level in range(1, num_level + 1))
        self.conv_input = nn.Conv2d(num_channels, num_feat, 3, padding=1, bias=False)
        for level in range(1, num_level + 1):
            enlarge = nn.ConvTranspose2d(num_channels, num_channels, 4, stride=2, padding=1, bias=False)
            self.add_module(f"convt_I{level}", enlarge)
            self.add_module(f"convt_R{level}", nn.Conv2d(num_feat, num_channels, 3, padding=1, bias=False))
            self.add_module(f"convt_F{level}", nn.Sequential(_Features(num_feat, num_conv)))

    def forward(self, lr: Tensor, scale: Tensor | float | None = None) -> Tensor:
        levels = self.scales.index(factor_of(scale, self.scales)) + 1
        picture, x = lr, F.leaky_relu(self.conv_input(lr), SLOPE)  # (N, num_feat, H, W)
        for level in range(1, levels + 1):
            x = self.get_submodule(f"convt_F{level}")(x)  # (N, num_feat, 2 ** level * H, ...)
            enlarged = self.get_submodule(f"convt_I{level}")(picture)  # (N, C, 2 ** level * H, ...)
            picture = enlarged + self.get_submodule(f"convt_R{level}")(x)
        return picture


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """`conv_input`, and `convt_I`, `convt_R` and `convt_F` of each level."""
    first = state_dict.get("conv_input.weight")
    if first is None or first.ndim != 4:
        return None
    levels = sum(key.startswith("convt_I") for key in state_dict)
    row = sum(key.startswith("convt_F1.0.cov_block.") for key in state_dict)  # its convolutions, and the doubling one
    inner = [
        f"convt_F{level}.0.cov_block.{2 * number}.weight"
        for level, number in itertools.product(range(1, levels + 1), range(row))
    ]
    ends = [f"convt_{kind}{level}.weight" for level in range(1, levels + 1) for kind in "IR"]
    num_feat, channels = first.shape[:2]
    if not levels or row < 2 or channels not in (1, 3):
        return None
    if set(state_dict) != {"conv_input.weight", *inner, *ends}:
        return None
    colour, luma_range, assumed = colours_of(channels, metadata)
    descriptor = Descriptor(
        arch=ARCH.name,
        config={"num_channels": channels, "num_feat": num_feat, "num_conv": row - 1, "num_level": levels},
        scales=tuple(2**level for level in range(1, levels + 1)),
        channels=channels,
        colour=colour,
        luma_range=luma_range,
        halo=_halo(row - 1, levels),
        exact=True,
        inputs=(SCALE,),
        depth=f"{counted(row - 1, 'convolution')} a level",
    )
    return Recognised(descriptor, dict(state_dict), assumed)


def _halo(num_conv: int, num_level: int) -> int:
    """From the highest level down: the last convolution, each doubling (4 taps, stride 2), each row, the first one."""
    reach = 1
    for _ in range(num_level):
        reach = 1 + reach // 2 + num_conv
    return reach + 1


ARCH: Final = Architecture(
    name="lapsrn", recognise=recognise, net=LapSRN,
    about="Lai et al., CVPR 2017, https://arxiv.org/abs/1704.03915",
)  # fmt: skip
