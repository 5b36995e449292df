"""What it costs to hear libjpeg's warnings: JPEGs decoded by Pillow, by OpenImageIO, and by one after the other.

    python -m benchmarks.jpeg_decode [--quick]

The last is what was done for progressive JPEGs before, and is done for inks (CMYK) still. Its second part is given as a
share of the whole work on the picture, too.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.report import write
from upscale_cli import Upscaler, upscale_file
from upscale_cli.media.image.codecs.jpeg_damage import decoded, warning_of

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "baseline": ("RGB", {}), "progressive": ("RGB", {"progressive": True}), "baseline CMYK": ("CMYK", {}),
}  # fmt: skip


def picture(width: int, height: int) -> Image.Image:
    """Slopes, edges and some grain."""
    y, x = np.mgrid[:height, :width]
    grain = np.random.default_rng(0).integers(0, 20, (height, width, 1))
    slopes = np.stack([(x // 9 + y // 7) % 256, (x // 5) % 256, (y // 11) % 256], -1)
    return Image.fromarray((slopes + grain).clip(0, 255).astype(np.uint8))


def best(works: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of each, the best of several, in turn."""
    found: dict[str, float] = {}
    for _ in range(repeats):
        for name, work in works.items():
            begin = time.perf_counter()
            work()
            found[name] = min(found.get(name, np.inf), time.perf_counter() - begin)
    return {name: round(seconds, 4) for name, seconds in found.items()}


def measured(kind: str, width: int, height: int, repeats: int, folder: Path) -> dict[str, Any]:
    """One kind of JPEG."""
    mode, how = KINDS[kind]
    path = folder / "picture.jpg"
    picture(width, height).convert(mode).save(path, quality=92, **how)

    def by_pillow() -> None:
        with Image.open(path) as image:
            np.asarray(image)

    def by_openimageio() -> None:
        with path.open("rb") as file:
            decoded(file, height, width, 3, 1)

    def for_warnings() -> None:
        with path.open("rb") as file:
            warning_of(file)

    works: dict[str, Callable[[], object]] = {"pillow_s": by_pillow, "warnings_alone_s": for_warnings}
    if mode == "RGB":
        works["openimageio_s"] = by_openimageio
    for model in ("espcn", "bicubic"):
        upscaler = Upscaler(model, device="cpu")
        works[f"{model}_x2_s"] = partial(upscale_file, path, folder / "out.jpg", 2, model=upscaler, overwrite=True)
    row: dict[str, Any] = {"kind": kind, "megapixels": width * height / 1e6, **best(works, repeats)}
    for model in ("espcn", "bicubic"):
        row[f"second_decode_of_{model}_x2_percent"] = round(100 * row["warnings_alone_s"] / row[f"{model}_x2_s"], 1)
    return row


def main() -> None:
    """Writes benchmarks/jpeg_decode.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small picture, once")
    quick = parser.parse_args().quick
    size = (1000, 750) if quick else (2400, 1800)
    with tempfile.TemporaryDirectory() as name:
        rows = [measured(kind, *size, 1 if quick else 3, Path(name)) for kind in KINDS]
    write(
        "jpeg_decode", "What hearing libjpeg's warnings costs, and what a second decode for them would.", {"rows": rows}
    )


if __name__ == "__main__":
    main()
