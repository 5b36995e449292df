"""What degraded a picture, found in it, where the user leaves that to us: an LR picture -> `Degradation`."""

import time
from typing import Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.events import Say
from upscale_cli.frames.image import Frame, Layout, channels_of
from upscale_cli.frames.pixels import white_of
from upscale_cli.frames.rows import RowReader
from upscale_cli.inference.blur_estimate import kernel_of, noise_of
from upscale_cli.inference.blur_kernels import Kernel, axes_of, nothing
from upscale_cli.inference.degradation import Degradation
from upscale_cli.inference.planes import OPAQUE
from upscale_cli.messages import option

LARGEST_SIDE: Final = 1024
"""Pixels of the part of a picture that is looked at: its middle."""

LUMA: Final = (0.299, 0.587, 0.114)


def searched(known: Degradation, lr: Frame | RowReader, scale: float, say: Say) -> Degradation:
    """What is known and what is found in an LR picture.

    Args:
        scale: SR pixels per LR pixel, in all.
        say: takes what was found.
    """
    if not known.is_open:
        return known
    begin = time.perf_counter()
    channels = _middle(lr)
    noise = noise_of(channels) if known.finds_noise or known.search else 0.0
    told = [f"noise of {noise * 255:.1f} levels"] if known.finds_noise else []
    kernel: Kernel | None = None
    if known.search:
        luma = np.tensordot(LUMA, channels, axes=1) if len(channels) == 3 else channels[0]
        if known.search == "kernelgan":
            from upscale_cli.inference.kernelgan import estimated

            kernel = estimated(channels, scale, known.minutes, say)
        else:
            kernel = kernel_of(luma, scale, noise)
        told.insert(0, "no edges that tell its blur: none is assumed" if kernel is None else _described(kernel))
        kernel = nothing() if kernel is None else kernel
    say(f"found in the picture, in {time.perf_counter() - begin:.1f} s: {'; '.join(told)}")
    return known.found(kernel, noise * 255 if known.finds_noise else None)


def _described(kernel: Kernel) -> str:
    return f"a blur like {option('kernel', 'aniso:{:.2f},{:.2f},{:.0f}'.format(*axes_of(kernel)))}"


def _middle(lr: Frame | RowReader) -> NDArray[np.float64]:
    """(1 or 3, H, W) in [0, 1]: the colours of the middle of a picture, a large one not as a whole."""
    top, left = max(0, (lr.height - LARGEST_SIDE) // 2), max(0, (lr.width - LARGEST_SIDE) // 2)
    bottom = min(lr.height, top + LARGEST_SIDE)
    pixels = lr.rows().read(top, bottom) if isinstance(lr, RowReader) else lr.pixels[top:bottom]
    part = pixels[:, left : left + LARGEST_SIDE, : _colours(lr.layout)]
    return np.moveaxis(np.nan_to_num(part.astype(np.float64)) / white_of(part), 2, 0)


def _colours(layout: Layout) -> int:
    return 3 if channels_of(OPAQUE.get(layout, layout)) >= 3 else 1
