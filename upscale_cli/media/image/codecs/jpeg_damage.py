"""JPEG decoded so that damage in its coded data is heard of: libjpeg warns, fills the rest with gray and goes on.

Pillow keeps these warnings to itself. OpenImageIO hands the first one on, and its pixels are the same, for both decode
by libjpeg-turbo. What OpenImageIO would convert (inks) is decoded by Pillow, and once more for the warnings.

Source: libjpeg's jdhuff.c and jerror.h (JWRN_HIT_MARKER and its neighbours).
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.frames.pixels import empty_upright
from upscale_cli.media.image.source import Source
from upscale_cli.messages import option

_BAND: Final = 256
_HARMLESS: Final = ("extraneous bytes",)
"""Warnings about files that decode to what they should: some cameras fill up the end of a scan."""


def refuse_damage(source: Source, wrong: str) -> None:
    """
    Args:
        wrong: what is wrong with the data; "" for nothing.

    Raises:
        InputError: something is.
    """
    if wrong:
        raise InputError(
            f"{source.name}: its data are damaged ({wrong}), and a part of the picture would be gray. "
            f"{option('salvage', True)} takes what decodes."
        )


def decoded(
    file: BinaryIO, height: int, width: int, channels: int, orientation: int
) -> tuple[NDArray[np.uint8], str] | None:
    """A JPEG in gray or R'G'B', and what is wrong with its data ("" for nothing); None where it comes as another
    picture than that.

    Args:
        file: begins with the JPEG.
        height, width: as stored.
        orientation: EXIF's, which is undone.

    Returns:
        (H, W, channels) uint8, upright; whole where nothing is wrong.
    """
    with _path_of(file) as path, _opened(path) as picture:
        spec = picture.spec() if picture is not None else None
        if spec is None or (spec.height, spec.width, spec.nchannels) != (height, width, channels):
            return None
        if str(spec.format) != "uint8":
            return None
        upright, stored = empty_upright(height, width, channels, np.uint8, orientation)
        for top in range(0, height, _BAND):
            bottom = min(top + _BAND, height)
            band = picture.read_scanlines(0, 0, top, bottom, 0, 0, channels, "uint8")
            wrong = _in_words(picture.geterror()) if picture.has_error else ""
            if wrong:
                return upright, wrong
            if band is None:  # without a word, or with a harmless one
                return None
            stored[top:bottom] = band.reshape(bottom - top, width, channels)
        return upright, _in_words(picture.geterror())


def warning_of(file: BinaryIO) -> str:
    """The first warning that counts while all of a JPEG is decoded; "" for none."""
    with _path_of(file) as path, _opened(path) as picture:
        if picture is None:
            return ""
        spec = picture.spec()
        for top in range(0, spec.height, _BAND):
            picture.read_scanlines(0, 0, top, min(top + _BAND, spec.height), 0, 0, spec.nchannels, "uint8")
            wrong = _in_words(picture.geterror()) if picture.has_error else ""
            if wrong:
                return wrong
        return _in_words(picture.geterror())


@contextmanager
def _path_of(file: BinaryIO) -> Iterator[Path]:
    """Where a JPEG lies under a name that OpenImageIO takes for one: it reads files only."""
    name = getattr(file, "name", None)
    if isinstance(name, str | Path) and name_is_plain(Path(name)):
        yield Path(name)
        return
    with tempfile.TemporaryDirectory(prefix="upscale-") as folder:
        path = Path(folder) / "picture.jpg"
        file.seek(0)
        path.write_bytes(file.read())
        yield path


def name_is_plain(path: Path) -> bool:
    """Whether OpenImageIO finds a JPEG under that name: it goes by the extension, and by UTF-8."""
    return path.suffix.lower() in (".jpg", ".jpeg") and str(path).isprintable() and path.is_file()


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """OpenImageIO's reader; None for what it cannot open, which is reported elsewhere."""
    import OpenImageIO

    picture = OpenImageIO.ImageInput.open(str(path))
    if picture is None:
        OpenImageIO.geterror()  # or it is printed when Python ends
        yield None
        return
    try:
        yield picture
    finally:
        picture.close()


def _in_words(found: str) -> str:
    if not found or any(words in found for words in _HARMLESS):
        return ""
    reason = found.splitlines()[0].removeprefix("JPEG error: ").removeprefix("Corrupt JPEG data: ")
    return " ".join(reason.split(' ("')[0].split())
