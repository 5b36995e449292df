"""Which engine runs a net, and in which precision: as asked for, or the one that is fastest on this machine.

    what there is  ->  candidates  ->  each runs the net on a small picture, once for each machine and net  ->  Choice

The choice is kept in the user's cache folder, under everything that it depends on.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from upscale_cli.errors import OptionError, UpscaleError, printable
from upscale_cli.events import Say
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.device import CPU, Device
from upscale_cli.inference.engine_trial import Contender, Sample, race, sample_for
from upscale_cli.inference.engines_here import (
    HALF,
    KNOWN,
    ONNXRUNTIME,
    OPENVINO,
    TORCH,
    asked_as,
    backend,
    callers,
    check,
    installed_as,
    is_installed,
    machine,
    package,
    precisions,
    told,
    version,
)
from upscale_cli.inference.profile import profile
from upscale_cli.messages import option
from upscale_cli.models import store
from upscale_cli.models.cache_limits import Limits, keep_within, used
from upscale_cli.models.interface import LoadedNet, Precision, Scale
from upscale_cli.models.known import known_as

if TYPE_CHECKING:
    from torch import Tensor

RIVALS: Final = (OPENVINO, f"{ONNXRUNTIME}:cpu")
"""Of torch's, on a processor, where nobody asks for an engine."""

LIMITS: Final = Limits(entries=1000, bytes=2**20)
"""Of the choices that are kept."""

MANNER: Final = 3
"""Of trying; what was found in another is tried again."""

SLOW_COMPILE: Final = 0.5
"""Seconds; where compiling takes longer, one candidate of an engine and a precision is enough."""

NOTICEABLE_MACS: Final = 10**6
"""Multiply-adds per LR pixel above which trying takes long enough to be reported."""

ALMOST: Final = 1.15
"""How much slower, for a window, several at a time may be than one alone: they were measured to take a sixth less of
the processor, and while one is computed the next is prepared and the one before put away."""

AHEAD: Final = 1.1
"""How many times as fast as OpenVINO another must run the net by itself: around it OpenVINO takes a tenth less time
from file to file, for 8-bit samples go into its graph and come out of it, and torch has to be loaded, too."""

WORST_RMS: Final[dict[Precision, float]] = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 1e-2, "int8": 3e-2}
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
        int8: beginning of the sha256 of the file that int8 comes from.
        seconds: for one window of the sample, as measured; None where there was no other to compare with.
    """

    engine: str
    version: str
    precision: Precision
    requests: int = 1
    int8: str = ""
    seconds: float | None = None

    @property
    def label(self) -> str:
        """What decides about a pixel, in words: "openvino 2026.4.1 bf16"."""
        precision = f"{self.precision}:{self.int8}" if self.int8 else self.precision
        return " ".join(filter(None, (self.engine, self.version, precision)))

    @property
    def is_here(self) -> bool:
        """Whether this machine has that very engine, and computes so with it."""
        if self.engine == TORCH:
            return True
        if not is_installed(self.engine):
            return False
        try:
            check(self.engine)
        except UpscaleError:
            return False
        return self.version == version(self.engine) and self.precision in precisions(self.engine)

    def backend(self, say: Say) -> Backend:
        """What makes its sessions.

        Args:
            say: takes what the user should know.
        """
        return backend(self.engine, self.requests, say)


def parsed(label: str) -> Choice | None:
    """The choice of a label; None where this version knows no such thing.

    >>> parsed("openvino 2026.4.1 bf16")
    Choice(engine='openvino', version='2026.4.1', precision='bf16', requests=1, int8='', seconds=None)
    """
    engine, *number, last = label.split(" ")
    precision, _, int8 = last.partition(":")
    if engine not in KNOWN or precision not in get_args(Precision) or len(number) > 1:
        return None
    return Choice(engine, "".join(number), cast(Precision, precision), int8=int8)


def int8_name(net: LoadedNet) -> str:
    """What tells its file in 8 bits from others."""
    return net.int8.sha256[:12] if net.int8 is not None else ""


def rivals_here() -> list[str]:
    """Those of `RIVALS` that are installed."""
    return [engine for engine in RIVALS if is_installed(engine)]


def choose(
    net: LoadedNet, scale: Scale, device: Device, wanted: str, precision_in: Callable[[str], Precision], say: Say,
    *, is_free: bool = False, hurries: bool = False, name: str = "",
) -> Choice:  # fmt: skip
    """The engine for a net.

    Args:
        device: where it is to run. Only on a CPU is there a choice.
        wanted: an engine, or "auto".
        precision_in: what it computes in, by the engine.
        say: takes what the user should know.
        is_free: nobody asked for a precision: fp32 is tried too, for there are processors on which half is slower.
        hurries: then its file in 8 bits is tried too.
        name: of the model, for people; "" for what kind of net it is.

    Raises:
        OptionError, DeviceError: the engine that is wanted is not here, or cannot do it.
    """
    plain = Choice(TORCH, "", precision_in(TORCH))
    if net.graph is not None and device.type != "cpu":
        raise OptionError(
            f"an ONNX file does not run on {device} by torch. Choose {option('device', 'cpu')}, with "
            f"{option('engine', f'{ONNXRUNTIME}:cuda')} for a GPU."
        )
    if net.graph is not None and wanted == TORCH:
        raise OptionError(
            f"{option('engine', TORCH)} does not run ONNX files. Choose {option('engine', OPENVINO)} or "
            f"{option('engine', ONNXRUNTIME)}."
        )
    if plain.precision == "int8" and (device.type != "cpu" or wanted == TORCH):
        raise OptionError(
            f"{option('precision', 'int8')} runs on a CPU, by {option('engine', OPENVINO)} or "
            f"{option('engine', ONNXRUNTIME)}. Choose one of them with {option('device', 'cpu')}, or another "
            f"{option('precision')}."
        )
    if device.type != "cpu":
        if wanted not in ("auto", TORCH):
            raise OptionError(
                f"{option('engine', wanted)} does not run on {device}. Choose {option('engine', TORCH)}, or "
                f"{option('device', 'cpu')}."
            )
        return plain
    if wanted == TORCH:
        return plain
    by_torch = net.graph is None and plain.precision != "int8"
    others = [] if wanted == "auto" else _others(net, wanted, precision_in, is_free=is_free)
    eighth = int8_name(net) if is_free and hurries else ""
    place = _file(net, scale, wanted, precision_in, is_free=is_free, int8=eighth)
    found = _remembered(place, wanted)
    if found is not None and (by_torch or found.engine != TORCH):
        return replace(found, int8=int8_name(net)) if found.precision == "int8" else found
    others = others or _others(net, wanted, precision_in, is_free=is_free)
    if eighth:
        others += [
            replace(one, int8=eighth)
            for engine in dict.fromkeys(one.engine for one in others)
            for one in _ways(net, engine, "int8", is_free=False)
        ]
    if plain.precision == "int8":
        others = [replace(one, int8=int8_name(net)) for one in others]
        if not others:
            raise OptionError(
                f"{option('precision', 'int8')} needs {option('engine', OPENVINO)} and a processor with AVX2, or "
                f"{option('engine', ONNXRUNTIME)} and one with VNNI. Choose another {option('precision')}."
            )
    if not others:
        if by_torch:
            return plain
        if rivals_here():
            raise OptionError(
                f"{option('precision', precision_in(OPENVINO))} is not what an engine for ONNX files has here. Choose "
                f"{option('precision', 'auto')} or fp32."
            )
        raise OptionError(
            f"an ONNX file needs an {option('engine')} of its own, and none is here. Install one: "
            f"pip install {package(ONNXRUNTIME)}"
        )
    found = _fastest(net, scale, others, plain, is_wanted=wanted != "auto", say=say)
    _remember(place, name or net.descriptor.name, scale, found, wanted)
    return found


def _others(net: LoadedNet, wanted: str, precision_in: Callable[[str], Precision], *, is_free: bool) -> list[Choice]:
    """What to try beside torch.

    Raises:
        OptionError, DeviceError: the engine that is wanted is not here, or does not compute in that precision.
    """
    if wanted == "auto":
        return [one for engine in rivals_here() for one in _ways(net, engine, precision_in(engine), is_free=is_free)]
    if not is_installed(wanted):
        raise OptionError(
            f"{asked_as(wanted)} is not installed here. Choose {option('engine', TORCH)}, or install it: "
            f"pip install {package(wanted)}"
        )
    check(wanted)
    precision = precision_in(wanted)
    others = list(_ways(net, wanted, precision, is_free=is_free))
    if not others:
        able = ", ".join(sorted(precisions(wanted)))
        raise OptionError(
            f"{asked_as(wanted)} does not compute in {precision} here, but in {able}. Choose another "
            f"{option('precision')}, or another {option('engine')}."
        )
    return others


def _ways(net: LoadedNet, engine: str, precision: Precision, *, is_free: bool) -> Iterator[Choice]:
    """What is worth trying of an engine that is here.

    Several windows at a time share the threads among them: nothing for nets whose pictures are not divided for that,
    which would have one window on one thread.
    """
    if precision in precisions(engine):
        for requests in callers(engine) if net.descriptor.exact else (1,):
            yield Choice(engine, version(engine), precision, requests)
    if is_free and precision != "fp32" and engine not in HALF:
        yield Choice(engine, version(engine), "fp32")


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
    sample = sample_for(net.descriptor, scale, macs)
    ready: list[tuple[Choice, Contender]] = []
    why, done = "", set[tuple[str, Precision]]()
    reference: Tensor | None = None
    for candidate in others:
        way = candidate.engine, candidate.precision
        if way in done:
            continue
        try:
            if reference is None:
                reference = _reference(net, candidate.engine, sample)
            begin = time.perf_counter()
            contender = _contender(net, candidate, say)
            sr = contender.answer(sample)
            if time.perf_counter() - begin > SLOW_COMPILE:
                done.add(way)
            rms = float((sr - reference).square().mean().sqrt())
            if not rms <= WORST_RMS[candidate.precision]:  # NaN, too
                raise ValueError(f"it gives something else than the plain net does: {rms:.2g} rms")
            contender.run(sample)
        except (RuntimeError, ValueError, MemoryError) as error:  # whatever it does not know, others do
            why = why or told(error)
            done.add(way)
            continue
        ready.append((candidate, contender))
    if net.graph is None and plain.precision != "int8" and not is_wanted:
        contender = _contender(net, plain, say)
        contender.answer(sample)
        contender.run(sample)
        ready.append((plain, contender))
    if not ready:
        other = "another" if net.graph is not None or plain.precision == "int8" else TORCH
        raise OptionError(
            f"{asked_as(others[0].engine)} cannot run {net.descriptor.name} ({why}). Choose {option('engine', other)}."
        )
    with suppress(RuntimeError, MemoryError):  # each has run twice: what was measured until then counts
        race([contender for _, contender in ready], sample)
    return _best([replace(choice, seconds=contender.seconds) for choice, contender in ready])


def _contender(net: LoadedNet, choice: Choice, say: Say) -> Contender:
    session = choice.backend(say).load(net, CPU, choice.precision)
    return Contender(session, choice.precision, choice.requests)


def _best(found: Sequence[Choice]) -> Choice:
    """The fastest, but for what `AHEAD` and `ALMOST` say."""

    def counted(choice: Choice) -> float:
        return (choice.seconds or 0.0) * (1.0 if choice.engine == OPENVINO else AHEAD)

    best = min(found, key=counted)
    alike = [one for one in found if one.label == best.label and counted(one) <= ALMOST * counted(best)]
    return max([best, *alike], key=lambda one: one.requests)


def _reference(net: LoadedNet, engine: str, sample: Sample) -> "Tensor":
    """The plain net's answer, in fp32: torch's, or for what torch has no part in, an engine's own."""
    makes = backend(TORCH if net.graph is None else engine, 1)
    return Contender(makes.load(net, CPU, "fp32"), "fp32").answer(sample)


# Remembering


def folder() -> Path:
    """Where choices are kept, one file each."""
    return store.cache_folder() / "engines"


def remembered() -> list[tuple[str, str, Choice]]:
    """(net, its scale, choice) of all that was chosen here, the latest first; an engine that was asked for is none."""
    found = []
    try:
        for path in folder().glob("*.json"):
            try:
                facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                if facts.get("wanted", "auto") != "auto":
                    continue
                one = printable(str(facts["net"])), printable(str(facts["scale"])), Choice(**facts["choice"])
                found.append((path.stat().st_mtime, one))
            except (OSError, ValueError, KeyError, TypeError):
                continue
    except OSError:
        return []
    return [one for _, one in sorted(found, key=lambda item: -item[0])]


def _file(
    net: LoadedNet, scale: Scale, wanted: str, precision_in: Callable[[str], Precision], *, is_free: bool,
    int8: str,
) -> Path:  # fmt: skip
    """Named by all that a choice depends on; no engine is imported for that."""
    engines = [TORCH, *(RIVALS if wanted == "auto" else [wanted])]
    depends_on = [
        MANNER, known_as(net), str(scale), machine(), wanted, is_free,
        *(f"{one}: {installed_as(one)}, {precision_in(one)}" for one in engines if is_installed(one)),
        *([int8] if int8 else []),
    ]  # fmt: skip
    name = hashlib.sha256(json.dumps(depends_on).encode()).hexdigest()[:32]
    return folder() / f"{name}.json"


def _remembered(path: Path, wanted: str) -> Choice | None:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        choice = Choice(**facts["choice"])
        is_known = parsed(choice.label) is not None and choice.requests >= 1
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    used(path)
    return choice if is_known and choice.engine in ((TORCH, *RIVALS) if wanted == "auto" else (wanted,)) else None


def _remember(path: Path, name: str, scale: Scale, choice: Choice, wanted: str) -> None:
    """Best effort: where the folder cannot be written, the next run tries again."""
    facts = {"net": name, "scale": str(scale), "wanted": wanted, "choice": asdict(choice)}
    with suppress(OSError):
        store.write_cached(path, json.dumps(facts).encode())
        keep_within(folder(), LIMITS, path)
