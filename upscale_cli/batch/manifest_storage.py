"""Where the lines of a manifest are kept: in a file next to the outputs, in objects next to them, or nowhere."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from upscale_cli.batch.manifest_file import FileStorage
from upscale_cli.batch.manifest_objects import ObjectStorage
from upscale_cli.errors import OutputError
from upscale_cli.files import object_listing, object_names
from upscale_cli.files.stamp import Stamp


class Storage(Protocol):
    """Where lines are kept, and a view of the outputs that they list.

    Attributes:
        folder: that the outputs lie in: a path, or the URL of a prefix.
        ahead: how many outputs are worth noting together before the first of them is begun.
    """

    folder: Path | str
    ahead: int

    def fresh(self, *, now: bool = False) -> list[bytes]:
        """The lines that have been added since, by this run or another one.

        Args:
            now: those of other runs, too, even where that costs a request.
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
    """Lines that are not kept: those of files named one by one."""

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
