"""What is in a store: prefixes are listed, objects are looked up; no byte of theirs is read."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from upscale_cli.errors import InputError
from upscale_cli.files.object_access import Kind, path_of, patiently, store_of
from upscale_cli.files.object_errors import code_of
from upscale_cli.files.object_names import as_prefix
from upscale_cli.files.stamp import Stamp

REQUESTS_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies below a prefix.

    Attributes:
        objects: by URL, in the store's order.
        prefixes: URLs of those that were not looked into.
    """

    objects: Mapping[str, Stamp] = field(default_factory=dict)
    prefixes: Sequence[str] = ()


def listed(prefix: str, *, deep: bool = True, kind: Kind = InputError) -> Listing:
    """What lies below a prefix; nothing, where there is no such prefix.

    Args:
        deep: prefixes below it are looked into, too.
        kind: of errors.

    Raises:
        InputError, OutputError: it cannot be listed.
    """
    prefix = as_prefix(prefix)
    store, path = store_of(prefix, kind), path_of(prefix, kind)

    def look() -> list[dict[str, Any]]:
        try:
            return list(store.find(path, detail=True).values()) if deep else store.ls(path, detail=True)
        except FileNotFoundError as error:
            if code_of(error) == "NoSuchBucket":
                raise
            return []

    objects, prefixes = dict[str, Stamp](), list[str]()
    for info in patiently(prefix, kind, look):
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
"""What was seen of objects after they were put, until it is asked for."""


def stamp(url: str, kind: Kind = InputError) -> Stamp | None:
    """Of an object as it is now; None where there is none.

    Raises:
        InputError, OutputError: the store cannot be asked.
    """
    return _just_put.pop(url, None) or looked_up(url, kind)


def seen(url: str, made: Stamp) -> None:
    """What another process has put and seen; the store need not be asked again."""
    _just_put[url] = made


def stamps(urls: Sequence[str]) -> dict[str, Stamp | None]:
    """Of many, asked for side by side."""
    with ThreadPoolExecutor(REQUESTS_AT_ONCE) as pool:
        return dict(zip(urls, pool.map(stamp, urls), strict=True))


def looked_up(url: str, kind: Kind) -> Stamp | None:
    """The same as `stamp`, asked of the store in any case."""
    store, path = store_of(url, kind), path_of(url, kind)

    def look() -> Stamp | None:
        try:
            info = store.info(path)
        except FileNotFoundError as error:
            if code_of(error) == "NoSuchBucket":
                raise
            return None
        return None if info["type"] == "directory" else _stamp_of(info)

    return patiently(url, kind, look)


def _stamp_of(info: Mapping[str, Any]) -> Stamp:
    """By what a listing or a look at the object itself gives: both must give the same."""
    fields = ("LastModified", "last_modified", "updated", "mtime", "created")
    changed = next((info[name] for name in fields if info.get(name)), 0)
    if isinstance(changed, str):
        changed = datetime.fromisoformat(changed)
    if isinstance(changed, datetime):
        changed = (changed if changed.tzinfo else changed.replace(tzinfo=UTC)).timestamp()
    tag = str(info.get("ETag") or info.get("etag") or "").strip('"')
    part = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:8]) % 10**9
    return Stamp(int(info["size"]), int(changed) * 10**9 + part)  # only some listings know milliseconds
