"""RankSRGAN's generator: SRResNet without batch normalisation, trained by a ranker that imitates perceptual metrics.

Zhang et al., "RankSRGAN: Generative Adversarial Networks with Ranker for Image Super-Resolution", ICCV 2019,
https://arxiv.org/abs/1908.06382. Keys as in https://github.com/WenlongZhang0517/RankSRGAN (no licence stated).
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import factors_of_two, first_missing, fits, in_a_row, lr_reach, shape_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted


class RankSRGAN(nn.Module):
    """A convolution in, `nb` residual blocks, a skip over them, sub-pixel layers, two convolutions out; ReLU between.

    The arguments are those of MSRResNet, and so are the keys but for LRconv. There is no enlarged picture added.

    Shapes: (N, in_nc, H, W) in [0, 1] to (N, out_nc, upscale * H, upscale * W), not clamped.
    """

    def __init__(self, in_nc: int = 3, out_nc: int = 3, nf: int = 64, nb: int = 16, upscale: int = 4) -> None:
        super().__init__()
        self.factors = factors_of_two(upscale)
        self.conv_first = nn.Conv2d(in_nc, nf, 3, padding=1)
        self.recon_trunk = nn.Sequential(*(ResidualBlock(nf) for _ in range(nb)))
        self.LRconv = nn.Conv2d(nf, nf, 3, padding=1)
        for number, factor in enumerate(self.factors, start=1):
            self.add_module(f"upconv{number}", nn.Conv2d(nf, nf * factor**2, 3, padding=1))
        self.HRconv = nn.Conv2d(nf, nf, 3, padding=1)
        self.conv_last = nn.Conv2d(nf, out_nc, 3, padding=1)

    def forward(self, lr: Tensor) -> Tensor:
        shallow = self.conv_first(lr)  # (N, nf, H, W)
        x = self.LRconv(self.recon_trunk(shallow)) + shallow
        for number, factor in enumerate(self.factors, start=1):
            x = F.relu(F.pixel_shuffle(self.get_submodule(f"upconv{number}")(x), factor))
        sr: Tensor = self.conv_last(F.relu(self.HRconv(x)))
        return sr


class ResidualBlock(nn.Module):
    """(N, nf, H, W) to the same; neither normalised nor scaled."""

    def __init__(self, nf: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(nf, nf, 3, padding=1)
        self.conv2 = nn.Conv2d(nf, nf, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.conv2(F.relu(self.conv1(x)))
        return x + residual


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """Keys as in mmsr's MSRResNet, and LRconv."""
    config = config_of(state_dict)
    if config is None or not fits(state_dict, RankSRGAN, config):
        return None
    return Recognised(described(ARCH.name, config, layers_at_lr=1), dict(state_dict))


def lacks(state_dict: Mapping[str, Tensor]) -> str | None:
    """The first key that is missing of a net that has the first layers of this one."""
    config = config_of(state_dict)
    return first_missing(state_dict, RankSRGAN, config) if config and "LRconv.weight" in state_dict else None


def config_of(state_dict: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The arguments of this net, and of MSRResNet, as shapes show them; None: it is neither."""
    first, last = shape_of(state_dict, "conv_first.weight"), shape_of(state_dict, "conv_last.weight")
    up, times = shape_of(state_dict, "upconv1.weight"), in_a_row(state_dict, "upconv{}.weight", first=1)
    nb = in_a_row(state_dict, "recon_trunk.{}.conv1.weight")
    if first is None or last is None or up is None or not nb:
        return None
    nf, in_nc = first[:2]
    factor = math.isqrt(up[0] // nf)
    if in_nc not in (1, 3) or last[0] != in_nc or factor < 2 or (times > 1 and factor != 2):
        return None
    return {"in_nc": in_nc, "out_nc": last[0], "nf": nf, "nb": nb, "upscale": factor**times}


def described(arch: str, config: Mapping[str, Any], *, layers_at_lr: int) -> Descriptor:
    """What both nets are.

    Args:
        layers_at_lr: 3x3 convolutions behind the blocks and before the first sub-pixel layer's own.
    """
    factors = factors_of_two(config["upscale"])
    enlarged = (*((factor, 1) for factor in factors[:-1]), (factors[-1], 2))
    return Descriptor(
        arch=arch,
        config=config,
        scales=(config["upscale"],),
        channels=config["in_nc"],
        colour="rgb" if config["in_nc"] == 3 else "luma",
        halo=lr_reach(1 + 2 * config["nb"] + layers_at_lr + 1, *enlarged),
        exact=True,
        depth=counted(config["nb"], "block"),
    )


ARCH: Final = Architecture(
    name="ranksrgan", recognise=recognise, net=RankSRGAN, lacks=lacks,
    about="Zhang et al., ICCV 2019, https://arxiv.org/abs/1908.06382",
)  # fmt: skip
