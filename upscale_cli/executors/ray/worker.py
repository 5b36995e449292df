"""What a worker of a cluster does with work, on its machine. Knows nothing of Ray, nor of folders.

Request  ->  is this machine fit for it  ->  Work.run  ->  events ..., Outcome
"""

import logging
import os
import platform
import queue
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from upscale_cli._version import __version__
from upscale_cli.errors import CheckpointError, DeviceError, FFmpegError, InterruptedRun, UpscaleError
from upscale_cli.events import ClipProgress, Event, Listener, Progress
from upscale_cli.executors.ray.shared_files import Probe
from upscale_cli.files import object_listing
from upscale_cli.files.object_names import is_object
from upscale_cli.files.stamp import Stamp
from upscale_cli.inference.engine_choice import engine_wanted
from upscale_cli.inference.options import BY_OPENVINO, PictureValue
from upscale_cli.inference.upscaler import Recipe, Upscaler
from upscale_cli.jobs.job import Work
from upscale_cli.messages import Message, option
from upscale_cli.models import asked

REPORTING_SECONDS: Final = 0.5
"""How often a worker reports progress: what many workers report has to go through one process."""

KEPT_UPSCALERS: Final = 2
"""Models that stay loaded; a run with several of them goes through all files by one before the next."""


@dataclass(frozen=True, slots=True)
class Request:
    """Work for a worker, and what it needs to know for it; it can be pickled.

    Attributes:
        recipe: of the upscaler, with a model's name; `device` is chosen by the worker.
        why: that model was chosen, for people.
        identity: what `Upscaler.identity` is where the run began, less the device.
        probes: what the worker has to see.
    """

    work: Work[object]
    recipe: Recipe
    why: str
    identity: Mapping[str, Any]
    probes: tuple[Probe, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """The worker has taken the request: should it die now, the request may be the cause."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request; one of the three.

    Attributes:
        value: what `Work.run` gave.
        error: what it raised.
        refusal: why this worker is of no use for requests like this one.
        put: with a value, the object that was put, and what the store returned for it; None: there is none.
    """

    value: object = None
    error: Exception | None = None
    refusal: str = ""
    put: tuple[str, Stamp] | None = None


class Worker:
    """Does what is requested, one thing at a time, with the models loaded once.

    Args:
        device: of the upscalers: "cpu" or "cuda".
        threads: that a net on the CPU may use.
    """

    def __init__(self, device: str, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._device = device
        self._upscalers: dict[str, Upscaler] = {}
        self._listener: Listener | None = None
        self._is_stopped = threading.Event()
        self._log = _log()

    def version(self) -> str:
        """Of this program, there."""
        return __version__

    def stop(self) -> None:
        """Interrupts the work in progress, from another thread: at its next event; nothing half-done stays."""
        self._is_stopped.set()

    def do(self, request: Request) -> Iterator[Begun | Event | Outcome]:
        """Runs the work; events come as they happen, progress a few times a second, and in the end one `Outcome`."""
        yield Begun()
        reported: queue.SimpleQueue[Event | Outcome] = queue.SimpleQueue()
        self._listener = self._reporting(reported)
        threading.Thread(target=lambda: reported.put(self._outcome(request)), name="request", daemon=True).start()
        while True:
            event = reported.get()
            yield event
            if isinstance(event, Outcome):
                return

    def _reporting(self, reported: "queue.SimpleQueue[Event | Outcome]") -> Listener:
        last = 0.0

        def listen(event: Event) -> None:
            nonlocal last
            if self._is_stopped.is_set():
                raise InterruptedRun
            if isinstance(event, Progress | ClipProgress):
                if time.monotonic() - last < REPORTING_SECONDS:
                    return
                last = time.monotonic()
            reported.put(event)

        return listen

    def _outcome(self, request: Request) -> Outcome:
        begin = time.monotonic()
        outcome = self._attempt(request)
        what = outcome.refusal or (f"{type(outcome.error).__name__}: {outcome.error}" if outcome.error else "done")
        self._log.info("%s: %s (%.1f s)", request.work.name, what, time.monotonic() - begin)
        return outcome

    def _attempt(self, request: Request) -> Outcome:
        unseen = [str(probe.path) for probe in request.probes if not probe.is_seen()]
        if unseen:
            return Outcome(
                refusal=f"{unseen[0]} is not there what it is where the run began; inputs and outputs have to lie "
                "under the same path on all machines (a shared file system)"
            )
        try:
            request.work.check_machine()
            upscaler = self._upscaler(request)
            _load(request.work, upscaler)
        except (CheckpointError, DeviceError, FFmpegError) as error:
            return Outcome(refusal=Message(error.marked.removesuffix(".")))
        except Exception as error:
            return Outcome(error=_portable(error))
        if _identity(upscaler) != dict(request.identity):
            model = request.identity["model"]
            other = f"has another {model} than where the run began; give all machines the same files"
            if upscaler.name != model:
                other = f"would take {upscaler.name} where the run began with {model}; choose {option('model')}"
            return Outcome(refusal=Message(f"it {other}"))
        try:
            return Outcome(request.work.run(upscaler, self._listen), put=_put(request.work))
        except Exception as error:
            return Outcome(error=_portable(error))

    def _upscaler(self, request: Request) -> Upscaler:
        """The one that the recipe describes, as it was left or new."""
        key = repr(request.recipe)
        if key not in self._upscalers:
            while len(self._upscalers) >= KEPT_UPSCALERS:
                self._upscalers.pop(next(iter(self._upscalers))).close()
            self._upscalers[key] = request.recipe.make(self._listen, device=self._device)
        upscaler = self._upscalers[key]
        upscaler.why = request.why
        return upscaler

    def _listen(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)


def _load(work: Work[object], upscaler: Upscaler) -> None:
    """Loads the nets that work takes: what is wrong with them is an error of this machine and of no picture."""
    if all(work.lr_size):
        for scale in upscaler.plan(*work.lr_size, work.target).passes:
            upscaler.net(scale, 8)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine reports of itself.

    Attributes:
        versions: of what matters, by name.
        gpus: their names.
        models: whose checkpoints are there.
        sees: the probe that was shown to it; None: none was.
    """

    versions: dict[str, str]
    gpus: tuple[str, ...]
    models: tuple[str, ...]
    sees: bool | None


def look(probe: Probe | None = None) -> Facts:
    """Looks at this machine."""
    import torch

    from upscale_cli.models.registry import MODELS
    from upscale_cli.models.store import locate, quiet

    versions = {"upscale-cli": __version__, "torch": torch.__version__, "Python": platform.python_version()}
    gpus = tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    models = tuple(f"{spec.model} x{spec.scale}" for spec in MODELS if locate(spec, say=quiet))
    return Facts(versions, gpus, models, None if probe is None else probe.is_seen())


def request_for(work: Work[object], upscaler: Upscaler, probes: tuple[Probe, ...] = ()) -> Request:
    """The request to do work as `upscaler` would."""
    model = upscaler.recipe.model
    model = None if model is None else asked.absolute(model)
    options = upscaler.recipe.options
    by_openvino = options.device in BY_OPENVINO
    device = options.device if by_openvino else "auto"
    # What this machine's environment says of engines counts on workers too, whose environment is another.
    engine = options.engine if by_openvino else engine_wanted(options.engine)
    recipe = Recipe(model, replace(options, device=device, engine=engine, mask=_absolute(options.mask),
                                    reference=_absolute(options.reference)))  # fmt: skip
    return Request(work.absolute(), recipe, upscaler.why, _identity(upscaler), probes)


def _absolute(picture: PictureValue | None) -> PictureValue | None:
    """The path of a mask, or of a reference, absolute."""
    return os.path.abspath(Path(picture).expanduser()) if isinstance(picture, str | Path) else picture


def _put(work: Work[object]) -> tuple[str, Stamp] | None:
    """The object that was put, and what was seen of it a moment ago: no store is asked."""
    if not (isinstance(work.output, str) and is_object(work.output)):
        return None
    stamp = object_listing.stamp(work.output)
    return None if stamp is None else (work.output, stamp)


def _identity(upscaler: Upscaler) -> dict[str, Any]:
    return {key: value for key, value in upscaler.identity().items() if key != "device"}


def _portable(error: Exception) -> Exception:
    """An error that can be pickled; of one that is no `UpscaleError`, with the place where it arose."""
    if isinstance(error, UpscaleError):
        return type(error)(*error.args)
    note = "".join(traceback.format_exception(error))
    try:
        made = type(error)(*error.args)
    except Exception:
        made = RuntimeError(f"{type(error).__name__}: {error}")
    made.add_note(f"On a worker:\n{note}")
    return made


def _log() -> logging.Logger:
    """Lines on standard error, which Ray keeps in a file of the worker's own."""
    log = logging.getLogger(f"{__name__}.jobs")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    return log
