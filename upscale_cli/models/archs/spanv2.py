"""SPANV2: SPAN whose attention is a 1 x 1 convolution, without the sigmoid; entry 22, the fastest, of NTIRE 2026.

https://github.com/Amazingren/NTIRE2026_ESR (MIT). What the authors run by an operator of CUDA of their own is written
in plain layers here, which it equals.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import fits_in_shape
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted


class Conv(nn.Module):
    """A 3 x 3 convolution without bias, under the name that it has in the file."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Entrance(nn.Module):
    """The first block, which takes the picture: no shortcut and no attention, but an activation at its end."""

    def __init__(self, num_in_ch: int, num_feat: int) -> None:
        super().__init__()
        self.c1 = Conv(num_in_ch, num_feat)
        self.c2 = Conv(num_feat, num_feat)
        self.c3 = Conv(num_feat, num_feat)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.c3(F.relu(self.c2(F.relu(self.c1(x))))))


class GuidedBlock(nn.Module):
    """Three convolutions and their shortcut, times a map made of the third one's result."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.c1 = Conv(num_feat, num_feat)
        self.c2 = Conv(num_feat, num_feat)
        self.c3 = Conv(num_feat, num_feat)
        self.guidance_map_conv = nn.Conv2d(num_feat, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = self.c3(F.relu(self.c2(F.relu(self.c1(x)))))
        out: Tensor = (x + found) * self.guidance_map_conv(found)
        return out


class SPANV2(nn.Module):
    """SPANV2.

    Shapes: (N, num_in_ch, H, W) in [0, 1] to (N, num_in_ch, upscale * H, upscale * W), not clamped.
    """

    def __init__(self, num_in_ch: int = 3, num_feat: int = 32, num_block: int = 5, upscale: int = 4) -> None:
        super().__init__()
        planes = num_in_ch * upscale**2
        # Each colour's own planes, in the order of the sub-pixel layer; it begins as the nearest neighbour.
        self.conv_near = nn.Conv2d(num_in_ch, planes, 3, padding=1, groups=num_in_ch, bias=False)
        self.num_block = num_block
        self.block_1 = Entrance(num_in_ch, num_feat)
        for number in range(2, num_block + 1):
            self.add_module(f"block_{number}", GuidedBlock(num_feat))
        joined = planes + num_feat
        self.depthwise_conv = nn.Conv2d(joined, joined, 3, padding=1, groups=joined, bias=False)
        self.pointwise_conv = nn.Conv2d(joined, planes, 1, bias=False)
        self.shuffle = nn.PixelShuffle(upscale)

    def forward(self, lr: Tensor) -> Tensor:
        x = lr
        for number in range(1, self.num_block + 1):
            x = self.get_submodule(f"block_{number}")(x)  # (N, num_feat, H, W)
        joined = torch.cat([self.conv_near(lr), x], dim=1)
        out: Tensor = self.shuffle(self.pointwise_conv(self.depthwise_conv(joined)))
        return out


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """conv_near, block_1, block_2, ... with a guidance_map_conv, depthwise_conv and pointwise_conv."""
    first, near = state_dict.get("block_1.c1.conv.weight"), state_dict.get("conv_near.weight")
    if first is None or near is None or first.ndim != 4:
        return None
    num_feat, num_in_ch = first.shape[:2]
    upscale = math.isqrt(near.shape[0] // num_in_ch)
    num_block = len({match[1] for key in state_dict if (match := re.match(r"block_(\d+)\.", key))})
    config: dict[str, Any] = {
        "num_in_ch": num_in_ch, "num_feat": num_feat, "num_block": num_block, "upscale": upscale,
    }  # fmt: skip
    if num_in_ch not in (1, 3) or upscale < 1 or not fits_in_shape(state_dict, SPANV2, config):
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(upscale,),
        channels=num_in_ch,
        colour="rgb" if num_in_ch == 3 else "luma",
        halo=3 * num_block + 1,
        exact=True,
        depth=counted(num_block, "block"),
    )
    return Recognised(descriptor, dict(state_dict))


ARCH: Final = Architecture(
    name="spanv2", recognise=recognise, net=SPANV2,
    about="SPANV2, NTIRE 2026 efficient SR, https://github.com/Amazingren/NTIRE2026_ESR",
)  # fmt: skip
