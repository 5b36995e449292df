"""A picture, or the first frame of a clip, small enough to be shown in passing."""

import io
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upscale_cli.compare.browser_image import as_shown
from upscale_cli.errors import InputError
from upscale_cli.events import unreported
from upscale_cli.jobs.inputs import Input
from upscale_cli.media.image.codecs.pillow_writer import pillow_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIDE: Final = 512
"""Pixels of the longer side, at most."""

_QUALITY: Final = 85
"""Of JPEG."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A small picture, coded.

    Attributes:
        mime: "image/jpeg", or "image/png" of one that is transparent.
        data: the file; it holds no metadata but a colour profile.
        width, height: in pixels.
    """

    mime: str
    data: bytes
    width: int
    height: int


def thumbnail(path: Path, side: int = SIDE) -> Thumbnail:
    """
    Args:
        path: a picture or a clip; of several pages or frames, the first is shown.
        side: pixels of the longer side; a smaller picture stays as it is.

    Raises:
        InputError: it cannot be read, or is larger than what a browser shows.
    """
    from PIL import Image

    if Input(str(path)).is_clip:
        image, profile = Image.fromarray(_first_frame(path, side)), None
    else:
        _, frame, profile = as_shown(path, unreported)
        image = pillow_image(frame)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if image.mode in ("LA", "RGBA"):
        image.save(buffer, format="PNG", icc_profile=profile)
        return Thumbnail("image/png", buffer.getvalue(), *image.size)
    image.save(buffer, format="JPEG", quality=_QUALITY, icc_profile=profile)
    return Thumbnail("image/jpeg", buffer.getvalue(), *image.size)


def _first_frame(path: Path, side: int) -> "NDArray[np.uint8]":
    """(height, width, 3), shrunk."""
    from upscale_cli.events import ignore
    from upscale_cli.inference.sizing import Target
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.video_facts import ClipOptions
    from upscale_cli.jobs.video_frames import sr_frames
    from upscale_cli.media.video.probe import probe

    clip, options = probe(path), ClipOptions()
    stream = clip.stream(clip.main)
    longer = min(side, max(stream.width, stream.height))
    with closing(sr_frames(clip, Upscaler("bicubic"), Target(long_side=longer), options, ignore)) as frames:
        for frame in frames:
            return frame.to_rgb()
    raise InputError(f"{path}: has no frame to show. Check it with a player.")
