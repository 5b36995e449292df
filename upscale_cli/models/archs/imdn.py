"""IMDN: each block sets a quarter of its channels aside four times, and joins what it has set aside.

Hui et al., "Lightweight Image Super-Resolution with Information Multi-Distillation Network", ACM MM 2019,
https://arxiv.org/abs/1909.11856. IMDN-RTC is the authors' small real-time net, without attention.
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.attention_layers import CCALayer
from upscale_cli.models.archs.keys import in_a_row, shuffled_scale, sides_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

SLOPE: Final = 0.05
"""Of the leaky ReLU."""

CONVOLUTIONS: Final = 4
"""3x3 ones in a block, one after the other."""


class IMDModule(nn.Module):
    """Four convolutions; of the first three a part is kept, and the rest goes on.

    Args:
        attention: weigh the channels by their contrast.

    Shapes: (N, num_feat, H, W) to the same.
    """

    def __init__(self, num_feat: int, *, attention: bool) -> None:
        super().__init__()
        self.kept = num_feat // 4
        rest = num_feat - self.kept
        self.c1 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.c2 = nn.Conv2d(rest, num_feat, 3, padding=1)
        self.c3 = nn.Conv2d(rest, num_feat, 3, padding=1)
        self.c4 = nn.Conv2d(rest, self.kept, 3, padding=1)
        self.c5 = nn.Conv2d(self.kept * 4, num_feat, 1)
        self.cca = CCALayer(self.kept * 4) if attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        kept, rest = [], x
        for conv in (self.c1, self.c2, self.c3):
            made = _lrelu(conv(rest))
            kept.append(made[:, : self.kept])
            rest = made[:, self.kept :]
        out: Tensor = x + self.c5(self.cca(torch.cat((*kept, self.c4(rest)), dim=1)))
        return out


class IMDN(nn.Module):
    """Shapes: (N, 3, H, W) in [0, 1] to (N, 3, upscale * H, upscale * W), not clamped."""

    def __init__(self, num_feat: int = 64, num_modules: int = 6, upscale: int = 4) -> None:
        super().__init__()
        self.num_modules = num_modules
        self.fea_conv = nn.Conv2d(3, num_feat, 3, padding=1)
        for number in range(1, num_modules + 1):
            self.add_module(f"IMDB{number}", IMDModule(num_feat, attention=True))
        self.c = nn.Sequential(nn.Conv2d(num_feat * num_modules, num_feat, 1), nn.LeakyReLU(SLOPE, inplace=True))
        self.LR_conv = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(num_feat, 3 * upscale**2, 3, padding=1), nn.PixelShuffle(upscale))

    def forward(self, lr: Tensor) -> Tensor:
        shallow = x = self.fea_conv(lr)  # (N, num_feat, H, W)
        blocks = []
        for number in range(1, self.num_modules + 1):
            x = self.get_submodule(f"IMDB{number}")(x)
            blocks.append(x)
        out: Tensor = self.upsampler(shallow + self.LR_conv(self.c(torch.cat(blocks, dim=1))))
        return out


class Shortcut(nn.Module):
    """A chain of layers inside one residual."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.sub = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.sub(x)
        return out


class IMDNRTC(nn.Module):
    """The real-time net. Shapes as `IMDN`."""

    def __init__(self, num_feat: int = 12, num_modules: int = 5, upscale: int = 2) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Conv2d(3, num_feat, 3, padding=1),
            Shortcut(
                *(IMDModule(num_feat, attention=False) for _ in range(num_modules)),
                nn.Conv2d(num_feat, num_feat, 1),
            ),
            nn.Conv2d(num_feat, 3 * upscale**2, 3, padding=1),
            nn.PixelShuffle(upscale),
        )

    def forward(self, lr: Tensor) -> Tensor:
        out: Tensor = self.model(lr)
        return out


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, negative_slope=SLOPE, inplace=True)


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:  # noqa: ARG001  # every one takes it
    """IMDB1, IMDB2, ... with a c1 of equal width on both sides."""
    num_modules = in_a_row(state_dict, "IMDB{}.cca.conv_du.0.weight", first=1)
    num_feat, channels = sides_of(state_dict, "fea_conv.weight")[:2]
    upscale = shuffled_scale(sides_of(state_dict, "upsampler.0.weight")[0])
    if not num_modules or channels != 3 or not upscale or num_feat % 4:
        return None
    return Recognised(
        Descriptor(
            arch=ARCH.name,
            config={"num_feat": num_feat, "num_modules": num_modules, "upscale": upscale},
            scales=(upscale,),
            halo=CONVOLUTIONS * num_modules + 3,
            sees_whole=True,  # the contrast of whole channels
            depth=counted(num_modules, "block"),
        ),
        dict(state_dict),
    )


def recognise_rtc(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:  # noqa: ARG001  # every one takes it
    """model.1.sub.0, model.1.sub.1, ... with c1 to c5, and model.2 as the last convolution."""
    num_modules = in_a_row(state_dict, "model.1.sub.{}.c5.weight")
    num_feat, channels = sides_of(state_dict, "model.0.weight")[:2]
    upscale = shuffled_scale(sides_of(state_dict, "model.2.weight")[0])
    if not num_modules or channels != 3 or not upscale or num_feat % 4:
        return None
    return Recognised(
        Descriptor(
            arch=ARCH_RTC.name,
            config={"num_feat": num_feat, "num_modules": num_modules, "upscale": upscale},
            scales=(upscale,),
            halo=CONVOLUTIONS * num_modules + 2,
            exact=True,
            depth=counted(num_modules, "block"),
        ),
        dict(state_dict),
    )


_ABOUT: Final = "Hui et al., ACM MM 2019, https://arxiv.org/abs/1909.11856"

ARCH: Final = Architecture(name="imdn", recognise=recognise, net=IMDN, about=_ABOUT)
ARCH_RTC: Final = Architecture(name="imdn-rtc", recognise=recognise_rtc, net=IMDNRTC, about=_ABOUT)
