"""Folders of the cache that get an entry for every net there ever was: what was used last stays, the rest goes.

An entry is a file, or a folder of files. Its time is that of its last use, to a day.
"""

import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DAY: Final = 24 * 60 * 60.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What a folder may hold.

    Attributes:
        entries: so many.
        bytes: so many in all of them together.
    """

    entries: int
    bytes: int


def used(entry: Path) -> None:
    """Notes that an entry was of use today."""
    with suppress(OSError):
        if time.time() - entry.stat().st_mtime > DAY:
            os.utime(entry)


def keep_within(folder: Path, limits: Limits, new: Path) -> None:
    """Removes the entries of a folder whose last use lies furthest back, as many as have to go. Best effort.

    Args:
        new: of the entries; stays in any case.
    """
    found = sorted(_entries(folder), key=lambda entry: (entry[0] != new, -entry[1]))
    count = size = 0
    for path, _, its in found:
        count, size = count + 1, size + its
        if path == new or (count <= limits.entries and size <= limits.bytes):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink()


def _entries(folder: Path) -> list[tuple[Path, float, int]]:
    """(path, time, bytes) of each; links are left alone."""
    found = []
    with suppress(OSError):
        for one in os.scandir(folder):
            with suppress(OSError):
                if one.is_dir(follow_symlinks=False):
                    size = sum(inner.stat(follow_symlinks=False).st_size for inner in os.scandir(one.path))
                elif one.is_file(follow_symlinks=False):
                    size = one.stat().st_size
                else:
                    continue
                found.append((Path(one.path), one.stat().st_mtime, size))
    return found
