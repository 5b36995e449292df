"""HAESR: attention around windows, over the whole picture and between channels, on ever fewer channels.

Entry 6 of NTIRE 2026, the one of the best PSNR: https://github.com/Amazingren/NTIRE2026_ESR (MIT).
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.haesr_attention import (
    EXTEND,
    WINDOW,
    Attention,
    ChannelBlock,
    GatedFeedForward,
    GridAttention,
    LayerNorm2d,
    WindowAttention,
)
from upscale_cli.models.archs.keys import fits_in_shape
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata

MARGIN: Final = 32
"""LR pixels around a tile where memory leaves no room for the whole: it is 52 dB from it then."""

LEAST_SIDE: Final = 9
"""LR pixels: what is smaller has 8 after padding, of which the pooling leaves nothing."""

SPLIT: Final = 4
"""Into so many parts the channels go; each step of a group works on one part less."""

Maps = list[Tensor]
"""What the attentions of the first group have made, in their order."""


class LargeKernel(nn.Module):
    """A quarter of the channels, each weighted by its mean, through a large convolution in two halves."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.part = dim // SPLIT
        self.DWConv_1xK = nn.Conv2d(self.part, self.part, (1, kernel), padding=(0, kernel // 2), groups=self.part)
        self.DWConv_Kx1 = nn.Conv2d(self.part, self.part, (kernel, 1), padding=(kernel // 2, 0), groups=self.part)
        self.conv1 = nn.Conv2d(dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        sorted_ = x.reshape(-1, self.part, SPLIT, height, width).permute(0, 2, 1, 3, 4).flatten(1, 2)  # 0, 4, ..., 1, 5
        large, rest = sorted_[:, : self.part], sorted_[:, self.part :]
        weighted = large * torch.sigmoid(large.mean(dim=(2, 3), keepdim=True))
        return F.gelu(self.conv1(torch.cat([self.DWConv_Kx1(self.DWConv_1xK(weighted)), rest], dim=1)))


class LocalBlock(nn.Module):
    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        self.DWConv3 = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        self.PLKB = LargeKernel(dim, kernel)
        self.conv1 = nn.Conv2d(2 * dim, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.conv1(torch.cat([self.DWConv3(x), self.PLKB(x)], dim=1)))


class AttentionBlock(nn.Module):
    def __init__(self, dim: int, attn: Attention) -> None:
        super().__init__()
        self.cnorm, self.cnorm2 = LayerNorm2d(dim), LayerNorm2d(dim)
        self.attn = attn
        self.gfn = GatedFeedForward(dim)

    def forward(self, x: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
        """The result, and the map, made here where none is `known`."""
        out, known = self.attn(self.cnorm(x), known)
        x = x + out
        return x + self.gfn(self.cnorm2(x)), known


class ResidualLayer(nn.Module):
    """Three steps, each on a quarter of the channels less, then attention between all of them.

    In each step the first quarter is kept from what the convolutions give, and again from what the attentions give.
    """

    def __init__(self, dim: int, kernel: int, *, makes_map: bool) -> None:
        super().__init__()
        self.part = dim // SPLIT
        for number in range(1, SPLIT):
            given, rest = dim - (number - 1) * self.part, dim - number * self.part
            around = WindowAttention(rest, number - 1, makes_map=makes_map)
            over = GridAttention(rest, number - 1, makes_map=makes_map)
            self.add_module(f"LB{number}", LocalBlock(given, kernel))
            self.add_module(f"SLA{number}", AttentionBlock(rest, around))
            self.add_module(f"SGA{number}", AttentionBlock(rest, over))
            joined = given if number < SPLIT - 1 else dim
            self.add_module(f"pw{number}", nn.Conv2d(joined, joined, 1))
        self.BlockC = ChannelBlock(dim)

    def forward(self, x: Tensor, known: Maps | None) -> tuple[Tensor, Maps]:
        maps = iter(known or [])
        made: Maps = []
        kept: list[Tensor] = []
        for number in range(1, SPLIT):
            x = self.get_submodule(f"LB{number}")(x)
            local, x = x[:, : self.part], x[:, self.part :]
            for attention in (f"SLA{number}", f"SGA{number}"):
                x, found = self.get_submodule(attention)(x, next(maps, None))
                made.append(found)
            joint = self.get_submodule(f"pw{number}")
            if number == SPLIT - 1:
                x = joint(torch.cat([*kept, x, local], dim=1))
            else:
                x = joint(torch.cat([x, local], dim=1))
                kept.append(x[:, : self.part])
                x = x[:, self.part :]
        return self.BlockC(x), made


class ESA(nn.Module):
    """A gate by what a region holds. Liu et al., "Residual Feature Distillation Network", ECCVW 2020."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(dim, hidden, 1)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride=2)
        self.conv3 = nn.Conv2d(hidden, hidden, 3, padding=1)
        self.conv4 = nn.Conv2d(hidden, dim, 1)
        self.conv_f = nn.Conv2d(hidden, hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        few = self.conv1(x)
        region = self.conv3(F.max_pool2d(self.conv2(few), 7, 3))
        region = F.interpolate(region, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return x * torch.sigmoid(self.conv4(region + self.conv_f(few)))


class Group(nn.Module):
    """Args: makes_map: it makes the maps of its attentions, which later groups use; its layer is one of a list then."""

    def __init__(self, dim: int, kernel: int, hidden: int, *, makes_map: bool) -> None:
        super().__init__()
        layer = ResidualLayer(dim, kernel, makes_map=makes_map)
        self.residual_layer = nn.ModuleList([layer]) if makes_map else layer
        self.res_end = nn.Conv2d(dim, dim, 1)
        self.esa = ESA(dim, hidden)

    def forward(self, x: Tensor, known: Maps | None) -> tuple[Tensor, Maps]:
        layer = self.residual_layer[0] if isinstance(self.residual_layer, nn.ModuleList) else self.residual_layer
        out, maps = layer(x, known)
        return self.esa(self.res_end(out) + x), maps


class HAESR(nn.Module):
    """HAESR.

    Args:
        num_feat: channels; a multiple of 16.
        num_group: of which the first makes the maps that the others use.
        kernel: of the large convolutions, along one side.
        esa_feat: channels inside of the gate of each group.

    Shapes: (N, num_in_ch, H, W) in [0, 1] to (N, num_in_ch, upscale * H, upscale * W), not clamped. Sides of 9 or more,
    mirrored on the right and at the bottom up to a multiple of 8.
    """

    def __init__(
        self, num_in_ch: int = 3, num_feat: int = 48, num_group: int = 3, kernel: int = 31, esa_feat: int = 16,
        upscale: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_group, self.upscale = num_group, upscale
        self.input = nn.Conv2d(num_in_ch, num_feat, 3, padding=1)
        for number in range(num_group):
            self.add_module(f"block{number}", Group(num_feat, kernel, esa_feat, makes_map=number == 0))
        self.output = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.up = nn.Sequential(nn.Conv2d(num_feat, num_in_ch * upscale**2, 3, padding=1), nn.PixelShuffle(upscale))

    def forward(self, lr: Tensor) -> Tensor:
        height, width = lr.shape[-2:]
        padded = F.pad(lr, (0, -width % WINDOW, 0, -height % WINDOW), mode="reflect")
        shallow = x = self.input(padded)  # (N, num_feat, H', W')
        maps: Maps | None = None
        for number in range(self.num_group):
            x, maps = self.get_submodule(f"block{number}")(x, maps)
        sr: Tensor = self.up(self.output(x) + shallow)
        return sr[..., : height * self.upscale, : width * self.upscale]


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """input, block0 with a list of layers, block1, ... with one layer each, output and up.0."""
    first, last = state_dict.get("input.weight"), state_dict.get("up.0.weight")
    large = state_dict.get("block0.residual_layer.0.LB1.PLKB.DWConv_1xK.weight")
    gate = state_dict.get("block0.esa.conv1.weight")
    if first is None or last is None or large is None or gate is None or first.ndim != 4:
        return None
    num_feat, num_in_ch = first.shape[:2]
    upscale = math.isqrt(last.shape[0] // num_in_ch)
    config: dict[str, Any] = {
        "num_in_ch": num_in_ch, "num_feat": num_feat, "kernel": large.shape[-1], "esa_feat": gate.shape[0],
        "num_group": len({key.split(".")[0] for key in state_dict if key.startswith("block")}), "upscale": upscale,
    }  # fmt: skip
    if num_in_ch not in (1, 3) or num_feat % SPLIT**2 or upscale < 1 or not fits_in_shape(state_dict, HAESR, config):
        return None
    if not all(_is_place(tensor) for key, tensor in state_dict.items() if key.endswith("_indices")):
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(upscale,),
        channels=num_in_ch,
        colour="rgb" if num_in_ch == 3 else "luma",
        halo=MARGIN,
        least_side=LEAST_SIDE,
        sees_whole=True,
        depth=f"{num_feat} channels",
    )
    return Recognised(descriptor, dict(state_dict))


def _is_place(tensor: Tensor) -> bool:
    """Of pixels in what a window looks at."""
    if tensor.is_meta or tensor.is_floating_point():
        return tensor.is_meta
    return bool(((tensor >= 0) & (tensor < (WINDOW + 2 * EXTEND) ** 2)).all())


ARCH: Final = Architecture(
    name="haesr", recognise=recognise, net=HAESR,
    about="HAESR, NTIRE 2026 efficient SR, https://github.com/Amazingren/NTIRE2026_ESR",
)  # fmt: skip
