"""The queue, in SQLite: what was accepted is not lost, and what was finished is not done again.

A commit is on the disk when a call returns (WAL with synchronous=FULL), but for events: those a machine that loses its
power may forget. One connection, one thread at a time.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from upscale_cli.service.folders import Folders, Kind

State = Literal["queued", "running", "done", "failed", "cancelled", "skipped"]

ENDED: Final[tuple[State, ...]] = ("done", "failed", "cancelled", "skipped")

WATCHED: Final = "watch:"
"""Before the key of a job of a watched folder; those of clients go before them."""

VERSION: Final = 1
"""Of the tables."""

MOST_EVENTS: Final = 1000
"""Kept of one job."""

_TABLES: Final = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    request TEXT NOT NULL,
    source TEXT NOT NULL,
    input_bytes INTEGER NOT NULL,
    created REAL NOT NULL,
    started REAL,
    ended REAL,
    begun INTEGER NOT NULL DEFAULT 0,
    deaths INTEGER NOT NULL DEFAULT 0,
    unwanted INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '',
    result TEXT NOT NULL DEFAULT '',
    result_bytes INTEGER NOT NULL DEFAULT 0,
    facts TEXT NOT NULL DEFAULT '{}',
    key TEXT UNIQUE,
    extra TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX by_state ON jobs (state, number);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    at REAL NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX by_job ON events (job, number);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """A job, as it stands in the queue.

    Attributes:
        number: the order of arrival.
        name: the client's, of the input.
        request: the options, as JSON that `request.parsed` takes.
        source: path of an input in a folder of the owner's, or its address; "" for one that was sent.
        created, started, ended: seconds since 1970.
        begun: how often a worker has begun with it.
        deaths: how often a worker has died while it was the only job there.
        unwanted: 1 once a job that runs was cancelled.
        message: why it failed, or was left alone, or what the source has lost.
        result: name of the file in its output folder; "" while there is none.
        facts: of the result, for people: model, width, height, seconds, ...
        key: by which the same request is known again; None: by nothing.
        extra: what a face keeps with it, such as where cog's webhooks go.
    """

    number: int
    id: str
    name: str
    kind: Kind
    state: State
    request: str
    source: str
    input_bytes: int
    created: float
    started: float | None
    ended: float | None
    begun: int
    deaths: int
    unwanted: int
    message: str
    result: str
    result_bytes: int
    facts: Mapping[str, Any]
    key: str | None
    extra: Mapping[str, Any]

    @property
    def place(self) -> Path | None:
        """The very file that the result of a watched folder's job becomes; None: it lies in the job's own folder."""
        return Path(self.extra["watched"]["output"]) if "watched" in self.extra else None

    def result_in(self, folders: Folders) -> Path:
        """Where the result lies, once there is one."""
        return self.place or folders.output(self.id) / self.result


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """Something that happened to a job, in the order of `number`."""

    number: int
    job: str
    at: float
    record: Mapping[str, Any]


class Store:
    """The queue's owner.

    Args:
        path: of the database, which is made where there is none.

    Attributes:
        most_waiting: how many jobs waited or ran when it was last counted, and those that have come since; some of
            them may have ended.

    Raises:
        sqlite3.Error: it cannot be opened, or is of a later version.
    """

    def __init__(self, path: Path) -> None:
        self.most_waiting = 0
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA foreign_keys=ON")
        self._db.execute("PRAGMA busy_timeout=10000")
        with self._writing():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in _TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version={VERSION}")
            elif version != VERSION:
                raise sqlite3.DatabaseError(f"tables of version {version}, not {VERSION}")
        self.waiting_count()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All that is written within it, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A disk that is full can end it by itself, or fail the commit and leave it open.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """What is committed within it is whole, and on the disk a little later."""
        with self._lock:
            self._db.execute("PRAGMA synchronous=NORMAL")
            try:
                yield
            finally:
                self._db.execute("PRAGMA synchronous=FULL")

    def _rows(self, query: str, *values: object) -> list[StoredJob]:
        with self._lock:
            rows = self._db.execute(query, values).fetchall()
        return [_job(row) for row in rows]

    def add(
        self,
        id: str,
        *,
        name: str,
        kind: Kind,
        request: str,
        source: str,
        input_bytes: int,
        key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        most: int,
        state: State = "queued",
        message: str = "",
    ) -> StoredJob | None:
        """Accepts a job; None where `most` of them wait or run already. One with the key of another is that one.

        Args:
            state: "failed" for what is to be listed only, and `message` why.
        """
        with self._writing() as db:
            if key is not None and (there := self._rows("SELECT * FROM jobs WHERE key=?", key)):
                return there[0]
            waiting = self.waiting_count()
            if waiting >= most and state not in ENDED:
                return None
            self.most_waiting = waiting + int(state not in ENDED)
            now = time.time()
            db.execute(
                "INSERT INTO jobs "
                "(id, name, kind, state, request, source, input_bytes, created, ended, message, key, extra) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    id,
                    name,
                    kind,
                    state,
                    request,
                    source,
                    input_bytes,
                    now,
                    now if state in ENDED else None,
                    message,
                    key,
                    json.dumps(extra or {}),
                ),
            )
            return self._rows("SELECT * FROM jobs WHERE id=?", id)[0]

    def waiting_count(self) -> int:
        """How many jobs wait or run."""
        with self._lock:
            (count,) = self._db.execute("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')").fetchone()
            self.most_waiting = int(count)
            return self.most_waiting

    def get(self, id: str) -> StoredJob | None:
        found = self._rows("SELECT * FROM jobs WHERE id=?", id)
        return found[0] if found else None

    def by_key(self, key: str) -> StoredJob | None:
        found = self._rows("SELECT * FROM jobs WHERE key=?", key)
        return found[0] if found else None

    def newest(self, limit: int, before: int | None = None, states: Sequence[State] = ()) -> list[StoredJob]:
        """The newest jobs first.

        Args:
            before: only those that came before the one of this number.
            states: only those in one of them; (): all.
        """
        first = 2**62 if before is None else before
        chosen = f" AND state IN ({', '.join('?' * len(states))})" if states else ""
        return self._rows(
            f"SELECT * FROM jobs WHERE number < ?{chosen} ORDER BY number DESC LIMIT ?", first, *states, limit
        )

    def waiting(self, limit: int) -> list[StoredJob]:
        """The next jobs: those of clients as they came, then those of watched folders."""
        return self._rows(
            f"SELECT * FROM jobs WHERE state='queued' ORDER BY coalesce(key GLOB '{WATCHED}*', 0), number LIMIT ?",
            limit,
        )

    def forget_watched(self) -> None:
        """Forgets the jobs of watched folders that have not ended: their files are found again."""
        with self._writing() as db:
            db.execute(f"DELETE FROM jobs WHERE state IN ('queued', 'running') AND key GLOB '{WATCHED}*'")

    def in_state(self, *states: State, limit: int = -1) -> list[StoredJob]:
        """Those in one of the states, the oldest first; at most so many, -1 for all."""
        marks = ", ".join("?" * len(states))
        return self._rows(f"SELECT * FROM jobs WHERE state IN ({marks}) ORDER BY number LIMIT ?", *states, limit)

    def counts(self) -> dict[str, int]:
        """How many jobs are in each state that any is in."""
        with self._lock:
            return dict(self._db.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())

    def update(self, id: str, *, where: Sequence[State] = (), **changed: Any) -> StoredJob | None:
        """Changes a job, if it is in one of the states `where`; gives it as it is then, None where it was not changed.

        Args:
            changed: columns of `StoredJob`.
        """
        assert set(changed) <= {one.name for one in fields(StoredJob)}
        for name in {"facts", "extra"} & set(changed):
            changed[name] = json.dumps(changed[name])
        sets = ", ".join(f"{name}=?" for name in changed)
        chosen = f" AND state IN ({', '.join('?' * len(where))})" if where else ""
        with self._writing() as db:
            done = db.execute(f"UPDATE jobs SET {sets} WHERE id=?{chosen}", (*changed.values(), id, *where))
            return self._rows("SELECT * FROM jobs WHERE id=?", id)[0] if done.rowcount else None

    def remove(self, id: str) -> bool:
        """Forgets a job that has ended, with its events; gives whether there was one."""
        with self._writing() as db:
            marks = ", ".join("?" * len(ENDED))
            done = db.execute(f"DELETE FROM jobs WHERE id=? AND state IN ({marks})", (id, *ENDED))
            return bool(done.rowcount)

    def note(self, id: str, record: Mapping[str, Any]) -> StoredEvent | None:
        """Keeps an event of a job; None where it is gone, or has too many."""
        at = time.time()
        with self._unsynced(), self._writing() as db:
            done = db.execute(
                "INSERT INTO events (job, at, record) SELECT id, ?, ? FROM jobs "
                "WHERE id=? AND (SELECT count(*) FROM events WHERE job=?) < ?",
                (at, json.dumps(record), id, id, MOST_EVENTS),
            )
            return StoredEvent(int(done.lastrowid or 0), id, at, record) if done.rowcount else None

    def events(self, id: str | None = None, after: int = 0) -> list[StoredEvent]:
        """What has happened to a job, or to all, after the event of this number: the first `MOST_EVENTS` of it."""
        query = "SELECT * FROM events WHERE number > ?" + ("" if id is None else " AND job = ?")
        query += f" ORDER BY number LIMIT {MOST_EVENTS}"
        with self._lock:
            rows = self._db.execute(query, (after,) if id is None else (after, id)).fetchall()
        return [StoredEvent(row["number"], row["job"], row["at"], json.loads(row["record"])) for row in rows]


def _job(row: sqlite3.Row) -> StoredJob:
    values = dict(row)
    values["facts"], values["extra"] = json.loads(values["facts"]), json.loads(values["extra"])
    return StoredJob(**values)
