"""What ZenoSR and VSCINet are made of: attention between channels, by windows, and a gate by what a region holds.

Attention between channels: Zamir et al., "Restormer", CVPR 2022, https://arxiv.org/abs/2111.09881; in windows of the
size of training: Chu et al., "Improving Image Restoration by Revisiting Global Information Aggregation", ECCV 2022,
https://arxiv.org/abs/2112.04491. Both nets: https://github.com/Amazingren/NTIRE2026_ESR (MIT).
"""

import math
from collections.abc import Mapping
from typing import Final

import torch
import torch.fx
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
        rows, columns = window_places(query_value, 2, self.window), window_places(query_value, 3, self.window)
        count_y, side_y = rows.shape
        count_x, side_x = columns.shape
        taken = query_value.index_select(2, rows.flatten()).index_select(3, columns.flatten())
        cut = taken.reshape(-1, query_value.shape[1], count_y, side_y, count_x, side_x)
        made = self.attended(cut.permute(0, 2, 4, 1, 3, 5).flatten(4))
        apart = made.reshape(-1, count_y, count_x, x.shape[1], side_y, side_x).permute(0, 3, 1, 4, 2, 5)
        joined = apart.reshape(-1, x.shape[1], count_y * side_y, count_x * side_x)
        out: Tensor = self.project_out(averaged(averaged(joined, 2, rows, height), 3, columns, width))
        return out

    def attended(self, query_value: Tensor) -> Tensor:
        """(N, rows, columns, 2 * dim, pixels) to (N, rows, columns, dim, pixels), for each window.

        The keys are the values, normalised.
        """
        query, value = query_value.chunk(2, dim=3)
        likeness = F.normalize(query, dim=-1) @ F.normalize(value, dim=-1).permute(0, 1, 2, 4, 3)
        return (likeness * self.temperature).softmax(dim=-1) @ value


@torch.fx.wrap
def window_places(like: Tensor, axis: int, window: int) -> Tensor:
    """(windows, side): the pixels of an axis that each of its windows has; as few windows as cover it, spread evenly.

    The last one is flush with the edge. An axis shorter than a window is one.

    >>> window_places(torch.zeros(10), 0, 6)[:, 0], window_places(torch.zeros(3), 0, 6)
    (tensor([0, 4]), tensor([[0, 1, 2]]))
    """
    length = like.shape[axis]
    count = max(1, math.ceil(length / window))
    step = math.ceil((length - window) / (count - 1)) if count > 1 else 0
    starts = [min(number * step, max(0, length - window)) for number in range(count)]
    inside = torch.arange(min(length, window), device=like.device)
    return torch.tensor(starts, device=like.device)[:, None] + inside


@torch.fx.wrap
def averaged(x: Tensor, dim: int, places: Tensor, length: int) -> Tensor:
    """Windows of an axis, one behind the other, where they belong; the mean where several hold a pixel.

    Args:
        x: (N, C, H, W), of which axis `dim`, 2 or 3, has windows * side pixels; it has `length` afterwards.
        places: (windows, side), as `window_places` gives it.
    """
    if len(places) == 1:
        return x
    flat = places.flatten()
    shape = [length if axis == dim else size for axis, size in enumerate(x.shape)]
    total = x.new_zeros(shape).index_add_(dim, flat, x)
    counts = torch.bincount(flat, minlength=length).to(x)
    return total / (counts[:, None] if dim == 2 else counts)


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
        gate = F.interpolate(F.gelu(self.conv2(told)), size=value.shape[-2:], mode="nearest")
        out: Tensor = self.conv3(gate * value) + x
        return out


def depthwise(channels: int, height: int = 3, width: int = 3, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, (height, width), padding=(height // 2, width // 2), groups=channels, bias=bias)


def stated_window(metadata: SidecarMetadata) -> int:
    """`tlc_kernel` of a card; what was published, where there is none."""
    arch = metadata.stated.get("arch")
    stated = arch.get("tlc_kernel") if isinstance(arch, Mapping) else None
    return stated if isinstance(stated, int) and stated > 0 else WINDOW
