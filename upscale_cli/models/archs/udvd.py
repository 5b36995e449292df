"""UDVD: a picture made by kernels that the net makes for every pixel, from the picture and what degraded it.

Xu, Tseng, Tseng, Kuo, Tsai, "Unified Dynamic Convolutional Network for Super-Resolution with Variational
Degradations", CVPR 2020, https://arxiv.org/abs/2004.06965. The authors published no code; names and sizes of layers are
those of https://github.com/guanghaoyin/CMDSR (MIT).
"""

import math
import operator
from collections.abc import Mapping
from functools import reduce
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.interface import Architecture, Descriptor, InputSpec, Recognised, SidecarMetadata
from upscale_cli.text import counted

LEVEL: Final = 1 / 255
"""Of the noise map: the picture's own values."""

RESIDUAL: Final = 0.1
"""What the residual blocks' answers are multiplied by."""

IMAGE_REACH: Final = 3
"""Pixels that `image_conv` looks at on each side: three convolutions of 3 x 3."""


class ResBlock(nn.Module):
    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(_conv(nf, nf), nn.ReLU(inplace=True), _conv(nf, nf))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + RESIDUAL * self.conv(x)
        return out


class DynamicConv(nn.Module):
    """What the two kinds of blocks have in common: image features, kernels, and their application."""

    def __init__(self, side: int, upscale: int, nf: int, image: tuple[int, int, int]) -> None:
        super().__init__()
        self.side, self.upscale = side, upscale
        first, second, third = image
        self.image_conv = nn.Sequential(
            _conv(3, first), nn.ReLU(inplace=True), _conv(first, second), nn.ReLU(inplace=True), _conv(second, third)
        )
        self.feat_kernel = _conv(third + nf, side**2 * upscale**2)

    def applied(self, picture: Tensor, kernels: Tensor) -> Tensor:
        """(N, 3, H, W) and (N, side^2 * upscale^2, H, W) to (N, 3, upscale * H, upscale * W).

        The kernels' values go column by column; each has one for every SR pixel of its LR pixel.
        """
        reach, side = self.side // 2, self.side
        number, _, height, width = picture.shape
        around = F.pad(picture, (reach,) * 4)
        values = kernels.reshape(number, side, side, 1, self.upscale**2, height, width)
        products = (
            around[:, :, None, y : y + height, x : x + width] * values[:, x, y]
            for x in range(side)
            for y in range(side)
        )
        total = reduce(operator.add, products)  # (N, 3, upscale^2, H, W)
        return F.pixel_shuffle(total.reshape(number, -1, height, width), self.upscale)


class UpDynamicConv(DynamicConv):
    """LR picture and features of its size to the first SR picture."""

    def __init__(self, side: int, upscale: int, nf: int, image: tuple[int, int, int], residual: int) -> None:
        super().__init__(side, upscale, nf, image)
        self.feat_residual = nn.Sequential(
            _conv(image[-1] + nf, residual * upscale**2), nn.ReLU(inplace=True), nn.PixelShuffle(upscale),
            _conv(residual, 3),
        )  # fmt: skip

    def forward(self, picture: Tensor, features: Tensor) -> Tensor:
        both = torch.cat((self.image_conv(picture), features), dim=1)
        out: Tensor = self.applied(picture, self.feat_kernel(both)) + self.feat_residual(both)
        return out


class CommonDynamicConv(DynamicConv):
    """SR picture and features of the LR picture's size to a better SR picture."""

    def __init__(self, side: int, upscale: int, nf: int, image: tuple[int, int, int], residual: int) -> None:
        super().__init__(side, 1, nf, image)
        self.feat_conv = nn.Sequential(nn.PixelShuffle(upscale), nn.Conv2d(nf // upscale**2, nf, 1))
        self.feat_residual = nn.Sequential(_conv(image[-1] + nf, residual), nn.ReLU(inplace=True), _conv(residual, 3))

    def forward(self, picture: Tensor, features: Tensor) -> Tensor:
        both = torch.cat((self.image_conv(picture), self.feat_conv(features)), dim=1)
        out: Tensor = self.applied(picture, self.feat_kernel(both)) + self.feat_residual(both)
        return out


class UDVD(nn.Module):
    """Shapes: lr (N, 3, H, W) in [0, 1], kernel (N, codes, H, W) and noise (N, 1, H, W), maps of what degraded it; to
    (N, 3, upscale * H, upscale * W), not clamped."""

    def __init__(
        self, codes: int, nf: int, nres: int, upscale: int, refinements: int, sides: tuple[int, int],
        image: tuple[int, int, int], residual: tuple[int, int],
    ) -> None:  # fmt: skip
        super().__init__()
        self.head = _conv(3 + codes + 1, nf)
        self.body = nn.Sequential(*(ResBlock(nf) for _ in range(nres)))
        self.UpDyConv = UpDynamicConv(sides[0], upscale, nf, image, residual[0])
        self.refinements = refinements
        for number in range(1, refinements + 1):
            self.add_module(f"ComDyConv{number}", CommonDynamicConv(sides[1], upscale, nf, image, residual[1]))

    def forward(self, lr: Tensor, kernel: Tensor, noise: Tensor) -> Tensor:
        return self.stages(lr, kernel, noise)[-1]

    def stages(self, lr: Tensor, kernel: Tensor, noise: Tensor) -> list[Tensor]:
        """The SR picture after each dynamic convolution, the last one best."""
        first = self.head(torch.cat((lr, kernel, noise), dim=1))
        features = self.body(first) + first
        made = [self.UpDyConv(lr, features)]
        for number in range(1, self.refinements + 1):
            made.append(self.get_submodule(f"ComDyConv{number}")(made[-1], features))
        return made


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """head, body.N, UpDyConv and ComDyConvN; scale and sides of kernels follow from the widths."""
    shapes = {key: tuple(tensor.shape) for key, tensor in state_dict.items() if tensor.ndim == 4}
    names = ("head", "UpDyConv.feat_kernel", "UpDyConv.feat_residual.0", "UpDyConv.feat_residual.3",
             *(f"UpDyConv.image_conv.{at}" for at in (0, 2, 4)))  # fmt: skip
    found = [shapes.get(f"{name}.weight") for name in names]
    if any(shape is None for shape in found):
        return None
    head, kernels, residual, last, *image = (shape for shape in found if shape)
    nf, codes = head[0], head[1] - 4
    upscale = math.isqrt(residual[0] // max(last[1], 1))
    side = math.isqrt(kernels[0]) // max(upscale, 1)
    nres = sum(1 for key in shapes if key.startswith("body.") and key.endswith(".conv.0.weight"))
    refinements = sum(1 for key in shapes if key.startswith("ComDyConv") and key.endswith(".feat_kernel.weight"))
    common = (
        shapes.get("ComDyConv1.feat_kernel.weight", (side**2,)),
        shapes.get("ComDyConv1.feat_residual.0.weight", (16,)),
    )
    common_side = math.isqrt(common[0][0])
    if codes < 1 or upscale < 1 or side % 2 == 0 or common_side % 2 == 0 or nf % upscale**2:
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config={
            "codes": codes, "nf": nf, "nres": nres, "upscale": upscale, "refinements": refinements,
            "sides": (side, common_side), "image": tuple(shape[0] for shape in image),
            "residual": (last[1], common[1][0]),
        },
        scales=(upscale,),
        halo=_reach(nres, upscale, refinements, side, common_side),
        exact=True,
        inputs=(
            InputSpec(
                name="kernel", kind="kernel_codes", gaussian=True, shape=(codes, None, None), tiled=True,
                about="a map of the blur kernel's codes",
            ),
            InputSpec(
                name="noise", kind="noise", level=LEVEL, shape=(1, None, None), tiled=True, least=0, most=75 * LEVEL,
                about="a map of the noise's standard deviation, of white 1",
            ),
        ),
        depth=counted(nres, "block"),
    )  # fmt: skip
    return Recognised(descriptor, dict(state_dict))


def _reach(nres: int, upscale: int, refinements: int, side: int, common_side: int) -> int:
    """LR pixels that an SR pixel depends on, on each side."""
    features = 1 + 2 * nres
    both = max(features, IMAGE_REACH)
    picture = max(both + 2, side // 2) * upscale  # SR pixels: kernels reach one further, the residual two
    for _ in range(refinements):
        picture = max(picture + max(IMAGE_REACH + 2, common_side // 2), features * upscale + upscale + 2)
    return math.ceil(picture / upscale)


ARCH: Final = Architecture(
    name="udvd", recognise=recognise, net=UDVD, about="Xu et al., CVPR 2020, https://arxiv.org/abs/2004.06965",
    inputs=("kernel", "noise"),
)  # fmt: skip
