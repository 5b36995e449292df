"""Inputs that lie at an address: fetched one after the other, while the job waits in the queue.

A job is accepted before its input is here, so that it is not lost with the service: it is fetched again then.
"""

import mimetypes
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from upscale_cli.errors import InputError
from upscale_cli.service.folders import INPUT_STEM, Folders, ending_of, is_address
from upscale_cli.service.outbound import fetch
from upscale_cli.service.store import StoredJob

AT_ONCE: Final = 4

ENDINGS: Final = {
    "image/webp": ".webp", "image/avif": ".avif", "image/heic": ".heic", "image/heif": ".heif", "image/jxl": ".jxl",
    "image/apng": ".png", "video/webm": ".webm", "video/x-matroska": ".mkv", "application/vnd.comicbook+zip": ".cbz",
}  # fmt: skip
"""Of media types that not every Python knows."""


def name_at(url: str) -> str:
    """What an input at an address is called."""
    return PurePosixPath(unquote(urlsplit(url).path)).name or "input"


def ending_for(name: str, media_type: str) -> str:
    """The ending of an input: its name's, or else by what its server calls it.

    Raises:
        InputError: neither is of a picture, clip or comic.
    """
    try:
        return ending_of(name)
    except InputError:
        guessed = ENDINGS.get(media_type) or mimetypes.guess_extension(media_type)
        if not guessed:
            raise
        return ending_of(f"{INPUT_STEM}{guessed}")


class Fetcher:
    """Owner of the threads that fetch.

    Args:
        most: bytes of an input.
        on_done: is called with a job's id and why it failed, "" where its input is here.
    """

    def __init__(
        self, folders: Folders, allowed: Sequence[str], most: int, on_done: Callable[[str, str], None]
    ) -> None:
        self._folders, self._allowed, self._most, self._on_done = folders, allowed, most, on_done
        self._threads = ThreadPoolExecutor(AT_ONCE, "fetching")
        self._lock = threading.Lock()
        self._in_progress = set[str]()
        self._unwanted = set[str]()

    def is_needed(self, job: StoredJob) -> bool:
        """Whether a job waits for its input; it is on its way then."""
        if not is_address(job.source) or self._folders.input(job.id, "").is_file():
            return False
        with self._lock:
            if job.id not in self._in_progress:
                self._in_progress.add(job.id)
                self._threads.submit(self._fetch, job)
        return True

    @property
    def count(self) -> int:
        """Jobs whose inputs are on their way: those behind them in the queue need not wait for them."""
        return len(self._in_progress)

    def cancel(self, id: str) -> None:
        with self._lock:
            if id in self._in_progress:
                self._unwanted.add(id)

    def close(self) -> None:
        with self._lock:
            self._unwanted |= self._in_progress
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _fetch(self, job: StoredJob) -> None:
        why = ""
        try:
            part = self._folders.job(job.id) / "fetched.part"
            part.parent.mkdir(mode=0o700, exist_ok=True)
            media_type = fetch(
                job.source, part, self._allowed, most=self._most, is_wanted=lambda: job.id not in self._unwanted
            )
            part.replace(part.with_name(f"{INPUT_STEM}{ending_for(job.name, media_type)}"))
        except InputError as error:
            why = str(error)
        except OSError as error:
            why = f"{job.name}: cannot be kept ({error.strerror or error})."
        finally:
            with self._lock:
                self._in_progress.discard(job.id)
                is_unwanted = job.id in self._unwanted
                self._unwanted.discard(job.id)
        if not is_unwanted:
            self._on_done(job.id, why)
