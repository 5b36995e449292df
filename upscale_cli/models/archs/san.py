"""SAN: channels weighed by the covariance of the whole picture, pixels by all others of their quarter of it.

Dai et al., "Second-order Attention Network for Single Image Super-Resolution", CVPR 2019,
https://openaccess.thecvf.com/content_CVPR_2019/html/Dai_Second-Order_Attention_Network_for_Single_Image_Super-Resolution_CVPR_2019_paper.html
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.attention_layers import gate
from upscale_cli.models.archs.keys import sides_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

NEWTON_SCHULZ: Final = 5
"""Iterations towards the square root of a covariance."""

TINY: Final = 1e-12
"""The least trace that a covariance is divided by: that of a picture without any variance is 0."""

MOST_SIDE: Final = 1000
"""Pixels in the middle of each axis that the covariance is taken of."""


def covariance(x: Tensor) -> Tensor:
    """Of the channels over the pixels: (N, C, H, W) to (N, C, C), divided by the number of pixels."""
    x = x.flatten(2)
    x = x - x.mean(2, keepdim=True)
    return x @ x.transpose(1, 2) / x.shape[2]


def square_root(matrix: Tensor) -> Tensor:
    """Of covariances, (N, C, C), nearly: by coupled Newton-Schulz iterations, which need products only.

    Li et al., "Towards Faster Training of Global Covariance Pooling Networks by Iterative Matrix Square Root
    Normalization", CVPR 2018, https://arxiv.org/abs/1712.01034
    """
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    trace = (matrix * identity).sum((1, 2), keepdim=True).clamp(min=TINY)  # (N, 1, 1)
    root, inverse = matrix / trace, identity  # with eigenvalues below 1 they converge to it, and to its inverse
    for _ in range(NEWTON_SCHULZ):
        step = 1.5 * identity - 0.5 * inverse @ root
        root, inverse = root @ step, step @ inverse
    return root * trace.sqrt()


class SOCA(nn.Module):
    """Second-order channel attention. Shapes: (N, num_feat, H, W) to the same."""

    def __init__(self, num_feat: int, reduction: int) -> None:
        super().__init__()
        self.conv_du = gate(num_feat, reduction)

    def forward(self, x: Tensor) -> Tensor:
        top, left = ((side - MOST_SIDE) // 2 * (side > MOST_SIDE) for side in x.shape[-2:])
        middle = x[:, :, top : top + MOST_SIDE, left : left + MOST_SIDE]
        pooled = square_root(covariance(middle)).mean(1)  # (N, num_feat)
        weighed: Tensor = x * self.conv_du(pooled[:, :, None, None])
        return weighed


class NonLocal(nn.Module):
    """Attention of each pixel to all places of 2 x 2 pixels. Shapes: (N, num_feat, H, W) to the same.

    Wang et al., "Non-local Neural Networks", CVPR 2018, https://arxiv.org/abs/1711.07971
    """

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        width = num_feat // 8
        self.g = nn.Sequential(nn.Conv2d(num_feat, width, 1), nn.MaxPool2d(2))
        self.phi = nn.Sequential(nn.Conv2d(num_feat, width, 1), nn.MaxPool2d(2))
        self.theta = nn.Conv2d(num_feat, width, 1)
        self.W = nn.Conv2d(width, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            made.flatten(2).transpose(1, 2)[:, None].contiguous() for made in (self.theta(x), self.phi(x), self.g(x))
        )  # (N, 1, H * W, num_feat // 8), and a quarter as many places of the other two
        # Contiguous as they are, it never holds the weights, H * W by H * W / 4 numbers: 1 TB of a megapixel.
        found = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        out: Tensor = x + self.W(found[:, 0].transpose(1, 2).reshape(x.shape[0], -1, *x.shape[-2:]))
        return out


class NonLocalQuarters(nn.Module):
    """`NonLocal` in each quarter of the picture by itself.

    Shapes: (N, num_feat, H, W) to the same, sides at least 4.
    """

    def __init__(self, num_feat: int, reduction: int) -> None:
        super().__init__()
        self.soca = SOCA(num_feat, reduction)  # in every file, and of no use to the reference
        self.non_local = NonLocal(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        middle_y, middle_x = x.shape[-2] // 2, x.shape[-1] // 2
        halves = x[:, :, :middle_y], x[:, :, middle_y:]
        quarters = [(half[..., :middle_x], half[..., middle_x:]) for half in halves]
        return torch.cat([torch.cat([self.non_local(part) for part in row], dim=3) for row in quarters], dim=2)


class ResidualBlock(nn.Module):
    """Shapes: (N, num_feat, H, W) to the same."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv_first = nn.Sequential(
            nn.Conv2d(num_feat, num_feat, 3, padding=1), nn.ReLU(inplace=True),
            nn.Conv2d(num_feat, num_feat, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.conv_first(x)
        return out


class LSRAG(nn.Module):
    """Local-source residual attention group. Shapes: (N, num_feat, H, W) to the same."""

    def __init__(self, num_feat: int, num_block: int, reduction: int) -> None:
        super().__init__()
        self.rcab = nn.ModuleList(ResidualBlock(num_feat) for _ in range(num_block))
        self.soca = SOCA(num_feat, reduction)
        self.conv_last = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.gamma = nn.Parameter(torch.zeros(1))  # in every file, and of no use to the reference

    def forward(self, x: Tensor) -> Tensor:
        shallow = x
        for block in self.rcab:
            x = block(x)
        out: Tensor = shallow + self.conv_last(self.soca(x))
        return out


class SAN(nn.Module):
    """SAN of any width and depth.

    Shapes: (N, 3, H, W) in [0, 255], sides at least 4, to (N, 3, upscale * H, upscale * W), not clamped.
    """

    def __init__(
        self, num_feat: int = 64, num_group: int = 20, num_block: int = 10, reduction: int = 16, upscale: int = 4
    ) -> None:  # fmt: skip
        super().__init__()
        self.sub_mean, self.add_mean = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.head = nn.Sequential(nn.Conv2d(3, num_feat, 3, padding=1))
        self.non_local = NonLocalQuarters(num_feat, reduction)
        self.RG = nn.ModuleList(LSRAG(num_feat, num_block, reduction) for _ in range(num_group))
        self.conv_last = nn.Conv2d(num_feat, num_feat, 3, padding=1)  # in every file, and of no use to the reference
        self.tail = nn.Sequential(upsampler(num_feat, upscale), nn.Conv2d(num_feat, 3, 3, padding=1))

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.head(self.sub_mean(lr))  # (N, num_feat, H, W)
        x = first = self.non_local(shallow)
        for group in self.RG:
            x = group(x) + self.gamma * first
        out: Tensor = self.add_mean(self.tail(self.non_local(x) + shallow))
        return out


def upsampler(num_feat: int, upscale: int) -> nn.Sequential:
    """EDSR's: sub-pixel layers that double the sides, or one that triples them."""
    factors = [3] if upscale == 3 else [2] * (upscale.bit_length() - 1)
    layers: list[nn.Module] = []
    for factor in factors:
        layers += [nn.Conv2d(num_feat, num_feat * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return nn.Sequential(*layers)


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:  # noqa: ARG001  # every one takes it
    """RG.N.rcab.M groups, and a non-local block whose g and phi are pooled."""
    num_group, num_block = (
        _count(state_dict, "RG.{}.soca.conv_du.0.weight"),
        _count(state_dict, "RG.0.rcab.{}.conv_first.0.weight"),
    )
    num_feat, channels = sides_of(state_dict, "head.0.weight")[:2]
    narrow = sides_of(state_dict, "RG.0.soca.conv_du.0.weight")[0]
    is_pooled = "non_local.non_local.g.0.weight" in state_dict
    ups = _count(state_dict, "tail.0.{}.weight", step=2)
    factor = sides_of(state_dict, "tail.0.0.weight")[0] // max(num_feat, 1)
    upscale = 3 if factor == 9 and ups == 1 else 2**ups if factor == 4 else 0
    if not (num_group and num_block and is_pooled and channels == 3 and num_feat >= 8 and narrow and upscale > 1):
        return None
    return Recognised(
        Descriptor(
            arch=ARCH.name,
            config={
                "num_feat": num_feat, "num_group": num_group, "num_block": num_block,
                "reduction": num_feat // narrow, "upscale": upscale,
            },
            scales=(upscale,),
            halo=SHAVED,
            sees_whole=True,
            least_side=4,
            precisions=frozenset({"fp32"}),  # products of hundreds of values, each up to hundreds
            input_range=(0.0, 255.0),
            output_range=(0.0, 255.0),
            depth=f"{counted(num_group, 'group')} of {counted(num_block, 'block')}",
        ),
        dict(state_dict),
    )  # fmt: skip


def _count(state_dict: Mapping[str, Tensor], key: str, step: int = 1) -> int:
    """How many keys there are, numbered from 0 without a gap."""
    number = 0
    while key.format(number * step) in state_dict:
        number += 1
    return number


SHAVED: Final = 10
"""LR pixels around the parts that the reference itself cuts large pictures into."""

ARCH: Final = Architecture(
    name="san", recognise=recognise, net=SAN, about="Dai et al., CVPR 2019, https://github.com/daitao/SAN"
)
