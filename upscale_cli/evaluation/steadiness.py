"""How steady SR frames of a clip are: what neighbours differ by along the motion of the LR, beside bicubic.

    LR now, LR before  ->  motion there and back  ->  where both agree: |SR now - SR before, moved|, its mean

A net that sees one frame at a time answers two nearly equal frames differently, and what moves or stands shimmers. The
measure is the warping error of Lai et al. (ECCV 2018, https://arxiv.org/abs/1808.00449), with the motion of the LR, so
that it is the same for all that is made of a clip, and bicubic is held against the same pixels. What is hidden in one
of two neighbours is left out, by motion there and back (Sundaram et al., ECCV 2010). The figure says nothing about
detail: what is blurred is steady. It is to be read beside one that does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from upscale_cli.inference.motion import dense, motion
from upscale_cli.inference.resample import resample

Plane = NDArray[Any]
"""(height, width) luma in 8-bit code values, of any dtype."""

Flow = NDArray[np.float32]
"""(2, height, width): pixels to the right and down to where a pixel lay in the other picture."""

ASTRAY: Final = 0.5
"""LR pixels by which the way there and back may miss its beginning."""

BORDER: Final = 4
"""LR pixels at each side that are not compared."""

LEAST_SEEN: Final = 0.2
"""The part of a pair that has to be comparable; below there was a cut, or no motion was found."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """How much the SR frames of a clip differ from their neighbours.

    Attributes:
        difference: mean absolute difference of SR luma along the motion, 8-bit code values.
        bicubic: the same of LR that bicubic has enlarged; of LR itself where it has the size of the SR.
        seen: the part of all pixels that counts, 0 to 1: neither hidden nor at the border.
        pairs: neighbours that were compared.
        left_out: neighbours that were not, for too little of them could be (`LEAST_SEEN`).
    """

    difference: float
    bicubic: float
    seen: float
    pairs: int
    left_out: int

    @property
    def ratio(self) -> float:
        """To bicubic's difference; 1 where neither differs."""
        return self.difference / self.bicubic if self.bicubic else 1.0 if not self.difference else float("inf")


def own_motion(now: Plane, before: Plane) -> Flow:
    """By `inference.motion`, which `--steady` goes by, too; another judge may be given to `steadiness`."""
    height, width = now.shape
    flow: Flow = dense(motion(_tensor(now), _tensor(before)), height, width)[0].numpy()
    return flow


class SteadinessMeter:
    """Takes the frames of a clip as they come, and has their steadiness at the end; holds the last frame alone.

    Args:
        find_motion: where each pixel of the first picture lay in the second.
    """

    def __init__(self, find_motion: Callable[[Plane, Plane], Flow] = own_motion) -> None:
        self._find_motion = find_motion
        self._last: tuple[Plane, Sequence[Plane]] | None = None
        self._totals = [0.0, 0.0]
        self._count = self._size = self._pairs = self._left_out = 0

    def add(self, lr: Plane, sr: Plane) -> None:
        """The next frame, in the order in which they are shown; all are of one size."""
        pictures = sr, _enlarged(lr, sr.shape)
        if self._last is not None:
            self._compare(lr, pictures, *self._last)
        self._last = lr, pictures

    @property
    def has_pairs(self) -> bool:
        """Whether any two neighbours could be compared so far."""
        return self._count > 0

    def result(self) -> Steadiness:
        """Of all frames so far.

        Raises:
            ValueError: no two neighbours can be compared.
        """
        if not self._count:
            raise ValueError("no two neighbouring frames of it can be compared")
        difference, bicubic = (total / self._count for total in self._totals)
        return Steadiness(difference, bicubic, self._count / self._size, self._pairs, self._left_out)

    def _compare(self, lr: Plane, now: Sequence[Plane], lr_before: Plane, before: Sequence[Plane]) -> None:
        flow = self._find_motion(lr, lr_before)
        mask = comparable(flow, self._find_motion(lr_before, lr))
        if mask.mean() < LEAST_SEEN:
            self._left_out += 1
            return
        at = _mask_at(mask, now[0].shape)
        for place, (one, other) in enumerate(zip(now, before, strict=True)):
            difference = np.abs(one.astype(np.float32) - moved(other, flow))[at]
            self._totals[place] += float(difference.sum(dtype=np.float64))
        self._pairs, self._count, self._size = self._pairs + 1, self._count + int(at.sum()), self._size + at.size


def steadiness(
    frames: Iterable[tuple[Plane, Plane]], find_motion: Callable[[Plane, Plane], Flow] = own_motion
) -> Steadiness:
    """The steadiness of a clip; see `SteadinessMeter`.

    Args:
        frames: LR and SR luma.

    Raises:
        ValueError: no two neighbours can be compared.
    """
    meter = SteadinessMeter(find_motion)
    for lr, sr in frames:
        meter.add(lr, sr)
    return meter.result()


def comparable(there: Flow, back: Flow) -> NDArray[np.bool_]:
    """(h, w): where the way to the picture before and back again ends where it began, inside of both."""
    _, height, width = there.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    way = there + np.stack([moved(side, there) for side in back])
    inside = (x + there[0] >= 0) & (x + there[0] <= width - 1) & (y + there[1] >= 0) & (y + there[1] <= height - 1)
    mask: NDArray[np.bool_] = inside & (np.hypot(*way) <= ASTRAY)
    border = min(BORDER, (min(height, width) - 1) // 2)
    inner = np.zeros_like(mask)
    inner[border : height - border, border : width - border] = True
    return mask & inner


def moved(before: Plane, flow: Flow) -> NDArray[np.float32]:
    """A picture as it would be now, by cubic interpolation; a flow of a smaller size is enlarged with its values."""
    height, width = before.shape
    field = torch.from_numpy(np.ascontiguousarray(flow))[None]
    scale = torch.tensor([width / flow.shape[2], height / flow.shape[1]])[None, :, None, None]
    field = F.interpolate(field, size=(height, width), mode="bilinear", align_corners=False) * scale
    x = 2 * (torch.arange(width) + field[:, 0] + 0.5) / width - 1
    y = 2 * (torch.arange(height)[:, None] + field[:, 1] + 0.5) / height - 1
    grid = torch.stack((x, y), dim=-1)
    there = F.grid_sample(_tensor(before), grid, mode="bicubic", padding_mode="border", align_corners=False)
    result: NDArray[np.float32] = there[0, 0].numpy()
    return result


def _tensor(plane: Plane) -> torch.Tensor:
    """(1, 1, h, w) float32, its own."""
    return torch.from_numpy(np.array(plane, np.float32))[None, None]


def _enlarged(lr: Plane, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """By bicubic, to that size."""
    out = np.empty((*shape, 1), np.float32)
    resample(np.asarray(lr, np.float32)[:, :, None], out, "bicubic")
    return out[:, :, 0]


def _mask_at(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A mask of the LR at SR pixels, each by the LR pixel that it lies in."""
    rows, columns = ((np.arange(length) * source // length) for length, source in zip(shape, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]
