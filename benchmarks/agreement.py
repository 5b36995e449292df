"""How near the whole pipeline is to spandrel on real pictures: at most 1 level of 8 bits is asked for.

    python -m benchmarks.agreement [FOLDER]

Needs spandrel and UPSCALE_WEIGHTS; FOLDER has pictures (../shared/samples/images/photos). Ours goes the user's way,
file to PNG file, with tiles; spandrel gets the whole picture. Gray pictures: spandrel's answer to the tripled gray, as
BT.601 luma. Left out: pictures with alpha, whose colours under transparent pixels are ours to invent, and 16 bits,
which a plain call has no convention for.
"""

import math
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import spandrel
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.nets import checkpoint, row
from benchmarks.report import SHARED, write
from upscale_cli.api import upscale_file
from upscale_cli.evaluation.metrics import FULL_RANGE, psnr
from upscale_cli.inference.upscaler import Upscaler

MODELS = ("realesr-general", "realesr-general-wdn", "realesr-animevideo")
TILES = (0, 96)
"""Automatic, and so small that every picture has many."""

Pixels = NDArray[np.uint8]


def main() -> None:
    """Every picture by every net and tile."""
    torch.set_num_threads(2)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "samples" / "images" / "photos"
    results: list[dict[str, Any]] = []
    for model in MODELS:
        path = checkpoint(row(model))
        assert path is not None, f"{model}: name its folder in UPSCALE_WEIGHTS"
        theirs = spandrel.ModelLoader(device="cpu").load_from_file(path).eval()
        for tile in TILES:
            upscaler = Upscaler(model, device="cpu", precision="fp32", tile=tile)
            for picture, lr in pictures(folder):
                reference = by_spandrel(theirs, lr)
                sr = by_us(upscaler, picture)
                difference = np.abs(sr.astype(int) - reference.astype(int))
                decibel = psnr(sr, reference)
                results.append(
                    {
                        "model": model,
                        "tile": tile or "auto",
                        "picture": picture.name,
                        "size": f"{lr.shape[1]}x{lr.shape[0]}",
                        "max_levels": int(difference.max()),
                        "share_of_values_that_differ": round(float((difference > 0).mean()), 7),
                        "psnr_db": None if math.isinf(decibel) else round(decibel, 1),
                    }
                )
                print(results[-1])
    worst = max(result["max_levels"] for result in results)
    write(
        "agreement",
        "Whole pipeline, file to file, against spandrel on the whole picture, fp32; 8-bit levels.",
        {"pictures": results, "requirement": {"max_levels": 1, "worst": worst, "met": worst <= 1}},
    )


def pictures(folder: Path) -> Iterator[tuple[Path, Pixels]]:
    """Upright gray (H, W) and RGB (H, W, 3) pictures of 8 bits."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            with Image.open(path) as image:
                if image.mode in ("L", "RGB"):
                    yield path, np.asarray(ImageOps.exif_transpose(image))


def by_spandrel(model: Any, lr: Pixels) -> Pixels:
    """(H, W) or (H, W, 3) to the same, `scale` times larger."""
    rgb = lr if lr.ndim == 3 else np.repeat(lr[..., None], 3, axis=2)
    with torch.inference_mode():
        unit = torch.from_numpy(np.array(rgb)).permute(2, 0, 1)[None].float() / 255
        sr = model.model(unit)[0].permute(1, 2, 0).double().numpy() * 255  # not clamped: gray may lie within
    sr = sr if lr.ndim == 3 else sr @ FULL_RANGE
    rounded: Pixels = np.rint(sr).clip(0, 255).astype(np.uint8)
    return rounded


def by_us(upscaler: Upscaler, picture: Path) -> Pixels:
    """The picture as a user gets it, read back."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "sr.png")
        upscale_file(picture, output, model=upscaler)
        with Image.open(output) as image:
            return np.asarray(image)


if __name__ == "__main__":
    main()
