"""Runs jobs in threads of this process, so that pictures are decoded and encoded while the net computes.

Each picture goes all its way in one thread. On GPUs their tiles share batches (`inference/scheduler`). On a CPU each is
computed on its share of the cores: a net that had them all would wait, at each of its layers, for the one that encodes
a JPEG just then.

A clip has threads of its own and keeps every core and every GPU busy: clips are done one at a time, in the thread that
submits them.
"""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from upscale_cli.errors import InterruptedRun
from upscale_cli.events import Event, Listener, naming_source
from upscale_cli.inference.cgroups import cores, processors
from upscale_cli.inference.device import free_host_memory
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import Job, sr_size

MOST_JOBS: Final = 16
"""More pictures at a time have not made any machine faster, and each takes memory."""

MEMORY_SHARE: Final = 0.5
"""Part of the free memory that pictures in progress may take together."""

BYTES_PER_PIXEL: Final = 8
"""Of a picture in memory, generously: 4 channels of 16 bits."""


def default_concurrency() -> int:
    """As many as there are processors: each decodes or encodes while one feeds the net."""
    return max(2, min(MOST_JOBS, processors()))


class ThreadExecutor:
    """Threads of this process.

    Args:
        concurrency: pictures at a time; 1: in the thread that submits them.
    """

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self._room = _Room(int(free_host_memory() * MEMORY_SHARE))
        self._is_closing = threading.Event()
        self._cores = _torch_threads() or cores()
        self._threads = ThreadPoolExecutor(concurrency, "picture")

    def submit(self, job: Job, upscaler: Upscaler, listener: Listener) -> "Future[str]":
        """See `Executor.submit`. Clips, and pictures where they are done one at a time, are done when this returns."""
        if self.concurrency > 1 and not job.fills_machine:
            upscaler.share(self.concurrency)
            return self._threads.submit(self._run, job, upscaler, listener)
        future: Future[str] = Future()
        try:
            future.set_result(self._run(job, upscaler, listener))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """What is in progress ends at its next tile, and leaves nothing behind."""
        self._is_closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        if _torch_threads():
            sys.modules["torch"].set_num_threads(self._cores)  # for threads to come

    def _run(self, job: Job, upscaler: Upscaler, listener: Listener) -> str:
        listener = naming_source(listener, job.name)

        def listen(event: Event) -> None:
            if self._is_closing.is_set():
                raise InterruptedRun
            self._take_share()
            listener(event)

        with self._room.taken(_memory_of(job)):
            self._take_share()
            return job.run(upscaler, listen)

    def _take_share(self) -> None:
        """This thread's part of the cores; the last picture of a run has them all."""
        share = max(1, self._cores // self._room.pictures)
        if _torch_threads() not in (None, share):  # it is a setting of the thread
            sys.modules["torch"].set_num_threads(share)


def _torch_threads() -> int | None:
    """How many threads torch computes with for this one; None where nothing has needed torch yet."""
    read = getattr(sys.modules.get("torch"), "get_num_threads", None)  # another thread may be importing it just now
    return None if read is None else int(read())


def _memory_of(job: Job) -> int:
    """Bytes that a picture takes at most, roughly: as it was, as it is made, and as it is encoded; 0 for clips, whose
    frames are few."""
    if job.fills_machine:
        return 0
    if not all(job.lr_size):
        return int(2 * BYTES_PER_PIXEL * job.megapixels * 1e6)
    (width, height), (sr_width, sr_height) = job.lr_size, sr_size(job)
    return BYTES_PER_PIXEL * (width * height + 2 * sr_width * sr_height)


class _Room:
    """Bytes that pictures in progress may take together; one that needs more than all of them waits until it is alone.

    Attributes:
        pictures: how many are in progress.
    """

    def __init__(self, size: int) -> None:
        self._size, self._taken, self.pictures = size, 0, 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + size <= self._size)
            self._taken += size
            self.pictures += 1
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self.pictures -= 1
                self._changed.notify_all()
