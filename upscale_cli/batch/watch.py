"""`--watch`: folders are done as they are, and then what comes, until Ctrl-C."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from upscale_cli.batch import arrivals
from upscale_cli.batch.choice import Sources
from upscale_cli.batch.manifest import Stamp
from upscale_cli.errors import InterruptedRun, printable
from upscale_cli.events import saying
from upscale_cli.text import counted

if TYPE_CHECKING:
    from upscale_cli.batch.folder import FolderRun, Tally
    from upscale_cli.events import Listener


def watch(
    run: "FolderRun", find: Callable[[], Sources], folders: list[str], output: Path | None, listener: "Listener",
    *, recursive: bool,
) -> int:  # fmt: skip
    """Upscales what `find` finds in the folders, again and again.

    Args:
        find: lists the folders.
        output: where outputs go; None: next to the inputs.

    Returns:
        How many files have failed, and have not been done since.
    """

    say, news, total = saying(listener), _News(find), _Total()
    say(f"watching {', '.join(map(printable, folders))}; Ctrl-C ends it.")
    try:
        with arrivals.waiting(folders, output, recursive=recursive, say=say) as wait:
            while True:
                batch = news.settled()
                if batch is None:
                    wait(news.patience)
                    continue
                try:
                    run.all(batch)
                finally:
                    total.add(batch, run.tally)
    except (KeyboardInterrupt, InterruptedRun):
        say(f"watching has ended: {counted(total.done, 'file')} done, {len(total.failed):,} failed.")
    return len(total.failed)


class _Total:
    """What became of all that came: how many were done, and which have failed and were not done since."""

    def __init__(self) -> None:
        self.done, self.failed = 0, set[str]()

    def add(self, batch: Sources, tally: "Tally") -> None:
        self.done += tally.done
        if tally.count == tally.total:  # not cut short
            self.failed -= {source.name for source in batch.inputs}
        self.failed |= {failure.source for failure in tally.failures}


class _News:
    """What `find` finds and has not been done as it is."""

    def __init__(self, find: Callable[[], Sources]) -> None:
        self._find = find
        self._arrivals = arrivals.Arrivals(arrivals.SETTLE_SECONDS)
        self._reported: set[tuple[str, str]] = set()
        self._ignored = Counter[str]()

    @property
    def patience(self) -> float:
        """Seconds until the folders are worth another look, even where the system reports no change."""
        return arrivals.SETTLE_SECONDS if self._arrivals.is_waiting else arrivals.LISTING_SECONDS

    def settled(self) -> Sources | None:
        """What has settled, as sources of a run of its own; None for nothing. Reported once: what cannot be looked
        into, and how many files are ignored."""
        found = self._find()
        stamps = {source.name: Stamp.of(source.path) for source in found.inputs}
        listed = {name: stamp for name, stamp in stamps.items() if stamp is not None}
        ready = set(self._arrivals.settled(listed, time.monotonic()))
        failed = [failure for failure in found.failed if failure not in self._reported]
        if not ready and not failed:
            return None
        self._reported.update(failed)
        ignored, self._ignored = found.ignored - self._ignored, found.ignored
        return Sources([source for source in found.inputs if source.name in ready], failed, ignored)
