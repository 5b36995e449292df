"""ZenoSR: attention between channels in windows, a gate by region, convolutions in steps; entry 4 of NTIRE 2026.

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
from upscale_cli.models.archs.span_blocks import DIV2K_MEAN, mean_of
from upscale_cli.models.archs.zeno_layers import (
    REGION,
    WINDOW,
    ChannelAttention,
    SpatialAttention,
    depthwise,
    stated_window,
)
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

MARGIN: Final = 32
"""LR pixels around a tile where memory leaves no room for the whole: 60 dB from it; with 16 it is 54."""


class LocalHandle(nn.Module):
    """Three convolutions in steps, a part of what each is given kept for the end."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        half = dim // 2
        self.dwconv1, self.dwconv2, self.dwconv3 = (
            nn.Sequential(nn.Conv2d(dim, dim, 1), depthwise(dim, bias=True)) for _ in range(3)
        )
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(dim, half, 1) for _ in range(3))
        self.conv4 = nn.Conv2d(dim, half, 3, padding=1, groups=half)
        self.conv5 = nn.Conv2d(4 * half, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        second = F.gelu(self.dwconv1(x) + x)
        third = F.gelu(self.dwconv2(second) + second)
        last = F.gelu(self.dwconv3(third) + third)
        kept = torch.cat([self.conv1(x), self.conv2(second), self.conv3(third), self.conv4(last)], dim=1)
        out: Tensor = self.conv5(F.gelu(kept))
        return out


class Block(nn.Module):
    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.local_handle = LocalHandle(dim)
        self.spatial_attn = SpatialAttention(dim, weighted=False)
        self.channel_attn = ChannelAttention(dim, window)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.channel_attn(self.spatial_attn(self.local_handle(x)))
        return out


class ZenoSR(nn.Module):
    """ZenoSR.

    Args:
        window: side of the windows of the attention between channels, in LR pixels.

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, upscale * H, upscale * W), not clamped. Sides of at least 8.
    """

    mean: Tensor

    def __init__(self, dim: int = 18, num_block: int = 4, upscale: int = 4, window: int = WINDOW) -> None:
        super().__init__()
        self.register_buffer("mean", mean_of(DIV2K_MEAN), persistent=False)
        self.num_block = num_block
        self.to_feat = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        for number in range(1, num_block + 1):
            self.add_module(f"B{number}", Block(dim, window))
            self.register_parameter(f"alpha_{num_block + number}", nn.Parameter(torch.ones(1, dim, 1, 1)))
        self.fuse = nn.Sequential(nn.Conv2d(num_block * dim, dim, 1, bias=False), nn.GELU(), LocalHandle(dim))
        self.to_img = nn.Sequential(nn.Conv2d(dim, 3 * upscale**2, 1, bias=False), nn.PixelShuffle(upscale))
        self.refine = nn.Sequential(*(layer for _ in range(4) for layer in (nn.GELU(), depthwise(3))))

    def forward(self, lr: Tensor) -> Tensor:
        shallow = x = self.to_feat(lr - self.mean)  # (N, dim, H, W)
        kept = []
        for number in range(1, self.num_block + 1):
            x = self.get_submodule(f"B{number}")(x)
            kept.append(getattr(self, f"alpha_{self.num_block + number}") * x)
        made = self.to_img(self.fuse(torch.cat(kept, dim=1)) + shallow)  # (N, 3, upscale * H, upscale * W)
        out: Tensor = self.refine(made) + self.mean
        return out


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """to_feat, B1, B2, ..., as many alpha_N, fuse, to_img and refine."""
    first, last = state_dict.get("to_feat.weight"), state_dict.get("to_img.0.weight")
    if first is None or last is None or "refine.1.weight" not in state_dict:
        return None
    dim, upscale = first.shape[0], math.isqrt(last.shape[0] // 3)
    num_block = len({match[1] for key in state_dict if (match := re.match(r"B(\d+)\.", key))})
    config: dict[str, Any] = {
        "dim": dim, "num_block": num_block, "upscale": upscale, "window": stated_window(metadata),
    }  # fmt: skip
    if dim < 2 or dim % 2 or upscale < 1 or not fits_in_shape(state_dict, ZenoSR, config):
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(upscale,),
        halo=MARGIN,
        least_side=REGION,
        sees_whole=True,
        depth=counted(num_block, "block"),
    )
    return Recognised(descriptor, dict(state_dict))


ARCH: Final = Architecture(
    name="zenosr", recognise=recognise, net=ZenoSR,
    about="ZenoSR, NTIRE 2026 efficient SR, https://github.com/Amazingren/NTIRE2026_ESR",
)  # fmt: skip
