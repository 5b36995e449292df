"""The outputs reserved so far: none overwrites an input or another output."""

import os
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from upscale_cli.errors import OptionError, OutputError
from upscale_cli.files.object_listing import stamp
from upscale_cli.jobs.inputs import STDIO, Input
from upscale_cli.jobs.naming import Naming, is_folder_name
from upscale_cli.messages import option


class Outputs:
    """The outputs reserved so far, so that none overwrites an input or another output.

    Args:
        may_replace: whether the output of a source, which is there already, is one of ours.
        is_there: whether there is something at a place.
        folds: the file system takes names for the same that differ in letter case or in the form of accents.
    """

    def __init__(
        self,
        sources: Sequence[Input],
        *,
        overwrite: bool,
        may_replace: Callable[[Input, Path | str], bool] = lambda *_: False,
        is_there: Callable[[Input, Path | str], bool] = lambda _, place: is_there(place),
        folds: bool = os.name == "nt",
    ) -> None:
        files = [source for source in sources if not (source.is_stdin or source.is_live)]
        self._inputs = {_identity(source.location): source.name for source in files}
        self._reserved: dict[str, str] = {}
        self._overwrite, self._may_replace, self._is_there, self._folds = overwrite, may_replace, is_there, folds

    def reserve(self, source: Input, path: Path | str | None, *, may_exist: bool = False) -> None:
        """Reserves a place: a path, the URL of an object, or standard output (None).

        Args:
            may_exist: what exists already is handled where it is written.

        Raises:
            OutputError: it is an input, another source's output, or exists already and may not be overwritten.
        """
        if path is None:
            if STDIO in self._reserved:
                raise OutputError(
                    f"{source.name}: standard output holds one result only. Give {option('output')} a folder."
                )
            self._reserved[STDIO] = source.name
            return
        key = self._key(path)
        if _identity(path) in self._inputs:
            raise OutputError(
                f"{path}: is an input, and inputs are never overwritten. Choose another {option('output')}."
            )
        if self._reserved.get(key) == source.name:
            raise OutputError(f"{source.name}: is given twice, with one output {path}. Name it once.")
        if key in self._reserved:
            raise OutputError(
                f"{source.name}: its output {path} is that of {self._reserved[key]} already. "
                f"Name it with another {option('output')}, such as the template "
                f"'{{folder}}/{{name}}_{{model}}_{{scale}}x{{ext}}'."
            )
        is_free = self._overwrite or may_exist or not self._is_there(source, path) or self._may_replace(source, path)
        if not is_free:
            raise OutputError(
                f"{path}: exists already. Give {option('overwrite', True)} to replace it, or another "
                f"{option('output')}."
            )
        self._reserved[key] = source.name

    def keep(self, source: Input, path: Path | str) -> None:
        """Reserves what a source has made before, which stays: another source with that output is told whose it is."""
        self._reserved.setdefault(self._key(path), source.name)

    def _key(self, path: Path | str) -> str:
        if isinstance(path, str):
            return path
        plain = os.path.abspath(path)
        return folded(plain) if self._folds else plain


def single_output(naming: Naming, sources: Sequence[Input], models: int) -> None:
    """Refuses one file name for several outputs.

    Raises:
        OptionError: -o names one file, or standard output, and there is more than one output to come.
    """
    several = len(sources) * models
    output = naming.output
    if several > 1 and output is not None and "{" not in output and (output == STDIO or not is_folder_name(output)):
        raise OptionError(
            f"{option('output', output)} is one file for {several} results. Give a folder (FOLDER/) or a template."
        )


def is_there(place: Path | str) -> bool:
    """Whether there is something at a path, or an object of that URL.

    Raises:
        OutputError: the store cannot be asked.
    """
    return os.path.lexists(place) if isinstance(place, Path) else stamp(place, OutputError) is not None


def folded(path: str) -> str:
    """Equal for paths that many file systems take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", os.path.normcase(path)).casefold())


def _identity(path: Path | str) -> object:
    """Equal for two names of one file, links and letter case included where the file exists."""
    if isinstance(path, str):
        return path
    try:
        status = path.stat()
    except (OSError, ValueError):
        return os.path.abspath(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.abspath(path)
