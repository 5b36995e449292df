"""The jobs of a run that are under way: what they tell, and how they end, reaches the thread that the run is in."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from upscale_cli.executors.executor import Crew

if TYPE_CHECKING:
    from upscale_cli.events import Event, Listener
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.job import Job
    from upscale_cli.jobs.object_job import ObjectJob
    from upscale_cli.jobs.video_job import ClipJob

Key = TypeVar("Key")

_POLL_SECONDS: Final = 0.2
"""Waits are cut into pieces of this length, because on Windows Ctrl-C does not end one."""


class Hands(Generic[Key]):
    """Submits jobs to a crew, and brings back what becomes of them.

    Args:
        listener: told of everything, in the thread that has made this.
    """

    def __init__(self, crew: Crew, listener: "Listener") -> None:
        self._crew, self._listener = crew, listener
        self._home = threading.get_ident()
        self._mail: SimpleQueue[Event | tuple[Key, Future[str]]] = SimpleQueue()
        self._under_way = 0

    def submit(self, key: Key, job: "Job | ClipJob | ObjectJob", upscaler: "Upscaler") -> None:
        """Begins with a job; its key comes back with its end."""
        self._under_way += 1
        try:
            future = self._crew.submit(job, upscaler, self._tell)
        except BaseException as error:  # Ctrl-C in a crew that works in this very thread
            failed: Future[str] = Future()
            failed.set_exception(error)
            self._mail.put((key, failed))
            raise
        future.add_done_callback(lambda done: self._mail.put((key, done)))

    def ended(self, most: int) -> Iterator[tuple[Key, Future[str]]]:
        """The jobs that have ended, as they do, until at most so many are under way."""
        while self._under_way > most or not self._mail.empty():
            try:
                mail = self._mail.get(timeout=_POLL_SECONDS)
            except Empty:
                continue
            if not isinstance(mail, tuple):
                self._listener(mail)
                continue
            self._under_way -= 1
            yield mail

    def _tell(self, event: "Event") -> None:
        if threading.get_ident() == self._home:
            self._listener(event)
        else:
            self._mail.put(event)
