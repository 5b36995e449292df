"""Trains the bundled real-time nets `swift` and `sharp`, as long as there is time, and writes them with their logs.

    python -m training.compact swift --data FOLDER --eval FOLDER --state FOLDER --minutes 60
    python -m training.compact swift --data FOLDER --eval FOLDER --state FOLDER --decay

The nets are SRVGGNetCompact (models/archs/srvgg.py) of luma, narrow and with ReLUs. What differs from ESPCN's training
(espcn.py) is the schedule: the learning rate stays as it is for as long as one likes, and the state is saved every few
minutes, from which the same command goes on another day; then it falls to nothing within a sixth of the steps, and
that is the net. Hägele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations", NeurIPS
2024, https://arxiv.org/abs/2405.18392.
"""

import argparse
import hashlib
import json
import platform
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.collapsed import LOOKED_AT, Chain, Kernel, folded_sr, revive
from training.damage import MIXES
from training.espcn import (
    LICENCE,
    REPOSITORY,
    _conditions,
    _folders,
    _in_the_wild,
    by_net,
    measure,
    psnr_loss,
    read_references,
)
from training.files import write_safetensors
from training.patches import Patches, clean, cut_patches, flat_corners, read_lumas
from training.recipes import add_options, changed
from training.soap import Soap
from upscale_cli.evaluation.metrics import Plane, bicubic, crop_border, psnr, to_8_bit
from upscale_cli.inference.device import cpu_is_fast_at_bf16
from upscale_cli.models.archs.srvgg import SRVGGNetCompact

CURVE_SETS: Final = ("Set5", "Set14")

SAVED_EVERY: Final = 150.0
"""Seconds between two points of the curve, and two saved states."""

DECAY: Final = 1 / 6
"""Of all steps, those in which the learning rate falls."""

FP32: Final = 0.1
"""Of these, the last ones, in float32; all others compute in bfloat16, where the processor can."""

FLAT: Final = 2
FLAT_SIDE: Final = 12
"""Corners of flat pictures in each step, and the side of each in LR pixels."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the result, besides data and scale.

    Attributes:
        num_feat, num_conv: planes, and convolutions between the first and the last.
        width: planes of the wide convolution that each is trained as; 0: as itself.
        seed: of the first weights, the order of the patches and how they are turned.
        patches: per step.
        middle: side of a patch in LR pixels, without its context: the larger, the less is computed for context alone.
        shrinks: sizes each training picture is used at.
        rounds: how often each is used at each size; more than once is of use only where LR differs each time.
        learning_rate: after `warm_up` steps.
        average: memory of the averaged weights, which are the ones that are written.
        soft: see `psnr_loss`.
        corners: weight of the L2 of flat pictures' corners; above 0 for a net that has learned already.
        mix: of damages, of `damage.MIXES`, for robust kinds.
    """

    num_feat: int
    num_conv: int
    width: int = 0
    seed: int = 1
    patches: int = 8
    middle: int = 48
    shrinks: tuple[float, ...] = (1.0, 0.8, 0.6, 0.5, 0.4)
    rounds: int = 1
    learning_rate: float = 4e-3
    warm_up: int = 200
    average: float = 0.999
    soft: float = 1e-3
    corners: float = 0.0
    mix: str = "wild"


NETS: Final[Mapping[str, Recipe]] = {
    "swift": Recipe(num_feat=16, num_conv=5),
    "sharp": Recipe(num_feat=16, num_conv=8),
}
ROBUST: Final = "-robust"
"""What is behind a net's name where it is made for compressed pictures."""


@dataclass(slots=True)
class Training:
    """A training at some step: what is saved, and gone on with.

    Attributes:
        decay: (step after which the learning rate falls, step at which it has fallen); None as long as it does not.
        seconds, cpu_seconds: that all of it took, of the clock and of the processor.
    """

    recipe: Recipe
    scale: int
    chain: Chain
    averaged: SRVGGNetCompact
    soap: Soap
    step: int = 0
    decay: tuple[int, int] | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    curve: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begun(cls, recipe: Recipe, scale: int, source: Mapping[str, Tensor] | None = None) -> "Training":
        """At step 0.

        Args:
            source: the weights of a net to begin from.
        """
        torch.manual_seed(recipe.seed)
        chain = Chain(scale, recipe.num_feat, recipe.num_conv, recipe.width)
        if source is not None:
            chain.begin_from(dict(source))
        return cls(recipe, scale, chain, chain.net(), Soap(chain.convolutions()))

    @classmethod
    def read(cls, path: Path) -> "Training":
        state = torch.load(path, weights_only=True)
        recipe = Recipe(**{**state["recipe"], "shrinks": tuple(state["recipe"]["shrinks"])})
        training = cls.begun(recipe, state["scale"])
        training.chain.load_state_dict(state["chain"])
        training.averaged.load_state_dict(state["averaged"])
        training.soap.restore(state["soap"])
        training.step, training.curve = state["step"], state["curve"]
        training.seconds, training.cpu_seconds = state["seconds"], state["cpu_seconds"]
        training.decay = None if state["decay"] is None else tuple(state["decay"])
        return training

    def write(self, path: Path) -> None:
        state = {
            "recipe": {**asdict(self.recipe), "shrinks": list(self.recipe.shrinks)}, "scale": self.scale,
            "chain": self.chain.state_dict(), "averaged": self.averaged.state_dict(), "soap": self.soap.state(),
            "step": self.step, "decay": self.decay and list(self.decay), "curve": self.curve,
            "seconds": self.seconds, "cpu_seconds": self.cpu_seconds,
        }  # fmt: skip
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def revive(self, patches: Patches) -> int:
        """Gives channels that no longer learn another beginning; see `collapsed.revive`. Not of nets trained wide."""
        if self.recipe.width:
            raise ValueError("channels can begin again only where a net is not trained wide")
        found = revive(self.chain.convolutions(), patches.some(LOOKED_AT))
        self.averaged = self.chain.net()
        return found

    @property
    def done(self) -> float:
        """Share of the decay that is over; 0 before it."""
        return 0.0 if self.decay is None else (self.step - self.decay[0]) / (self.decay[1] - self.decay[0])

    def learn(self, patches: Patches, watch: "Watch") -> None:
        """Steps until the watch ends it, or the decay is over."""
        recipe = self.recipe
        usual = torch.bfloat16 if cpu_is_fast_at_bf16() else torch.float32  # emulated, a step takes eight times as long
        for batch in patches.batches_after(self.step, recipe.patches, recipe.seed):
            if watch.ends() or self.done >= 1:
                return
            self.step += 1
            kind = torch.float32 if self.done > 1 - FP32 else usual
            kernels = self.chain.kernels()
            loss = psnr_loss(folded_sr(kernels, batch, kind), batch.hr, recipe.soft)
            self.chain.zero_grad()
            (loss + self._corner_loss(kernels)).backward()  # type: ignore[no-untyped-call]
            rate = min(1.0, self.step / recipe.warm_up) * max(1 - self.done**0.5, 1e-3)
            self.soap.step(recipe.learning_rate * rate)
            memory = min(recipe.average, self.step / (self.step + 20))
            with torch.no_grad():
                now = [tensor for kernel in kernels for tensor in kernel]
                torch._foreach_lerp_(list(self.averaged.parameters()), now, 1 - memory)
            watch(self, loss.item())

    def _corner_loss(self, kernels: Sequence[Kernel]) -> Tensor:
        """In float32: of a flat picture bfloat16 leaves nothing but its own rounding to be learned."""
        if not self.recipe.corners:
            return torch.zeros(())
        chance = torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + self.step)
        flat = flat_corners(FLAT, FLAT_SIDE, len(kernels), self.scale, chance)
        return self.recipe.corners * (folded_sr(kernels, flat, torch.float32) - flat.hr).square().mean()


class Watch:
    """Measures and saves a training every few minutes, and says when it is to end.

    Args:
        references: HR studio luma of the sets that the curve shows.
        path: where the state is saved; None: nowhere.
        minutes: after which it is to end; None: never.
        until: step after which it is to end.
    """

    def __init__(
        self, references: Mapping[str, Sequence[Plane]], scale: int, path: Path | None = None,
        minutes: float | None = None, until: int | None = None,
    ) -> None:  # fmt: skip
        self._pairs = {
            name: [(clean(hr, scale), hr) for hr in references[name]] for name in CURVE_SETS if name in references
        }
        self._path, self._until = path, until
        self._last = time.monotonic()
        self._end = None if minutes is None else self._last + 60 * minutes
        self._last_cpu = time.process_time()
        self._losses: list[float] = []
        self._asked_to_end = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within, a signal ends the training, after its state is saved."""

        def end(*_: object) -> None:
            self._asked_to_end = True

        usual = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in usual.items():
                signal.signal(number, handler)

    def ends(self) -> bool:
        return self._asked_to_end

    def __call__(self, training: Training, loss: float) -> None:
        self._losses.append(loss)
        now = time.monotonic()
        is_last = training.step == self._until or training.done >= 1 or (self._end is not None and now >= self._end)
        self._asked_to_end |= is_last
        if now - self._last < SAVED_EVERY and not self._asked_to_end:
            return
        cpu = time.process_time()
        training.seconds += now - self._last
        training.cpu_seconds += cpu - self._last_cpu
        upscale = by_net(training.averaged)
        point: dict[str, Any] = {
            "step": training.step, "seconds": round(training.seconds), "cpu_seconds": round(training.cpu_seconds),
            "mean_loss": float(f"{np.mean(self._losses):.4g}"),
        }  # fmt: skip
        for name, pairs in self._pairs.items():
            border = training.scale
            found = [psnr(crop_border(to_8_bit(upscale(lr)), border), crop_border(hr, border)) for lr, hr in pairs]
            point[f"{name}_psnr"] = round(float(np.mean(found)), 3)
        training.curve.append(point)
        print(*(f"{key} {value}" for key, value in point.items()), flush=True)
        if self._path is not None:
            training.write(self._path)
        self._losses.clear()
        self._last, self._last_cpu = time.monotonic(), time.process_time()


def patches_for(arguments: argparse.Namespace, recipe: Recipe) -> Patches:
    """Of all training pictures; kept beside the state, for cutting takes minutes."""
    halo = recipe.num_conv + 2
    kind = (ROBUST if recipe.mix == "wild" else f"{ROBUST}-{recipe.mix}") if arguments.robust else ""
    path = arguments.state / f"patches{kind}-x{arguments.scale}-{recipe.middle}-{halo}-{recipe.rounds}.pt"
    if path.exists():
        kept = torch.load(path, weights_only=True)
        return Patches(kept["lr"], kept["inside"], kept["hr"], arguments.scale)
    lumas = [luma for folder in arguments.data for luma in read_lumas(folder)]
    make_lr = _in_the_wild(recipe.seed, MIXES[recipe.mix]) if arguments.robust else clean
    patches = cut_patches(lumas * recipe.rounds, arguments.scale, recipe.shrinks, recipe.middle, halo, make_lr)
    torch.save({"lr": patches.lr, "inside": patches.inside, "hr": patches.hr}, path)
    return patches


def write_checkpoint(net: SRVGGNetCompact, path: Path, data: str) -> None:
    """fp32 safetensors whose metadata tells what keys and shapes cannot."""
    metadata = {
        "arch": "srvgg", "scale": str(net.scale), "activation": "relu", "colour": "luma", "luma_range": "full",
        "licence": LICENCE, "data": data,
    }  # fmt: skip
    write_safetensors(path, net.state_dict(), metadata)


def finish(training: Training, arguments: argparse.Namespace, patches: int) -> None:
    """Writes the checkpoint, and its log with all scores."""
    scale, net = training.scale, training.averaged
    kind = f"{arguments.net}{ROBUST if arguments.robust else ''}"
    sets = sorted(folder.name for parent in arguments.data for folder in _folders(parent))
    path = arguments.out / f"{kind}-x{scale}.safetensors"
    write_checkpoint(net, path, data=", ".join(sets))
    weights = [tensor for tensor in net.state_dict().values() if tensor.ndim == 4]
    log = {
        "kind": kind, "file": path.name, "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "scale": scale,
        "macs": sum(weight.numel() for weight in weights),
        "recipe": {**asdict(training.recipe), "steps": training.step, "decay": training.decay},
        "data": {"sets": sets, "patches": patches},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "seconds": round(training.seconds), "cpu_seconds": round(training.cpu_seconds),
        "scores": {
            f"{folder.name}{condition}": {
                "bicubic": asdict(measure(lambda lr: bicubic(lr, scale), planes, scale, make)),
                kind: asdict(measure(by_net(net), planes, scale, make)),
            }
            for folder in _folders(arguments.eval)
            for planes in [read_references(folder, scale)]
            for condition, make in _conditions("espcn-robust" if arguments.robust else "espcn").items()
        },
        "curve": training.curve,
    }  # fmt: skip
    arguments.logs.mkdir(parents=True, exist_ok=True)
    (arguments.logs / f"{kind}-x{scale}.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(log["scores"]), flush=True)


def taken_up(arguments: argparse.Namespace, recipe: Recipe) -> tuple[Training, Path]:
    """The training to go on with, and where its state is saved."""
    name = arguments.trial or f"{arguments.net}{ROBUST if arguments.robust else ''}-x{arguments.scale}"
    stable, falling = (arguments.state / f"{name}{ending}.pt" for ending in ("", "-decay"))
    if not arguments.decay:
        source = None if arguments.begin is None else load_file(arguments.begin)
        training = Training.read(stable) if stable.exists() else Training.begun(recipe, arguments.scale, source)
        return training, stable
    if falling.exists() and not arguments.anew:
        return Training.read(falling), falling
    training = Training.read(stable)
    more = arguments.decay_steps or round(training.step * DECAY / (1 - DECAY))
    training.decay = training.step, training.step + more
    return training, falling


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("net", choices=NETS)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of training sets")
    parser.add_argument("--eval", type=Path, help="folder of held-out sets (Set5, Set14, ...), one folder each")
    parser.add_argument("--state", type=Path, required=True, help="folder of what a training goes on from")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--robust", action="store_true", help="for compressed pictures")
    parser.add_argument("--begin", type=Path, help="checkpoint to begin from: a shallower net, or one of another scale")
    parser.add_argument("--minutes", type=float, help="after which the training pauses")
    parser.add_argument("--until", type=int, help="step after which the training pauses")
    parser.add_argument("--decay", action="store_true", help="lets the learning rate fall, then writes the net")
    parser.add_argument("--revive", action="store_true", help="first, channels that learn nothing begin again")
    parser.add_argument("--decay-steps", type=int, help="default: a sixth of all")
    parser.add_argument("--anew", action="store_true", help="begins a decay again that was interrupted")
    parser.add_argument("--trial", help="name of the state, for anything but the bundled nets: no net is written")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "weights", help="folder of the checkpoints")
    parser.add_argument("--logs", type=Path, default=REPOSITORY / "training/logs", help="folder of the JSON logs")
    add_options(parser, NETS["swift"])
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    arguments = _arguments(argv)
    torch.set_num_threads(1)
    arguments.state.mkdir(parents=True, exist_ok=True)
    training, path = taken_up(arguments, changed(NETS[arguments.net], arguments))
    if arguments.corners is not None:
        training.recipe = replace(training.recipe, corners=arguments.corners)
    patches = patches_for(arguments, training.recipe)
    references = {folder.name: read_references(folder, arguments.scale) for folder in _folders(arguments.eval)}
    watch = Watch(references, arguments.scale, path, arguments.minutes, arguments.until)
    print(f"{path.stem}: {len(patches)} patches, from step {training.step}", flush=True)
    if arguments.revive:
        print(f"{training.revive(patches)} channels begin again", flush=True)
    with watch.listening():
        training.learn(patches, watch)
    if training.done >= 1 and not arguments.trial:
        finish(training, arguments, len(patches))
    elif training.done >= 1:
        log = {"trial": arguments.trial, "recipe": asdict(training.recipe), "curve": training.curve}
        (arguments.state / f"{arguments.trial}.json").write_text(json.dumps(log) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
