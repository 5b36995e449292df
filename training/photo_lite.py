"""Distils the bundled photo net: a small SRVGGNetCompact learns to give what a large one gives.

    python -m training.photo_lite --data FOLDER --eval FOLDER --teacher realesr-general-x4v3.safetensors --cache FOLDER

The teacher is realesr-general-x4v3 (Wang et al., Real-ESRGAN, BSD-3-Clause). It was trained with a discriminator, which
is why its pictures look sharp; the student needs none, for the teacher's answer to an LR is one certain picture. LR
comes from training pictures by degradation.py. Pairs of LR and the teacher's SR are made once, into the cache.
"""

import argparse
import hashlib
import json
import math
import multiprocessing
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from training.degradation import CLEAN, HEAVY, LIGHT, Pixels8, degrade
from training.espcn import REPOSITORY
from training.files import picture_files, write_safetensors
from training.recipes import add_options, changed
from training.soap import Soap
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.inference.device import cpu_is_fast_at_bf16
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.loading import build_net, load_net

SCALE: Final = 4
TEACHER: Final = "realesr-general-x4v3 (BSD-3-Clause, (c) 2021 Xintao Wang)"
LICENCE: Final = "BSD-3-Clause (distilled from realesr-general-x4v3, (c) 2021 Xintao Wang; see weights/README.md)"
KINDS: Final = {"heavy": HEAVY, "light": LIGHT, "clean": CLEAN}
HELD_OUT: Final = ("Kodak24", "Set14")
COLOUR_REACH: Final = 12
"""LR pixels; colours are kept over areas that are wider."""
TEXTURE_SIDE: Final = 8
"""SR pixels along both sides of the squares whose texture is compared."""
BATCH: Final = 16
"""Pairs that the teacher is given at once."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the result, besides data and teacher.

    Attributes:
        seed: of the pairs, the first weights, and the order and way in which patches come.
        num_feat, num_conv: of the student.
        pairs: LR patches in all.
        side: of such a patch, in LR pixels.
        heavy, light, clean: shares of the degradations.
        steps: updates in all.
        patches: per step.
        crop: side of what is cut out of a patch for one step, in LR pixels.
        learning_rate: the highest one; it rises over `warm_up` steps and falls as half a cosine.
        slope_rate: that of the activations' slopes, which Adam steps.
        edges, texture: weights in the loss; see `distance`.
        average: memory of the averaged weights, which are the ones that are written.
        threads: of torch while it learns.
    """

    seed: int = 1
    num_feat: int = 32
    num_conv: int = 12
    pairs: int = 6_000
    side: int = 64
    heavy: float = 0.35
    light: float = 0.45
    clean: float = 0.2
    steps: int = 18_000
    patches: int = 8
    crop: int = 40
    learning_rate: float = 2e-3
    warm_up: int = 300
    slope_rate: float = 1e-3
    edges: float = 1.0
    texture: float = 1.0
    average: float = 0.999
    threads: int = 1

    def rate_at(self, step: int) -> float:
        """Share of the highest learning rate, of step 1 to `steps`."""
        cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
        return min(1.0, step / self.warm_up) * max(cosine, 1e-3)


@dataclass(frozen=True, slots=True)
class Pairs:
    """What the teacher makes of LR patches.

    Attributes:
        lr: (N, side, side, 3) uint8.
        sr: (N, 4 * side, 4 * side, 3) uint8, the teacher's.
    """

    lr: Pixels8
    sr: Pixels8

    def batches(self, patches: int, crop: int, random: np.random.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Without end: (patches, 3, crop, crop) and the SR of that part, in [0, 1], turned in one of eight ways."""
        count, side = len(self.lr), self.lr.shape[1]
        while True:
            order = random.permutation(count)
            for start in range(0, count - patches + 1, patches):
                top, left = random.integers(0, side - crop + 1, 2)
                chosen, way = np.sort(order[start : start + patches]), int(random.integers(8))
                rows, columns = slice(top, top + crop), slice(left, left + crop)
                lr = self.lr[chosen, rows, columns]
                sr = self.sr[chosen, SCALE * top : SCALE * (top + crop), SCALE * left : SCALE * (left + crop)]
                yield _as_input(lr, way), _as_input(sr, way)


def _as_input(pixels: Pixels8, way: int) -> Tensor:
    """(N, H, H, 3) uint8 to (N, 3, H, H) in [0, 1], in one of the eight ways a square can lie."""
    planes = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2)
    if way & 4:
        planes = planes.transpose(2, 3)
    planes = planes.flip([axis for axis, bit in ((2, 1), (3, 2)) if way & bit])
    return planes.contiguous(memory_format=torch.channels_last).float().div_(255)


# Pairs


def make_pairs(data: Path, teacher: Path, cache: Path, recipe: Recipe, workers: int) -> Pairs:
    """The pairs in the cache; made there, if they are not yet.

    Each pair depends on the seed and its own number alone, whatever the workers.
    """
    cache.mkdir(parents=True, exist_ok=True)
    made = cache / "made.json"
    reported = json.dumps({key: getattr(recipe, key) for key in ("seed", "pairs", "side", "heavy", "light", "clean")})
    if not (made.is_file() and made.read_text(encoding="utf-8") == reported):
        for name, side in (("lr", recipe.side), ("sr", SCALE * recipe.side)):
            _memory_map(cache / f"{name}.npy", (recipe.pairs, side, side, 3))
        starts = range(0, recipe.pairs, BATCH)
        begin = time.monotonic()
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, context, _open_worker, (data, teacher, cache, recipe)) as pool:
            for done in pool.map(_make_batch, starts):
                if done % (20 * BATCH) == 0:
                    print(f"pairs {done} of {recipe.pairs}, {time.monotonic() - begin:.0f} s", flush=True)
        made.write_text(reported, encoding="utf-8")
    lr, sr = (np.load(cache / f"{name}.npy", mmap_mode="r") for name in ("lr", "sr"))
    return Pairs(lr, sr)


def _memory_map(path: Path, shape: tuple[int, ...]) -> None:
    np.lib.format.open_memmap(path, "w+", np.uint8, shape).flush()


class _Worker:
    """One process that makes pairs: its pictures, its copy of the teacher."""

    def __init__(self, data: Path, teacher: Path, cache: Path, recipe: Recipe) -> None:
        torch.set_num_threads(1)
        self.recipe = recipe
        self.pictures = [read(path) for path in large_enough(data, recipe.side)]
        self.teacher = _channels_last(build_net(load_net(teacher, say=print)).eval().bfloat16())
        self.lr, self.sr = (np.load(cache / f"{name}.npy", mmap_mode="r+") for name in ("lr", "sr"))

    def make(self, start: int) -> int:
        stop = min(start + BATCH, self.recipe.pairs)
        for number in range(start, stop):
            random = np.random.default_rng((self.recipe.seed, number))
            self.lr[number] = degraded(cut_out(self.pictures, SCALE * self.recipe.side, random), self.recipe, random)
        self.sr[start:stop] = taught(self.teacher, self.lr[start:stop])
        return start


def _channels_last(net: nn.Module) -> nn.Module:
    """The same net; its weights lie as convolutions on CPUs like them best."""
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


_worker: _Worker | None = None


def _open_worker(data: Path, teacher: Path, cache: Path, recipe: Recipe) -> None:
    global _worker
    _worker = _Worker(data, teacher, cache, recipe)


def _make_batch(start: int) -> int:
    assert _worker is not None
    return _worker.make(start)


def large_enough(folder: Path, side: int) -> list[Path]:
    """The pictures that a patch of so many LR pixels a side can be cut out of."""
    least = SCALE * side
    return [path for path in picture_files(folder) if min(read(path).shape[:2]) >= least]


def read(path: Path) -> Pixels8:
    """(H, W, 3) RGB."""
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


def cut_out(pictures: Sequence[Pixels8], side: int, random: np.random.Generator) -> Pixels8:
    """A square of one of the pictures; half of the time a larger one, shrunk, for detail of every size."""
    picture = pictures[int(random.integers(len(pictures)))]
    taken = side if random.random() < 0.5 else int(random.integers(side, min(picture.shape[:2]) + 1))
    top, left = (int(random.integers(length - taken + 1)) for length in picture.shape[:2])
    square = picture[top : top + taken, left : left + taken]
    if taken == side:
        return square.copy()
    return np.array(Image.fromarray(square).resize((side, side), Image.Resampling.BICUBIC))


def degraded(hr: Pixels8, recipe: Recipe, random: np.random.Generator) -> Pixels8:
    """LR of HR, by one of the kinds."""
    shares = (recipe.heavy, recipe.light, recipe.clean)
    return degrade(hr, list(KINDS.values())[int(random.choice(3, p=shares))], random, SCALE)


@torch.no_grad()
def taught(net: nn.Module, lr: Pixels8) -> Pixels8:
    """(N, H, W, 3) uint8 to what a net makes of it, (N, 4 H, 4 W, 3) uint8; in the net's own precision."""
    dtype = next(net.parameters()).dtype
    planes = _as_input(lr, way=0).to(dtype)
    sr = net(planes).float().mul_(255).round_().clamp_(0, 255).byte()
    pixels: Pixels8 = sr.permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


# Learning


def train(pairs: Pairs, recipe: Recipe, report: Callable[[int, float, nn.Module], None]) -> SRVGGNetCompact:
    """The student of averaged weights after all steps; `report` is told step, loss and it after every one."""
    torch.manual_seed(recipe.seed)
    net = SRVGGNetCompact(3, recipe.num_feat, recipe.num_conv, SCALE)
    batches = pairs.batches(recipe.patches, recipe.crop, np.random.default_rng(recipe.seed))
    return taught_by(((lr, in_true_colours(sr, lr)) for lr, sr in batches), net, recipe, report)


class Learning(Protocol):
    """What of a recipe decides how a net learns; see `Recipe`."""

    @property
    def num_feat(self) -> int: ...
    @property
    def num_conv(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def slope_rate(self) -> float: ...
    @property
    def edges(self) -> float: ...
    @property
    def texture(self) -> float: ...
    @property
    def average(self) -> float: ...
    @property
    def threads(self) -> int: ...
    def rate_at(self, step: int) -> float: ...


def taught_by(
    batches: Iterator[tuple[Tensor, Tensor]],
    net: SRVGGNetCompact,
    recipe: Learning,
    report: Callable[[int, float, SRVGGNetCompact], None],
) -> SRVGGNetCompact:
    """The net of averaged weights after all steps; `report` is told step, loss and it after every one.

    Args:
        batches: LR, and what the net is to give for it, both in [0, 1].
        net: with its first weights; it is changed.
    """
    torch.set_num_threads(recipe.threads)
    averaged = SRVGGNetCompact(3, recipe.num_feat, recipe.num_conv, SCALE)
    averaged.load_state_dict(net.state_dict())
    _channels_last(net)
    soap = Soap(module for module in net.modules() if isinstance(module, nn.Conv2d))
    adam = torch.optim.Adam([module.weight for module in net.modules() if isinstance(module, nn.PReLU)])
    is_fast = cpu_is_fast_at_bf16()
    for step, (lr, target) in zip(range(1, recipe.steps + 1), batches, strict=False):
        with torch.autocast("cpu", torch.bfloat16, enabled=is_fast):
            sr = net(lr)
        loss = distance(sr.float(), target, recipe.edges, recipe.texture)
        net.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        soap.step(recipe.learning_rate * recipe.rate_at(step))
        for group in adam.param_groups:
            group["lr"] = recipe.slope_rate * recipe.rate_at(step)
        adam.step()
        with torch.no_grad():
            memory = min(recipe.average, step / (step + 20))
            for mean, parameter in zip(averaged.parameters(), net.parameters(), strict=True):
                mean.lerp_(parameter, 1 - memory)
        report(step, loss.item(), averaged)
    return averaged


def in_true_colours(sr: Tensor, lr: Tensor) -> Tensor:
    """SR whose colours are LR's again wherever a few pixels are averaged; its detail stays.

    The teacher shifts colours: by up to 8 levels of 255 over whole pictures, by 20 in places, and differently in each.
    What it takes for noise is finer than `COLOUR_REACH`, and is not brought back.

    Args:
        sr: (N, 3, 4 H, 4 W).
        lr: (N, 3, H, W).
    """
    shift = F.avg_pool2d(sr, SCALE) - lr
    shift = F.pad(shift, (COLOUR_REACH,) * 4, mode="replicate")
    for _ in range(2):  # a box twice: a tent, which leaves no steps
        shift = F.avg_pool2d(shift, COLOUR_REACH + 1, stride=1)
    return sr - F.interpolate(shift, scale_factor=SCALE, mode="bilinear", align_corners=False)


def distance(sr: Tensor, target: Tensor, edges: float, texture: float) -> Tensor:
    """Mean absolute difference of the pixels, of the steps between neighbours, and of how strong these are around.

    A net that is too small to put each blade of grass where the teacher puts it would rather draw none; the last term
    asks for as much texture in each place as the teacher has, wherever its lines lie.

    Args:
        sr, target: (N, 3, H, W).
        edges, texture: weights of the latter two.
    """
    loss = (sr - target).abs().mean()
    for dim in (2, 3):
        ours, theirs = sr.diff(dim=dim), target.diff(dim=dim)
        strength = F.avg_pool2d(ours.abs(), TEXTURE_SIDE) - F.avg_pool2d(theirs.abs(), TEXTURE_SIDE)
        loss = loss + edges * (ours - theirs).abs().mean() + texture * strength.abs().mean()
    return loss


# Measuring


def held_out(folder: Path, recipe: Recipe) -> list[Pixels8]:
    """LR of pictures that no training has seen, each kind of degradation in turn; 96 pixels a side, or less."""
    lrs = []
    for number, path in enumerate(path for name in HELD_OUT for path in picture_files(folder / name)):
        random = np.random.default_rng((recipe.seed, 1_000_000 + number))
        hr = read(path)[: 96 * SCALE, : 96 * SCALE]
        lrs.append(degrade(hr, list(KINDS.values())[number % 3], random, SCALE))
    return lrs


def true_teacher(teacher: nn.Module, lr: Pixels8) -> Pixels8:
    """What the student is to give: the teacher's SR in LR's colours."""
    sr = in_true_colours(_as_input(by_net(teacher)(lr)[None], way=0), _as_input(lr[None], way=0))
    pixels: Pixels8 = sr[0].permute(1, 2, 0).mul(255).round().clamp(0, 255).byte().contiguous().numpy()
    return pixels


def agreement(upscale: Callable[[Pixels8], Pixels8], lrs: Sequence[Pixels8], teachers: Sequence[Pixels8]) -> float:
    """Mean PSNR in dB on RGB between what is made of each LR and what the teacher makes of it."""
    return round(float(np.mean([psnr(upscale(lr), sr) for lr, sr in zip(lrs, teachers, strict=True)])), 3)


def by_net(net: nn.Module) -> Callable[[Pixels8], Pixels8]:
    """A net as a function of one picture."""
    return lambda lr: taught(net, lr[None])[0]


def by_bicubic(lr: Pixels8) -> Pixels8:
    height, width = lr.shape[:2]
    return np.asarray(Image.fromarray(lr).resize((SCALE * width, SCALE * height), Image.Resampling.BICUBIC))


def colour_shift(net: nn.Module, lrs: Sequence[Pixels8]) -> float:
    """How far SR, shrunk again, is from LR on average over each picture: the largest of all channels, levels of 255."""
    worst = 0.0
    for lr in lrs:
        shift = by_net(net)(lr).mean(axis=(0, 1), dtype=np.float64) - lr.mean(axis=(0, 1), dtype=np.float64)
        worst = max(worst, float(np.abs(shift).max()))
    return round(worst, 2)


def seconds_each(nets: dict[str, nn.Module], repeats: int = 5) -> dict[str, float]:
    """Median seconds for 256 x 256 LR pixels in fp32, the nets in turn."""
    lr = torch.rand(1, 3, 256, 256).contiguous(memory_format=torch.channels_last)
    taken: dict[str, list[float]] = {name: [] for name in nets}
    with torch.inference_mode():
        for _ in range(repeats + 1):
            for name, net in nets.items():
                begin = time.perf_counter()
                net(lr)
                taken[name].append(time.perf_counter() - begin)
    return {name: round(float(np.median(seconds[1:])), 4) for name, seconds in taken.items()}


# The command


def write_checkpoint(net: SRVGGNetCompact, path: Path, data: str) -> None:
    """fp16 safetensors; its metadata names the teacher and the licence."""
    metadata = {
        "arch": "srvgg", "scale": str(SCALE), "activation": "prelu", "licence": LICENCE, "teacher": TEACHER,
        "data": data,
    }  # fmt: skip
    write_safetensors(path, {key: tensor.half() for key, tensor in net.state_dict().items()}, metadata)


class Curve:
    """Watches a training: measures every few minutes, prints a line, keeps the point and a checkpoint."""

    def __init__(
        self, lrs: Sequence[Pixels8], teachers: Sequence[Pixels8], recipe: Recipe, checkpoint: Path | None
    ) -> None:
        self.points: list[dict[str, Any]] = []
        self._lrs, self._teachers, self._recipe, self._checkpoint = lrs, teachers, recipe, checkpoint
        self._began = self._last = time.monotonic()
        self._losses: list[float] = []

    def __call__(self, step: int, loss: float, averaged: nn.Module) -> None:
        self._losses.append(loss)
        now = time.monotonic()
        if now - self._last < 120 and step != self._recipe.steps:
            return
        point = {
            "step": step,
            "seconds": round(now - self._began),
            "mean_loss": float(f"{np.mean(self._losses):.4g}"),
            "psnr_to_teacher": agreement(by_net(averaged), self._lrs, self._teachers),
        }
        print(*(f"{key} {value}" for key, value in point.items()), flush=True)
        self.points.append(point)
        self._losses.clear()
        if self._checkpoint is not None:
            assert isinstance(averaged, SRVGGNetCompact)
            write_checkpoint(averaged, self._checkpoint, data="unfinished")
        self._last = time.monotonic()


def make_checkpoint(arguments: argparse.Namespace, recipe: Recipe) -> None:
    """Makes the pairs, trains, writes the checkpoint and its log."""
    pairs = make_pairs(arguments.data, arguments.teacher, arguments.cache, recipe, arguments.workers)
    teacher = _channels_last(build_net(load_net(arguments.teacher, say=print)).eval())
    lrs = held_out(arguments.eval, recipe)
    teachers = [true_teacher(teacher, lr) for lr in lrs]
    curve = Curve(lrs, teachers, recipe, arguments.checkpoint)
    student = train(pairs, recipe, curve)
    names = sorted(path.name for path in arguments.data.iterdir() if path.is_dir())
    path = arguments.out / "photo-lite-crisp-x4.safetensors"
    write_checkpoint(student, path, data=", ".join(names))
    written = _channels_last(build_net(load_net(path, say=print)).eval())
    seconds = seconds_each({"teacher": teacher, "student": written})
    log = {
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "teacher": TEACHER,
        "recipe": asdict(recipe),
        "data": {"sets": names, "pictures": len(large_enough(arguments.data, recipe.side)), "pairs": recipe.pairs},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "seconds": curve.points[-1]["seconds"],
        "held_out": {
            "sets": HELD_OUT,
            "pictures": len(lrs),
            "psnr_to_teacher": {
                "student": agreement(by_net(written), lrs, teachers),
                "bicubic": agreement(by_bicubic, lrs, teachers),
                "espcn": agreement(partial(Upscaler("espcn", device="cpu"), scale=SCALE), lrs, teachers),
            },
            "colour_shift": {"student": colour_shift(written, lrs), "teacher": colour_shift(teacher, lrs)},
        },
        "seconds_for_256x256_fp32": {**seconds, "threads": torch.get_num_threads()},
        "curve": curve.points,
    }
    arguments.logs.mkdir(parents=True, exist_ok=True)
    (arguments.logs / "photo-lite-crisp-x4.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(log["held_out"]), json.dumps(log["seconds_for_256x256_fp32"]), flush=True)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of training sets, one folder each")
    parser.add_argument("--eval", type=Path, required=True, help=f"folder with {' and '.join(HELD_OUT)}")
    parser.add_argument("--teacher", type=Path, required=True, help="checkpoint of the teacher")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the pairs, about 210 kB each")
    parser.add_argument("--workers", type=int, default=2, help="processes that make pairs; default: %(default)s")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "weights", help="folder of the checkpoint")
    parser.add_argument("--logs", type=Path, default=REPOSITORY / "training/logs", help="folder of the JSON log")
    parser.add_argument("--checkpoint", type=Path, help="file for the averaged net of every few minutes")
    add_options(parser, Recipe())
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    make_checkpoint(arguments, changed(Recipe(), arguments))


if __name__ == "__main__":
    main()
