"""The value that travels from source to sink: one picture."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Layout = Literal["L", "LA", "RGB", "RGBA", "CMYK", "LAB"]
"""What the channels of a frame are, in order; Pillow's names. Alpha is straight, never premultiplied."""

Transfer = Literal["display", "linear"]
"""How channel values relate to light: by a display-like curve (gamma about 2.2), or in proportion."""

Pixels = NDArray[Any]
"""(height, width, channels); uint8 or uint16 over the full range, or float32 with 1.0 for white."""


def channels_of(layout: Layout) -> int:
    """How many channels a layout has."""
    return 3 if layout == "LAB" else len(layout)


@dataclass(frozen=True, slots=True)
class Frame:
    """One upright picture.

    Attributes:
        pixels: (height, width, channels) uint8, uint16 (0..65535) or float32 (1.0 is white; HDR may exceed it).
        layout: what the channels are. CMYK counts ink (0 is paper); LAB is (L, a + 128, b + 128) in 8 bits,
            (L, 256 a + 32768, 256 b + 32768) in 16.
        transfer: "linear" where the picture's profile says that values are proportional to light.
        duration_ms: how long an animation shows this frame; None for a still.
        extra: how many channels follow those of the layout, each a gray picture of its own: bands of a satellite,
            dyes of a microscope.
        nodata: the value of uint8 or uint16 pixels without a measurement, in any channel but alpha; in float32 these
            are NaN.
    """

    pixels: Pixels
    layout: Layout
    transfer: Transfer = "display"
    duration_ms: float | None = None
    extra: int = 0
    nodata: int | None = None

    def __post_init__(self) -> None:
        channels = channels_of(self.layout) + self.extra
        if self.pixels.ndim != 3 or self.pixels.shape[2] != channels:
            raise ValueError(
                f"a {self.layout} frame with {self.extra} extra has shape (H, W, {channels}), not {self.pixels.shape}"
            )
        if self.pixels.dtype not in (np.uint8, np.uint16, np.float32):
            raise ValueError(f"pixels are uint8, uint16 or float32, not {self.pixels.dtype}")

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    def without_extra(self) -> "Frame":
        """The channels of the layout alone; the same frame where there are no others."""
        if not self.extra:
            return self
        return replace(self, pixels=np.ascontiguousarray(self.pixels[..., : channels_of(self.layout)]), extra=0)

    @property
    def has_alpha(self) -> bool:
        return self.layout in ("LA", "RGBA")
