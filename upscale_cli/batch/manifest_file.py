"""A manifest's lines in a file next to the outputs, to which several runs append under a lock."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from upscale_cli.errors import OutputError
from upscale_cli.files.stamp import Stamp
from upscale_cli.messages import option

MANIFEST_NAME: Final = ".upscale-manifest.jsonl"
LOCK_NAME: Final = ".upscale-manifest.lock"
LOCK_SECONDS: Final = 60
"""How long another run may hold the lock for one line; a run that holds it longer is stuck."""


class FileStorage:
    """Lines in a file, which several runs append to.

    Args:
        folder: where it lies; need not exist before the first line is added.
    """

    ahead = 0

    def __init__(self, folder: Path) -> None:
        self.folder: Path | str = folder
        self._folder = folder
        self.path = folder / MANIFEST_NAME
        self._read_bytes = 0

    def fresh(self, *, now: bool = False) -> list[bytes]:
        del now  # it costs nothing
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._read_bytes)
                data = stream.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        return whole.splitlines()

    def add(self, lines: Sequence[bytes], *, at_once: bool) -> None:
        del at_once  # it always is
        data = b"".join(line + b"\n" for line in lines)
        with self._failures():
            self._folder.mkdir(parents=True, exist_ok=True)
            with _locked(self._folder / LOCK_NAME), self.path.open("ab+", buffering=0) as stream:
                if stream.seek(0, os.SEEK_END):
                    stream.seek(-1, os.SEEK_END)
                    data = data if stream.read(1) == b"\n" else b"\n" + data  # after a line that a kill has torn
                stream.write(data)

    def flush(self) -> None:
        pass

    def stamp(self, output: str, *, now: bool = False) -> Stamp | None:
        del now
        return Stamp.of(self.place(output))

    def place(self, output: str) -> Path:
        return self._folder / output

    def name(self, place: Path | str) -> str:
        path, folder = Path(os.path.abspath(place)), Path(os.path.abspath(self._folder))
        return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()

    def check(self) -> None:
        with self._failures():
            self._folder.mkdir(parents=True, exist_ok=True)
            self.path.open("ab").close()

    def tidy(self) -> None:
        with contextlib.suppress(OSError):
            if not self.path.stat().st_size:
                self.path.unlink()
                (self._folder / LOCK_NAME).unlink(missing_ok=True)
                self._folder.rmdir()

    def folds(self) -> bool:
        other = self.path.with_name(MANIFEST_NAME.upper())
        return os.name == "nt" or sys.platform == "darwin" or (self.path.exists() and other.exists())

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.folder}: outputs and the list of them cannot be written there ({error.strerror}). "
                f"Choose a folder you may write to with {option('output')}."
            ) from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Holds the lock for one line. Where the file system has no locks, a line that is torn is done again."""
    from filelock import FileLock

    lock = FileLock(path)
    with contextlib.suppress(OSError, NotImplementedError):  # Timeout is an OSError
        lock.acquire(timeout=LOCK_SECONDS)
    try:
        yield
    finally:
        lock.release()
