"""What a worker of a cluster does with a job, on whatever machine it lives. Knows nothing of Ray, nor of folders.

Order  ->  is this machine fit for it  ->  crew.perform, or stretched.perform_stretch  ->  events ..., Outcome
"""

import logging
import os
import platform
import queue
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from upscale_cli._version import __version__
from upscale_cli.errors import CheckpointError, DeviceError, FFmpegError, InterruptedRun, UpscaleError
from upscale_cli.events import ClipProgress, Event, Listener, Progress
from upscale_cli.executors.ray.shared_files import AnyJob, Sign, absolute
from upscale_cli.files import object_listing
from upscale_cli.files.stamp import Stamp
from upscale_cli.inference.upscaler import Recipe, Upscaler
from upscale_cli.jobs.job import Job
from upscale_cli.jobs.object_job import ObjectJob
from upscale_cli.jobs.perform import perform
from upscale_cli.jobs.video_job import ClipJob
from upscale_cli.jobs.video_plan import chosen_streams
from upscale_cli.jobs.video_segments import Made, StretchJob, perform_stretch, same_ffmpeg
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.models.select import is_checkpoint_path

TELLING_SECONDS: Final = 0.5
"""How often a worker tells of progress: what many workers tell has to go through one process."""

KEPT_UPSCALERS: Final = 2
"""Models that stay loaded; a run with several of them goes through all files by one before the next."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job for a worker, and what it needs to know for it; it can be pickled.

    Attributes:
        recipe: of the upscaler, with a model's name; `device` is the worker's own matter.
        why: that model was chosen, for people.
        identity: what `Upscaler.identity` is where the run began, less the device.
        signs: what the worker has to see.
    """

    job: AnyJob
    recipe: Recipe
    why: str
    identity: Mapping[str, Any]
    signs: tuple[Sign, ...] = ()


@dataclass(frozen=True, slots=True)
class Begun:
    """The worker has taken the order: should it die now, it may be the order's fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an order; one of the three.

    Attributes:
        value: what `perform` or `perform_stretch` gave.
        error: what it raised.
        refusal: why this worker is of no use for orders like this one.
        put: with a value, the object that was put, and what the store has told of it; None: there is none.
    """

    value: "str | Made | None" = None
    error: Exception | None = None
    refusal: str = ""
    put: tuple[str, Stamp] | None = None


class Worker:
    """Does orders, one at a time, with the models loaded once.

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
        """Breaks off the order in hand, from another thread: at its next event, and so that nothing half-done stays."""
        self._is_stopped.set()

    def do(self, order: Order) -> Iterator[Begun | Event | Outcome]:
        """Does an order; events come as they happen, progress a few times a second, and in the end one `Outcome`."""
        yield Begun()
        told: queue.SimpleQueue[Event | Outcome] = queue.SimpleQueue()
        self._listener = self._telling(told)
        threading.Thread(target=lambda: told.put(self._outcome(order)), name="order", daemon=True).start()
        while True:
            event = told.get()
            yield event
            if isinstance(event, Outcome):
                return

    def _telling(self, told: "queue.SimpleQueue[Event | Outcome]") -> Listener:
        last = 0.0

        def listen(event: Event) -> None:
            nonlocal last
            if self._is_stopped.is_set():
                raise InterruptedRun
            if isinstance(event, Progress | ClipProgress):
                if time.monotonic() - last < TELLING_SECONDS:
                    return
                last = time.monotonic()
            told.put(event)

        return listen

    def _outcome(self, order: Order) -> Outcome:
        begin = time.monotonic()
        outcome = self._attempt(order)
        what = outcome.refusal or (f"{type(outcome.error).__name__}: {outcome.error}" if outcome.error else "done")
        self._log.info("%s: %s (%.1f s)", name_of(order.job), what, time.monotonic() - begin)
        return outcome

    def _attempt(self, order: Order) -> Outcome:
        unseen = [str(sign.path) for sign in order.signs if not sign.is_seen()]
        if unseen:
            return Outcome(
                refusal=f"{unseen[0]} is not there what it is where the run began; inputs and outputs have to lie "
                "under the same path on all machines (a shared file system)"
            )
        try:
            _check_ffmpeg(order.job)
            upscaler = self._upscaler(order)
            self._load(order.job, upscaler)
        except (CheckpointError, DeviceError, FFmpegError) as error:
            return Outcome(refusal=str(error).removesuffix("."))
        except Exception as error:
            return Outcome(error=_portable(error))
        if _identity(upscaler) != dict(order.identity):
            model = order.identity["model"]
            other = f"has another {model} than where the run began; give all machines the same files"
            if upscaler.name != model:
                other = f"would take {upscaler.name} where the run began with {model}; say which with -m"
            return Outcome(refusal=f"it {other}")
        try:
            return Outcome(self._perform(order.job, upscaler), put=_put(order.job))
        except Exception as error:
            return Outcome(error=_portable(error))

    def _perform(self, job: AnyJob, upscaler: Upscaler) -> "str | Made":
        if isinstance(job, StretchJob):
            return perform_stretch(job, upscaler, self._tell)
        return perform(job, upscaler, self._tell)

    def _upscaler(self, order: Order) -> Upscaler:
        """The one that the recipe describes, as it was left or new."""
        key = repr(order.recipe)
        if key not in self._upscalers:
            while len(self._upscalers) >= KEPT_UPSCALERS:
                self._upscalers.pop(next(iter(self._upscalers))).close()
            self._upscalers[key] = order.recipe.make(self._tell, device=self._device)
        upscaler = self._upscalers[key]
        upscaler.why = order.why
        return upscaler

    def _tell(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)

    @staticmethod
    def _load(job: AnyJob, upscaler: Upscaler) -> None:
        """Loads the nets that the job takes: what is wrong with them is this machine's fault and no picture's."""
        clip = job.clip if isinstance(job, StretchJob) else job
        if isinstance(clip, ClipJob):
            stream = chosen_streams(clip.clip, clip.options.video_stream)[0]
            plan = upscaler.plan(stream.width, stream.height, clip.target)
        elif isinstance(clip, Job) and all(clip.lr_size):
            plan = upscaler.plan(*clip.lr_size, clip.target)
        else:
            return
        for scale in plan.passes:
            upscaler.engine(scale, 8)


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine says of itself.

    Attributes:
        versions: of what matters, by name.
        gpus: their names.
        models: whose checkpoints are there.
        sees: the sign that was shown to it; None: none was.
    """

    versions: dict[str, str]
    gpus: tuple[str, ...]
    models: tuple[str, ...]
    sees: bool | None


def look(sign: Sign | None = None) -> Facts:
    """Looks at this machine."""
    import torch

    from upscale_cli.models.registry import MODELS
    from upscale_cli.models.store import locate, quiet

    versions = {"upscale-cli": __version__, "torch": torch.__version__, "Python": platform.python_version()}
    gpus = tuple(torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count()))
    models = tuple(f"{spec.model} x{spec.scale}" for spec in MODELS if locate(spec, say=quiet))
    return Facts(versions, gpus, models, None if sign is None else sign.is_seen())


def order_for(job: AnyJob, upscaler: Upscaler, signs: tuple[Sign, ...] = ()) -> Order:
    """The order to do a job as `upscaler` would."""
    model = upscaler.recipe.model
    if model is not None and is_checkpoint_path(model):
        model = os.path.abspath(Path(model).expanduser())
    recipe = Recipe(model, {**upscaler.recipe.options, "device": "auto"})
    return Order(absolute(job), recipe, upscaler.why, _identity(upscaler), signs)


def _put(job: AnyJob) -> tuple[str, Stamp] | None:
    """The object that a job has put, and what was seen of it a moment ago: no store is asked."""
    if not (isinstance(job, ObjectJob) and isinstance(job.output, str)):
        return None
    stamp = object_listing.stamp(job.output)
    return None if stamp is None else (job.output, stamp)


def name_of(job: AnyJob) -> str:
    """For messages."""
    return job.clip.name if isinstance(job, ClipJob) else str(getattr(job, "name", type(job).__name__))


def _check_ffmpeg(job: AnyJob) -> None:
    """
    Raises:
        FFmpegError: a clip's ffmpeg is missing here, or another one than where it was begun.
    """
    if isinstance(job, StretchJob):
        same_ffmpeg(job)
    elif isinstance(job, ClipJob) or (isinstance(job, ObjectJob) and job.is_clip):
        find_ffmpeg()


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
