"""Renders the sample picture of the README: a small photo-like scene, made of formulas, owned by nobody.

    python docs/sample/render.py docs/sample/harbour.jpg

It has what an upscaler is judged by: fine straight lines, curves, text-like strokes, a smooth sky, grain, and the
traces of JPEG compression. Everything is rendered at four times the size and shrunk, so that edges are true.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

WIDTH, HEIGHT, FINE = 240, 160, 8  # pixels of the picture; FINE x FINE samples each
SEED = 7


def render() -> Image.Image:
    """The scene, (HEIGHT, WIDTH) RGB."""
    rng = np.random.default_rng(SEED)
    width, height = WIDTH * FINE, HEIGHT * FINE
    horizon = int(height * 0.58)
    scene = _sky_and_sea(width, height, horizon, rng)
    draw = ImageDraw.Draw(scene)
    _hills(draw, width, horizon, rng)
    _houses(draw, width, horizon, rng)
    _lighthouse(draw, int(width * 0.8), horizon, height)
    for x, size in ((0.2, 1.0), (0.42, 0.65), (0.61, 0.8)):
        _boat(draw, int(width * x), int(horizon + height * 0.2 * size), int(height * 0.42 * size))
    small = scene.filter(ImageFilter.GaussianBlur(FINE * 0.35)).resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    grain = rng.normal(0, 2.0, (HEIGHT, WIDTH, 1))
    return Image.fromarray(np.clip(np.asarray(small) + grain, 0, 255).round().astype(np.uint8))


def _sky_and_sea(width: int, height: int, horizon: int, rng: np.random.Generator) -> Image.Image:
    rows = np.linspace(0, 1, height)[:, None, None]
    sky = np.array([92, 142, 205]) * (1 - rows) + np.array([250, 205, 160]) * rows * 1.4
    picture = np.repeat(sky, width, axis=1)
    y, x = np.mgrid[horizon:height, 0:width]
    depth = (y - horizon) / (height - horizon) + 0.02
    waves = np.sin(x / (34 * depth + 2) + 3 * np.sin(y / 41)) * np.sin(y / (11 * depth + 1.5))
    light = 0.55 + 0.35 * (waves > 0.72) - 0.25 * depth + 0.02 * rng.standard_normal(x.shape)
    picture[horizon:] = np.array([58, 112, 140]) * (0.6 + light[..., None])
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _hills(draw: ImageDraw.ImageDraw, width: int, horizon: int, rng: np.random.Generator) -> None:
    for tone, reach in (((128, 140, 150), 0.2), ((84, 108, 96), 0.12)):
        waves = (5, 11, 23)
        phase = rng.uniform(0, 6, 3)
        xs = np.arange(0, width + 1, FINE)
        heights = 1 + sum(
            1.5 / wave * np.sin(xs / width * wave + shift) for wave, shift in zip(waves, phase, strict=True)
        )
        tops = list(zip(xs.tolist(), (horizon - horizon * reach * heights).tolist(), strict=True))
        draw.polygon([(0, horizon), *tops, (width, horizon)], fill=tone)


def _houses(draw: ImageDraw.ImageDraw, width: int, horizon: int, rng: np.random.Generator) -> None:
    x = int(width * 0.05)
    while x < width * 0.66:
        wide, high = (int(value) for value in rng.uniform((9 * FINE, 10 * FINE), (17 * FINE, 24 * FINE)))
        wall = tuple(int(value) for value in rng.uniform(150, 245, 3))
        draw.rectangle((x, horizon - high, x + wide, horizon), fill=wall)
        draw.polygon(
            [(x - FINE, horizon - high), (x + wide // 2, horizon - high - 6 * FINE), (x + wide + FINE, horizon - high)],
            fill=(150, 66, 48),
        )
        for top in range(horizon - high + 2 * FINE, horizon - 3 * FINE, 5 * FINE):
            for left in range(x + 2 * FINE, x + wide - 2 * FINE, 4 * FINE):
                draw.rectangle((left, top, left + 2 * FINE, top + 3 * FINE), fill=(52, 58, 70))
                draw.line((left + FINE, top, left + FINE, top + 3 * FINE), fill=(230, 230, 225), width=FINE // 3)
        x += wide + int(rng.uniform(0, 3 * FINE))


def _lighthouse(draw: ImageDraw.ImageDraw, x: int, horizon: int, height: int) -> None:
    top, foot = int(height * 0.12), horizon + int(height * 0.06)
    draw.polygon(
        [
            (x - 30 * FINE, foot),
            (x - 14 * FINE, horizon - 2 * FINE),
            (x + 16 * FINE, horizon - 4 * FINE),
            (x + 34 * FINE, foot),
        ],
        fill=(96, 88, 80),
    )
    for band in range(6):
        y0, y1 = (top + (foot - top) * part / 6 for part in (band, band + 1))
        w0, w1 = (FINE * (5 + 4 * part / 6) for part in (band, band + 1))
        tone = (205, 48, 44) if band % 2 == 0 else (244, 242, 236)
        draw.polygon([(x - w0, y0), (x + w0, y0), (x + w1, y1), (x - w1, y1)], fill=tone)
    draw.rectangle((x - 6 * FINE, top - FINE, x + 6 * FINE, top), fill=(40, 42, 46))
    draw.rectangle((x - 3 * FINE, top - 6 * FINE, x + 3 * FINE, top - FINE), fill=(255, 244, 190))
    draw.pieslice((x - 4 * FINE, top - 11 * FINE, x + 4 * FINE, top - 2 * FINE), 180, 360, fill=(40, 42, 46))
    for rail in range(-6, 7, 2):
        draw.line((x + rail * FINE, top - 3 * FINE, x + rail * FINE, top - FINE), fill=(40, 42, 46), width=FINE // 3)


def _boat(draw: ImageDraw.ImageDraw, x: int, y: int, mast: int) -> None:
    hull = mast // 4
    draw.polygon(
        [(x - hull, y), (x + hull, y), (x + hull * 0.7, y + hull * 0.5), (x - hull * 0.7, y + hull * 0.5)],
        fill=(36, 52, 92),
    )
    draw.line((x - hull, y + FINE // 2, x + hull, y + FINE // 2), fill=(240, 240, 235), width=FINE // 2)
    draw.line((x, y, x, y - mast), fill=(60, 44, 32), width=FINE // 2)
    draw.polygon(
        [(x + FINE, y - mast * 0.95), (x + hull * 0.9, y - hull * 0.35), (x + FINE, y - hull * 0.35)],
        fill=(250, 248, 240),
    )
    draw.polygon(
        [(x - FINE, y - mast * 0.8), (x - hull * 0.8, y - hull * 0.3), (x - FINE, y - hull * 0.3)], fill=(232, 92, 60)
    )
    for stay in (-1, 1):
        draw.line((x, y - mast, x + stay * hull, y), fill=(40, 40, 44), width=max(1, FINE // 4))
    draw.arc((x - hull * 2, y + hull * 0.45, x + hull * 2, y + hull), 0, 180, fill=(220, 235, 240), width=FINE // 3)


if __name__ == "__main__":
    render().save(Path(sys.argv[1]), quality=88)
