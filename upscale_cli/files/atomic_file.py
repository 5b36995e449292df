"""Where the result goes: a temporary file next to the target, renamed when it is whole."""

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Final

from upscale_cli.errors import OutputError, printable
from upscale_cli.messages import option

TEMPORARY: Final = ".upscale-"

_FOREIGN: Final = re.compile(r'[<>:"|?*\\\x00-\x1f\udc80-\udcff]')

YOUNG_SECONDS: Final = 60
"""A temporary file of another machine that was changed since is left alone: not every network drive shows its locks."""

HOST: Final = hashlib.sha256(platform.node().encode()).hexdigest()[:4]
"""In the names of this machine's temporary files: of these a lock says for certain whether their run lives."""


class Stream:
    """The part of a binary file that encoders need, without its file descriptor.

    Pillow and tifffile write through a descriptor where they find one, and then lose the reason (a full disk) of a
    write that fails.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, data: bytes | bytearray | memoryview) -> int:
        return self._file.write(data)

    def read(self, length: int = -1) -> bytes:
        return self._file.read(length)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    @property
    def closed(self) -> bool:
        return self._file.closed


class OutputFile:
    """Owner of the temporary file that becomes the output.

    Args:
        target: a path, or a binary stream (stdout), which gets the bytes when they are whole.
        overwrite: replace what already stands at the path.

    Raises:
        OutputError: the target exists, its folder does not, or cannot be written.
    """

    def __init__(self, target: Path | BinaryIO, *, overwrite: bool) -> None:
        self._path = target if isinstance(target, Path) else None
        self._sink = None if isinstance(target, Path) else target
        self._overwrite = overwrite
        self._file: IO[bytes] | None = None
        self._temporary: Path | None = None
        self.folder = target.parent if isinstance(target, Path) else None
        self.suffix = target.suffix.lower() if isinstance(target, Path) else ""
        self.name = printable(str(target)) if isinstance(target, Path) else "<stdout>"
        if self._path is not None:
            with self.failures():
                self.check(self._path)

    def check(self, path: Path) -> None:
        """Refuses a name that could not be written in the end, before anything is computed."""
        if path.is_dir():
            raise OutputError(f"{self.name}: is a folder. Give a file name, or end {option('output')} with a slash.")
        if not self._overwrite and os.path.lexists(path):
            raise OutputError(
                f"{self.name}: already exists. Allow replacing it with {option('overwrite', True)}, or choose "
                f"another {option('output')}."
            )
        if path.exists() and not path.is_file():
            raise OutputError(
                f"{self.name}: is no regular file. Send the picture there with {option('output', '-')} and a "
                "redirection."
            )
        if path.parent.exists() and not path.parent.is_dir():
            raise OutputError(
                f"{self.name}: {printable(str(path.parent))} is a file, not a folder. "
                f"Choose another {option('output')}."
            )
        if not path.parent.is_dir():
            raise OutputError(f"{self.name}: the folder {printable(str(path.parent))} does not exist. Create it first.")

    def __enter__(self) -> Stream:
        with self.failures():
            if self._path is None:
                self._file = tempfile.TemporaryFile()
            else:
                self._temporary, self._file = _temporary(self._path.parent, _foreign(self._path.name))
        return Stream(self._file)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with self.failures():
                    self._finish()
        finally:
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            if self._temporary is not None:
                with suppress(OSError):
                    self._temporary.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Flush to the disk, then to the name."""
        assert self._file is not None
        self._file.flush()
        if self._sink is not None:
            self._file.seek(0)
            shutil.copyfileobj(self._file, self._sink, 2**20)
            self._sink.flush()
            return
        os.fsync(self._file.fileno())
        self._file.close()
        assert self._temporary is not None
        assert self._path is not None
        move_into_place(self._temporary, self._path, overwrite=self._overwrite)

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Turn what the file system refuses into a message that names target and remedy."""
        try:
            yield
        except FileExistsError as error:
            raise OutputError(
                f"{self.name}: appeared while the picture was computed, and is kept. "
                f"Allow replacing it with {option('overwrite', True)}, or choose another {option('output')}."
            ) from error
        except BrokenPipeError as error:
            raise OutputError(f"{self.name}: its reader has closed it before the end (Broken pipe).") from error
        except OSError as error:
            raise OutputError(f"{self.name}: cannot be written ({_reason(error)}).{_remedy(error)}") from error


def _foreign(name: str) -> str:
    """The characters of a name that not every file system takes, for a temporary file to try them before anything is
    computed: a drive may be mounted that knows no question marks."""
    return "" if sys.platform == "win32" else "".join(sorted(set(_FOREIGN.findall(name))))


def hold(file: IO[bytes]) -> bool:
    """Locks a temporary file for as long as it is open: what is not locked belongs to no living run. Windows does so by
    itself.

    Returns:
        False where another process has locked it: it takes the file for one that was left behind.
    """
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            pass  # some network drives have no locks
    return True


def _temporary(folder: Path, foreign: str = "") -> tuple[Path, IO[bytes]]:
    """A new temporary file, open and locked. Its name is short for any name of the target; it is made by open(), so
    that the user's umask holds."""
    while True:
        path = folder / f"{TEMPORARY}{HOST}{secrets.token_hex(6)}{foreign}.part"
        file = path.open("xb+")
        if hold(file) and path.exists():
            return path, file
        file.close()  # another run was removing what killed ones have left, just before the lock
        path.unlink(missing_ok=True)


@contextmanager
def scratch_file(folder: Path | None) -> Iterator[tuple[Path, IO[bytes]]]:
    """A temporary file for a library that writes to names only; in a folder, or in the system's own."""
    path, file = _temporary(folder or Path(tempfile.gettempdir()))
    try:
        with file:
            yield path, file
    finally:
        path.unlink(missing_ok=True)


def remove_abandoned(folder: Path) -> int:
    """Removes the temporary files in a folder whose runs were killed; gives how many there were."""
    removed = 0
    for path in folder.glob(f"{TEMPORARY}*.part"):
        is_ours = path.name.startswith(f"{TEMPORARY}{HOST}")
        with suppress(OSError):
            if is_ours or time.time() - path.stat().st_mtime > YOUNG_SECONDS:
                removed += _removed_unless_held(path)
    return removed


def _removed_unless_held(path: Path) -> bool:
    """Removes a temporary file, under its lock, unless a run is at work on it. (On Windows that fails then.)"""
    if sys.platform == "win32":
        path.unlink()
        return True
    import fcntl

    with path.open("r+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        path.unlink()
    return True


def move_into_place(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Gives a whole file the name it is made for; FileExistsError where that is taken and may not be replaced."""
    if overwrite:
        temporary.replace(path)
    else:
        _rename_without_clobbering(temporary, path)


def _rename_without_clobbering(temporary: Path, path: Path) -> None:
    """Give a whole file its name; FileExistsError where another file has taken it meanwhile.

    os.rename replaces silently on POSIX, so a hard link takes the name, which fails if it is taken. Where there are
    no hard links (FAT, some network drives) the name is reserved by an empty file first.
    """
    if sys.platform == "win32":
        temporary.rename(path)
        return
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        path.open("xb").close()
        try:
            temporary.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _reason(error: OSError) -> str:
    return error.strerror or " ".join(str(error).split()) or type(error).__name__


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f" Free space, or choose another {option('output')}."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f" Choose a folder you may write to with {option('output')}."
    if error.errno == errno.ENAMETOOLONG:
        return f" Choose a shorter name with {option('output')}."
    return f" Choose another {option('output')}."
