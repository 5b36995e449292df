"""How a picture has moved since an earlier one: the displacement of small patches, found from coarse to fine.

luma  ->  pyramid  ->  search in the smallest picture  ->  least squares, patch by patch, in each larger one  ->  flow

The least squares are those of Lucas and Kanade (IJCAI 1981), on patches that overlap, each level beginning with what
the one above has found, as in dense inverse search (Kroeger et al., ECCV 2016, https://arxiv.org/abs/1603.03590);
between levels a median takes patches back that went astray. Nothing depends on what came before the two pictures.

A flow is (1, 2, rows, columns) float32: how many pixels to the right and down the patch around each `CELL` pixels lay
in the earlier picture. Luma is (1, 1, height, width) float32 in 8-bit code values.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

CELL: Final = 4
"""Pixels from one patch to the next, at every size of the pyramid."""

PATCH: Final = 8
"""Pixels of a patch's side."""

LEAST_SIDE: Final = 24
"""Pixels of the shorter side below which a picture is not halved any more."""

MOST_HALVINGS: Final = 5

SEARCH: Final = 3
"""Pixels of the smallest picture that are searched in each direction."""

STILL: Final = 0.02
"""Code values for each pixel of displacement that a longer one has to be better by: what stands still stays."""

STEPS: Final = 3
"""Of least squares, in each picture of the pyramid; in the largest one `LAST_STEPS`."""

LAST_STEPS: Final = 2

DAMPING: Final = 1.0
"""Squared code values a pixel: gradients of a flat patch are noise, and move nothing."""


def motion(now: Tensor, before: Tensor) -> Tensor:
    """Where each patch of a picture lay in an earlier one, as a flow; both (1, 1, height, width)."""
    height, width = now.shape[-2:]
    halvings = 0
    while halvings < MOST_HALVINGS and min(height, width) >> (halvings + 1) >= LEAST_SIDE:
        halvings += 1
    sizes = [_padded(now, halvings)], [_padded(before, halvings)]
    for levels in sizes:
        for _ in range(halvings):
            levels.append(F.avg_pool2d(levels[-1], 2))
    flow = _searched(sizes[0][-1], sizes[1][-1])
    for level in range(halvings, -1, -1):
        if level < halvings:
            flow = 2 * F.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False)
        flow = _refined(sizes[0][level], sizes[1][level], flow, STEPS if level else LAST_STEPS)
        flow = _median(flow)
    return flow[..., : -(-height // CELL), : -(-width // CELL)]


def joined(flow: Tensor, further: Tensor) -> Tensor:
    """A flow to the picture before, and that one's own flow, as a flow to the picture before that."""
    return flow + moved(further, flow / CELL)


def dense(flow: Tensor, height: int, width: int) -> Tensor:
    """(1, 2, height, width): a flow at every pixel of its picture."""
    every = F.interpolate(flow, scale_factor=float(CELL), mode="bilinear", align_corners=False)
    return every[..., :height, :width]


def moved(picture: Tensor, flow: Tensor) -> Tensor:
    """An earlier picture, (1, C, h, w), as it would be now: each pixel from where it lay, linearly between samples.

    Args:
        flow: (1, 2, h, w), in pixels; what lies outside is the border.
    """
    height, width = picture.shape[-2:]
    grid = F.affine_grid(torch.eye(2, 3, device=flow.device)[None], [1, 1, height, width], align_corners=False)
    scale = torch.tensor([2 / width, 2 / height], device=flow.device)
    grid = grid + flow.permute(0, 2, 3, 1) * scale
    return F.grid_sample(picture, grid, mode="bilinear", padding_mode="border", align_corners=False)


def leads_outside(flow: Tensor, step: int = 1) -> Tensor:
    """(1, 1, h, w) bool: where a flow leads beyond the picture, by more than half a pixel.

    Args:
        flow: of every pixel, or of the first of so many in a row, and in a column.
    """
    height, width = (side * step for side in flow.shape[-2:])
    x = torch.arange(0, width, step, device=flow.device) + flow[:, :1]
    y = torch.arange(0, height, step, device=flow.device)[:, None] + flow[:, 1:]
    return (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)


def slopes(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Differences across and down, (1, 1, h, w) each, code values a pixel."""
    wide = F.pad(picture, (1, 1, 0, 0), mode="replicate")
    tall = F.pad(picture, (0, 0, 1, 1), mode="replicate")
    return (wide[..., 2:] - wide[..., :-2]) / 2, (tall[..., 2:, :] - tall[..., :-2, :]) / 2


def _padded(picture: Tensor, halvings: int) -> Tensor:
    """Its last row and column repeated, until the smallest picture of the pyramid consists of whole cells."""
    unit = CELL << halvings
    height, width = picture.shape[-2:]
    return F.pad(picture, (0, -width % unit, 0, -height % unit), mode="replicate")


def _by_patch(values: Tensor) -> Tensor:
    """The mean of each patch, (1, C, h / CELL, w / CELL); beyond the border there is nothing."""
    return F.avg_pool2d(values, PATCH, CELL, (PATCH - CELL) // 2)


def _searched(now: Tensor, before: Tensor) -> Tensor:
    """The displacement by whole pixels that fits each patch best."""
    around = F.pad(before, (SEARCH,) * 4, mode="replicate")
    height, width = now.shape[-2:]
    steps = [(x, y) for y in range(-SEARCH, SEARCH + 1) for x in range(-SEARCH, SEARCH + 1)]
    steps.sort(key=lambda step: abs(step[0]) + abs(step[1]))
    costs = []
    for x, y in steps:
        there = around[..., SEARCH + y : SEARCH + y + height, SEARCH + x : SEARCH + x + width]
        costs.append(_by_patch((now - there).abs()) + STILL * (abs(x) + abs(y)))
    best = torch.cat(costs, dim=1).argmin(dim=1)
    table = torch.tensor(steps, dtype=torch.float32, device=now.device)
    return table[best].permute(0, 3, 1, 2)


def _refined(now: Tensor, before: Tensor, flow: Tensor, steps: int) -> Tensor:
    """Least squares: the small displacement that explains what is left of the difference."""
    across, down = slopes(now)
    squares = _by_patch(torch.cat((across * across, across * down, down * down), dim=1))
    xx, xy, yy = (squares[:, place : place + 1] for place in range(3))
    xx, yy = xx + DAMPING, yy + DAMPING
    divisor = xx * yy - xy * xy
    height, width = now.shape[-2:]
    for _ in range(steps):
        left = now - moved(before, dense(flow, height, width))
        products = _by_patch(torch.cat((across * left, down * left), dim=1))
        x, y = products[:, :1], products[:, 1:]
        step = torch.cat(((yy * x - xy * y) / divisor, (xx * y - xy * x) / divisor), dim=1)
        flow = flow + step.clamp(-1, 1)
    return flow


def _median(flow: Tensor) -> Tensor:
    """Of each patch and the eight around it."""
    rows, columns = flow.shape[-2:]
    around = F.pad(flow, (1, 1, 1, 1), mode="replicate")
    places = [(y, x) for y in range(3) for x in range(3)]
    return torch.stack([around[..., y : y + rows, x : x + columns] for y, x in places]).median(dim=0).values
