"""What was seen of a checkpoint file when it was last loaded: enough to list it without loading it. Imports no torch.

    path, size, time of its last change  ->  a small file of facts in the cache folder

It is a cache: facts that are damaged, or of a file that has changed since, count as none.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from upscale_cli.models import store
from upscale_cli.models.interface import SCALE_INPUT, Descriptor, scales_named

LONGEST: Final = 80
"""Characters of a stated fact."""


@dataclass(frozen=True, slots=True)
class SeenFacts:
    """Of a checkpoint file, for people.

    Attributes:
        arch: "rrdbnet".
        depth: "23 blocks"; "" where unknown.
        scales: "x4".
        inputs: names of what has to be given in addition to the picture.
        takes: names of what may be given.
        licence, author: as the file states them; "" where it does not.
    """

    arch: str
    depth: str
    scales: str
    inputs: tuple[str, ...]
    takes: tuple[str, ...] = ()
    licence: str = ""
    author: str = ""


def remember(path: Path, net: Descriptor, stated: Mapping[str, Any] | None = None) -> None:
    """Keeps what a file turned out to be, if the cache folder lets it.

    Args:
        stated: what it says of itself; None where that was not looked at, so that what was seen of it before stays.
    """
    before = seen(path)
    if stated is None and before is not None:
        stated = {"licence": before.licence, "author": before.author}
    words = {key: str((stated or {}).get(key) or "")[:LONGEST] for key in ("licence", "author")}
    specs = [spec for spec in net.inputs if spec.name != SCALE_INPUT]
    needed = tuple(spec.name for spec in specs if spec.default is None)
    takes = tuple(spec.name for spec in specs if spec.default is not None)
    facts = SeenFacts(net.name, net.depth, scales_named(net.scales), needed, takes, **words)
    with suppress(OSError):
        kept = json.dumps({"stamp": _stamp(path), **asdict(facts)}).encode()
        place = _place(path)
        if not place.is_file() or place.read_bytes() != kept:
            store.write_cached(place, kept)


def seen(path: Path) -> SeenFacts | None:
    """What is known of a file as it is now; None where it was not loaded since it last changed."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        kept = json.loads(_place(path).read_bytes())
        if kept.pop("stamp") == _stamp(path):
            return SeenFacts(**{**kept, "inputs": tuple(kept["inputs"]), "takes": tuple(kept["takes"])})
    return None


def _place(path: Path) -> Path:
    name = hashlib.sha256(os.path.abspath(path).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return store.cache_folder() / "seen" / f"{name}.json"


def _stamp(path: Path) -> list[int]:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]
