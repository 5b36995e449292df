"""Whether another machine sees the same files under the same paths, found out before it gets work."""

import contextlib
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from upscale_cli.files.atomic_file import TEMPORARY, hold
from upscale_cli.jobs.job import Work, absolute


@dataclass(frozen=True, slots=True)
class Probe:
    """A file by which it is found out whether another machine sees the same under the same path.

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


class Probes:
    """Small files next to outputs, by which a worker finds out that its folder is this machine's."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[Path, str, IO[bytes]]] = {}
        self._lock = threading.Lock()

    def probes_for(self, work: Work[object]) -> tuple[Probe, ...]:
        """What a worker has to see for its work: the input, and a small file where the output will lie."""
        source, output = paths_of(work)
        probes = []
        with contextlib.suppress(OSError):  # what is not there fails where it is needed
            probes += [Probe(source, source.stat().st_size)] if source is not None else []
        with contextlib.suppress(OSError):
            if output is not None:
                probes.append(self.probe_in(next(parent for parent in output.parents if parent.is_dir())))
        return tuple(probes)

    def probe_in(self, folder: Path) -> Probe:
        """The file of a folder, or of one above it on the same file system; made anew if it was removed.

        Raises:
            OSError: it cannot be written.
        """
        with self._lock:
            return self._probe_in(folder)

    def _probe_in(self, folder: Path) -> Probe:
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
        return Probe(path, len(text), text)

    def close(self) -> None:
        """Takes them away."""
        for path, _, file in self._held.values():
            with contextlib.suppress(OSError):
                file.close()
                path.unlink(missing_ok=True)
        self._held.clear()


def paths_of(work: Work[object]) -> tuple[Path | None, Path | None]:
    """Absolute paths of input and output, where they are files."""
    source, output = absolute(work.source), absolute(work.output)
    return source if isinstance(source, Path) else None, output if isinstance(output, Path) else None
