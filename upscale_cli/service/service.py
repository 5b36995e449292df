"""A service, without its faces: what jobs there are, and what can be done with them. HTTP, cog's verbs and the page
call this, and nothing below it."""

import logging
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from upscale_cli.errors import OutputError
from upscale_cli.messages import option
from upscale_cli.service.dispatcher import Dispatcher
from upscale_cli.service.folders import INPUT_STEM, Folders, Kind, ending_of, kind_of, new_id, shown_name
from upscale_cli.service.hub import Hub
from upscale_cli.service.outbound import check_address
from upscale_cli.service.problem import Problem
from upscale_cli.service.request import JobBody, request_of
from upscale_cli.service.resumable import Uploads
from upscale_cli.service.settings import ServiceSettings
from upscale_cli.service.store import ENDED, WATCHED, Store, StoredJob
from upscale_cli.service.views import JobView, view
from upscale_cli.service.watching import Watching, watched_body

log: Final = logging.getLogger("upscale_cli.service")

TIDY_SECONDS: Final = 60.0
"""Between two looks at what is too old, or too much."""

WAIT_SECONDS: Final = 60.0
"""How long the workers of a service that was killed may take to end."""


class Service:
    """Owner of the data folder, the queue and the workers.

    Attributes:
        token: what clients have to know; None: nothing.
        ended: how many jobs have ended since the start, by their state.
        seconds: that those with a result took, together.
        arriving: a token for each body that is being received, so that they can be counted.

    Raises:
        OutputError: the folder cannot be used, or another service uses it.
        OptionError: what is to be done in watched folders makes no sense.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        watched = watched_body(settings)
        self.settings, self.folders, self.hub = settings, Folders(settings.data.absolute()), Hub()
        try:
            self.folders.make()
            self._lock = FileLock(self.folders.lock, timeout=0)
            self._lock.acquire()
            self.store = Store(self.folders.queue)
        except Timeout as error:
            raise OutputError(
                f"{self.folders.data}: another service uses this folder. Stop it, or choose another {option('data')}."
            ) from error
        except (OSError, sqlite3.Error) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            raise OutputError(
                f"{self.folders.data}: cannot be used ({why}). Choose another {option('data')}."
            ) from error
        self.token = self._token()
        self.ended, self.seconds = Counter[str](), 0.0
        self._is_closing = threading.Event()
        self.uploads = Uploads(self.folders)
        self.arriving = set[object]()
        self._has_started = False
        self._dispatcher = Dispatcher(settings, self.folders, self.store, self.hub, self._ended)
        self.watching = Watching(watched, settings, self.folders, self.store, self.hub, self._dispatcher)

    def start(self) -> None:
        """Waits for what is left of a service that was killed, clears up after it, and begins to work."""
        if self._has_started:
            return
        self._has_started = True
        self._wait_for_workers()
        self._sweep()
        self._dispatcher.start()
        self.watching.start()
        tidying = threading.Thread(target=self._tidy_always, name="tidying", daemon=True)
        tidying.start()
        log.info("service started", extra={"jobs": self.store.counts(), "data": str(self.folders.data)})

    def close_work(self) -> None:
        """Ends the workers: jobs in progress wait in the queue, and go on with the next service."""
        self._is_closing.set()
        self.hub.close()
        self.watching.close()
        self._dispatcher.close()

    def close(self) -> None:
        """Ends everything."""
        self.close_work()
        self.store.close()
        self._lock.release()

    # What clients do

    def submit(
        self,
        body: JobBody,
        *,
        name: str,
        arrived: Path | None = None,
        source: Path | None = None,
        address: str | None = None,
        key: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> StoredJob:
        """Accepts a job.

        Args:
            name: the client's, of the input.
            arrived: an input that was sent: the file is taken over; or `source`, one in a folder of the owner's; or
                `address`, one that is to be fetched.
            key: a job that was accepted with the same one is given instead.
            extra: what a face keeps with it.

        Raises:
            OptionError: a value is out of range, or the model unknown.
            InputError: the input is of no kind that is known.
            Problem: the queue is full.
        """
        if key is not None and (there := self.store.by_key(key)) is not None:
            return there
        request, id, size = request_of(body), new_id(), 0
        kind: Kind = "photo"
        if address is not None:
            self.check_address(address)
        try:
            if address is None:
                path = self._taken_over(id, name, arrived) if arrived is not None else (source or Path())
                kind, size = kind_of(path, request.format), path.stat().st_size
            job = self.store.add(
                id, name=shown_name(name), kind=kind, input_bytes=size, key=key, extra=extra,
                request=body.model_dump_json(exclude_unset=True), source=address or str(source or ""),
                most=self.settings.max_queue,
            )  # fmt: skip
        except BaseException:
            self.folders.remove_job(id)
            raise
        if job is None or job.id != id:
            self.folders.remove_job(id)
        if job is None:
            raise self.full()
        log.info("job accepted", extra={"job": id, "input": job.name, "bytes": size})
        self._dispatcher.tell(job)
        self._dispatcher.wake()
        return job

    def _taken_over(self, id: str, name: str, arrived: Path) -> Path:
        """A file that was sent, in the folder of its job, and on the disk.

        Raises:
            InputError: it is of no kind that is known.
        """
        ending = ending_of(name)
        folder = self.folders.job(id)
        folder.mkdir(mode=0o700)
        path = folder / f"{INPUT_STEM}{ending}"
        arrived.replace(path)
        _synced(folder)
        return path

    def job(self, id: str) -> StoredJob:
        """
        Raises:
            Problem: there is none.
        """
        job = self.store.get(id)
        if job is None:
            raise Problem(404, "there is no such job, or it was removed.")
        return job

    def view(self, job: StoredJob) -> JobView:
        """A job as clients see it."""
        return view(job, self._dispatcher.progress(job.id))

    def cancel(self, id: str) -> StoredJob:
        """Drops a job; one that has ended stays as it is."""
        self.job(id)
        self._dispatcher.cancel(id)
        return self.job(id)

    def retry(self, id: str) -> StoredJob:
        """A job that has ended without a result waits again, with what was sent then.

        Raises:
            Problem: it has not ended, or has a result.
        """
        job = self.job(id)
        if (job.key or "").startswith(WATCHED) and job.place is None:
            raise Problem(409, f"{job.name}: was refused before it was a job. It is looked at anew when it changes.")
        again = self._dispatcher.again(id, where=("failed", "cancelled", "skipped"))
        if again is None:
            raise Problem(409, f"the job is {job.state}, and only one that has failed or was cancelled goes again.")
        return again

    def remove(self, id: str) -> None:
        """Forgets a job, with its input and result.

        Raises:
            Problem: it has not ended.
        """
        job = self.job(id)
        if not self._dispatcher.remove(job) and self.store.get(id) is not None:
            raise Problem(409, f"the job is {job.state}. Cancel it first.")

    def result(self, job: StoredJob) -> Path:
        """The file that was made.

        Raises:
            Problem: there is none (yet).
        """
        path = job.result_in(self.folders)
        if job.state != "done":
            raise Problem(409, f"the job is {job.state}, and has no result.")
        if not path.is_file():
            raise Problem(410, "the result is gone from the disk.")
        return path

    def full(self) -> Problem:
        """That no further job is taken now."""
        return Problem(
            503, f"{self.settings.max_queue} jobs wait already, and no more are taken. Try again later.",
            headers={"Retry-After": "30"},
        )  # fmt: skip

    def check_address(self, url: str) -> None:
        """
        Raises:
            InputError: the service sends nothing there, and fetches nothing from there.
        """
        check_address(url, self.settings.allow_url)

    @property
    def may_be_full(self) -> bool:
        """Whether `check_queue` has to be asked, which may wait for the disk. `submit` decides in any case."""
        return self.store.most_waiting >= self.settings.max_queue

    def check_queue(self) -> None:
        """
        Raises:
            Problem: no further job is taken now.
        """
        if self.store.waiting_count() >= self.settings.max_queue:
            raise self.full()

    def check_space(self, coming: int = 0, *, awaited: int = 0) -> None:
        """
        Args:
            coming: bytes of one input; `awaited`: of others, that have been announced.

        Raises:
            Problem: what comes is too large, or leaves too little of the disk.
        """
        if coming > self.settings.max_upload:
            raise Problem(413, f"{coming:,} bytes are more than the {self.settings.max_upload:,} that are taken here.")
        if self.folders.free() - coming - awaited < self.settings.min_free:
            raise Problem(507, "the disk is nearly full. Remove jobs that are done, or ask the owner to free space.")

    def workers(self) -> list[dict[str, object]]:
        """What the workers do, for `/health` and `/metrics`."""
        return [
            {
                "number": one.number,
                "device": one.device,
                "ready": one.room > 0,
                "jobs": len(one.in_progress),
                "full": not one.takes(alone=False),
            }
            for one in self._dispatcher.workers
        ]

    # The owner's side

    def _ended(self, job: StoredJob) -> None:
        self.ended[job.state] += 1
        self.seconds += float(job.facts.get("seconds", 0.0)) if job.state == "done" else 0.0

    def _token(self) -> str | None:
        """The owner's; else, where others than this machine can ask, one that is made once and kept."""
        if self.settings.token is not None or self.settings.is_loopback:
            return self.settings.token
        path = self.folders.token
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
        token = path.read_text(encoding="ascii").strip()
        if not token:
            raise OutputError(f"{path}: is empty, and should hold the token. Remove it: another one is made then.")
        return token

    def _wait_for_workers(self) -> None:
        """Workers of a service that was killed end as soon as they notice; what they write must not meet what the new
        ones do."""
        for path in self.folders.workers.glob("*.lock"):
            try:
                with FileLock(path, timeout=WAIT_SECONDS):
                    pass
            except Timeout as error:
                raise OutputError(
                    f"{path}: a worker of a former service does not end. End it, or choose another {option('data')}."
                ) from error

    def _sweep(self) -> None:
        """What a service that was killed has left and nobody will ask for: halves of uploads, inputs of jobs that were
        never accepted, results of jobs that were forgotten."""
        self.uploads.tidy(is_start=True)
        for folder in self.folders.jobs.iterdir():
            if self.store.get(folder.name) is None:
                shutil.rmtree(folder, ignore_errors=True)

    def _tidy_always(self) -> None:
        while not self._is_closing.wait(TIDY_SECONDS):
            try:
                self.tidy()
            except Exception:
                log.exception("tidying failed")

    def tidy(self) -> None:
        """Removes jobs that ended too long ago, and the oldest where all of them take too much."""
        self.uploads.tidy()
        now = time.time()
        ended = sorted(self.store.in_state(*ENDED), key=lambda job: _order(job, now), reverse=True)
        taken, oldest = 0, now - self.settings.keep_days * 86400
        for job in ended:
            taken += (0 if job.place else job.result_bytes) + (0 if job.source else job.input_bytes)
            if (job.ended or 0.0) < oldest or taken > self.settings.keep_size:
                log.info("job removed by age or size", extra={"job": job.id})
                self._dispatcher.remove(job)


def _order(job: StoredJob, now: float) -> tuple[float, int]:
    """By which jobs that have ended are kept, the greatest for longest. One that has ended later than now did so by a
    clock that was wrong: what ends by the clock as it is must not go before it."""
    ended = job.ended or 0.0
    return (ended if ended <= now else 0.0), job.number


def _synced(folder: Path) -> None:
    """Returns when the names in a folder are on the disk, and the file in it."""
    for path in folder.iterdir():
        with path.open("rb+") as stream:
            os.fsync(stream.fileno())
    if os.name == "posix":
        for place in (folder, folder.parent):
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
