"""What the nets of SPAN's family are made of: convolution, block, normalisation; and keys put into one form.

Wan et al., "Swift Parameter-free Attention Network for Efficient Super-Resolution", CVPRW 2024,
https://arxiv.org/abs/2311.12770, and the baselines and entries of the NTIRE challenges on efficient super-resolution,
https://github.com/Amazingren/NTIRE2026_ESR (MIT).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.interface import SidecarMetadata

DIV2K_MEAN: Final = (0.4488, 0.4371, 0.4040)
"""RGB, of [0, 1]; what these nets subtract where they subtract a mean."""


class Conv3XC(nn.Module):
    """A 3 x 3 convolution. In training it is three in a row, 1 x 1, 3 x 3 and 1 x 1, with a shortcut of 1 x 1."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.eval_conv = nn.Conv2d(c_in, c_out, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.eval_conv(x)
        return out


class SPAB(nn.Module):
    """Three convolutions, whose result is an attention map too: symmetric about 0, without weights of its own."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.c1_r = Conv3XC(num_feat, num_feat)
        self.c2_r = Conv3XC(num_feat, num_feat)
        self.c3_r = Conv3XC(num_feat, num_feat)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, num_feat, H, W) to two of the same: the result, and what c1_r gave.

        The latter after its SiLU, though the published code returns it by the name that it had before: there the SiLU
        works in place.
        """
        first = F.silu(self.c1_r(x))
        return attended(self.c3_r(F.silu(self.c2_r(first))), x), first


def attended(x: Tensor, shortcut: Tensor) -> Tensor:
    return (x + shortcut) * (torch.sigmoid(x) - 0.5)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What a net does with the picture first: (lr - mean) * img_range. It is not undone at the end."""

    rgb_mean: tuple[float, ...] = DIV2K_MEAN
    img_range: float = 255.0


def mean_of(rgb_mean: tuple[float, ...]) -> Tensor:
    """(1, C, 1, 1) float32, with its values even where nets are made on the meta device: no file has them."""
    return torch.tensor(rgb_mean, dtype=torch.float32, device="cpu").reshape(1, -1, 1, 1)


def stated_normalisation(metadata: SidecarMetadata) -> Normalisation | str | None:
    """What a card says: a normalisation, None for none at all, or "" where it says nothing of it.

    It may have `rgb_mean` and `img_range`, or `norm` false, by themselves or under `arch`; or say in words that "the
    net subtracts the mean (0.4488,0.4371,0.4040) and multiplies by 255 itself", or that there is "no mean".
    """
    arch = metadata.stated.get("arch")
    facts: dict[str, Any] = {**metadata.stated, **(arch if isinstance(arch, Mapping) else {})}
    words = str(facts.get("input", "")).lower()
    if facts.get("norm") is False or re.search(r"\bno mean\b|\bno norm", words):
        return None
    mean, img_range = facts.get("rgb_mean"), facts.get("img_range")
    if said := re.search(r"subtracts the mean \(([\d.,\s]+)\)(.*multiplies by ([\d.]*\d))?", words):
        mean = mean or [part for part in re.split(r"[,\s]+", said[1]) if part]
        img_range = img_range or said[3] or 1
    if mean is None and img_range is None:
        return ""
    try:
        values = tuple(float(value) for value in mean) if mean is not None else DIV2K_MEAN
        return Normalisation(values, float(img_range) if img_range is not None else 255.0)
    except (TypeError, ValueError):
        return ""


def fused(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each Conv3XC as the one convolution that it amounts to, STEM.eval_conv; all else as it is.

    A file of a training has both forms, and the published net computes the one convolution anew before it uses it.
    """
    given = dict(state_dict)
    for stem in [key.removesuffix(".sk.weight") for key in state_dict if key.endswith(".sk.weight")]:
        parts = [f"{stem}.{layer}.{part}" for layer in ("conv.0", "conv.1", "conv.2", "sk") for part in _PARTS]
        convs = [given.get(part) for part in parts]
        folded = _folded([conv for conv in convs if conv is not None]) if None not in map(_shape, convs) else None
        if folded is None:
            continue
        for part in parts:
            del given[part]
        given[f"{stem}.eval_conv.weight"], given[f"{stem}.eval_conv.bias"] = folded
    return given


_PARTS: Final = ("weight", "bias")


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)


def _folded(convs: list[Tensor]) -> tuple[Tensor, Tensor] | None:
    """Weight and bias; None where the shapes are not those of such a row. In float64: three products in a row."""
    widen, bias_1, middle, bias_2, narrow, bias_3, shortcut, bias_4 = (conv.double() for conv in convs)
    wide_in, c_in = widen.shape[:2]
    c_out, wide_out = narrow.shape[:2]
    wanted = [
        (wide_in, c_in, 1, 1), (wide_in,), (wide_out, wide_in, 3, 3), (wide_out,),
        (c_out, wide_out, 1, 1), (c_out,), (c_out, c_in, 1, 1), (c_out,),
    ]  # fmt: skip
    if [tuple(conv.shape) for conv in convs] != wanted:
        return None
    weight = torch.einsum("om,mnhw,ni->oihw", narrow[..., 0, 0], middle, widen[..., 0, 0])
    weight = weight + F.pad(shortcut, (1, 1, 1, 1))
    bias = narrow[..., 0, 0] @ (middle.sum(dim=(2, 3)) @ bias_1 + bias_2) + bias_3 + bias_4
    return weight.float(), bias.float()
