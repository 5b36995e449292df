"""CARN-M: residual blocks that share their weights and cascade, for devices with little memory.

Ahn, Kang, Sohn, "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network", ECCV 2018,
https://arxiv.org/abs/1803.08664
"""

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from upscale_cli.models.archs.scales import factor_of
from upscale_cli.models.interface import SCALE_INPUT, Architecture, Descriptor, InputSpec, Recognised, SidecarMetadata

CASCADES: Final = 3
"""Cascading blocks, and residual blocks in each of them."""

SCALE: Final = InputSpec(name=SCALE_INPUT, least=2, most=4, about="which of its tails; the largest by default")


class EResidualBlock(nn.Module):
    """Two grouped convolutions and one of 1 x 1, added to what came in."""

    def __init__(self, num_feat: int, group: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(num_feat, num_feat, 3, padding=1, groups=group), nn.ReLU(),
            nn.Conv2d(num_feat, num_feat, 3, padding=1, groups=group), nn.ReLU(),
            nn.Conv2d(num_feat, num_feat, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + x)


class BasicBlock(nn.Module):
    """Brings all that came before back to the width of one."""

    def __init__(self, channels: int, num_feat: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, num_feat, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class Cascade(nn.Module):
    """What a cascade adds to the list of all features so far; a subclass has the stages. (N, num_feat, H, W) stays."""

    def __init__(self, num_feat: int) -> None:
        super().__init__()
        self.c1 = BasicBlock(2 * num_feat, num_feat)
        self.c2 = BasicBlock(3 * num_feat, num_feat)
        self.c3 = BasicBlock(4 * num_feat, num_feat)

    def cascaded(self, x: Tensor, stages: tuple[nn.Module, nn.Module, nn.Module]) -> Tensor:
        features, out = x, x
        for stage, gather in zip(stages, (self.c1, self.c2, self.c3), strict=True):
            features = torch.cat([features, stage(out)], dim=1)
            out = gather(features)
        return out


class Block(Cascade):
    """Three times the same residual block."""

    def __init__(self, num_feat: int, group: int) -> None:
        super().__init__(num_feat)
        self.b1 = EResidualBlock(num_feat, group)

    def forward(self, x: Tensor) -> Tensor:
        return self.cascaded(x, (self.b1, self.b1, self.b1))


class _Upsample(nn.Module):
    def __init__(self, num_feat: int, scale: int, group: int) -> None:
        super().__init__()
        steps = [scale] if scale == 3 else [2] * int(math.log2(scale))
        layers: list[nn.Module] = []
        for step in steps:
            conv = nn.Conv2d(num_feat, num_feat * step**2, 3, padding=1, groups=group)
            layers += [conv, nn.ReLU(), nn.PixelShuffle(step)]
        self.body = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class MeanShift(nn.Module):
    """Takes the mean of the training set's colours off, or adds it again."""

    def __init__(self) -> None:
        super().__init__()
        self.shifter = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.shifter(x)
        return out


class CARNM(Cascade):
    """CARN-M.

    Args:
        scales: it has a tail for each.
        several: the tails are called up2, up3, up4, and not all there is is called up.
        num_feat: feature maps.
        group: of the grouped convolutions.

    Shapes: (N, 3, H, W) in [0, 1] to (N, 3, scale * H, scale * W), not clamped.
    """

    def __init__(
        self, scales: tuple[int, ...] = (2, 3, 4), several: bool = True, num_feat: int = 64, group: int = 4
    ) -> None:
        super().__init__(num_feat)
        self.scales, self.several = scales, several
        self.sub_mean, self.add_mean = MeanShift(), MeanShift()
        self.entry = nn.Conv2d(3, num_feat, 3, padding=1)
        self.b1, self.b2, self.b3 = (Block(num_feat, group) for _ in range(CASCADES))
        tails = {f"up{scale}" if several else "up": _Upsample(num_feat, scale, group) for scale in scales}
        self.upsample = nn.ModuleDict(tails)
        self.exit = nn.Conv2d(num_feat, 3, 3, padding=1)

    def forward(self, lr: Tensor, scale: Tensor | float | None = None) -> Tensor:
        factor = factor_of(scale, self.scales)
        x = self.entry(self.sub_mean(lr))  # (N, num_feat, H, W)
        x = self.cascaded(x, (self.b1, self.b2, self.b3))
        x = self.upsample[f"up{factor}" if self.several else "up"](x)  # (N, num_feat, scale * H, scale * W)
        sr: Tensor = self.add_mean(self.exit(x))
        return sr


def recognise(state_dict: Mapping[str, Tensor], _: SidecarMetadata) -> Recognised | None:
    """Residual blocks that a cascade has one of: CARN itself, without the M, has three."""
    entry, grouped = state_dict.get("entry.weight"), state_dict.get("b1.b1.body.0.weight")
    if entry is None or grouped is None or entry.ndim != 4 or grouped.ndim != 4:
        return None
    num_feat = entry.shape[0]
    if entry.shape[1] != 3 or grouped.shape[1] < 1 or num_feat % grouped.shape[1]:
        return None
    only = state_dict.get("upsample.up.body.0.weight")
    scales = tuple(scale for scale in (2, 3, 4) if f"upsample.up{scale}.body.0.weight" in state_dict)
    if only is not None:
        is_three = only.shape[:1] == (9 * num_feat,)
        scales = (4,) if "upsample.up.body.3.weight" in state_dict else (3,) if is_three else (2,)
    group = num_feat // grouped.shape[1]
    config: dict[str, Any] = {"scales": scales, "several": only is None, "num_feat": num_feat, "group": group}
    if not scales or num_feat % group:
        return None
    with torch.device("meta"):
        needed = CARNM(**config).state_dict()
    if {key: tensor.shape for key, tensor in needed.items()} != {key: its.shape for key, its in state_dict.items()}:
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=scales,
        halo=1 + 2 * CASCADES**2 + 2,  # the first convolution, two in each residual block, the tail
        exact=True,
        inputs=(SCALE,),
        variant="CARN-M",
        depth=f"{CASCADES} x {CASCADES} blocks",
    )
    return Recognised(descriptor, dict(state_dict))


ARCH: Final = Architecture(
    name="carn", recognise=recognise, net=CARNM, about="Ahn et al., ECCV 2018, https://arxiv.org/abs/1803.08664"
)
