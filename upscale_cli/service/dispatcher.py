"""Which worker does which job, and what becomes of both.

    Store (queued)  ->  Dispatcher  ->  Worker.give  ->  Happened, Ended  ->  Store, Hub

Jobs are begun in the order in which they came. A clip, or a job that was at work when a worker died, has a worker for
itself. Everything here happens under one lock, and is in the store before anyone is told of it.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Final

from upscale_cli.events import Event, as_record, rewritten
from upscale_cli.jobs.finished_jobs import forget
from upscale_cli.messages import Message
from upscale_cli.service.fetching import Fetcher
from upscale_cli.service.folders import INPUT_STEM, Folders, kind_of
from upscale_cli.service.hub import Hub, Told
from upscale_cli.service.messages_between import (
    Ended,
    FromWorker,
    Happened,
    Noted,
    Ready,
    Task,
    Unable,
    WorkerSetup,
)
from upscale_cli.service.progress import JobProgress, Watched
from upscale_cli.service.request import in_fields, owned, parsed, request_of
from upscale_cli.service.settings import ServiceSettings
from upscale_cli.service.store import ENDED, State, Store, StoredJob
from upscale_cli.service.views import view
from upscale_cli.service.waiting import QUEUE_SECONDS, until_written
from upscale_cli.service.worker import Worker

log: Final = logging.getLogger("upscale_cli.service")

MOST_DEATHS: Final = 2
"""Workers that may die while they do nothing but this job."""

MOST_BEGUN: Final = 5
"""How often a job may be begun, whatever ended it: a machine may fall with it each time."""

RESTART_SECONDS: Final = 10.0
"""Until a worker is started again that was never ready."""

LEAST_SECONDS: Final = 0.2
"""Between two reports of progress of one job."""


class Dispatcher:
    """Owner of the workers.

    Args:
        on_ended: is called with each job that has ended, in any thread.

    Attributes:
        workers: those that there are; to be read without the lock, for whoever asks has no time.
    """

    def __init__(
        self, settings: ServiceSettings, folders: Folders, store: Store, hub: Hub, on_ended: Callable[[StoredJob], None]
    ) -> None:
        self._settings, self._folders, self._store, self._hub = settings, folders, store, hub
        self._on_ended = on_ended
        self._lock = threading.RLock()
        self._workers: dict[int, Worker] = {}
        self.workers: tuple[Worker, ...] = ()
        self._watched: dict[str, Watched] = {}
        self._told_at: dict[str, float] = {}
        self._closing = threading.Event()
        self._fetcher = Fetcher(folders, settings.allow_url, settings.max_upload, self._fetched)

    def start(self) -> None:
        """Takes up what a former service has left, and starts the workers. The former one's workers have ended by now:
        `service.Service` has waited for their locks."""
        with self._lock:
            for job in self._store.in_state("running"):
                if job.unwanted:
                    self._finish(job.id, "cancelled")
            self._store.forget_watched()
            for job in self._store.in_state("running"):
                self._give_back(job)
            devices = ("ray",) if self._settings.ray is not None else self._settings.device
            for number in range(len(devices)):
                self._start_worker(number)

    def progress(self, id: str) -> JobProgress | None:
        """How far a job is that is in progress."""
        watched = self._watched.get(id)
        return watched.progress if watched else None

    def wake(self) -> None:
        """Gives out what waits, as far as there are workers for it; later, where the queue cannot be written now."""
        if not any(worker.left for worker in self.workers):
            return  # who ends a job asks again; uploads need not wait for the lock meanwhile
        try:
            self._give_out()
        except sqlite3.OperationalError as error:
            log.error("the queue cannot be written", extra={"reason": str(error)})
            self._later(QUEUE_SECONDS, self.wake)

    def _give_out(self) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            while self._give_some():
                pass

    def _give_some(self) -> bool:
        """Gives out as many jobs as there is room for; gives whether there may be more to do."""
        room = sum(worker.left for worker in self._workers.values())
        most = max(1, room) + self._fetcher.count
        jobs, is_given = self._store.waiting(most), False
        for job in jobs:
            if self._fetcher.is_needed(job):
                continue
            alone = job.kind == "clip" or job.begun > 0
            worker = next((one for one in self._by_load() if one.takes(alone=alone)), None)
            if worker is None:
                return False
            self._begin(job, worker, alone=alone)
            is_given = True
        return is_given and len(jobs) == most

    def again(self, id: str, *, where: tuple[State, ...], **changed: object) -> StoredJob | None:
        """Has a job that has ended in one of these states wait again; None where it has not."""
        job = self._store.update(
            id, where=where, state="queued", started=None, ended=None, begun=0, deaths=0, unwanted=0, message="",
            facts={}, **changed,
        )  # fmt: skip
        if job is not None:
            self.tell(job)
            self.wake()
        return job

    def cancel(self, id: str) -> StoredJob | None:
        """Drops a job that waits or runs; gives it as it is then, None for one that has ended."""
        with self._lock:
            job = self._store.update(id, where=("queued",), state="cancelled", ended=time.time())
            if job is not None:
                self._fetcher.cancel(id)
                self._ended(job)
                return job
            job = self._store.update(id, where=("running",), unwanted=1)
            for worker in self._workers.values():
                if id in worker.in_progress:
                    worker.cancel(id)
            return job

    def _fetched(self, id: str, why: str) -> None:
        """The input of a job has come, or will not."""
        with self._lock:
            if why:
                self._finish(id, "failed", message=why)
            elif (job := self._store.get(id)) is not None:
                path = self._folders.input(id, job.source)
                kind = kind_of(path, parsed(job.request).format)
                self._store.update(id, where=("queued",), kind=kind, input_bytes=path.stat().st_size)
        self.wake()

    def close(self) -> None:
        """Ends the workers. What they had in progress waits in the queue, and goes on from there with the next one."""
        with self._lock:
            self._closing.set()
            workers = list(self._workers.values())
            for worker in workers:
                worker.stop()
        self._fetcher.close()
        for worker in workers:
            worker.join()

    # Workers

    def _by_load(self) -> list[Worker]:
        return sorted(self._workers.values(), key=lambda worker: len(worker.in_progress))

    def _start_worker(self, number: int) -> None:
        settings = self._settings
        setup = WorkerSetup(
            lock=self._folders.workers / f"{number}.lock",
            device="auto" if settings.ray is not None else settings.device[number],
            jobs=settings.jobs, ray=settings.ray,
        )  # fmt: skip
        worker = self._workers[number] = Worker(number, setup, self._hear, self._gone)
        self.workers = tuple(self._workers.values())
        worker.start()

    def _hear(self, worker: Worker, message: FromWorker) -> None:
        match message:
            case Ready():
                log.info("worker ready", extra={"worker": worker.number, "device": worker.device})
                self.wake()
            case Unable():
                reason = in_fields(Message(message.reason))
                log.error("worker cannot begin", extra={"worker": worker.number, "reason": reason})
            case Noted():
                note = in_fields(Message(message.text))
                log.info("a worker's note", extra={"worker": worker.number, "note": note})
            case Happened():
                with contextlib.suppress(sqlite3.OperationalError):  # a full disk costs an event, not the job
                    self._happened(message.id, message.event)
            case Ended():
                self._write(lambda: self._end(message))
                with self._lock:
                    worker.in_progress.discard(message.id)
                self.wake()

    def _write(self, change: Callable[[], None]) -> None:
        """Makes a change that must not be lost, however long the queue has no room for it."""

        def write() -> bool:
            with self._lock:
                change()
            return True

        until_written(write, self._closing)

    def _later(self, seconds: float, call: Callable[..., None], *values: object) -> None:
        timer = threading.Timer(seconds, call, values)
        timer.daemon = True
        timer.start()

    def _gone(self, worker: Worker) -> None:
        """A worker has died: what it had in progress is done again, each by itself."""
        ids = sorted(worker.in_progress)
        self._write(lambda: self._take_back(ids))
        with self._lock:
            if self._closing.is_set():
                return
            log.error("worker died", extra={"worker": worker.number, "exit": worker.exit_code, "jobs": ids})
            self._later(0.0 if worker.was_ready else RESTART_SECONDS, self._restart, worker.number)

    def _take_back(self, ids: list[str]) -> None:
        """Jobs of a worker that has died."""
        for job in filter(None, map(self._store.get, ids)):
            if job.state == "running" and job.unwanted:
                self._finish(job.id, "cancelled")
            elif job.state == "running":
                self._give_back(job, deaths=int(len(ids) == 1 and not self._closing.is_set()))

    def _restart(self, number: int) -> None:
        with self._lock:
            if not self._closing.is_set():
                self._start_worker(number)

    # Jobs

    def _begin(self, job: StoredJob, worker: Worker, *, alone: bool) -> None:
        settings, place = self._settings, job.place
        try:
            request = owned(
                request_of(parsed(job.request)), engine=settings.engine, max_pixels=settings.max_pixels,
                max_memory=settings.max_memory, overwrite=place is None or bool(job.extra["watched"]["overwrite"]),
            )  # fmt: skip
        except Exception as error:  # what was accepted by an earlier version, or a model that is gone
            self._finish(job.id, "failed", message=f"{job.name}: cannot be begun any more: {in_fields(str(error))}")
            return
        begun = self._store.update(job.id, state="running", started=time.time(), begun=job.begun + 1)
        assert begun is not None
        source = self._folders.input(job.id, job.source)
        output = place or self._folders.output(job.id)
        self._watched[job.id] = Watched(names_in(self._folders, job, source))
        task = Task(job.id, source, output, request, settings.max_result_pixels, is_placed=place is not None)
        worker.give(task, alone=alone)
        self.tell(begun)

    def _give_back(self, job: StoredJob, *, deaths: int = 0) -> None:
        """A job that was interrupted waits again, unless it was so too often."""
        self._watched.pop(job.id, None)
        deaths += job.deaths
        is_stopped = self._closing.is_set()  # however often that is done, it is no fault of a job's
        if deaths >= MOST_DEATHS or (job.begun >= MOST_BEGUN and not is_stopped):
            why = "its worker died twice, most likely for want of memory" if deaths >= MOST_DEATHS else (
                f"it was begun {job.begun} times, and something ended each"
            )  # fmt: skip
            self._finish(job.id, "failed", message=f"{job.name}: {why}. Choose a smaller result, or another model.")
            return
        waiting = self._store.update(
            job.id, where=("running",), state="queued", started=None, deaths=deaths,
            begun=max(0, job.begun - int(is_stopped)),
        )  # fmt: skip
        if waiting is not None:
            self.tell(waiting)

    def _happened(self, id: str, event: Event) -> None:
        """An event of a job."""
        watched = self._watched.get(id)
        if watched is None:
            return
        now = time.monotonic()
        if watched.hear(event, now):
            if now - self._told_at.get(id, 0.0) >= LEAST_SECONDS:
                self._told_at[id] = now
                self._hub.tell(Told(id, "progress", {"id": id, **asdict(watched.progress)}))
            return
        record = as_record(rewritten(event, lambda text: watched.named(in_fields(text))))
        record = {name: watched.named(value) if isinstance(value, str) else value for name, value in record.items()}
        kept = self._store.note(id, record)
        if kept is not None:
            self._hub.tell(Told(id, str(record["event"]), {"id": id, **record}, kept.number))

    def _end(self, ended: Ended) -> None:
        """What a worker says of the end of a job."""
        job = self._store.get(ended.id)
        if job is None or job.state != "running":
            return
        message = ended.message and self._watched[job.id].named(in_fields(Message(ended.message)))
        if ended.how == "done":
            result = job.place or self._folders.output(job.id) / ended.result
            size = result.stat().st_size if ended.result and result.exists() else 0
            self._finish(
                job.id, "done" if size else "failed", message=message if size else "the result is gone",
                result=ended.result, result_bytes=size, facts=ended.facts or {},
            )  # fmt: skip
        elif ended.how == "interrupted":
            if job.unwanted:
                self._finish(job.id, "cancelled")
            else:
                self._give_back(job)
        elif ended.is_bug:
            log.error("a job failed by a bug", extra={"job": job.id, "traceback": ended.message})
            self._finish(job.id, "failed", message=f"{job.name}: a fault of upscale-cli; the log has its traceback.")
        else:
            self._finish(job.id, ended.how, message=message)

    def _finish(self, id: str, state: State, **changed: object) -> None:
        job = self._store.update(id, where=("queued", "running"), state=state, ended=time.time(), **changed)
        if job is not None:
            self._ended(job)

    def _ended(self, job: StoredJob) -> None:
        """Whatever way a job has ended."""
        self._watched.pop(job.id, None)
        self._told_at.pop(job.id, None)
        if job.state != "done":
            self._folders.remove_output(job.id)
        log.info("job ended", extra={"job": job.id, "state": job.state, "reason": job.message})
        self.tell(job)
        self._on_ended(job)

    def remove(self, job: StoredJob) -> bool:
        """Forgets a job that has ended, with its files; gives whether it was there."""
        with self._lock:
            if job.state not in ENDED or not self._store.remove(job.id):
                return False
            if job.result and job.place is None:  # what lies in a library is the owner's
                forget(job.result_in(self._folders))
            with contextlib.suppress(OSError):
                self._folders.remove_job(job.id)
            self._hub.tell(Told(job.id, "removed", {"id": job.id}))
            return True

    def tell(self, job: StoredJob) -> None:
        self._hub.tell(Told(job.id, "job", view(job, self.progress(job.id)).as_dict()))


def names_in(folders: Folders, job: StoredJob, source: Path) -> list[tuple[str, str]]:
    """What the files of a job are called here, and what clients call them (`Watched.names`)."""
    output = f"{folders.output(job.id)}{os.sep}"
    return [
        *([] if job.place is None else [(str(job.place), job.place.name)]),
        (str(source), job.name),
        (f"{output}{INPUT_STEM}", PurePath(job.name).stem),
        (output, ""),
        (str(folders.job(job.id)), ""),
        (source.name, job.name),
    ]
