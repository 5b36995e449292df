"""In what a frame's values differ from those of the frame before. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.tiling import Span

if TYPE_CHECKING:  # pictures come this way too, and do without torch
    from torch import Tensor

GLANCE_ROWS: Final = 16
"""One row in so many is compared before all are: where windows differ, they mostly do there."""

Extent = tuple[int, int]
"""The first pixel along an axis, and the one after the last."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs.

    Attributes:
        cells: (rows, columns): which windows.
        y, x: where all pixels lie that differ; all rows and columns where every window does.
    """

    cells: NDArray[np.bool_]
    y: Extent = (0, 0)
    x: Extent = (0, 0)


def changes(before: "Tensor", lr: "Tensor", rows: Sequence[Span], columns: Sequence[Span]) -> Changes:
    """Compares two pictures, (1, C, h, w) float32 or uint8 on the host, bit for bit (0.0 is not -0.0).

    Args:
        rows, columns: of the windows, all of which lie within the pictures.
    """
    one, other = (_values(picture) for picture in (before, lr))
    glance = _cells(_pixels(one[:, ::GLANCE_ROWS], other[:, ::GLANCE_ROWS]), rows, columns, GLANCE_ROWS)
    if glance.all():
        return Changes(glance, (0, one.shape[1]), (0, one.shape[2]))
    pixels = _pixels(one, other)
    found = np.flatnonzero(pixels.any(axis=1))
    if not len(found):
        return Changes(np.zeros_like(glance))
    y = int(found[0]), int(found[-1]) + 1
    found = np.flatnonzero(pixels[slice(*y)].any(axis=0))
    return Changes(_cells(pixels, rows, columns, 1), y, (int(found[0]), int(found[-1]) + 1))


def differences(before: "Tensor", lr: "Tensor", rows: Sequence[Span], columns: Sequence[Span]) -> NDArray[np.bool_]:
    """(rows, columns): which windows do not have the same values in both; see `changes`."""
    return changes(before, lr, rows, columns).cells


def _pixels(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.bool_]:
    """(C, h, w) to (h, w): which pixels differ."""
    values = one != other
    return np.asarray(values[0] if len(values) == 1 else values.any(axis=0))


def _cells(pixels: NDArray[np.bool_], rows: Sequence[Span], columns: Sequence[Span], step: int) -> NDArray[np.bool_]:
    """The windows in which a pixel differs, of one row in so many."""
    bands = np.stack(
        [pixels[-(-span.window_start // step) : -(-span.window_stop // step)].any(axis=0) for span in rows]
    )
    return np.stack([bands[:, span.window_start : span.window_stop].any(axis=1) for span in columns], axis=1)


def _values(picture: "Tensor") -> NDArray[Any]:
    """(C, h, w) whose integers are equal where the values' bits are."""
    values: NDArray[Any] = picture[0].numpy()
    return values.view(np.int32) if values.dtype == np.float32 else values
