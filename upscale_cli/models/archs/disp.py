"""DISP: residual blocks of fused convolutions; entry 18 of NTIRE 2026. Its keys are SPAN's, but it has no attention.

https://github.com/Amazingren/NTIRE2026_ESR (MIT).
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import fits_in_shape
from upscale_cli.models.archs.span_blocks import Conv3XC, fused
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata, natural_order
from upscale_cli.text import counted


class Block(nn.Module):
    """Convolutions in a row, each with its SiLU, and the shortcut after the last of them.

    Args:
        extern: names of those that stand between the second and the last one.
    """

    def __init__(self, num_feat: int, extern: tuple[str, ...]) -> None:
        super().__init__()
        self._extern_conv_block = nn.ModuleDict({name: Conv3XC(num_feat, num_feat) for name in extern})
        self.c1_r = Conv3XC(num_feat, num_feat)
        self.c2_r = Conv3XC(num_feat, num_feat)
        self.c3_r = Conv3XC(num_feat, num_feat)

    def forward(self, x: Tensor) -> Tensor:
        out = F.silu(self.c2_r(F.silu(self.c1_r(x))))
        for conv in self._extern_conv_block.values():
            out = F.silu(conv(out))
        return F.silu(self.c3_r(out)) + x


class DISP(nn.Module):
    """DISP, its convolutions fused.

    Shapes: (N, num_in_ch, H, W) in [0, 1] to (N, num_in_ch, upscale * H, upscale * W), not clamped.
    """

    def __init__(
        self, num_in_ch: int = 3, num_feat: int = 32, num_block: int = 4, extern: tuple[str, ...] = ("0",),
        upscale: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conv_1 = Conv3XC(num_in_ch, num_feat)
        self.blocks = nn.Sequential(*(Block(num_feat, extern) for _ in range(num_block)))
        self.conv_2 = nn.Conv2d(num_feat, num_feat, 1)
        self.upsampler = nn.Sequential(
            nn.Conv2d(num_feat, num_in_ch * upscale**2, 3, padding=1), nn.PixelShuffle(upscale)
        )

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.conv_1(lr)  # (N, num_feat, H, W)
        out: Tensor = self.upsampler(self.conv_2(self.blocks(shallow)) + shallow)
        return out


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """conv_1, blocks.0, blocks.1, ... of SPAN's layers and more of them, conv_2 and upsampler.0."""
    tensors = fused(state_dict)
    first, last = tensors.get("conv_1.eval_conv.weight"), tensors.get("upsampler.0.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        return None
    num_feat, num_in_ch = first.shape[:2]
    upscale = math.isqrt(last.shape[0] // num_in_ch)
    num_block = len({match[1] for key in tensors if (match := re.match(r"blocks\.(\d+)\.", key))})
    found = {match[1] for key in tensors if (match := re.match(r"blocks\.0\._extern_conv_block\.(\d+)\.", key))}
    extern = tuple(natural_order(found))
    config: dict[str, Any] = {
        "num_in_ch": num_in_ch, "num_feat": num_feat, "num_block": num_block, "extern": extern, "upscale": upscale,
    }  # fmt: skip
    if num_in_ch not in (1, 3) or upscale < 1 or num_block < 1 or not fits_in_shape(tensors, DISP, config):
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(upscale,),
        channels=num_in_ch,
        colour="rgb" if num_in_ch == 3 else "luma",
        halo=(3 + len(extern)) * num_block + 2,
        exact=True,
        depth=counted(num_block, "block"),
    )
    return Recognised(descriptor, tensors)


ARCH: Final = Architecture(
    name="disp", recognise=recognise, net=DISP,
    about="DISP, NTIRE 2026 efficient SR, https://github.com/Amazingren/NTIRE2026_ESR",
)  # fmt: skip
