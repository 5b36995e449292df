"""RAISR: a cheap enlargement, each of whose pixels is filtered by a filter chosen by the gradients around it.

Romano et al., "RAISR: Rapid and Accurate Image Super Resolution", IEEE Trans. Computational Imaging 3(1), 2017,
https://arxiv.org/abs/1606.01299. Filters and conventions are those of https://github.com/movehand/raisr (MIT) and of
https://github.com/OpenVisualCloud/Video-Super-Resolution-Library (Intel, BSD-3-Clause).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import shape_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata
from upscale_cli.text import counted

Form = Literal["movehand", "intel"]

Difference = Literal["central", "forward", "backward"]


@dataclass(frozen=True, slots=True)
class Conventions:
    """What implementations do differently.

    Attributes:
        window: side of the square of SR pixels whose gradients choose the filter.
        one_sided: gradients at the window's own edges look only within it.
        margin: SR pixels at each side of the picture that windows or patches reach beyond.
        half_pixel: the cheap enlargement has LR pixel 0 in the middle of its SR pixels; else on the first of them.
        from_vertical: angles start at the vertical axis, and are 0 where xy is 0; else at the horizontal one.
        clamped: to [0, 1].
    """

    window: int
    one_sided: bool
    margin: int
    half_pixel: bool
    from_vertical: bool
    clamped: bool


CONVENTIONS: Final[Mapping[Form, Conventions]] = {
    "movehand": Conventions(
        window=9, one_sided=True, margin=5, half_pixel=False, from_vertical=False, clamped=True
    ),
    "intel": Conventions(
        window=11, one_sided=False, margin=6, half_pixel=True, from_vertical=True, clamped=False
    ),
}  # fmt: skip

STRENGTH: Final = (0.0001, 0.001)
COHERENCE: Final = (0.25, 0.5)
"""Thresholds, which movehand's files do not hold."""

GRID: Final = 255 * 64
"""Steps from black to white; what is made of 8 bits by the bilinear kernel at x2 lies on them."""

SIGMA: Final = 2.0
"""Of the Gaussian that weighs gradients, in SR pixels."""


class RAISR(nn.Module):
    """A filter for each angle, strength and coherence of the gradients, and each place of an SR pixel in its LR pixel.

    The first channel is filtered, others are enlarged. SR pixels whose window or patch is not whole are cut off.

    Args:
        form: whose conventions.
        angles, strengths, coherences: how many of each there are.
        scale: SR pixels per LR pixel.
        patch: side of a filter.

    Shapes: (N, C, H, W) in [0, 1] to (N, C, scale * H - 2 * margin, scale * W - 2 * margin); channel 0 is luma.
    """

    filters: Tensor
    strength: Tensor
    coherence: Tensor

    def __init__(
        self, form: Form = "movehand", angles: int = 24, strengths: int = 3, coherences: int = 3, scale: int = 2,
        patch: int = 11,
    ) -> None:  # fmt: skip
        super().__init__()
        self.conventions, self.scale, self.patch = CONVENTIONS[form], scale, patch
        self.hashes = (angles, strengths, coherences)
        self.register_buffer("filters", torch.empty(angles * strengths * coherences, scale**2, patch**2))
        self.register_buffer("strength", torch.empty(strengths - 1))
        self.register_buffer("coherence", torch.empty(coherences - 1))

    def forward(self, lr: Tensor) -> Tensor:
        cheap = self.enlarged(lr)
        margin = self.conventions.margin
        return torch.cat((self.filtered(cheap[:, :1]), cheap[:, 1:, margin:-margin, margin:-margin]), dim=1)

    def enlarged(self, lr: Tensor) -> Tensor:
        """By the bilinear kernel: (N, C, scale * H, scale * W)."""
        height, width = (self.scale * side for side in lr.shape[2:])
        if self.conventions.half_pixel:
            return F.interpolate(lr, scale_factor=self.scale, mode="bilinear", align_corners=False)
        padded = F.pad(lr, (0, 1, 0, 1), mode="replicate")
        return F.interpolate(padded, size=(height + 1, width + 1), mode="bilinear", align_corners=True)[..., :-1, :-1]

    def filtered(self, cheap: Tensor) -> Tensor:
        """(N, 1, height, width), in SR pixels, to (N, 1, height - 2 * margin, width - 2 * margin)."""
        chosen = self.chosen(cheap[:, 0])
        bank = self.filters.reshape(-1, self.patch, self.patch)
        before = self.conventions.margin - self.patch // 2
        rows, columns = chosen.shape[1:]
        around = cheap[:, 0, before:, before : before + columns + self.patch - 1].unfold(2, self.patch, 1)
        sr = torch.zeros_like(around[:, :rows, :, 0])
        for row in range(self.patch):  # of all patches at a time: patches as a whole would take 121 times the picture
            sr = sr + (around[:, row : row + rows] * bank[:, row][chosen]).sum(dim=-1)
        return sr[:, None].clamp(0, 1) if self.conventions.clamped else sr[:, None]

    def chosen(self, luma: Tensor) -> Tensor:
        """The number of each pixel's filter: (N, height, width) to (N, height - 2 * margin, width - 2 * margin), int64.

        In float64 and of rounded values, so that a pixel gets the same filter in every tile: in flat regions the last
        bits of float32 would decide.
        """
        exact = luma if luma.device.type == "mps" else luma.double()
        xx, xy, yy = self.structure((exact * GRID).round() / GRID)
        half, mean = (xx - yy) / 2, (xx + yy) / 2
        root = torch.sqrt(half * half + xy * xy)
        largest, smallest = mean + root, (mean - root).clamp(min=0)  # eigenvalues
        if self.conventions.from_vertical:
            angle = torch.where(xy == 0, torch.zeros_like(xy), torch.atan2(xy, root - half))
        else:
            angle = torch.atan2(2 * xy, 2 * half) / 2
        angle = torch.where(angle < 0, angle + math.pi, angle)
        first, second = largest.sqrt(), smallest.sqrt()
        coherence = (first - second) / (first + second).clamp(min=1e-17)
        angles, strengths, coherences = self.hashes
        number = (angle * (angles / math.pi)).floor().clamp(0, angles - 1).long()
        number = number * strengths + _above(largest, self.strength)
        number = number * coherences + _above(coherence, self.coherence)
        return number * self.scale**2 + self._places(number)

    def _places(self, like: Tensor) -> Tensor:
        """Of the SR pixels, (height, width), in their LR pixels; counted from the first that has a whole patch."""
        start = self.conventions.margin - self.patch // 2
        rows, columns = (
            (torch.arange(side, device=like.device) + start).remainder(self.scale) for side in like.shape[1:]
        )
        return rows[:, None] * self.scale + columns

    def structure(self, luma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The weighted sums of gx * gx, gx * gy and gy * gy over each pixel's window.

        Down and along one after the other; with one-sided gradients what is summed depends on the place in the window.
        """
        reach, margin = self.conventions.window // 2, self.conventions.margin
        height, width = (side - 2 * margin for side in luma.shape[1:])
        places = range(-reach, reach + 1)
        weights = [math.exp(-(place**2) / (2 * SIGMA**2)) for place in places]
        weights = [weight / sum(weights) for weight in weights]
        gx: dict[Difference, Tensor] = {}
        gy: dict[Difference, Tensor] = {}
        for kind in ("central", "forward", "backward") if self.conventions.one_sided else ("central",):
            gx[kind], gy[kind] = _differences(luma, 2, kind), _differences(luma, 1, kind)

        def along(products: Mapping[Difference, Tensor]) -> Tensor:
            """Sums over columns, (N, height + 2 * margin, width)."""
            shifted = (products[self._kind(place)][:, :, margin + place : margin + place + width] for place in places)
            return torch.stack([weight * part for weight, part in zip(weights, shifted, strict=True)]).sum(dim=0)

        def down(sums: Mapping[Difference, Tensor]) -> Tensor:
            """Sums over rows, (N, height, width)."""
            shifted = (sums[self._kind(place)][:, margin + place : margin + place + height] for place in places)
            return torch.stack([weight * part for weight, part in zip(weights, shifted, strict=True)]).sum(dim=0)

        xx = along({kind: x * x for kind, x in gx.items()})
        return (
            down(dict.fromkeys(gy, xx)),
            down({row: along({column: x * y for column, x in gx.items()}) for row, y in gy.items()}),
            down({row: along(dict.fromkeys(gx, y * y)) for row, y in gy.items()}),
        )

    def _kind(self, place: int) -> Difference:
        """How the gradient is taken at a place in a window, counted from its middle."""
        reach = self.conventions.window // 2
        if not self.conventions.one_sided or abs(place) < reach:
            return "central"
        return "forward" if place < 0 else "backward"


def _differences(luma: Tensor, axis: int, kind: Difference) -> Tensor:
    """Per pixel along that axis; those of the picture's first and last line mean nothing, and are never used."""
    before, after = luma.roll(1, axis), luma.roll(-1, axis)
    match kind:
        case "central":
            return (after - before) / 2
        case "forward":
            return after - luma
        case "backward":
            return luma - before


def _above(values: Tensor, thresholds: Tensor) -> Tensor:
    """How many of the thresholds each value is above."""
    return (values[..., None] > thresholds.to(values)).sum(dim=-1)


class WholeRAISR(nn.Module):
    """RAISR of the whole picture, YCbCr in and out: its edge is repeated, so that what lies there is filtered too.

    Both implementations leave the margin as the enlargement has it, which costs some tenths of a dB on small pictures.
    """

    def __init__(self, net: RAISR) -> None:
        super().__init__()
        self.net = net
        self.pixels = -(-net.conventions.margin // net.scale)

    def forward(self, lr: Tensor) -> Tensor:
        sr: Tensor = self.net(F.pad(lr, (self.pixels,) * 4, mode="replicate"))
        height, width = (self.net.scale * side for side in lr.shape[2:])
        more = self.net.scale * self.pixels - self.net.conventions.margin
        return sr[..., more : more + height, more : more + width]


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """movehand's one tensor of filters; of Intel's files the filters of 8 bits, first pass."""
    if set(state_dict) == {"filters"}:
        shape = shape_of(state_dict, "filters", ndim=5)
        if shape is None or (shape[1], shape[2]) != (len(STRENGTH) + 1, len(COHERENCE) + 1):
            return None
        filters, strength, coherence = state_dict["filters"], torch.tensor(STRENGTH), torch.tensor(COHERENCE)
        return _recognised("movehand", filters.flatten(0, 2), strength, coherence)
    parts = [state_dict.get(f"{name}_2_8") for name in ("filters", "strength", "coherence")]
    filters, strength, coherence = (_NOTHING if part is None else part for part in parts)
    if filters.ndim != 3 or strength.ndim != 1 or coherence.ndim != 1 or not len(strength) or not len(coherence):
        return None
    if any(key.partition("_")[0] not in ("filters", "strength", "coherence") for key in state_dict):
        return None
    return _recognised("intel", filters, strength, coherence)


def _recognised(form: Form, filters: Tensor, strength: Tensor, coherence: Tensor) -> Recognised | None:
    number, places, taps = filters.shape
    strengths, coherences = len(strength) + 1, len(coherence) + 1
    angles, scale, patch = number // (strengths * coherences), math.isqrt(places), math.isqrt(taps)
    margin = CONVENTIONS[form].margin
    if angles * strengths * coherences != number or scale**2 != places or patch**2 != taps:
        return None
    if scale < 2 or patch % 2 == 0 or patch // 2 > margin:
        return None
    descriptor = Descriptor(
        arch=ARCH.name,
        config={
            "form": form, "angles": angles, "strengths": strengths, "coherences": coherences, "scale": scale,
            "patch": patch,
        },
        scales=(scale,),
        colour="ycbcr",
        luma_range="full" if form == "movehand" else "studio",  # Intel's are made for the planes of clips
        # Windows and patches reach `margin` SR pixels; where these lie between LR pixels, the next one has a part too.
        halo=-(-margin // scale) + CONVENTIONS[form].half_pixel,
        exact=True,
        precisions=frozenset({"fp32"}),
        variant="" if form == "movehand" else "raisr-intel",
        depth=counted(number, "filter"),
    )  # fmt: skip
    return Recognised(descriptor, {"filters": filters, "strength": strength, "coherence": coherence})


def adapt(net: nn.Module, _facts: Descriptor) -> nn.Module:
    """The whole picture, where the reference's filters begin at the margin."""
    assert isinstance(net, RAISR)
    return WholeRAISR(net)


_NOTHING: Final = Tensor()

ARCH: Final = Architecture(
    name="raisr", recognise=recognise, net=RAISR, adapt=adapt,
    about="Hashed filters, no net: Romano et al., 2017, https://arxiv.org/abs/1606.01299",
)  # fmt: skip
