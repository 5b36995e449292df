"""Pictures that Python users hold: PIL images and arrays, as frames and back."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from upscale_cli.frames.image import Frame, Layout

LAYOUTS: Final[dict[int, Layout]] = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
"""What an array with that many channels holds."""


def to_frame(image: Any) -> tuple[Frame, Callable[[Frame], Any]]:
    """A picture as a frame, and the function that makes the same kind of picture of a frame.

    Args:
        image: a PIL image of any mode (palettes become RGB or RGBA, 1-bit becomes gray), or an array of shape
            (H, W) or (H, W, 1 to 4), uint8, uint16, float32 or float64 (0..1).

    Raises:
        TypeError: neither; or an array of another dtype.
        ValueError: an array of another shape, or empty.
    """
    if isinstance(image, np.ndarray):
        return _from_array(image)
    from PIL import Image

    if isinstance(image, Image.Image):
        return _from_pil(image)
    raise TypeError(f"expected a PIL image or a numpy array, not {type(image).__name__}")


def _from_array(array: Any) -> tuple[Frame, Callable[[Frame], Any]]:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or channels not in LAYOUTS or array.size == 0:
        raise ValueError(f"expected shape (H, W) or (H, W, 1 to 4), not {array.shape}")
    if array.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise TypeError(f"expected uint8, uint16, float32 or float64, not {array.dtype}")
    pixels = array.astype(np.float32) if array.dtype == np.float64 else array
    frame = Frame(np.ascontiguousarray(pixels.reshape(*array.shape[:2], channels)), LAYOUTS[channels])

    def back(sr: Frame) -> Any:
        ours = not np.shares_memory(sr.pixels, array)  # at scale 1 a kernel gives back what it got
        out = sr.pixels.astype(array.dtype, copy=not ours)
        return out[:, :, 0] if array.ndim == 2 else out

    return frame, back


def _from_pil(image: Any) -> tuple[Frame, Callable[[Frame], Any]]:
    from PIL import Image

    from upscale_cli.media.image.codecs.pillow_reader import pixels_of, plan

    image.load()
    if image.mode == "I":  # what Pillow makes of 16-bit PGM and of some PNG
        low, high = image.getextrema()
        if low < 0 or high > 65_535:
            raise ValueError(f"values {low} to {high} of a mode I image are not 16 bits; scale them to 0..65535")
        image = Image.fromarray(np.asarray(image).astype(np.uint16))
    layout, dtype, convert = plan(image, animated=False)
    frame = Frame(pixels_of(image, len(layout), dtype, convert), layout)

    def back(sr: Frame) -> Any:
        if dtype == np.uint8:
            pixels = sr.pixels ^ np.array([0, 128, 128], np.uint8) if layout == "LAB" else sr.pixels  # signed in Pillow
            out = Image.frombytes(sr.layout, (sr.width, sr.height), pixels.tobytes())
        else:
            out = Image.fromarray(sr.pixels[:, :, 0])  # I;16 or F: Pillow has no deeper mode with more channels
        out.info = {key: image.info[key] for key in ("icc_profile", "dpi", "exif") if key in image.info}
        return out

    return frame, back
