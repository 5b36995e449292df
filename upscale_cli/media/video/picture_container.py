"""Where a clip goes that becomes pictures: an animation, or a picture for each frame. Pure."""

from pathlib import PurePath
from typing import Final

from upscale_cli.errors import OutputError
from upscale_cli.media.image.formats import FORMATS, Format, format_of, is_picture_ending
from upscale_cli.media.video.container import Container
from upscale_cli.media.video.numbered import numbered

ANIMATIONS: Final = ("GIF", "WebP", "PNG")
"""Formats of animations that are written frame by frame, so that none has to be held as a whole."""


def picture_container(place: str | PurePath) -> Container | None:
    """What a clip becomes at a place; None where that is no picture's name.

    Raises:
        OutputError: a picture's name that holds one picture only.
    """
    path = PurePath(place)
    if not is_picture_ending(path.suffix.lower()):
        return None  # of a clip that is called %03d.mp4, too
    row = format_of(path)
    if numbered(path) is not None:
        return _container(row, "sequence", f"pictures ({row.name})")
    if row.name not in ANIMATIONS:
        raise OutputError(
            f"{place}: a clip has more frames than {row.name} holds as written here. For a picture each, name them "
            f"{path.stem}_%06d{path.suffix}; for an animation, choose .gif, .webp or .apng."
        )
    return _container(row, "animation", "APNG" if row.name == "PNG" else row.name)


def _container(row: Format, frames: str, name: str) -> Container:
    return Container(
        name=name, muxer="", extensions=row.extensions, video=(), audio_codecs=(), audio="", chapters=False,
        frames="sequence" if frames == "sequence" else "animation", picture=row.name,
    )  # fmt: skip


def format_in(container: Container) -> Format:
    """The format of the pictures that a clip becomes."""
    return FORMATS[container.picture]
