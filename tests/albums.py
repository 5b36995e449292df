"""Folders of small pictures, for tests and benchmarks."""

import os
from pathlib import Path

import numpy as np
from PIL import Image


def paint(path: Path, number: int = 0, size: tuple[int, int] = (8, 6)) -> Path:
    """A small picture unlike all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def touch_later(path: Path) -> None:
    """As if the file had been written five seconds after it was."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 5_000_000_000))


def mixed_folder(folder: Path, count: int) -> tuple[dict[str, str], set[str]]:
    """Photos of three formats under odd names in nested folders, one in twenty broken, and links.

    Returns:
        The good ones with their outputs' names (at scale 2), and the broken ones.
    """
    odd = ["plain", "with space", "quote'", "ünïcødé", "new\nline", "-dash", "日本語", "x" * 235]
    good, bad = dict[str, str](), set[str]()
    for number in range(count):
        stem, ending = f"{odd[number % len(odd)]}{number}", (".png", ".jpg", ".webp")[number % 3]
        below = ("", "a/", "a/b c/", "ü/")[number % 4]
        path = paint(folder / below / f"{stem}{ending}", number, (64, 48))
        if number % 20 == 7:
            path.write_bytes(path.read_bytes()[: number % 3 * 100])
            bad.add(f"{below}{stem}{ending}")
        else:
            good[f"{below}{stem}{ending}"] = f"{below}{stem}_2x{ending}"
    (folder / "a/up").symlink_to("..")
    (folder / "gone.png").symlink_to("nowhere.png")
    (folder / "link.png").symlink_to("plain0.png")
    bad.add("gone.png")
    good["link.png"] = "link_2x.png"
    return good, bad
