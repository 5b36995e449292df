"""AMCANet: blocks of gates, half of them at a quarter of the size; entry 17 of NTIRE 2026.

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
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

NEARLY_ALL: Final = 24
"""LR pixels around a tile that most of its values depend on: cut so, tiles are 60 dB and more from the whole."""


def stride_of(head: int) -> int:
    """Of the pooling of a head; 1: it does not pool. No shape in the file tells of it."""
    return max(1, min(4 * head, 16))


class Head(nn.Module):
    """A gate for a part of the channels: what is strong around a pixel decides how much of it passes."""

    def __init__(self, dim: int, part: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv1x1 = nn.Conv2d(dim, 2 * part, 1)
        self.conv3x3_1 = _depthwise(part)
        self.conv3x3_2 = _depthwise(part)
        self.conv3x3_3 = _depthwise(part)
        self.conv3x3_v = _depthwise(part)
        self.conv1x1_2 = nn.Conv2d(part, part, 1)
        self.conv1x1_3 = nn.Conv2d(part, part, 1)

    def forward(self, x: Tensor) -> Tensor:
        key, value = self.conv1x1(x).chunk(2, dim=1)  # (N, part, H, W) each
        local = self.conv3x3_1(key)
        around = local
        if self.stride > 1:
            around = F.max_pool2d(local, 2 * self.stride - 1, self.stride)
        around = self.conv1x1_2(self.conv3x3_3(self.conv3x3_2(around)))
        if self.stride > 1:
            around = F.interpolate(around, size=local.shape[-2:], mode="bilinear", align_corners=False)
        out: Tensor = torch.sigmoid(self.conv1x1_3(around + local)) * self.conv3x3_v(value)
        return out


class MultiHead(nn.Module):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(dim, dim // num_heads, stride_of(head)) for head in range(num_heads))
        self.fusion_conv = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fusion_conv(torch.cat([head(x) for head in self.heads], dim=1))
        return out


class Gate(nn.Module):
    """Half of the channels decides how much of the other half passes."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.conv1x1_1 = nn.Conv2d(dim, 2 * hidden, 1)
        self.conv3x3_2 = _depthwise(hidden)
        self.conv1x1_2 = nn.Conv2d(hidden, hidden, 1)
        self.conv1x1_3 = nn.Conv2d(hidden, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        key, value = self.conv1x1_1(x).chunk(2, dim=1)
        out: Tensor = self.conv1x1_3(torch.sigmoid(self.conv1x1_2(self.conv3x3_2(key))) * value)
        return out


class Block(nn.Module):
    def __init__(self, dim: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.amca = MultiHead(dim, num_heads)
        self.fsg = Gate(dim, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.amca(F.normalize(x, dim=1))
        out: Tensor = x + self.fsg(F.normalize(x, dim=1))
        return out


class AMCANet(nn.Module):
    """AMCANet.

    Args:
        dim: channels between head and tail.
        hidden: channels of each half of a block's second gate.

    Shapes: (N, num_in_ch, H, W) in [0, 1] to (N, num_in_ch, upscale * H, upscale * W), not clamped. Sides of at least
    twice the last head's stride, less 1.
    """

    def __init__(
        self, num_in_ch: int = 3, dim: int = 32, num_block: int = 7, num_heads: int = 2, hidden: int = 32,
        upscale: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        self.head = nn.Conv2d(num_in_ch, dim, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(dim, num_heads, hidden) for _ in range(num_block)))
        self.conv1x1 = nn.Conv2d(dim, dim, 1)
        self.tail = nn.Conv2d(dim, num_in_ch * upscale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(upscale)

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.head(lr)  # (N, dim, H, W)
        out: Tensor = self.shuffle(self.tail(self.conv1x1(self.blocks(shallow)) + shallow))
        return out


def _depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """head, blocks.0.amca and .fsg, blocks.1..., conv1x1 and tail."""
    first, last = state_dict.get("head.weight"), state_dict.get("tail.weight")
    gate = state_dict.get("blocks.0.fsg.conv3x3_2.weight")
    if first is None or last is None or gate is None or first.ndim != 4:
        return None
    dim, num_in_ch = first.shape[:2]
    upscale = math.isqrt(last.shape[0] // num_in_ch)
    num_block = len({match[1] for key in state_dict if (match := re.match(r"blocks\.(\d+)\.", key))})
    heads = {match[1] for key in state_dict if (match := re.match(r"blocks\.0\.amca\.heads\.(\d+)\.", key))}
    if num_in_ch not in (1, 3) or upscale < 1 or not heads or dim % len(heads):
        return None
    config: dict[str, Any] = {
        "num_in_ch": num_in_ch, "dim": dim, "num_block": num_block, "num_heads": len(heads), "hidden": gate.shape[0],
        "upscale": upscale,
    }  # fmt: skip
    if not fits_in_shape(state_dict, AMCANet, config):
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(upscale,),
        channels=num_in_ch,
        colour="rgb" if num_in_ch == 3 else "luma",
        halo=NEARLY_ALL,
        least_side=2 * stride_of(len(heads) - 1) - 1,
        depth=counted(num_block, "block"),
    )
    return Recognised(descriptor, dict(state_dict))


ARCH: Final = Architecture(
    name="amcanet", recognise=recognise, net=AMCANet,
    about="AMCANet, NTIRE 2026 efficient SR, https://github.com/Amazingren/NTIRE2026_ESR",
)  # fmt: skip
