"""A chain of nets as one module: what `chain_session` does by a session each, for a file that holds one graph.

lr  ->  colours of the first net  ->  net  ->  back  ->  colours of the second  ->  net  ->  back  ->  sr

Colours and their interpolation are part of the graph, so that it takes and gives pictures: RGB, or luma of the full
range where all nets work on luma.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.errors import OutputError
from upscale_cli.inference.color import rgb_to_ycbcr, ycbcr_to_rgb
from upscale_cli.models.adapted import CubicEnlargement
from upscale_cli.models.interface import SCALE_INPUT, Descriptor, LoadedNet, Scale
from upscale_cli.models.loading import build_net

LUMA_SPAN, LUMA_BLACK = 219 / 255, 16 / 255
"""Of luma of the studio range."""

CHROMA: Final = 2


def module_of(net: LoadedNet) -> nn.Module:
    """The net, or the chain, that a file is made of."""
    return ChainNet(net) if net.parts else build_net(net)


def parts_of(net: LoadedNet) -> list[LoadedNet]:
    """The nets of a chain; of one net itself."""
    return [part for part, _ in net.parts] if net.parts else [net]


class ChainNet(nn.Module):
    """Each net gets what the one before has made.

    Shapes: (N, C, H, W) in [0, 1], C that of the chain's descriptor, and its inputs by their names, to
    (N, C, scale * H, scale * W), not clamped.

    Raises:
        OutputError: one of the nets cannot be part of it.
    """

    def __init__(self, chain: LoadedNet) -> None:
        super().__init__()
        self.links = nn.ModuleList()
        before: Scale = 1
        for net, scale in chain.parts:
            self.links.append(_Link(net, scale, before, is_rgb=chain.descriptor.channels > 1))
            before *= scale

    def forward(self, lr: Tensor, **inputs: Tensor) -> Tensor:
        for link in self.links:
            assert isinstance(link, _Link)
            lr = link(lr, **{name: inputs[name] for name in link.takes})
        return lr


class _Link(nn.Module):
    """A net of a chain, for pictures.

    Args:
        before: SR pixels per LR pixel of what goes into it.
        is_rgb: pictures are RGB; else luma of the full range.
    """

    def __init__(self, net: LoadedNet, scale: Scale, before: Scale, *, is_rgb: bool) -> None:
        super().__init__()
        facts = net.descriptor
        if net.graph is not None:
            raise OutputError(
                f"{facts.name}: came as an ONNX file, which is no part of a chain that is written. Use it by itself"
            )
        self.colour, self.luma_range, self.is_rgb = facts.colour, facts.luma_range, is_rgb
        self.takes = [spec.name for spec in facts.inputs if spec.name != SCALE_INPUT]
        self.maps = {spec.name: _whole(before, facts) for spec in facts.inputs if spec.tiled}
        self.net = build_net(net.at(scale))
        if is_rgb and facts.colour == "luma":
            self.chroma = ChromaEnlargement(_whole(scale, facts), CHROMA)

    def forward(self, lr: Tensor, **inputs: Tensor) -> Tensor:
        for name, times in self.maps.items():
            if times > 1:
                inputs[name] = F.interpolate(inputs[name], scale_factor=times, mode="nearest")
        if not self.is_rgb:
            return self._luma(lr, inputs)
        if self.colour == "rgb":
            made: Tensor = self.net(lr, **inputs)
            return made
        luma, chroma = rgb_to_ycbcr(lr, self.luma_range)
        if self.colour == "luma":
            return ycbcr_to_rgb(self.net(luma, **inputs), self.chroma(chroma), self.luma_range)
        ycbcr = self.net(torch.cat((luma, chroma), dim=1), **inputs)
        return ycbcr_to_rgb(ycbcr[:, :1], ycbcr[:, 1:], self.luma_range)

    def _luma(self, lr: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """Luma of the full range in and out."""
        made: Tensor
        if self.luma_range == "full":
            made = self.net(lr, **inputs)
            return made
        made = (self.net(lr * LUMA_SPAN + LUMA_BLACK, **inputs) - LUMA_BLACK) * (1 / LUMA_SPAN)
        return made


class ChromaEnlargement(CubicEnlargement):
    """By the same kernel, but cut where the picture ends and made to add up to 1 there: what colours get here
    (`inference.color_adapter`)."""

    def forward(self, lr: Tensor) -> Tensor:
        return self._sums(lr) / self._sums(lr * 0 + 1)

    def _sums(self, lr: Tensor) -> Tensor:
        padded = F.pad(lr, (self.weight.shape[-1] // 2,) * 4)
        return F.pixel_shuffle(F.conv2d(padded, self.weight, groups=self.channels), self.scale)


def _whole(scale: Scale, net: Descriptor) -> int:
    """A scale by which colours or maps are enlarged.

    Raises:
        OutputError: it is a fraction.
    """
    if not isinstance(scale, int):
        raise OutputError(
            f"{net.name} x{float(scale):g}: colours and maps of a fraction of a pixel are no part of a graph of any "
            f"size. Choose whole scales"
        )
    return scale
