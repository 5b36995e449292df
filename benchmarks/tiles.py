"""Tiled against whole: exact for nets with an affordable field, above 50 dB for RRDBNet at a halo of 16.

    python -m benchmarks.tiles

Pictures are synthetic, of odd and even sides, larger than a tile and smaller. In fp32, as 8-bit levels.
"""

import math
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.nets import checkpoint, random_rrdbnet, row, trained
from benchmarks.report import photo, write
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.inference import tile_layout
from upscale_cli.inference.device import CPU
from upscale_cli.inference.tile_layout import DEFAULT_OVERLAP
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.interface import LoadedNet

EXACT = (("espcn", 2), ("espcn", 3), ("espcn", 4), ("realesr-general", 4), ("realesr-animevideo", 4))
SIZES = ((33, 97), (120, 140), (41, 40))
TILES = ((16, 0), (32, 8), (48, 47), (64, 16))
LARGE_SIZES = ((181, 241), (256, 200))
LARGE_TILES = (64, 96, 128)
HALO = 16
"""Of RRDBNet with random weights. Real ones see further: benchmarks/halo.py."""

FAR_SIGHT = (1, 3, 6)
"""How much more each dense block adds than random weights let it; at 6, far pixels count more than near ones."""

LIMIT_DB = 50

Pixels = NDArray[np.uint8]


def main() -> None:
    """Exact nets first, then RRDBNet with random weights."""
    torch.set_num_threads(2)
    here = [(model, scale) for model, scale in EXACT if checkpoint(row(model, scale))]
    exact = [result for model, scale in here for result in compared_exactly(model, scale)]
    blocks = {
        "realesrgan_x4": random_rrdbnet(23),
        "realesrgan_x2": random_rrdbnet(23, unshuffle=2),
        "realesrgan_anime_x4": random_rrdbnet(6),
    }
    large = [result for name, net in blocks.items() for result in compared_nearly(name, net)]
    worst_levels = max(result["max_levels"] for result in exact)
    worst_db = min(result["psnr_db"] or math.inf for result in large)
    write(
        "tiles",
        "Tiles put together against the whole picture in one piece, fp32, 8-bit levels.",
        {
            "exact": exact,
            "rrdbnet_random_weights": large,
            "realesrgan_x4_by_halo": by_halo(),
            "requirement": {
                "exact_max_levels": 1,
                "worst_levels": worst_levels,
                "rrdbnet_above_db": LIMIT_DB,
                "worst_db": round(worst_db, 1),
                "met": worst_levels <= 1 and worst_db > LIMIT_DB,
            },
        },
    )


def compared_exactly(model: str, scale: int) -> list[dict[str, Any]]:
    """One line a tile and overlap: the worst over all sizes."""
    found = []
    for tile, overlap in TILES:
        differences = []
        for height, width in SIZES:
            lr = photo(height, width, seed=height)
            net = trained(row(model, scale))
            whole, tiled = upscaled(net, lr, 4096, 0), upscaled(net, lr, tile, overlap)
            differences.append(int(np.abs(whole.astype(int) - tiled.astype(int)).max()))
        found.append({"net": f"{model}-x{scale}", "tile": tile, "overlap": overlap, "max_levels": max(differences)})
        print(found[-1])
    return found


def compared_nearly(name: str, net: LoadedNet) -> list[dict[str, Any]]:
    """One line a size and tile, at the default overlap."""
    found = []
    net = with_halo(net, HALO * net.descriptor.multiple_of)
    for height, width in LARGE_SIZES:
        lr = photo(height, width, seed=height)
        whole = upscaled(net, lr, 4096, 0)
        for tile in LARGE_TILES:
            tiled = upscaled(net, lr, tile, DEFAULT_OVERLAP)
            decibel = psnr(tiled, whole)
            found.append(
                {
                    "net": name,
                    "size": f"{width}x{height}",
                    "tile": tile,
                    "overlap": DEFAULT_OVERLAP,
                    "halo": net.descriptor.halo,
                    "max_levels": int(np.abs(whole.astype(int) - tiled.astype(int)).max()),
                    "psnr_db": None if math.isinf(decibel) else round(decibel, 1),
                    "contrast_levels": round(float(whole.std()), 1),
                }
            )
            print(found[-1])
    return found


def by_halo() -> list[dict[str, Any]]:
    """What the halo is worth, for nets that see further and further; without one, seams have to show."""
    lr = photo(160, 200)
    found = []
    for far_sight in FAR_SIGHT:
        net = random_rrdbnet(23, far_sight=far_sight)
        whole = upscaled(net, lr, 4096, 0)
        decibels = {}
        for halo in (0, 4, HALO):
            nearer = with_halo(net, halo)
            with mock.patch.object(tile_layout, "CHROMA_REACH", 0):  # which a net of all three colours needs not
                tiled = upscaled(nearer, lr, 64, DEFAULT_OVERLAP)
            decibels[f"halo_{halo}_db"] = round(psnr(tiled, whole), 1)
        found.append({"far_sight": far_sight, "tile": 64, "overlap": DEFAULT_OVERLAP, **decibels})
        print(found[-1])
    return found


def with_halo(net: LoadedNet, halo: int) -> LoadedNet:
    """The net, where it is taken to see so many LR pixels."""
    return replace(net, descriptor=replace(net.descriptor, halo=halo))


def upscaled(net: LoadedNet, lr: Pixels, tile: int, overlap: int) -> Pixels:
    """As `Upscaler` does it."""
    sr: Pixels = TiledNet(net, CPU, "fp32", tile=tile, overlap=overlap, say=print).upscale(lr, np.uint8)
    return sr


if __name__ == "__main__":
    main()
