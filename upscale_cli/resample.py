"""Interpolation of whole pictures to an exact size, by Pillow's filters in float32."""

from typing import Final

import numpy as np
import torch
from PIL import Image

from upscale_cli.color import to_depth
from upscale_cli.media.frame import Pixels
from upscale_cli.media.pixels import white_of
from upscale_cli.models.registry import Kernel

FILTERS: Final[dict[Kernel, Image.Resampling]] = {
    "bicubic": Image.Resampling.BICUBIC,  # a = -0.5, as in the field's benchmarks
    "lanczos": Image.Resampling.LANCZOS,
}

REACH: Final = 3
"""Source pixels that the wider filter (Lanczos-3) looks at on each side when it enlarges."""


def resample(pixels: Pixels, out: Pixels, kernel: Kernel, *, wrap: bool = False) -> None:
    """Resamples to exactly the size of `out`, antialiased where it shrinks.

    One channel at a time in float32 (Pillow's "F"), so that nothing is rounded between the two directions and no
    more than one channel is ever held as float.

    Args:
        pixels: (H, W, C) uint8, uint16 or float32.
        out: (height, width, C) of any depth, a view will do; white stays white, integers are rounded and clipped.
        wrap: the picture continues on its opposite side (tileable textures).
    """
    source_height, source_width, channels = pixels.shape
    height, width = out.shape[:2]
    reach_x = REACH * max(1, -(-source_width // width)) if wrap else 0
    reach_y = REACH * max(1, -(-source_height // height)) if wrap else 0
    box = (reach_x, reach_y, reach_x + source_width, reach_y + source_height)
    for channel in range(channels):
        plane = pixels[:, :, channel].astype(np.float32)
        plane /= white_of(pixels)
        if wrap:
            plane = np.pad(plane, ((reach_y, reach_y), (reach_x, reach_x)), mode="wrap")
        resized = Image.fromarray(plane).resize((width, height), FILTERS[kernel], box=box)
        out[:, :, channel] = to_depth(torch.from_numpy(np.array(resized)), out.dtype).numpy()
