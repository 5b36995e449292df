"""RFDN: IMDN's idea with 1x1 convolutions setting features aside, and spatial attention. Winner of AIM 2020.

Liu et al., "Residual Feature Distillation Network for Lightweight Image Super-Resolution", AIM 2020, ECCVW,
https://arxiv.org/abs/2009.11551
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.attention_layers import (
    ESA,
    ESA_HALO,
    ESA_LEAST_SIDE,
    conv1x1,
    conv3x3,
)
from upscale_cli.models.archs.keys import in_a_row, shuffled_scale, sides_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

SLOPE: Final = 0.05
"""Of the leaky ReLU."""

WHITES: Final = (255.0, 1.0)
"""In which range of values the nets were trained: AIM's and NTIRE's baseline, and those of others."""


KEPT: Final = 0.01
"""How much a trained net changes grey at most, in its own range: by 0.0002, and in the other by 0.04."""


class RFDB(nn.Module):
    """Three steps, each of a 1x1 convolution whose result is kept and a 3x3 one inside a residual, which goes on.

    Shapes: (N, num_feat, H, W) to the same.
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        half = num_feat // 2
        for number in range(1, 4):
            self.add_module(f"c{number}_d", nn.Conv2d(num_feat, half, 1))
            self.add_module(f"c{number}_r", nn.Conv2d(num_feat, num_feat, 3, padding=1))
        self.c4 = nn.Conv2d(num_feat, half, 3, padding=1)
        self.c5 = nn.Conv2d(half * 4, num_feat, 1)
        self.esa = ESA(num_feat, conv1x1, conv3x3, conv3x3, torch.relu)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for number in range(1, 4):
            kept.append(_lrelu(self.get_submodule(f"c{number}_d")(x)))  # (N, num_feat // 2, H, W)
            x = _lrelu(x + self.get_submodule(f"c{number}_r")(x))
        out: Tensor = self.esa(self.c5(torch.cat((*kept, _lrelu(self.c4(x))), dim=1)))
        return out


class RFDN(nn.Module):
    """RFDN of any width and depth.

    Args:
        white: the weights' own value of white. The net takes and gives [0, 1] all the same.

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, upscale * H, upscale * W), not clamped; H and W at least 15.
    """

    def __init__(self, num_feat: int = 50, num_modules: int = 4, upscale: int = 4, white: float = 255.0) -> None:
        super().__init__()
        self.num_modules, self.white = num_modules, white
        self.fea_conv = nn.Conv2d(3, num_feat, 3, padding=1)
        for number in range(1, num_modules + 1):
            self.add_module(f"B{number}", RFDB(num_feat))
        self.c = nn.Sequential(nn.Conv2d(num_feat * num_modules, num_feat, 1), nn.LeakyReLU(SLOPE, inplace=True))
        self.LR_conv = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(num_feat, 3 * upscale**2, 3, padding=1), nn.PixelShuffle(upscale))

    def forward(self, lr: Tensor) -> Tensor:
        shallow = x = self.fea_conv(lr * self.white)  # (N, num_feat, H, W)
        blocks = []
        for number in range(1, self.num_modules + 1):
            x = self.get_submodule(f"B{number}")(x)
            blocks.append(x)
        out: Tensor = self.upsampler(shallow + self.LR_conv(self.c(torch.cat(blocks, dim=1))))
        return out * (1 / self.white)


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, negative_slope=SLOPE, inplace=True)


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """B1, B2, ... with plain convolutions (BSRN's are separable).

    Nothing in the keys says in which range of values a net was trained. Where no card does, it is asked: nothing else
    than its weights makes the brightness of what it gives, so in the right range grey stays grey.
    """
    num_modules = in_a_row(state_dict, "B{}.c1_r.weight", first=1)
    num_feat, channels = sides_of(state_dict, "fea_conv.weight")[:2]
    upscale = shuffled_scale(sides_of(state_dict, "upsampler.0.weight")[0])
    if not num_modules or channels != 3 or not upscale or num_feat < 4:
        return None
    config: dict[str, Any] = {"num_feat": num_feat, "num_modules": num_modules, "upscale": upscale}
    assumed: tuple[str, ...] = ()
    white = _stated_white(metadata)
    if white is None:
        white, is_clear = _kept_white(state_dict, config)
        assumed = () if is_clear else (f"values from 0 to {white:g}",)
    return Recognised(
        Descriptor(
            arch=ARCH.name,
            config={**config, "white": white},
            scales=(upscale,),
            halo=ESA_HALO,
            least_side=ESA_LEAST_SIDE,
            sees_whole=True,  # where `ESA` pools depends on the whole size
            depth=counted(num_modules, "block"),
        ),
        dict(state_dict),
        assumed,
    )


def _stated_white(metadata: SidecarMetadata) -> float | None:
    stated = re.search(r"\b0\s*(?:\.\.|-|to)\s*(255|1)\b", str(metadata.stated.get("input", "")))
    return float(stated[1]) if stated else None


def _kept_white(state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> tuple[float, bool]:
    """The range in which the net changes a grey picture least, and whether it hardly changes it there."""
    grey = torch.full((1, 3, 2 * ESA_LEAST_SIDE, 2 * ESA_LEAST_SIDE), 0.5)

    def change(white: float) -> float:
        with torch.device("meta"):
            net = RFDN(**config, white=white)
        net.load_state_dict(state_dict, assign=True)
        with torch.inference_mode():
            return float((net(grey) - 0.5).abs().mean())

    try:
        changes = {white: change(white) for white in WHITES}
    except RuntimeError:  # tensors that do not fit, which the loader reports
        return WHITES[0], True
    white = min(changes, key=changes.__getitem__)
    return white, changes[white] < KEPT


ARCH: Final = Architecture(
    name="rfdn", recognise=recognise, net=RFDN, about="Liu et al., AIM 2020, https://arxiv.org/abs/2009.11551"
)
