"""The jobs of a run that are in progress: their events and their ends reach the thread that the run is in."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

from upscale_cli.events import Event, Listener
from upscale_cli.executors.executor import Executor
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import Job

Key = TypeVar("Key")

_POLL_SECONDS: Final = 0.2
"""Waits are cut into pieces of this length, because on Windows Ctrl-C does not end one."""


class Pending(Generic[Key]):
    """Submits jobs to an executor, and gives back what becomes of them.

    Args:
        listener: is called with every event, in the thread that has made this.
    """

    def __init__(self, executor: Executor, listener: Listener) -> None:
        self._executor, self._listener = executor, listener
        self._thread = threading.get_ident()
        self._queue: SimpleQueue[Event | tuple[Key, Future[str]]] = SimpleQueue()
        self._count = 0

    def submit(self, key: Key, job: Job, upscaler: Upscaler) -> None:
        """Begins with a job; its key comes back with its end."""
        self._count += 1
        try:
            future = self._executor.submit(job, upscaler, self._listen)
        except BaseException as error:  # Ctrl-C in an executor that works in this very thread
            failed: Future[str] = Future()
            failed.set_exception(error)
            self._queue.put((key, failed))
            raise
        future.add_done_callback(lambda done: self._queue.put((key, done)))

    def ended(self, most: int) -> Iterator[tuple[Key, Future[str]]]:
        """The jobs that have ended, as they do, until at most so many are in progress."""
        while self._count > most or not self._queue.empty():
            try:
                item = self._queue.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            if not isinstance(item, tuple):
                self._listener(item)
                continue
            self._count -= 1
            yield item

    def _listen(self, event: Event) -> None:
        if threading.get_ident() == self._thread:
            self._listener(event)
        else:
            self._queue.put(event)
