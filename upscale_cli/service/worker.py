"""A worker as the service sees it: a process, the pipe to it, and what it has in progress."""

import contextlib
import multiprocessing
import threading
from collections.abc import Callable
from typing import Final

import psutil

from upscale_cli.service.messages_between import Cancel, FromWorker, Ready, Stop, Task, ToWorker, WorkerSetup
from upscale_cli.service.worker_process import work

PATIENCE_SECONDS: Final = 20.0
"""How long a worker may take to drop a job, or to stop, before it is killed."""

AHEAD: Final = 2
"""Jobs that wait in a worker already, so that it need not wait for the queue's commits between two."""


class Worker:
    """A worker process.

    Args:
        on_message: is called with what it says, in a thread of the worker's.
        on_gone: is called once it has ended, in the same thread.

    Attributes:
        room: how many jobs it takes at once; 0 until it is ready.
        in_progress: the ids of its jobs.
        is_closed: takes one job at a time only, for what it has now needs the whole machine, or is suspected of having
            killed a worker.
        was_ready: it has been, so that a new one is likely to come up.
    """

    def __init__(
        self,
        number: int,
        setup: WorkerSetup,
        on_message: "Callable[[Worker, FromWorker], None]",
        on_gone: "Callable[[Worker], None]",
    ) -> None:
        self.number, self._setup = number, setup
        self._on_message, self._on_gone = on_message, on_gone
        self.room, self.in_progress, self.is_closed = 0, set[str](), False
        self._given, self._count = dict[str, int](), 0
        self.was_ready = False
        context = multiprocessing.get_context("spawn")
        self._connection, there = context.Pipe()
        self._sending = threading.Lock()
        self._process = context.Process(target=work, args=(there, setup), name=f"worker {number}", daemon=True)
        self._process.start()
        there.close()
        self._thread = threading.Thread(target=self._receive, name=f"worker {number}", daemon=True)

    def start(self) -> None:
        """Begins to listen to it."""
        self._thread.start()

    @property
    def device(self) -> str:
        return "ray" if self._setup.ray is not None else self._setup.device

    @property
    def exit_code(self) -> int | None:
        """Below zero: the signal that ended it; None while it lives."""
        return self._process.exitcode

    def takes(self, *, alone: bool) -> bool:
        """Whether it can take a further job now."""
        return self.room > 0 and (not self.in_progress or (not alone and self.left > 0))

    @property
    def left(self) -> int:
        """How many further jobs it can take now, at most."""
        if not self.in_progress:
            return self.room + AHEAD if self.room else 0
        return 0 if self.is_closed else max(0, self.room + AHEAD - len(self.in_progress))

    def give(self, task: Task, *, alone: bool) -> None:
        self._count += 1
        self._given = {id: count for id, count in self._given.items() if id in self.in_progress} | {
            task.id: self._count
        }
        self.in_progress.add(task.id)
        self.is_closed = alone
        self._send(task)

    def cancel(self, id: str) -> None:
        """Asks it to drop a job; kills it where it does not."""
        self._send(Cancel(id))
        # One that is dropped, and given again at once, is another.
        given = self._given.get(id)
        timer = threading.Timer(
            PATIENCE_SECONDS, lambda: self.kill() if id in self.in_progress and self._given.get(id) == given else None
        )
        timer.daemon = True
        timer.start()

    def stop(self) -> None:
        """Asks it to drop everything and to end."""
        self._send(Stop())

    def join(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Waits for its end; kills it where that does not come."""
        self._process.join(seconds)
        if self._process.is_alive():
            self.kill()
            self._process.join()
        if self._thread.ident is not None:
            self._thread.join()

    def kill(self) -> None:
        """Ends it and the programs that it has started."""
        with contextlib.suppress(psutil.Error, TypeError):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
        with contextlib.suppress(ValueError):
            self._process.kill()

    def _send(self, order: ToWorker) -> None:
        with self._sending, contextlib.suppress(OSError):  # one that is gone is heard of by `on_gone`
            self._connection.send(order)

    def _receive(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                message: FromWorker = self._connection.recv()
                if isinstance(message, Ready):
                    self.room, self.was_ready = message.concurrency, True
                self._on_message(self, message)
        self._process.join(PATIENCE_SECONDS)
        self.kill()
        self.room = 0
        self._on_gone(self)
