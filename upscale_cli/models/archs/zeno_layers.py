"""What ZenoSR and VSCINet are made of: attention between channels, by windows, and a gate by what a region holds.

Attention between channels: Zamir et al., "Restormer", CVPR 2022, https://arxiv.org/abs/2111.09881; in windows of the
size of training: Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation", ECCV 2022,
https://arxiv.org/abs/2112.04491. Both nets: https://github.com/Amazingren/NTIRE2026_ESR (MIT).
"""

import math
from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.interface import SidecarMetadata

WINDOW: Final = 72
"""LR pixels: the side of the pictures that both were trained on."""

REGION: Final = 8
"""LR pixels that one maximum is taken of; sides below have none."""


class LayerNorm(nn.Module):
    """Over the channels of each pixel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.body = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


class FeedForward(nn.Module):
    """One half gates the other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(dim, 4 * dim, 1, bias=False)
        self.dwconv = depthwise(4 * dim)
        self.project_out = nn.Conv2d(2 * dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        out: Tensor = self.project_out(F.gelu(gate) * value)
        return out


class GlobalChannel(nn.Module):
    """Attention between channels, in windows that overlap where they do not fit, and are averaged there."""

    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.temperature = nn.Parameter(torch.ones(1, 1))
        self.project_in = nn.Conv2d(dim, 4 * dim, 1, bias=False)
        self.dwconv = depthwise(2 * dim)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.project_in(x).chunk(2, dim=1)
        query_value = self.dwconv(gate) * value  # (N, 2 * dim, H, W)
        height, width = query_value.shape[-2:]
        out = torch.zeros_like(query_value[:, : query_value.shape[1] // 2])
        seen = torch.zeros_like(out[:1, :1])
        for rows in window_slices(height, self.window):
            for columns in window_slices(width, self.window):
                out[..., rows, columns] += self.attended(query_value[..., rows, columns])
                seen[..., rows, columns] += 1
        made: Tensor = self.project_out(out / seen)
        return made

    def attended(self, query_value: Tensor) -> Tensor:
        """(N, 2 * dim, H, W) to (N, dim, H, W); the keys are the values, normalised."""
        query, value = query_value.flatten(2).chunk(2, dim=1)  # (N, dim, H * W) each
        likeness = F.normalize(query, dim=-1) @ F.normalize(value, dim=-1).transpose(-2, -1)
        made = (likeness * self.temperature).softmax(dim=-1) @ value
        return made.reshape(*made.shape[:2], *query_value.shape[-2:])


def window_slices(length: int, window: int) -> list[slice]:
    """Where the windows of one axis are: as few as cover it, spread evenly, the last one flush with the edge.

    >>> window_slices(100, 72)
    [slice(0, 72, None), slice(28, 100, None)]
    """
    if length <= window:
        return [slice(0, length)]
    count = math.ceil(length / window)
    step = math.ceil((length - window) / (count - 1))
    starts = [min(number * step, length - window) for number in range(count)]
    return [slice(start, start + window) for start in starts]


class ChannelAttention(nn.Module):
    def __init__(self, dim: int, window: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.global_channel = GlobalChannel(dim, window)
        self.norm2 = LayerNorm(dim)
        self.ffn = FeedForward(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.global_channel(self.norm1(x))
        out: Tensor = x + self.ffn(self.norm2(x))
        return out


class SpatialAttention(nn.Module):
    """A gate for each region, by its maxima and by how much the whole picture varies.

    Args:
        weighted: the two are weighted by channel, `alpha` and `belt`.
    """

    def __init__(self, dim: int, *, weighted: bool) -> None:
        super().__init__()
        half = dim // 2
        self.conv1 = nn.Conv2d(dim, half, 1, bias=False)
        self.dwconv = depthwise(half)
        self.conv2 = nn.Conv2d(half, half, 1, bias=False)
        self.conv3 = nn.Conv2d(half, dim, 1, bias=False)
        self.weighted = weighted
        if weighted:
            self.alpha = nn.Parameter(torch.ones(1, half, 1, 1))
            self.belt = nn.Parameter(torch.zeros(1, half, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        value = self.conv1(F.normalize(x, dim=1))  # (N, dim // 2, H, W)
        height, width = value.shape[-2:]
        strongest = self.dwconv(F.adaptive_max_pool2d(value, (height // REGION, width // REGION)))
        varies = value.var(dim=(-2, -1), keepdim=True)
        told = self.alpha * strongest + self.belt * varies if self.weighted else strongest + varies
        gate = F.interpolate(F.gelu(self.conv2(told)), size=(height, width), mode="nearest")
        out: Tensor = self.conv3(gate * value) + x
        return out


def depthwise(channels: int, height: int = 3, width: int = 3, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, (height, width), padding=(height // 2, width // 2), groups=channels, bias=bias)


def stated_window(metadata: SidecarMetadata) -> int:
    """`tlc_kernel` of a card; what was published, where there is none."""
    arch = metadata.stated.get("arch")
    stated = arch.get("tlc_kernel") if isinstance(arch, Mapping) else None
    return stated if isinstance(stated, int) and stated > 0 else WINDOW
