"""A reference's net made one that a session runs: [0, 1] in, [0, 1] out, the LR picture in.

lr in [0, 1]  ->  enlarged, where the net does not enlarge  ->  the net's own range  ->  net  ->  [0, 1]
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.interface import SCALE_INPUT, Architecture, Descriptor

UNIT: Final = (0.0, 1.0)

CUBIC_REACH: Final = 2
"""Pixels on each side that the cubic kernel looks at when it enlarges."""


def adapted(module: nn.Module, facts: Descriptor, arch: Architecture) -> nn.Module:
    """The module itself where there is nothing to adapt."""
    if arch.adapt is not None:
        module = arch.adapt(module, facts)
    if (facts.input_range, facts.output_range) != (UNIT, UNIT):
        module = _WithInputsInRange(module, facts) if facts.inputs else _InRange(module, facts)
    if facts.enlarged:
        scale = facts.only_scale
        module = _EnlargedByScale(module) if scale is None else _Enlarged(module, int(scale))
    return module.eval()


class _InRange(nn.Module):
    """Between [0, 1] and a net's own values of black and white."""

    def __init__(self, net: nn.Module, facts: Descriptor) -> None:
        super().__init__()
        self.net = net
        self.black, white = facts.input_range
        self.span = white - self.black
        self.sr_black, sr_white = facts.output_range
        self.sr_span = sr_white - self.sr_black

    def forward(self, lr: Tensor) -> Tensor:
        sr: Tensor = (self.net(lr * self.span + self.black) - self.sr_black) * (1 / self.sr_span)
        return sr


class _WithInputsInRange(_InRange):
    """The same of a net that takes more than the picture."""

    def forward(self, lr: Tensor, **inputs: Tensor) -> Tensor:
        sr: Tensor = (self.net(lr * self.span + self.black, **inputs) - self.sr_black) * (1 / self.sr_span)
        return sr


class _Enlarged(nn.Module):
    """A net that takes the picture enlarged."""

    def __init__(self, net: nn.Module, scale: int) -> None:
        super().__init__()
        self.net = net
        self.enlarge = CubicEnlargement(scale)

    def forward(self, lr: Tensor) -> Tensor:
        sr: Tensor = self.net(self.enlarge(lr))
        return sr


class _EnlargedByScale(nn.Module):
    """A net for several scales that takes the picture enlarged by the one of the pass."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, lr: Tensor, **inputs: Tensor) -> Tensor:
        enlarge = CubicEnlargement(round(float(inputs.pop(SCALE_INPUT)[0]))).to(lr)
        sr: Tensor = self.net(enlarge(lr), **inputs)
        return sr


class CubicEnlargement(nn.Module):
    """(N, C, H, W) to (N, C, scale * H, scale * W) by cubic convolution with a = -1/2, edges replicated.

    One convolution and a sub-pixel layer, so that every engine has it. MATLAB's `imresize` mirrors the edge instead:
    the two differ in the outermost two LR pixels only.

    Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE Trans. ASSP 29(6), 1981.
    """

    weight: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        taps = _phases(scale)  # (scale, 2 * reach + 1)
        side = taps.shape[1]
        both = taps[:, None, :, None] * taps[None, :, None, :]
        # Built by real values even where nets are made on the meta device: these are no weights of any file.
        self.register_buffer("weight", both.reshape(scale**2, 1, side, side).float(), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        number, channels, height, width = lr.shape
        planes = lr.reshape(number * channels, 1, height, width)
        planes = F.pad(planes, (CUBIC_REACH,) * 4, mode="replicate")
        enlarged = F.pixel_shuffle(F.conv2d(planes, self.weight), self.scale)
        return enlarged.reshape(number, channels, self.scale * height, self.scale * width)


def _phases(scale: int) -> Tensor:
    """The weights of the five nearest pixels for each of the `scale` places between two, float64, each row of sum 1."""
    places = (torch.arange(scale, dtype=torch.float64, device="cpu") + 0.5) / scale - 0.5
    x = (torch.arange(-CUBIC_REACH, CUBIC_REACH + 1, dtype=torch.float64, device="cpu")[None] - places[:, None]).abs()
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < CUBIC_REACH, far, torch.zeros_like(x)))
    return weights / weights.sum(dim=1, keepdim=True)
