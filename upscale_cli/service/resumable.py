"""Inputs that arrive in pieces, so that a connection that breaks costs only what was under way.

    DATA/uploads/ID.part    what has arrived
    DATA/uploads/ID.json    the client's name of it, and how long it will be

The protocol over HTTP is tus 1.0 (https://tus.io/protocols/resumable-upload, MIT): `routes_uploads.py`.
"""

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from upscale_cli.service.folders import Folders, ending_of, new_id, shown_name
from upscale_cli.service.problem import Problem

KEPT_SECONDS: Final = 24 * 3600
"""How long an upload may rest before it is given up."""

MOST_OPEN: Final = 100


@dataclass(frozen=True, slots=True)
class Upload:
    """An input that is arriving.

    Attributes:
        name: the client's.
        length: bytes that it will have.
        created: seconds since 1970.
    """

    id: str
    name: str
    length: int
    created: float


class Uploads:
    """Owner of what arrives in pieces."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._busy = set[str]()

    def begin(self, name: str, length: int) -> Upload:
        """
        Raises:
            InputError: the name is of no picture, clip or comic.
            Problem: too many are open.
        """
        ending_of(name)
        if sum(1 for _ in self._folders.uploads.glob("*.json")) >= MOST_OPEN:
            raise Problem(
                503, f"{MOST_OPEN} uploads are open, and no more are taken. Finish or remove some.",
                headers={"Retry-After": "30"},
            )  # fmt: skip
        upload = Upload(new_id(), shown_name(name), length, time.time())
        self.path(upload).touch(exist_ok=False)
        self._facts(upload.id).write_text(json.dumps(asdict(upload)), encoding="utf-8")
        return upload

    @contextlib.contextmanager
    def written(self, data: bytes) -> Iterator[Path]:
        """A small input that is held in memory, as a file; gone in the end, unless a job has taken it over."""
        path = self._folders.upload(new_id())
        try:
            path.write_bytes(data)
            yield path
        finally:
            path.unlink(missing_ok=True)

    def get(self, id: str) -> Upload:
        """
        Raises:
            Problem: there is none.
        """
        try:
            upload = Upload(**json.loads(self._facts(id).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise Problem(404, "there is no such upload, or it has expired.") from None
        if not self.path(upload).is_file():
            raise Problem(404, "there is no such upload, or it has become a job.")
        return upload

    def path(self, upload: Upload) -> Path:
        """What has arrived."""
        return self._folders.upload(upload.id)

    def offset(self, upload: Upload) -> int:
        """How many bytes have arrived."""
        try:
            return self.path(upload).stat().st_size
        except FileNotFoundError:
            raise Problem(404, "there is no such upload, or it has become a job.") from None

    def missing(self) -> int:
        """Bytes that are still to come, of all."""
        total = 0
        for path in self._folders.uploads.glob("*.json"):
            with contextlib.suppress(Problem):
                upload = self.get(path.stem)
                total += max(0, upload.length - self.offset(upload))
        return total

    def remove(self, upload: Upload) -> None:
        self._facts(upload.id).unlink(missing_ok=True)
        self.path(upload).unlink(missing_ok=True)

    @contextlib.contextmanager
    def alone(self, upload: Upload) -> Iterator[None]:
        """Within it nobody else adds to an upload, or takes it away.

        Raises:
            Problem: somebody does already.
        """
        with self._lock:
            if upload.id in self._busy:
                raise Problem(423, "another request is sending to this upload. Wait for its end.")
            self._busy.add(upload.id)
        try:
            yield
        finally:
            with self._lock:
                self._busy.discard(upload.id)

    def tidy(self, *, is_start: bool = False) -> None:
        """Gives up what has rested too long; at the start of a service also the halves of forms that broke off."""
        for path in self._folders.uploads.iterdir():
            with contextlib.suppress(OSError):
                is_form = path.suffix == ".part" and not path.with_suffix(".json").exists()
                is_orphan = path.suffix == ".json" and not path.with_suffix(".part").exists()
                is_old = time.time() - path.stat().st_mtime > KEPT_SECONDS and path.stem not in self._busy
                part = path.with_suffix(".part")
                if path.suffix == ".json" and part.exists():
                    is_old = is_old and time.time() - part.stat().st_mtime > KEPT_SECONDS
                if (is_start and (is_form or is_orphan)) or is_old:
                    path.unlink()

    def _facts(self, id: str) -> Path:
        try:
            return self._folders.upload(id).with_suffix(".json")
        except ValueError:
            raise Problem(404, "there is no such upload, or it has expired.") from None
