"""A reference's net made one that a session runs: [0, 1] in, [0, 1] out, the LR picture in.

lr in [0, 1]  ->  enlarged, where the net does not enlarge  ->  the net's own range  ->  net  ->  [0, 1]
"""

from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.frames.cubic import cubic
from upscale_cli.models.interface import CUBIC_REACH, SCALE_INPUT, Architecture, Descriptor, Scale

UNIT: Final = (0.0, 1.0)


def adapted(module: nn.Module, facts: Descriptor, arch: Architecture) -> nn.Module:
    """The module itself where there is nothing to adapt.

    Raises:
        ValueError: it wants the picture enlarged, and has several scales: `Descriptor.at` names one.
    """
    if arch.adapt is not None:
        module = arch.adapt(module, facts)
    if facts.fixed_scale is not None:
        module = (_WithInputsAtScale if facts.inputs else _AtScale)(module, facts.fixed_scale)
    if (facts.input_range, facts.output_range) != (UNIT, UNIT):
        module = _WithInputsInRange(module, facts) if facts.inputs else _InRange(module, facts)
    if facts.enlarged:
        if facts.only_scale is None:
            raise ValueError(f"{facts.name} has several scales: name one")
        module = _Enlarged(module, int(facts.only_scale), facts.channels)
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

    def __init__(self, net: nn.Module, scale: int, channels: int) -> None:
        super().__init__()
        self.net = net
        self.enlarge = CubicEnlargement(scale, channels)

    def forward(self, lr: Tensor) -> Tensor:
        sr: Tensor = self.net(self.enlarge(lr))
        return sr


class _AtScale(nn.Module):
    """A net that takes the scale as an input, at one scale."""

    ratio: Tensor

    def __init__(self, net: nn.Module, scale: Scale) -> None:
        super().__init__()
        self.net = net
        # Whole numbers: what casts a net to half precision leaves them alone. As a buffer it is a constant to torch.fx,
        # so that a net may decide by it what it does and be translated all the same.
        self.register_buffer("ratio", torch.tensor([scale.numerator, scale.denominator]), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        sr: Tensor = self.net(lr, **{SCALE_INPUT: self.ratio[:1] / self.ratio[1:]})
        return sr


class _WithInputsAtScale(_AtScale):
    """The same of a net that takes more than picture and scale."""

    def forward(self, lr: Tensor, **inputs: Tensor) -> Tensor:
        sr: Tensor = self.net(lr, **{SCALE_INPUT: self.ratio[:1] / self.ratio[1:]}, **inputs)
        return sr


class CubicEnlargement(nn.Module):
    """(N, C, H, W) to (N, C, scale * H, scale * W) by cubic convolution with a = -1/2, edges replicated.

    One convolution and a sub-pixel layer, so that every engine has it. MATLAB's `imresize` mirrors the edge instead:
    the two differ in the outermost two LR pixels only.

    Keys, "Cubic Convolution Interpolation for Digital Image Processing", IEEE Trans. ASSP 29(6), 1981.
    """

    weight: Tensor

    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale, self.channels = scale, channels
        taps = _phases(scale)  # (scale, 2 * reach + 1)
        side = taps.shape[1]
        both = (taps[:, None, :, None] * taps[None, :, None, :]).reshape(scale**2, 1, side, side)
        # Built by real values even where nets are made on the meta device: these are no weights of any file.
        self.register_buffer("weight", both.repeat(channels, 1, 1, 1).float(), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        padded = F.pad(lr, (CUBIC_REACH,) * 4, mode="replicate")
        return F.pixel_shuffle(F.conv2d(padded, self.weight, groups=self.channels), self.scale)


def _phases(scale: int) -> Tensor:
    """The weights of the five nearest pixels for each of the `scale` places between two, float64, each row of sum 1."""
    places = (np.arange(scale) + 0.5) / scale - 0.5
    weights = torch.from_numpy(cubic(np.arange(-CUBIC_REACH, CUBIC_REACH + 1) - places[:, None]))
    return weights / weights.sum(dim=1, keepdim=True)
