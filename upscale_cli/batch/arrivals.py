"""Files that come into a folder: each is taken once it is whole.

What the system reports of changes only ends the wait; the folder is then listed anew. So nothing is missed, even
where events are lost (a queue that runs over, a network drive that sends none).
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from upscale_cli.batch.manifest import Stamp
from upscale_cli.events import Say

SETTLE_SECONDS: Final = 2.0
"""A file is whole when its size and time have stayed the same for so long."""

LISTING_SECONDS: Final = 30.0
"""How long the wait is at most, where nothing is reported."""

POLL_SECONDS: Final = 3.0
"""How long it is where the system cannot report changes."""

_TICK_MILLISECONDS: Final = 250

Wait = Callable[[float], None]
"""Returns when something has changed, or after so many seconds."""


class Arrivals:
    """Which files are whole and have not been taken as they are. Pure: the time is an argument.

    >>> arrivals, stamp = Arrivals(settle=2.0), Stamp(10, 0)
    >>> arrivals.settled({"a.png": stamp}, now=0.0), arrivals.settled({"a.png": stamp}, now=2.0)
    ([], ['a.png'])
    """

    def __init__(self, settle: float) -> None:
        self._settle = settle
        self._since: dict[str, tuple[Stamp, float]] = {}
        self._taken: dict[str, Stamp] = {}

    def settled(self, listed: Mapping[str, Stamp], now: float) -> list[str]:
        """The files to take now; each counts as taken.

        Args:
            listed: all files that are there. An empty one is still to come.
            now: in seconds, by any clock that does not jump.
        """
        self._taken = {name: stamp for name, stamp in self._taken.items() if name in listed}
        news = {name: stamp for name, stamp in listed.items() if stamp.size and self._taken.get(name) != stamp}
        self._since = {name: self._seen(name, stamp, now) for name, stamp in news.items()}
        ready = [name for name, (_, since) in self._since.items() if now - since >= self._settle]
        for name in ready:
            self._taken[name] = self._since.pop(name)[0]
        return ready

    @property
    def is_waiting(self) -> bool:
        """Whether a file is there that may still be growing."""
        return bool(self._since)

    def _seen(self, name: str, stamp: Stamp, now: float) -> tuple[Stamp, float]:
        """Since when a file is as it is now."""
        before = self._since.get(name)
        return before if before is not None and before[0] == stamp else (stamp, now)


@contextmanager
def waiting(folders: list[str], output: Path | None, *, recursive: bool, say: Say) -> Iterator[Wait]:
    """What waits for changes in folders.

    Args:
        output: a folder in which our own changes do not count.
    """
    from watchfiles import watch

    own = str(output.absolute()) if output is not None else None
    changes = watch(
        *folders, recursive=recursive, rust_timeout=_TICK_MILLISECONDS, yield_on_timeout=True,
        watch_filter=lambda _, path: own is None or not path.startswith(own),
    )  # fmt: skip
    is_reporting = True

    def wait(seconds: float) -> None:
        nonlocal is_reporting
        end = time.monotonic() + seconds
        try:
            while is_reporting and time.monotonic() < end:
                if next(changes):
                    return
        except (OSError, RuntimeError) as error:  # too many folders for the system, or a file system without events
            is_reporting = False
            say(f"the system does not report changes ({error}); the folder is looked at every {POLL_SECONDS:.0f} s.")
        if not is_reporting:
            time.sleep(min(seconds, POLL_SECONDS))

    try:
        yield wait
    finally:
        changes.close()
