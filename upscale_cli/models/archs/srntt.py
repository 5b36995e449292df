"""SRNTT: the textures of a reference, found by the likeness of VGG19's features, transferred to the SR picture.

Zhang et al., "Image Super-Resolution by Neural Texture Transfer", CVPR 2019, https://arxiv.org/abs/1903.00834, in the
layout of https://github.com/S-aiueo32/srntt-pytorch. The authors' own net for TensorFlow has BatchNorm and other
activations: its weights do not fit.
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.adapted import CubicEnlargement
from upscale_cli.models.archs.crossnet import REFERENCE
from upscale_cli.models.archs.feature_swap import swapped
from upscale_cli.models.archs.registration import fitted
from upscale_cli.models.archs.vgg_features import VGGFeatures, found, load_features
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

SCALE: Final = 4

MAPS: Final = {"small": 256, "medium": 128, "large": 64}
"""Channels of the features at LR size, twice and four times of it."""

SLOPE: Final = 0.1


def _conv(channels_in: int, channels_out: int) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1)


class ResBlock(nn.Module):
    """Two convolutions, added to what goes in."""

    def __init__(self, ngf: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(ngf, ngf), nn.ReLU(inplace=True), _conv(ngf, ngf))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x) + x
        return out


def _head(channels_in: int, ngf: int) -> nn.Sequential:
    return nn.Sequential(_conv(channels_in, ngf), nn.LeakyReLU(SLOPE, inplace=True))


def _doubling(ngf: int) -> list[nn.Module]:
    return [_conv(ngf, 4 * ngf), nn.PixelShuffle(2), nn.LeakyReLU(SLOPE, inplace=True)]


class ContentExtractor(nn.Module):
    """(N, 3, h, w) to features (N, ngf, h, w). Its tail, which makes a picture without a reference, is not used."""

    def __init__(self, ngf: int, n_blocks: int) -> None:
        super().__init__()
        self.head = _head(3, ngf)
        self.body = nn.Sequential(*(ResBlock(ngf) for _ in range(n_blocks)))
        last = (_conv(ngf, ngf), nn.LeakyReLU(SLOPE, inplace=True), _conv(ngf, 3))
        self.tail = nn.Sequential(*_doubling(ngf), *_doubling(ngf), *last)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.head(lr)
        out: Tensor = self.body(x) + x
        return out


class TextureTransfer(nn.Module):
    """Features and maps to the picture's residual, size by size."""

    def __init__(self, ngf: int, n_blocks: int, use_weights: bool) -> None:
        super().__init__()
        if use_weights:
            self.a = nn.Parameter(torch.ones(len(MAPS)))
            self.b = nn.Parameter(torch.zeros(len(MAPS)))
        self.use_weights = use_weights
        for name, channels in MAPS.items():
            self.add_module(f"head_{name}", _head(ngf + channels, ngf))
            self.add_module(f"body_{name}", nn.Sequential(*(ResBlock(ngf) for _ in range(n_blocks))))
            last = [_conv(ngf, ngf // 2), nn.LeakyReLU(SLOPE, inplace=True), _conv(ngf // 2, 3)]
            self.add_module(f"tail_{name}", nn.Sequential(*(last if name == "large" else _doubling(ngf))))

    def forward(self, x: Tensor, maps: tuple[Tensor, ...], weights: Tensor | None) -> Tensor:
        for level, (name, features) in enumerate(zip(MAPS, maps, strict=True)):
            if self.use_weights and weights is not None:
                # The likeness is known of patches; those at the border have their neighbours'.
                known = F.pad(weights, (1, 1, 1, 1), mode="replicate")
                known = F.interpolate(known, scale_factor=2**level, mode="bicubic", align_corners=True)
                features = features * torch.sigmoid(known * self.a[level] + self.b[level])
            texture = self.get_submodule(f"head_{name}")(torch.cat((x, features), dim=1))
            x = self.get_submodule(f"tail_{name}")(self.get_submodule(f"body_{name}")(texture) + x)
        return x


class SRNTT(nn.Module):
    """An LR picture and what `feature_swap` found for it to the SR picture.

    Args:
        ngf: features.
        n_blocks: residual blocks of each part.
        use_weights: textures count by their likeness.

    Shapes: lr (N, 3, h, w) in [0, 1]; relu3_1 (N, 256, h, w), relu2_1 (N, 128, 2h, 2w), relu1_1 (N, 64, 4h, 4w);
    weights (N, 1, h - 2, w - 2), or None; to (N, 3, 4h, 4w), not clamped.
    """

    def __init__(self, ngf: int, n_blocks: int, use_weights: bool) -> None:
        super().__init__()
        self.content_extractor = ContentExtractor(ngf, n_blocks)
        self.texture_transfer = TextureTransfer(ngf, n_blocks, use_weights)

    def forward(
        self, lr: Tensor, relu3_1: Tensor, relu2_1: Tensor, relu1_1: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        base = F.interpolate(lr, scale_factor=SCALE, mode="bilinear", align_corners=False)
        x = self.content_extractor(lr)
        sr: Tensor = base + self.texture_transfer(x, (relu3_1, relu2_1, relu1_1), weights)
        return sr


class WithReference(nn.Module):
    """The net for an LR picture and a reference of any size: features are compared, and swapped, on the way."""

    def __init__(self, net: nn.Module, features: VGGFeatures) -> None:
        super().__init__()
        self.net, self.features = net, features
        self.enlarge = CubicEnlargement(SCALE, 3)

    def forward(self, lr: Tensor, reference: Tensor) -> Tensor:
        height, width = lr.shape[-2:]
        reference = fitted(reference, SCALE * height, SCALE * width).clamp(0, 1)
        small = F.interpolate(reference, size=(height, width), mode="bicubic", antialias=True)
        content, *_ = self.features(self.enlarge(lr))
        blurred, *_ = self.features(self.enlarge(small))
        swap = swapped(content, blurred, self.features(reference))
        sr: Tensor = self.net(lr, *swap.maps, swap.likeness[None, None])
        return sr


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """content_extractor and texture_transfer, without BatchNorm; width and blocks by shapes and keys."""
    head = state_dict.get("content_extractor.head.0.weight")
    small = state_dict.get("texture_transfer.head_small.0.weight")
    if head is None or small is None or head.ndim != 4 or head.shape[1:] != (3, 3, 3):
        return None
    ngf = int(head.shape[0])
    if ngf % 2 or tuple(small.shape) != (ngf, ngf + MAPS["small"], 3, 3):
        return None
    blocks = {key.split(".")[2] for key in state_dict if key.startswith("content_extractor.body.")}
    descriptor = Descriptor(
        arch=ARCH.name,
        config={"ngf": ngf, "n_blocks": len(blocks), "use_weights": "texture_transfer.a" in state_dict},
        scales=(SCALE,),
        halo=16,
        sees_whole=True,
        one_at_a_time=True,
        least_side=4,
        precisions=frozenset({"fp32"}),
        inputs=(REFERENCE,),
        depth=counted(len(blocks), "block"),
    )
    return Recognised(descriptor, dict(state_dict))


def adapt(module: nn.Module, facts: Descriptor) -> nn.Module:
    return WithReference(module, load_features(found(facts.name)))


ARCH: Final = Architecture(
    name="srntt", recognise=recognise, net=SRNTT, adapt=adapt,
    about="Zhang et al., CVPR 2019, https://arxiv.org/abs/1903.00834",
    inputs=("reference",),
)  # fmt: skip
