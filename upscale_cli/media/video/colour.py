"""What an untagged clip's colours are taken for. Pure.

The rules are those by which players guess (mpv's, video/csputils.c and mp_image.c), and they hang on the size of the
picture. So the output gets the guess written out: an SD clip that grows over the threshold would change its colours.
"""

from typing import Final

from upscale_cli.frames.colour_tags import ColourTags, Range
from upscale_cli.frames.pixel_format import PixelFormat

_HD_WIDTH: Final = 1280
_SD_HEIGHT: Final = 576

_PLAIN: Final = frozenset({"bt709", "bt470bg", "smpte170m", "iec61966-2-1", "gbr"})
"""Of matrices, primaries and transfer functions: those that every player shows alike, but for the matrix."""


def complete(tags: ColourTags, width: int, height: int, format: PixelFormat) -> tuple[ColourTags, str | None]:
    """Tags with nothing missing, and one line that says what was guessed.

    Args:
        tags: as the clip has them.
        width, height: of the picture as stored in the clip, not of the upscaled one.
        format: of its frames.

    Returns:
        The tags; chroma location stays None where chroma is not subsampled. The line is None where nothing was guessed.

    >>> from upscale_cli.frames.pixel_format import FORMATS
    >>> complete(ColourTags(range="tv", chroma_location="left"), 720, 576, FORMATS["yuv420p"])[0].matrix
    'bt470bg'
    """
    matrix = "gbr" if format.model == "rgb" else tags.matrix or _matrix(tags.primaries, width, height)
    primaries = tags.primaries or _primaries(matrix, width, height)
    limits = tags.range or _range(format)
    location = tags.chroma_location or ("left" if limits == "tv" else "center")
    completed = ColourTags(
        matrix=matrix,
        primaries=primaries,
        transfer=tags.transfer or _transfer(format, primaries),
        range=limits,
        chroma_location=location if format.model == "yuv" and format.subsampled else None,
    )
    return completed, _line(tags, completed)


def is_usual(tags: ColourTags, width: int, height: int) -> bool:
    """Whether everybody takes the colours for what `complete` does, so that the guess needs no word.

    So it is where nothing that is there speaks of other colours than those of plain video (BT.601, BT.709, sRGB), and
    the size leaves no doubt: some players tell SD from HD by the width, some by the height, so those between differ.

    >>> is_usual(ColourTags(), 1920, 1080), is_usual(ColourTags(), 1280, 544), is_usual(ColourTags(), 640, 360)
    (True, False, True)
    >>> is_usual(ColourTags(primaries="bt2020"), 1920, 1080)
    False
    """
    given = {tags.matrix, tags.primaries, tags.transfer} - {None}
    is_clear = tags.matrix is not None or (width >= _HD_WIDTH) == (height > _SD_HEIGHT)
    return is_clear and given <= _PLAIN


def _matrix(primaries: str | None, width: int, height: int) -> str:
    if primaries == "bt2020":
        return "bt2020nc"
    if width >= _HD_WIDTH or height > _SD_HEIGHT:
        return "bt709"
    return "bt470bg" if height == _SD_HEIGHT else "smpte170m"


def _primaries(matrix: str, width: int, height: int) -> str:
    if matrix in ("bt2020nc", "bt2020c", "ictcp"):
        return "bt2020"
    if matrix in ("gbr", "bt709") or width >= _HD_WIDTH:
        return "bt709"
    return {_SD_HEIGHT: "bt470bg", 480: "smpte170m", 486: "smpte170m"}.get(height, "bt709")


def _transfer(format: PixelFormat, primaries: str) -> str:
    """RGB is a computer's picture; everything else has the camera curve, which BT.601, 709 and 2020 share."""
    if format.model == "rgb" and primaries == "bt709":
        return "iec61966-2-1"
    return "bt709"


def _range(format: PixelFormat) -> Range:
    """RGB and plain gray use all code values, as ffmpeg's decoders and scaler take them; video does not."""
    return "tv" if format.model == "yuv" else "pc"


def _line(given: ColourTags, completed: ColourTags) -> str | None:
    """What was guessed of what a player would have had to guess as well."""
    asked = {"matrix": given.matrix, "primaries": given.primaries, "transfer": given.transfer, "range": given.range}
    guessed = [f"{what} {getattr(completed, what)}" for what, tag in asked.items() if tag is None]
    return f"colours are not fully tagged; guessed as players do: {', '.join(guessed)}" if guessed else None
