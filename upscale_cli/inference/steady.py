"""SR frames averaged along the motion of the LR, so that what a net answers anew for each frame flickers less.

    LR now and before  ->  motion  ->  does it explain the picture?  ->  weights  ->  mean of SR and of SR before, moved

Each frame becomes the mean of itself and of the `LOOKS_BACK` frames before it as the net has made them (not of what the
mean has made of those), each moved to where its parts are now. So a frame depends on three frames and on nothing
earlier: a run that begins anywhere, and computes so many frames more, gives the same samples as one from the start.

A pixel of an earlier frame counts where the LR, moved by the same motion, is what the LR is now: but for noise, and for
what a small error of the motion does to edges. Where it is not (something else has come into view, light has changed,
the motion was not found) it does not count at all, so nothing leaves a trace of itself. Where that is so in most of the
picture there was a cut. Planes with colour are judged by the LR's colours, too: what moves may be as light as what it
moves over.
"""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.device import Device, memory_explained
from upscale_cli.inference.motion import CELL, dense, joined, leads_outside, motion, moved, slopes
from upscale_cli.inference.yuv import Place

LOOKS_BACK: Final = 2
"""How many frames before it have a part in a frame."""

STEP: Final = 2
"""LR pixels of a side that are judged as one, with those around them: windows of six."""

LEAST_NOISE, MOST_NOISE = 0.5, 4.0
"""8-bit code values: between these the median difference is taken for noise."""

NOISES: Final = 2.0
"""How many times that a difference may be."""

SLACK: Final = 0.1
"""LR pixels by which the motion may be off, where a difference is to be explained by edges."""

CUT: Final = 0.25
"""The part of a picture below which what the motion explains is chance."""

BAND_SAMPLES: Final = 2**18
"""SR samples of a plane that are computed at a time: what they need stays in the processor's caches."""

GREEN_BLUE_RED: Final = (0.6, 0.1, 0.3)
"""How much each plane of RGB says about motion."""


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """What is kept of a frame.

    Attributes:
        luma: (1, 1, h, w) of the LR, float32 in 8-bit code values.
        colours: (1, C, h, w) of the LR, alike: chroma in its own size, or RGB; None: gray.
        sr: its samples, as they came.
        planes: of the SR, those of one size together: (1, C, H, W) float32 code values.
        flow: to the frame before; None where there is none, or a cut.
    """

    luma: Tensor
    colours: Tensor | None
    sr: NDArray[Any]
    planes: Sequence[Tensor]
    flow: Tensor | None


_Part = tuple[_Frame, Tensor, Tensor, Tensor]
"""An earlier frame, the flow to it, and how much its pixels count, 0 to 1: those of luma, and those of planes with
colour. (1, 1, h, w) each, smaller than the LR by `STEP`."""


class Steady:
    """Makes the SR frames of one stream steady, in the order in which they are shown. Transparency stays as it is.

    Args:
        format: of LR and SR frames.
        lr_size, sr_size: (width, height).
        device: where it is computed.

    Attributes:
        seconds: that it took so far.
    """

    def __init__(self, format: PixelFormat, lr_size: tuple[int, int], sr_size: tuple[int, int], device: Device) -> None:
        self._format, self._device = format, device
        self._lr_width, self._lr_height = lr_size
        self._sr_size = sr_size
        self._earlier: deque[_Frame] = deque(maxlen=LOOKS_BACK)
        self.seconds = 0.0

    @property
    def held_bytes(self) -> int:
        """What is kept of frames, and this frame's own share, at most."""
        samples = self._format.frame_samples(*self._sr_size)
        return (LOOKS_BACK + 1) * samples * (4 + self._format.dtype.itemsize)

    @torch.no_grad()
    def __call__(self, lr: NDArray[Any], sr: NDArray[Any], *, net: bool = True) -> NDArray[Any]:
        """The samples of the next frame.

        Args:
            lr, sr: (n,) uint8 or uint16, as `PixelFormat.plane_sizes` says; stay as they are.
            net: False: bicubic has made it, for want of time; it stays as it is, and the next one begins anew.

        Raises:
            DeviceError: memory is too small.
        """
        if not net:
            self._earlier.clear()
            return sr
        begin = time.perf_counter()
        with memory_explained(self._device):
            luma, colours = self._luma(lr), self._colours(lr)
            parts = self._parts(luma, colours)
            planes = [self._to_device(group) for group in self._groups(sr)]
            out = sr
            if any(not np.array_equal(sr, earlier.sr) for earlier, *_ in parts):
                out = self._mean(planes, parts, sr)
            self._earlier.appendleft(_Frame(luma, colours, sr, planes, parts[0][1] if parts else None))
        self.seconds += time.perf_counter() - begin
        return out

    def _parts(self, luma: Tensor, colours: Tensor | None) -> list[_Part]:
        """The earlier frames that have a part in this one, the last first."""
        parts: list[_Part] = []
        flow: Tensor | None = None
        edges = _steepness(luma) if self._earlier else luma
        for earlier in self._earlier:
            flow = motion(luma, earlier.luma) if flow is None else flow
            weights = self._weights(luma, earlier.luma, flow, edges)
            if weights is None:
                break
            of_colour = weights
            if colours is not None and earlier.colours is not None:
                of_colour = torch.minimum(weights, self._colour_weights(colours, earlier.colours, flow))
            parts.append((earlier, flow, weights, of_colour))
            if earlier.flow is None:
                break
            flow = joined(flow, earlier.flow)
        return parts

    def _weights(self, now: Tensor, before: Tensor, flow: Tensor, edges: Tensor) -> Tensor | None:
        """How much each pixel of an earlier frame counts, 0 to 1; None where nearly none does.

        Args:
            edges: how steep the picture is around each pixel, code values; smaller by `STEP`, as what is given.
        """
        every = dense(flow, self._lr_height, self._lr_width)
        outside = leads_outside(every[..., ::STEP, ::STEP], STEP)
        weights = _likely(_around((now - moved(before, every)).abs()), edges).masked_fill(outside, 0)
        weights = -F.max_pool2d(-weights, 3, 1, 1)
        explained = int((weights > 0.5).sum())
        return weights if explained >= CUT * weights.numel() else None

    def _colour_weights(self, now: Tensor, before: Tensor, flow: Tensor) -> Tensor:
        """How much each pixel of an earlier frame counts by what its colours say, as `_weights` has it."""
        size = self._lr_height, self._lr_width
        share = now.shape[-1] / size[1], now.shape[-2] / size[0]
        every = F.interpolate(dense(flow, *size), size=now.shape[-2:], mode="bilinear", align_corners=False)
        every = every * torch.tensor(share, device=now.device)[None, :, None, None]
        across, down = slopes(now)
        edges = across.abs() * share[0] + down.abs() * share[1]
        both = torch.cat([one.amax(1, keepdim=True) for one in ((now - moved(before, every)).abs(), edges)])
        around = _around(F.interpolate(both, size=size))
        return -F.max_pool2d(-_likely(around[:1], around[1:]), 3, 1, 1)

    def _mean(self, planes: Sequence[Tensor], parts: Sequence[_Part], sr: NDArray[Any]) -> NDArray[Any]:
        out = sr.copy()
        for number, (now, target) in enumerate(zip(planes, self._groups(out), strict=True)):
            others = [
                (
                    earlier.planes[number],
                    _Spread(flow, self._share(now, CELL), now),
                    _Spread(of_colour if now.shape[1] > 1 else weights, self._share(now, STEP), now),
                )
                for earlier, flow, weights, of_colour in parts
            ]
            height, width = now.shape[-2:]
            scale = height / self._lr_height, width / self._lr_width
            step = max(1, BAND_SAMPLES // width) if self._device.type == "cpu" else height
            for top in range(0, height, step):
                rows = slice(top, min(top + step, height))
                band = _mean_of_rows(now, others, scale, rows)
                codes = band.add_(0.5).floor_().clamp_(0, self._format.white)
                target[:, rows] = codes[0].cpu().numpy().astype(self._format.dtype)
        return out

    def _share(self, plane: Tensor, cell: int) -> tuple[float, float]:
        """Cells of so many LR pixels for each sample of an SR plane, down and across."""
        height, width = plane.shape[-2:]
        return self._lr_height / cell / height, self._lr_width / cell / width

    def _luma(self, lr: NDArray[Any]) -> Tensor:
        size, height, width = self._lr_width * self._lr_height, self._lr_height, self._lr_width
        if self._format.model == "rgb":
            planes = self._to_device(lr[: 3 * size].reshape(3, height, width))
            weights = torch.tensor(GREEN_BLUE_RED, device=self._device)[None, :, None, None]
            luma = (planes * weights).sum(dim=1, keepdim=True)
        else:
            luma = self._to_device(lr[:size].reshape(1, height, width))
        return luma / (1 << (self._format.bits - 8))

    def _colours(self, lr: NDArray[Any]) -> Tensor | None:
        """Code values of 8 bits of what has colour: chroma, or all of RGB."""
        sizes = self._format.plane_sizes(self._lr_width, self._lr_height)
        sizes = sizes[:-1] if self._format.alpha else sizes
        if len(sizes) == 1:
            return None
        first = 0 if self._format.model == "rgb" else 1
        start, (height, width) = first * self._lr_width * self._lr_height, sizes[first]
        count = len(sizes) - first
        planes = lr[start : start + count * height * width].reshape(count, height, width)
        return self._to_device(planes) / (1 << (self._format.bits - 8))

    def _groups(self, sr: NDArray[Any]) -> list[NDArray[Any]]:
        """Planes of one size as views, (C, H, W) each; without transparency."""
        sizes = self._format.plane_sizes(*self._sr_size)
        sizes = sizes[:-1] if self._format.alpha else sizes
        groups, start = [], 0
        while sizes:
            count = sum(size == sizes[0] for size in sizes)
            rows, columns = sizes[0]
            stop = start + count * rows * columns
            groups.append(sr[start:stop].reshape(count, rows, columns))
            sizes, start = sizes[count:], stop
        return groups

    def _to_device(self, planes: NDArray[Any]) -> Tensor:
        """(1, C, h, w) float32."""
        own = np.array(planes, np.uint8 if planes.dtype == np.uint8 else np.float32)  # torch wants it writable
        return torch.from_numpy(own).to(self._device).to(torch.float32)[None]


class _Spread:
    """A field of the LR, (1, C, h, w), at the rows of an SR plane, linearly between its values.

    Args:
        share: values of it for each sample of the plane, down and across.
    """

    def __init__(self, field: Tensor, share: tuple[float, float], plane: Tensor) -> None:
        height, width = plane.shape[-2:]
        self._low, self._high, self._rest = _places(height, share[0], field.shape[-2], field.device)
        low, high, rest = _places(width, share[1], field.shape[-1], field.device)
        self._wide = torch.lerp(field[..., low], field[..., high], rest)

    def rows(self, rows: slice) -> Tensor:
        """(1, C, rows, W)."""
        low, high = self._wide[..., self._low[rows], :], self._wide[..., self._high[rows], :]
        return torch.lerp(low, high, self._rest[rows, None])


def _places(count: int, share: float, cells: int, device: Place) -> tuple[Tensor, Tensor, Tensor]:
    """For each of so many samples: the values around it, and how far it is from the first to the second."""
    places = ((torch.arange(count, device=device) + 0.5) * share - 0.5).clamp(0, cells - 1)
    low = places.floor().long()
    return low, (low + 1).clamp(max=cells - 1), places - low


def _mean_of_rows(
    now: Tensor, others: Sequence[tuple[Tensor, _Spread, _Spread]], scale: tuple[float, float], rows: slice
) -> Tensor:
    """(1, C, rows, W): some rows of a plane, and of the earlier ones what lay there.

    Args:
        scale: samples of the plane for each LR pixel, down and across.
    """
    height, width = now.shape[-2:]
    band = now[..., rows, :]
    total, count = torch.zeros_like(band), torch.ones_like(band[:, :1])
    grid = torch.empty((1, *band.shape[-2:], 2), device=now.device)
    x = (torch.arange(width, device=now.device) + 0.5) * (2 / width) - 1
    y = (torch.arange(rows.start, rows.stop, device=now.device)[:, None] + 0.5) * (2 / height) - 1
    for plane, flow, weights in others:
        weight = weights.rows(rows)
        if not bool(weight.any()):
            continue
        step = flow.rows(rows)[0]
        torch.add(x, step[0], alpha=2 * scale[1] / width, out=grid[0, :, :, 0])
        torch.add(y, step[1], alpha=2 * scale[0] / height, out=grid[0, :, :, 1])
        there = F.grid_sample(plane, grid, mode="bicubic", padding_mode="border", align_corners=False)
        total.addcmul_(there.sub_(band), weight)
        count.add_(weight)
    return total.div_(count).add_(band)


def _steepness(luma: Tensor) -> Tensor:
    across, down = slopes(luma)
    return _around(across.abs() + down.abs())


def _likely(difference: Tensor, edges: Tensor) -> Tensor:
    """0 to 1: whether a difference, in code values, is noise, or what a small error of the motion does to edges."""
    noise = difference[..., ::STEP, ::STEP].median().clamp(LEAST_NOISE, MOST_NOISE)
    return (2 - difference / (NOISES * noise + SLACK * edges)).clamp(0, 1)


def _around(values: Tensor) -> Tensor:
    """Their mean in and around squares of `STEP` pixels."""
    squares = F.avg_pool2d(values, STEP, ceil_mode=True)
    return F.avg_pool2d(squares, 3, 1, 1, count_include_pad=False)
