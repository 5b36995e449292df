"""SRVGGNetCompact: a plain VGG-style net at LR size, one sub-pixel layer, and the picture itself added back.

Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021,
https://arxiv.org/abs/2107.10833; the compact nets came with the releases v0.2.3 and later of
https://github.com/xinntao/Real-ESRGAN (BSD-3-Clause).
"""

import math
import re
from collections.abc import Mapping
from typing import Final, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata, natural_order
from upscale_cli.text import counted

Activation = Literal["prelu", "relu", "leakyrelu"]


class SRVGGNetCompact(nn.Module):
    """One convolution in, `num_conv` in between, one out; each but the last followed by its activation.

    Args:
        out_scale: that the result is shrunk to by cubic convolution, where it is not `upscale`: so the ncnn files of
            realesr-animevideov3 make x2 and x3 of the one net for x4.

    Shapes: (N, num_in_ch, H, W) in [0, 1] to (N, num_in_ch, out_scale * H, out_scale * W), not clamped.
    """

    def __init__(
        self, num_in_ch: int = 3, num_feat: int = 64, num_conv: int = 32, upscale: int = 4,
        act_type: Activation = "prelu", out_scale: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.scale = upscale
        self.shrink = (out_scale or upscale) / upscale
        layers: list[nn.Module] = [nn.Conv2d(num_in_ch, num_feat, 3, padding=1), _activation(act_type, num_feat)]
        for _ in range(num_conv):
            layers += [nn.Conv2d(num_feat, num_feat, 3, padding=1), _activation(act_type, num_feat)]
        layers.append(nn.Conv2d(num_feat, num_in_ch * upscale**2, 3, padding=1))
        self.body = nn.Sequential(*layers)
        self.upsampler = nn.PixelShuffle(upscale)

    def forward(self, lr: Tensor) -> Tensor:
        residual: Tensor = self.upsampler(self.body(lr))  # (N, C, upscale * H, upscale * W)
        sr = residual + F.interpolate(lr, scale_factor=self.scale, mode="nearest")
        # a = -0.75, four taps whatever the scale, as ncnn's own
        return sr if self.shrink == 1 else F.interpolate(sr, scale_factor=self.shrink, mode="bicubic")


def _activation(act_type: Activation, num_feat: int) -> nn.Module:
    match act_type:
        case "prelu":
            return nn.PReLU(num_parameters=num_feat)
        case "relu":
            return nn.ReLU(inplace=True)
        case "leakyrelu":
            return nn.LeakyReLU(negative_slope=0.1, inplace=True)


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """body.0, body.2, ... convolutions of one width; body.1, body.3, ... PReLU slopes where there are any."""
    stems = natural_order({key.rpartition(".")[0] for key in state_dict})
    convs = [stem for stem in stems if state_dict.get(f"{stem}.weight", _NOTHING).ndim == 4]
    slopes = [stem for stem in stems if stem not in convs]
    if len(convs) < 2 or convs != [f"body.{2 * number}" for number in range(len(convs))]:
        return None
    if slopes and slopes != [f"body.{2 * number + 1}" for number in range(len(convs) - 1)]:
        return None
    num_feat, num_in_ch = state_dict["body.0.weight"].shape[:2]
    inner = [tuple(state_dict[f"{stem}.weight"].shape) for stem in convs[1:-1]]
    if any(shape != (num_feat, num_feat, 3, 3) for shape in inner):
        return None
    planes = state_dict[f"{convs[-1]}.weight"].shape[0]
    upscale = math.isqrt(planes // num_in_ch)
    if num_in_ch not in (1, 3) or num_in_ch * upscale**2 != planes:
        return None

    act_type: Activation = "prelu"
    assumed: tuple[str, ...] = ()
    if not slopes:
        act_type = "leakyrelu" if metadata.activation == "leakyrelu" else "relu"
        assumed = () if metadata.activation else ("activation relu",)

    num_conv = len(convs) - 2
    out_scale = _out_scale(metadata, upscale)
    descriptor = Descriptor(
        arch=ARCH.name,
        config={
            "num_in_ch": num_in_ch, "num_feat": num_feat, "num_conv": num_conv, "upscale": upscale,
            "act_type": act_type, **({} if out_scale == upscale else {"out_scale": out_scale}),
        },
        scales=(out_scale,),
        channels=num_in_ch,
        colour="rgb" if num_in_ch == 3 else "luma",
        # Every 3x3 convolution reaches one pixel further, and cubic convolution two of the larger ones.
        halo=num_conv + 2 + (out_scale != upscale),
        exact=True,
        depth=counted(num_conv + 2, "convolution"),
    )  # fmt: skip
    return Recognised(descriptor, dict(state_dict), assumed)


def _out_scale(metadata: SidecarMetadata, upscale: int) -> int:
    """What a card states as the scale that the result is shrunk to; else that of the net.

    Only for nets of x2, x4 and x8, whose shares are exact numbers, so that sides are never one pixel short.
    """
    arch = metadata.stated.get("arch")
    stated = arch.get("out_scale") if isinstance(arch, Mapping) else None
    is_exact = upscale & (upscale - 1) == 0
    return stated if is_exact and isinstance(stated, int) and 1 <= stated < upscale else upscale


def lacks(state_dict: Mapping[str, Tensor]) -> str | None:
    """The first key that a row of body.N layers has a gap at; None where the keys are no such row."""
    numbers = {int(match[1]) for key in state_dict if (match := re.fullmatch(r"body\.(\d+)\.(weight|bias)", key))}
    if len(numbers) < 3 or not all(key.startswith("body.") for key in state_dict) or max(numbers) > 2 * len(numbers):
        return None
    with_slopes = any(number % 2 for number in numbers)
    for number in range(max(numbers) + 1):
        if number % 2 and not with_slopes:
            continue
        for part in ("weight", "bias") if number % 2 == 0 else ("weight",):
            if f"body.{number}.{part}" not in state_dict:
                return f"body.{number}.{part}"
    return None


_NOTHING = Tensor()

ARCH: Final = Architecture(
    name="srvgg", recognise=recognise, net=SRVGGNetCompact, lacks=lacks,
    about="Wang et al., Real-ESRGAN's compact nets, ICCVW 2021, https://arxiv.org/abs/2107.10833",
)  # fmt: skip
