"""Patches of a picture's features, each replaced by the one of a reference that is most like it.

Zhang et al., "Image Super-Resolution by Neural Texture Transfer", CVPR 2019, https://arxiv.org/abs/1903.00834, section
3.1. Likeness is looked for where the features are coarsest; what is swapped there, is swapped in the finer ones too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH: Final = 3

AT_A_TIME: Final = 2**25
"""Products of patches that are held at once: 128 MB."""

NEVER_ZERO: Final = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Swapped:
    """What a picture gets from a reference.

    Attributes:
        maps: features, each (1, C, h * 2^level, w * 2^level), the coarsest first.
        likeness: (h - 2, w - 2): of each patch to the one in its place, -1 to 1.
        index: (h - 2, w - 2) int64: that patch of the reference, counted row by row.
    """

    maps: Sequence[Tensor]
    likeness: Tensor
    index: Tensor


def swapped(content: Tensor, blurred: Tensor, sharp: Sequence[Tensor]) -> Swapped:
    """The nearest patches of a reference.

    Args:
        content: (1, C, h, w), features of the enlarged LR picture, the coarsest.
        blurred: (1, C, h', w'), those of the reference, as coarse as the picture.
        sharp: those of the reference itself, each twice as fine as the one before.

    Raises:
        ValueError: one of the two is smaller than a patch.
    """
    height, width = (side - PATCH + 1 for side in content.shape[-2:])
    if min(height, width, *(side - PATCH + 1 for side in blurred.shape[-2:])) < 1:
        raise ValueError(f"features of {tuple(content.shape[-2:])} and {tuple(blurred.shape[-2:])} hold no patch")
    ours, theirs = F.unfold(content, PATCH)[0], F.unfold(blurred, PATCH)[0]  # (C * 9, patches)
    theirs = theirs / (theirs.norm(dim=0, keepdim=True) + NEVER_ZERO)
    ours = ours / (ours.norm(dim=0, keepdim=True) + NEVER_ZERO)
    likeness, index = _nearest(ours, theirs)
    maps = [
        _pasted(features, index, 2**level, (content.shape[-2] << level, content.shape[-1] << level))
        for level, features in enumerate(sharp)
    ]
    return Swapped(maps, likeness.reshape(height, width), index.reshape(height, width))


def _nearest(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """The largest product of each of our columns with theirs, and which it is: the first, where there are several."""
    some = max(1, AT_A_TIME // theirs.shape[1])
    found = [(theirs.T @ part).max(dim=0) for part in torch.split(ours, some, dim=1)]
    return torch.cat([one.values for one in found]), torch.cat([one.indices for one in found])


def _pasted(features: Tensor, index: Tensor, fine: int, size: tuple[int, int]) -> Tensor:
    """Patches of finer features, where the coarse ones were; the mean where they overlap."""
    patches = F.unfold(features, PATCH * fine, stride=fine)[:, :, index]
    total = F.fold(patches, size, PATCH * fine, stride=fine)
    count = F.fold(torch.ones_like(patches[:, : (PATCH * fine) ** 2]), size, PATCH * fine, stride=fine)
    return total / count
