"""Trains the bundled ESPCN checkpoints and writes them, with a log of every figure that the model card quotes.

    python -m training.espcn --data FOLDER --eval FOLDER [--kind espcn-robust]

The net is the published one, on luma: Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158 (models/espcn.py), with
ReLU in the place of tanh. The recipe is ours, and training/README.md has the trials behind it: SOAP instead of Adam,
because a net this small is limited by how far one gets in the time and not by the data; the logarithm of each patch's
MSE, as PSNR has it; a cosine schedule; an average of the weights; bfloat16 until the last steps; and patches that know
where the picture ends.
The robust kind differs in its LR alone, which is shrunk and compressed as in the wild (damage.py).
"""

import argparse
import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from training.collapsed import LOOKED_AT, revive
from training.damage import WILD_MIX, Damage, Mix, damaged, draw
from training.files import picture_files, write_safetensors
from training.patches import Batch, MakeLR, Patches, clean, cut_patches, read_lumas
from training.recipes import add_options, changed
from training.soap import Soap
from upscale_cli.evaluation.metrics import (
    Plane,
    bicubic,
    crop_border,
    crop_to_multiple,
    psnr,
    ssim,
    studio_luma,
    to_8_bit,
)
from upscale_cli.inference.device import cpu_is_fast_at_bf16
from upscale_cli.models.archs.espcn import ESPCN

REPOSITORY = Path(__file__).parent.parent
LICENCE = "MIT (weights trained here; training pictures: see weights/README.md)"
BEFORE: Final = ("sha256", "recipe", "versions", "seconds", "curve", "begun_from")
"""What the log of a net says of the one that it was begun from."""

CURVE_SETS = ("Set5", "Set14")
"""Small enough to measure every minute; the others follow at the end."""

Kind = Literal["espcn", "espcn-robust"]
"""Made for clean LR, or for compressed LR of any origin; also the beginning of the files' names."""

WILD: Final[Mapping[str, Damage]] = {
    "JPEG 30": Damage("bicubic", "jpeg", 30),
    "JPEG 75": Damage("bicubic", "jpeg", 75),
    "H.264 28": Damage("bicubic", "h264", 28),
    "area": Damage("area"),
}
"""What the robust kind is measured on in addition to clean LR."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the result, besides data and scale.

    Attributes:
        seed: of the first weights, the order of the patches and how they are turned.
        steps: updates in all.
        patches: per step.
        middle: side of a patch in LR pixels, without its context.
        shrinks: sizes each training picture is used at.
        learning_rate: the highest one; it rises over `warm_up` steps and falls as half a cosine.
        bf16_share: of the steps in bfloat16, where the processor can; those after it are in float32.
        average: memory of the averaged weights, which are the ones that are written.
        activation: "tanh" as published, or "relu", which is better by 0.2 dB here and the faster one on a CPU.
        rounds: how often each picture is used at each size; more than once is of use only where LR differs each time.
        soft: MSE of a patch from which on the loss grows slowly; see `psnr_loss`.
        threads: of torch; another number adds up in another order.
    """

    seed: int = 1
    steps: int = 200_000
    patches: int = 32
    middle: int = 24
    shrinks: tuple[float, ...] = (1.0, 0.8, 0.6, 0.5, 0.4)
    learning_rate: float = 3e-3
    warm_up: int = 200
    bf16_share: float = 0.9
    average: float = 0.999
    threads: int = 1
    activation: Literal["relu", "tanh"] = "relu"
    rounds: int = 1
    soft: float = 1e-3

    def learning_rate_at(self, step: int) -> float:
        """Of step 1 to `steps`."""
        cosine = (1 + math.cos(math.pi * step / self.steps)) / 2
        return self.learning_rate * min(1.0, step / self.warm_up) * max(cosine, 1e-3)

    def average_at(self, step: int) -> float:
        """A shorter memory in the beginning, so that the first weights are soon forgotten."""
        return min(self.average, step / (step + 20))


@dataclass(frozen=True, slots=True)
class Score:
    """Mean over one set of pictures, on luma; dB, and SSIM up to 1."""

    psnr: float
    ssim: float


Report = Callable[[int, float, ESPCN], None]
"""Told after every step: its number, its loss, the averaged net."""


def train(patches: Patches, recipe: Recipe, report: Report, source: Mapping[str, Tensor] | None = None) -> ESPCN:
    """The net of averaged weights after all steps; the same one for the same seed, threads, machine and torch.

    Args:
        source: weights to begin from; their channels that learn nothing begin again.
    """
    torch.manual_seed(recipe.seed)
    torch.set_num_threads(recipe.threads)
    net, averaged = (ESPCN(patches.scale, activation=recipe.activation) for _ in range(2))
    if source is not None:
        net.load_state_dict(source)
        if recipe.activation == "relu":
            revive(_convolutions(net), patches.some(LOOKED_AT))
    averaged.load_state_dict(net.state_dict())
    optimizer = Soap(_convolutions(net))
    batches = patches.batches(recipe.patches, torch.Generator().manual_seed(recipe.seed))
    is_fast = cpu_is_fast_at_bf16()  # where it is emulated, a step takes eight times as long
    for step, batch in zip(range(1, recipe.steps + 1), batches, strict=False):
        done = (step - 1) / recipe.steps
        with torch.autocast("cpu", torch.bfloat16, enabled=is_fast and done < recipe.bf16_share):
            sr = folded_sr(net, batch)
        loss = psnr_loss(sr.float(), batch.hr, recipe.soft)
        net.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step(recipe.learning_rate_at(step))
        with torch.no_grad():
            for mean, parameter in zip(averaged.parameters(), net.parameters(), strict=True):
                mean.lerp_(parameter, 1 - recipe.average_at(step))
        report(step, loss.item(), averaged)
    return averaged


def psnr_loss(sr: Tensor, hr: Tensor, soft: float) -> Tensor:
    """Logarithm of each patch's MSE, as PSNR has it, softened: the few hardest patches do not drown out all others, and
    flat ones do not count for more than can be seen. Near L2 where a patch's MSE is well below `soft`.

    Args:
        sr, hr: (N, C, H, W) in [0, 1].
        soft: MSE at which a patch's weight has fallen to a half.
    """
    mse = (sr - hr).square().mean(dim=(1, 2, 3))
    return soft * (1 + mse / soft).log().mean()


def folded_sr(net: ESPCN, batch: Batch) -> Tensor:
    """What the net makes of the patches' middles, before its sub-pixel layer: shaped as `batch.hr`.

    Equal to the whole picture's forward pass: context comes from the patch, so nothing is padded, and beyond the
    picture's border each layer sees the zeros that its own padding would put there.
    """
    *hidden, last = _convolutions(net)
    x = batch.lr.contiguous(memory_format=torch.channels_last)
    read = 0  # LR pixels of the context used up on each side
    for conv in hidden:
        read += conv.kernel_size[0] // 2
        x = net.activation(F.conv2d(x, conv.weight, conv.bias)) * batch.inside[..., read:-read, read:-read]
    return F.conv2d(x, last.weight, last.bias)


def _convolutions(net: ESPCN) -> list[nn.Conv2d]:
    return [module for module in net.modules() if isinstance(module, nn.Conv2d)]


def read_references(folder: Path, scale: int, *, every: int = 1) -> list[Plane]:
    """HR luma, 8-bit levels, of the pictures in a folder, cropped to a multiple of the scale.

    In studio range, as MATLAB's rgb2ycbcr gives it; gray pictures (Set14's `bridge`) as they are, as the field does.

    Args:
        every: 5 takes a fifth of them.
    """
    planes = []
    for path in picture_files(folder)[::every]:
        with Image.open(path) as picture:
            is_gray = picture.mode == "L"
            pixels = np.asarray(picture if is_gray else picture.convert("RGB"), dtype=np.float64)
        luma = pixels if is_gray else to_8_bit(studio_luma(pixels))
        planes.append(crop_to_multiple(luma, scale))
    return planes


def measure(
    upscale: Callable[[Plane], Plane], references: Iterable[Plane], scale: int, make_lr: MakeLR = clean
) -> Score:
    """PSNR and SSIM by the field's convention (see upscale_cli/metrics.py).

    Args:
        upscale: LR studio luma in 8-bit levels to SR studio luma, not yet rounded.
        references: HR studio luma.
        scale: HR pixels per LR pixel, and the border that is cut.
        make_lr: what makes LR of HR.
    """
    scores = []
    for hr in references:
        sr = to_8_bit(upscale(make_lr(hr, scale)))
        sr, hr = crop_border(sr, scale), crop_border(hr, scale)
        scores.append((psnr(sr, hr), ssim(sr, hr)))
    mean_psnr, mean_ssim = np.mean(scores, axis=0)
    return Score(psnr=round(float(mean_psnr), 3), ssim=round(float(mean_ssim), 4))


def by_net(net: nn.Module) -> Callable[[Plane], Plane]:
    """The net, which wants full-range luma in [0, 1], as a function from studio luma to studio luma."""

    @torch.no_grad()
    def upscale(lr: Plane) -> Plane:
        full = torch.from_numpy((lr - 16) / 219).float()[None, None]
        sr: Plane = net(full)[0, 0].double().numpy() * 219 + 16
        return sr

    return upscale


def write_checkpoint(net: ESPCN, path: Path, data: str) -> None:
    """fp32 safetensors whose metadata tells what keys and shapes cannot (`models/archs/espcn.py` reads it)."""
    activation = "relu" if isinstance(net.activation, nn.ReLU) else "tanh"
    metadata = {
        "arch": "espcn", "scale": str(net.scale), "activation": activation, "colour": "luma", "luma_range": "full",
        "licence": LICENCE, "data": data,
    }  # fmt: skip
    write_safetensors(path, net.state_dict(), metadata)


class Curve:
    """Watches a training: measures about once a minute, prints a line, keeps the point and a checkpoint."""

    def __init__(self, references: Mapping[str, list[Plane]], scale: int, steps: int, checkpoint: Path | None) -> None:
        self.points: list[dict[str, Any]] = []
        self._references = {name: references[name] for name in CURVE_SETS if name in references}
        self._scale, self._steps, self._checkpoint = scale, steps, checkpoint
        self._started = self._last = time.monotonic()
        self._losses: list[float] = []

    def __call__(self, step: int, loss: float, averaged: ESPCN) -> None:
        self._losses.append(loss)
        now = time.monotonic()
        if now - self._last < 60 and step != self._steps:
            return
        scores = {name: measure(by_net(averaged), planes, self._scale) for name, planes in self._references.items()}
        point = {
            "step": step,
            "seconds": round(now - self._started),
            "mean_loss": float(f"{np.mean(self._losses):.4g}"),
            **{f"{name}_psnr": score.psnr for name, score in scores.items()},
        }
        print(f"x{self._scale}", *(f"{key} {value}" for key, value in point.items()), flush=True)
        self.points.append(point)
        self._losses.clear()
        if self._checkpoint is not None:
            write_checkpoint(averaged, self._checkpoint, data="unfinished")
        self._last = time.monotonic()


def make_checkpoint(scale: int, arguments: argparse.Namespace, recipe: Recipe) -> None:
    """Trains one scale, then writes its checkpoint and its log."""
    names = sorted(path.name for path in arguments.data.iterdir() if path.is_dir())
    lumas = list(read_lumas(arguments.data))
    make_lr = clean if arguments.kind == "espcn" else _in_the_wild(recipe.seed)
    halo = ESPCN(scale).halo
    patches = cut_patches(lumas * recipe.rounds, scale, recipe.shrinks, recipe.middle, halo, make_lr)
    references = {path.name: read_references(path, scale) for path in _folders(arguments.eval)}
    print(f"x{scale}: {len(lumas)} pictures, {len(patches)} patches, {recipe.steps} steps", flush=True)

    name = f"{arguments.kind}-x{scale}"
    checkpoint = arguments.checkpoints and arguments.checkpoints / f"{name}.safetensors"
    curve = Curve(references, scale, recipe.steps, checkpoint)
    before = None if arguments.begin is None else json.loads((arguments.logs / f"{name}.json").read_text("utf-8"))
    net = train(patches, recipe, curve, None if arguments.begin is None else load_file(arguments.begin))
    path = arguments.out / f"{name}.safetensors"
    write_checkpoint(net, path, data=", ".join(names))

    log = {
        "kind": arguments.kind,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "scale": scale,
        "recipe": asdict(recipe),
        "data": {"sets": names, "pictures": len(lumas), "patches": len(patches)},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "seconds": curve.points[-1]["seconds"],
        "scores": {
            f"{folder}{condition}": {
                "bicubic": asdict(measure(lambda lr: bicubic(lr, scale), planes, scale, make)),
                arguments.kind: asdict(measure(by_net(net), planes, scale, make)),
            }
            for folder, planes in references.items()
            for condition, make in _conditions(arguments.kind).items()
        },
        "curve": curve.points,
        **({} if before is None else {"begun_from": {key: before[key] for key in BEFORE if key in before}}),
    }
    arguments.logs.mkdir(parents=True, exist_ok=True)
    (arguments.logs / f"{name}.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(log["scores"]), flush=True)


def _in_the_wild(seed: int, mix: Mix = WILD_MIX) -> MakeLR:
    """LR with another damage each time; the same ones for the same seed and order of pictures."""
    random = np.random.default_rng(seed)
    return lambda hr, scale: damaged(hr, scale, draw(random, mix))


def _conditions(kind: Kind) -> dict[str, MakeLR]:
    """What is measured on, by what is written behind a set's name."""
    wild = {f", {name}": partial(damaged, damage=damage) for name, damage in WILD.items()}
    return {"": clean} if kind == "espcn" else {"": clean, **wild}


def _folders(parent: Path | None) -> Iterator[Path]:
    if parent is not None:
        yield from sorted(path for path in parent.iterdir() if path.is_dir())


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of training sets, one folder each")
    parser.add_argument("--eval", type=Path, help="folder of held-out sets (Set5, Set14, ...), one folder each")
    parser.add_argument("--scale", type=int, nargs="+", default=[2, 3, 4], help="one checkpoint each")
    parser.add_argument("--kind", choices=get_args(Kind), default="espcn", help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "weights", help="folder of the checkpoints")
    parser.add_argument("--logs", type=Path, default=REPOSITORY / "training/logs", help="folder of the JSON logs")
    parser.add_argument("--checkpoints", type=Path, help="folder for the averaged net of every minute")
    parser.add_argument("--begin", type=Path, help="checkpoint to begin from; its log is in --logs")
    add_options(parser, Recipe())
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    for scale in arguments.scale:
        make_checkpoint(scale, arguments, changed(Recipe(), arguments))


if __name__ == "__main__":
    main()
