"""Which engine runs a net, and in which precision: as asked for, or the one that is fastest on this machine.

    what there is  ->  candidates  ->  each runs the net on a small picture, once for each machine and net  ->  Choice

The choice is kept in the user's cache folder, under everything that it depends on.
"""

import hashlib
import importlib.util
import json
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast, get_args

import torch
from torch import Tensor

from upscale_cli.errors import OptionError
from upscale_cli.events import Say
from upscale_cli.inference.backends.base import Backend, Session
from upscale_cli.inference.backends.torch_eager import TORCH_EAGER
from upscale_cli.inference.device import computing
from upscale_cli.inference.profile import blank_conditions, profile
from upscale_cli.messages import option
from upscale_cli.models import store
from upscale_cli.models.interface import LoadedNet, Precision, Scale
from upscale_cli.models.loading import net_digest

TORCH: Final = "torch"
OPENVINO: Final = "openvino"

SAMPLE_MACS: Final = 3 * 10**9
"""Multiply-adds of the picture that engines are timed on: some hundredths of a second."""

SAMPLE_SIDES: Final = (32, 512)
"""LR pixels of its side, at least and at most."""

TIMED_SECONDS: Final = 0.2
TIMED_RUNS: Final = 5
"""A candidate runs that often, or for that long."""

SLOW_COMPILE: Final = 0.5
"""Seconds; where compiling takes longer, one candidate of an engine is enough."""

NOTICEABLE_MACS: Final = 10**6
"""Multiply-adds per LR pixel above which trying takes long enough to be reported."""

WORST_RMS: Final[dict[Precision, float]] = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 1e-2}
"""Root mean square of what an engine may differ by from torch in fp32, on values in [0, 1]; more is a fault of its own,
and rules it out."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How a net is run.

    Attributes:
        engine: "torch", or another by the name that `--engine` takes.
        version: of the engine; "" for torch, whose versions were seen to give the same pictures.
        precision: it computes in.
        requests: windows that it computes at a time.
        seconds: for one window of the sample, as measured; None where there was no other to compare with.
    """

    engine: str
    version: str
    precision: Precision
    requests: int = 1
    seconds: float | None = None

    @property
    def label(self) -> str:
        """What decides about a pixel, in words: "openvino 2026.4.1 bf16"."""
        return " ".join(filter(None, (self.engine, self.version, self.precision)))

    @property
    def is_here(self) -> bool:
        """Whether this machine has that very engine, and computes so with it."""
        if self.engine == TORCH:
            return True
        if not is_installed(self.engine):
            return False
        from upscale_cli.inference.backends import openvino

        return self.version == openvino.version() and self.precision in openvino.precisions("CPU")

    @property
    def backend(self) -> Backend:
        if self.engine == TORCH:
            return TORCH_EAGER
        from upscale_cli.inference.backends.openvino import OpenVino

        return OpenVino("CPU", self.requests)


def parsed(label: str) -> Choice | None:
    """The choice of a label; None where this version knows no such thing.

    >>> parsed("openvino 2026.4.1 bf16")
    Choice(engine='openvino', version='2026.4.1', precision='bf16', requests=1, seconds=None)
    """
    engine, *version, precision = label.split(" ")
    if engine not in (TORCH, OPENVINO) or precision not in get_args(Precision) or len(version) > 1:
        return None
    return Choice(engine, "".join(version), cast(Precision, precision))


def is_installed(engine: str) -> bool:
    """Whether there is such an engine here; it is not imported for that."""
    return engine == TORCH or importlib.util.find_spec(engine) is not None


def choose(
    net: LoadedNet, scale: Scale, device: torch.device, wanted: str, precision_in: Callable[[str], Precision], say: Say
) -> Choice:
    """The engine for a net.

    Args:
        device: where it is to run. Only on a CPU is there a choice.
        wanted: an engine, or "auto".
        precision_in: what it computes in, by the engine.
        say: takes what the user should know.

    Raises:
        OptionError: the engine that is wanted is not here, or cannot do it.
    """
    plain = Choice(TORCH, "", precision_in(TORCH))
    if device.type != "cpu":
        if wanted not in ("auto", TORCH):
            raise OptionError(
                f"{option('engine', wanted)} does not run on {device}. Choose {option('engine', TORCH)}, or "
                f"{option('device', 'cpu')}."
            )
        return plain
    if wanted == TORCH:
        return plain
    if not is_installed(OPENVINO):
        if wanted == "auto":
            return plain
        raise OptionError(
            f"{option('engine', wanted)} is not installed here. Choose {option('engine', TORCH)}, or install it: "
            f'pip install "upscale-cli[{OPENVINO}]"'
        )
    others = list(_with_openvino(precision_in(OPENVINO)))
    if not others and wanted == OPENVINO:
        raise OptionError(
            f"{option('engine', wanted)} does not compute in {precision_in(OPENVINO)} on this processor. "
            f"Choose another {option('precision')}, or {option('engine', TORCH)}."
        )
    found = _remembered(net, scale, [*others, plain], wanted)
    if found is None:
        found = _fastest(net, scale, others, plain, is_wanted=wanted != "auto", say=say)
        _remember(net, scale, [*others, plain], wanted, found)
    return found


def openvino_precisions() -> frozenset[Precision]:
    """What this processor computes in by OpenVINO."""
    from upscale_cli.inference.backends import openvino

    return openvino.precisions("CPU")


def _with_openvino(precision: Precision) -> Iterator[Choice]:
    """What is worth trying of OpenVINO on this processor."""
    from upscale_cli.inference.backends import openvino

    if precision in openvino.precisions("CPU"):
        for requests in (1, 2, 4):
            if requests <= torch.get_num_threads():
                yield Choice(OPENVINO, openvino.version(), precision, requests)


# Trying


def _fastest(net: LoadedNet, scale: Scale, others: list[Choice], plain: Choice, *, is_wanted: bool, say: Say) -> Choice:
    """Runs the candidates on a small picture.

    Args:
        is_wanted: the user asked for the others: torch is only what they are compared with.

    Raises:
        OptionError: none of the others can do what is wanted.
    """
    macs = profile(net, scale).macs
    if macs > NOTICEABLE_MACS:
        say(f"{net.descriptor.name} is new to this machine: trying which engine runs it fastest, some seconds, once.")
    device = torch.device("cpu")
    lr, given = _sample(net, scale, macs)
    with computing(device, "fp32"):
        reference = TORCH_EAGER.load(net, device, "fp32").run(lr, given)
    found, why, slow = [], "", False
    for candidate in others:
        if slow:
            break
        begin = time.perf_counter()
        try:
            session = candidate.backend.load(net, device, candidate.precision)
            with computing(device, candidate.precision):
                sr = session.run(lr, given)
                slow = time.perf_counter() - begin > SLOW_COMPILE
                rms = float((sr - reference).square().mean().sqrt())
                if not rms <= WORST_RMS[candidate.precision]:  # NaN, too
                    why = f"it gives something else than torch does: {rms:.2g} rms"
                    break
                seconds = _paced(session, lr, given, candidate.requests)
        except (RuntimeError, ValueError, MemoryError) as error:  # whatever it does not know, torch does
            why = str(error).splitlines()[0]
            break
        found.append(Choice(candidate.engine, candidate.version, candidate.precision, candidate.requests, seconds))
    if is_wanted:
        if not found:
            raise OptionError(
                f"{option('engine', others[0].engine)} cannot run {net.descriptor.name} ({why}). "
                f"Choose {option('engine', TORCH)}."
            )
    else:
        session = plain.backend.load(net, device, plain.precision)
        with computing(device, plain.precision):
            session.run(lr, given)
            seconds = _paced(session, lr, given, 1)
        found.append(Choice(plain.engine, plain.version, plain.precision, 1, seconds))
    return min(found, key=lambda one: one.seconds or math.inf)


def _sample(net: LoadedNet, scale: Scale, macs: float) -> tuple[Tensor, dict[str, Tensor]]:
    """(1, C, side, side) of noise on a slope, the same every time, and what the net wants beside it."""
    facts = net.descriptor
    multiple_of = math.lcm(facts.multiple_of, scale.denominator)
    least, most = SAMPLE_SIDES
    side = max(least, facts.least_side, min(most, math.isqrt(int(SAMPLE_MACS / max(macs, 1)))))
    side = math.ceil(side / multiple_of) * multiple_of
    noise = torch.rand(1, facts.channels, side, side, generator=torch.Generator().manual_seed(0))
    lr = 0.25 * noise + 0.75 * torch.linspace(0, 1, side)
    return lr, blank_conditions(facts, side, scale, torch.device("cpu"))


def _paced(session: Session, lr: Tensor, given: dict[str, Tensor], callers: int) -> float:
    """Seconds for a window, where so many are computed at a time; the least of some runs."""
    best, begin = math.inf, time.perf_counter()
    if callers == 1:
        for _ in range(TIMED_RUNS):
            start = time.perf_counter()
            session.run(lr, given)
            best = min(best, time.perf_counter() - start)
            if time.perf_counter() - begin > TIMED_SECONDS:
                break
        return best
    with ThreadPoolExecutor(callers) as pool, torch.no_grad():
        for _ in range(TIMED_RUNS):
            start = time.perf_counter()
            list(pool.map(lambda _: session.run(lr, given), range(callers)))
            best = min(best, (time.perf_counter() - start) / callers)
            if time.perf_counter() - begin > TIMED_SECONDS:
                break
    return best


# Remembering


def folder() -> Path:
    """Where choices are kept, one file each."""
    return store.cache_folder() / "engines"


def _file(net: LoadedNet, scale: Scale, candidates: list[Choice], wanted: str) -> Path:
    from upscale_cli.inference.backends import openvino

    machine = str(openvino.core().get_property("CPU", "FULL_DEVICE_NAME"))
    depends_on = [
        net_digest(net), str(scale), machine, torch.get_num_threads(), torch.__version__, wanted,
        *(f"{one.label} {one.requests}" for one in candidates),
    ]  # fmt: skip
    name = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]
    return folder() / f"{name}.json"


def _remembered(net: LoadedNet, scale: Scale, candidates: list[Choice], wanted: str) -> Choice | None:
    try:
        facts: dict[str, Any] = json.loads(_file(net, scale, candidates, wanted).read_text(encoding="utf-8"))
        choice = Choice(**facts["choice"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return choice if choice.label in {one.label for one in candidates} else None


def _remember(net: LoadedNet, scale: Scale, candidates: list[Choice], wanted: str, choice: Choice) -> None:
    """Best effort: where the folder cannot be written, the next run tries again."""
    path = _file(net, scale, candidates, wanted)
    facts = {"net": net.descriptor.name, "scale": str(scale), "choice": asdict(choice)}
    temporary = path.with_name(f"{path.name}.{time.monotonic_ns()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(facts), encoding="utf-8", newline="\n")
        temporary.replace(path)
    except OSError:
        return
