"""SPAN: six blocks whose attention has no weights, four of its feature maps joined by a 1 x 1 convolution.

Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPRW 2024,
https://arxiv.org/abs/2311.12770; the authors' code https://github.com/hongyuanyu/SPAN (Apache-2.0). The baseline of the
NTIRE challenges on efficient super-resolution is a narrower one, and comes with fused convolutions only.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from upscale_cli.models.archs.keys import fits_in_shape
from upscale_cli.models.archs.span_blocks import (
    DIV2K_MEAN,
    SPAB,
    Conv3XC,
    Normalisation,
    fused,
    mean_of,
    stated_normalisation,
)
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted


class SPAN(nn.Module):
    """SPAN, its convolutions fused.

    Args:
        num_in_ch: channels of the picture, in and out.
        num_feat: `feature_channels` of the published code.
        num_block: 6 in all that is published.
        img_range: what the picture less `rgb_mean` is multiplied by; None: it is taken as it is, which the community's
            files tell by a tensor `no_norm`.

    Shapes: (N, num_in_ch, H, W) in [0, 1] to (N, num_in_ch, upscale * H, upscale * W), not clamped.
    """

    mean: Tensor

    def __init__(
        self, num_in_ch: int = 3, num_feat: int = 48, num_block: int = 6, upscale: int = 4,
        img_range: float | None = 255.0, rgb_mean: tuple[float, ...] = DIV2K_MEAN,
    ) -> None:  # fmt: skip
        super().__init__()
        self.img_range = img_range
        if img_range is None:
            self.register_buffer("no_norm", torch.zeros(1))
        else:
            self.register_buffer("mean", mean_of(rgb_mean), persistent=False)
        self.num_block = num_block
        self.conv_1 = Conv3XC(num_in_ch, num_feat)
        for number in range(1, num_block + 1):
            self.add_module(f"block_{number}", SPAB(num_feat))
        self.conv_cat = nn.Conv2d(num_feat * 4, num_feat, 1)
        self.conv_2 = Conv3XC(num_feat, num_feat)
        self.upsampler = nn.Sequential(
            nn.Conv2d(num_feat, num_in_ch * upscale**2, 3, padding=1), nn.PixelShuffle(upscale)
        )

    def forward(self, lr: Tensor) -> Tensor:
        x = lr if self.img_range is None else (lr - self.mean) * self.img_range
        shallow = self.conv_1(x)  # (N, num_feat, H, W), as all that follow
        deep, after_first, inside_last = shallow, shallow, shallow
        for number in range(1, self.num_block + 1):
            deep, inside_last = self.get_submodule(f"block_{number}")(deep)
            after_first = deep if number == 1 else after_first
        joined = torch.cat([shallow, self.conv_2(deep), after_first, inside_last], dim=1)
        out: Tensor = self.upsampler(self.conv_cat(joined))
        return out


KNOWN: Final = (Normalisation(), Normalisation(img_range=1.0), None)
"""What trainers do with the picture first. None of it is in a tensor, but for the `no_norm` of some."""

NEAR: Final = 0.1
"""Mean absolute difference, of 1, that a picture and its SR, shrunk, stay below; the wrong normalisation gives 0.17."""

CLEAR: Final = 0.5
"""How much nearer than all others the one must be."""


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """conv_1, block_1, block_2, ..., conv_cat, conv_2 and upsampler.0, in training's form or fused."""
    tensors = fused(state_dict)
    flagged = tensors.pop("no_norm", None) is not None
    first, last = tensors.get("conv_1.eval_conv.weight"), tensors.get("upsampler.0.weight")
    if first is None or last is None or first.ndim != 4 or last.ndim != 4:
        return None
    num_feat, num_in_ch = first.shape[:2]
    upscale = math.isqrt(last.shape[0] // num_in_ch)
    if num_in_ch not in (1, 3) or upscale < 1:
        return None
    numbers = {int(match[1]) for key in tensors if (match := re.match(r"block_(\d+)\.", key))}
    config: dict[str, Any] = {
        "num_in_ch": num_in_ch, "num_feat": num_feat, "num_block": len(numbers), "upscale": upscale,
    }  # fmt: skip
    if not numbers or not fits_in_shape(tensors, SPAN, config):
        return None

    normalisation, assumed = (None, "") if flagged else _normalisation(tensors, metadata, config)
    config |= _arguments(normalisation)
    if normalisation is None:
        tensors["no_norm"] = torch.zeros(1)
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(upscale,),
        channels=num_in_ch,
        colour="rgb" if num_in_ch == 3 else "luma",
        halo=3 * len(numbers) + 3,  # three convolutions a block, and conv_1, conv_2 and the last one
        exact=True,
        depth=counted(len(numbers), "block"),
    )
    return Recognised(descriptor, tensors, (assumed,) if assumed else ())


def _normalisation(
    tensors: Mapping[str, Tensor], metadata: SidecarMetadata, config: Mapping[str, Any]
) -> tuple[Normalisation | None, str]:
    """What the net does with the picture first, and what of it is a guess.

    A card can state it. Else each that is usual is tried on a small picture: SR is what LR was, but for its detail, so
    the right one shows. For nets that make something else of a picture (normals, heights) it does not.
    """
    stated = stated_normalisation(metadata)
    if not isinstance(stated, str):
        return (stated, "") if stated is None or len(stated.rgb_mean) == config["num_in_ch"] else (None, "no mean")
    if config["num_in_ch"] == 1:
        return None, "no mean"
    if any(tensor.is_meta for tensor in tensors.values()):
        return Normalisation(), _in_words(Normalisation())
    errors = {known: _strangeness(tensors, config, known) for known in KNOWN}
    best = min(KNOWN, key=errors.__getitem__)
    if errors[best] < NEAR and all(errors[best] < CLEAR * errors[other] for other in KNOWN if other != best):
        return best, f"{_in_words(best)}, as a trial shows"
    return Normalisation(), _in_words(Normalisation())


def _strangeness(tensors: Mapping[str, Tensor], config: Mapping[str, Any], known: Normalisation | None) -> float:
    """How far from a small picture the net's SR of it is, shrunk: mean absolute difference, away from the border."""
    with torch.device("meta"):
        net = SPAN(**config, **_arguments(known))
    net.load_state_dict({**tensors, **({"no_norm": torch.zeros(1)} if known is None else {})}, assign=True)
    ramp = torch.linspace(0.1, 0.9, 16)
    lr = torch.stack([ramp.expand(16, 16), ramp[:, None].expand(16, 16), 1 - ramp.expand(16, 16)])[None]
    with torch.inference_mode():
        shrunk = nn.functional.avg_pool2d(net(lr), config["upscale"])
    difference = float((shrunk - lr)[..., 2:-2, 2:-2].abs().mean())
    return difference if math.isfinite(difference) else math.inf


def _arguments(known: Normalisation | None) -> dict[str, Any]:
    """Of the net."""
    return {"img_range": None} if known is None else {"img_range": known.img_range, "rgb_mean": known.rgb_mean}


def _in_words(known: Normalisation | None) -> str:
    if known is None:
        return "no mean subtracted"
    mean = ", ".join(f"{value:g}" for value in known.rgb_mean)
    return f"mean ({mean}) subtracted{f', times {known.img_range:g}' if known.img_range != 1 else ''}"


ARCH: Final = Architecture(
    name="span", recognise=recognise, net=SPAN, about="Wan et al., CVPRW 2024, https://arxiv.org/abs/2311.12770"
)
