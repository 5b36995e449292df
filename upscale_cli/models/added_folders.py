"""Folders with checkpoints that the user has named once, for all runs. Imports no torch."""

import os
from pathlib import Path
from typing import Final

from upscale_cli.models.settings import keep_setting, setting

FILE: Final = "folders.json"
"""In the folder of settings: a list of paths."""


def added_folders() -> list[Path]:
    """In the order in which they were added; those that are gone, too."""
    given = setting(FILE)
    return [Path(each) for each in given if isinstance(each, str) and each] if isinstance(given, list) else []


def add_folder(folder: Path) -> bool:
    """Looks for checkpoints there from now on; False where it did so before, or it is no folder.

    Raises:
        OutputError: the setting cannot be written.
    """
    place, folders = Path(os.path.abspath(folder.expanduser())), added_folders()
    if place in folders or not place.is_dir():
        return False
    _write([*folders, place])
    return True


def forget_folder(folder: Path) -> bool:
    """The inverse of `add_folder`; False where it was not added.

    Raises:
        OutputError: the setting cannot be written.
    """
    place, folders = Path(os.path.abspath(folder.expanduser())), added_folders()
    if place not in folders:
        return False
    _write([each for each in folders if each != place])
    return True


def _write(folders: list[Path]) -> None:
    keep_setting(FILE, [str(folder) for folder in folders])
