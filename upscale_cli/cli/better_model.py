"""The line that a sharper model could be had: at most once a day, to a person at a terminal. `doctor` has it always."""

import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from upscale_cli.events import Chosen, Event, Listener, Note

STAMP: Final = "better-model-told"
"""An empty file in the cache folder; its date is when the line was shown last."""

DAY: Final = 24 * 3600.0
"""Seconds."""


class BetterModelHint:
    """A listener that passes everything on, and remembers whether a model was chosen for a photo."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._is_wanted = False

    def __call__(self, event: Event) -> None:
        self._is_wanted = self._is_wanted or (isinstance(event, Chosen) and not event.is_clip)
        self._listener(event)

    def show(self) -> None:
        """The line, where it is of use, and none was shown for a day."""
        from upscale_cli.messages import option
        from upscale_cli.models.resolve import better_model
        from upscale_cli.models.store import cache_folder, is_offline

        better = better_model() if self._is_wanted and sys.stderr.isatty() and not is_offline() else None
        if better is not None and is_due(cache_folder() / STAMP, time.time()):
            self._listener(
                Note(f"{option('model', better)} makes sharper photos, with detail of its own; it is fetched once.")
            )


def is_due(stamp: Path, now: float) -> bool:
    """Whether a day has passed since the stamp, which is then renewed; never, where it cannot be.

    Args:
        now: seconds since the epoch.
    """
    with suppress(OSError):
        if 0 <= now - stamp.stat().st_mtime < DAY:
            return False
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
    except OSError:
        return False
    return True
