"""A manifest's lines in objects, below the prefix of the outputs.

Objects cannot be appended to, so each run writes objects of its own, one after the other, and puts the last one anew
while it grows; a reader reads all of them, in the order of their names.
"""

import contextlib
import secrets
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from upscale_cli.errors import OutputError
from upscale_cli.files import object_listing, object_names, object_store
from upscale_cli.files.stamp import Stamp

LINES_PREFIX: Final = ".upscale-manifest/"
"""Of the objects that hold a manifest's lines, below the prefix of the outputs."""

PUT_SECONDS: Final = 5.0
"""How long a line that can wait may wait for others, before they are put together."""

LOOK_SECONDS: Final = 30.0
"""How often it is looked for the lines of other runs, at most."""

OBJECT_BYTES: Final = 2**18
"""After so many, a run begins another object: what is put anew stays small."""

MANY_OBJECTS = 64
"""From so many old ones on, a run merges them."""

OLD_SECONDS = 24 * 3600.0
"""Objects that were not put for so long belong to no living run."""

_MERGED: Final = "-merged"


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
        """Makes them safe while the run goes on; lines that can wait need not delay it. `put` raises if it never
        succeeds."""
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
