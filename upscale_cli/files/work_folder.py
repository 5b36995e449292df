"""The work folder of a clip: what is being written lies in it, and gets its name when it is whole."""

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import FileLock, Timeout

from upscale_cli.errors import OptionError, OutputError, printable
from upscale_cli.events import Say
from upscale_cli.files.atomic_file import OutputFile, move_into_place
from upscale_cli.messages import option

SUFFIX: Final = ".work"

JOB_FILE: Final = "job.json"
"""Lies in the folder of a run that can be resumed."""

JOURNAL_FILE: Final = "journal.jsonl"
"""Lies next to it: what is done."""

SEGMENT: Final = "stretch-"
JOINED: Final = "joined-"
"""How the names of a resumable run's clips begin."""

FRAME: Final = "frame-"
"""How the names of pictures begin that a clip becomes."""

_LOCK_FILE: Final = "lock"

RUNNING_FILE: Final = ".running"
"""Lies in the folder of a run that leaves nothing worth keeping, as long as it lasts: after a kill all of it can go."""

LONGEST_SHOWN: Final = 40
"""Characters of a value in a message; longer ones are digests and the like."""

ROWS_FILE: Final = "rows.raw"
"""What is done of a large picture."""

OWN_FILES: Final = (JOB_FILE, f"{JOB_FILE}.new", JOURNAL_FILE, f"{JOURNAL_FILE}.new", ROWS_FILE)
OWN_BEGINNINGS: Final = (SEGMENT, JOINED, FRAME, ".")
"""What runs leave in a work folder, apart from the output itself and the lock; and systems, under names with a dot."""


def work_folder(output: Path) -> Path:
    """Where the work on an output lies."""
    return output.with_name(output.name + SUFFIX)


class WorkFolder:
    """Owner of the folder `OUTPUT.work` next to an output.

    Args:
        output: the file to be.
        overwrite: replace it if it exists.
        resume: keep what a former run has left in the folder, and leave it there until `deliver`.
        say: takes what the user should know.

    Attributes:
        path: the folder.
        file: where the output is written meanwhile. With `resume` its name has a random part: the encoder of a killed
            run may still be at work on the one it was given.

    Raises:
        OutputError: the output may not be written there, or another run is at work on it.
    """

    def __init__(self, output: Path, *, overwrite: bool, resume: bool = False, say: Say) -> None:
        self._output, self._overwrite, self._resume, self._say = output, overwrite, resume, say
        self._target = OutputFile(output, overwrite=overwrite)
        self.path = work_folder(output)
        self.file = self.path / (f"{JOINED}{secrets.token_hex(4)}{output.suffix}" if resume else output.name)
        self._keep = resume
        self._lock = FileLock(self.path / _LOCK_FILE, timeout=0)

    def __enter__(self) -> Self:
        with self.failures():
            was_there = self.path.is_dir()
            self._check_ours()
            self.path.mkdir(exist_ok=True)
            self._acquire()
            self._target.check(self._output)  # another run may have finished it just now
        if was_there and not self._resume:
            self._refuse_or_clear()
        if not self._resume:
            with self.failures():
                (self.path / RUNNING_FILE).touch()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._keep:
            self.clear()
        elif self._resume:
            with contextlib.suppress(OSError):
                self.file.unlink(missing_ok=True)  # half of a join is of no use to the next run
        self._lock.release()
        if not self._keep:
            with contextlib.suppress(OSError):
                (self.path / _LOCK_FILE).unlink(missing_ok=True)
                self.path.rmdir()

    def failures(self) -> AbstractContextManager[None]:
        """Turns what the file system refuses into an `OutputError` that names output and remedy."""
        return self._target.failures()

    def keep(self) -> None:
        """Leaves the folder where it is."""
        self._keep = True
        (self.path / RUNNING_FILE).unlink(missing_ok=True)

    def deliver(self) -> None:
        """Flushes the file to the disk and gives it its name; the folder goes."""
        with self.failures():
            synced(self.file)
            move_into_place(self.file, self._output, overwrite=self._overwrite)
            _folder_synced(self._output.parent)
        self._keep = False

    def discard(self) -> None:
        """The folder goes, with what is in it."""
        self._keep = False

    def clear(self) -> None:
        """Takes away all that is in the folder but the lock."""
        for entry in self.path.iterdir() if self.path.is_dir() else ():
            if entry.name != _LOCK_FILE:
                with contextlib.suppress(OSError):
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()

    def _check_ours(self) -> None:
        """What is in the folder will be taken away, so nothing may be there that no run has left.

        Raises:
            OutputError: it is a link, or there is a file in it that is not ours.
        """
        foreign = _foreign_in(self.path)
        if self.path.is_symlink() or foreign:
            why = f"holds {printable(foreign[0])}, which no run has left there" if foreign else "is a link"
            raise OutputError(
                f"{printable(str(self.path))} is needed as a work folder, but {why}. "
                f"Rename it, or choose another {option('output')}."
            )

    def _acquire(self) -> None:
        busy = OutputError(
            f"{printable(str(self._output))}: another run is writing it. "
            f"Wait for that, or choose another {option('output')}."
        )
        try:
            self._lock.acquire()
        except Timeout as error:
            raise busy from error
        if not (self.path / _LOCK_FILE).exists():  # the other run ended in between, and took folder and lock away
            self._lock.release()
            raise busy

    def _refuse_or_clear(self) -> None:
        """What a killed run has left: hours of work are not thrown away, a torn file is."""
        name = printable(str(self.path))
        if (self.path / JOB_FILE).exists():
            self._lock.release()
            raise OutputError(
                f"{name} holds the work of a run that can go on. "
                f"Give {option('resume', True)} to go on with it, or remove the folder."
            )
        self.clear()
        self._say(f"{name} was left by a run that was killed; what it had written is removed.")


def _foreign_in(folder: Path) -> list[str]:
    """What lies in a work folder and was left there by no run."""
    own = {folder.name.removesuffix(SUFFIX), _LOCK_FILE, *OWN_FILES}
    entries = folder.iterdir() if folder.is_dir() else ()
    return [entry.name for entry in entries if entry.name not in own and not entry.name.startswith(OWN_BEGINNINGS)]


def remove_abandoned_work(folder: Path) -> list[Path]:
    """Removes the work folders in a folder whose runs were killed and cannot go on; gives which.

    Those of living runs are locked. Those that can go on (`--resume`), or that were left for the user, stay.
    """
    removed = []
    for path in folder.glob(f"*{SUFFIX}"):
        is_abandoned = (path / RUNNING_FILE).exists() and not (path / JOB_FILE).exists() and not path.is_symlink()
        if not is_abandoned or _foreign_in(path):
            continue
        lock = FileLock(path / _LOCK_FILE, timeout=0)
        with contextlib.suppress(OSError, Timeout), lock:
            if (path / RUNNING_FILE).exists():  # its run may have ended just now
                shutil.rmtree(path)
                removed.append(path)
    return removed


_KEYS: Final = {"box": "size", "conditions": "condition", "extra": "encoder-arg"}
"""What a job's record calls an option, where it is not by its own name."""


def under_keys(**options: object) -> dict[str, object]:
    """Options as a job's record has had them from the first: `pix_fmt` is "--pix-fmt" for every face.

    >>> under_keys(crf=18, extra=[])
    {'--crf': 18, '--encoder-arg': []}
    """
    return {f"--{_KEYS.get(name, name.replace('_', '-'))}": value for name, value in options.items()}


def _spoken(key: str) -> str:
    """A record's key, in words."""
    if not key.startswith("--"):
        return key
    names = {written: name for name, written in _KEYS.items()}
    written = key.removeprefix("--")
    return option(names.get(written, written.replace("-", "_")))


def job_in(folder: Path) -> dict[str, object] | None:
    """The job that a work folder is of; None where unknown."""
    try:
        return dict(json.loads((folder / JOB_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def forget_job(folder: Path) -> bool:
    """Gives up what a run has left in a work folder; another that is at work there keeps it. Gives whether it is so."""
    if not (folder / JOB_FILE).exists() or folder.is_symlink() or _foreign_in(folder):
        return False
    lock = FileLock(folder / _LOCK_FILE, timeout=0)
    try:
        with lock:
            for name in OWN_FILES:
                (folder / name).unlink(missing_ok=True)
    except (OSError, Timeout):
        return False
    return True


def claim(folder: Path, job: Mapping[str, object]) -> None:
    """Makes a work folder that of a job; a journal of an unknown job goes.

    Args:
        job: what makes it this job, each under the name that the user knows.

    Raises:
        OptionError: it is another one's.
        OSError: it cannot be written.
    """
    recorded = job_in(folder)
    if recorded is None:
        (folder / JOURNAL_FILE).unlink(missing_ok=True)
        replace_text(folder / JOB_FILE, json.dumps(dict(job), indent=1))
    elif recorded != job:
        differing = ", ".join(
            _difference(key, recorded, job) for key in {**recorded, **job} if recorded.get(key) != job.get(key)
        )
        raise OptionError(
            f"{folder} holds the work of another job: {differing}. "
            "Repeat that one's input and options, or remove the folder."
        )


def _difference(key: str, recorded: Mapping[str, object], now: Mapping[str, object]) -> str:
    """One thing in which two jobs differ, in words."""
    what, values = _spoken(key), [recorded.get(key), now.get(key)]
    shown = ["not given" if value in (None, [], False) else _shown(value) for value in values]
    return f"{what} ({shown[0]} then, {shown[1]} now)" if max(map(len, shown)) <= LONGEST_SHOWN else f"{what} differs"


def _shown(value: object) -> str:
    return ", ".join(map(str, value.values())) if isinstance(value, dict) else str(value)


def replace_text(path: Path, text: str) -> None:
    """Gives a file another content, all of it or nothing."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_text(text, encoding="utf-8", newline="\n")
    synced(temporary)
    temporary.replace(path)


def synced(path: Path) -> None:
    """Returns when the content of a file is on the disk."""
    with path.open("rb+") as stream:  # Windows flushes only what may be written
        os.fsync(stream.fileno())


def _folder_synced(folder: Path) -> None:
    """Returns when the names in a folder are on the disk; Windows sees to that by itself."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems have no such thing
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
