"""Meta-SR: any scale from 1 to 4 by one net; a small one makes a filter for each place between the LR pixels.

Hu et al., "Meta-SR: A Magnification-Arbitrary Network for Super-Resolution", CVPR 2019,
https://arxiv.org/abs/1903.00875, on the body of Zhang et al., "Residual Dense Network for Image Super-Resolution",
CVPR 2018, https://arxiv.org/abs/1802.08797
"""

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.keys import in_a_row, sides_of
from upscale_cli.models.interface import (
    SCALE_INPUT,
    Architecture,
    Descriptor,
    InputSpec,
    Interval,
    Recognised,
    Scale,
    SidecarMetadata,
    as_scale,
    scaled,
)
from upscale_cli.text import counted

BAND: Final = 2**24
"""Values that are held at a time, where each SR pixel wants hundreds: of some rows."""

MOST_FILTERS: Final = 2**25
"""Values of the filters of a scale that are held: of 27/10, but not of 337/100."""


class DenseConv(nn.Module):
    """Appends what it makes. Shapes: (N, channels_in, H, W) to (N, channels_in + growth, H, W)."""

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(channels_in, growth, 3, padding=1), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat((x, self.conv(x)), dim=1)


class RDB(nn.Module):
    """Residual dense block. Shapes: (N, num_feat, H, W) to the same."""

    def __init__(self, num_feat: int, growth: int, num_conv: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(DenseConv(num_feat + growth * number, growth) for number in range(num_conv)))
        self.LFF = nn.Conv2d(num_feat + growth * num_conv, num_feat, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.LFF(self.convs(x))
        return out


class FilterNet(nn.Module):
    """Makes 3x3 filters from (1 / scale, offset down, offset across), each from 0 to 1.

    The last layer is linear, so it may go to the features instead of the filters: a convolution at LR size makes a
    plane for each of its inputs, and an SR pixel is their sum, weighed by the hidden values of its place. That is
    scale ** 2 times less than a filter for each SR pixel, and the same but for rounding.
    """

    def __init__(self, num_feat: int, hidden: int) -> None:
        super().__init__()
        self.num_feat = num_feat
        self.meta_block = nn.Sequential(
            nn.Linear(3, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, num_feat * 9 * 3)
        )

    def filters(self) -> Tensor:
        """(3 * (hidden + 1), num_feat, 3, 3): what makes the planes, for each channel the last of them for the bias."""
        last: nn.Linear = self.meta_block[2]  # type: ignore[assignment]
        weights = torch.cat((last.weight, last.bias[:, None]), dim=1)  # (num_feat * 9 * 3, hidden + 1)
        return weights.reshape(self.num_feat, 3, 3, 3, -1).permute(3, 4, 0, 1, 2).flatten(0, 1)

    def hidden(self, step: float, down: Tensor, across: Tensor) -> Tensor:
        """The values that weigh the planes: (h,) and (w,) offsets to (hidden, h, w)."""
        first: nn.Linear = self.meta_block[0]  # type: ignore[assignment]
        by_step, by_down, by_across = first.weight[:, :, None, None].unbind(1)  # (hidden, 1, 1) each
        fixed = by_step * step + first.bias[:, None, None]
        return (fixed + by_down * down[:, None] + by_across * across).relu()


class MetaRDN(nn.Module):
    """A residual dense network, and filters for any scale.

    Shapes: (N, 3, H, W) in [0, 255], scale (1,) or (N,), of which the first counts, to (N, 3, floor(scale * H),
    floor(scale * W)), not clamped.
    """

    def __init__(
        self, num_feat: int = 64, growth: int = 64, num_block: int = 16, num_conv: int = 8, hidden: int = 256
    ) -> None:  # fmt: skip
        super().__init__()
        self.sub_mean, self.add_mean = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.SFENet1 = nn.Conv2d(3, num_feat, 3, padding=1)
        self.SFENet2 = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.RDBs = nn.ModuleList(RDB(num_feat, growth, num_conv) for _ in range(num_block))
        self.GFF = nn.Sequential(
            nn.Conv2d(num_feat * num_block, num_feat, 1), nn.Conv2d(num_feat, num_feat, 3, padding=1)
        )
        self.P2W = FilterNet(num_feat, hidden)

    def forward(self, lr: Tensor, scale: Tensor) -> Tensor:
        ratio = float(torch.as_tensor(scale).reshape(-1)[0])
        down, across = (
            torch.arange(int(ratio * side), dtype=torch.float32, device=lr.device) * (1 / ratio)
            for side in lr.shape[-2:]
        )  # as the reference has it, rounding included
        rows, columns = down.floor(), across.floor()
        return self.at(lr, 1 / ratio, rows.long(), down - rows, columns.long(), across - columns)

    def at(
        self, lr: Tensor, step: float, rows: Tensor, down: Tensor, columns: Tensor, across: Tensor
    ) -> Tensor:  # fmt: skip
        """The SR pixels of any places.

        Args:
            step: LR pixels from one to the next.
            rows, columns: (h,) and (w,) int64, the LR pixels that they lie in.
            down, across: (h,) and (w,), how far from their beginning, 0 to 1.

        Returns:
            (N, 3, h, w).
        """
        feat, filters = F.pad(self.features(lr), (1, 1, 1, 1)), self.P2W.filters()
        number, width = len(lr), len(columns)
        at_a_time = max(1, BAND // (number * len(filters) * width))
        bands = []
        for start in range(0, len(rows), at_a_time):
            band = slice(start, start + at_a_time)
            top, bottom = int(rows[band][0]), int(rows[band][-1])
            planes = F.conv2d(feat[:, :, top : bottom + 3], filters)  # (N, 3 * (hidden + 1), some rows, W)
            near = planes[:, :, rows[band] - top][..., columns]  # ten times as fast as index_select along the last axis
            near = near.reshape(number, 3, -1, near.shape[2], width)
            weights = self.P2W.hidden(step, down[band].to(lr), across.to(lr))  # (hidden, h', w)
            bands.append((near[:, :, :-1] * weights).sum(2) + near[:, :, -1])
        out: Tensor = self.add_mean(torch.cat(bands, dim=2))
        return out

    def features(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_feat, H, W)."""
        shallow = self.SFENet1(self.sub_mean(lr))
        x, blocks = self.SFENet2(shallow), []
        for block in self.RDBs:
            x = block(x)
            blocks.append(x)
        out: Tensor = shallow + self.GFF(torch.cat(blocks, dim=1))
        return out


class ExactScale(nn.Module):
    """The net at a scale that is a fraction, in whole numbers: where a tile begins at a multiple of the denominator,
    its places are those of the whole picture. Sides are rounded up, not down."""

    def __init__(self, net: MetaRDN) -> None:
        super().__init__()
        self.net = net

    def forward(self, lr: Tensor, scale: Tensor) -> Tensor:
        exact = as_scale(float(scale[0]))
        over, under = exact.numerator, exact.denominator
        down, across = (torch.arange(scaled(side, exact), device=lr.device) * under for side in lr.shape[-2:])
        return self.net.at(lr, under / over, down // over, down % over / over, across // over, across % over / over)


class FixedScale(nn.Module):
    """The net at one scale, over / under: the places of SR pixels repeat every `under` LR pixels, so that all filters
    are those of one convolution of that stride, whose channels a sub-pixel layer puts into their places.

    It is what `ExactScale` makes, rounding apart, in a fraction of the work, and nothing depends on the picture.
    """

    filters: Tensor

    def __init__(self, net: MetaRDN, scale: Scale) -> None:
        super().__init__()
        self.net, self.over, self.under = net, scale.numerator, scale.denominator
        self.register_buffer("filters", filters_at(net.P2W, self.over, self.under), persistent=False)

    def forward(self, lr: Tensor, scale: Tensor) -> Tensor:  # noqa: ARG002  # as all nets of any scale take it
        height, width = lr.shape[-2:]
        feat = self.net.features(lr)
        feat = F.pad(feat, (1, 1 + -width % self.under, 1, 1 + -height % self.under))
        sr = F.pixel_shuffle(F.conv2d(feat, self.filters, stride=self.under), self.over)
        height, width = ((side * self.over + self.under - 1) // self.under for side in (height, width))
        out: Tensor = self.net.add_mean(sr[:, :, :height, :width])
        return out


def filters_at(made: FilterNet, over: int, under: int) -> Tensor:
    """(3 * over ** 2, num_feat, under + 2, under + 2): the filters of all SR pixels that `under` LR pixels make on each
    axis, each where its own LR pixels are, zeros around it."""
    at = torch.arange(over) * under
    first, offset = at // over, (at % over / over).to(made.filters())
    weights = made.hidden(under / over, offset, offset)  # (hidden, over, over)
    planes = made.filters().reshape(3, -1, made.num_feat, 3, 3)  # (3, hidden + 1, num_feat, 3, 3)
    own = torch.einsum("hyx,chfij->cyxfij", weights, planes[:, :-1]) + planes[:, None, -1:]
    side = under + 2
    placed: Tensor = own.new_zeros(3, over, over, made.num_feat, side, side)
    for y, top in enumerate(first.tolist()):
        for x, left in enumerate(first.tolist()):
            placed[:, y, x, :, top : top + 3, left : left + 3] = own[:, y, x]
    return placed.flatten(0, 2)


def adapt(net: nn.Module, facts: Descriptor) -> nn.Module:
    """By one convolution, where the scale is known and its filters are not too many."""
    assert isinstance(net, MetaRDN)
    scale = facts.fixed_scale
    if scale is None or 3 * scale.numerator**2 * net.P2W.num_feat * (scale.denominator + 2) ** 2 > MOST_FILTERS:
        return ExactScale(net)
    return FixedScale(net, scale)


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:  # noqa: ARG001  # every one takes it
    """Residual dense blocks and P2W, which no other net on that body has."""
    hidden, facts = sides_of(state_dict, "P2W.meta_block.0.weight", 2)
    num_feat, channels = sides_of(state_dict, "SFENet1.weight")[:2]
    num_block = in_a_row(state_dict, "RDBs.{}.LFF.weight")
    num_conv = in_a_row(state_dict, "RDBs.0.convs.{}.conv.0.weight")
    growth = sides_of(state_dict, "RDBs.0.convs.0.conv.0.weight")[0]
    if not (num_block and num_conv and growth and hidden and num_feat) or facts != 3 or channels != 3:
        return None
    return Recognised(
        Descriptor(
            arch=ARCH.name,
            config={
                "num_feat": num_feat, "growth": growth, "num_block": num_block, "num_conv": num_conv, "hidden": hidden,
            },
            scales=Interval(1, 4),
            halo=num_block * num_conv + 4,  # one pixel for each 3x3 convolution, the filters included
            exact=True,
            rounds_up=True,
            precisions=frozenset({"fp32"}),  # sums of hundreds of products of values up to hundreds
            inputs=(InputSpec(name=SCALE_INPUT, least=1, most=4, about="SR pixels per LR pixel, 1 to 4"),),
            input_range=(0.0, 255.0),
            output_range=(0.0, 255.0),
            depth=f"{counted(num_block, 'block')} of {counted(num_conv, 'convolution')}",
        ),
        dict(state_dict),
    )  # fmt: skip


ARCH: Final = Architecture(
    name="meta-sr", recognise=recognise, net=MetaRDN, adapt=adapt,
    about="Hu et al., CVPR 2019, https://arxiv.org/abs/1903.00875",
)  # fmt: skip
