"""Files below folders that an owner allows, by names that others give: the one rule for all who ask from outside.

A name is resolved first, with `..` and all links in it, and what comes out of that is what is opened: a link inside of
a folder leads nowhere else. Links that appear between the check and the use are not caught; whoever can make links
there has the owner's rights already.
"""

import os
from collections.abc import Sequence
from pathlib import Path


class AllowedFolders:
    """Folders below which everything may be named.

    Args:
        folders: at least one.

    Attributes:
        folders: with all links followed. A name that is not absolute counts from the first.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = tuple(dict.fromkeys(Path(os.path.realpath(folder)) for folder in folders))

    def resolved(self, given: str | Path) -> Path | None:
        """Where a name leads, whether anything is there or not; None where that is outside, or the name is none.

        Raises:
            OSError, RuntimeError, ValueError: it cannot be followed: a circle of links, a NUL.
        """
        path = (self.folders[0] / given).resolve()
        return path if str(given) and self.holds(path) else None

    def holds(self, path: Path) -> bool:
        """Whether a path, all of whose links have been followed, is one of the folders or below one."""
        return any(path.is_relative_to(folder) for folder in self.folders)
