"""Pictures of our own for training: pages of text, screens, line art; nobody else's rights are in them.

    python -m training.rendered --out FOLDER [--count 60]

The font is the one that comes with Pillow (Aileron, CC0). The same seed gives the same pictures.
"""

import argparse
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIDE: Final = 512
FINE: Final = 4
"""Line art is drawn that much larger and averaged, so that edges lie anywhere between two pixels."""

Colour = tuple[int, int, int]
Random = np.random.Generator


def _colour(random: Random, least: int = 0, most: int = 255) -> Colour:
    red, green, blue = random.integers(least, most + 1, 3).tolist()
    return red, green, blue


def _words(random: Random, length: int) -> str:
    """Letters in words, with digits and signs among them."""
    letters = string.ascii_lowercase * 4 + string.ascii_uppercase + string.digits + ".,:;-()"
    text = ""
    while len(text) < length:
        text += "".join(random.choice(list(letters), random.integers(1, 10))) + " "
    return text[:length]


def _font(random: Random, least: int, most: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(float(random.integers(least, most + 1)))
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def text_page(random: Random) -> Image.Image:
    """Paragraphs in a few sizes, dark on light or light on dark."""
    is_dark = random.random() < 0.25
    paper, ink = (
        (_colour(random, 0, 60), _colour(random, 160)) if is_dark else (_colour(random, 215), _colour(random, 0, 90))
    )
    page = Image.new("RGB", (SIDE, SIDE), paper)
    draw = ImageDraw.Draw(page)
    top = int(random.integers(4, 20))
    while top < SIDE:
        font = _font(random, 9, 34)
        for _ in range(int(random.integers(1, 6))):
            draw.text((int(random.integers(2, 30)), top), _words(random, 80), fill=ink, font=font)
            top += round(font.size * 1.35)
        top += int(random.integers(4, 20))
    return page


def screen(random: Random) -> Image.Image:
    """Windows, buttons, tables and charts with labels, as interfaces have them: edges lie on pixels."""
    page = Image.new("RGB", (SIDE, SIDE), _colour(random, 190))
    draw = ImageDraw.Draw(page)
    for _ in range(int(random.integers(12, 30))):
        left, top = random.integers(-20, SIDE - 40, 2).tolist()
        width, height = random.integers((20, 12), (260, 160)).tolist()
        box = (left, top, left + width, top + height)
        if random.random() < 0.4:
            draw.rounded_rectangle(box, int(random.integers(2, 12)), fill=_colour(random), outline=_colour(random))
        else:
            draw.rectangle(
                box, fill=_colour(random, 120), outline=_colour(random, 0, 160), width=int(random.integers(1, 3))
            )
        match random.integers(3):
            case 0:
                draw.text(
                    (left + 4, top + 2),
                    _words(random, width // 8),
                    fill=_colour(random, 0, 110),
                    font=_font(random, 9, 18),
                )
            case 1:
                for line in range(top, top + height, int(random.integers(6, 24))):
                    draw.line((left, line, left + width, line), fill=_colour(random, 60, 200))
            case _:
                steps = np.linspace(left, left + width, 16)
                heights = top + random.random(16) * height
                draw.line(list(zip(steps.tolist(), heights.tolist(), strict=True)), fill=_colour(random), width=2)
    return page


def line_art(random: Random) -> Image.Image:
    """Strokes, curves, discs and polygons at any angle; sometimes inked with flat colours, as drawings are."""
    side = SIDE * FINE
    page = Image.new("RGB", (side, side), _colour(random, 150))
    draw = ImageDraw.Draw(page)
    for _ in range(int(random.integers(30, 70))):
        ink, width = _colour(random, 0, 140), int(random.integers(1, 5)) * FINE // 2 + 1
        x, y = random.integers(0, side, 2).tolist()
        match random.integers(4):
            case 0:
                radius = int(random.integers(10, side // 6))
                draw.ellipse(
                    (x - radius, y - radius, x + radius, y + radius), fill=_colour(random), outline=ink, width=width
                )
            case 1:
                points = (random.normal(0, side / 10, (int(random.integers(3, 7)), 2)) + np.array([x, y])).tolist()
                draw.polygon([(a, b) for a, b in points], fill=_colour(random), outline=ink, width=width)
            case 2:
                turn = np.linspace(0, random.uniform(1, 8), 60)
                radius_at = side / 12 * (1 + 0.5 * np.sin(turn * random.integers(1, 6)))
                curve = np.stack((x + radius_at * np.cos(turn), y + radius_at * np.sin(turn)), axis=1).tolist()
                draw.line([(a, b) for a, b in curve], fill=ink, width=width, joint="curve")
            case _:
                angle, gap = random.uniform(0, np.pi), int(random.integers(3, 12)) * FINE
                ahead, aside = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
                for number in range(int(random.integers(4, 14))):
                    start = np.array([x, y]) + aside * gap * number
                    draw.line([*start.tolist(), *(start + ahead * side / 8).tolist()], fill=ink, width=width)
    return page.reduce(FINE)


KINDS: Final[dict[str, Callable[[Random], Image.Image]]] = {"text": text_page, "screen": screen, "lines": line_art}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    parser.add_argument("--count", type=int, default=60, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.count):
        kind = list(KINDS)[number % len(KINDS)]
        picture = KINDS[kind](np.random.default_rng((arguments.seed, number)))
        picture.save(arguments.out / f"{kind}-{number:03}.png")


if __name__ == "__main__":
    main()
