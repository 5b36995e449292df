"""The pixel formats that frames travel in: one frozen row per format. Pure.

Every row was seen to pass NUT in both directions, byte for byte (`tests/test_video_frames.py`). Others NUT knows by no
tag of their own and reads back as something else (yuv440p10le, p010le), so nothing outside the table crosses a pipe.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

ColourModel = Literal["gray", "yuv", "rgb"]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A planar pixel format.

    Attributes:
        name: ffmpeg's.
        model: "gray" (Y), "yuv" (Y, U, V) or "rgb" (planes in ffmpeg's order G, B, R).
        bits: 8, 10, 12 or 16 per sample; 10 and 12 in the low bits of little-endian 16-bit words.
        shift_x, shift_y: log2 of how many luma samples share a chroma sample, across and down.
        alpha: a last plane of transparency, full size and full range.
    """

    name: str
    model: ColourModel
    bits: int = 8
    shift_x: int = 0
    shift_y: int = 0
    alpha: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8) if self.bits == 8 else np.dtype("<u2")

    @property
    def white(self) -> int:
        """The greatest code value."""
        return (1 << self.bits) - 1

    @property
    def subsampled(self) -> bool:
        return bool(self.shift_x or self.shift_y)

    def plane_sizes(self, width: int, height: int) -> list[tuple[int, int]]:
        """(height, width) of each plane of a frame, in the order they are stored.

        >>> FORMATS["yuv420p"].plane_sizes(5, 3)
        [(3, 5), (2, 3), (2, 3)]
        """
        full = (height, width)
        chroma = (-(-height // (1 << self.shift_y)), -(-width // (1 << self.shift_x)))
        colour = {"gray": [full], "yuv": [full, chroma, chroma], "rgb": [full] * 3}[self.model]
        return [*colour, full] if self.alpha else colour

    def frame_samples(self, width: int, height: int) -> int:
        """Samples of all planes of a frame."""
        return sum(rows * columns for rows, columns in self.plane_sizes(width, height))

    def frame_bytes(self, width: int, height: int) -> int:
        """Bytes of a frame on a pipe: the planes one after the other, without padding."""
        return self.frame_samples(width, height) * self.dtype.itemsize


def _rows() -> Sequence[PixelFormat]:
    rows = []
    for bits, suffix in ((8, ""), (10, "10le"), (12, "12le"), (16, "16le")):
        rows.append(PixelFormat(f"gray{suffix}", "gray", bits))
        for name, shift_x, shift_y in (("420", 1, 1), ("422", 1, 0), ("444", 0, 0)):
            rows.append(PixelFormat(f"yuv{name}p{suffix}", "yuv", bits, shift_x, shift_y))
            if not (bits == 12 and name == "420"):  # ffmpeg has no yuva420p12le
                rows.append(PixelFormat(f"yuva{name}p{suffix}", "yuv", bits, shift_x, shift_y, alpha=True))
        rows.append(PixelFormat(f"gbrp{suffix}", "rgb", bits))
        rows.append(PixelFormat(f"gbrap{suffix}", "rgb", bits, alpha=True))
    rows.append(PixelFormat("yuv440p", "yuv", 8, 0, 1))
    return rows


FORMATS: Final[dict[str, PixelFormat]] = {row.name: row for row in _rows()}
"""Every pixel format that crosses a pipe, by name."""


def opaque(format: PixelFormat) -> PixelFormat:
    """The same without transparency.

    >>> opaque(FORMATS["yuva422p10le"]).name, opaque(FORMATS["gbrap"]).name
    ('yuv422p10le', 'gbrp')
    """
    name = format.name.replace("yuva", "yuv").replace("gbrap", "gbrp") if format.alpha else format.name
    return FORMATS[name]
