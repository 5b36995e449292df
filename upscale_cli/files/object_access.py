"""The way to a store, by fsspec, which only this file imports: a connection for all threads, and patience.

What may pass (no answer, 5xx, throttling) is tried again, after growing pauses; what will not pass is reported at once.
Endpoint, credentials and options are the store's own: its environment, its profiles, and fsspec's
configuration.
"""

import functools
import os
import time
from collections.abc import Callable
from typing import Any, TypeVar

from upscale_cli.errors import InputError, OutputError, UpscaleError
from upscale_cli.files.object_errors import may_pass, reason_of
from upscale_cli.files.object_names import SCHEMES

PAUSES: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries. Within a try, the store's own library has tried a few times too (AWS_MAX_ATTEMPTS, ...)."""

Kind = type[InputError] | type[OutputError]
"""Of the errors that are raised: a store that is read from is an input, one that is written to an output."""

_T = TypeVar("_T")


def path_of(url: str, kind: Kind) -> str:
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
    path: str = type(store_of(url, kind))._strip_protocol(url)
    return path


def store_of(url: str, kind: Kind) -> Any:
    """What speaks to a store.

    Raises:
        InputError, OutputError: what it needs is not installed.
    """
    scheme = url.partition("://")[0]
    try:
        return connected(scheme, os.getpid())
    except ImportError as error:
        raise kind(f"{url}: needs {SCHEMES[scheme]}, which is not installed: pip install {SCHEMES[scheme]}") from error


@functools.cache
def connected(scheme: str, process: int) -> Any:
    """One for all threads, which then share its connections; a process that was forked needs its own."""
    import fsspec

    del process
    store = fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    if scheme == "s3":
        store.retries = 1  # botocore tries every request a few times, and `patiently` too; 3 levels are too many
    return store


def stoppable() -> Any:
    """A callback for puts that lets them fail once its `is_wanted` is set."""
    from fsspec.callbacks import Callback

    class Stop(Callback):  # type: ignore[misc]
        is_wanted = False

        def relative_update(self, inc: int = 1) -> None:
            if self.is_wanted:
                raise RuntimeError("interrupted")
            super().relative_update(inc)

    return Stop()


def patiently(url: str, kind: Kind, act: Callable[[], _T]) -> _T:
    """Acts, again and again where that may help.

    Raises:
        InputError, OutputError: it never succeeded, or cannot; in one line.
    """
    for pause in (*PAUSES, None):
        try:
            return act()
        except UpscaleError:
            raise
        except Exception as error:  # the libraries of stores raise nearly everything
            if pause is None or not may_pass(error):
                raise kind(f"{url}: {reason_of(error, len(PAUSES) + 1)}") from error
        time.sleep(pause)
    raise AssertionError
