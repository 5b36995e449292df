"""Real-CUGAN: two small U-nets in a row, of convolutions without padding, with squeeze-and-excitation. For drawings.

bilibili/ailab, "Real-CUGAN: Real Cascade U-Nets for Anime Image Super Resolution", 2022 (MIT),
https://github.com/bilibili/ailab/tree/main/Real-CUGAN; the U-nets are those of waifu2x, "UpCUNet",
https://github.com/nagadomi/nunif; Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018,
https://arxiv.org/abs/1709.01507
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata

SLOPE: Final = 0.1
"""Of the leaky rectifiers."""

PRO_RANGE: Final = (0.15, 0.85)
"""Black and white in the values of the models called "pro", whose files have a key of that name."""

PADDING: Final = {2: 18, 3: 14, 4: 19}
"""LR pixels by scale that are mirrored on each side: what the convolutions without padding use up."""

MULTIPLES: Final = {2: 2, 3: 4, 4: 2}
"""What LR sides are made to divide by, by scale, so that what is halved inside has even sides."""

SCALE_BY_KERNEL: Final = {4: 2, 5: 3}
"""The side of the transposed convolution that ends the first U-net, and the scale that it makes."""


class SEBlock(nn.Module):
    """Squeeze-and-excitation: each channel times a factor that the means of all channels decide."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels // reduction, 1)
        self.conv2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:  # (N, channels, h, w)
        factors = self.conv2(F.relu(self.conv1(x.mean(dim=(2, 3), keepdim=True))))  # (N, channels, 1, 1)
        return x * torch.sigmoid(factors)


class UNetConv(nn.Module):
    """Two convolutions, four pixels less on each axis, and squeeze-and-excitation where `se` says so."""

    def __init__(self, channels_in: int, channels_mid: int, channels_out: int, *, se: bool) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels_in, channels_mid, 3), nn.LeakyReLU(SLOPE, inplace=True),
            nn.Conv2d(channels_mid, channels_out, 3), nn.LeakyReLU(SLOPE, inplace=True),
        )  # fmt: skip
        self.seblock = SEBlock(channels_out) if se else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.seblock(self.conv(x))
        return out


class UNet1(nn.Module):
    """The first U-net, which enlarges: (N, 3, h, w) to (N, channels_out, 2 * h - 32, ...), for x3 3 * h - 44."""

    def __init__(self, channels_out: int, scale: int, *, se: bool) -> None:
        super().__init__()
        self.conv1 = UNetConv(3, 32, 64, se=False)
        self.conv1_down = nn.Conv2d(64, 64, 2, stride=2)
        self.conv2 = UNetConv(64, 128, 64, se=se)
        self.conv2_up = nn.ConvTranspose2d(64, 64, 2, stride=2)
        self.conv3 = nn.Conv2d(64, 64, 3)
        side, padding = (5, 2) if scale == 3 else (4, 3)
        self.conv_bottom = nn.ConvTranspose2d(64, channels_out, side, stride=scale, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        above = self.conv1(x)  # (N, 64, h - 4, w - 4)
        below = self.conv2(_leaky(self.conv1_down(above)))
        x = _leaky(self.conv3(_cropped(above, 4) + _leaky(self.conv2_up(below))))
        out: Tensor = self.conv_bottom(x)
        return out


class UNet2(nn.Module):
    """The second, two levels deep, which corrects: (N, channels, h, w) to (N, channels, h - 40, w - 40)."""

    def __init__(self, channels: int, *, se: bool) -> None:
        super().__init__()
        self.conv1 = UNetConv(channels, 32, 64, se=False)
        self.conv1_down = nn.Conv2d(64, 64, 2, stride=2)
        self.conv2 = UNetConv(64, 64, 128, se=se)
        self.conv2_down = nn.Conv2d(128, 128, 2, stride=2)
        self.conv3 = UNetConv(128, 256, 128, se=se)
        self.conv3_up = nn.ConvTranspose2d(128, 128, 2, stride=2)
        self.conv4 = UNetConv(128, 64, 64, se=se)
        self.conv4_up = nn.ConvTranspose2d(64, 64, 2, stride=2)
        self.conv5 = nn.Conv2d(64, 64, 3)
        self.conv_bottom = nn.Conv2d(64, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        above = self.conv1(x)
        middle = self.conv2(_leaky(self.conv1_down(above)))
        below = self.conv3(_leaky(self.conv2_down(middle)))
        middle = self.conv4(_cropped(middle, 4) + _leaky(self.conv3_up(below)))
        x = _leaky(self.conv5(_cropped(above, 16) + _leaky(self.conv4_up(middle))))
        out: Tensor = self.conv_bottom(x)
        return out


class UpCunet(nn.Module):
    """Real-CUGAN for x2, x3 or x4.

    For x4 both U-nets work at twice the size, on 64 channels; a sub-pixel layer follows, and the picture itself,
    enlarged by its nearest pixels, is added.

    Args:
        scale: 2, 3 or 4.
        se: with squeeze-and-excitation ("models-se", "models-pro"); without it is waifu2x's own UpCUNet.

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, scale * H, scale * W), not clamped; sides of at least `least_side(scale)`.
    """

    def __init__(self, scale: int, *, se: bool = True) -> None:
        super().__init__()
        channels = 64 if scale == 4 else 3
        self.scale, self.padding, self.multiple_of = scale, PADDING[scale], MULTIPLES[scale]
        self.unet1 = UNet1(channels, 3 if scale == 3 else 2, se=se)
        self.unet2 = UNet2(channels, se=se)
        if scale == 4:
            self.conv_final = nn.Conv2d(64, 12, 3)

    def forward(self, lr: Tensor) -> Tensor:
        height, width = lr.shape[2], lr.shape[3]
        below, right = -height % self.multiple_of, -width % self.multiple_of
        around = self.padding
        x = F.pad(lr, (around, around + right, around, around + below), mode="reflect")
        x = self.unet1(x)  # (N, channels, ...), 20 pixels more on each side than is needed
        x = _cropped(x, 20) + self.unet2(x)
        if self.scale == 4:
            x = F.pixel_shuffle(_cropped(self.conv_final(x), 1), 2)
        x = x[:, :, : self.scale * height, : self.scale * width]
        return x + F.interpolate(lr, scale_factor=4, mode="nearest") if self.scale == 4 else x


def least_side(scale: int) -> int:
    """LR pixels that a side must have for its mirror image.

    >>> least_side(2), least_side(3), least_side(4)
    (20, 18, 21)
    """
    return PADDING[scale] + MULTIPLES[scale]


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE, inplace=True)


def _cropped(x: Tensor, pixels: int) -> Tensor:
    return x[:, :, pixels:-pixels, pixels:-pixels]


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """The official keys. The key `pro` says that black and white are those of `PRO_RANGE`; a card can say it, too."""
    shapes = {key: tuple(tensor.shape) for key, tensor in state_dict.items() if key != "pro"}
    bottom, first = shapes.get("unet1.conv_bottom.weight", ()), shapes.get("unet2.conv1.conv.0.weight", ())
    if len(bottom) != 4 or bottom[0] != 64 or first != (32, bottom[1], 3, 3):
        return None
    scale = SCALE_BY_KERNEL.get(bottom[2], 0)
    if scale == 2 and bottom[1] == 64 and "conv_final.weight" in shapes:
        scale = 4
    if scale == 0 or bottom[1] != (64 if scale == 4 else 3):
        return None
    se = any(".seblock." in key for key in shapes)
    layers = metadata.stated.get("arch")
    is_pro = "pro" in state_dict or (isinstance(layers, Mapping) and layers.get("pro") is True)
    black_and_white = PRO_RANGE if is_pro else (0.0, 1.0)
    descriptor = Descriptor(
        arch=ARCH.name,
        config={"scale": scale, "se": se},
        scales=(scale,),
        # One pixel more than what is used up, for what is halved inside; as windows begin.
        halo=-(-(PADDING[scale] + 1) // MULTIPLES[scale]) * MULTIPLES[scale],
        exact=not se,
        sees_whole=se,
        # Without SE tiles are exact where they begin at such pixels. With it the picture comes as a whole, and the net
        # mirrors what odd sides lack by itself, as the reference does.
        multiple_of=1 if se else MULTIPLES[scale],
        least_side=least_side(scale),
        input_range=black_and_white,
        output_range=black_and_white,
        depth="two U-nets with squeeze-and-excitation" if se else "two U-nets",
    )
    return Recognised(descriptor, {key: tensor for key, tensor in state_dict.items() if key != "pro"})


ARCH: Final = Architecture(
    name="realcugan", recognise=recognise, net=UpCunet,
    about="bilibili, Real-CUGAN, 2022, https://github.com/bilibili/ailab/tree/main/Real-CUGAN",
)  # fmt: skip
