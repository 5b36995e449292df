"""MSRResNet: SRResNet without batch normalisation and without the long skip, added to the bilinear enlargement.

The "modified SRResNet" of mmsr and BasicSR (both Apache-2.0), https://github.com/XPixelGroup/BasicSR, after Ledig et
al., CVPR 2017, https://arxiv.org/abs/1609.04802. Keys as in mmsr; those of BasicSR 1.x are renamed.
"""

from collections.abc import Mapping
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import factors_of_two, first_missing, fits
from upscale_cli.models.archs.ranksrgan import ResidualBlock, config_of, described
from upscale_cli.models.interface import Architecture, Recognised, SidecarMetadata

RENAMED: Final = {"body.": "recon_trunk.", "conv_hr.": "HRconv."}
"""How keys of BasicSR 1.x begin, and those of mmsr."""


class MSRResNet(nn.Module):
    """A convolution in, `nb` residual blocks, sub-pixel layers, two convolutions out; LeakyReLU(0.1) between.

    Args:
        in_nc, out_nc: channels of the picture.
        nf: of the features.
        nb: residual blocks.
        upscale: 2, 3 or 4.

    Shapes: (N, in_nc, H, W) in [0, 1] to (N, out_nc, upscale * H, upscale * W), not clamped.
    """

    def __init__(self, in_nc: int = 3, out_nc: int = 3, nf: int = 64, nb: int = 16, upscale: int = 4) -> None:
        super().__init__()
        self.upscale = upscale
        self.factors = factors_of_two(upscale)
        self.conv_first = nn.Conv2d(in_nc, nf, 3, padding=1)
        self.recon_trunk = nn.Sequential(*(ResidualBlock(nf) for _ in range(nb)))
        for number, factor in enumerate(self.factors, start=1):
            self.add_module(f"upconv{number}", nn.Conv2d(nf, nf * factor**2, 3, padding=1))
        self.HRconv = nn.Conv2d(nf, nf, 3, padding=1)
        self.conv_last = nn.Conv2d(nf, out_nc, 3, padding=1)
        self.lrelu = nn.LeakyReLU(0.1)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.recon_trunk(self.lrelu(self.conv_first(lr)))  # (N, nf, H, W)
        for number, factor in enumerate(self.factors, start=1):
            x = self.lrelu(F.pixel_shuffle(self.get_submodule(f"upconv{number}")(x), factor))
        residual: Tensor = self.conv_last(self.lrelu(self.HRconv(x)))
        return residual + F.interpolate(lr, scale_factor=self.upscale, mode="bilinear", align_corners=False)


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """Keys as in mmsr or BasicSR 1.x; RankSRGAN's has LRconv too."""
    weights = _renamed(state_dict)
    config = config_of(weights)
    if config is None or not fits(weights, MSRResNet, config):
        return None
    return Recognised(described(ARCH.name, config, layers_at_lr=0), weights)


def lacks(state_dict: Mapping[str, Tensor]) -> str | None:
    """The first key that is missing of a net that has the first layers of this one."""
    weights = _renamed(state_dict)
    config = config_of(weights)
    return first_missing(weights, MSRResNet, config) if config else None


def _renamed(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = dict(state_dict)
    for theirs, ours in RENAMED.items():
        renamed = {
            ours + key.removeprefix(theirs) if key.startswith(theirs) else key: tensor
            for key, tensor in renamed.items()
        }
    return renamed


ARCH: Final = Architecture(
    name="msrresnet", recognise=recognise, net=MSRResNet, lacks=lacks,
    about="BasicSR's modified SRResNet, 2018, after Ledig et al., CVPR 2017, https://arxiv.org/abs/1609.04802",
)  # fmt: skip
