"""SRFBN and SRFBN-S: a block of up- and down-projections that is run several times, and gets back what it made.

Li et al., "Feedback Network for Image Super-Resolution", CVPR 2019, https://arxiv.org/abs/1903.09814; keys as in
https://github.com/Paper99/SRFBN_CVPR19 (MIT).
"""

from collections.abc import Mapping
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.backprojection import PROJECTIONS, SCALE_OF
from upscale_cli.models.archs.keys import first_missing, fits, in_a_row, shape_of, stated_config
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata

NUM_STEPS: Final = 4
"""Of both published nets; the weights do not show it."""

SMALL: Final = 32
"""Features of SRFBN-S."""


class SRFBN(nn.Module):
    """Features, `num_steps` runs of the feedback block, of each the residual of the bilinear enlargement.

    The reference gives a picture for each step; the last one is the result, and the only one made here.

    Args:
        in_channels, out_channels: of the picture.
        num_features: channels of the features.
        num_steps: runs of the block.
        num_groups: projections up and down in it.
        upscale_factor: 2, 3, 4 or 8.

    Shapes: (N, in_channels, H, W) in [0, 255] to (N, out_channels, upscale_factor * H, upscale_factor * W), not
    clamped.
    """

    def __init__(
        self, in_channels: int = 3, out_channels: int = 3, num_features: int = 64, num_steps: int = NUM_STEPS,
        num_groups: int = 6, upscale_factor: int = 4,
    ) -> None:  # fmt: skip
        super().__init__()
        self.num_steps, self.upscale_factor = num_steps, upscale_factor
        self.sub_mean = nn.Conv2d(in_channels, in_channels, 1)  # frozen: subtracts the data set's mean
        self.conv_in = _activated(nn.Conv2d(in_channels, 4 * num_features, 3, padding=1))
        self.feat_in = _activated(nn.Conv2d(4 * num_features, num_features, 1))
        self.block = FeedbackBlock(num_features, num_groups, upscale_factor)
        self.out = _activated(PROJECTIONS[upscale_factor].up(num_features, num_features))
        self.conv_out = nn.Sequential(nn.Conv2d(num_features, out_channels, 3, padding=1))
        self.add_mean = nn.Conv2d(out_channels, out_channels, 1)

    def forward(self, lr: Tensor) -> Tensor:
        centred = self.sub_mean(lr)
        base = F.interpolate(centred, scale_factor=self.upscale_factor, mode="bilinear", align_corners=False)
        x = self.feat_in(self.conv_in(centred))  # (N, num_features, H, W)
        hidden = x
        for _ in range(self.num_steps):
            hidden = self.block(x, hidden)
        sr: Tensor = self.add_mean(base + self.conv_out(self.out(hidden)))
        return sr


class FeedbackBlock(nn.Module):
    """Features and what the block made of them last time, (N, num_features, H, W) each, to what it makes now."""

    def __init__(self, num_features: int, num_groups: int, scale: int) -> None:
        super().__init__()
        projection = PROJECTIONS[scale]
        of_groups = range(2, num_groups + 1)  # features of that many groups come together, from the second on
        self.compress_in = _activated(nn.Conv2d(2 * num_features, num_features, 1))
        self.upBlocks = nn.ModuleList(
            _activated(projection.up(num_features, num_features)) for _ in range(num_groups)
        )  # fmt: skip
        self.downBlocks = nn.ModuleList(
            _activated(projection.down(num_features, num_features)) for _ in range(num_groups)
        )
        self.uptranBlocks = nn.ModuleList(_activated(nn.Conv2d(n * num_features, num_features, 1)) for n in of_groups)
        self.downtranBlocks = nn.ModuleList(_activated(nn.Conv2d(n * num_features, num_features, 1)) for n in of_groups)
        self.compress_out = _activated(nn.Conv2d(num_groups * num_features, num_features, 1))

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        low = [self.compress_in(torch.cat((x, hidden), dim=1))]  # (N, num_features, H, W) each
        high: list[Tensor] = []  # (N, num_features, scale * H, scale * W) each
        for group, (up, down) in enumerate(zip(self.upBlocks, self.downBlocks, strict=True)):
            to_up = torch.cat(low, dim=1)
            high.append(up(self.uptranBlocks[group - 1](to_up) if group else to_up))
            to_down = torch.cat(high, dim=1)
            low.append(down(self.downtranBlocks[group - 1](to_down) if group else to_down))
        out: Tensor = self.compress_out(torch.cat(low[1:], dim=1))
        return out


def _activated(layer: nn.Module) -> nn.Sequential:
    return nn.Sequential(layer, nn.PReLU(init=0.2))


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """Keys as in the repository; the number of steps is from a card, or the usual one."""
    config = _config(state_dict)
    if config is None:
        return None
    stated = stated_config(metadata, config).get("num_steps", metadata.stated.get("num_steps"))
    steps = int(stated) if isinstance(stated, int | str) and str(stated).isdecimal() and 0 < int(stated) < 100 else None
    config["num_steps"] = steps or NUM_STEPS
    if not fits(state_dict, SRFBN, config):
        return None
    groups, projection = config["num_groups"], PROJECTIONS[config["upscale_factor"]]
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(config["upscale_factor"],),
        channels=config["in_channels"],
        colour="rgb" if config["in_channels"] == 3 else "luma",
        # 3x3 first; each group goes up and down, in each step; then up, and 3x3 at SR size.
        halo=1 + config["num_steps"] * groups * projection.there_and_back + projection.reach(1),
        exact=True,
        input_range=(0.0, 255.0),
        output_range=(0.0, 255.0),
        variant="srfbn-s" if config["num_features"] <= SMALL else "",
        depth=f"{config['num_steps']} steps of {groups} groups",
    )
    assumed = () if steps else (f"{NUM_STEPS} steps",)
    return Recognised(descriptor, dict(state_dict), assumed)


def lacks(state_dict: Mapping[str, Tensor]) -> str | None:
    """The first key that is missing of a net that has the first layers of this one."""
    config = _config(state_dict)
    return first_missing(state_dict, SRFBN, config) if config else None


def _config(state_dict: Mapping[str, Tensor]) -> dict[str, Any] | None:
    first, last = shape_of(state_dict, "conv_in.0.weight"), shape_of(state_dict, "conv_out.0.weight")
    up, groups = shape_of(state_dict, "block.upBlocks.0.0.weight"), in_a_row(state_dict, "block.upBlocks.{}.0.weight")
    if first is None or last is None or up is None or up[2] not in SCALE_OF:
        return None
    if first[1] not in (1, 3) or last[0] != first[1]:
        return None
    return {
        "in_channels": first[1], "out_channels": last[0], "num_features": up[0], "num_groups": groups,
        "upscale_factor": SCALE_OF[up[2]],
    }  # fmt: skip


ARCH: Final = Architecture(
    name="srfbn", recognise=recognise, net=SRFBN, lacks=lacks,
    about="Feedback: Li et al., CVPR 2019, https://arxiv.org/abs/1903.09814",
)  # fmt: skip
