"""The size and time of a file or an object, which change when it changes. Pure."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Stamp:
    """What changes when a file changes: its size in bytes and its time of change in nanoseconds.

    Of an object the time is that of its last change in whole seconds; the rest of a second is filled from a digest of
    its ETag, so that two objects written in one second differ.
    """

    size: int
    time: int

    @classmethod
    def of(cls, path: str | Path) -> Self | None:
        """Of a file as it is now; None where there is none."""
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            return None
        return cls(status.st_size, status.st_mtime_ns)

    @classmethod
    def parsed(cls, pair: Any) -> Self | None:
        return cls(int(pair[0]), int(pair[1])) if pair else None
