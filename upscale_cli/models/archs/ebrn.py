"""EBRN: a chain of modules, each of which renders what it can at SR size and hands on what is left at LR size.

Qiu et al., "Embedded Block Residual Network: A Recursive Restoration Model for Single-Image Super-Resolution",
ICCV 2019, https://openaccess.thecvf.com/ICCV2019. Its authors published no code; keys as in models/ebrn.py of
https://github.com/Geunwoo-Jeon/LarvaNet (no licence stated).
"""

import itertools
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

from upscale_cli.models.archs.backprojection import PROJECTIONS, SCALE_OF
from upscale_cli.models.archs.keys import first_missing, fits, in_a_row, shape_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted


class EBRN(nn.Module):
    """Features, `num_brms` block residual modules, their fusion from the last to the first, one convolution.

    Args:
        scale: 2, 3, 4 or 8.
        num_brms: block residual modules.
        num_filters: channels of the features.

    Shapes: (N, 3, H, W) in [0, 255] to (N, 3, scale * H, scale * W), not clamped.
    """

    def __init__(self, scale: int = 4, num_brms: int = 10, num_filters: int = 64) -> None:
        super().__init__()
        # Frozen in training, and yet read from the file: there are some that hold no mean at all.
        self.mean_shift = nn.Conv2d(3, 3, 1)
        self.feature_extract = nn.Sequential(*_convolutions(3, 4 * num_filters, num_filters, num_filters))
        self.brms = nn.ModuleList(BlockResidualModule(scale, num_filters) for _ in range(num_brms))
        self.fusion_layers = nn.ModuleList(
            nn.Conv2d(num_filters, num_filters, 3, padding=1) for _ in range(num_brms - 1)
        )
        self.recon_layer = nn.Conv2d(num_brms * num_filters, 3, 3, padding=1)
        self.mean_inverse_shift = nn.Conv2d(3, 3, 1)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.feature_extract(self.mean_shift(lr))  # (N, num_filters, H, W)
        rendered: list[Tensor] = []  # (N, num_filters, scale * H, scale * W) each
        for number, brm in enumerate(self.brms, start=1):
            assert isinstance(brm, BlockResidualModule)
            up = brm.up_block(x)
            rendered.append(brm.sr_flow(up))
            if number < len(self.brms):
                left = x - brm.down_block(up)
                x = left + brm.bp_flow(left)
        fused = [rendered.pop()]
        for fusion, sr in zip(self.fusion_layers, reversed(rendered), strict=True):
            fused.append(fusion(fused[-1] + sr))
        out: Tensor = self.mean_inverse_shift(self.recon_layer(torch.cat(fused, dim=1)))
        return out


class BlockResidualModule(nn.Module):
    """What one module of the chain has; of the last one only `up_block` and `sr_flow` are used."""

    def __init__(self, scale: int, num_filters: int) -> None:
        super().__init__()
        projection = PROJECTIONS[scale]
        self.up_block = projection.up(num_filters, num_filters)
        self.sr_flow = nn.Sequential(*_convolutions(*(num_filters,) * 4))
        self.down_block = projection.down(num_filters, num_filters)
        self.bp_flow = nn.Sequential(*_convolutions(*(num_filters,) * 4))


def _convolutions(*channels: int) -> list[nn.Module]:
    """3x3 convolutions from each number of channels to the next, each with a PReLU of one slope per channel."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(channels):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.PReLU(after)]
    return layers


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """Keys as in LarvaNet's."""
    config = _config(state_dict)
    if config is None or not fits(state_dict, EBRN, config):
        return None
    num_brms, projection = config["num_brms"], PROJECTIONS[config["scale"]]
    descriptor = Descriptor(
        arch=ARCH.name,
        config=config,
        scales=(config["scale"],),
        # Three 3x3 first; each module but the last goes up and down, then three 3x3; at SR size three, fusion, one.
        halo=3 + (num_brms - 1) * (projection.there_and_back + 3) + projection.reach(3 + (num_brms - 1) + 1),
        exact=True,
        input_range=(0.0, 255.0),
        output_range=(0.0, 255.0),
        depth=counted(num_brms, "module"),
    )
    return Recognised(descriptor, dict(state_dict))


def lacks(state_dict: Mapping[str, Tensor]) -> str | None:
    """The first key that is missing of a net that has the first layers of this one."""
    config = _config(state_dict)
    return first_missing(state_dict, EBRN, config) if config else None


def _config(state_dict: Mapping[str, Tensor]) -> dict[str, Any] | None:
    up, num_brms = shape_of(state_dict, "brms.0.up_block.weight"), in_a_row(state_dict, "brms.{}.up_block.weight")
    scale = SCALE_OF.get(up[2]) if up else None
    return {"scale": scale, "num_brms": num_brms, "num_filters": up[0]} if up and scale else None


ARCH: Final = Architecture(
    name="ebrn", recognise=recognise, net=EBRN, lacks=lacks,
    about="Embedded block residuals: Qiu et al., ICCV 2019, https://openaccess.thecvf.com/ICCV2019",
)  # fmt: skip
