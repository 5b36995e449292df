"""Does jobs in threads of this process, so that pictures are decoded and encoded beside the net.

Each picture goes all its way in one thread. On GPUs their tiles meet (`dealer`). On a CPU each is computed on its share
of the cores: a net that had them all would wait, at each of its layers, for the one that encodes a JPEG just then.

A clip has threads of its own and keeps every core and every GPU busy: clips are done one at a time, in the thread of
whoever submits them.
"""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import torch

from upscale_cli.errors import InterruptedRun
from upscale_cli.events import Event, Listener, Note
from upscale_cli.inference.device import free_host_memory
from upscale_cli.jobs.job import Job
from upscale_cli.jobs.object_job import ObjectJob
from upscale_cli.jobs.perform import perform
from upscale_cli.jobs.video_job import ClipJob

if TYPE_CHECKING:
    from upscale_cli.inference.upscaler import Upscaler

MOST_HANDS: Final = 16
"""More pictures at a time have not made any machine faster, and each takes memory."""

MEMORY_SHARE: Final = 0.5
"""Part of the free memory that pictures in hand may take together."""

BYTES_PER_PIXEL: Final = 8
"""Of a picture in memory, generously: 4 channels of 16 bits."""


def default_hands() -> int:
    """As many as there are processors: each decodes or encodes while one feeds the net."""
    return max(2, min(MOST_HANDS, os.cpu_count() or 1))


class LocalCrew:
    """Threads of this process.

    Args:
        hands: pictures at a time; 1: in the thread of whoever submits them.
    """

    def __init__(self, hands: int) -> None:
        self.hands = hands
        self._room = _Room(int(free_host_memory() * MEMORY_SHARE))
        self._is_closing = threading.Event()
        self._cores = torch.get_num_threads()
        self._threads = ThreadPoolExecutor(hands, "picture")

    def submit(self, job: Job | ClipJob | ObjectJob, upscaler: "Upscaler", listener: Listener) -> Future[str]:
        """See `Crew.submit`. Clips, and pictures where there is but one hand, are done when this returns."""
        if self.hands > 1 and not is_clip(job):
            upscaler.share(self.hands)
            return self._threads.submit(self._do, job, upscaler, listener)
        future: Future[str] = Future()
        try:
            future.set_result(self._do(job, upscaler, listener))
        except Exception as error:
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Whatever is under way ends at its next tile, and leaves nothing behind."""
        self._is_closing.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(self._cores)  # for threads to come

    def _do(self, job: Job | ClipJob | ObjectJob, upscaler: "Upscaler", listener: Listener) -> str:
        name = job.clip.name if isinstance(job, ClipJob) else job.name

        def tell(event: Event) -> None:
            if self._is_closing.is_set():
                raise InterruptedRun
            self._take_share()
            listener(replace(event, source=name) if isinstance(event, Note) else event)

        with self._room.taken(_bytes_of(job)):
            self._take_share()
            return perform(job, upscaler, tell)

    def _take_share(self) -> None:
        """This thread's part of the cores; the last picture of a run has them all."""
        share = max(1, self._cores // self._room.pictures)
        if torch.get_num_threads() != share:  # it is a setting of the thread
            torch.set_num_threads(share)


def _bytes_of(job: Job | ClipJob | ObjectJob) -> int:
    """What a picture takes in memory at most, roughly: as it was, as it is made, and as it is encoded."""
    if is_clip(job):
        return 0
    if isinstance(job, ObjectJob):
        return int(2 * BYTES_PER_PIXEL * job.guessed_megapixels * 1e6)
    assert isinstance(job, Job)
    (width, height), (sr_width, sr_height) = job.lr_size, job.target.size_for(*job.lr_size)
    return BYTES_PER_PIXEL * (width * height + 2 * sr_width * sr_height)


def is_clip(job: Job | ClipJob | ObjectJob) -> bool:
    return job.is_clip if isinstance(job, ObjectJob) else isinstance(job, ClipJob)


class _Room:
    """Bytes that pictures in hand may take together; one that needs more than all of them waits until it is alone.

    Attributes:
        pictures: how many are in hand.
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
