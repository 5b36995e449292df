"""A worker: a process of its own that does jobs and keeps its nets loaded.

    pipe  ->  Task  ->  Planner  ->  Executor.submit  ->  Happened, Ended  ->  pipe

A process rather than threads of the service: what runs out of memory or crashes in a codec takes a worker along and not
the queue; one that hangs can be killed; and while nets compute, the service answers at once. It is started afresh
(spawn), never forked, and ends by itself when the service is gone, however that ended: the pipe tells.
"""

import os
import queue
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Final

from upscale_cli.errors import InterruptedRun, LeftAlone, OutputError, RoomError, UpscaleError
from upscale_cli.events import ClipFinished, ClipProgress, Event, Finished, Listener, Note, Progress, Started
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.messages import option
from upscale_cli.service.messages_between import (
    UNTOLD,
    Cancel,
    Ended,
    FromWorker,
    Happened,
    Noted,
    Ready,
    Stop,
    Task,
    ToWorker,
    Unable,
    WorkerSetup,
)

if TYPE_CHECKING:
    from upscale_cli.executors.executor import Executor
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.plan import Prepared

LEAST_SECONDS: Final = 0.1
"""Between two reports of progress of one job."""

MOST_WARM: Final = 4
"""Sets of options whose nets stay loaded."""


GRACE_SECONDS: Final = 30.0
"""After SIGTERM, for the service to end this process in order."""


def work(connection: Connection, setup: WorkerSetup) -> None:
    """The life of a worker process."""
    stand_alone()
    from filelock import FileLock

    with FileLock(setup.lock, timeout=60):
        _Worker(connection, setup).run()


def stand_alone() -> None:
    """Ctrl-C in the service's terminal is the service's; and threads that wait are polite (see `cli`).

    SIGTERM may go to all processes of a service (systemd): the service then ends this one, and only where it does not,
    this one ends by itself.
    """
    import signal

    def wait_for_service(*_: object) -> None:
        timer = threading.Timer(GRACE_SECONDS, os._exit, (1,))
        timer.daemon = True
        timer.start()

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, wait_for_service)
    if hasattr(os, "setsid"):
        os.setsid()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


class _Worker:
    """Does what comes through the pipe.

    Args:
        connection: its end of the pipe.
    """

    def __init__(self, connection: Connection, setup: WorkerSetup) -> None:
        self._connection, self._setup = connection, setup
        self._sending = threading.Lock()
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._unwanted = set[str]()
        self._in_progress: dict[str, Listener] = {}
        self._is_stopping = False
        self._warm: OrderedDict[UpscalerOptions, dict[tuple[str, bool], Upscaler]] = OrderedDict()

    def run(self) -> None:
        """All tasks, until it is told to stop."""
        threading.Thread(target=self._listen, name="orders", daemon=True).start()
        try:
            executor = self._executor()
        except UpscaleError as error:
            self._send(Unable(error.message))
            return
        try:
            self._send(Ready(executor.concurrency))
            while (task := self._tasks.get()) is not None:
                self._begin(task, executor)
        finally:
            executor.close()

    def _executor(self) -> "Executor":
        if self._setup.ray is not None:
            from upscale_cli.executors.ray.executor import open_ray_executor

            return open_ray_executor(self._setup.ray, self._say)
        from upscale_cli.executors.threads import ThreadExecutor, default_concurrency

        return ThreadExecutor(self._setup.jobs or default_concurrency())

    def _listen(self) -> None:
        """Takes orders, in a thread of its own, so that a job in progress can be cancelled. Without a service there is
        nobody to work for: what is half done goes on with the next one."""
        try:
            while True:
                order: ToWorker = self._connection.recv()
                match order:
                    case Task():
                        self._tasks.put(order)
                    case Cancel():
                        self._unwanted.add(order.id)
                    case Stop():
                        self._is_stopping = True
                        self._tasks.put(None)
        except (EOFError, OSError):
            end_programs()
            os._exit(1)

    def _send(self, message: FromWorker) -> None:
        with self._sending:
            self._connection.send(message)

    def _say(self, text: str) -> None:
        self._note(Note(text))

    def _note(self, event: Event) -> None:
        """What is about no job in particular, such as a net that is fetched, to all that are in progress."""
        if isinstance(event, Note) and not self._in_progress:
            self._send(Noted(event.text))
        for listener in tuple(self._in_progress.values()):
            listener(event)

    def _begin(self, task: Task, executor: "Executor") -> None:
        """Prepares a job and hands it to the executor."""
        facts: dict[str, Any] = {}
        listener = self._listener(task, facts)
        self._in_progress[task.id] = listener
        try:
            if self._is_stopping:
                raise InterruptedRun
            prepared = self._prepared(task, listener)
            future = executor.submit(prepared.job, prepared.upscaler, listener)
        except Exception as error:
            self._end(task, error)
        else:
            result = prepared.output
            name = result.name if result is not None and not isinstance(result, str) else ""
            future.add_done_callback(self._ending(task, name, facts))

    def _ending(self, task: Task, result: str, facts: dict[str, Any]) -> "Callable[[Future[str]], None]":
        def end(future: "Future[str]") -> None:
            try:
                damage = future.result()
            except BaseException as error:
                self._end(task, error)
            else:
                self._in_progress.pop(task.id, None)
                self._send(Ended(task.id, "done", damage, result, facts))

        return end

    def _end(self, task: Task, error: BaseException) -> None:
        """Reports why a job has no result."""
        self._in_progress.pop(task.id, None)
        is_unwanted = task.id in self._unwanted or self._is_stopping
        self._unwanted.discard(task.id)
        is_crowded = isinstance(error, RoomError) and bool(self._in_progress)  # it is done again, by itself
        if isinstance(error, InterruptedRun) or is_unwanted or is_crowded:
            self._send(Ended(task.id, "interrupted"))
        elif isinstance(error, LeftAlone):
            self._send(Ended(task.id, "skipped", error.message))
        elif isinstance(error, UpscaleError):
            self._send(Ended(task.id, "failed", error.message))
        else:
            self._send(Ended(task.id, "failed", "".join(traceback.format_exception(error)), is_bug=True))

    def _listener(self, task: Task, facts: dict[str, Any]) -> Listener:
        """Passes a job's events on, and ends the job at the next one once it is not wanted any more."""

        told_at = 0.0

        def listen(event: Event) -> None:
            nonlocal told_at
            if self._is_stopping or task.id in self._unwanted:
                raise InterruptedRun
            if isinstance(event, Progress | ClipProgress) and event.done != event.total:
                now = time.monotonic()
                if now - told_at < LEAST_SECONDS:
                    return
                told_at = now
            facts.update(_facts(event))
            if not isinstance(event, UNTOLD):
                self._send(Happened(task.id, event))

        return listen

    def _prepared(self, task: Task, listener: Listener) -> "Prepared":
        """The job of a task.

        Args:
            listener: hears what is said meanwhile, alone: it may name the job's files. What is said later is about
                nets, which are kept for other jobs.

        Raises:
            UpscaleError: it cannot be done.
        """
        from upscale_cli.files.atomic_file import remove_abandoned
        from upscale_cli.jobs.inputs import Input, is_clip_output
        from upscale_cli.jobs.job import sr_size
        from upscale_cli.jobs.naming import Naming, literal
        from upscale_cli.jobs.outputs import Outputs
        from upscale_cli.jobs.plan import Planner
        from upscale_cli.jobs.unused_options import given_for_clips

        request = task.request
        if not task.is_placed:
            task.output.mkdir(parents=True, exist_ok=True)
            remove_abandoned(task.output)  # by a worker that was killed with the job
        source = Input(str(task.source), as_clip=is_clip_output(None, request.format))
        net = replace(request.net, device=self._setup.device)
        place = literal(f"{task.output}{'' if task.is_placed else os.sep}")
        is_prepared = False

        def hear(event: Event) -> None:
            (self._note if is_prepared else listener)(event)

        planner = Planner(
            Naming(place, request.format, request.target), request.photo, lambda: request.clip,
            net, hear, for_clips=given_for_clips(request.clip), upscalers=self._upscalers(net),
        )  # fmt: skip
        (wanted,) = planner.order([source], [request.model])
        try:
            prepared = planner.prepare(planner.open(wanted), Outputs([source], overwrite=request.photo.overwrite))
        finally:
            is_prepared = True
        width, height = sr_size(prepared.job)
        if width * height > task.max_result_pixels:
            raise OutputError(
                f"{prepared.job.name}: {width} x {height} pixels are more than the {task.max_result_pixels:,} that "
                f"are allowed here. Choose a smaller {option('scale')}."
            )
        return prepared

    def _upscalers(self, net: UpscalerOptions) -> "dict[tuple[str, bool], Upscaler]":
        """Those with these options, loaded or to be loaded; of the options that were used longest ago the nets go."""
        kept = self._warm.setdefault(net, {})
        self._warm.move_to_end(net)
        if len(self._warm) > MOST_WARM and len(self._in_progress) <= 1:
            _, old = self._warm.popitem(last=False)
            for upscaler in old.values():
                upscaler.close()
        return kept


def _facts(event: Event) -> dict[str, Any]:
    """What is worth knowing of a job once it is over."""
    if isinstance(event, Started):
        return {
            "model": event.model, "device": event.device, "precision": event.precision, "engine": event.engine,
            "input_width": event.width, "input_height": event.height, "width": event.sr_width,
            "height": event.sr_height, "frames": event.frames,
        }  # fmt: skip
    if isinstance(event, Finished | ClipFinished):
        return {"width": event.width, "height": event.height, "seconds": round(event.seconds, 3)}
    return {}


def end_programs() -> None:
    """Ends ffmpeg, if it is at work: its output is of no use to anyone."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.Error:
            continue
