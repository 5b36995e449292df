"""What is known of a small net that was on this machine before: enough to run it by an engine's graph without loading
its checkpoint, and so without torch. Imports no torch.

    checkpoint's sha256, its sidecar, our code  ->  identity  ->  a folder of facts: descriptor, costs, graph

It is a cache: facts that are damaged, of another version or not to be written are made anew.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

from upscale_cli._version import __version__
from upscale_cli.errors import CheckpointError
from upscale_cli.files.names import is_file
from upscale_cli.models import store
from upscale_cli.models.archs import ARCHS
from upscale_cli.models.cache_limits import Limits, keep_within, used
from upscale_cli.models.interface import Descriptor, LoadedNet
from upscale_cli.models.ncnn.files import ncnn_pair

LARGEST_CHECKPOINT: Final = 96 * 2**20
"""Bytes; the largest of the registry have 67 MB. What is larger takes long to compute anyway, and would fill the
cache."""

LIMITS: Final = Limits(entries=300, bytes=2**30)
"""Of all nets together: eight of the largest twice, or all of the others; a new version leaves those of the one
before behind."""

LARGEST_SIDECAR: Final = 1 << 20

_PLAIN: Final = (str, int, float, bool, type(None))

_DIGEST_BYTES: Final = 32


def folder() -> Path:
    """Where the facts are, a folder for each net."""
    return store.cache_folder() / "nets"


def load_known(
    path: Path,
    sha256: str | None,
    load: Callable[[], LoadedNet],
    fits: Callable[[Descriptor], bool] = lambda _: True,
    *,
    may_be_kept: Callable[[], bool] = lambda: True,
) -> LoadedNet:
    """The net of a checkpoint: by what is known of it, and loaded only when its weights are asked for; else loaded.

    Args:
        path: of the file.
        sha256: of it, where that was looked at already.
        load: loads it; what it raises is raised here, or when the weights are asked for.
        fits: whether it is what it should be. What does not fit is loaded, which says what is wrong.
        may_be_kept: whether anything may be kept of what was loaded.
    """
    try:
        if path.stat().st_size > LARGEST_CHECKPOINT:
            return load()
        sha256 = sha256 or store.sha256_of(path)
        identity = _identity(path, sha256)
    except (OSError, ValueError):
        return load()

    def loaded() -> LoadedNet:
        if store.sha256_of(path) != sha256:
            raise CheckpointError(f"{path}: has changed since it was first looked at. Begin again")
        return load()

    later = _Once(loaded)
    try:
        descriptor = _descriptor(json.loads(_read(identity, "descriptor") or b"null"), later)
        if fits(descriptor):
            used(folder() / identity)
            return LoadedNet(descriptor, Later(lambda: later().state_dict), identity=identity)
    except (ValueError, TypeError, KeyError, AttributeError):
        pass
    net = load()
    facts = _facts(net.descriptor) if may_be_kept() else None
    if facts is None:
        return net
    net = replace(net, identity=identity)
    keep(net, "descriptor", json.dumps(facts).encode())
    return net


def fact(net: LoadedNet, name: str) -> bytes | None:
    """What was kept of a net under that name; None where nothing was, or it is damaged."""
    return _read(net.identity, name) if net.identity else None


def keep(net: LoadedNet, name: str, data: bytes) -> None:
    """Keeps something of a net, if it is one whose facts are kept."""
    if net.identity and len(data) <= LARGEST_CHECKPOINT:
        with suppress(OSError):
            store.write_cached(folder() / net.identity / name, hashlib.sha256(data).digest() + data)
            keep_within(folder(), LIMITS, folder() / net.identity)


def known_as(net: LoadedNet) -> str:
    """What tells its weights from others."""
    if net.identity:
        return net.identity
    from upscale_cli.models.loading import net_digest

    return net_digest(net)


def _read(identity: str, name: str) -> bytes | None:
    try:
        data = (folder() / identity / name).read_bytes()
    except OSError:
        return None
    digest, contents = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    return contents if hashlib.sha256(contents).digest() == digest else None


def _identity(path: Path, sha256: str) -> str:
    """Of a checkpoint, as this code reads it.

    Raises:
        OSError: the sidecar metadata cannot be read.
    """
    sidecar = path.with_suffix(".json")
    beside = b""
    if is_file(sidecar):
        with sidecar.open("rb") as file:
            beside = file.read(LARGEST_SIDECAR)
    others = [store.sha256_of(file) for file in ncnn_pair(path) or () if file != path]  # its graph, or its weights
    parts = [sha256, *others, hashlib.sha256(beside).hexdigest(), __version__, *_code()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def _code() -> Iterator[str]:
    """What changes when the files that decide about a net do: in a checkout they do between two versions."""
    package = Path(__file__).resolve().parents[1]
    models = package / "models"
    inference = package / "inference"
    for place in (models, models / "archs", models / "ncnn", inference, inference / "backends"):
        for file in sorted(os.scandir(place), key=lambda entry: entry.name):
            if file.name.endswith(".py"):
                stat = file.stat()
                yield f"{file.name} {stat.st_size} {stat.st_mtime_ns}"


class _Once:
    """Calls something once, when it is first called."""

    def __init__(self, load: Callable[[], LoadedNet]) -> None:
        self._load, self._net = load, None

    def __call__(self) -> LoadedNet:
        if self._net is None:
            self._net = self._load()
        return self._net

    _net: LoadedNet | None


class Later(Mapping[str, Any]):
    """A mapping that is made when something of it is asked for."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self._make = make

    def __getitem__(self, key: str) -> Any:
        return self._make()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._make())

    def __len__(self) -> int:
        return len(self._make())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and dict(self) == dict(other)

    __hash__ = None  # type: ignore[assignment]  # as a dict


def _facts(descriptor: Descriptor) -> dict[str, Any] | None:
    """A descriptor as JSON has it, its config left out where it holds more than numbers; None where others decide about
    it, or it holds something else that is not plain."""
    if descriptor.arch not in ARCHS:
        return None
    facts: dict[str, Any] = {}
    for field in fields(Descriptor):
        value = getattr(descriptor, field.name)
        if field.name == "config":
            facts[field.name] = dict(value) if all(isinstance(one, _PLAIN) for one in value.values()) else None
        elif isinstance(value, _PLAIN):
            facts[field.name] = value
        elif isinstance(value, tuple | frozenset) and all(isinstance(one, _PLAIN) for one in value):
            facts[field.name] = {type(value).__name__: sorted(value) if isinstance(value, frozenset) else list(value)}
        else:
            return None
    return facts


def _descriptor(facts: Mapping[str, Any], later: Callable[[], LoadedNet]) -> Descriptor:
    """The inverse of `_facts`.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: these are no such facts.
    """
    kinds: dict[str, Callable[[Any], Any]] = {"tuple": tuple, "frozenset": frozenset}
    values = dict(facts)
    config = values.pop("config")
    for name, value in values.items():
        if isinstance(value, dict):
            ((kind, contents),) = value.items()
            values[name] = kinds[kind](contents)
    return Descriptor(config=Later(lambda: later().descriptor.config) if config is None else config, **values)
