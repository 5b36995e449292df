"""What killed runs have left in a folder, taken away by the next one: theirs, and never that of a run that lives."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from upscale_cli.errors import printable
from upscale_cli.events import Say
from upscale_cli.files.atomic_file import remove_abandoned
from upscale_cli.files.work_folder import remove_abandoned_work
from upscale_cli.text import counted

_swept: Final[set[Path]] = set()


def sweep_once(folder: Path, say: Say) -> None:
    """As `sweep`, for programs that call for one file after the other: a folder is looked through once per process."""
    folder = folder.absolute()
    if folder not in _swept:
        _swept.add(folder)
        sweep([folder], say)


def sweep(folders: Iterable[Path], say: Say) -> None:
    """Removes temporary files, and work folders that cannot be gone on with, of runs that do not live any more.

    Args:
        say: takes what is removed, in a line for each folder.
    """
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            continue
        files = remove_abandoned(folder)
        left = [printable(path.name) for path in remove_abandoned_work(folder)]
        left += [counted(files, "temporary file")] if files else []
        if left:
            say(f"{printable(str(folder))}: left by a run that was killed, and removed: {', '.join(left)}.")
