"""PDS and PKDSR: SPAN without its first layer and most of its joints; entries 1 and 16 of NTIRE 2026.

The layout is SPANF's, of the NTIRE 2025 challenge: https://github.com/Amazingren/NTIRE2026_ESR (MIT). The two differ in
the width of the tail, and in the names of its two layers.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import fits_in_shape
from upscale_cli.models.archs.span_blocks import SPAB, Conv3XC, fused
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted


class Entrance(nn.Module):
    """The first block: it takes the picture, so there is no shortcut, and no attention."""

    def __init__(self, num_in_ch: int, num_feat: int) -> None:
        super().__init__()
        self.c1_r = Conv3XC(num_in_ch, num_feat)
        self.c2_r = Conv3XC(num_feat, num_feat)
        self.c3_r = Conv3XC(num_feat, num_feat)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c3_r(F.silu(self.c2_r(F.silu(self.c1_r(x)))))
        return out


class PDS(nn.Module):
    """PDS, its convolutions fused, under the keys of PKDSR.

    Args:
        num_feat: of the blocks, 32 as published.
        tail: channels before the last convolution: 20 in PDS, 24 in PKDSR.

    Shapes: (N, num_in_ch, H, W) in [0, 1] to (N, num_in_ch, upscale * H, upscale * W), not clamped.
    """

    def __init__(
        self, num_in_ch: int = 3, num_feat: int = 32, tail: int = 20, num_block: int = 5, upscale: int = 4
    ) -> None:
        super().__init__()
        planes = num_in_ch * upscale**2
        # Each colour's own planes, in the order of the sub-pixel layer; it begins as the nearest neighbour.
        self.conv_near = nn.Conv2d(num_in_ch, planes, 3, padding=1, groups=num_in_ch, bias=False)
        self.num_block = num_block
        self.block_1 = Entrance(num_in_ch, num_feat)
        for number in range(2, num_block + 1):
            self.add_module(f"block_{number}", SPAB(num_feat))
        self.conv_cat = nn.Conv2d(planes + 2 * num_feat, tail, 1)
        self.conv_2 = Conv3XC(tail, planes)
        self.shuffle = nn.PixelShuffle(upscale)

    def forward(self, lr: Tensor) -> Tensor:
        first = deep = self.block_1(lr)  # (N, num_feat, H, W)
        for number in range(2, self.num_block + 1):
            deep, _ = self.get_submodule(f"block_{number}")(deep)
        joined = torch.cat([self.conv_near(lr), deep, first], dim=1)
        out: Tensor = self.shuffle(self.conv_2(self.conv_cat(joined)))
        return out


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """conv_near, block_1, block_2, ..., and conv_cat and conv_2 by these names or with _1 behind them."""
    tensors = {re.sub(r"^(conv_cat|conv_2)_1\.", r"\1.", key): tensor for key, tensor in fused(state_dict).items()}
    first, joint = tensors.get("block_1.c1_r.eval_conv.weight"), tensors.get("conv_cat.weight")
    near = tensors.get("conv_near.weight")
    if first is None or joint is None or near is None or {first.ndim, joint.ndim, near.ndim} != {4}:
        return None
    num_feat, num_in_ch = first.shape[:2]
    upscale = math.isqrt(near.shape[0] // num_in_ch)
    num_block = len({match[1] for key in tensors if (match := re.match(r"block_(\d+)\.", key))})
    config: dict[str, Any] = {
        "num_in_ch": num_in_ch, "num_feat": num_feat, "tail": joint.shape[0], "num_block": num_block,
        "upscale": upscale,
    }  # fmt: skip
    if num_in_ch not in (1, 3) or upscale < 1 or not fits_in_shape(tensors, PDS, config):
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
    return Recognised(descriptor, tensors)


ARCH: Final = Architecture(
    name="pds", recognise=recognise, net=PDS,
    about="PDS and PKDSR, NTIRE 2026 efficient SR, https://github.com/Amazingren/NTIRE2026_ESR",
)  # fmt: skip
