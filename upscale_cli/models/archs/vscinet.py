"""VSCINet: a cousin of ZenoSR with blocks that distil, and convolutions of several shapes; entry 11 of NTIRE 2026.

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
"""LR pixels around a tile where memory leaves no room for the whole: 60 dB from it; with 16 it is 53."""


class FourShapes(nn.Module):
    """A quarter of the channels each through 3 x 3, 5 x 3 (high), 3 x 5 (wide), and twice 3 x 3."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        quarter = dim // 4
        self.conv2_1 = depthwise(quarter)
        self.conv2_2 = depthwise(quarter, 5, 3)
        self.conv2_3 = depthwise(quarter, 3, 5)
        self.conv2_4 = nn.Sequential(depthwise(quarter), depthwise(quarter))

    def forward(self, x: Tensor) -> Tensor:
        small, high, wide, twice = x.chunk(4, dim=1)
        return torch.cat([self.conv2_1(small), self.conv2_2(high), self.conv2_3(wide), self.conv2_4(twice)], dim=1)


class Multishape(nn.Module):
    """Args: residual: the shortcut, and an activation after it."""

    def __init__(self, dim: int, *, residual: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, dim, 1, bias=False)
        self.dwc = FourShapes(dim)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dwc(self.conv1(x))
        return F.gelu(out + x) if self.residual else out


class Block(nn.Module):
    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        half = dim // 2
        self.c1_d, self.c2_d = nn.Conv2d(dim, half, 1), nn.Conv2d(dim, half, 1)
        self.c1_r, self.c2_r = Multishape(dim), Multishape(dim)
        self.c3 = nn.Conv2d(dim, half, 3, padding=1, groups=half)
        self.c4 = nn.Conv2d(3 * half, dim, 1)
        self.local_handle = Multishape(dim)
        self.spatial_attn = SpatialAttention(dim, weighted=True)
        self.channel_attn = ChannelAttention(dim, window)

    def forward(self, x: Tensor) -> Tensor:
        second = self.c1_r(x)
        kept = torch.cat([self.c1_d(x), self.c2_d(second), self.c3(self.c2_r(second))], dim=1)
        out: Tensor = x + self.channel_attn(self.spatial_attn(self.local_handle(self.c4(F.gelu(kept)))))
        return out


class VSCINet(nn.Module):
    """VSCINet.

    Args:
        window: side of the windows of the attention between channels, in LR pixels.

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, upscale * H, upscale * W), not clamped. Sides of at least 8.
    """

    mean: Tensor

    def __init__(self, dim: int = 20, num_block: int = 5, upscale: int = 4, window: int = WINDOW) -> None:
        super().__init__()
        self.register_buffer("mean", mean_of(DIV2K_MEAN), persistent=False)
        self.num_block = num_block
        self.to_feat = nn.Conv2d(3, dim, 3, padding=1, bias=False)
        for number in range(1, num_block + 1):
            self.add_module(f"B{number}", Block(dim, window))
        self.fuse = nn.Sequential(
            nn.Conv2d(num_block * dim, dim, 1, bias=False), nn.GELU(), Multishape(dim, residual=False)
        )
        self.to_img = nn.Sequential(nn.Conv2d(dim, 3 * upscale**2, 1, bias=False), nn.PixelShuffle(upscale))

    def forward(self, lr: Tensor) -> Tensor:
        shallow = x = self.to_feat(lr - self.mean)  # (N, dim, H, W)
        kept = []
        for number in range(1, self.num_block + 1):
            x = self.get_submodule(f"B{number}")(x)
            kept.append(x)
        out: Tensor = self.to_img(self.fuse(torch.cat(kept, dim=1)) + shallow) + self.mean
        return out


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """to_feat, B1, B2, ... with c1_d to c4, fuse and to_img."""
    first, last = state_dict.get("to_feat.weight"), state_dict.get("to_img.0.weight")
    if first is None or last is None or "B1.c1_d.weight" not in state_dict:
        return None
    dim, upscale = first.shape[0], math.isqrt(last.shape[0] // 3)
    num_block = len({match[1] for key in state_dict if (match := re.match(r"B(\d+)\.", key))})
    config: dict[str, Any] = {
        "dim": dim, "num_block": num_block, "upscale": upscale, "window": stated_window(metadata),
    }  # fmt: skip
    if dim < 4 or dim % 4 or upscale < 1 or not fits_in_shape(state_dict, VSCINet, config):
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
    name="vscinet", recognise=recognise, net=VSCINet,
    about="VSCINet, NTIRE 2026 efficient SR, https://github.com/Amazingren/NTIRE2026_ESR",
)  # fmt: skip
