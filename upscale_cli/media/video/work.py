"""The work folder of a clip: what is being written lies in it, and gets its name when it is whole."""

import contextlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import FileLock, Timeout

from upscale_cli.errors import OutputError, printable
from upscale_cli.events import Say
from upscale_cli.media.target import OutputFile, move_into_place

SUFFIX: Final = ".work"

JOB_FILE: Final = "job.json"
"""Lies in the folder of a run that can be resumed."""

_LOCK_FILE: Final = "lock"


class WorkFolder:
    """Owner of the folder `OUTPUT.work` beside an output.

    Args:
        output: the file to be.
        overwrite: replace it if it exists.
        resume: keep what a former run has left in the folder, and leave it there until `deliver`.
        say: takes what the user should know.

    Attributes:
        path: the folder.
        file: where the output is written meanwhile.

    Raises:
        OutputError: the output may not be written there, or another run is at work on it.
    """

    def __init__(self, output: Path, *, overwrite: bool, resume: bool = False, say: Say) -> None:
        self._output, self._overwrite, self._resume, self._say = output, overwrite, resume, say
        self._target = OutputFile(output, overwrite=overwrite)
        self.path = output.with_name(output.name + SUFFIX)
        self.file = self.path / output.name
        self._keep = resume
        self._lock = FileLock(self.path / _LOCK_FILE, timeout=0)

    def __enter__(self) -> Self:
        with self._target.failures():
            was_there = self.path.is_dir()
            self.path.mkdir(exist_ok=True)
            self._acquire()
        if was_there and not self._resume:
            self._refuse_or_clear()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._keep:
            self.clear()
        self._lock.release()
        if not self._keep:
            with contextlib.suppress(OSError):
                (self.path / _LOCK_FILE).unlink(missing_ok=True)
                self.path.rmdir()

    def keep(self) -> None:
        """Leaves the folder where it is."""
        self._keep = True

    def deliver(self) -> None:
        """Flushes the file to the disk and gives it its name; the folder goes."""
        with self._target.failures():
            with self.file.open("rb+") as stream:
                os.fsync(stream.fileno())
            move_into_place(self.file, self._output, overwrite=self._overwrite)
        self._keep = False

    def clear(self) -> None:
        """Takes away all that is in the folder but the lock."""
        for entry in self.path.iterdir() if self.path.is_dir() else ():
            if entry.name != _LOCK_FILE:
                with contextlib.suppress(OSError):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _acquire(self) -> None:
        try:
            self._lock.acquire()
        except Timeout as error:
            raise OutputError(
                f"{printable(str(self._output))}: another run is writing it. Wait for that, or choose another -o."
            ) from error

    def _refuse_or_clear(self) -> None:
        """What a killed run has left: hours of work are not thrown away, a torn file is."""
        name = printable(str(self.path))
        if (self.path / JOB_FILE).exists():
            self._lock.release()
            raise OutputError(
                f"{name} holds the work of a run that can go on. Give --resume to go on with it, or remove the folder."
            )
        self.clear()
        self._say(f"{name} was left by a run that was killed; what it had written is removed.")
