"""Which of our pixel formats is nearest to one of ffmpeg's many."""

import math
from typing import Literal

import av

from upscale_cli.frames.pixel_format import FORMATS, PixelFormat


def nearest_format(name: str) -> tuple[PixelFormat, bool]:
    """The entry of `pixel_format.FORMATS` that frames of any of ffmpeg's pixel formats are converted to.

    Returns:
        The format, and whether anything changes beyond the layout of the same code values: other depths
        and rarer chroma subsamplings are resampled, palettes are looked up.

    >>> nearest_format("nv12")[0].name, nearest_format("nv12")[1], nearest_format("rgb48le")[0].name
    ('yuv420p', False, 'gbrp16le')
    """
    if row := FORMATS.get(name):
        return row, False
    try:
        given = av.VideoFormat(name, 64, 64)
        components = given.components
    except ValueError:  # hardware surfaces, and names of another version
        components = ()
    if not components:
        return FORMATS["yuv420p"], True
    depth = max(component.bits for component in components)
    bits = next((bits for bits in (8, 10, 12) if depth <= bits), 16)
    alpha = any(component.is_alpha for component in components) or given.has_palette
    plain = min(component.bits for component in components) == depth == bits
    if given.is_rgb or given.has_palette or given.is_bayer or name.startswith("xyz"):
        exact = plain and not (given.has_palette or given.is_bayer or name.startswith("xyz"))
        return _row("rgb", bits, 0, 0, alpha), not exact
    if len(components) - alpha == 1:
        return (_row("yuv", bits, 0, 0, alpha), True) if alpha else (_row("gray", bits, 0, 0, False), not plain)
    shift_x, shift_y = _shift(given.chroma_width()), _shift(given.chroma_height())
    row = _nearest_subsampling(bits, min(shift_x, 1), min(shift_y, 1), alpha)
    return row, not (plain and (row.shift_x, row.shift_y) == (shift_x, shift_y))


def _row(model: Literal["gray", "yuv", "rgb"], bits: int, shift_x: int, shift_y: int, alpha: bool) -> PixelFormat:
    wanted = (model, bits, shift_x, shift_y, alpha)
    rows = FORMATS.values()
    return next(row for row in rows if (row.model, row.bits, row.shift_x, row.shift_y, row.alpha) == wanted)


def _nearest_subsampling(bits: int, shift_x: int, shift_y: int, alpha: bool) -> PixelFormat:
    """The YUV row that loses no chroma: subsampled as wanted, else less."""
    for x, y in ((shift_x, shift_y), (shift_x, 0), (0, 0)):
        try:
            return _row("yuv", bits, x, y, alpha)
        except StopIteration:
            continue
    raise AssertionError("every depth has 4:4:4")


def _shift(side: int) -> int:
    return round(math.log2(64 / side))
