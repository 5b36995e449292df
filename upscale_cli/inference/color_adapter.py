"""A net as pictures see it: gray or RGB in, the same out, whatever the net itself works on."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.frames.image import Transfer
from upscale_cli.inference.color import display_to_linear, linear_to_display, rgb_to_ycbcr, ycbcr_to_rgb
from upscale_cli.models.interface import Colour, LumaRange

CHROMA_REACH = 2
"""LR pixels on each side that bicubic interpolation looks at."""


class PictureNet(nn.Module):
    """Brings a picture into a net's colours and back; the net may compute in half precision, colours never do.

    A luma net gets Y, chroma goes by bicubic. A YCbCr net gets all three. An RGB net gets RGB. A gray picture is
    luma; for an RGB net it is tripled, and the luma of the result is kept.

    Shapes: (N, 1 or 3, H, W) float32 in [0, 1] to (N, 1 or 3, scale * H, scale * W) float32, not clamped.
    """

    scale: int
    halo: int
    exact: bool
    multiple_of: int

    def __init__(self, net: nn.Module, colour: Colour, luma_range: LumaRange) -> None:
        super().__init__()
        self.net = net
        self.colour = colour
        self.luma_range = luma_range
        self.scale = int(getattr(net, "scale"))  # noqa: B009  # nn.Module types its attributes as tensors
        self.halo = max(int(getattr(net, "halo")), CHROMA_REACH)  # noqa: B009
        self.exact = bool(getattr(net, "exact", False))
        self.multiple_of = int(getattr(net, "multiple_of"))  # noqa: B009

    def forward(self, lr: Tensor, transfer: Transfer = "display") -> Tensor:
        if transfer == "linear":  # nets know display values only; the curve is undone after them
            return display_to_linear(self.forward(linear_to_display(lr)))
        if lr.shape[1] == 1:
            return self._gray(lr)
        if self.colour == "rgb":
            return self._run(lr)
        luma, chroma = rgb_to_ycbcr(lr, self.luma_range)
        if self.colour == "luma":
            return ycbcr_to_rgb(self._run(luma), _bicubic(chroma, self.scale), self.luma_range)
        ycbcr = self._run(torch.cat((luma, chroma), dim=1))
        return ycbcr_to_rgb(ycbcr[:, :1], ycbcr[:, 1:], self.luma_range)

    def _gray(self, lr: Tensor) -> Tensor:
        if self.colour == "luma" and self.luma_range == "full":
            return self._run(lr)
        if self.colour == "luma":
            return (self._run(lr * (219 / 255) + 16 / 255) - 16 / 255) * (255 / 219)
        if self.colour == "rgb":
            sr, _ = rgb_to_ycbcr(self._run(lr.expand(-1, 3, -1, -1)), "full")
            return sr
        luma, chroma = rgb_to_ycbcr(lr.expand(-1, 3, -1, -1), self.luma_range)
        ycbcr = self._run(torch.cat((luma, chroma), dim=1))
        gray, _ = rgb_to_ycbcr(ycbcr_to_rgb(ycbcr[:, :1], ycbcr[:, 1:], self.luma_range), "full")
        return gray

    def _run(self, planes: Tensor) -> Tensor:
        weight = next(self.net.parameters())
        out: Tensor = self.net(planes.to(weight.dtype))
        return out.float()


def _bicubic(planes: Tensor, scale: int) -> Tensor:
    """Bicubic with a = -0.5, which is what torch's antialiased kernel is when it enlarges (the other has -0.75)."""
    if planes.device.type == "mps":  # not every torch has that kernel there
        return _bicubic(planes.cpu(), scale).to(planes.device)
    return F.interpolate(planes, scale_factor=scale, mode="bicubic", antialias=True)
