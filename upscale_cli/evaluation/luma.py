"""Luma of clips' frames in one meaning for both sides of a comparison, and LR frames made of HR."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from upscale_cli.evaluation.ffmpeg_metrics import DEPTHS
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.yuv import (
    LUMA_WEIGHTS,
    USUAL_MATRIX,
    Grid,
    Resampler,
    chroma_grid,
    luma_levels,
    pixel_grid,
    planes_in,
    store,
    to_rgb,
)

_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Look:
    """What a clip's samples are, as far as luma goes.

    Attributes:
        format, width, height: of its frames.
        tags: complete ones.
    """

    format: PixelFormat
    width: int
    height: int
    tags: ColourTags

    @property
    def matrix(self) -> str:
        """RGB has none; then it is that of HD video."""
        known = self.tags.matrix in LUMA_WEIGHTS
        return str(self.tags.matrix) if known and self.format.model == "yuv" else USUAL_MATRIX

    @property
    def range(self) -> str:
        """RGB is measured as video is."""
        return "tv" if self.format.model == "rgb" else str(self.tags.range)


def common_bits(*looks: Look) -> int:
    """Of a luma sample, for all of them: as many as the deepest has, and no more than ffmpeg's filters take."""
    most = max(look.format.bits for look in looks)
    return min((bits for bits in DEPTHS if bits >= most), default=max(DEPTHS))


class LumaOf:
    """Frames of one look to (height, width) luma in the meaning of another, rounded once.

    Args:
        like: whose matrix and range count.
        bits: of `common_bits`.
    """

    def __init__(self, look: Look, like: Look, bits: int) -> None:
        self._look, self._bits = look, bits
        self._target = luma_levels(bits, "pc" if like.range == "pc" else "tv")
        self._source = luma_levels(look.format.bits, "pc" if look.range == "pc" else "tv")
        same_colours = look.format.model == "gray" or (look.format.model == "yuv" and look.matrix == like.matrix)
        self._is_same = same_colours and look.range == like.range and look.format.bits == bits
        self._weights = None if same_colours else LUMA_WEIGHTS[like.matrix]
        self._resampler: Resampler | None = None
        if self._weights is not None and look.format.subsampled:
            grid = chroma_grid(look.format, look.height, look.width, look.tags.chroma_location)
            self._resampler = Resampler(grid, pixel_grid(look.height, look.width), "bicubic", _CPU)

    def __call__(self, samples: NDArray[Any]) -> NDArray[Any]:
        """uint8, or uint16 of more bits."""
        look = self._look
        if self._is_same:
            return samples[: look.height * look.width].reshape(look.height, look.width)
        planes = planes_in(_integers(samples), look.format, look.width, look.height)
        values = self._source.values(planes[0]) if self._weights is None else self._by_colours(planes)
        codes = self._target.codes(values).round_().clamp_(0, (1 << self._bits) - 1)
        return codes.numpy().astype(np.uint8 if self._bits == 8 else np.uint16)

    def _by_colours(self, planes: list[Tensor]) -> Tensor:
        """Luma 0 to 1 of another matrix than the one the planes have."""
        assert self._weights is not None
        if self._resampler is not None:
            planes = [planes[0], *self._resampler(torch.stack(planes[1:3]))]
        rgb = to_rgb(self._look.format, self._look.tags).rgb(torch.stack([plane.float() for plane in planes[:3]]))
        red, blue = self._weights
        return red * rgb[0] + (1 - red - blue) * rgb[1] + blue * rgb[2]


class FrameShrinker:
    """HR frames to LR of a whole scale, plane by plane: antialiased bicubic (a = -0.5), chroma keeps its siting.

    HR is cropped at its right and bottom end to a multiple of the scale, and of what chroma needs.

    Attributes:
        width, height: of what is left of HR.
        lr: what LR frames are.
    """

    def __init__(self, look: Look, scale: int) -> None:
        self._look, self._scale = look, scale
        format = look.format
        self.width = look.width - look.width % (scale << format.shift_x)
        self.height = look.height - look.height % (scale << format.shift_y)
        self.lr = Look(format, self.width // scale, self.height // scale, look.tags)
        hr = Look(format, self.width, self.height, look.tags)
        sizes = format.plane_sizes(self.width, self.height)
        grids = [(self._grid(hr, size), self._grid(self.lr, (size[0] // scale, size[1] // scale))) for size in sizes]
        self._planes = [(size, Resampler(*pair, "bicubic", _CPU)) for size, pair in zip(sizes, grids, strict=True)]

    def _grid(self, look: Look, size: tuple[int, int]) -> Grid:
        if size == (look.height, look.width):
            return pixel_grid(look.height, look.width)
        return chroma_grid(look.format, look.height, look.width, look.tags.chroma_location)

    def __call__(self, samples: NDArray[Any]) -> NDArray[Any]:
        """LR samples, flat, as `PixelFormat.plane_sizes` says."""
        planes = planes_in(_integers(samples), self._look.format, self._look.width, self._look.height)
        shrunk = []
        for plane, ((height, width), resampler) in zip(planes, self._planes, strict=True):
            lr = resampler(plane[None, :height, :width])[0]
            out = torch.empty(lr.shape, dtype=torch.int32)
            store(lr, out, self._look.format.white)
            shrunk.append(out.reshape(-1))
        return torch.cat(shrunk).numpy().astype(self._look.format.dtype)


def _integers(samples: NDArray[Any]) -> Tensor:
    return torch.from_numpy(samples.astype(np.int32))
