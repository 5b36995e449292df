"""Where things lie below the data folder. No name of a client becomes a path.

DATA/queue.sqlite3            the queue
DATA/lock                     held by the service that uses the folder
DATA/token                    the token that was made, readable by the owner alone
DATA/workers/N.lock           held by each worker as long as it lives
DATA/uploads/ID.part          what is arriving
DATA/jobs/ID/input.png        the input, unless it lies in a folder of the owner's
DATA/jobs/ID/output/...       the result, and while the job lasts its work folder
"""

import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Final, Literal

from upscale_cli.errors import InputError
from upscale_cli.jobs.inputs import Input, is_clip_output
from upscale_cli.media.image.formats import BOOK_EXTENSIONS, CLIP_EXTENSIONS, is_picture_ending

Kind = Literal["photo", "clip", "book"]

ID: Final = re.compile(r"[0-9a-z]{1,64}")
"""What names a job, an upload, or a prediction of cog's."""

_OF_IDS: Final = "0123456789abcdefghjkmnpqrstvwxyz"

INPUT_STEM: Final = "input"
"""Of the files of inputs that were sent."""

LONGEST_SHOWN: Final = 200
"""Characters of a client's name of a file."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The places below a data folder."""

    data: Path

    @property
    def queue(self) -> Path:
        return self.data / "queue.sqlite3"

    @property
    def lock(self) -> Path:
        return self.data / "lock"

    @property
    def token(self) -> Path:
        return self.data / "token"

    @property
    def workers(self) -> Path:
        return self.data / "workers"

    @property
    def uploads(self) -> Path:
        return self.data / "uploads"

    @property
    def jobs(self) -> Path:
        return self.data / "jobs"

    def job(self, id: str) -> Path:
        """Of one job."""
        return self.jobs / checked(id)

    def output(self, id: str) -> Path:
        """Where its result goes, and what is being made of it."""
        return self.job(id) / "output"

    def upload(self, id: str) -> Path:
        """What has arrived of an input."""
        return self.uploads / f"{checked(id)}.part"

    def make(self) -> None:
        """Makes them, for the owner alone.

        Raises:
            OSError: they cannot be.
        """
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        for folder in (self.workers, self.uploads, self.jobs):
            folder.mkdir(exist_ok=True, mode=0o700)

    def input(self, id: str, source: str) -> Path:
        """What a job is made from: `source`, if that is a path, or the file that was sent or fetched, whose ending only
        its folder knows."""
        if source and not is_address(source):
            return Path(source)
        return next(iter(self.job(id).glob(f"{INPUT_STEM}.*")), self.job(id) / INPUT_STEM)

    def remove_output(self, id: str) -> None:
        """Takes away what was made of a job so far."""
        shutil.rmtree(self.output(id), ignore_errors=True)

    def remove_job(self, id: str) -> None:
        """Takes a job's folder away; what cannot be removed now goes at the next start."""
        shutil.rmtree(self.job(id), ignore_errors=True)

    def free(self) -> int:
        """Bytes that are free on the disk."""
        return shutil.disk_usage(self.data).free


def is_address(source: str) -> bool:
    """Whether a job's source is fetched: paths are absolute, and begin with no scheme."""
    return source.startswith(("http://", "https://"))


def checked(id: str) -> str:
    """An id, which becomes part of a path.

    Raises:
        ValueError: it is none.
    """
    if not ID.fullmatch(id):
        raise ValueError(f"{id!r} is no id")
    return id


def new_id() -> str:
    """As good as a secret: 26 characters of 5 bits."""
    number = secrets.randbits(26 * 5)
    return "".join(_OF_IDS[number >> shift & 31] for shift in range(0, 26 * 5, 5))


def ending_of(name: str) -> str:
    """The ending of a client's file name, lower case with its dot, of those that are known here.

    Raises:
        InputError: it is of no picture, clip or comic.
    """
    ending = PurePath(shown_name(name)).suffix.lower()
    if is_picture_ending(ending) or ending in CLIP_EXTENSIONS or ending in BOOK_EXTENSIONS:
        return ending
    raise InputError(
        f"{shown_name(name)}: {f'{ending} is' if ending else 'a name without ending is'} no picture, clip or comic. "
        "Name it as what it is, such as photo.jpg or clip.mp4."
    )


def shown_name(name: str) -> str:
    """A client's name of a file, for people and for downloads only: one line, without folders."""
    last = re.split(r"[/\\]", name)[-1]
    plain = "".join(char if char.isprintable() else "_" for char in last).strip(" .")
    stem, dot, ending = plain.rpartition(".")
    if not stem:
        stem, dot, ending = plain, "", ""
    return f"{stem[: LONGEST_SHOWN - len(dot + ending[:16])]}{dot}{ending[:16]}" or "unnamed"


def kind_of(path: Path, format: str | None) -> Kind:
    """Of what an input is, by its ending, or where that is ambiguous by its content."""
    source = Input(str(path), as_clip=is_clip_output(None, format))
    if source.is_book:
        return "book"
    return "clip" if source.is_clip else "photo"
