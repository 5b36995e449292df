"""The attentions of HAESR: around a window, over the whole picture, and between channels.

Each of the first two makes a map that says how much of which pixel goes where. The groups of the net after the first
one use its maps again, and have values of their own only.
"""

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WINDOW: Final = 8
"""Side of a window, and of the grid of pixels spread over the picture."""

EXTEND: Final = 4
"""LR pixels on each side of a window that it looks at, too."""

AROUND: Final = (96, 96, 100)
"""How many of the 16 x 16 pixels around a window are looked at: a star, a cross, the corners. Which is in the file."""

BETWEEN: Final = ((WINDOW - 1, WINDOW - 1), (WINDOW, WINDOW - 1), (WINDOW - 1, WINDOW))
"""Pixels half way between those of the grid, (rows, columns): in the middle of four, right of each, below each."""


class LayerNorm2d(nn.LayerNorm):
    """Over the channels of each pixel."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return out


class GatedFeedForward(nn.Module):
    """One half gates the other."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(dim, 2 * dim, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * dim, 2 * dim, 3, padding=1, groups=2 * dim, bias=False)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.dwconv(self.project_in(x)).chunk(2, dim=1)
        out: Tensor = self.project_out(F.gelu(gate) * value)
        return out


# Pixels as tokens


def windows(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H / 8, W / 8, 64, C): the pixels of each window."""
    _, channels, height, width = x.shape
    apart = x.reshape(-1, channels, height // WINDOW, WINDOW, width // WINDOW, WINDOW)
    return apart.permute(0, 2, 4, 3, 5, 1).flatten(3, 4)


def around_windows(x: Tensor) -> Tensor:
    """(N, C, H, W) to (N, H / 8, W / 8, 256, C): the same with 4 pixels around it, which are 0 outside the picture.

    A window and what is around it is the second half of one window and the first of the next, of a picture moved by 4.
    """
    _, channels, height, width = x.shape
    rows, columns = height // WINDOW, width // WINDOW
    padded = F.pad(x, (EXTEND, EXTEND, EXTEND, EXTEND))
    halves = [part.reshape(-1, channels, rows, WINDOW, width + 2 * EXTEND)
              for part in (padded[:, :, : -2 * EXTEND], padded[:, :, 2 * EXTEND :])]  # fmt: skip
    high = torch.cat(halves, dim=3)  # (N, C, H / 8, 16, W + 8)
    halves = [part.reshape(-1, channels, rows, 2 * WINDOW, columns, WINDOW)
              for part in (high[:, :, :, :, : -2 * EXTEND], high[:, :, :, :, 2 * EXTEND :])]  # fmt: skip
    apart = torch.cat(halves, dim=5)  # (N, C, H / 8, 16, W / 8, 16)
    return apart.permute(0, 2, 4, 3, 5, 1).flatten(3, 4)


def from_windows(tokens: Tensor) -> Tensor:
    """The opposite, of windows with nothing around them."""
    _, rows, columns, _, channels = tokens.shape
    apart = tokens.reshape(-1, rows, columns, WINDOW, WINDOW, channels).permute(0, 5, 1, 3, 2, 4)
    return apart.reshape(-1, channels, rows * WINDOW, columns * WINDOW)


def grids(x: Tensor, rows: int = WINDOW, columns: int = WINDOW) -> Tensor:
    """(N, C, H, W) to (N, H / 8, W / 8, rows * columns, C): pixels that are H / 8 and W / 8 apart, from each that the
    first of them can be. With fewer rows or columns they are those half way between."""
    channels, height, width = x.shape[1], x.shape[2] // WINDOW, x.shape[3] // WINDOW
    top = height // 2 if rows < WINDOW else 0
    left = width // 2 if columns < WINDOW else 0
    part = x[:, :, top : top + rows * height, left : left + columns * width]
    apart = part.reshape(-1, channels, rows, height, columns, width)
    return apart.permute(0, 3, 5, 2, 4, 1).flatten(3, 4)


def from_grids(tokens: Tensor) -> Tensor:
    """The opposite, of the grid itself."""
    _, height, width, _, channels = tokens.shape
    apart = tokens.reshape(-1, height, width, WINDOW, WINDOW, channels).permute(0, 5, 3, 1, 4, 2)
    return apart.reshape(-1, channels, WINDOW * height, WINDOW * width)


# Attention by a map


class Indices(nn.Module):
    """Which pixels of a window of 16 x 16 are looked at, and which are its inner ones, row by row."""

    sample_indices: Tensor
    center_indices: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("sample_indices", torch.zeros(count, dtype=torch.int64))
        self.register_buffer("center_indices", torch.zeros(WINDOW**2, dtype=torch.int64))


class Attention(nn.Module):
    """What both kinds have: linear layers, which make a map and values of it, or values alone.

    Args:
        makes_map: it makes the map itself, and is not given it.
    """

    def __init__(self, dim: int, *, makes_map: bool) -> None:
        super().__init__()
        self.scale = dim**-0.5
        if makes_map:
            self.to_q = nn.Linear(dim, dim, bias=False)
            self.to_kv = nn.Linear(dim, 2 * dim, bias=False)
        else:
            self.to_v = nn.Linear(dim, dim, bias=False)
        self.to_out = nn.Sequential(nn.Linear(dim, dim, bias=False))

    def attend(self, queries: Tensor, seen: Tensor, bias: Tensor | None, known: Tensor | None) -> tuple[Tensor, Tensor]:
        """Tokens (N, rows, columns, 64, dim), and the map (N, rows, columns, 64, count).

        Args:
            queries: (N, rows, columns, 64, dim).
            seen: (N, rows, columns, count, dim), what is looked at.
            bias: (1, 64, count), where the map is made here.
            known: the map, where it is not.
        """
        if known is None:
            key, value = self.to_kv(seen).chunk(2, dim=-1)
            likeness = self.to_q(queries) @ key.permute(0, 1, 2, 4, 3) * self.scale
            known = (likeness if bias is None else likeness + bias).softmax(dim=-1)
        else:
            value = self.to_v(seen)
        return self.to_out(known @ value), known


class WindowAttention(Attention):
    """From each window of 8 x 8 to pixels around it. Outside the picture there are zeros, which are looked at, too."""

    def __init__(self, dim: int, number: int, *, makes_map: bool) -> None:
        super().__init__(dim, makes_map=makes_map)
        self.ext_unfold = Indices(AROUND[number])
        if makes_map:
            self.rel_pos_bias = nn.Parameter(torch.zeros(1, WINDOW**2, AROUND[number]))

    def forward(self, x: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
        around = around_windows(x)
        queries = around.index_select(3, self.ext_unfold.center_indices)
        seen = around.index_select(3, self.ext_unfold.sample_indices)
        out, known = self.attend(queries, seen, self.rel_pos_bias if known is None else None, known)
        return from_windows(out), known


class GridAttention(Attention):
    """Between 8 x 8 pixels spread over the whole picture, and to those half way between them."""

    places: Tensor

    def __init__(self, dim: int, number: int, *, makes_map: bool) -> None:
        super().__init__(dim, makes_map=makes_map)
        self.between = BETWEEN[number]
        if makes_map:
            rows, columns = self.between
            self.rel_pos_bias = nn.Embedding((2 * WINDOW - 1) ** 2, 1)
            self.extra_pos_bias = nn.Parameter(torch.zeros(1, WINDOW**2, rows * columns))
            self.register_buffer("places", _places(), persistent=False)

    def forward(self, x: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor]:
        queries = grids(x)
        seen = torch.cat([queries, grids(x, *self.between)], dim=3)
        bias = None
        if known is None:
            within = self.rel_pos_bias(self.places).reshape(1, WINDOW**2, WINDOW**2)
            bias = torch.cat([within, self.extra_pos_bias], dim=2)
        out, known = self.attend(queries, seen, bias, known)
        return from_grids(out), known


def _places() -> Tensor:
    """(64, 64): which of the 225 ways from one pixel of the grid to another it is. Real where nets are made on meta."""
    y, x = (torch.arange(WINDOW**2, device="cpu") // WINDOW, torch.arange(WINDOW**2, device="cpu") % WINDOW)
    down, right = y[:, None] - y[None] + WINDOW - 1, x[:, None] - x[None] + WINDOW - 1
    return down * (2 * WINDOW - 1) + right


# Attention between channels


class ChannelAttention(nn.Module):
    """Between the channels, by the pixels of a group."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(1, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.qkv_dwconv = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=False)
        self.project_out = nn.Conv2d(dim, dim, 1, bias=False)

    def attend(self, x: Tensor, *, across: bool) -> Tensor:
        """(N, C, H, W) to the same. A group is a window; or, `across` all windows, the pixels of one place in each."""
        tokens = windows(self.qkv_dwconv(self.qkv(x)))  # (N, H / 8, W / 8, 64, 3 * C)
        _, rows, columns, places, _ = tokens.shape
        if across:  # (N, 1, windows, 64, 3 * C) to (N, 1, 64, windows, 3 * C)
            tokens = tokens.flatten(1, 2)[:, None].permute(0, 1, 3, 2, 4)
        query, key, value = tokens.permute(0, 1, 2, 4, 3).chunk(3, dim=3)
        likeness = F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).permute(0, 1, 2, 4, 3)
        made = (likeness * self.temperature).softmax(dim=-1) @ value
        if across:
            made = made.permute(0, 1, 4, 2, 3).reshape(-1, rows, columns, places, x.shape[1])
        else:
            made = made.permute(0, 1, 2, 4, 3)
        out: Tensor = self.project_out(from_windows(made))
        return out


class ChannelBlock(nn.Module):
    """Attention between channels, in each window and across all of them."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.canorm1, self.cnorm1, self.canorm2, self.cnorm2 = (LayerNorm2d(dim) for _ in range(4))
        self.cttn1, self.cttn2 = ChannelAttention(dim), ChannelAttention(dim)
        self.gfn1, self.gfn2 = GatedFeedForward(dim), GatedFeedForward(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.cttn1.attend(self.canorm1(x), across=False)
        x = x + self.gfn1(self.cnorm1(x))
        x = x + self.cttn2.attend(self.canorm2(x), across=True)
        out: Tensor = x + self.gfn2(self.cnorm2(x))
        return out
