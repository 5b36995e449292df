"""Layers that the distillation nets share: IMDN, RFDN, BSRN, BSRN-S.

Hui et al., "Lightweight Image Super-Resolution with Information Multi-Distillation Network", ACM MM 2019,
https://arxiv.org/abs/1909.11856 (contrast-aware channel attention); Liu et al., "Residual Feature Aggregation Network
for Image Super-Resolution", CVPR 2020 (enhanced spatial attention).
"""

from collections.abc import Callable
from typing import Final, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

Activation = Callable[[Tensor], Tensor]

ESA_LEAST_SIDE: Final = 15
"""LR pixels below which `ESA` has nothing left to pool: 3x3 by steps of 2, then 7x7."""


ESA_HALO: Final = 32
"""LR pixels around tiles of nets with `ESA`, where a picture has to be cut: more brings them no closer to the whole."""


class Conv3x3(Protocol):
    """Makes a 3x3 convolution, plain or separable."""

    def __call__(self, channels_in: int, channels_out: int, stride: int = 1, padding: int = 1) -> nn.Module: ...


class Conv1x1(Protocol):
    """Makes a 1x1 convolution, as a convolution or as a matrix."""

    def __call__(self, channels_in: int, channels_out: int) -> nn.Module: ...


def conv3x3(channels_in: int, channels_out: int, stride: int = 1, padding: int = 1) -> nn.Module:
    return nn.Conv2d(channels_in, channels_out, 3, stride, padding)


def conv1x1(channels_in: int, channels_out: int) -> nn.Module:
    return nn.Conv2d(channels_in, channels_out, 1)


class ESA(nn.Module):
    """Enhanced spatial attention: what is pooled over 17 x 17 pixels, every 6, says how much each pixel counts.

    The pooled values are stretched over the whole width again, so that where they lie depends a little on the size of
    the picture: a tile never equals the whole exactly.

    Args:
        strided: makes the convolution by steps of 2.
        activation: of the pooled values.

    Shapes: (N, num_feat, H, W) to the same, H and W at least 15.
    """

    def __init__(
        self, num_feat: int, point: Conv1x1, conv: Conv3x3, strided: Conv3x3, activation: Activation
    ) -> None:  # fmt: skip
        super().__init__()
        width = num_feat // 4
        self.conv1 = point(num_feat, width)
        self.conv_f = point(width, width)
        self.conv2 = strided(width, width, stride=2, padding=0)
        self.conv_max = conv(width, width)
        self.conv3 = conv(width, width)
        self.conv3_ = conv(width, width)
        self.conv4 = point(width, num_feat)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.conv1(x)  # (N, num_feat // 4, H, W)
        pooled = F.max_pool2d(self.conv2(narrow), kernel_size=7, stride=3)  # (N, num_feat // 4, h, w), h about H / 6
        pooled = self.activation(self.conv3(self.activation(self.conv_max(pooled))))
        coarse = F.interpolate(self.conv3_(pooled), size=x.shape[-2:], mode="bilinear", align_corners=False)
        weighed: Tensor = x * self.conv4(coarse + self.conv_f(narrow)).sigmoid()
        return weighed


def gate(num_feat: int, reduction: int) -> nn.Sequential:
    """How much each channel counts, 0 to 1, by one number of each: (N, num_feat, 1, 1) to the same."""
    return nn.Sequential(
        nn.Conv2d(num_feat, num_feat // reduction, 1), nn.ReLU(inplace=True),
        nn.Conv2d(num_feat // reduction, num_feat, 1), nn.Sigmoid(),
    )  # fmt: skip


class CCALayer(nn.Module):
    """Contrast-aware channel attention: mean plus standard deviation of a whole channel say how much it counts.

    Shapes: (N, num_feat, H, W) to the same.
    """

    def __init__(self, num_feat: int, reduction: int = 16) -> None:
        super().__init__()
        self.conv_du = gate(num_feat, reduction)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)  # (N, num_feat, 1, 1)
        # Divided by the number of pixels, not one less.
        deviation = (x - mean).square().mean((2, 3), keepdim=True).sqrt()
        weighed: Tensor = x * self.conv_du(deviation + mean)
        return weighed
