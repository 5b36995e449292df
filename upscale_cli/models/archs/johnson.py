"""The super-resolution net of the paper that brought perceptual losses; one residual block, whose weights are shared.

Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV 2016,
https://arxiv.org/abs/1603.08155. Keys as in https://github.com/A-Jacobson/Super_Resolution (no licence stated), which
uses its one residual block four times and its one enlarging block twice.
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import fits, lr_reach, shape_of, with_batch_counters
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata

RESIDUAL_TIMES: Final = 4
ENLARGING_TIMES: Final = 2


class JohnsonSR(nn.Module):
    """Batch normalisation, 9x9 in, residual blocks, nearest enlargement with convolutions, 9x9 out, tanh; x4.

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, 4 * H, 4 * W) in (-1, 1), trained against [0, 1].
    """

    def __init__(self, num_feat: int = 64) -> None:
        super().__init__()
        self.batch_norm = nn.BatchNorm2d(3)
        self.conv_in = ConvBlock(3, num_feat, 9)
        self.resblock = ResidualBlock(num_feat)
        self.upblock = ConvBlock(num_feat, num_feat, 3)
        self.conv_out = nn.Conv2d(num_feat, 3, 9, padding=4)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.conv_in(self.batch_norm(lr))  # (N, num_feat, H, W)
        for _ in range(RESIDUAL_TIMES):
            x = self.resblock(x)
        for _ in range(ENLARGING_TIMES):
            x = self.upblock(F.interpolate(x, scale_factor=2, mode="nearest"))
        return torch.tanh(self.conv_out(x))


class ConvBlock(nn.Module):
    """(N, channels_in, H, W) to (N, channels_out, H, W)."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2)
        self.batchnorm = nn.BatchNorm2d(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.batchnorm(self.conv(x)))


class ResidualBlock(nn.Module):
    """One convolution, used twice; (N, num_feat, H, W) to the same."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.batchnorm = nn.BatchNorm2d(num_feat)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.batchnorm(self.conv3x3(F.relu(self.batchnorm(self.conv3x3(x)))))
        return x + residual


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """Keys as in the repository; how often the blocks are used is not in them."""
    first = shape_of(state_dict, "conv_in.conv.weight")
    if first is None or first[1] != 3:
        return None
    config: dict[str, Any] = {"num_feat": first[0]}
    weights = with_batch_counters(state_dict)
    if not fits(weights, JohnsonSR, config):
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(2**ENLARGING_TIMES,),
        halo=lr_reach(4 + 2 * RESIDUAL_TIMES, (2, 1), (2, 1 + 4)),
        exact=True,
        depth=f"{RESIDUAL_TIMES} blocks",
    )
    return Recognised(descriptor, weights)


ARCH: Final = Architecture(
    name="johnson", recognise=recognise, net=JohnsonSR,
    about="Perceptual losses: Johnson et al., ECCV 2016, https://arxiv.org/abs/1603.08155",
)  # fmt: skip
