"""The process that watches the owner's folders: the folder run of `upscale DIR --watch`, whose jobs the queue does.

    find_sources  ->  FolderRun  ->  QueueExecutor.submit  ->  Found  ->  pipe  ->  the queue  ->  Settled  ->  Future

Which files are taken and when, what their outputs are called, and what is done already (the manifest) is decided by the
same code as on the command line. Apart from the service, since headers are read here, by decoders that may crash.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.errors import LeftAlone, OutputError, UpscaleError
from upscale_cli.events import Event, Failed, FolderFinished, FolderProgress, Note, Surveyed
from upscale_cli.service.messages_between import (
    Coming,
    Found,
    FromWatcher,
    Made,
    Noted,
    Refused,
    Settled,
    ToWatcher,
    WatcherSetup,
)
from upscale_cli.service.worker_process import end_programs, stand_alone

if TYPE_CHECKING:
    from upscale_cli.batch.folder import FolderRun
    from upscale_cli.batch.options import BatchOptions
    from upscale_cli.events import Listener
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.job import Job


def watch_folders(connection: Connection, setup: WatcherSetup) -> None:
    """The life of the process: until the pipe breaks."""
    stand_alone()
    from filelock import FileLock

    with FileLock(setup.lock, timeout=60):
        _Watcher(connection, setup).run()


class _Watcher:
    """Says through the pipe what comes, and hears what becomes of it.

    Args:
        connection: its end of the pipe.
    """

    def __init__(self, connection: Connection, setup: WatcherSetup) -> None:
        self._connection, self._setup = connection, setup
        self._sending = threading.Lock()
        self._queue = QueueExecutor(self._send, setup.at_once)

    def run(self) -> None:
        """What is there, and then what comes."""
        from upscale_cli.batch.discovery import find_sources
        from upscale_cli.batch.options import BatchOptions
        from upscale_cli.batch.watch import watch

        setup, options = self._setup, BatchOptions(recursive=True, watch=True)
        folders = [str(folder) for folder in setup.folders]
        choice = options.choice(_output(setup))
        run = self._folder_run(options)
        threading.Thread(target=self._hear, args=(run,), name="settled", daemon=True).start()
        watch(
            run, lambda: find_sources(folders, (), choice), folders, setup.output, self._listen,
            recursive=True,
        )  # fmt: skip

    def _folder_run(self, options: "BatchOptions") -> "FolderRun":
        from upscale_cli.batch.folder import FolderRun
        from upscale_cli.jobs.naming import Naming
        from upscale_cli.jobs.plan import Planner
        from upscale_cli.jobs.unused_options import given_for_clips

        request = self._setup.request
        planner = Planner(
            Naming(_output(self._setup), request.format, request.target), request.photo, lambda: request.clip,
            replace(request.net, device=self._setup.device), self._listen, for_clips=given_for_clips(request.clip),
        )  # fmt: skip
        return FolderRun(planner, [request.model], options.rules(skips=True), self._queue)

    def _hear(self, run: "FolderRun") -> None:
        """What has become of what was found, in a thread of its own. Without a service there is no queue: what is not
        done is found again by the next one."""
        try:
            while True:
                message: ToWatcher = self._connection.recv()
                match message:
                    case Settled():
                        self._queue.settle(message)
                    case Made():
                        with contextlib.suppress(OutputError):  # it is done, and only the list of it is not
                            run.made_since(message.source, message.message)
        except (EOFError, OSError):
            end_programs()
            os._exit(1)

    def _send(self, message: FromWatcher) -> None:
        with self._sending:
            self._connection.send(message)

    def _listen(self, event: Event) -> None:
        match event:
            case Note():
                self._send(Noted(event.text))
            case Failed():
                self._send(Refused(event.source, event.message))
            case Surveyed():
                self._send(Coming(event.to_do))
            case FolderProgress():
                self._send(Coming(event.total - event.done - event.skipped - event.failed))
            case FolderFinished():
                self._send(Coming(0))


class QueueExecutor:
    """The service's queue as an `Executor` of a folder run.

    Args:
        send: takes what the service has to know.
        concurrency: files that are in the queue at a time; the others wait here.
    """

    def __init__(self, send: "Callable[[Found], None]", concurrency: int) -> None:
        self._send, self.concurrency = send, concurrency
        self._lock = threading.Lock()
        self._count = 0
        self._futures: dict[int, Future[str]] = {}

    def submit(self, job: "Job", upscaler: "Upscaler", listener: "Listener") -> "Future[str]":  # noqa: ARG002
        """See `Executor.submit`. What happens to the job is told to the service, by the worker that does it."""
        future: Future[str] = Future()
        future.set_running_or_notify_cancel()
        placed = job.absolute()
        if not isinstance(placed.source, Path) or not isinstance(placed.output, Path):
            raise UpscaleError(f"{job.name}: is no file. A service watches folders.")
        with self._lock:
            self._count += 1
            number = self._count
            self._futures[number] = future
        self._send(Found(number, placed.source, placed.output, job.overwrite))
        return future

    def settle(self, settled: Settled) -> None:
        """Ends what was submitted as the queue has ended it."""
        with self._lock:
            future = self._futures.pop(settled.number)
        match settled.state:
            case "done":
                future.set_result(settled.message)
            case "skipped":
                future.set_exception(LeftAlone(settled.message))
            case _:
                future.set_exception(UpscaleError(settled.message or "it was cancelled."))

    def close(self) -> None:
        """Nothing is held; what is in the queue stays there."""


def _output(setup: WatcherSetup) -> str | None:
    return None if setup.output is None else f"{setup.output}{os.sep}"
