"""What the channels of a picture are to an upscaler: colour for the net, transparency, the rest. Pure."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from upscale_cli.frames.image import Layout, Pixels, channels_of
from upscale_cli.frames.pixels import white_of
from upscale_cli.frames.rows import Rows

OPAQUE: Final[dict[Layout, Layout]] = {"LA": "L", "RGBA": "RGB"}
"""Layouts with alpha, and what they are without it."""


@dataclass(frozen=True, slots=True)
class Planes:
    """Channels that go through the upscaler together.

    Attributes:
        channels: which of the frame's.
        kind: "colour": 1 (gray) or 3 (RGB) channels, a picture for the net; "alpha": a matte; "smooth": colour
            differences, which have little detail of their own and are interpolated.
        ink: counts down from white (CMYK) and is turned over for the net, to which 1 is light.
    """

    channels: slice
    kind: Literal["colour", "alpha", "smooth"]
    ink: bool = False


PLANES: Final[dict[Layout, tuple[Planes, ...]]] = {
    "L": (Planes(slice(0, 1), "colour"),),
    "LA": (Planes(slice(0, 1), "colour"), Planes(slice(1, 2), "alpha")),
    "RGB": (Planes(slice(0, 3), "colour"),),
    "RGBA": (Planes(slice(0, 3), "colour"), Planes(slice(3, 4), "alpha")),
    # No profile takes part: the inks stay what the printer meant, and black stays black.
    "CMYK": (Planes(slice(0, 3), "colour", ink=True), Planes(slice(3, 4), "colour", ink=True)),
    "LAB": (Planes(slice(0, 1), "colour"), Planes(slice(1, 3), "smooth")),
}


def planes_of(layout: Layout, extra: int = 0) -> tuple[Planes, ...]:
    """How the channels of a layout are grouped, and those that follow them: each is a gray picture."""
    known = channels_of(layout)
    return PLANES[layout] + tuple(Planes(slice(known + i, known + i + 1), "colour") for i in range(extra))


def inverted(pixels: Pixels) -> Pixels:
    """white - pixels, in the same dtype."""
    return np.asarray(pixels.dtype.type(white_of(pixels)) - pixels)


def is_constant(pixels: Pixels) -> bool:
    """Whether all values are one and the same."""
    return bool(pixels.flat[0] == pixels.flat[-1] and pixels.min() == pixels.max())


class Joined(Rows):
    """The planes of a picture side by side again.

    Args:
        parts: each with its SR rows; in order, and of one dtype.
    """

    def __init__(self, parts: list[tuple[Planes, Rows]]) -> None:
        _, first = parts[0]
        super().__init__(first.height, first.width, sum(rows.channels for _, rows in parts), first.dtype)
        self._parts = parts

    def read(self, start: int, stop: int) -> Pixels:
        out = np.empty((stop - start, self.width, self.channels), self.dtype)
        for planes, rows in self._parts:
            band = rows.read(start, stop)
            out[:, :, planes.channels] = inverted(band) if planes.ink else band
        return out
