"""Teaches the bundled photo net to be faithful: HR under a damage model is the target, not a large net's picture.

    python -m training.photo_faithful --data FOLDER --eval FOLDER --cache FOLDER [--start CHECKPOINT]

Begun from a net of the same shape that was distilled from a sharper one (photo_lite.py), so that the weights of the two
can be mixed: Wang et al., "Deep Network Interpolation for Continuous Imagery Effect Transition", CVPR 2019,
https://arxiv.org/abs/1811.10515. LR comes from training pictures by degradation.py; pairs are made once, and kept.
"""

import argparse
import hashlib
import itertools
import json
import multiprocessing
import platform
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from training.degradation import CLEAN, HEAVY, LIGHT, WEB, Pixels8, degrade, through_jpeg, to_pixels
from training.espcn import REPOSITORY
from training.files import picture_files, write_safetensors
from training.photo_lite import SCALE, Pairs, by_bicubic, by_net, cut_out, large_enough, read, taught_by
from training.recipes import add_options, changed
from upscale_cli.evaluation.metrics import bicubic, crop_border, crop_to_multiple, ms_ssim, psnr, studio_luma, to_8_bit
from upscale_cli.evaluation.niqe import niqe
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.loading import build_net, load_net

KINDS: Final = {"heavy": HEAVY, "web": WEB, "light": LIGHT, "clean": CLEAN}
QUALITIES: Final = (None, 60, 30)
"""Of the JPEG that LR is measured with; None: as it is."""
BATCH: Final = 64
"""Pairs that a process makes at once."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the result, besides data and first weights.

    Attributes:
        seed: of the pairs, and of the order and way in which patches come.
        num_feat, num_conv: of the net.
        pairs: patches in all.
        side: of such a patch, in LR pixels.
        heavy, web, light, clean: shares of the degradations.
        steps: updates in all.
        patches: per step.
        crop: side of what is cut out of a patch for one step, in LR pixels.
        learning_rate: it rises over `warm_up` steps, stays, and falls over the last `decay` share of the steps.
        slope_rate: that of the activations' slopes, which Adam steps.
        edges, texture: weights in the loss; see `photo_lite.distance`.
        average: memory of the averaged weights, which are the ones that are written.
        threads: of torch while it learns.
    """

    seed: int = 2
    num_feat: int = 32
    num_conv: int = 12
    pairs: int = 5_056
    side: int = 64
    heavy: float = 0.05
    web: float = 0.5
    light: float = 0.2
    clean: float = 0.25
    steps: int = 7_000
    patches: int = 8
    crop: int = 40
    learning_rate: float = 1.5e-3
    slope_rate: float = 5e-4
    warm_up: int = 300
    decay: float = 0.4
    edges: float = 0.5
    texture: float = 0.2
    average: float = 0.999
    threads: int = 1

    def rate_at(self, step: int) -> float:
        """Share of the highest learning rate, of step 1 to `steps`."""
        left = (self.steps - step) / (self.decay * self.steps)
        return min(1.0, step / self.warm_up, max(left, 1e-3))


# Pairs


def make_pairs(data: Path, cache: Path, recipe: Recipe, workers: int) -> Pairs:
    """The pairs in the cache; made there, if they are not yet. Each depends on the seed and its own number alone."""
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / "made.json"
    shares = {kind: getattr(recipe, kind) for kind in KINDS}
    reported = json.dumps({"seed": recipe.seed, "pairs": recipe.pairs, "side": recipe.side, **shares})
    if not (made.is_file() and made.read_text(encoding="utf-8") == reported):
        for name, side in (("lr", recipe.side), ("hr", SCALE * recipe.side)):
            shape = (recipe.pairs, side, side, 3)
            np.lib.format.open_memmap(cache / f"{name}.npy", "w+", np.uint8, shape).flush()
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context) as pool:
            make = partial(_make_batch, data, cache, recipe)
            for done in pool.map(make, range(0, recipe.pairs, BATCH)):
                if done % (16 * BATCH) == 0:
                    print(f"pairs {done} of {recipe.pairs}", flush=True)
        made.write_text(reported, encoding="utf-8")
    lr, hr = (np.load(cache / f"{name}.npy", mmap_mode="r") for name in ("lr", "hr"))
    return Pairs(lr, hr)


def _make_batch(data: Path, cache: Path, recipe: Recipe, start: int) -> int:
    torch.set_num_threads(1)
    lr, hr = (np.load(cache / f"{name}.npy", mmap_mode="r+") for name in ("lr", "hr"))
    paths = _large_enough(data, recipe.side)
    shares = [getattr(recipe, kind) for kind in KINDS]
    for number in range(start, min(start + BATCH, recipe.pairs)):
        random = np.random.default_rng((recipe.seed, number))
        picture = read(paths[int(random.integers(len(paths)))])
        hr[number] = cut_out([picture], SCALE * recipe.side, random)
        kind = list(KINDS.values())[int(random.choice(len(KINDS), p=np.divide(shares, sum(shares))))]
        lr[number] = degrade(hr[number], kind, random, SCALE)
    return start


_large_enough = cache(large_enough)
"""Looked up once in each process."""


# Measuring


@dataclass(frozen=True, slots=True)
class Held:
    """A picture that no training has seen: LR, damaged, and HR's luma in studio range."""

    lr: Pixels8
    hr: Any
    quality: int | None


def held_out(folder: Path, most: int) -> Iterator[Held]:
    """Pictures of a folder, with LR by MATLAB's bicubic, as they are and as JPEG of two qualities."""
    for path, quality in itertools.product(picture_files(folder)[:most], QUALITIES):
        hr = crop_to_multiple(read(path), SCALE)
        lr = np.stack([to_8_bit(bicubic(hr[..., channel].astype(float), 1 / SCALE)) for channel in range(3)], axis=2)
        yield Held(_jpeg(lr.astype(np.uint8), quality), to_8_bit(studio_luma(hr)), quality)


def _jpeg(pixels: Pixels8, quality: int | None) -> Pixels8:
    if quality is None:
        return pixels
    planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float().div_(255)
    return to_pixels(through_jpeg(planes, quality))


def scores(upscale: Any, held: Sequence[Held]) -> dict[str, dict[str, float]]:
    """By the JPEG's quality: mean PSNR and MS-SSIM of luma, NIQE, and the largest shift of a channel's mean."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for one in held:
        sr = upscale(one.lr)
        luma = to_8_bit(studio_luma(sr))
        ours, theirs = crop_border(luma, SCALE), crop_border(one.hr, SCALE)
        shift = np.abs(sr.mean(axis=(0, 1), dtype=float) - one.lr.mean(axis=(0, 1), dtype=float)).max()
        full = np.asarray(Image.fromarray(sr).convert("L"), dtype=float)
        key = "clean" if one.quality is None else f"JPEG {one.quality}"
        found.setdefault(key, []).append((psnr(ours, theirs), ms_ssim(ours, theirs), niqe(full), float(shift)))
    return {
        key: {
            "psnr_y": round(float(np.mean([row[0] for row in rows])), 3),
            "ms_ssim": round(float(np.mean([row[1] for row in rows])), 4),
            "niqe": round(float(np.mean([row[2] for row in rows])), 3),
            "largest_shift": round(max(row[3] for row in rows), 2),
        }
        for key, rows in found.items()
    }


# The command


def write_checkpoint(net: SRVGGNetCompact, path: Path, metadata: dict[str, str]) -> None:
    """fp16 safetensors; its metadata names what it was begun from and the licence."""
    write_safetensors(path, {key: tensor.half() for key, tensor in net.state_dict().items()}, metadata)


class Curve:
    """Watches a training: measures every few minutes, prints a line, keeps the point and a checkpoint."""

    def __init__(self, held: Sequence[Held], recipe: Recipe, checkpoint: Path | None, every: float = 240) -> None:
        self.points: list[dict[str, Any]] = []
        self._held, self._recipe, self._checkpoint, self._every = held, recipe, checkpoint, every
        self._began = self._last = time.monotonic()
        self._losses: list[float] = []

    def __call__(self, step: int, loss: float, averaged: SRVGGNetCompact) -> None:
        self._losses.append(loss)
        now = time.monotonic()
        if now - self._last < self._every and step != self._recipe.steps:
            return
        point = {
            "step": step,
            "seconds": round(now - self._began),
            "mean_loss": float(f"{np.mean(self._losses):.4g}"),
            **{key: row["psnr_y"] for key, row in scores(by_net(averaged), self._held).items()},
        }
        print(*(f"{key} {value}" for key, value in point.items()), flush=True)
        self.points.append(point)
        self._losses.clear()
        if self._checkpoint is not None:
            write_checkpoint(averaged, self._checkpoint, {"arch": "srvgg", "scale": str(SCALE), "data": "unfinished"})
        self._last = time.monotonic()


def make_checkpoint(arguments: argparse.Namespace, recipe: Recipe) -> None:
    """Makes the pairs, trains, writes the checkpoint and its log."""
    pairs = make_pairs(arguments.data, arguments.cache, recipe, arguments.workers)
    start = load_net(arguments.start, say=print)
    net = SRVGGNetCompact(3, recipe.num_feat, recipe.num_conv, SCALE)
    net.load_state_dict({key: tensor.float() for key, tensor in start.state_dict.items()})
    kodak = list(held_out(arguments.eval / "Kodak24", 24))
    begun_from = build_net(start).eval()
    curve = Curve(kodak[: 3 * 8], recipe, arguments.checkpoint)
    batches = pairs.batches(recipe.patches, recipe.crop, np.random.default_rng(recipe.seed))
    trained = taught_by(batches, net, recipe, curve)
    names = sorted(path.name for path in arguments.data.iterdir() if path.is_dir())
    path = arguments.out / arguments.name
    write_checkpoint(
        trained, path,
        {
            "arch": "srvgg", "scale": str(SCALE), "activation": "prelu", "licence": arguments.licence,
            "begun_from": arguments.start.name, "data": ", ".join(names),
        },
    )  # fmt: skip
    log = {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "begun_from": {
            "file": arguments.start.name, "sha256": hashlib.sha256(arguments.start.read_bytes()).hexdigest(),
        },
        "recipe": asdict(recipe),
        "data": {"sets": names, "pictures": len(large_enough(arguments.data, recipe.side)), "pairs": recipe.pairs},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "seconds": curve.points[-1]["seconds"],
        "Kodak24": {
            "bicubic": scores(by_bicubic, kodak),
            "begun_from": scores(by_net(begun_from), kodak),
            "trained": scores(by_net(trained.eval()), kodak),
        },
        "curve": curve.points,
    }  # fmt: skip
    arguments.logs.mkdir(parents=True, exist_ok=True)
    (arguments.logs / f"{path.stem}.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(log["Kodak24"]), flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of training sets, one folder each")
    parser.add_argument("--eval", type=Path, required=True, help="folder with Kodak24")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the pairs, about 210 kB each")
    parser.add_argument("--start", type=Path, default=REPOSITORY / "weights/photo-lite-crisp-x4.safetensors")
    parser.add_argument("--workers", type=int, default=2, help="processes that make pairs; default: %(default)s")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "weights", help="folder of the checkpoint")
    parser.add_argument("--name", default="photo-lite-x4.safetensors", help="of the checkpoint; default: %(default)s")
    parser.add_argument("--licence", default="", help="of the checkpoint, in its metadata")
    parser.add_argument("--logs", type=Path, default=REPOSITORY / "training/logs", help="folder of the JSON log")
    parser.add_argument("--checkpoint", type=Path, help="file for the averaged net of every few minutes")
    add_options(parser, Recipe())
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    make_checkpoint(arguments, changed(Recipe(), arguments))


if __name__ == "__main__":
    main()
