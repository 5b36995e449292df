"""How near bf16 and fp16 stay to fp32 on real pictures, and what bf16 saves on this CPU.

    python -m benchmarks.precision [FOLDER]

Every checkpoint of the registry that is on this machine (UPSCALE_WEIGHTS), and realesrgan with random weights. Before
rounding to pixels: PSNR of the float SR pictures, clipped to [0, 1]. Above 50 dB a row may set `bf16`.
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.nets import checkpoint, random_rrdbnet, trained
from benchmarks.report import SHARED, alternating, photo, ratio, summary, write
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.inference.device import CPU, cpu_is_fast_at_bf16
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.interface import LoadedNet, Precision
from upscale_cli.models.registry import MODELS

LONGEST_SIDE: dict[Precision, int] = {"bf16": 448, "fp16": 128}
"""LR pixels; of a larger picture the middle is taken. On most CPUs fp16 is emulated, and slow."""

TIMED_SIDE = 256
WHOLE = 4096  # a tile that no picture exceeds
REPEATS = 5
LIMIT_DB = 50
WORTH = 1.2


def main() -> None:
    """Every net; the worst picture decides."""
    torch.set_num_threads(2)
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED / "samples" / "images" / "photos"
    nets = {f"{spec.model}-x{spec.scale}": trained(spec) for spec in MODELS if checkpoint(spec)}
    nets |= {"rrdbnet-6b-random": random_rrdbnet(6)}
    results = {}
    for name, net in nets.items():
        results[name] = {"nearness_to_fp32": nearness(net, folder), "speed": gain(net)}
        print(name, results[name], flush=True)
    write(
        "precision",
        f"PSNR in dB of half precision against fp32 on real pictures, float SR, and bf16's gain on {TIMED_SIDE}x"
        f"{TIMED_SIDE}; 2 threads.",
        {
            "cpu_multiplies_bf16": cpu_is_fast_at_bf16(),
            "rule": f"bf16 where the worst picture stays above {LIMIT_DB} dB and the gain is above {WORTH}",
            "nets": results,
        },
    )


def lr_pictures(folder: Path, longest: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Name and (H, W, 3), the middle of what is larger than `longest`."""
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            with Image.open(path) as image:
                if image.mode not in ("L", "RGB", "RGBA"):
                    continue
                pixels = np.asarray(image.convert("RGB"))
            top, left = (max(0, side - longest) // 2 for side in pixels.shape[:2])
            yield path.name, pixels[top : top + longest, left : left + longest]


def nearness(net: LoadedNet, folder: Path) -> dict[str, Any]:
    """Worst and median PSNR of both half precisions."""
    found: dict[str, Any] = {}
    for precision, longest in LONGEST_SIDE.items():
        half, full = (tiled_net(net, each) for each in (precision, "fp32"))
        decibels = {
            name: psnr(half.upscale(lr, np.float32), full.upscale(lr, np.float32), peak=1.0)
            for name, lr in lr_pictures(folder, longest)
        }
        worst = min(decibels, key=lambda name: decibels[name])
        found[precision] = {
            "worst_db": finite(decibels[worst]),
            "worst_picture": worst,
            "median_db": finite(float(np.median(list(decibels.values())))),
        }
    return found


def tiled_net(net: LoadedNet, precision: Precision) -> TiledNet:
    """One that takes every picture in one piece."""
    return TiledNet(net, CPU, precision, tile=WHOLE, say=print)


def gain(net: LoadedNet) -> dict[str, Any]:
    """Seconds of a picture in fp32 and bf16, from pixels to pixels."""
    lr = photo(TIMED_SIDE, TIMED_SIDE)
    full, half = tiled_net(net, "fp32"), tiled_net(net, "bf16")
    candidates = {"fp32": lambda: full.upscale(lr, np.uint8), "bf16": lambda: half.upscale(lr, np.uint8)}
    seconds = alternating(candidates, repeats=REPEATS)
    times = {name: summary(values) for name, values in seconds.items()}
    return {**times, "bf16_is_faster_by": ratio(seconds["fp32"], seconds["bf16"])}


def finite(decibel: float) -> float | None:
    """JSON has no infinity: None where nothing differs."""
    return None if math.isinf(decibel) else round(decibel, 1)


if __name__ == "__main__":
    main()
