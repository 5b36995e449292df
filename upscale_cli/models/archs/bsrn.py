"""BSRN and BSRN-S: RFDN with blueprint-separable convolutions. Winners of NTIRE 2022's complexity track.

Li et al., "Blueprint Separable Residual Network for Efficient Image Super-Resolution", CVPRW 2022,
https://arxiv.org/abs/2205.05996
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.attention_layers import (
    ESA,
    ESA_HALO,
    ESA_LEAST_SIDE,
    CCALayer,
    Conv1x1,
    Conv3x3,
    conv1x1,
    conv3x3,
)
from upscale_cli.models.archs.keys import in_a_row, shuffled_scale, sides_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

COPIES: Final = 4
"""Of the picture, one after the other: what the first convolution takes."""


class BSConvU(nn.Module):
    """Blueprint-separable convolution: 1x1, then 3x3 of each channel alone.

    Haase and Amthor, "Rethinking Depthwise Separable Convolutions", CVPR 2020, https://arxiv.org/abs/2003.13549

    Shapes: (N, channels_in, H, W) to (N, channels_out, H, W), less at a stride of 2 or without padding.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.pw = self.point(channels_in, channels_out)
        self.dw = nn.Conv2d(channels_out, channels_out, 3, stride, padding, groups=channels_out)

    @staticmethod
    def point(channels_in: int, channels_out: int) -> nn.Module:
        return nn.Conv2d(channels_in, channels_out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.dw(self.pw(x))
        return out


class PixelLinear(nn.Module):
    """What `nn.Linear` makes of each pixel's channels: a 1x1 convolution whose weight is a matrix.

    Shapes: (N, channels_in, H, W) to (N, channels_out, H, W).
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels_out, channels_in).normal_(0, channels_in**-0.5))
        self.bias = nn.Parameter(torch.zeros(channels_out))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[:, :, None, None], self.bias)


class BSConvLinear(BSConvU):
    """`BSConvU` as BSRN-S has it: the 1x1 part is a matrix, and has a bias."""

    @staticmethod
    def point(channels_in: int, channels_out: int) -> nn.Module:
        return PixelLinear(channels_in, channels_out)


class DistillationBlock(nn.Module):
    """Three steps, each of a 1x1 convolution whose result is kept and a 3x3 one inside a residual, which goes on.

    Shapes: (N, num_feat, H, W) to the same.
    """

    def __init__(self, num_feat: int, point: Conv1x1, conv: Conv3x3, strided: Conv3x3) -> None:
        super().__init__()
        half = num_feat // 2
        for number in range(1, 4):
            self.add_module(f"c{number}_d", point(num_feat, half))
            self.add_module(f"c{number}_r", conv(num_feat, num_feat))
        self.c4 = conv(num_feat, half)
        self.c5 = point(half * 4, num_feat)
        self.esa = ESA(num_feat, point, conv, strided, F.gelu)

    def distilled(self, x: Tensor) -> Tensor:
        """All but the attention to channels and the residual around the block."""
        kept = []
        for number in range(1, 4):
            kept.append(F.gelu(self.get_submodule(f"c{number}_d")(x)))  # (N, num_feat // 2, H, W)
            x = F.gelu(x + self.get_submodule(f"c{number}_r")(x))
        out: Tensor = self.esa(self.c5(torch.cat((*kept, F.gelu(self.c4(x))), dim=1)))
        return out


class ESDB(DistillationBlock):
    """BSRN's block."""

    def __init__(self, num_feat: int) -> None:
        super().__init__(num_feat, conv1x1, BSConvU, BSConvU)
        self.cca = CCALayer(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.cca(self.distilled(x))
        return out


class SmallESDB(DistillationBlock):
    """BSRN-S's block: one learnt weight for each channel in the place of attention."""

    def __init__(self, num_feat: int) -> None:
        super().__init__(num_feat, PixelLinear, BSConvLinear, conv3x3)
        self.cw = nn.Parameter(torch.ones(1, num_feat))
        self.conv_out = PixelLinear(num_feat, num_feat)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv_out(self.distilled(x) * self.cw[:, :, None, None])
        return out


class SubPixel(nn.Module):
    """A convolution and the sub-pixel layer, under the reference's name."""

    def __init__(self, num_feat: int, upscale: int) -> None:
        super().__init__()
        self.upsampleOneStep = nn.Sequential(  # the reference's key
            nn.Conv2d(num_feat, 3 * upscale**2, 3, padding=1), nn.PixelShuffle(upscale)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.upsampleOneStep(x)
        return out


class BSRN(nn.Module):
    """BSRN, or BSRN-S where it is `small`.

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, upscale * H, upscale * W), not clamped; H and W at least 15.
    """

    def __init__(self, num_feat: int = 64, num_block: int = 8, upscale: int = 4, *, small: bool = False) -> None:
        super().__init__()
        self.num_block = num_block
        conv = BSConvLinear if small else BSConvU
        self.fea_conv = conv(3 * COPIES, num_feat)
        for number in range(1, num_block + 1):
            self.add_module(f"B{number}", SmallESDB(num_feat) if small else ESDB(num_feat))
        self.c1 = (PixelLinear if small else conv1x1)(num_feat * num_block, num_feat)
        self.c2 = conv(num_feat, num_feat)
        self.upsampler = SubPixel(num_feat, upscale)

    def forward(self, lr: Tensor) -> Tensor:
        shallow = x = self.fea_conv(torch.cat([lr] * COPIES, dim=1))  # (N, num_feat, H, W)
        blocks = []
        for number in range(1, self.num_block + 1):
            x = self.get_submodule(f"B{number}")(x)
            blocks.append(x)
        out: Tensor = self.upsampler(shallow + self.c2(F.gelu(self.c1(torch.cat(blocks, dim=1)))))
        return out


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:  # noqa: ARG001  # every one takes it
    """Separable convolutions in B1, B2, ... whose 1x1 parts are convolutions: with them comes attention to channels."""
    num_block = in_a_row(state_dict, "B{}.cca.conv_du.0.weight", first=1)
    num_feat, copied = sides_of(state_dict, "fea_conv.pw.weight")[:2]
    return _recognised(ARCH.name, state_dict, num_feat, num_block, copied, small=False)


def recognise_small(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:  # noqa: ARG001  # every one takes it
    """The same with matrices for 1x1 parts, and a weight for each channel."""
    num_block = in_a_row(state_dict, "B{}.cw", first=1)
    num_feat, copied = sides_of(state_dict, "fea_conv.pw.weight", 2)
    return _recognised(ARCH_SMALL.name, state_dict, num_feat, num_block, copied, small=True)


def _recognised(
    name: str, state_dict: Mapping[str, Tensor], num_feat: int, num_block: int, copied: int, *, small: bool
) -> Recognised | None:
    upscale = shuffled_scale(sides_of(state_dict, "upsampler.upsampleOneStep.0.weight")[0])
    if not num_block or copied != 3 * COPIES or not upscale or num_feat < (4 if small else 16):
        return None
    return Recognised(
        Descriptor(
            arch=name,
            config={"num_feat": num_feat, "num_block": num_block, "upscale": upscale, "small": small},
            scales=(upscale,),
            halo=ESA_HALO,
            least_side=ESA_LEAST_SIDE,
            sees_whole=True,  # where `ESA` pools depends on the whole size; BSRN's contrast is that of whole channels
            depth=counted(num_block, "block"),
        ),
        dict(state_dict),
    )


_ABOUT: Final = "Li et al., CVPRW 2022, https://arxiv.org/abs/2205.05996"

ARCH: Final = Architecture(name="bsrn", recognise=recognise, net=BSRN, about=_ABOUT)
ARCH_SMALL: Final = Architecture(name="bsrn-s", recognise=recognise_small, net=BSRN, about=_ABOUT)
