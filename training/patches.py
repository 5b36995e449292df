"""Training pictures -> pairs of LR and HR patches, all in memory as bytes."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from training.files import picture_files
from upscale_cli.evaluation.metrics import Plane, bicubic, crop_to_multiple, full_luma, to_8_bit

MakeLR = Callable[[Plane, int], Plane]
"""HR luma in whole 8-bit levels, sides multiples of the scale, to LR luma in whole 8-bit levels."""


def clean(hr: Plane, scale: int) -> Plane:
    """The field's own LR: MATLAB's antialiased bicubic, rounded."""
    return to_8_bit(bicubic(hr, 1 / scale))


@dataclass(frozen=True, slots=True)
class Batch:
    """Values ready for the net.

    Attributes:
        lr: (N, 1, P, P) float32 luma in [0, 1]; 0 outside the picture.
        inside: (N, 1, P, P) float32; 1 where the picture is, 0 beyond its border.
        hr: (N, scale ** 2, P - 2 halo, P - 2 halo) float32 in [0, 1]: the middle's HR pixels, folded as the net
            gives them before its sub-pixel layer.
    """

    lr: Tensor
    inside: Tensor
    hr: Tensor


@dataclass(frozen=True, slots=True)
class Patches:
    """Every training picture cut into squares; together their middles cover each picture once, borders included.

    A patch at a border reaches `halo` pixels beyond it, and `inside` says where. So the net learns what it will
    meet at a picture's border (its own zero padding) as often as a picture has border, and nowhere else.

    Attributes:
        lr: (N, P, P) uint8, 0 outside the picture.
        inside: (N, P, P) bool.
        hr: (N, scale * (P - 2 halo), the same) uint8.
        scale: HR pixels per LR pixel.
    """

    lr: Tensor
    inside: Tensor
    hr: Tensor
    scale: int

    def __len__(self) -> int:
        return len(self.lr)

    def batches(self, patches: int, generator: torch.Generator) -> Iterator[Batch]:
        """Without end; each round in a new order, each batch turned or mirrored in one of the eight ways."""
        if len(self) < patches:
            raise ValueError(f"{len(self)} patches cannot fill a batch of {patches}: give more or larger pictures")
        while True:
            order = torch.randperm(len(self), generator=generator)
            for start in range(0, len(self) - patches + 1, patches):
                way = int(torch.randint(8, (), generator=generator))
                yield self.batch(order[start : start + patches], way)

    def batches_after(self, steps: int, patches: int, seed: int) -> Iterator[Batch]:
        """Without end, as `batches`; what comes after so many steps depends on nothing but the seed, so that a training
        can be interrupted and taken up again."""
        if len(self) < patches:
            raise ValueError(f"{len(self)} patches cannot fill a batch of {patches}: give more or larger pictures")
        for round_ in itertools.count(steps // (len(self) // patches)):
            generator = torch.Generator().manual_seed(seed * 1_000_003 + round_)
            whole = len(self) // patches * patches
            chosen = torch.randperm(len(self), generator=generator)[:whole].view(-1, patches)
            ways = torch.randint(8, (len(chosen),), generator=generator).tolist()
            first = steps % len(chosen) if round_ == steps // len(chosen) else 0
            for numbers, way in zip(chosen[first:], ways[first:], strict=True):
                yield self.batch(numbers, way)

    def some(self, patches: int) -> Batch:
        """So many of them, or all, from all pictures; the same ones each time."""
        return self.batch(torch.arange(0, len(self), max(1, len(self) // patches)), 0)

    def batch(self, numbers: Tensor, way: int) -> Batch:
        """These patches, turned or mirrored in one of the eight ways."""
        lr, inside, hr = (_turned(planes[numbers], way)[:, None] for planes in (self.lr, self.inside, self.hr))
        return Batch(
            lr=lr.float().div_(255),
            inside=inside.float(),
            hr=F.pixel_unshuffle(hr.float().div_(255), self.scale),
        )


def read_lumas(folder: Path) -> Iterator[Plane]:
    """Full-range luma (0..255, not rounded) of every picture under a folder, in the order of their paths."""
    for path in picture_files(folder):
        with Image.open(path) as picture:
            yield full_luma(np.asarray(picture.convert("RGB")))


def cut_patches(
    lumas: Iterable[Plane], scale: int, shrinks: Sequence[float], middle: int, halo: int, make_lr: MakeLR = clean
) -> Patches:
    """LR and HR patches of pictures, each picture at several sizes.

    Args:
        lumas: (height, width) in 0..255.
        scale: HR pixels per LR pixel.
        shrinks: sizes each picture is used at; below 1 it is shrunk first, which makes finer detail and cleans
            JPEG artefacts.
        middle: side in LR pixels of what a patch is trained on.
        halo: LR pixels of context around it.
        make_lr: what makes LR of HR.

    Raises:
        ValueError: no picture is large enough for a single patch.
    """
    lr_patches: list[NDArray[Any]] = []
    inside_patches: list[NDArray[Any]] = []
    hr_patches: list[NDArray[Any]] = []
    side = middle + 2 * halo
    for luma, share in itertools.product(lumas, shrinks):
        hr = crop_to_multiple(to_8_bit(luma if share == 1 else bicubic(luma, share)), scale)
        if min(hr.shape) < scale * middle:
            continue
        lr = make_lr(hr, scale)
        padded, inside = np.pad(lr, halo), np.pad(np.ones(lr.shape, dtype=bool), halo)
        for top, left in itertools.product(*(_starts(length, middle) for length in lr.shape)):
            lr_patches.append(padded[top : top + side, left : left + side].astype(np.uint8))
            inside_patches.append(inside[top : top + side, left : left + side])
            hr_patches.append(
                hr[scale * top : scale * (top + middle), scale * left : scale * (left + middle)].astype(np.uint8)
            )
    if not lr_patches:
        raise ValueError(f"no picture has the {scale * middle} pixels per side that a patch for x{scale} needs")
    lr_tensor, inside_tensor, hr_tensor = (
        torch.from_numpy(np.stack(patches)) for patches in (lr_patches, inside_patches, hr_patches)
    )
    return Patches(lr=lr_tensor, inside=inside_tensor, hr=hr_tensor, scale=scale)


def flat_corners(patches: int, middle: int, halo: int, scale: int, generator: torch.Generator) -> Batch:
    """Corners of pictures of one level each, from black to white, these two the most often.

    In photographs they are so rare, and so small a part of a patch, that a net hardly learns them; on a page of text
    a corner that is off is seen at once.

    Args:
        patches: how many, all of one of the four corners.
        middle, halo: as of `cut_patches`; of the middle two sides lie at the picture's border.
    """
    levels = torch.rand(patches, generator=generator).mul_(1.2).sub_(0.1).clamp_(0, 1)[:, None, None]
    side = middle + 2 * halo
    inside = torch.zeros(patches, side, side)
    inside[:, halo:, halo:] = 1
    inside = _turned(inside, int(torch.randint(4, (), generator=generator)))
    return Batch(
        lr=(inside * levels)[:, None],
        inside=inside[:, None],
        hr=levels[:, None].expand(patches, scale**2, middle, middle),
    )


def _starts(length: int, middle: int) -> list[int]:
    """Where squares that cover one axis begin; the last is moved back to end on the border."""
    return sorted({*range(0, length - middle + 1, middle), length - middle})


def _turned(planes: Tensor, way: int) -> Tensor:
    """(N, H, H) in one of the eight ways a square can lie."""
    if way & 4:
        planes = planes.transpose(1, 2)
    return planes.flip([axis for axis, bit in ((1, 1), (2, 2)) if way & bit])
