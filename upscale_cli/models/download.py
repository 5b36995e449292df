"""One file of a known sha256 from the network into a folder: whole and verified, or not there.

What decides is the sum that is known before, and nothing that a server sends: a file is done when it has the pinned
size (or, where that is unknown, when the server ends it) and the pinned sum. So a part that was begun elsewhere, or of
a file that has changed since, needs no ETag to be found out: its sum is wrong, and it is fetched once more from the
start. Proxies are those of the environment, as urllib knows them.

Written here on urllib: pooch, the kept library for this, neither resumes nor locks, and needs requests.
"""

import contextlib
import errno
import http.client
import os
import shutil
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol

import filelock

from upscale_cli._version import __version__
from upscale_cli.events import Say
from upscale_cli.files.names import is_file
from upscale_cli.models.addresses import host_of
from upscale_cli.models.store import Progress, quiet, sha256_of

CHUNK: Final = 1 << 18
"""Bytes that are read and written at once."""

LARGEST: Final = 4 << 30
"""Bytes after which a file of unknown size is given up; checkpoints of such nets have some hundred MB."""

FOR_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP answers that may be another one the next time."""


class Pinned(Protocol):
    """What is known of a file before it is there."""

    @property
    def file(self) -> str:
        """Its name."""

    @property
    def sha256(self) -> str:
        """Of its contents, lower-case hex."""

    @property
    def size(self) -> int | None:
        """Bytes; None where unknown."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a server may take.

    Attributes:
        timeout_seconds: without a single byte, to connect and to read.
        failures: in a row, before giving up; an attempt that brought `progress_bytes` starts the count anew.
        progress_bytes: see above.
        pause_seconds: after the first failure; doubled after each further one.
        longest_pause_seconds: the most, also where the server asks for more.
        slowest: bytes per second; a connection that stays below for `slow_seconds` counts as lost.
        slow_seconds: see above.
    """

    timeout_seconds: float = 30.0
    failures: int = 5
    progress_bytes: int = 1 << 20
    pause_seconds: float = 1.0
    longest_pause_seconds: float = 60.0
    slowest: float = 1024.0
    slow_seconds: float = 60.0


class LostError(Exception):
    """The connection or the server failed in a way that may pass. `wait_seconds`: what the server asked for."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class OfflineError(LostError):
    """There is no network: the server's name does not resolve, or no route leads anywhere."""


class RefusedError(Exception):
    """An answer that will be the same the next time."""


def download(
    pinned: Pinned,
    url: str,
    folder: Path,
    *,
    progress: Progress = quiet,
    say: Say = quiet,
    patience: Patience | None = None,
) -> Path:
    """Downloads a file into a folder, going on with a .part that is there.

    Only a file with the pinned sha256 ever gets its name. One with another sum is kept as NAME.bad. After Ctrl-C and
    after every failure NAME.part stays, to be gone on with. Of several processes one downloads, the others wait.

    Args:
        progress: gets (bytes there, bytes in all or None).
        say: gets a line when it waits, tries again or starts again.
        patience: None for the usual one.

    Raises:
        RefusedError: it cannot be had; the text has the reason.
    """
    final = folder / pinned.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(final, say):
            if not (is_file(final) and sha256_of(final) == pinned.sha256):  # no other process was faster
                part = folder / f"{pinned.file}.part"
                _complete(pinned, url, part, progress=progress, say=say, patience=patience or Patience())
                part.replace(final)
                _sync_folder(folder)
    except OSError as error:  # of the disk: those of the network are LostError by now
        raise RefusedError(f"cannot be written to {folder} ({error.strerror or error})") from error
    return final


@contextlib.contextmanager
def _lock(final: Path, say: Say) -> Iterator[None]:
    """One downloader per file, over processes. The empty lock file stays: to remove it would let two in at once."""
    lock = filelock.FileLock(final.with_name(f".{final.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        say(f"{final.name}: another process is downloading it; waiting for that")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _complete(pinned: Pinned, url: str, part: Path, *, progress: Progress, say: Say, patience: Patience) -> None:
    """Requests until the part has the pinned sum.

    Raises:
        RefusedError: it never will.
    """
    failures = 0
    start_again, has_come = True, False
    while True:
        before = _length(part)
        try:
            _request(pinned, url, part, progress=progress, patience=patience)
        except LostError as error:
            has_come = has_come or _length(part) > before
            if isinstance(error, OfflineError) and not has_come:
                raise RefusedError(str(error)) from error
            failures = 1 if _length(part) - before >= patience.progress_bytes else failures + 1
            if failures >= patience.failures:
                raise RefusedError(f"{error}, {failures} times in a row") from error
            pause = max(patience.pause_seconds * 2 ** (failures - 1), error.wait_seconds)
            pause = min(pause, patience.longest_pause_seconds)
            say(f"{pinned.file}: {error}; trying again in {pause:.3g} s")
            time.sleep(pause)
            continue
        if sha256_of(part) == pinned.sha256:
            return
        if before and start_again:
            start_again = False
            say(f"{pinned.file}: the part that was here does not belong to this file; starting again")
            part.unlink()
            continue
        aside = part.with_suffix(".bad")
        length = _length(part)
        part.replace(aside)
        raise RefusedError(
            f"{host_of(url)} gave {length:,} bytes, whose sha256 is not the pinned one; kept as {aside}, not used"
        )


def _request(pinned: Pinned, url: str, part: Path, *, progress: Progress, patience: Patience) -> None:
    """One request, for what the part still lacks. Returns when there is nothing more to come, right or wrong.

    Raises:
        LostError, RefusedError
    """
    begun = _length(part)
    if pinned.size is not None and begun >= pinned.size:
        return
    headers = {"Range": f"bytes={begun}-"} if begun else {}
    with answer(url, headers, patience, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE) as response:
        if response is None:  # there is nothing after what we have
            return
        start = _start_of(response, begun)
        announced = _announced(response)
        total = pinned.size or (None if announced is None else start + announced)
        _check_room(part, total, start)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            done = start
            progress(done, total)
            for chunk in _chunks(response, patience):
                chunk = chunk if pinned.size is None else chunk[: pinned.size - done]
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
                if done == pinned.size:
                    break
                if done > LARGEST:
                    raise RefusedError(f"what {host_of(url)} sends does not end after {done:,} bytes")
            file.flush()
            os.fsync(file.fileno())
    delivered = announced is not None and done - start >= announced
    if not delivered and done != pinned.size and (announced is not None or pinned.size is not None):
        raise LostError(f"the connection ended after {done:,} of {total:,} bytes")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http and https only, and never from https back to http."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: object,
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        scheme = urllib.parse.urlsplit(newurl).scheme
        if scheme != "https" and scheme != req.type:
            raise RefusedError(f"{host_of(req.full_url)} leads on to {host_of(newurl)} without https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


@contextlib.contextmanager
def answer(
    url: str, headers: Mapping[str, str], patience: Patience, nothing: int
) -> Iterator[http.client.HTTPResponse | None]:
    """The response to a request with further headers; None when its status is `nothing`: there is nothing to send.

    Raises:
        LostError, RefusedError
    """
    usual = {"User-Agent": f"upscale-cli/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers={**usual, **headers})
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=patience.timeout_seconds)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == nothing and headers:
                yield None
                return
            answered = f"{host_of(url)} answered HTTP {error.code} {http.client.responses.get(error.code, '')}".rstrip()
            if error.code in FOR_LATER:
                raise LostError(answered, _seconds(error.headers.get("Retry-After"))) from error
            raise RefusedError(answered) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise RefusedError(
                f"{host_of(url)} has a certificate that this machine does not trust ({_reason(error.reason)}; "
                f"SSL_CERT_FILE names other authorities)"
            ) from error
        if _is_offline(error.reason):
            raise OfflineError(
                f"is not on this machine, and there is no network to fetch it from {host_of(url)} "
                f"({_reason(error.reason)})"
            ) from error
        raise LostError(f"cannot reach {host_of(url)} ({_reason(error.reason)})") from error
    except http.client.InvalidURL as error:
        raise RefusedError(f"{url!r} is no address") from error
    except (OSError, http.client.HTTPException) as error:
        raise LostError(f"{host_of(url)} does not answer ({_reason(error)})") from error
    with response:
        if response.headers.get_content_type() == "text/html":
            raise RefusedError(f"{host_of(url)} sent a web page in place of the file (a login page, perhaps)")
        yield response


def _is_offline(reason: BaseException | str) -> bool:
    """Whether a name does not resolve, or the network is not there: to try again at once will not help."""
    is_nowhere = isinstance(reason, OSError) and reason.errno in (errno.ENETUNREACH, errno.ENETDOWN)
    return isinstance(reason, socket.gaierror) or is_nowhere


def _start_of(response: http.client.HTTPResponse, begun: int) -> int:
    """Where in the file the response begins: at 0 when the server ignores that a range was asked for."""
    if response.status != HTTPStatus.PARTIAL_CONTENT:
        return 0
    unit_and_range = response.headers.get("Content-Range", "").partition("/")[0]
    if unit_and_range.partition("-")[0].split() != ["bytes", str(begun)]:
        raise RefusedError(
            f"{host_of(response.url)} sent another piece ({unit_and_range!r}) than the one from {begun} on"
        )
    return begun


def _announced(response: http.client.HTTPResponse) -> int | None:
    """Bytes that are to come, if the server announces them."""
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() and "Transfer-Encoding" not in response.headers else None


def _chunks(response: http.client.HTTPResponse, patience: Patience) -> Iterator[bytes]:
    """The body as it comes in, until it ends, breaks off or all but stops."""
    clock, received = time.monotonic(), 0
    while True:
        try:
            chunk = response.read1(CHUNK)  # read() would wait for all of them, and a trickle would look like a stop
        except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a chunk length that is none
            raise LostError(f"the connection broke ({_reason(error)})") from error
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        elapsed = time.monotonic() - clock
        if elapsed >= patience.slow_seconds:
            if received < patience.slowest * elapsed:
                raise LostError(f"less than {patience.slowest:.0f} bytes per second came in")
            clock, received = time.monotonic(), 0


def _check_room(part: Path, total: int | None, start: int) -> None:
    free = shutil.disk_usage(part.parent).free + (_length(part) - start)  # what is cut off the part becomes free
    if total is not None and total - start > free:
        raise RefusedError(f"needs {total - start:,} bytes, and the disk of {part.parent} has {free:,} free")


def _length(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _seconds(retry_after: str | None) -> float:
    """Of a Retry-After header; its other form, a date, is left to the usual pause."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _reason(error: BaseException | str) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return "".join(filter(str.isprintable, text)) or type(error).__name__  # it may quote what the server sent


def _sync_folder(folder: Path) -> None:
    """Makes the new name survive a power cut, where folders can be opened (not on Windows)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
