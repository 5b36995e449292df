"""The folders an output lies in: made before it, and removed again if nothing came of it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from upscale_cli.errors import OutputError
from upscale_cli.messages import option


@contextmanager
def folder_for(output: object) -> Iterator[None]:
    """Makes the folders of an output that is a path; those made here are removed again if nothing came of it.

    Raises:
        OutputError: one of them cannot be made.
    """
    made: list[Path] = []
    try:
        if isinstance(output, Path):
            missing = [folder for folder in output.absolute().parents if not os.path.isdir(folder)]
            for folder in reversed(missing):
                folder.mkdir(exist_ok=True)
                made.append(folder)
    except OSError as error:
        raise OutputError(
            f"{output}: its folder cannot be made ({error.strerror}). Choose another {option('output')}."
        ) from error
    try:
        yield
    except BaseException:
        for folder in reversed(made):
            _remove_if_empty(folder)
        raise


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # something else lives there by now
