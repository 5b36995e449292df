"""SRResNet, which is the generator of SRGAN and, with LeakyReLU, that of SROBB.

Ledig et al., "Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network", CVPR 2017,
https://arxiv.org/abs/1609.04802; keys and the clamp at the end as in https://github.com/Lornatang/SRGAN-PyTorch
(Apache-2.0). Rad et al., "SROBB: Targeted Perceptual Loss for Single Image Super-Resolution", ICCV 2019,
https://arxiv.org/abs/1908.07222, published no code: its decoder is this net with a fixed slope.
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor, nn

from upscale_cli.models.archs.keys import (
    factors_of_two,
    first_missing,
    fits,
    in_a_row,
    lr_reach,
    shape_of,
    stated_config,
    with_batch_counters,
)
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

SROBB_SLOPE: Final = 0.2
"""Of a LeakyReLU whose slope nothing states."""


class SRResNet(nn.Module):
    """9x9 in, `num_rcb` residual blocks with batch normalisation, sub-pixel layers, 9x9 out.

    Args:
        in_channels, out_channels: of the picture.
        channels: of the features.
        num_rcb: residual blocks.
        upscale: a power of two, or 3.
        slope: of every activation, where it is no weight (PReLU, one slope for a layer).

    Shapes: (N, in_channels, H, W) in [0, 1] to (N, out_channels, upscale * H, upscale * W), clamped to [0, 1].
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, channels: int = 64, num_rcb: int = 16, upscale: int = 4,
        slope: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv1 = nn.Sequential(nn.Conv2d(in_channels, channels, 9, padding=4), _activation(slope))
        self.trunk = nn.Sequential(*(ResidualConvBlock(channels, slope) for _ in range(num_rcb)))
        self.conv2 = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))
        self.upsampling = nn.Sequential(
            *(UpsampleBlock(channels, factor, slope) for factor in factors_of_two(upscale))
        )  # fmt: skip
        self.conv3 = nn.Conv2d(channels, out_channels, 9, padding=4)

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.conv1(lr)  # (N, channels, H, W)
        deep = self.conv2(self.trunk(shallow))
        out: Tensor = self.conv3(self.upsampling(shallow + deep))
        return out.clamp(0, 1)


class ResidualConvBlock(nn.Module):
    """(N, channels, H, W) to the same."""

    def __init__(self, channels: int, slope: float | None) -> None:
        super().__init__()
        self.rcb = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            _activation(slope),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.rcb(x)
        return x + residual


class UpsampleBlock(nn.Module):
    """(N, channels, H, W) to (N, channels, factor * H, factor * W)."""

    def __init__(self, channels: int, factor: int, slope: float | None) -> None:
        super().__init__()
        self.upsample_block = nn.Sequential(
            nn.Conv2d(channels, channels * factor**2, 3, padding=1), nn.PixelShuffle(factor), _activation(slope)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.upsample_block(x)
        return out


def _activation(slope: float | None) -> nn.Module:
    return nn.PReLU() if slope is None else nn.LeakyReLU(slope)


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """Keys as in SRGAN-PyTorch; without slopes in them it is SROBB's."""
    config = _config(state_dict)
    weights = with_batch_counters(state_dict)
    if config is None or not fits(weights, SRResNet, config):
        return None
    assumed: tuple[str, ...] = ()
    if config["slope"] is not None:
        stated = stated_config(metadata, {}).get("slope", metadata.stated.get("slope"))
        if isinstance(stated, int | float):
            config["slope"] = float(stated)
        else:
            assumed = (f"LeakyReLU of slope {SROBB_SLOPE:g}, as in SROBB",)
    num_rcb, factors = config["num_rcb"], factors_of_two(config["upscale"])
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(config["upscale"],),
        channels=config["in_channels"],
        colour="rgb" if config["in_channels"] == 3 else "luma",
        # 9x9, then two 3x3 a block, conv2 and the first up-sampling one; behind each enlargement the next 3x3, or 9x9.
        halo=lr_reach(4 + 2 * num_rcb + 2, *((factor, 1) for factor in factors[:-1]), (factors[-1], 4)),
        exact=True,
        variant="" if config["slope"] is None else "srobb",
        depth=counted(num_rcb, "block"),
    )
    return Recognised(descriptor, weights, assumed)


def lacks(state_dict: Mapping[str, Tensor]) -> str | None:
    """The first key that is missing of a net that has the first layers of this one."""
    config = _config(state_dict)
    return first_missing(state_dict, SRResNet, config) if config else None


def _config(state_dict: Mapping[str, Tensor]) -> dict[str, Any] | None:
    first, last = shape_of(state_dict, "conv1.0.weight"), shape_of(state_dict, "conv3.weight")
    num_rcb = in_a_row(state_dict, "trunk.{}.rcb.0.weight")
    times = in_a_row(state_dict, "upsampling.{}.upsample_block.0.weight")
    up = shape_of(state_dict, "upsampling.0.upsample_block.0.weight")
    if first is None or last is None or up is None or not num_rcb:
        return None
    channels, in_channels = first[:2]
    factor = math.isqrt(up[0] // channels)
    if in_channels not in (1, 3) or last[0] != in_channels or factor < 2 or (times > 1 and factor != 2):
        return None
    slope = None if "conv1.1.weight" in state_dict else SROBB_SLOPE
    return {
        "in_channels": in_channels, "out_channels": last[0], "channels": channels, "num_rcb": num_rcb,
        "upscale": factor**times, "slope": slope,
    }  # fmt: skip


ARCH: Final = Architecture(
    name="srresnet", recognise=recognise, net=SRResNet, lacks=lacks,
    about="SRGAN's and SROBB's generator: Ledig et al., CVPR 2017, https://arxiv.org/abs/1609.04802",
)  # fmt: skip
