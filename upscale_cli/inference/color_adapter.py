"""A net as pictures see it: gray or RGB in, the same out, however the net itself works."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.frames.image import Transfer
from upscale_cli.inference.backends.base import Session
from upscale_cli.inference.color import display_to_linear, linear_to_display, rgb_to_ycbcr, ycbcr_to_rgb
from upscale_cli.models.interface import Descriptor, Scale, scaled


class ColorAdapter:
    """Brings pictures into a net's colours and back; the net may compute in half precision, colours never do.

    A luma net gets Y, chroma goes by bicubic. A YCbCr net gets all three. An RGB net gets RGB. A gray picture is
    luma; for an RGB net it is tripled, and the luma of the result is kept.

    Args:
        net: what it is.
        session: runs it.
        scale: of the pass.
    """

    def __init__(self, net: Descriptor, session: Session, scale: Scale) -> None:
        self._session, self._scale = session, scale
        self._colour, self._luma_range = net.colour, net.luma_range

    def __call__(
        self, lr: Tensor, conditions: Mapping[str, Tensor] | None = None, transfer: Transfer = "display"
    ) -> Tensor:
        """(N, 1 or 3, H, W) float32 in [0, 1] to (N, 1 or 3, scale * H, scale * W) float32, not clamped."""
        conditions = conditions or {}
        if transfer == "linear":  # nets know display values only; the curve is undone after them
            return display_to_linear(self(linear_to_display(lr), conditions))
        if lr.shape[1] == 1:
            return self._gray(lr, conditions)
        if self._colour == "rgb":
            return self._session.run(lr, conditions)
        luma, chroma = rgb_to_ycbcr(lr, self._luma_range)
        if self._colour == "luma":
            sr_luma = self._session.run(luma, conditions)
            return ycbcr_to_rgb(sr_luma, _bicubic(chroma, self._scale), self._luma_range)
        ycbcr = self._session.run(torch.cat((luma, chroma), dim=1), conditions)
        return ycbcr_to_rgb(ycbcr[:, :1], ycbcr[:, 1:], self._luma_range)

    def _gray(self, lr: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        run = self._session.run
        if self._colour == "luma" and self._luma_range == "full":
            return run(lr, conditions)
        if self._colour == "luma":
            return (run(lr * (219 / 255) + 16 / 255, conditions) - 16 / 255) * (255 / 219)
        if self._colour == "rgb":
            sr, _ = rgb_to_ycbcr(run(lr.expand(-1, 3, -1, -1), conditions), "full")
            return sr
        luma, chroma = rgb_to_ycbcr(lr.expand(-1, 3, -1, -1), self._luma_range)
        ycbcr = run(torch.cat((luma, chroma), dim=1), conditions)
        gray, _ = rgb_to_ycbcr(ycbcr_to_rgb(ycbcr[:, :1], ycbcr[:, 1:], self._luma_range), "full")
        return gray


def _bicubic(planes: Tensor, scale: Scale) -> Tensor:
    """Bicubic with a = -0.5, which is what torch's antialiased kernel is when it enlarges (the other has -0.75)."""
    if planes.device.type == "mps":  # not every torch has that kernel there
        return _bicubic(planes.cpu(), scale).to(planes.device)
    if isinstance(scale, int):
        return F.interpolate(planes, scale_factor=scale, mode="bicubic", antialias=True)
    size = tuple(scaled(side, scale) for side in planes.shape[-2:])
    return F.interpolate(planes, size=size, mode="bicubic", antialias=True)
