"""Where the lines of a manifest are kept: in a file beside the outputs, or in objects beside them.

A file is appended to under a lock. Objects cannot be appended to, so each run writes objects of its own, one after the
other, and puts the last one anew while it grows; whoever wants to know reads all of them, in the order of their names.
"""

import contextlib
import os
import secrets
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from upscale_cli.errors import OutputError
from upscale_cli.files import object_listing, object_names, object_store
from upscale_cli.files.stamp import Stamp

MANIFEST_NAME: Final = ".upscale-manifest.jsonl"
LOCK_NAME: Final = ".upscale-manifest.lock"
LINES_PREFIX: Final = ".upscale-manifest/"
"""Of the objects that hold a manifest's lines, below the prefix of the outputs."""

LOCK_SECONDS: Final = 60
"""How long another run may hold the lock for one line; whoever holds it longer is stuck."""

PUT_SECONDS: Final = 5.0
"""How long a line that can wait may wait for others, before they are put together."""

LOOK_SECONDS: Final = 30.0
"""How often it is looked for the lines of other runs, at most."""

OBJECT_BYTES: Final = 2**18
"""After so many, a run begins another object: what is put anew stays small."""

MANY_OBJECTS = 64
"""From so many old ones on, a run merges them."""

OLD_SECONDS = 24 * 3600.0
"""Objects that nobody has put for so long belong to no living run."""


class Storage(Protocol):
    """Where lines are kept, and a view of the outputs that they speak of.

    Attributes:
        folder: that the outputs lie in: a path, or the URL of a prefix.
        ahead: how many outputs are worth noting together before the first of them is begun.
    """

    folder: Path | str
    ahead: int

    def fresh(self, *, now: bool = False) -> list[bytes]:
        """The lines that have been added since, by this run or another one.

        Args:
            now: those of other runs, too, whatever it costs.
        """

    def add(self, lines: Sequence[bytes], *, at_once: bool) -> None:
        """Adds lines, each without its end.

        Args:
            at_once: they are safe when it returns; else at the next occasion, and by `flush` at the latest.

        Raises:
            OutputError: they cannot be written.
        """

    def flush(self) -> None:
        """Makes safe what was added.

        Raises:
            OutputError: it cannot be written.
        """

    def stamp(self, output: str, *, now: bool = False) -> Stamp | None:
        """What an output is; None where there is none.

        Args:
            now: as it is at this moment, not when the run began.
        """

    def place(self, output: str) -> Path | str:
        """Where an output lies."""

    def name(self, place: Path | str) -> str:
        """The path of an output below the folder, with slashes; of one that lies elsewhere, all of it."""

    def check(self) -> None:
        """Makes sure that there is a place for lines.

        Raises:
            OutputError: there is not.
        """

    def tidy(self) -> None:
        """Takes away what holds no line."""

    def folds(self) -> bool:
        """Whether names are the same there that differ in letter case or the form of accents."""


def storage_in(folder: Path | str, *, is_kept: bool = True) -> Storage:
    """What keeps the lines about the outputs in a folder, or below a prefix.

    Args:
        is_kept: False: they are forgotten with the run.
    """
    if not is_kept:
        return NoStorage(folder)
    return ObjectStorage(folder) if isinstance(folder, str) else FileStorage(folder)


class NoStorage:
    """Lines that nobody will want to know: of files named one by one."""

    ahead = 0

    def __init__(self, folder: Path | str) -> None:
        self.folder = folder

    def fresh(self, *, now: bool = False) -> list[bytes]:
        del now
        return []

    def add(self, lines: Sequence[bytes], *, at_once: bool) -> None:
        pass

    def flush(self) -> None:
        pass

    def stamp(self, output: str, *, now: bool = False) -> Stamp | None:
        del now
        return object_listing.stamp(output, OutputError) if object_names.is_object(output) else Stamp.of(output)

    def place(self, output: str) -> Path | str:
        return output if object_names.is_object(output) else Path(output)

    def name(self, place: Path | str) -> str:
        return str(place)

    def check(self) -> None:
        pass

    def tidy(self) -> None:
        pass

    def folds(self) -> bool:
        return os.name == "nt" or sys.platform == "darwin"


class FileStorage:
    """Lines in a file, which several runs append to.

    Args:
        folder: where it lies; need not exist before the first line is added.
    """

    ahead = 0

    def __init__(self, folder: Path) -> None:
        self.folder: Path | str = folder
        self._folder = folder
        self.path = folder / MANIFEST_NAME
        self._read_bytes = 0

    def fresh(self, *, now: bool = False) -> list[bytes]:
        del now  # it costs nothing
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._read_bytes)
                data = stream.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return whole.splitlines()

    def add(self, lines: Sequence[bytes], *, at_once: bool) -> None:
        del at_once  # it always is
        data = b"".join(line + b"\n" for line in lines)
        with self._failures():
            self._folder.mkdir(parents=True, exist_ok=True)
            with _locked(self._folder / LOCK_NAME), self.path.open("ab+", buffering=0) as stream:
                if stream.seek(0, os.SEEK_END):
                    stream.seek(-1, os.SEEK_END)
                    data = data if stream.read(1) == b"\n" else b"\n" + data  # after a line that a kill has torn
                stream.write(data)

    def flush(self) -> None:
        pass

    def stamp(self, output: str, *, now: bool = False) -> Stamp | None:
        del now
        return Stamp.of(self.place(output))

    def place(self, output: str) -> Path:
        return self._folder / output

    def name(self, place: Path | str) -> str:
        path, folder = Path(os.path.abspath(place)), Path(os.path.abspath(self._folder))
        return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()

    def check(self) -> None:
        with self._failures():
            self._folder.mkdir(parents=True, exist_ok=True)
            self.path.open("ab").close()

    def tidy(self) -> None:
        with contextlib.suppress(OSError):
            if not self.path.stat().st_size:
                self.path.unlink()
                (self._folder / LOCK_NAME).unlink(missing_ok=True)
                self._folder.rmdir()

    def folds(self) -> bool:
        other = self.path.with_name(MANIFEST_NAME.upper())
        return os.name == "nt" or sys.platform == "darwin" or (self.path.exists() and other.exists())

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.folder}: outputs and the list of them cannot be written there ({error.strerror}). "
                "Choose a folder you may write to with -o."
            ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock for one line. Where the file system has no locks, a line that is torn is done again."""
    from filelock import FileLock

    lock = FileLock(path)
    with contextlib.suppress(OSError, NotImplementedError):  # Timeout is an OSError
        lock.acquire(timeout=LOCK_SECONDS)
    try:
        yield
    finally:
        lock.release()


class ObjectStorage:
    """Lines in objects, of which every run has its own; the outputs are known by one listing.

    Args:
        prefix: that the outputs lie below.
    """

    ahead = 64

    def __init__(self, prefix: str) -> None:
        self._prefix = object_names.as_prefix(prefix)
        self.folder: Path | str = self._prefix
        self._lines = _OwnLines(self._prefix + LINES_PREFIX)
        self._outputs: dict[str, Stamp] | None = None
        self._read: dict[str, tuple[Stamp, int]] = {}  # of each object with lines: what it was, and bytes taken in
        self._waiting: list[bytes] = []  # own lines that `fresh` has not given
        self._looked = 0.0

    def fresh(self, *, now: bool = False) -> list[bytes]:
        is_first = self._outputs is None
        others = self._others() if now or is_first or time.monotonic() - self._looked > LOOK_SECONDS else []
        own, self._waiting = self._waiting, []
        return others + own

    def _others(self) -> list[bytes]:
        """What other runs have added. What they have merged is known already, but at the first look."""
        begin, is_first = time.monotonic(), self._outputs is None
        new, texts = self._unread(is_first=is_first)
        while b"" in texts and is_first:  # merged by another run at this very moment
            new, texts = self._unread(is_first=True)
        lines = list[bytes]()
        for (url, there), text in zip(new.items(), texts, strict=True):
            taken = self._read.get(url, (there, 0))[1]
            whole = text[: text.rfind(b"\n") + 1]
            self._read[url] = there, max(taken, len(whole))
            lines += whole[taken:].splitlines()
        self._looked = time.monotonic() + 9 * (time.monotonic() - begin)  # a long listing comes less often
        return lines

    def _unread(self, *, is_first: bool) -> tuple[dict[str, Stamp], list[bytes]]:
        """The objects of other runs that are not as they were, in order, and what is in them."""
        there = self._outputs = dict(object_listing.listed(self._prefix, kind=OutputError).objects)
        new = {
            url: there[url]
            for url in sorted(there)
            if url.startswith(self._lines.prefix)
            and not url.startswith(self._lines.own)
            and (url not in self._read or self._read[url][0] != there[url])
            and (is_first or _MERGED not in url)
        }
        return new, list(object_store.read_all([*new], OutputError))

    def add(self, lines: Sequence[bytes], *, at_once: bool) -> None:
        self._waiting += lines
        self._lines.add(lines)
        if at_once:
            self._lines.put()
        elif self._lines.seconds > PUT_SECONDS:
            self._lines.put_aside()

    def flush(self) -> None:
        self._lines.put()

    def stamp(self, output: str, *, now: bool = False) -> Stamp | None:
        assert self._outputs is not None, "fresh comes first"
        url = self.place(output)
        if now or not url.startswith(self._prefix):
            there = object_listing.stamp(url, OutputError)
            self._outputs.pop(url, None)
            self._outputs |= {url: there} if there is not None else {}
        return self._outputs.get(url)

    def place(self, output: str) -> str:
        return output if object_names.is_object(output) else self._prefix + output

    def name(self, place: Path | str) -> str:
        return str(place).removeprefix(self._prefix)

    def check(self) -> None:
        self._lines.check()
        self._merge()

    def _merge(self) -> None:
        """Makes one object of many old ones."""
        old = [url for url, (there, _) in sorted(self._read.items()) if time.time() - there.time / 1e9 > OLD_SECONDS]
        if len(old) < MANY_OBJECTS:
            return
        # The merged object comes first in the order, and the oldest goes first: whenever this is killed, what is left
        # gives the same in the end.
        data = b"".join(object_store.read_all(old, OutputError))
        merged = f"{old[0].removesuffix('.jsonl').removesuffix(_MERGED)}{_MERGED}.jsonl"
        object_store.write(merged, data)
        now = object_listing.listed(self._lines.prefix, kind=OutputError).objects
        for url in old:
            if url != merged and now.get(url) == self._read[url][0]:
                object_store.remove(url)

    def tidy(self) -> None:
        self._lines.tidy()

    def folds(self) -> bool:
        return False


_MERGED: Final = "-merged"


class _OwnLines:
    """The lines of this run, in objects of limited size.

    Attributes:
        prefix: that the objects of all runs lie below.
        own: what the names of those of this run begin with.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.own = f"{prefix}{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(4)}"
        self._number = 0
        self._data = b""
        self._is_safe = True
        self._is_blank = False  # there is an object without a line
        self._last_put = time.monotonic()
        self._changing, self._putting = threading.Lock(), threading.Lock()
        self._aside: threading.Thread | None = None

    @property
    def seconds(self) -> float:
        """Since lines were put."""
        return time.monotonic() - self._last_put

    def add(self, lines: Sequence[bytes]) -> None:
        with self._changing:
            self._data += b"".join(line + b"\n" for line in lines)
            self._is_safe = self._is_safe and not lines

    def check(self) -> None:
        """Puts an object without a line, to see that it can be done.

        Raises:
            OutputError: it cannot.
        """
        if not (self._data or self._number):
            object_store.write(self._url(0), b"\n")
            self._is_blank = True

    def tidy(self) -> None:
        """Takes it away if no line came."""
        if self._is_blank:
            with contextlib.suppress(OutputError):
                object_store.remove(self._url(0))
            self._is_blank = False

    def _url(self, number: int) -> str:
        return f"{self.own}-{number:06}.jsonl"

    def put(self) -> None:
        """Makes them safe.

        Raises:
            OutputError: the object cannot be put.
        """
        with self._putting:
            with self._changing:
                if self._is_safe:
                    return
                number, data = self._number, self._data
            object_store.write(self._url(number), data)
            with self._changing:
                self._is_safe, self._is_blank = len(self._data) == len(data), False
                self._last_put = time.monotonic()
                if len(data) > OBJECT_BYTES:
                    self._number, self._data = number + 1, self._data[len(data) :]

    def put_aside(self) -> None:
        """Makes them safe while the run goes on; lines that can wait need not delay it. `put` tells if it never goes
        well."""
        if self._aside is None or not self._aside.is_alive():
            self._aside = threading.Thread(target=self._try, name="manifest", daemon=True)
            self._aside.start()

    def _try(self) -> None:
        with contextlib.suppress(OutputError):
            self.put()


def prefixes_with_lines(below: object_listing.Listing) -> list[str]:
    """The prefixes in a listing that have a manifest."""
    folders = [url.partition(LINES_PREFIX) for url in (*below.objects, *below.prefixes)]
    return sorted({before for before, mark, _ in folders if mark})
