"""Architectures by name: those of `archs`, those that plugins bring, and last what spandrel knows.

A plugin is any installed package with an entry point of the group `upscale_cli.archs`::

    [project.entry-points."upscale_cli.archs"]
    mynet = "mypackage.mynet:ARCH"

`ARCH` is an `Architecture`. A fault of a plugin ends no run: it is reported once, and ignored.
"""

import functools
import importlib
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from upscale_cli.events import Say
from upscale_cli.models.archs import ARCHS
from upscale_cli.models.interface import Architecture
from upscale_cli.models.store import quiet

GROUP: Final = "upscale_cli.archs"

SPANDREL: Final = "spandrel"
"""The architecture that stands for all of spandrel's; asked last, since it takes long to import."""


def architectures(say: Say = quiet) -> Iterator[Architecture]:
    """Every architecture that is written down as one: ours first, then those of plugins, by name.

    Args:
        say: takes what is wrong with a plugin.
    """
    yield from map(_ours, ARCHS)
    yield from _plugged(say).values()


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        KeyError: there is none.
    """
    return _ours(name) if name in ARCHS or name == SPANDREL else _plugged(quiet)[name]


def origin(name: str) -> str:
    """Which installed package an architecture comes from, with its version; "" for our own."""
    for point in _points():
        if point.name == name and name not in ARCHS and point.dist is not None:
            return f"{point.dist.name} {point.dist.version}"
    return ""


@functools.cache
def _ours(name: str) -> Architecture:
    module, _, attribute = ARCHS.get(name, "upscale_cli.models.archs.spandrel_adapter:ARCH").partition(":")
    found: Architecture = getattr(importlib.import_module(module), attribute)
    return found


@functools.cache
def _points() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=GROUP), key=lambda point: point.name))


_loaded: dict[EntryPoint, Architecture | str] = {}
"""By entry point what it gave, or what is wrong with it."""


def _plugged(say: Say) -> dict[str, Architecture]:
    found: dict[str, Architecture] = {}
    for point in _points():
        if point not in _loaded:
            _loaded[point] = _load(point)
            if isinstance(wrong := _loaded[point], str):
                say(f"plugin {point.name} ({point.value}): {wrong}. It is ignored; correct or uninstall it.")
        arch = _loaded[point]
        if isinstance(arch, Architecture):
            found[arch.name] = arch
    return found


def _load(point: EntryPoint) -> Architecture | str:
    try:
        arch = point.load()
    except Exception as error:  # code of a third party: anything can fail
        return f"does not load ({type(error).__name__})"
    if not isinstance(arch, Architecture):
        return f"is a {type(arch).__name__}, no Architecture"
    if arch.name != point.name or arch.name in ARCHS:
        return f"calls its architecture {arch.name!r}, which is taken or not its own name"
    return arch
