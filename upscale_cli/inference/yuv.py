"""What the samples of a video frame mean: code values, colour matrices, where chroma lies; resampling that knows it.

Pure. Planes are (..., height, width) tensors of code values; nothing here rounds but `store`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.frames.colour_tags import ColourTags, Range
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.models.registry import Kernel

# Code values and colours

LUMA_WEIGHTS: Final[dict[str, tuple[float, float]]] = {
    "bt709": (0.2126, 0.0722),
    "fcc": (0.30, 0.11),
    "bt470bg": (0.299, 0.114),
    "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087),
    "bt2020nc": (0.2627, 0.0593),
    "bt2020c": (0.2627, 0.0593),  # constant luminance would need the curve undone; as nc it is as invertible
}
"""KR and KB, the parts of red and blue in luma, by ffmpeg's names of the matrices.

Rec. ITU-T H.273 (https://www.itu.int/rec/T-REC-H.273), Table 4, MatrixCoefficients.
"""

USUAL_MATRIX: Final = "bt709"
"""What a matrix outside of `LUMA_WEIGHTS` (YCgCo, ICtCp) is computed as: there and back, so that grey stays grey."""


Place = torch.device | str
"""Where a tensor is."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The code values of one kind of plane: `zero + span * value`."""

    zero: float
    span: float

    def values(self, codes: Tensor) -> Tensor:
        """Integer codes to float32; what lies below black or above white stays there."""
        return codes.to(torch.float32).sub_(self.zero).div_(self.span)

    def beyond(self, codes: Tensor) -> Tensor | None:  # noqa: ARG002  # for all codes
        """What of integer codes does not go through `values`, float32; None: nothing."""
        return None

    def codes(self, values: Tensor) -> Tensor:
        """Values to codes, not rounded yet; in place."""
        return values.mul_(self.span).add_(self.zero)


def luma_levels(bits: int, range: Range | None) -> Levels:
    """Of Y and of R'G'B', whose values are 0 for black and 1 for white."""
    if range == "pc":
        return full_levels(bits)
    return Levels(16 << (bits - 8), 219 << (bits - 8))


def full_levels(bits: int) -> Levels:
    """Of alpha, and of all that uses all codes."""
    return Levels(0, (1 << bits) - 1)


def chroma_levels(bits: int, range: Range | None) -> Levels:
    """Of Cb and Cr, whose values are -0.5 to 0.5 and 0 for grey."""
    return Levels(1 << (bits - 1), (1 << bits) - 1 if range == "pc" else 224 << (bits - 8))


@dataclass(frozen=True, slots=True)
class ToRGB:
    """The affine map from the three colour planes of a format to R'G'B': `matrix @ codes + offset`.

    Attributes:
        matrix: (3, 3) float64, from planes in the format's order (Y, U, V or G, B, R).
        offset: (3,) float64.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]

    def rgb(self, codes: Tensor) -> Tensor:
        """(3, h, w) float32 code values to R'G'B' in [0, 1].

        Nothing is clipped: sub-black, super-white and YUV outside of the RGB cube lie beyond 0 and 1.
        """
        return _affine(codes, self.matrix, self.offset)

    def codes(self, rgb: Tensor) -> Tensor:
        """The inverse of `rgb`, not rounded."""
        inverse = _inverse(self.matrix)
        return _affine(rgb, inverse, -inverse @ self.offset)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.linalg.inv(matrix), np.float64)


def _affine(planes: Tensor, matrix: NDArray[np.float64], offset: NDArray[np.float64]) -> Tensor:
    """Plane by plane and not as a product of matrices, which a user's TF32 setting would make coarse."""
    rows = []
    for weights, constant in zip(matrix.tolist(), offset.tolist(), strict=True):
        row = planes[0] * weights[0]
        rows.append(row.add_(planes[1], alpha=weights[1]).add_(planes[2], alpha=weights[2]).add_(constant))
    return torch.stack(rows)


def to_rgb(format: PixelFormat, tags: ColourTags) -> ToRGB:
    """How the planes of that format become R'G'B'; for "yuv" and "rgb"."""
    luma = luma_levels(format.bits, tags.range)
    if format.model == "rgb":
        planes = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], np.float64)  # R, G, B of planes G, B, R
        levels = (luma, luma, luma)
    else:
        kr, kb = LUMA_WEIGHTS.get(tags.matrix or USUAL_MATRIX, LUMA_WEIGHTS[USUAL_MATRIX])
        planes = _inverse(_ycbcr_of_rgb(kr, kb))
        chroma = chroma_levels(format.bits, tags.range)
        levels = (luma, chroma, chroma)
    matrix = planes / np.array([level.span for level in levels])
    return ToRGB(matrix, -matrix @ np.array([level.zero for level in levels]))


def _ycbcr_of_rgb(kr: float, kb: float) -> NDArray[np.float64]:
    """Y = KR R + KG G + KB B, Cb = (B - Y) / (2 - 2 KB), Cr = (R - Y) / (2 - 2 KR)."""
    luma = np.array([kr, 1 - kr - kb, kb])
    red, _, blue = np.eye(3)
    return np.stack((luma, (blue - luma) / (2 - 2 * kb), (red - luma) / (2 - 2 * kr)))


# Where samples lie


@dataclass(frozen=True, slots=True)
class Axis:
    """Where the samples of a plane lie along one side of the picture: sample i at (i + phase) / density of it.

    Attributes:
        count: how many samples there are.
        density: samples per side of the picture; half of an odd number for the chroma of an odd side.
        phase: 0.5 for luma, whose samples stand in the middle of their pixels.
    """

    count: int
    density: float
    phase: float = 0.5


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the samples of a plane lie, down and across."""

    y: Axis
    x: Axis

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.count, self.x.count


def pixel_grid(height: int, width: int) -> Grid:
    """Of a plane with a sample for each pixel."""
    return Grid(Axis(height, height), Axis(width, width))


SITING: Final[dict[str, tuple[float, float]]] = {
    "left": (0.5, 0.0),
    "center": (0.5, 0.5),
    "topleft": (0.0, 0.0),
    "top": (0.0, 0.5),
    "bottomleft": (1.0, 0.0),
    "bottom": (1.0, 0.5),
}
"""Where the first chroma sample of a 4:2:0 picture lies: luma samples below and right of the first luma sample.

Chroma420SampleLocType of H.273, by ffmpeg's names.
"""

USUAL_SITING: Final = "left"
"""Of MPEG-2 and all that came after it, where nothing is tagged."""


def chroma_grid(format: PixelFormat, height: int, width: int, siting: str | None) -> Grid:
    """Of U and V in a picture of that many pixels. A direction that is not subsampled is as luma's."""
    down, across = SITING.get(siting or USUAL_SITING, SITING[USUAL_SITING])
    return Grid(_chroma_axis(height, format.shift_y, down), _chroma_axis(width, format.shift_x, across))


def _chroma_axis(pixels: int, shift: int, first: float) -> Axis:
    """Sample i lies at luma sample `first + i * 2 ** shift`, which is that plus a half of the side, in pixels."""
    if not shift:
        return Axis(pixels, pixels)
    step = 1 << shift
    return Axis(-(-pixels // step), pixels / step, (first + 0.5) / step)


# Resampling


def bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution with a = -0.5 (IEEE Trans. ASSP 29, 1981)."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x**2 + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


def lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lanczos-3: sinc windowed by a sinc three times as wide."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0.0)


FILTERS: Final[dict[Kernel, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], int]]] = {
    "bicubic": (bicubic, 2),
    "lanczos": (lanczos, 3),
}
"""Each kernel and its reach, in samples of the coarser side."""

BLOCK: Final = 32
"""Samples that are computed together from one run of source samples.

A product with a whole matrix would be mostly zeros, and tap by tap every plane would pass through memory four times;
blocks of 32 were the fastest on a CPU: 0.4 ms for the chroma of 540p to 1080p, against 2.9 and 2.1 ms (4 threads).
"""


class _Line:
    """Resamples along one axis, in blocks of `block` samples, each from a run of `taps` source samples.

    Attributes:
        index: (blocks * taps,) int64, source samples; beyond the border the last one repeats, or the picture wraps.
        weights: (blocks, taps, block) float32, which add up to 1 over the taps.
    """

    def __init__(self, source: Axis, target: Axis, kernel: Kernel, device: Place, *, wrap: bool) -> None:
        filter_, reach = FILTERS[kernel]
        step = source.density / target.density  # source samples from one target sample to the next
        stretch = max(1.0, step)  # antialiased: where it shrinks, the kernel spans samples of the target
        block = min(BLOCK, target.count)
        blocks = -(-target.count // block)
        centre = ((np.arange(blocks * block) + target.phase) * step - source.phase).reshape(blocks, block)
        first = np.floor(centre[:, :1] - reach * stretch).astype(np.int64) + 1
        self.taps = math.ceil((block - 1) * step + 2 * reach * stretch) + 1
        position = first + np.arange(self.taps)  # (blocks, taps)
        index = position % source.count if wrap else position.clip(0, source.count - 1)
        weights = filter_((position[:, :, None] - centre[:, None, :]) / stretch)
        weights /= weights.sum(axis=1, keepdims=True)
        self.count, self.blocks = target.count, blocks
        self.shrinks = target.count < source.count
        self.index = torch.from_numpy(index.ravel()).to(device)
        self.weights = torch.from_numpy(weights.astype(np.float32)).to(device)

    def down(self, planes: Tensor) -> Tensor:
        """(n, h, w) to (n, count, w)."""
        count, _, width = planes.shape
        source = planes.index_select(-2, self.index).view(count, self.blocks, self.taps, width)
        return torch.matmul(self.weights.transpose(1, 2), source).flatten(1, 2)[:, : self.count]

    def across(self, planes: Tensor) -> Tensor:
        """(n, h, w) to (n, h, count)."""
        count, height, _ = planes.shape
        source = planes.index_select(-1, self.index).view(count, height, self.blocks, self.taps)
        blocks = torch.matmul(source.transpose(1, 2), self.weights)  # (n, blocks, h, block)
        return blocks.transpose(1, 2).flatten(2)[:, :, : self.count]


class Resampler:
    """Planes from one grid to another, by a separable kernel, antialiased where it shrinks.

    A direction in which the grids are one and the same is left alone: the samples stay what they are, bit for bit.
    """

    def __init__(self, source: Grid, target: Grid, kernel: Kernel, device: Place, *, wrap: bool = False) -> None:
        def line(source: Axis, target: Axis) -> _Line | None:
            return None if source == target else _Line(source, target, kernel, device, wrap=wrap)

        self._y, self._x = line(source.y, target.y), line(source.x, target.x)

    def __call__(self, planes: Tensor) -> Tensor:
        """(n, h, w) of the source grid to float32 of the target grid; `planes` itself where nothing changes."""
        if self._y is None and self._x is None:
            return planes
        planes = planes.to(torch.float32)
        if self._y and self._y.shrinks:  # what makes the planes smaller goes first
            planes = self._y.down(planes)
        if self._x:
            planes = self._x.across(planes)
        if self._y and not self._y.shrinks:
            planes = self._y.down(planes)
        return planes


# Planes in a buffer


def planes_in(samples: Tensor, format: PixelFormat, width: int, height: int) -> list[Tensor]:
    """The planes of a frame as (h, w) views into its flat samples."""
    planes, start = [], 0
    for rows, columns in format.plane_sizes(width, height):
        planes.append(samples[start : start + rows * columns].view(rows, columns))
        start += rows * columns
    return planes


def store(codes: Tensor, out: Tensor, white: int) -> None:
    """The one place where a plane is rounded (half to even) and clipped.

    Args:
        codes: (h, w) of code values: float, changed in place, or the integers themselves, which may lie there already.
        out: (h', w') integers with h' >= h, w' >= w; rows and columns beyond the plane repeat its last ones.
    """
    height, width = codes.shape
    if codes.data_ptr() != out.data_ptr():
        out[:height, :width] = codes.round_().clamp_(0, white) if codes.is_floating_point() else codes
    out[:height, width:] = out[:height, width - 1 : width]
    out[height:] = out[height - 1 : height]
