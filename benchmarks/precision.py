"""How near engines and smaller precisions stay to torch in fp32 on real pictures, and what they save on this CPU.

    python -m benchmarks.precision [--photos FOLDER] [--only NET] [--nearness] [--quick]

Every checkpoint of the registry that is on this machine (UPSCALE_WEIGHTS), and realesrgan with random weights. Before
rounding to pixels: PSNR of the float SR pictures, clipped to [0, 1]. Above 50 dB a row may set `bf16`. --only measures
some nets (espcn, or espcn-x2) anew and keeps what is known of the others, and of the same weights by ways that this
processor does not have; --nearness times nothing, for a machine that is busy; --quick takes small pictures and few runs
and writes nothing.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.narrow_nets import backends
from benchmarks.nets import checkpoint, random_rrdbnet, trained
from benchmarks.report import SHARED, alternating, json_of, machine, photo, ratio, summary, write
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.device import CPU, cpu_is_fast_at_bf16
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.interface import LoadedNet, Precision
from upscale_cli.models.registry import MODELS

LONGEST_SIDE = 448
"""LR pixels; of a larger picture the middle is taken."""

LONGEST_IN_FP16 = 128
"""On most CPUs fp16 is emulated, and slow."""

TIMED_SIDE = 256
QUICK_SIDE = 96
WHOLE = 4096  # a tile that no picture exceeds
REPEATS = 5
LIMIT_DB = 50
WORTH = 1.2
RANDOM = "rrdbnet-6b-random"

Way = tuple[str, Precision]
"""Engine and precision."""


def main() -> None:
    """Every net; the worst picture decides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, default=SHARED / "samples" / "images" / "photos", metavar="FOLDER")
    parser.add_argument("--only", nargs="+", default=[], metavar="NET")
    parser.add_argument("--nearness", action="store_true", help="no speed")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    results: dict[str, Any] = {}
    for name, weights, net in nets(arguments.only):
        longest = QUICK_SIDE if arguments.quick else LONGEST_SIDE
        side, repeats = (QUICK_SIDE, 1) if arguments.quick else (TIMED_SIDE, REPEATS)
        results[name] = {"weights": weights, "nearness_to_fp32": nearness(net, arguments.photos, longest)}
        if not arguments.nearness:
            results[name]["speed"] = gain(net, side, repeats)
        print(name, json.dumps(results[name]), flush=True)
    if arguments.quick:
        return
    renewed = {}
    if arguments.only or arguments.nearness:
        kept = json_of("precision")
        facts = machine()
        renewed = kept.get("renewed", {}) | {name: {key: facts[key] for key in ("commit", "date")} for name in results}
        results = kept["nets"] | {name: joined(kept["nets"].get(name, {}), found) for name, found in results.items()}
    write(
        "precision",
        f"PSNR in dB of engines and precisions against torch in fp32 on real pictures, float SR, and their speed on "
        f"{TIMED_SIDE}x{TIMED_SIDE}; 2 threads.",
        {
            "cpu_multiplies_bf16": cpu_is_fast_at_bf16(),
            "rule": f"bf16 where the worst picture stays above {LIMIT_DB} dB and the gain is above {WORTH}",
            "renewed": renewed,
            "nets": results,
        },
    )


def joined(kept: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """What was found, and of the same weights what was known of ways and speeds that were not measured now."""
    if kept.get("weights") != found["weights"]:
        return dict(found)
    nearness = {**kept["nearness_to_fp32"], **found["nearness_to_fp32"]}
    return {**kept, **found, "nearness_to_fp32": nearness}


def nets(only: Sequence[str]) -> Iterator[tuple[str, str, LoadedNet]]:
    """Name, what tells its weights from others, and net of what is here; those asked for, or all."""
    for spec in MODELS:
        name = f"{spec.model}-x{spec.scale}"
        if checkpoint(spec) and (not only or spec.model in only or name in only):
            yield name, spec.sha256[:8], replace(trained(spec), int8=spec.int8)
    if not only or RANDOM in only:
        yield RANDOM, "", random_rrdbnet(6)


def ways(net: LoadedNet) -> dict[Way, Backend]:
    """What this machine can run a net by, torch in fp32 first."""
    found: dict[Way, Backend] = {}
    for engine, (backend, precisions) in backends().items():
        found |= {(engine, one): backend for one in precisions if one != "int8" or net.int8}
    of_torch: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
    return {("torch", one): found["torch", "fp32"] for one in of_torch} | found


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


def nearness(net: LoadedNet, folder: Path, longest: int) -> dict[str, Any]:
    """Worst and median PSNR of each way."""
    exact: dict[tuple[str, int], NDArray[Any]] = {}
    full = tiled_net(net, ways(net)["torch", "fp32"], "fp32")
    found: dict[str, Any] = {}
    for (engine, precision), backend in ways(net).items():
        if (engine, precision) == ("torch", "fp32"):
            continue
        one = tiled_net(net, backend, precision)
        side = min(longest, LONGEST_IN_FP16) if precision == "fp16" else longest
        decibels = {}
        for name, lr in lr_pictures(folder, side):
            if (name, side) not in exact:
                exact[name, side] = full.upscale(lr, np.float32)
            decibels[name] = psnr(one.upscale(lr, np.float32), exact[name, side], peak=1.0)
        assert one.precision == precision, f"{engine} fell back to {one.precision}"
        worst = min(decibels, key=lambda name: decibels[name])
        found[f"{engine} {precision}"] = {
            "worst_db": finite(decibels[worst]),
            "worst_picture": worst,
            "median_db": finite(float(np.median(list(decibels.values())))),
        }
    return found


def tiled_net(net: LoadedNet, backend: Backend, precision: Precision) -> TiledNet:
    """One that takes every picture in one piece."""
    return TiledNet(net, CPU, precision, tile=WHOLE, backend=backend, say=print)


def gain(net: LoadedNet, side: int, repeats: int) -> dict[str, Any]:
    """Seconds of a picture by each way, from pixels to pixels, and how much faster than the engine's fp32 that is."""
    lr = photo(side, side)
    runs: dict[str, Callable[[], object]] = {}
    for (engine, precision), backend in ways(net).items():
        if precision != "fp16":
            one = tiled_net(net, backend, precision)
            runs[f"{engine} {precision}"] = partial(one.upscale, lr, np.uint8)
    seconds = alternating(runs, repeats=repeats)
    return {
        way: {
            **summary(values),
            "faster_than_its_fp32_by": ratio(seconds[f"{way.split()[0]} fp32"], values),
            "faster_than_torch_fp32_by": ratio(seconds["torch fp32"], values),
        }
        for way, values in seconds.items()
    }


def finite(decibel: float) -> float | None:
    """JSON has no infinity: None where nothing differs."""
    return None if math.isinf(decibel) else round(decibel, 1)


if __name__ == "__main__":
    main()
