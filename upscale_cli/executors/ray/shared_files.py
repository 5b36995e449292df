"""Whether another machine sees the same files under the same paths, found out before it gets work."""

import contextlib
import os
import secrets
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from upscale_cli.files.atomic_file import TEMPORARY, hold
from upscale_cli.jobs.job import Job
from upscale_cli.jobs.object_job import ObjectJob
from upscale_cli.jobs.video_job import ClipJob
from upscale_cli.jobs.video_segments import StretchJob

AnyJob = Job | ClipJob | StretchJob | ObjectJob


@dataclass(frozen=True, slots=True)
class Sign:
    """Tells whether another machine sees the same file under the same path.

    Attributes:
        size: in bytes.
        text: what is in it; None: not looked at.
    """

    path: Path
    size: int
    text: str | None = None

    def is_seen(self) -> bool:
        """Whether it is there, here."""
        try:
            same_size = self.path.stat().st_size == self.size
            return same_size and (self.text is None or self.path.read_text(encoding="utf-8") == self.text)
        except OSError:
            return False


class Tokens:
    """Small files beside outputs, by which a worker sees that its folder is this machine's."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[Path, str, IO[bytes]]] = {}
        self._lock = threading.Lock()

    def signs_for(self, job: AnyJob) -> tuple[Sign, ...]:
        """What a worker has to see for a job: its input, and a token where its output will lie."""
        source, output = paths_of(job)
        signs = []
        with contextlib.suppress(OSError):  # what is not there is told by whoever needs it
            signs += [Sign(source, source.stat().st_size)] if source is not None else []
        with contextlib.suppress(OSError):
            if output is not None:
                signs.append(self.token_in(next(parent for parent in output.parents if parent.is_dir())))
        return tuple(signs)

    def token_in(self, folder: Path) -> Sign:
        """The token of a folder, or of one above it on the same file system; made anew if somebody took it away.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            return self._token_in(folder)

    def _token_in(self, folder: Path) -> Sign:
        above = [one for one in (folder, *folder.parents) if one in self._held]
        place = next((one for one in above if one.stat().st_dev == folder.stat().st_dev), folder)
        if place not in self._held or not self._held[place][0].exists():
            text = secrets.token_hex(16)
            path = place / f"{TEMPORARY}{text[:12]}.part"
            file = path.open("xb")
            hold(file)  # so that no other run takes it for one that was left behind
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            self._held[place] = path, text, file
        path, text, _ = self._held[place]
        return Sign(path, len(text), text)

    def close(self) -> None:
        """Takes them away."""
        for path, _, file in self._held.values():
            with contextlib.suppress(OSError):
                file.close()
                path.unlink(missing_ok=True)
        self._held.clear()


def paths_of(job: AnyJob) -> tuple[Path | None, Path | None]:
    """Absolute paths of input and output, where they are files."""
    clip = job.clip if isinstance(job, StretchJob) else job
    if isinstance(clip, ClipJob):
        return Path(os.path.abspath(clip.clip.source.removeprefix("file:"))), _absolute(clip.output)
    if isinstance(clip, (Job, ObjectJob)):
        return _absolute(clip.source), _absolute(clip.output)
    return None, None


def absolute(job: AnyJob) -> AnyJob:
    """The same job, wherever the current folder of a worker is; names for messages stay."""
    if isinstance(job, ClipJob):
        path = job.clip.source.removeprefix("file:")
        clip = replace(job.clip, source=f"file:{os.path.abspath(path)}")
        return replace(job, clip=clip, output=_absolute(job.output) or job.output)
    if isinstance(job, ObjectJob):
        return replace(job, source=_absolute(job.source) or job.source, output=_absolute(job.output) or job.output)
    if isinstance(job, Job):
        return replace(job, source=_absolute(job.source) or job.source, output=_absolute(job.output) or job.output)
    return job


def _absolute(given: object) -> Path | None:
    return Path(os.path.abspath(given)) if isinstance(given, Path) else None
