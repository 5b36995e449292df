"""Objects of stores (s3://, gs://, ...): fetched, put, read, written, removed.

An object appears as a whole or not at all: a put is one request, or a multipart upload that is completed at its end and
aborted if it fails. Names of objects are in `object_names`, what a store holds in `object_listing`, the way to it in
`object_access`.
"""

import errno
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from upscale_cli.errors import InputError, OutputError
from upscale_cli.files.object_access import Kind, path_of, patiently, stoppable, store_of
from upscale_cli.files.object_errors import IncompleteError, status_of
from upscale_cli.files.object_listing import REQUESTS_AT_ONCE, looked_up, seen
from upscale_cli.files.stamp import Stamp
from upscale_cli.messages import option

PART_BYTES = 2**24
"""Of a multipart upload or a download in pieces; objects below two parts take one request."""

MOST_PARTS: Final = 10_000
"""Of one multipart upload, by the rules of S3."""

PARTS_AT_ONCE: Final = 4


def fetch(url: str, file: Path, expected: Stamp | None = None) -> None:
    """Writes an object into a file.

    Args:
        expected: what it was when it was listed.

    Raises:
        InputError: it is not there, or cannot be had as a whole.
    """
    store, path = store_of(url, InputError), path_of(url, InputError)
    options, before = _parts(url), expected

    def get() -> None:
        nonlocal before
        store.get_file(path, str(file), **options)
        size = file.stat().st_size
        if before is not None and size == before.size and size <= PART_BYTES:
            return
        now = looked_up(url, InputError)  # in several pieces: they must be of one object
        if now is None or now.size != size or (before is not None and now != before and size > PART_BYTES):
            before = now
            raise IncompleteError(f"{size} bytes came of {now.size if now is not None else 0}")

    patiently(url, InputError, get)


def put(file: Path, url: str, *, overwrite: bool) -> Stamp:
    """Makes an object of a file; a part of it is never visible.

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
            if not (isinstance(error, FileExistsError) or status_of(error) == 412):
                raise
            if not _is_copy(file, url):  # made by a try whose answer was lost
                raise OutputError(
                    f"{url}: appeared while its source was upscaled, and is kept. "
                    f"Allow replacing it with {option('overwrite', True)}, or choose another {option('output')}."
                ) from error
        made = looked_up(url, OutputError)
        if made is None or made.size != size:
            raise IncompleteError(f"{made.size if made is not None else 0} bytes are there of {size}")
        return made

    made = patiently(url, OutputError, once)
    seen(url, made)
    return made


def _upload(file: Path, url: str, *, overwrite: bool) -> None:
    """One try. It goes on in a thread, so that Ctrl-C can end it in order: the library aborts a multipart upload where
    anything goes wrong in it, but does not notice Ctrl-C."""
    stop, store, path = stoppable(), store_of(url, OutputError), path_of(url, OutputError)
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

    made = looked_up(url, OutputError)
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


def read(url: str, kind: Kind = InputError, *, first: int | None = None) -> bytes:
    """All bytes of a small object, or its first ones.

    Raises:
        InputError, OutputError: it is not there, or cannot be read.
    """
    store, path = store_of(url, kind), path_of(url, kind)
    data: bytes = patiently(url, kind, lambda: store.cat_file(path, **({} if first is None else {"end": first})))
    return data


def read_all(urls: Sequence[str], kind: Kind) -> Iterator[bytes]:
    """Small objects, side by side, in the order given; b"" for one that has gone meanwhile."""

    def one(url: str) -> bytes:
        store, path = store_of(url, kind), path_of(url, kind)

        def get() -> bytes:
            try:
                return bytes(store.cat_file(path))
            except FileNotFoundError:
                return b""

        return patiently(url, kind, get)

    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        yield from pool.map(one, urls)


def write(url: str, data: bytes) -> None:
    """Makes a small object, or replaces it.

    Raises:
        OutputError: it cannot be put.
    """
    store, path = store_of(url, OutputError), path_of(url, OutputError)
    patiently(url, OutputError, lambda: store.pipe_file(path, data))


def remove(url: str) -> None:
    """Deletes an object, if it is there.

    Raises:
        OutputError: it cannot be deleted.
    """
    store, path = store_of(url, OutputError), path_of(url, OutputError)

    def delete() -> None:
        try:
            store.rm_file(path)
        except FileNotFoundError:
            return

    patiently(url, OutputError, delete)
