"""Folders that the owner has watched: what comes there waits in the queue like any job, behind those that clients send,
and its result goes where the folder run of the command line puts it.

    watcher (a process)  ->  Found  ->  Store, Dispatcher  ->  Hub  ->  Settled  ->  watcher

What is done already is in the manifest of the output's folder. So jobs of watched folders that a service leaves
unfinished are forgotten: the next one finds their files anew.
"""

import contextlib
import hashlib
import logging
import multiprocessing
import os
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from upscale_cli.errors import InputError, OptionError
from upscale_cli.files.stamp import Stamp
from upscale_cli.messages import Message, option
from upscale_cli.service.dispatcher import Dispatcher
from upscale_cli.service.folders import Folders, kind_of, new_id, shown_name
from upscale_cli.service.hub import Hub, Told
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
from upscale_cli.service.request import JobBody, in_fields, limited, parsed, request_of
from upscale_cli.service.settings import ServiceSettings
from upscale_cli.service.store import ENDED, WATCHED, Store, StoredJob
from upscale_cli.service.unknown_fields import told
from upscale_cli.service.waiting import until_written
from upscale_cli.service.watcher_process import watch_folders

log: Final = logging.getLogger("upscale_cli.service")

AT_ONCE: Final = 64
"""Files that are in the queue at a time; the others wait in the watcher."""

AGAIN_SECONDS: Final = 10.0
"""Until the watcher is started again."""


class Watching:
    """Owner of the watcher.

    Args:
        body: what is done with the files.

    Attributes:
        coming: files that have been found, and are not done.
    """

    def __init__(
        self, body: JobBody, settings: ServiceSettings, folders: Folders, store: Store, hub: Hub, dispatcher: Dispatcher
    ) -> None:
        self._settings, self._folders, self._store, self._dispatcher = settings, folders, store, dispatcher
        self.coming = 0
        self._body = body
        self._request = self._body.model_dump_json(exclude_unset=True)
        self._lock = threading.Lock()
        self._numbers: dict[str, int] = {}  # of what the watcher waits for, by the job's id
        self._connection: Connection | None = None
        self._process: BaseProcess | None = None
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="watching", daemon=True)
        hub.hear(self._hear)

    def start(self) -> None:
        if self._settings.watch_folder:
            self._thread.start()

    def close(self) -> None:
        """Ends the watcher."""
        self._is_closing.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()  # what it writes is whole line by line
        if self._thread.ident is not None:
            self._thread.join()

    # The process

    def _keep(self) -> None:
        """Starts the watcher, does what it says until it ends, and starts it again."""
        context = multiprocessing.get_context("spawn")
        while not self._is_closing.is_set():
            here, there = context.Pipe()
            process = context.Process(target=watch_folders, args=(there, self._setup()), name="watcher", daemon=True)
            with self._lock:
                if self._is_closing.is_set():
                    return
                self._connection, self._process, self._numbers = here, process, {}
                process.start()
            there.close()
            try:
                self._listen(here)
            except (EOFError, OSError):
                pass
            except Exception:
                log.exception("watching failed")
            process.kill()
            process.join()
            with self._lock:
                here.close()
            self.coming = 0
            if not self._is_closing.is_set():
                log.error("the watcher died", extra={"exit": process.exitcode})
                self._is_closing.wait(AGAIN_SECONDS)

    def _setup(self) -> WatcherSetup:
        settings = self._settings
        return WatcherSetup(
            lock=self._folders.workers / "watcher.lock",
            folders=settings.watch_folder,
            output=settings.watch_output,
            request=limited(
                request_of(self._body), engine=settings.engine, max_pixels=settings.max_pixels,
                max_memory=settings.max_memory,
            ),
            device=settings.first_device,
            at_once=AT_ONCE,
        )  # fmt: skip

    def _listen(self, connection: Connection) -> None:
        """
        Raises:
            EOFError, OSError: the watcher has ended, or is to end.
        """
        while True:
            message: FromWatcher = connection.recv()
            match message:
                case Found():
                    self._write(lambda found=message: self._accept(found))  # type: ignore[misc]
                case Refused():
                    self._write(lambda refused=message: self._note_failure(refused))  # type: ignore[misc]
                case Coming():
                    self.coming = message.count
                case Noted():
                    log.info("watched folder", extra={"note": in_fields(Message(message.text))})

    def _write(self, change: Callable[[], bool]) -> None:
        """
        Raises:
            EOFError: the service ends.
        """
        if not until_written(change, self._is_closing):
            raise EOFError

    # Jobs

    def _accept(self, found: Found) -> bool:
        """A file that is to be done; gives whether the queue had room for it."""
        key = self._key(found.source)
        extra = {"watched": {"output": str(found.output), "overwrite": found.overwrite}}
        try:
            kind, size = kind_of(found.source, request_of(self._body).format), found.source.stat().st_size
            str(found.source).encode()  # the queue holds text
        except (OSError, InputError, UnicodeError) as error:
            self._tell(Settled(found.number, "failed", f"{shown_name(str(found.source))}: cannot be read ({error})."))
            return True
        there = self._store.by_key(key)
        if there is None:
            id = new_id()
            self._await(id, found.number)
            job = self._store.add(
                id, name=shown_name(found.source.name), kind=kind, request=self._request, source=str(found.source),
                input_bytes=size, key=key, most=self._settings.max_queue, extra=extra,
            )  # fmt: skip
            if job is None:
                self._forget(id)
                return False
            log.info("job accepted", extra={"job": id, "input": job.name, "watched": str(found.source)})
            self._dispatcher.tell(job)
            self._dispatcher.wake()
        elif there.state == "cancelled" or (there.state == "done" and self._is_there(there)):
            self._tell(_settled(there, found.number))
        else:
            self._await(there.id, found.number)
            if self._dispatcher.again(there.id, where=("failed", "skipped", "done"), extra=extra) is None:
                self._told(self._store.get(there.id))  # if it has ended just now
        return True

    def _is_there(self, job: StoredJob) -> bool:
        made = Stamp.of(job.result_in(self._folders))
        return made is not None and made.size == job.result_bytes

    def _note_failure(self, refused: Refused) -> bool:
        """What comes to nothing before it is a job, listed as one that has failed; gives whether there was room."""
        source, why = Path(refused.source), in_fields(Message(refused.message))
        name = shown_name(source.name)
        key = self._key(source)
        if self._store.by_key(key) is not None:
            return True  # its job says so
        log.warning("watched file failed", extra={"watched": str(source), "reason": why})
        try:
            kind, size = kind_of(source, None), source.stat().st_size
            str(source).encode()
        except (OSError, InputError, UnicodeError):
            return True  # a folder, or gone
        job = self._store.add(
            new_id(), name=name, kind=kind, request=self._request, source=str(source), input_bytes=size, key=key,
            most=self._settings.max_queue, state="failed", message=why.replace(str(source), name),
        )  # fmt: skip
        if job is not None:
            self._dispatcher.tell(job)
        return job is not None

    def _key(self, source: Path) -> str:
        """By which the same file is known again, for as long as it and what is done with it stay the same."""
        stamp, settings = Stamp.of(source), self._settings
        parts = (os.fsencode(source.absolute()), repr(stamp).encode(), self._request.encode(),
                 os.fsencode(settings.watch_output or ""))  # fmt: skip
        return WATCHED + hashlib.sha256(b"\0".join(parts)).hexdigest()

    def _await(self, id: str, number: int) -> None:
        with self._lock:
            self._numbers[id] = number

    def _forget(self, id: str) -> int | None:
        with self._lock:
            return self._numbers.pop(id, None)

    def _hear(self, told: Told) -> None:
        """Of everything that happens, in the thread in which it does."""
        if self._connection is None or told.kind != "job" or told.data["state"] not in ENDED:
            return
        if told.job in self._numbers:
            self._told(self._store.get(told.job))
        elif told.data["state"] == "done" and (job := self._store.get(told.job)) is not None and job.place is not None:
            self._tell(Made(job.source, job.message))  # it was tried again here

    def _told(self, job: StoredJob | None) -> None:
        """A job that may have ended."""
        if job is not None and job.state in ENDED and (number := self._forget(job.id)) is not None:
            self._tell(_settled(job, number))

    def _tell(self, message: ToWatcher) -> None:
        with self._lock:
            if self._connection is not None and not self._connection.closed:
                with contextlib.suppress(OSError):  # it has died, and finds the file again
                    self._connection.send(message)


def _settled(job: StoredJob, number: int) -> Settled:
    assert job.state in ENDED
    return Settled(number, job.state, job.message)  # type: ignore[arg-type]


def watched_body(settings: ServiceSettings) -> JobBody:
    """What is done with the files, checked.

    Raises:
        OptionError: it makes no sense.
    """
    try:
        body = parsed(settings.watch_options)
        request_of(body)
    except ValidationError as error:
        place, why = told(error.title, error.errors()[0], [JobBody])
        raise OptionError(
            f"{option('watch_options')}: {place or 'it'}: {why}. Give JSON as that of a job, such as "
            '\'{"target": {"scale": 2}}\'.'
        ) from error
    except OptionError as error:
        raise OptionError(f"{option('watch_options')}: {in_fields(error.message)}") from error
    return body
