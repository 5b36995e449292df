"""One checkpoint file from the network into a folder: whole and verified, or not there.

What decides is the registry's sha256, and nothing that a server sends: a file is done when it has the pinned size (or,
where that is unknown, when the server ends it) and the pinned sum. So a part that was begun elsewhere, or of a file
that has changed since, needs no ETag to be found out: its sum is wrong, and it is fetched once more from the start.

UPSCALE_MIRROR is an http or https address that holds the files by their names: https://host/folder serves
https://host/folder/RealESRGAN_x4plus.pth. It replaces the official address; the two are not mixed.
UPSCALE_OFFLINE=1 keeps off the network altogether. Proxies are those of the environment, as urllib knows them.

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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import filelock

from upscale_cli._version import __version__
from upscale_cli.errors import CheckpointError, FetchError
from upscale_cli.events import Say
from upscale_cli.messages import option
from upscale_cli.models.registry import Spec
from upscale_cli.models.store import OFFLINE_VARIABLE, Progress, is_file, is_offline, models_here, quiet, sha256_of

MIRROR_VARIABLE: Final = "UPSCALE_MIRROR"

CHUNK: Final = 1 << 18
"""Bytes that are read and written at once."""

LARGEST: Final = 4 << 30
"""Bytes after which a file of unknown size is given up; checkpoints of such nets have some hundred MB."""

FOR_LATER: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP answers that may be another one the next time."""


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


class _LostError(Exception):
    """The connection or the server failed in a way that may pass. `wait_seconds`: what the server asked for."""

    def __init__(self, reason: str, wait_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class _OfflineError(_LostError):
    """There is no network: the server's name does not resolve, or no route leads anywhere."""


class _RefusedError(Exception):
    """An answer that will be the same the next time."""


def fetch(
    spec: Spec, folder: Path, *, progress: Progress = quiet, say: Say = quiet, patience: Patience | None = None
) -> Path:
    """Downloads a registry row's file into a folder, going on with a .part that is there.

    Only a file with the pinned sha256 ever gets its name. One with another sum is kept as NAME.bad. After Ctrl-C and
    after every failure NAME.part stays, to be gone on with. Of several processes one downloads, the others wait.

    Args:
        progress: gets (bytes there, bytes in all or None).
        say: gets a line when it waits, tries again or starts again.
        patience: None for the usual one.

    Raises:
        FetchError: it cannot be had; the text has the reason, and how to get it by hand.
        CheckpointError: the row's file comes with upscale-cli and has no address.
    """
    url = source(spec, folder)
    final = folder / spec.file
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(final, say):
            if not (is_file(final) and sha256_of(final) == spec.sha256):  # no other process was faster
                part = folder / f"{spec.file}.part"
                _complete(spec, url, part, progress=progress, say=say, patience=patience or Patience())
                part.replace(final)
                _sync_folder(folder)
    except _RefusedError as error:
        _give_up(spec, folder, str(error), error)
    except OSError as error:  # of the disk: those of the network are _LostError by now
        _give_up(spec, folder, f"cannot be written to {folder} ({error.strerror or error})", error)
    return final


def source(spec: Spec, folder: Path) -> str:
    """The address that a registry row's file would be fetched from.

    Raises:
        FetchError: there is to be no network, or the mirror is no address.
        CheckpointError: the file comes with upscale-cli and has no address.
    """
    if spec.url is None:
        raise CheckpointError(
            f"{spec.file}: comes with upscale-cli and cannot be downloaded (sha256 {spec.sha256}). "
            f"Install upscale-cli again"
        )
    if is_offline():
        _give_up(spec, folder, f"is not on this machine, and {OFFLINE_VARIABLE} forbids to download it")
    mirror = os.environ.get(MIRROR_VARIABLE, "").strip()
    if not mirror:
        return spec.url
    try:
        parts = urllib.parse.urlsplit(mirror)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable:
        _give_up(spec, folder, f"{MIRROR_VARIABLE} is {mirror!r}, which is no http or https address")
    return f"{mirror.rstrip('/')}/{urllib.parse.quote(spec.file)}"


def _give_up(spec: Spec, folder: Path, reason: str, cause: BaseException | None = None) -> NoReturn:
    """The one message for all that can go wrong: what, why, what is here instead, and how to get the file by hand."""
    raise FetchError(
        f"{spec.file}: {reason}. Here are {', '.join(models_here())} ({option('model')}). To get it by hand, download "
        f"{spec.url} (sha256 {spec.sha256}) into {folder}"
    ) from cause


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


def _complete(spec: Spec, url: str, part: Path, *, progress: Progress, say: Say, patience: Patience) -> None:
    """Requests until the part has the pinned sum.

    Raises:
        _RefusedError: it never will.
    """
    failures = 0
    start_again, has_come = True, False
    while True:
        before = _length(part)
        try:
            _request(spec, url, part, progress=progress, patience=patience)
        except _LostError as error:
            has_come = has_come or _length(part) > before
            if isinstance(error, _OfflineError) and not has_come:
                raise _RefusedError(str(error)) from error
            failures = 1 if _length(part) - before >= patience.progress_bytes else failures + 1
            if failures >= patience.failures:
                raise _RefusedError(f"{error}, {failures} times in a row") from error
            pause = max(patience.pause_seconds * 2 ** (failures - 1), error.wait_seconds)
            pause = min(pause, patience.longest_pause_seconds)
            say(f"{spec.file}: {error}; trying again in {pause:.3g} s")
            time.sleep(pause)
            continue
        if sha256_of(part) == spec.sha256:
            return
        if before and start_again:
            start_again = False
            say(f"{spec.file}: the part that was here does not belong to this file; starting again")
            part.unlink()
            continue
        aside = part.with_suffix(".bad")
        length = _length(part)
        part.replace(aside)
        raise _RefusedError(
            f"{_host(url)} gave {length:,} bytes, whose sha256 is not the pinned one; kept as {aside}, not used"
        )


def _request(spec: Spec, url: str, part: Path, *, progress: Progress, patience: Patience) -> None:
    """One request, for what the part still lacks. Returns when there is nothing more to come, right or wrong.

    Raises:
        _LostError, _RefusedError
    """
    begun = _length(part)
    if spec.size is not None and begun >= spec.size:
        return
    with _answer(url, begun, patience) as response:
        if response is None:  # 416: there is nothing after what we have
            return
        start = _start_of(response, begun)
        announced = _announced(response)
        total = spec.size or (None if announced is None else start + announced)
        _check_room(part, total, start)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            done = start
            progress(done, total)
            for chunk in _chunks(response, patience):
                chunk = chunk if spec.size is None else chunk[: spec.size - done]
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
                if done == spec.size:
                    break
                if done > LARGEST:
                    raise _RefusedError(f"what {_host(url)} sends does not end after {done:,} bytes")
            file.flush()
            os.fsync(file.fileno())
    delivered = announced is not None and done - start >= announced
    if not delivered and done != spec.size and (announced is not None or spec.size is not None):
        raise _LostError(f"the connection ended after {done:,} of {total:,} bytes")


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
            raise _RefusedError(f"{_host(req.full_url)} leads on to {_host(newurl)} without https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


@contextlib.contextmanager
def _answer(url: str, begun: int, patience: Patience) -> Iterator[http.client.HTTPResponse | None]:
    """The response to a request for the bytes from `begun` on; None when the server has none there (416)."""
    headers = {"User-Agent": f"upscale-cli/{__version__}", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={begun}-"
    request = urllib.request.Request(url, headers=headers)
    try:
        response = urllib.request.build_opener(_Redirects).open(request, timeout=patience.timeout_seconds)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and begun:
                yield None
                return
            answer = f"{_host(url)} answered HTTP {error.code} {http.client.responses.get(error.code, '')}".rstrip()
            if error.code in FOR_LATER:
                raise _LostError(answer, _seconds(error.headers.get("Retry-After"))) from error
            raise _RefusedError(answer) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _RefusedError(
                f"{_host(url)} has a certificate that this machine does not trust ({_reason(error.reason)}; "
                f"SSL_CERT_FILE names other authorities)"
            ) from error
        if _is_offline(error.reason):
            raise _OfflineError(
                f"is not on this machine, and there is no network to fetch it from {_host(url)} "
                f"({_reason(error.reason)})"
            ) from error
        raise _LostError(f"cannot reach {_host(url)} ({_reason(error.reason)})") from error
    except http.client.InvalidURL as error:
        raise _RefusedError(f"{url!r} is no address") from error
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(f"{_host(url)} does not answer ({_reason(error)})") from error
    with response:
        if response.headers.get_content_type() == "text/html":
            raise _RefusedError(f"{_host(url)} sent a web page in place of the file (a login page, perhaps)")
        yield response


def _is_offline(reason: BaseException | str) -> bool:
    """Whether a name does not resolve, or the network is not there: to try again at once will not help."""
    is_nowhere = isinstance(reason, OSError) and reason.errno in (errno.ENETUNREACH, errno.ENETDOWN)
    return isinstance(reason, socket.gaierror) or is_nowhere


def _start_of(response: http.client.HTTPResponse, begun: int) -> int:
    """Where in the file the response begins: at 0 when the server ignores that a range was asked for."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    unit_and_range = response.headers.get("Content-Range", "").partition("/")[0]
    if unit_and_range.partition("-")[0].split() != ["bytes", str(begun)]:
        raise _RefusedError(
            f"{_host(response.url)} sent another piece ({unit_and_range!r}) than the one from {begun} on"
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
            raise _LostError(f"the connection broke ({_reason(error)})") from error
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        elapsed = time.monotonic() - clock
        if elapsed >= patience.slow_seconds:
            if received < patience.slowest * elapsed:
                raise _LostError(f"less than {patience.slowest:.0f} bytes per second came in")
            clock, received = time.monotonic(), 0


def _check_room(part: Path, total: int | None, start: int) -> None:
    free = shutil.disk_usage(part.parent).free + (_length(part) - start)  # what is cut off the part becomes free
    if total is not None and total - start > free:
        raise _RefusedError(f"needs {total - start:,} bytes, and the disk of {part.parent} has {free:,} free")


def _length(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _seconds(retry_after: str | None) -> float:
    """Of a Retry-After header; its other form, a date, is left to the usual pause."""
    return float(retry_after) if retry_after and retry_after.isdecimal() else 0.0


def _host(url: str) -> str:
    """Of an address, without a password in it; the whole address is long, and signed ones are secret."""
    return urllib.parse.urlsplit(url).netloc.rpartition("@")[2]


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
