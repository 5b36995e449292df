"""What `finish` does, by torch, to a frame that is on its device as a whole."""

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.inference.device import Device
from upscale_cli.inference.finish import KERNEL, REACH, Finish, cells, gaussian
from upscale_cli.inference.yuv import Grid, Resampler, pixel_grid


class FrameFinish:
    """Finishes frames of one size.

    Args:
        wrap: the picture continues on its opposite side.
    """

    def __init__(self, finish: Finish, device: Device, *, wrap: bool) -> None:
        self._finish, self._device, self._wrap = finish, device, wrap
        self._resamplers: dict[tuple[Grid, Grid], Resampler] = {}
        self._weights: dict[tuple[int, int], Tensor] = {}
        self._taps = torch.from_numpy(gaussian()).to(device)

    def __call__(self, lr: Tensor, sr: Tensor, *, is_colour: bool) -> Tensor:
        """(1, C, H, W), made of (1, C, h, w), finished; both float32 in [0, 1] and a little beyond.

        Args:
            is_colour: transparency keeps its low frequencies.
        """
        finish = self._finish
        if not finish.is_any:
            return sr
        large = pixel_grid(*sr.shape[-2:])
        if finish.match_colour and is_colour:
            coarse = pixel_grid(*(cells(side) for side in lr.shape[-2:]))
            lack = self._to(lr[0], pixel_grid(*lr.shape[-2:]), coarse) - self._to(sr[0], large, coarse)
            sr = sr + self._to(self._low(lack), coarse, large)[None]
        if finish.mixes:
            enlarged = self._to(lr[0], pixel_grid(*lr.shape[-2:]), large)[None]
            sr = enlarged + (sr - enlarged) * self._weight(*sr.shape[-2:])
        return sr

    def _to(self, planes: Tensor, source: Grid, target: Grid) -> Tensor:
        if (source, target) not in self._resamplers:
            self._resamplers[source, target] = Resampler(source, target, KERNEL, self._device, wrap=self._wrap)
        return self._resamplers[source, target](planes)

    def _low(self, planes: Tensor) -> Tensor:
        """(C, h, w) under a Gaussian; beyond the borders there is nothing, or the opposite side."""
        for axis in (1, 2):
            planes = self._along(planes.movedim(axis, -1)).movedim(-1, axis)
        return planes

    def _along(self, planes: Tensor) -> Tensor:
        """The same along the last axis."""
        length = planes.shape[-1]
        places = torch.arange(-REACH, length + REACH, device=planes.device)
        inside = ((places >= 0) & (places < length)).to(planes.dtype)
        around = planes.index_select(-1, places % length)
        if self._wrap:
            inside = torch.ones_like(inside)
        around = around * inside
        flat = around.reshape(-1, 1, around.shape[-1])
        kernel = self._taps[None, None]
        share = F.conv1d(inside[None, None], kernel)
        return (F.conv1d(flat, kernel) / share).reshape(*planes.shape[:-1], length)

    def _weight(self, height: int, width: int) -> Tensor | float:
        """How much the net's result counts, everywhere or pixel by pixel."""
        if self._finish.mask is None:
            return self._finish.blend
        if (height, width) not in self._weights:
            mask = self._finish.mask.sized(height, width, wrap=self._wrap).whole()[:, :, 0].clip(0, 1)
            self._weights[height, width] = torch.from_numpy(mask).to(self._device) * self._finish.blend
        return self._weights[height, width]
