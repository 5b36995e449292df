"""SRGAN's generator in the layout of leftthomas/SRGAN: five blocks by name, and a tanh at the end.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017,
https://arxiv.org/abs/1609.04802; keys as in https://github.com/leftthomas/SRGAN (MIT).
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from upscale_cli.models.archs.keys import first_missing, fits, in_a_row, lr_reach, shape_of, with_batch_counters
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata

NUM_BLOCK: Final = 5


class Generator(nn.Module):
    """9x9 in, five residual blocks, sub-pixel layers of 2, 9x9 out.

    Args:
        scale_factor: a power of two.
        num_feat: channels of the features.
        normalised: block7 ends in batch normalisation (the repository since May 2019), not in an activation (2017).

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, scale_factor * H, scale_factor * W) in [0, 1], by a tanh.
    """

    def __init__(self, scale_factor: int = 4, num_feat: int = 64, normalised: bool = False) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, num_feat, 9, padding=4), nn.PReLU())
        self.block2 = ResidualBlock(num_feat)
        self.block3 = ResidualBlock(num_feat)
        self.block4 = ResidualBlock(num_feat)
        self.block5 = ResidualBlock(num_feat)
        self.block6 = ResidualBlock(num_feat)
        self.block7 = nn.Sequential(
            nn.Conv2d(num_feat, num_feat, 3, padding=1), nn.BatchNorm2d(num_feat) if normalised else nn.PReLU()
        )
        self.block8 = nn.Sequential(
            *(UpsampleBlock(num_feat) for _ in range(scale_factor.bit_length() - 1)),
            nn.Conv2d(num_feat, 3, 9, padding=4),
        )

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.block1(lr)  # (N, num_feat, H, W)
        deep = self.block6(self.block5(self.block4(self.block3(self.block2(shallow)))))
        out: Tensor = self.block8(shallow + self.block7(deep))
        return (torch.tanh(out) + 1) / 2


class ResidualBlock(nn.Module):
    """(N, num_feat, H, W) to the same."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(num_feat)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.bn2(self.conv2(self.prelu(self.bn1(self.conv1(x)))))
        return x + residual


class UpsampleBlock(nn.Module):
    """(N, num_feat, H, W) to (N, num_feat, 2 * H, 2 * W)."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(num_feat, num_feat * 4, 3, padding=1)
        self.pixel_shuffle = nn.PixelShuffle(2)
        self.prelu = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.prelu(self.pixel_shuffle(self.conv(x)))
        return out


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """Keys as in the repository, of either form of block7."""
    config = _config(state_dict)
    weights = with_batch_counters(state_dict)
    if config is None or not fits(weights, Generator, config):
        return None
    times = config["scale_factor"].bit_length() - 1
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(config["scale_factor"],),
        halo=lr_reach(4 + 2 * NUM_BLOCK + 2, *((2, 1),) * (times - 1), (2, 4)),
        exact=True,
        depth=f"{NUM_BLOCK} blocks",
    )
    return Recognised(descriptor, weights)


def lacks(state_dict: Mapping[str, Tensor]) -> str | None:
    """The first key that is missing of a net that has the first layers of this one."""
    config = _config(state_dict)
    return first_missing(state_dict, Generator, config) if config else None


def _config(state_dict: Mapping[str, Tensor]) -> dict[str, Any] | None:
    first, times = shape_of(state_dict, "block1.0.weight"), in_a_row(state_dict, "block8.{}.conv.weight")
    if first is None or first[1] != 3 or not times:
        return None
    return {"scale_factor": 2**times, "num_feat": first[0], "normalised": "block7.1.running_mean" in state_dict}


ARCH: Final = Architecture(
    name="srgan-leftthomas", recognise=recognise, net=Generator, lacks=lacks,
    about="SRGAN's generator in another layout: Ledig et al., CVPR 2017, https://arxiv.org/abs/1609.04802",
)  # fmt: skip
