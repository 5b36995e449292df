"""What takes longer, or becomes larger, than anybody is likely to mean: begun only where that is said."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from upscale_cli.errors import OutputError
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.rows import RowReader
from upscale_cli.inference.sizing import Plan
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.messages import option
from upscale_cli.text import duration

LONG_SECONDS: Final = 8 * 3600
"""A picture that is expected to take longer is asked about."""

LARGE_PIXELS: Final = 20 * 10**9
"""So is one of more SR pixels, all frames together."""

WORTH_TIMING_PIXELS: Final = 100 * 10**6
"""SR pixels below which the pace is not measured for it."""

DTYPES: Final = {8: np.uint8, 16: np.uint16, 32: np.float32}
"""By bits a channel."""


def check_pixels(name: str, plan: Plan, frames: int, *, yes: bool) -> None:
    """Refuses a picture that is larger than anybody is likely to mean, unless the user has said yes.

    Args:
        name: of the source.
        frames: that are made.

    Raises:
        OutputError: the size is above the bound.
    """
    pixels = plan.width * plan.height * frames
    if not yes and pixels > LARGE_PIXELS:
        raise OutputError(
            f"{name}: {plan.width} x {plan.height} pixels are {pixels / 1e9:,.0f} gigapixels, "
            f"more than {LARGE_PIXELS / 1e9:.0f}. {_remedy()}"
        )


def check_time(
    name: str, info: PhotoInfo, plan: Plan, upscaler: Upscaler, frames: int, *, encoding: float = 0.0, yes: bool
) -> None:
    """Refuses a picture that would keep the machine busy for very long, unless the user has said yes.

    Args:
        name: of the source.
        frames: that are made.
        encoding: seconds that each is expected to take when it is computed.

    Raises:
        OutputError: the expected time is above the bound.
    """
    if yes or plan.width * plan.height * frames < WORTH_TIMING_PIXELS:
        return
    seconds = (upscaler.expected_seconds(like(info), plan) + encoding) * frames
    if seconds > LONG_SECONDS:
        raise OutputError(
            f"{name}: {plan.width} x {plan.height} pixels are expected to take {duration(seconds)} on this "
            f"{upscaler.device.type.upper()}, more than {duration(LONG_SECONDS)}. {_remedy()}"
        )


def _remedy() -> str:
    return f"Give {option('yes', True)} to begin all the same, or choose a smaller {option('scale')}."


def like(info: PhotoInfo) -> RowReader:
    """A picture of that size and kind, of which no pixel is known."""

    def begin(_: int) -> Iterator[Pixels]:
        return iter(())

    return RowReader(info.height, info.width, info.layout, np.dtype(DTYPES[info.bits]), "display", begin)
