"""DSCF: SPAN with its two first convolutions folded into one, and its two last; entry 15 of NTIRE 2026.

https://github.com/Amazingren/NTIRE2026_ESR (MIT).
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import fits_in_shape
from upscale_cli.models.archs.span_blocks import SPAB, Conv3XC, Normalisation, attended, fused, mean_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted


class FirstSPAB(nn.Module):
    """A block whose first convolution is part of what comes before it."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.c2_r = Conv3XC(num_feat, num_feat)
        self.c3_r = Conv3XC(num_feat, num_feat)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """Both (N, num_feat, H, W); `x` is what that convolution gave."""
        return attended(self.c3_r(F.silu(self.c2_r(F.silu(x)))), shortcut)


class DSCF(nn.Module):
    """DSCF, its convolutions fused.

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, upscale * H, upscale * W), not clamped.
    """

    mean: Tensor

    def __init__(self, num_feat: int = 26, num_block: int = 6, upscale: int = 4) -> None:
        super().__init__()
        self.img_range = _NORMALISATION.img_range
        self.register_buffer("mean", mean_of(_NORMALISATION.rgb_mean), persistent=False)
        self.num_block = num_block
        self.conv_1 = Conv3XC(3, num_feat)
        self.conv_fused = nn.Conv2d(3, num_feat, 5, padding=2)  # conv_1 and the first one of block_1, in one
        self.block_1 = FirstSPAB(num_feat)
        for number in range(2, num_block + 1):
            self.add_module(f"block_{number}", SPAB(num_feat))
        self.conv_cat_other = nn.Conv2d(3 * num_feat, num_feat, 1)
        self.conv2_fused = nn.Conv2d(num_feat, num_feat, 3, padding=1, bias=False)
        self.upsampler = nn.Sequential(nn.Conv2d(num_feat, 3 * upscale**2, 3, padding=1), nn.PixelShuffle(upscale))

    def forward(self, lr: Tensor) -> Tensor:
        x = (lr - self.mean) * self.img_range
        shallow = self.conv_1(x)  # (N, num_feat, H, W), as all that follow
        first = deep = self.block_1(self.conv_fused(x), shallow)
        inside_last = first
        for number in range(2, self.num_block + 1):
            deep, inside_last = self.get_submodule(f"block_{number}")(deep)
        joined = self.conv_cat_other(torch.cat([shallow, first, inside_last], dim=1)) + self.conv2_fused(deep)
        out: Tensor = self.upsampler(joined)
        return out


_NORMALISATION: Final = Normalisation()


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """conv_1, conv_fused, block_1 without c1_r, block_2, ..., conv_cat_other, conv2_fused and upsampler.0."""
    tensors = fused(state_dict)
    first, last = tensors.get("conv_fused.weight"), tensors.get("upsampler.0.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        return None
    num_block = len({match[1] for key in tensors if (match := re.match(r"block_(\d+)\.", key))})
    upscale = math.isqrt(last.shape[0] // 3)
    config: dict[str, Any] = {"num_feat": first.shape[0], "num_block": num_block, "upscale": upscale}
    if num_block < 2 or upscale < 1 or not fits_in_shape(tensors, DSCF, config):
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(upscale,),
        halo=3 * num_block + 3,
        exact=True,
        depth=counted(num_block, "block"),
    )
    return Recognised(descriptor, tensors)


ARCH: Final = Architecture(
    name="dscf", recognise=recognise, net=DSCF,
    about="DSCF, NTIRE 2026 efficient SR, https://github.com/Amazingren/NTIRE2026_ESR",
)  # fmt: skip
