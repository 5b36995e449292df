"""A frame's chroma by the engine that its luma goes through, where that takes and gives 8-bit planes."""

import threading
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from upscale_cli.inference.backends.base import Enlarge
from upscale_cli.inference.polyphase import polyphase_kernels
from upscale_cli.inference.whole_frames import WholeFrames
from upscale_cli.inference.yuv import Grid, store
from upscale_cli.models.registry import Kernel


class ChromaByEngine:
    """From one grid to another; for frames of 8 bits.

    Args:
        wrap: the picture continues on its opposite side.
    """

    def __init__(self, source: Grid, target: Grid, kernel: Kernel, *, wrap: bool) -> None:
        self._kernels = None if wrap else polyphase_kernels(source, target, kernel)
        self._size = target.shape
        self._enlarge: Enlarge | None = None
        self._lock = threading.Lock()

    def __call__(self, frames: WholeFrames, place: int, planes: Sequence[Tensor], out: Sequence[Tensor]) -> bool:
        """Writes the enlarged planes, (h, w) uint8 each; gives whether it could."""
        if self._kernels is None or not planes:
            return False
        with self._lock:
            self._enlarge = self._enlarge or frames.enlarging(self._kernels, place)
        if self._enlarge is None:
            return False
        height, width = self._size
        cores = [plane[:height, :width] for plane in out]
        self._enlarge(np.stack([plane.numpy() for plane in planes])[:, None], [core.numpy() for core in cores])
        for core, plane in zip(cores, out, strict=True):
            store(core, plane, np.iinfo(np.uint8).max)
        return True
