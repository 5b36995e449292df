"""World files: six numbers in a text beside a picture, which say where on a map its pixels lie.

x = A * column + B * row + C,  y = D * column + E * row + F,  of the centre of a pixel; in the file A, D, B, E, C, F.

Source: ESRI, "World files for raster datasets"; the names are those that GDAL looks for (GDALReadWorldFile).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from upscale_cli.errors import OutputError
from upscale_cli.events import Say
from upscale_cli.files.atomic_file import OutputFile
from upscale_cli.files.names import is_file
from upscale_cli.media.image.source import calm_pillow

World = tuple[float, float, float, float, float, float]
"""A, D, B, E, C, F: units of the map for a pixel, and the centre of the first pixel."""

ANY_PICTURE: Final = ".wld"
"""The ending that world files of every format may have."""

LARGEST_BYTES: Final = 4096
"""What is longer is no world file."""


def endings(picture: Path) -> Iterator[str]:
    """Those that the world file of a picture may have, the usual one first.

    >>> list(endings(Path("map.jpeg")))
    ['.jgw', '.jpegw', '.wld']
    """
    ending = picture.suffix.lower().removeprefix(".")
    if len(ending) > 1:
        yield from dict.fromkeys((f".{ending[0]}{ending[-1]}w", f".{ending}w"))
    yield ANY_PICTURE


def world_file_of(picture: Path) -> Path | None:
    """The world file that lies beside a picture; None where there is none."""
    for ending in endings(picture):
        for spelt in (ending, ending.upper()):
            path = picture.with_suffix(spelt)
            if is_file(path):
                return path
    return None


def world_in(text: str) -> World | None:
    """The six numbers of a world file; None where it holds anything else. Some programs write decimal commas."""
    try:
        numbers = [float(word.replace(",", ".")) for word in text.split()]
    except ValueError:
        return None
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        return None
    return (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5])


def scaled(world: World, old: tuple[int, int], new: tuple[int, int]) -> World:
    """The same corners for a picture of other sides, (width, height) in pixels.

    >>> scaled((10, 0, 0, -10, 500005, 5000005), (300, 200), (600, 400))
    (5.0, 0.0, 0.0, -5.0, 500002.5, 5000007.5)
    """
    a, d, b, e, x, y = world
    across, down = old[0] / new[0], old[1] / new[1]
    right, below = (across - 1) / 2, (down - 1) / 2  # of the first centre, in old pixels
    return (a * across, d * across, b * down, e * down, x + a * right + b * below, y + d * right + e * below)


def carry_world_file(
    source: Path, output: Path, old: tuple[int, int], new: tuple[int, int], *, overwrite: bool, say: Say
) -> None:
    """Writes the output's world file where the source has one; says why, where that cannot be.

    Args:
        old, new: (width, height) of source and output in pixels.
        overwrite: replace one that is there.
    """
    found = world_file_of(source)
    if found is None:
        return
    ending = ANY_PICTURE if found.suffix.lower() == ANY_PICTURE else next(endings(output))
    place = output.with_suffix(ending)
    try:
        if (why := _why_not(found, source)) is not None:
            say(f"{found}: left out: {why}.")
            return
        world = world_in(found.read_bytes()[: LARGEST_BYTES + 1].decode("ascii", errors="replace"))
        if world is None:
            say(f"{found}: left out: it does not hold the six numbers of a world file.")
            return
        text = "".join(f"{number!r}\n" for number in scaled(world, old, new))
        with OutputFile(place, overwrite=overwrite) as file:
            file.write(text.encode("ascii"))
    except OSError as error:
        say(f"{found}: left out: it cannot be read ({error.strerror}).")
    except OutputError as error:
        say(f"{found}: left out: {error.message}")


def _why_not(found: Path, source: Path) -> str | None:
    """What stands against the numbers of a world file; None where nothing does."""
    from PIL import Image

    from upscale_cli.media.image.exif import ORIENTATION

    if found.stat().st_size > LARGEST_BYTES:
        return "it is too long for a world file"
    try:
        with calm_pillow(), Image.open(source) as image:
            is_turned = image.getexif().get(ORIENTATION, 1) not in (0, 1)
    except (OSError, ValueError, SyntaxError):  # of a format that is not Pillow's
        return None
    return "its numbers are of the picture as it is stored, which is turned" if is_turned else None
