"""Which files an assistant may name: those below folders that the owner allows. Imports no torch.

Where a name leads is decided by `files.allowed_folders`. What is no file is no source: neither an address, nor a pipe,
nor a device, nor a name that stands for many files.
"""

import os
import stat
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from upscale_cli.errors import InputError, OptionError, OutputError, UpscaleError
from upscale_cli.files.allowed_folders import AllowedFolders
from upscale_cli.jobs.checks import check_web
from upscale_cli.messages import command, option
from upscale_cli.models.asked import asked, with_paths
from upscale_cli.models.resolve import is_checkpoint_path
from upscale_cli.models.user_files import user_file
from upscale_cli.models.zoo import zoo_id

REMEDY = "The owner of the machine can allow more folders where the server is started."


class Allowed:
    """Folders in which everything may be read, and written by a new name.

    Args:
        folders: that the owner names; none: the current folder.

    Attributes:
        folders: resolved. A path that is not absolute counts from the first.

    Raises:
        OptionError: one of them is no folder; or none is named, and the current one is that of the whole file system.
    """

    def __init__(self, folders: Sequence[Path] = ()) -> None:
        resolved = []
        for folder in folders or (Path(),):
            try:
                resolved.append(folder.expanduser().resolve(strict=True))
            except (OSError, RuntimeError, ValueError) as error:
                raise OptionError(f"{folder}: is no folder that can be opened. Name one that is there.") from error
            if not resolved[-1].is_dir():
                raise OptionError(f"{folder}: is no folder. Name one.")
        if not folders and resolved[0] == Path(resolved[0].anchor):
            raise OptionError(
                f"the current folder is {resolved[0]}, and to allow that is to allow every file. "
                f"Give {option('folder')}."
            )
        self._below = AllowedFolders(resolved)
        self.folders = self._below.folders

    def source(self, given: str) -> Path:
        """A file or a folder that is there, resolved.

        Raises:
            InputError: it is not there, is no file and no folder, or lies elsewhere.
            OptionError: it is an address of the web.
        """
        check_web(given)
        path = self._resolved(given, InputError)
        try:
            mode = path.stat().st_mode
        except OSError as error:
            raise InputError(f"{given}: there is no such file. Check the name and the folder.") from error
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(f"{given}: is neither a file nor a folder. Name one.")
        return path

    def folder(self, given: str, *, recursive: bool = False) -> Path:
        """As `source`, of a folder no link in which leads out of what is allowed.

        Args:
            recursive: the folders in it are looked into, too.
        """
        top = self.source(given)
        waiting, seen = deque([top]), {top}
        while waiting:
            for entry in _entries(waiting.popleft()):
                place = Path(os.path.realpath(entry.path))
                if not self._below.holds(place):
                    raise InputError(
                        f"{entry.path}: is a link that leads out of the allowed folders. Take it out of the folder, or "
                        "name the files one by one."
                    )
                if recursive and place not in seen and place.is_dir():
                    seen.add(place)
                    waiting.append(place)
        return top

    def output(self, given: str) -> str:
        """A place for a result, resolved, as `Naming` takes it: a brace stands for itself.

        Raises:
            OutputError: it lies elsewhere.
        """
        is_folder = given.endswith(("/", os.sep))
        plain = str(self._resolved(given, OutputError)).replace("{", "{{").replace("}", "}}")
        return f"{plain}/" if is_folder else plain

    def place(self, given: str) -> str:
        """As `output`, where a brace has no other meaning."""
        path = str(self._resolved(given, OutputError))
        return f"{path}/" if given.endswith(("/", os.sep)) else path

    def model(self, given: str) -> str:
        """What `Upscaler` takes as its model: names of the registry, stems of the owner's checkpoints, files that are
        allowed; several of them as usual.

        Raises:
            OptionError: a checkpoint would be fetched from OpenModelDB.
            InputError: a file lies elsewhere.
        """
        for name in (name for part in asked(given) for name in part.names):
            if zoo_id(name) is not None:
                raise OptionError(
                    f"{option('model', name)}: nothing is fetched from OpenModelDB for an assistant. Have its owner "
                    f"fetch it ({command('models fetch', python='upscale_cli.load_model(name)')}), and name it by its "
                    "stem."
                )

        def checked(name: str) -> str:
            is_bare = Path(name).name == name and not os.path.lexists(self.folders[0] / name)
            return name if is_bare and user_file(name) is not None else str(self.source(name))

        return with_paths(given, checked) if self._has_path(given) else given

    def _has_path(self, given: str) -> bool:
        return any(is_checkpoint_path(name) for part in asked(given) for name in part.names)

    def _resolved(self, given: str, kind: type[UpscaleError]) -> Path:
        """
        Raises:
            UpscaleError: of that kind; it lies elsewhere, or is no path.
        """
        try:
            path = self._below.resolved(Path(given).expanduser() if given else "")
        except (OSError, RuntimeError, ValueError) as error:  # a circle of links, a NUL, ~ of nobody
            raise kind(f"{given!r}: is no path that can be followed. Check the name.") from error
        if path is None:
            allowed = ", ".join(str(folder) for folder in self.folders)
            raise kind(f"{given or repr(given)}: is outside of the allowed folders ({allowed}). {REMEDY}")
        return path


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing of one that cannot be read, which whoever reads it reports."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []
