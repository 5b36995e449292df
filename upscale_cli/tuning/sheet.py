"""A contact sheet: the same piece of a picture by each model, side by side, with their names."""

from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final, cast

from PIL import Image, ImageDraw, ImageFont

from upscale_cli.files.atomic_file import OutputFile
from upscale_cli.frames.image import Pixels

MARGIN: Final = 12
CAPTION: Final = 34
"""SR pixels around the pieces, and for the line above each."""

BACKGROUND, INK = (24, 24, 24), (235, 235, 235)


def check_sheet(path: Path, *, overwrite: bool) -> None:
    """Refuses a place that could not be written in the end, before anything is computed.

    Raises:
        OutputError: it exists, or its folder does not.
    """
    OutputFile(path, overwrite=overwrite)


def write_sheet(path: Path, pieces: Mapping[str, Pixels], *, overwrite: bool) -> None:
    """Writes it as PNG.

    Args:
        pieces: (H, W, 3) uint8 of one size, by what is written above each.

    Raises:
        OutputError: it cannot be written, or exists.
    """
    height, width = next(iter(pieces.values())).shape[:2]
    sheet = Image.new("RGB", (MARGIN + (width + MARGIN) * len(pieces), height + CAPTION + 2 * MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for number, (caption, pixels) in enumerate(pieces.items()):
        left = MARGIN + number * (width + MARGIN)
        draw.text((left, MARGIN), caption, fill=INK, font=font)
        sheet.paste(Image.fromarray(pixels), (left, MARGIN + CAPTION))
    with OutputFile(path, overwrite=overwrite) as stream:
        sheet.save(cast(IO[bytes], stream), format="PNG")
