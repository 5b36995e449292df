"""Drawings, pages of text and screens, rendered from a seed: for what no set of photographs has."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

SIZE = HEIGHT, WIDTH = 384, 512
_FINER = 2
"""Everything is drawn so many times larger and shrunk, which smooths its edges."""

_LETTERS = "etaoinshrdlucmfwypvbgk"


def drawing(seed: int) -> NDArray[np.uint8]:
    """(384, 512, 3): even areas with dark outlines, as of a comic."""
    random, image, canvas = _begun(seed, _colour(np.random.default_rng(seed), 120, 256))
    for _ in range(random.integers(8, 16)):
        centre = random.uniform((0, 0), (WIDTH * _FINER, HEIGHT * _FINER))
        corners = int(random.integers(3, 9))
        angles = np.sort(random.uniform(0, 2 * np.pi, corners))
        reach = random.uniform(40, 220, corners) * _FINER
        points = [(centre[0] + r * np.cos(a), centre[1] + r * np.sin(a)) for r, a in zip(reach, angles, strict=True)]
        fill, line = _colour(random, 40, 256), int(random.integers(2, 6)) * _FINER
        if random.random() < 0.5:
            canvas.polygon(points, fill=fill, outline=(20, 20, 30), width=line)
        else:
            left, top = centre - reach[:2] / 2
            canvas.ellipse((left, top, left + reach[0], top + reach[1]), fill=fill, outline=(20, 20, 30), width=line)
        canvas.line([tuple(random.uniform((0, 0), image.size)) for _ in range(4)], (20, 20, 30), line, joint="curve")
    return _finished(image)


def text(seed: int) -> NDArray[np.uint8]:
    """(384, 512, 3): dark lines of made-up words on light paper."""
    paper = int(np.random.default_rng(seed).integers(225, 256))
    random, image, canvas = _begun(seed, (paper, paper, paper - int(seed % 3) * 6))
    size = int(random.integers(26, 46)) * _FINER
    font = ImageFont.load_default(size)
    ink = (int(random.integers(0, 60)),) * 3
    for top in range(30 * _FINER, image.height - size, int(size * 1.35)):
        canvas.text((30 * _FINER, top), _words(random, 12), ink, font)
    return _finished(image)


def screen(seed: int) -> NDArray[np.uint8]:
    """(384, 512, 3): windows, bars, buttons and small writing, as programs show them."""
    random, image, canvas = _begun(seed, _colour(np.random.default_rng(seed), 60, 200))
    for _ in range(3):
        left, top = (int(one) for one in random.uniform((0, 0), (150, 120)) * _FINER)
        right, bottom = left + int(random.uniform(350, 460)) * _FINER, top + int(random.uniform(220, 300)) * _FINER
        face = int(random.integers(200, 256))
        canvas.rectangle((left, top, right, bottom), (face, face, face), (90, 90, 90), _FINER)
        canvas.rectangle((left, top, right, top + 34 * _FINER), _colour(random, 30, 160))
        canvas.text((left + 10 * _FINER, top), _words(random, 2), (255, 255, 255), ImageFont.load_default(24 * _FINER))
        for row in range(top + 44 * _FINER, bottom - 40 * _FINER, 36 * _FINER):
            canvas.text((left + 14 * _FINER, row), _words(random, 3), (30, 30, 30), ImageFont.load_default(22 * _FINER))
            box = (right - 110 * _FINER, row, right - 14 * _FINER, row + 28 * _FINER)
            canvas.rectangle(box, _colour(random, 120, 250), (110, 110, 110), _FINER)
    return _finished(image)


KINDS: Mapping[str, Callable[[int], NDArray[np.uint8]]] = {"drawing": drawing, "text": text, "screen": screen}


def _begun(seed: int, ground: tuple[int, int, int]) -> tuple[np.random.Generator, Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (WIDTH * _FINER, HEIGHT * _FINER), ground)
    return np.random.default_rng(seed + 1), image, ImageDraw.Draw(image)


def _finished(image: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BOX))


def _colour(random: np.random.Generator, low: int, high: int) -> tuple[int, int, int]:
    red, green, blue = (int(one) for one in random.integers(low, high, 3))
    return red, green, blue


def _words(random: np.random.Generator, count: int) -> str:
    lengths = random.integers(2, 9, count)
    return " ".join("".join(random.choice(list(_LETTERS), length)) for length in lengths)
