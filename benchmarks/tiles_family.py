"""Tiles against the whole, for every net whose tiles are not exact: what it costs where the whole does not fit.

    python -m benchmarks.tiles_family [FOLDER ...] [--quick]

FOLDERs have checkpoints in safetensors (../shared/weights, ../shared/weights-more). A photograph, in fp32, as
8-bit levels, with the halo and the overlap that a net has by default. Nets that look at the whole picture get it as a
whole by default; the windows here are what they get where it does not fit.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.report import SHARED, write
from upscale_cli.errors import CheckpointError
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.inference.device import CPU
from upscale_cli.inference.tile_layout import DEFAULT_OVERLAP
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.interface import LoadedNet
from upscale_cli.models.loading import load_net

TILES = (128, 512)
"""LR pixels that are kept of a window; about 512 is the default of nets that do not look at the whole."""

LIMIT_DB = 50
MOST_WEIGHTS = 3_000_000
"""Of nets that are compared here; `benchmarks.tiles` and `benchmarks.halo` are about RRDBNets."""

Pixels = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[SHARED / "weights", SHARED / "weights-more"])
    parser.add_argument("--quick", action="store_true", help="a small part, one tile")
    given = parser.parse_args()
    height, width, tiles = (192, 256, (128,)) if given.quick else (512, 768, TILES)
    torch.set_num_threads(1)
    with Image.open(SHARED / "eval" / "Kodak24" / "kodim05.png") as photo:
        lr = np.asarray(photo.convert("RGB"))[:height, :width]
    rows = []
    for path in sorted(path for folder in given.folders for path in folder.glob("*.safetensors")):
        row = compared(path, lr, tiles)
        if row is not None:
            rows.append(row)
            print(row, flush=True)
    write(
        "tiles_family",
        "How far are tiles from the whole picture, for nets whose tiles are not exact? fp32, 8-bit levels.",
        {
            "size": f"{width}x{height}", "limit_db": LIMIT_DB,
            "below": [row["checkpoint"] for row in rows if min(row["psnr_db"].values()) < LIMIT_DB], "rows": rows,
        },
    )  # fmt: skip


def compared(path: Path, lr: Pixels, tiles: tuple[int, ...]) -> dict[str, Any] | None:
    """None for a net whose tiles are exact, or that takes more than a picture."""
    try:
        net = load_net(path)
    except CheckpointError:
        return None
    facts = net.descriptor
    weights = sum(tensor.numel() for tensor in net.state_dict.values())
    if (facts.exact and not facts.sees_whole) or facts.inputs or weights > MOST_WEIGHTS:
        return None
    whole = upscaled(net, lr, max(lr.shape))
    found = {tile: upscaled(net, lr, tile) for tile in tiles}
    return {
        "checkpoint": path.stem, "net": facts.name, "sees_whole": facts.sees_whole, "halo": facts.halo,
        "psnr_db": {str(tile): _rounded(psnr(made, whole)) for tile, made in found.items()},
        "max_levels": {
            str(tile): int(np.abs(made.astype(int) - whole.astype(int)).max()) for tile, made in found.items()
        },
    }  # fmt: skip


def upscaled(net: LoadedNet, lr: Pixels, tile: int) -> Pixels:
    """As `Upscaler` does it."""
    overlap = DEFAULT_OVERLAP if tile > DEFAULT_OVERLAP else 0
    made: Pixels = TiledNet(net, CPU, "fp32", tile=tile, overlap=overlap, say=print).upscale(lr, np.uint8)
    return made


def _rounded(decibel: float) -> float | None:
    return None if math.isinf(decibel) else round(decibel, 1)


if __name__ == "__main__":
    main()
