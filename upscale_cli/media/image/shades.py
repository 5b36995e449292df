"""How stored values of a medical picture become shades of gray: DICOM's modality and VOI transformations. Pure.

Source: DICOM PS3.3, C.11.1 (Modality LUT Module) and C.11.2.1.2.1 (default LINEAR function).
"""

from dataclasses import dataclass

import numpy as np

from upscale_cli.frames.image import Frame, Pixels
from upscale_cli.frames.pixels import by_strips


@dataclass(frozen=True, slots=True)
class Shades:
    """From values of a `Frame` to shades.

    Attributes:
        offset: that is added to stored values to make those of the frame.
        slope, intercept: make stored values the modality's own (Hounsfield units, ...).
        centre, width: of the window, in these; None: the frame's own range.
        is_inverted: the least value is white (MONOCHROME1).
    """

    offset: int = 0
    slope: float = 1.0
    intercept: float = 0.0
    centre: float | None = None
    width: float | None = None
    is_inverted: bool = False

    def shown(self, frame: Frame) -> Frame:
        """The frame with its values as 16-bit shades, of the same layout."""
        low, high = self._ends(frame)

        def convert(strip: Pixels) -> Pixels:
            values = (strip.astype(np.float64) - self.offset) * self.slope + self.intercept
            unit = np.clip((values - low) / (high - low), 0, 1)
            unit = 1 - unit if self.is_inverted else unit
            shade: Pixels = (unit * 65_535 + 0.5).astype(np.uint16)
            return shade

        return Frame(by_strips(convert, frame.pixels), frame.layout, duration_ms=frame.duration_ms)

    def _ends(self, frame: Frame) -> tuple[float, float]:
        """Which values are black and white."""
        if self.centre is not None and self.width is not None and self.width > 1:
            low = self.centre - 0.5 - (self.width - 1) / 2
            return low, low + self.width - 1
        stored = (float(end) - self.offset for end in (frame.pixels.min(), frame.pixels.max()))
        ends = [value * self.slope + self.intercept for value in stored]
        low, high = min(ends), max(ends)
        return low, high if high > low else low + 1
