"""What becomes of a header in a format that has no place for it: pixels are put where it says, the rest is named."""

from dataclasses import replace
from typing import Final

import numpy as np

from upscale_cli.events import Say
from upscale_cli.frames.image import Frame
from upscale_cli.media.image.formats import Format
from upscale_cli.media.image.header import Header, Window
from upscale_cli.media.image.metadata import Metadata
from upscale_cli.media.image.shades import Shades

MOST_NAMED: Final = 8
"""Fields that are named one by one."""

_DENSITIES: Final = ("Printing density", "Logarithmic")


def without_header(frame: Frame, metadata: Metadata, row: Format, say: Say) -> tuple[Frame, Metadata]:
    """The picture as it is to be seen, and metadata without the header.

    Args:
        say: gets what is lost by that.
    """
    header = metadata.header
    assert header is not None
    if header.window is not None and not header.window.is_whole:
        say(f"{row.name} stores the picture as it is seen: what lies beyond it is cut, what is missing is empty")
        frame = _seen(frame, header.window)
    if frame.transfer == "linear" and not row.light and 32 in row.depths and row.name != "JPEG XL":
        say(f"{row.name} does not say that values are proportional to light; they stay so")
    if header.shades is not None:
        say(_told(header.shades, row))
        frame = header.shades.shown(frame) if frame.layout == "L" else frame
    else:
        _tell_fields(header, row, say)
    return frame, replace(metadata, header=None)


def _told(shades: Shades, row: Format) -> str:
    """What becomes of medical values, and of all that is said of them."""
    left_out = "what is said of patient, place and scale is left out"
    if shades.centre is None or shades.width is None:
        return f"{row.name} gets shades of gray from the least to the greatest value; {left_out}"
    return f"{row.name} gets shades of gray, by the window {shades.centre:g} / {shades.width:g}; {left_out}"


def _tell_fields(header: Header, row: Format, say: Say) -> None:
    fields = {name: value for name, _, value in header.fields}
    if fields.get("dpx:Transfer") in _DENSITIES:
        say(f"{row.name} does not say that values are film densities ({fields['dpx:Transfer']}); they stay so")
    names = [name for name in header.worth_telling if name != "dpx:Transfer"]
    if names:
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        say(
            f"{row.name} has no place for {', '.join(names[:MOST_NAMED])}{more} of the {header.format} header: left out"
        )


def _seen(frame: Frame, window: Window) -> Frame:
    """The picture to be seen, of the stored pixels: cut, and filled up with 0 (transparent, where there is alpha)."""
    pixels = np.zeros((window.full_height, window.full_width, frame.pixels.shape[2]), frame.pixels.dtype)
    left, top = window.x - window.full_x, window.y - window.full_y
    across = slice(max(left, 0), min(left + frame.width, window.full_width))
    down = slice(max(top, 0), min(top + frame.height, window.full_height))
    if across.start < across.stop and down.start < down.stop:
        pixels[down, across] = frame.pixels[
            down.start - top : down.stop - top, across.start - left : across.stop - left
        ]
    return replace(frame, pixels=pixels)
