"""How the command line writes the options in messages: the option `overlap` is its `--overlap`.

A test compares this with what the verbs declare. Imports neither torch nor numpy.
"""

from collections.abc import Iterator, Set
from contextlib import contextmanager
from typing import Final

from upscale_cli.events import Event, rewritten
from upscale_cli.messages import Command, Message, Option

FLAGS: Final = {
    "address": "--ray", "blur": "--lr-blur", "box": "--size", "conditions": "--condition", "executor": "--ray",
    "extra": "--encoder-arg",
    "jobs": "-j", "model": "-m", "output": "-o", "recursive": "-r", "stretch": "--size", "target": "--size",
    "verbose": "-v",
}  # fmt: skip
"""Of options that Python knows by another name, or that are better known by their letter; all others are written
out: `max_pixels` is --max-pixels."""

JOINED: Final = ("realtime",)
"""Options that may stand alone: a value follows a =."""


_foreign: Set[str] = frozenset()
"""Flags of the main verb that the one which runs has not."""


@contextmanager
def without(flags: Set[str]) -> Iterator[None]:
    """Meanwhile messages say of these flags that they are not the running verb's own.

    >>> with without({"--salvage"}):
    ...     written(Option("salvage", True)), written(Option("tile", 8))
    ('--salvage of `upscale`', '--tile 8')
    """
    global _foreign  # one command line runs in a process, and events come from all of its threads
    before, _foreign = _foreign, flags
    try:
        yield
    finally:
        _foreign = before


def flag_of(name: str) -> str:
    """
    >>> flag_of("output"), flag_of("max_pixels")
    ('-o', '--max-pixels')
    """
    return FLAGS.get(name, f"--{name.replace('_', '-')}")


def written(part: Option | Command) -> str:
    """An option or command in a message, as the command line writes it.

    >>> written(Option("overlap", 64)), written(Option("reuse", False)), written(Option("realtime", "strict"))
    ('--overlap 64', '--no-reuse', '--realtime=strict')
    """
    if isinstance(part, Command):
        return f"`upscale {part.verb}`"
    flag = flag_of(part.name)
    return f"{_with_value(part, flag)}{' of `upscale`' if flag in _foreign else ''}"


def _with_value(part: Option, flag: str) -> str:
    value = part.value
    if value is None or value is True:
        return flag
    if value is False:
        return f"--no-{part.name.replace('_', '-')}"
    if isinstance(value, dict):
        return " ".join(f"{flag} {name}={item}" for name, item in value.items())
    number = f"{value:g}" if isinstance(value, float) else str(value)
    return f"{flag}{'=' if part.name in JOINED else ' '}{number}"


def in_flags(text: str) -> str:
    """A text for users, as the command line writes it."""
    return Message(text).written(written)


def event_in_flags(event: Event) -> Event:
    """An event, as the command line reports it."""
    return rewritten(event, in_flags)
