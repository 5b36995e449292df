"""Objects in stores (s3://, gs://, ...): named, listed, fetched, put. The only file that imports fsspec.

An object appears as a whole or not at all: a put is one request, or a multipart upload that is completed at its end and
aborted if it does not come to that. What may pass (no answer, 5xx, throttling) is tried again, after growing pauses;
what will not pass is told at once. Endpoint, credentials and options are the store's own business: its environment,
its profiles, and fsspec's configuration.
"""

import errno
import functools
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from upscale_cli.errors import InputError, OutputError, UpscaleError
from upscale_cli.files.stamp import Stamp

PAUSES: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries. Within a try, the store's own library has tried a few times too (AWS_MAX_ATTEMPTS, ...)."""

PART_BYTES = 2**24
"""Of a multipart upload or a download in pieces; objects below two parts take one request."""

MOST_PARTS: Final = 10_000
"""Of one multipart upload, by the rules of S3."""

PARTS_AT_ONCE: Final = 4
REQUESTS_AT_ONCE: Final = 16

_Kind = type[InputError] | type[OutputError]
_T = TypeVar("_T")


SCHEMES: Final = {
    "s3": '"upscale-cli[s3]"',
    **dict.fromkeys(("gs", "gcs"), '"upscale-cli[gs]"'),
    **dict.fromkeys(("az", "abfs"), "adlfs"),
}
"""What URLs of objects begin with, and what pip installs for it."""


# Names


def is_object(name: str | Path) -> bool:
    """Whether a name is that of an object, or of a prefix.

    >>> is_object("s3://bucket/a.jpg"), is_object("s3:/a.jpg"), is_object("rtsp://camera/1")
    (True, False, False)
    """
    scheme, mark, _ = name.partition("://") if isinstance(name, str) else ("", "", "")
    return bool(mark) and scheme in SCHEMES


def key_of(url: str) -> str:
    """What comes after the bucket.

    >>> key_of("s3://bucket/a/b.jpg"), key_of("s3://bucket")
    ('a/b.jpg', '')
    """
    return url.partition("://")[2].partition("/")[2]


def bucket_of(url: str) -> str:
    """The bucket, as a prefix.

    >>> bucket_of("s3://bucket/a/b.jpg")
    's3://bucket/'
    """
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}/"


def is_prefix_name(url: str) -> bool:
    """Whether it can only be that of a prefix: it ends with a slash, or is a bucket."""
    return url.endswith("/") or not key_of(url)


def as_prefix(url: str) -> str:
    """With one slash at its end."""
    return f"{url.rstrip('/')}/"


def parent(url: str) -> str:
    """The prefix that an object lies in, with a slash at its end.

    >>> parent("s3://bucket/a/b.jpg"), parent("s3://bucket/b.jpg")
    ('s3://bucket/a/', 's3://bucket/')
    """
    return url[: url.rindex("/") + 1]


def joined(prefix: str, path: str | PurePosixPath) -> str:
    """An object below a prefix; empty and "." parts of the path are left out.

    >>> joined("s3://bucket/large", "./sub//a.jpg")
    's3://bucket/large/sub/a.jpg'
    """
    parts = [part for part in str(path).split("/") if part not in ("", ".")]
    return as_prefix(prefix) + "/".join(parts)


def normal(url: str) -> str:
    """The same, without empty and "." parts after the bucket; a slash at its end stays."""
    return joined(bucket_of(url), key_of(url)) + ("/" if key_of(url).endswith("/") else "")


# What is there


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies below a prefix.

    Attributes:
        objects: by URL, in the store's order.
        prefixes: URLs of those that were not looked into.
    """

    objects: Mapping[str, Stamp] = field(default_factory=dict)
    prefixes: Sequence[str] = ()


def listed(prefix: str, *, deep: bool = True, kind: _Kind = InputError) -> Listing:
    """What lies below a prefix; nothing, where there is no such prefix.

    Args:
        deep: prefixes below it are looked into, too.
        kind: of errors.

    Raises:
        InputError, OutputError: it cannot be listed.
    """
    prefix = as_prefix(prefix)
    store, path = _store(prefix, kind), _path(prefix, kind)

    def look() -> list[dict[str, Any]]:
        try:
            return list(store.find(path, detail=True).values()) if deep else store.ls(path, detail=True)
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise
            return []

    objects, prefixes = dict[str, Stamp](), list[str]()
    for info in _patiently(prefix, kind, look):
        below = info["name"].removeprefix(path)
        if not below.startswith("/") or below.endswith("/"):
            continue  # the prefix itself, or an empty object that stands for one
        url = prefix + below[1:]
        if info["type"] == "directory":
            prefixes.append(as_prefix(url))
        else:
            objects[url] = _stamp_of(info)
    return Listing(objects, prefixes)


_just_put: dict[str, Stamp] = {}
"""What was seen of objects after they were put, until somebody asks."""


def stamp(url: str, kind: _Kind = InputError) -> Stamp | None:
    """Of an object as it is now; None where there is none.

    Raises:
        InputError, OutputError: the store does not tell.
    """
    return _just_put.pop(url, None) or _looked_up(url, kind)


def seen(url: str, made: Stamp) -> None:
    """What another process has put and seen; nobody need ask the store again."""
    _just_put[url] = made


def stamps(urls: Sequence[str]) -> dict[str, Stamp | None]:
    """Of many, asked for side by side."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return dict(zip(urls, pool.map(stamp, urls), strict=True))


def _looked_up(url: str, kind: _Kind) -> Stamp | None:
    store, path = _store(url, kind), _path(url, kind)

    def look() -> Stamp | None:
        try:
            info = store.info(path)
        except FileNotFoundError as error:
            if _code(error) == "NoSuchBucket":
                raise
            return None
        return None if info["type"] == "directory" else _stamp_of(info)

    return _patiently(url, kind, look)


def _stamp_of(info: Mapping[str, Any]) -> Stamp:
    """By what a listing or a look at the object itself tells: both must give the same."""
    fields = ("LastModified", "last_modified", "updated", "mtime", "created")
    changed = next((info[name] for name in fields if info.get(name)), 0)
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed)
    if isinstance(changed, datetime):
        changed = (changed if changed.tzinfo else changed.replace(tzinfo=UTC)).timestamp()
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    part = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:8]) % 10**9
    return Stamp(int(info["size"]), int(changed) * 10**9 + part)  # only some listings know milliseconds


# Bytes


def fetch(url: str, file: Path, expected: Stamp | None = None) -> None:
    """Writes an object into a file.

    Args:
        expected: what it was when it was listed.

    Raises:
        InputError: it is not there, or cannot be had as a whole.
    """
    store, path = _store(url, InputError), _path(url, InputError)
    options, before = _parts(url), expected

    def get() -> None:
        nonlocal before
        store.get_file(path, str(file), **options)
        size = file.stat().st_size
        if before is not None and size == before.size and size <= PART_BYTES:
            return
        now = _looked_up(url, InputError)  # in several pieces: they must be of one object
        if now is None or now.size != size or (before is not None and now != before and size > PART_BYTES):
            before = now
            raise _IncompleteError(f"{size} bytes came of {now.size if now is not None else 0}")

    _patiently(url, InputError, get)


def put(file: Path, url: str, *, overwrite: bool) -> Stamp:
    """Makes an object of a file; nobody ever sees a part of it.

    Args:
        overwrite: replace an object that is there. (Without it, a store without conditional puts still leaves a short
            moment in which another program's object is replaced.)

    Returns:
        What it is now.

    Raises:
        OutputError: it cannot be put, or is there already; nothing is left of it.
    """
    size = file.stat().st_size

    def once() -> Stamp:
        try:
            _upload(file, url, overwrite=overwrite)
        except OSError as error:
            if not (isinstance(error, FileExistsError) or _status(error) == 412):
                raise
            if not _is_copy(file, url):  # made by a try whose answer was lost
                raise OutputError(
                    f"{url}: appeared while its source was upscaled, and is kept. "
                    "Allow replacing it with --overwrite, or choose another -o."
                ) from error
        made = _looked_up(url, OutputError)
        if made is None or made.size != size:
            raise _IncompleteError(f"{made.size if made is not None else 0} bytes are there of {size}")
        return made

    made = _just_put[url] = _patiently(url, OutputError, once)
    return made


def _upload(file: Path, url: str, *, overwrite: bool) -> None:
    """One try. It goes on in a thread, so that Ctrl-C can end it in order: the library aborts a multipart upload where
    anything goes wrong in it, but does not hear of Ctrl-C."""
    from fsspec.callbacks import Callback

    class Stop(Callback):  # type: ignore[misc]
        is_wanted = False

        def relative_update(self, inc: int = 1) -> None:
            if self.is_wanted:
                raise RuntimeError("interrupted")
            super().relative_update(inc)

    stop, store, path = Stop(), _store(url, OutputError), _path(url, OutputError)
    options = _parts(url, file.stat().st_size)

    def put_file() -> None:
        try:
            store.put_file(str(file), path, callback=stop, **options, **({} if overwrite else {"mode": "create"}))
        except OSError as error:
            if overwrite or error.errno != errno.ENOSYS:
                raise
            store.put_file(str(file), path, callback=stop, **options)  # a store that knows no conditions

    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(put_file)
        try:
            done.result()
        except BaseException:
            stop.is_wanted = True
            raise


def _is_copy(file: Path, url: str) -> bool:
    """Whether an object has the bytes of a file. Rarely asked for, so it is fetched."""
    from filecmp import cmp

    made = _looked_up(url, OutputError)
    if made is None or made.size != file.stat().st_size:
        return False
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        other = Path(folder) / "there"
        fetch(url, other, made)
        return cmp(file, other, shallow=False)


def _parts(url: str, size: int = 0) -> dict[str, int]:
    """How much of an object goes at a time: s3fs would hold half a gigabyte, others hold little."""
    if not url.startswith("s3:"):
        return {}
    return {"chunksize": max(PART_BYTES, -(-size // MOST_PARTS)), "max_concurrency": PARTS_AT_ONCE}


def read(url: str, kind: _Kind = InputError, *, first: int | None = None) -> bytes:
    """All bytes of a small object, or its first ones.

    Raises:
        InputError, OutputError: it is not there, or cannot be read.
    """
    store, path = _store(url, kind), _path(url, kind)
    data: bytes = _patiently(url, kind, lambda: store.cat_file(path, **({} if first is None else {"end": first})))
    return data


def read_all(urls: Sequence[str], kind: _Kind) -> Iterator[bytes]:
    """Small objects, side by side, in the order given; b"" for one that has gone meanwhile."""

    def one(url: str) -> bytes:
        store, path = _store(url, kind), _path(url, kind)

        def get() -> bytes:
            try:
                return bytes(store.cat_file(path))
            except FileNotFoundError:
                return b""

        return _patiently(url, kind, get)

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        yield from pool.map(one, urls)


def write(url: str, data: bytes) -> None:
    """Makes a small object, or replaces it.

    Raises:
        OutputError: it cannot be put.
    """
    store, path = _store(url, OutputError), _path(url, OutputError)
    _patiently(url, OutputError, lambda: store.pipe_file(path, data))


def remove(url: str) -> None:
    """Deletes an object, if it is there.

    Raises:
        OutputError: it cannot be deleted.
    """
    store, path = _store(url, OutputError), _path(url, OutputError)

    def delete() -> None:
        try:
            store.rm_file(path)
        except FileNotFoundError:
            return

    _patiently(url, OutputError, delete)


# Stores


def _path(url: str, kind: _Kind) -> str:
    """As fsspec names it: without scheme and slash at the end; nothing in it is unquoted or expanded.

    Raises:
        InputError, OutputError: it cannot be named so.
    """
    scheme, _, rest = url.partition("://")
    bucket = rest.partition("/")[0]
    if not bucket:
        raise kind(f"{url}: names no bucket. Write {scheme}://BUCKET/NAME.")
    if "@" in bucket and ":" in bucket:
        raise kind(f"{scheme}://...: credentials have no place in a URL, which shows up in logs. Set them up as the "
                   "store's own tools want it.")  # fmt: skip
    if scheme == "s3" and "?versionId=" in rest:
        raise kind(f'{url}: "?versionId=" in a name is taken for a version. Rename the object.')
    path: str = type(_store(url, kind))._strip_protocol(url)
    return path


def _store(url: str, kind: _Kind) -> Any:
    """What speaks to a store.

    Raises:
        InputError, OutputError: what it needs is not installed.
    """
    scheme = url.partition("://")[0]
    try:
        return _connected(scheme, os.getpid())
    except ImportError as error:
        raise kind(f"{url}: needs {SCHEMES[scheme]}, which is not installed: pip install {SCHEMES[scheme]}") from error


@functools.cache
def _connected(scheme: str, process: int) -> Any:
    """One for all threads, which then share its connections; a process that was forked needs its own."""
    import fsspec

    del process
    store = fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    if scheme == "s3":
        store.retries = (
            1  # botocore tries every request a few times, and `_patiently` all of them; 3 levels are too many
        )
    return store


# When it does not go well


class _IncompleteError(ConnectionError):
    """Not all bytes came, or not of one object."""


_PASSING_STATUS: Final = {408, 409, 425, 429, 500, 502, 503, 504, 509}
_PASSING_CODES: Final = {"BadDigest", "IncompleteBody", "RequestTimeout", "XAmzContentSHA256Mismatch"}
"""With status 400: something was lost on the way."""
_NO_CREDENTIALS: Final = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound",
    "TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError", "DefaultCredentialsError", "RefreshError",
}  # fmt: skip
"""Classes of botocore and google.auth."""
_NETWORK: Final = {
    "aiohttp.ClientConnectionError", "aiohttp.ClientPayloadError", "botocore.HTTPClientError",
    "botocore.ConnectionError", "botocore.IncompleteReadError", "botocore.ResponseStreamingError",
    "botocore.ResponseParserError",
}  # fmt: skip


def _patiently(url: str, kind: _Kind, act: Callable[[], _T]) -> _T:
    """Acts, again and again where that may help.

    Raises:
        InputError, OutputError: it never went well, or there was no hope; in one line.
    """
    for pause in (*PAUSES, None):
        try:
            return act()
        except UpscaleError:
            raise
        except Exception as error:  # the libraries of stores raise nearly everything
            if pause is None or not _may_pass(error):
                raise kind(f"{url}: {_told(error)}") from error
        time.sleep(pause)
    raise AssertionError


def _may_pass(error: Exception) -> bool:
    if isinstance(error, (FileNotFoundError, PermissionError, FileExistsError)) or _classes(error) & _NO_CREDENTIALS:
        return False
    if (status := _status(error)) is not None:
        return status in _PASSING_STATUS or _code(error) in _PASSING_CODES
    return isinstance(error, (TimeoutError, ConnectionError)) or bool(_classes(error) & _NETWORK)


def _told(error: Exception) -> str:
    """What is wrong, and the remedy. Only codes and class names: what a store says in its own words may name keys."""
    status, code = _status(error), _code(error)
    label = " ".join(str(part) for part in (status, code) if part) or type(error).__name__
    if _classes(error) & _NO_CREDENTIALS:
        return f"no credentials for the store are found ({label}). Set them up as its own tools want it."
    if isinstance(error, PermissionError) or status in (401, 403):
        return f"the store denies access ({label}). Check the credentials, and what they allow."
    if code == "NoSuchBucket":
        return "there is no such bucket. Check its name, or make it first."
    if isinstance(error, FileNotFoundError):
        return "there is no such object. Check its name."
    if isinstance(error, _IncompleteError):
        return f"does not come across as a whole ({error}). Try again later."
    if _may_pass(error):
        return f"the store does not answer as it should ({label}), after {len(PAUSES) + 1} tries. Try again later."
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "no space is left for it on the disk. Free space, or set TMPDIR to a larger place."
    return f"the store cannot do it ({label}). -v shows what it says."


def _chain(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _classes(error: BaseException) -> set[str]:
    """Names of the classes that an error and its causes have: bare, and with the package they come from."""
    kinds = [
        (kind.__module__.partition(".")[0], kind.__name__) for cause in _chain(error) for kind in type(cause).__mro__
    ]
    return {name for _, name in kinds} | {f"{package}.{name}" for package, name in kinds}


def _code(error: BaseException) -> str | None:
    """What S3 calls an error."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            code = str(response.get("Error", {}).get("Code", ""))
            return None if code.isdecimal() or not code else code
    return None


def _status(error: BaseException) -> int | None:
    """The HTTP status that a store answered with."""
    for cause in _chain(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            number = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            return number if isinstance(number, int) else None
        is_of_gcsfs = type(cause).__module__.startswith("gcsfs")
        for name in ("status_code", "status", *(["code"] if is_of_gcsfs else [])):
            number = getattr(cause, name, None)
            if isinstance(number, int) and 100 <= number < 600:
                return number
    return None
