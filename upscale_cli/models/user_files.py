"""Checkpoints of the user's own, by their stems: `-m 4x-UltraSharp` is 4x-UltraSharp.pth, wherever it lies. Imports no
torch.

Looked into, in this order, the first file of a stem counting:

1. the folders in UPSCALE_WEIGHTS; of one that is a program's, those that it keeps upscalers in;
2. folders that were added once (`added_folders`), and what lies in them;
3. what was fetched from OpenModelDB (`zoo_fetch`);
4. the folders of other programs (`other_programs`).

Names of the registry are never those of a user's file.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upscale_cli.errors import printable
from upscale_cli.events import Say
from upscale_cli.models import store
from upscale_cli.models.added_folders import added_folders
from upscale_cli.models.other_programs import ModelFolder, below, program_folders
from upscale_cli.models.registry import is_known
from upscale_cli.models.store import CHECKPOINT_ENDINGS, quiet

DEEPEST: Final = 3
"""Folders inside a program's folder: people sort what they collect."""

MOST_ENTRIES: Final = 20_000
"""Names that are looked at in one folder and those in it: nobody has so many models, and a mistake ends in time."""


@dataclass(frozen=True, slots=True)
class UserFile:
    """A checkpoint of the user's.

    Attributes:
        origin: whose folder it lies in, for people.
        size: bytes.
        others: files of the same stem that are not taken.
    """

    path: Path
    origin: str
    size: int
    others: tuple[Path, ...] = ()

    @property
    def stem(self) -> str:
        """What `-m` calls it."""
        return self.path.stem


def model_folders(*, say: Say = quiet) -> list[ModelFolder]:
    """Every folder that is looked into and exists, in order.

    Args:
        say: gets a line on settings of another program that cannot be read.
    """
    folders, faults = list[ModelFolder](), list[str]()
    for folder in store.given_folders():
        folders += _there(folder, store.SEARCH_PATH_VARIABLE, is_deep=False) + below(folder, faults)
    for folder in added_folders():
        folders += below(folder, faults) or _there(folder, "added", is_deep=True)
    folders += _there(store.zoo_folder(), "OpenModelDB", is_deep=False)
    found = program_folders()
    for line in (*faults, *found.faults):
        say(line)
    return [*folders, *found.folders]


def user_files(*, say: Say = quiet) -> list[UserFile]:
    """All of them, each stem once, as they come.

    Args:
        say: as for `model_folders`.
    """
    found: dict[str, list[UserFile]] = {}
    for file in every_checkpoint(say=say):
        if not is_known(file.stem):
            found.setdefault(file.stem.casefold(), []).append(file)
    return [
        UserFile(first.path, first.origin, first.size, tuple(other.path for other in others))
        for first, *others in found.values()
    ]


def every_checkpoint(*, say: Say = quiet) -> Iterator[UserFile]:
    """Every file in these folders once, in order, whatever it is called."""
    seen = set[str]()
    for folder in model_folders(say=say):
        for path, size in _checkpoints(folder):
            place = os.path.normcase(os.path.realpath(path))
            if place not in seen:
                seen.add(place)
                yield UserFile(path, folder.origin, size)


def user_file(name: str, *, say: Say = quiet) -> UserFile | None:
    """The file that a stem, or a bare file name, means; None where there is none.

    Args:
        say: gets a line where several files have that stem, and as for `model_folders`.
    """
    wanted = name.casefold()
    for file in user_files(say=say):
        if wanted == file.stem.casefold():
            if file.others:
                others = ", ".join(printable(str(path)) for path in file.others)
                say(f"{file.stem}: {file.path} is taken; of the same name, and not taken: {others}")
            return file
        for path in (file.path, *file.others):
            if wanted == path.name.casefold():
                return UserFile(path, file.origin, file.size)
    return None


def _there(folder: Path, origin: str, *, is_deep: bool) -> list[ModelFolder]:
    return [ModelFolder(folder, origin, is_deep)] if os.path.isdir(folder) else []


def _checkpoints(folder: ModelFolder) -> Iterator[tuple[Path, int]]:
    """(path, bytes) of the checkpoints in a folder, by their names; what cannot be read is left out."""
    left = MOST_ENTRIES
    waiting = [(folder.path, 0)]
    while waiting and left > 0:
        place, depth = waiting.pop(0)
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:
            continue
        left -= len(entries)
        for entry in entries:
            try:
                if entry.name.lower().endswith(CHECKPOINT_ENDINGS):
                    if entry.is_file():
                        yield Path(entry.path), entry.stat().st_size
                elif folder.is_deep and depth < DEEPEST and not entry.name.startswith(".") and entry.is_dir():
                    waiting.append((Path(entry.path), depth + 1))
            except OSError:
                continue
