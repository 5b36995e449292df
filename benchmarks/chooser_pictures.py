"""Drawings, pages of text and screens, rendered from a seed: for what no set of photographs has.

Each kind comes in three styles, by the remainder of the seed: drawings flat with outlines, shaded, or in ink; text dark
on paper, light on a dark page, or in two columns; screens light, dark, or a terminal before a wallpaper.
"""

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = HEIGHT, WIDTH = 384, 512
STYLES: Final = 3
_FINER = 2
"""Everything is drawn so many times larger and shrunk, which smooths its edges."""

_LETTERS = "etaoinshrdlucmfwypvbgk"
_INK = (20, 20, 30)
Colour = tuple[int, int, int]


def drawing(seed: int) -> NDArray[np.uint8]:
    """(384, 512, 3): areas with dark outlines, even or shaded, as of a comic; or lines and hatching on white paper."""
    style = seed % STYLES
    ground = (250, 250, 246) if style == 2 else _colour(np.random.default_rng(seed), 120, 256)
    random, image, canvas = _begun(seed, ground)
    for _ in range(random.integers(8, 16)):
        centre = random.uniform((0, 0), (WIDTH * _FINER, HEIGHT * _FINER))
        corners = int(random.integers(3, 9))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        reach = random.uniform(40, 220, corners) * _FINER
        points = [(centre[0] + r * np.cos(a), centre[1] + r * np.sin(a)) for r, a in zip(reach, angles, strict=True)]
        fill, line = _colour(random, 40, 256), int(random.integers(2, 6)) * _FINER
        mask = Image.new("L", image.size)
        inside = ImageDraw.Draw(mask)
        if random.random() < 0.5:
            inside.polygon(points, 255)
            outline: Callable[[], None] = lambda: canvas.polygon(points, outline=_INK, width=line)  # noqa: B023, E731
        else:
            left, top = centre - reach[:2] / 2
            box = (left, top, left + reach[0], top + reach[1])
            inside.ellipse(box, 255)
            outline = lambda: canvas.ellipse(box, outline=_INK, width=line)  # noqa: B023, E731
        image.paste(_filling(image.size, style, fill, ground, random), mask=mask)
        outline()
        canvas.line([tuple(random.uniform((0, 0), image.size)) for _ in range(4)], _INK, line, joint="curve")
    return _finished(image)


def _filling(
    size: tuple[int, int], style: int, fill: Colour, ground: Colour, random: np.random.Generator
) -> Image.Image:
    """What an area of a drawing is filled with: one colour, a slope of it, or strokes of ink."""
    if style == 0:
        return Image.new("RGB", size, fill)
    if style == 1:
        slope = Image.linear_gradient("L").rotate(float(random.uniform(0, 360))).resize(size)
        return Image.composite(
            Image.new("RGB", size, fill), Image.new("RGB", size, (fill[0] // 3, fill[1] // 3, 90)), slope
        )
    strokes = Image.new("RGB", size, ground)
    canvas = ImageDraw.Draw(strokes)
    if random.random() < 0.6:
        gap, lean = int(random.integers(8, 16)) * _FINER, int(random.integers(-400, 400)) * _FINER
        for left in range(-abs(lean), size[0] + abs(lean), gap):
            canvas.line((left, 0, left + lean, size[1]), _INK, _FINER)
    return strokes


def text(seed: int) -> NDArray[np.uint8]:
    """(384, 512, 3): lines of made-up words."""
    style = seed % STYLES
    paper = int(np.random.default_rng(seed).integers(225, 256))
    sheet = (255 - paper,) * 3 if style == 1 else (paper, paper, paper - int(seed % 5) * 6)
    random, image, canvas = _begun(seed, (sheet[0], sheet[1], sheet[2]))
    size = int(random.integers(20, 28) if style == 2 else random.integers(26, 46)) * _FINER
    font = ImageFont.load_default(size)
    dark = int(random.integers(0, 60))
    ink = (255 - dark,) * 3 if style == 1 else (dark,) * 3
    for top in range(30 * _FINER, image.height - size, int(size * 1.35)):
        if style == 2:
            for left in (20, 20 + WIDTH // 2):
                column = Image.new(
                    "RGB", ((WIDTH // 2 - 30) * _FINER, int(size * 1.35)), (sheet[0], sheet[1], sheet[2])
                )
                ImageDraw.Draw(column).text((0, 0), _words(random, 8), ink, font)
                image.paste(column, (left * _FINER, top))
        else:
            canvas.text((30 * _FINER, top), _words(random, 12), ink, font)
    return _finished(image)


def screen(seed: int) -> NDArray[np.uint8]:
    """(384, 512, 3): windows, bars, buttons and small writing, as programs show them."""
    style = seed % STYLES
    random, image, canvas = _begun(seed, _colour(np.random.default_rng(seed), 60, 200))
    if style == 2:
        image.paste(_filling(image.size, 1, _colour(random, 100, 256), (0, 0, 0), random))
    for _ in range(3 - style // 2):
        left, top = (int(one) for one in random.uniform((0, 0), (150, 120)) * _FINER)
        right, bottom = left + int(random.uniform(350, 460)) * _FINER, top + int(random.uniform(220, 300)) * _FINER
        face = int(random.integers(200, 256)) if style == 0 else int(random.integers(20, 56))
        ink = (30, 30, 30) if style == 0 else (220, 220, 220)
        canvas.rectangle((left, top, right, bottom), (face, face, face), (90, 90, 90), _FINER)
        canvas.rectangle((left, top, right, top + 34 * _FINER), _colour(random, 30, 160))
        canvas.text((left + 10 * _FINER, top), _words(random, 2), (255, 255, 255), ImageFont.load_default(24 * _FINER))
        for row in range(top + 44 * _FINER, bottom - 40 * _FINER, (26 if style == 2 else 36) * _FINER):
            if style == 2:
                writing, small = _colour(random, 120, 250), ImageFont.load_default(18 * _FINER)
                canvas.text((left + 14 * _FINER, row), _words(random, int(random.integers(1, 7))), writing, small)
                continue
            canvas.text((left + 14 * _FINER, row), _words(random, 3), ink, ImageFont.load_default(22 * _FINER))
            box = (right - 110 * _FINER, row, right - 14 * _FINER, row + 28 * _FINER)
            canvas.rectangle(box, _colour(random, 120, 250), (110, 110, 110), _FINER)
    return _finished(image)


KINDS: Mapping[str, Callable[[int], NDArray[np.uint8]]] = {"drawing": drawing, "text": text, "screen": screen}


def _begun(seed: int, ground: Colour) -> tuple[np.random.Generator, Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), ground)
    return np.random.default_rng(seed + 1), image, ImageDraw.Draw(image)


def _finished(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def _colour(random: np.random.Generator, low: int, high: int) -> Colour:
    red, green, blue = (int(one) for one in random.integers(low, high, 3))
    return red, green, blue


def _words(random: np.random.Generator, count: int) -> str:
    lengths = random.integers(2, 9, count)
    return " ".join("".join(random.choice(list(_LETTERS), length)) for length in lengths)
