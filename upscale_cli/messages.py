"""Messages for users. A message is written once, with the options in it marked; each face writes those in its own way.

    raise OptionError(f"{option('overlap')} is negative. Choose {option('overlap', 0)} or more.")

Python reads "overlap= is negative. Choose overlap=0 or more.", the command line prints "--overlap is negative. Choose
--overlap 0 or more.". Options go by the name that Python knows them by: a keyword, or the field of a dataclass.
"""

import json
import re
import secrets
from collections.abc import Callable
from typing import Final, NamedTuple

Value = str | int | float | bool | dict[str, str] | None

MARK: Final = f"<{secrets.token_hex(8)}>"
"""Around what is marked: of this process, so that no file's name and no file's content can look like it. It is gone
once the text is a `Message`, which is what goes to other processes."""

_MARKED: Final = re.compile(f"{MARK}(.*?){MARK}", re.DOTALL)

WORDS: Final = {"verbose": "its traceback", "folder": "a folder"}
"""For Python: of what only the command line has an option for."""


class Option(NamedTuple):
    """An option that a message is about, and the value that is meant; None for the option as such."""

    name: str
    value: Value = None

    def __str__(self) -> str:
        """As Python writes it."""
        if self.name in WORDS:
            return WORDS[self.name]
        return f"{self.name}={'' if self.value is None else repr(self.value)}"


class Command(NamedTuple):
    """What a message advises to do: a verb of the command line, or what Python has for it."""

    verb: str
    python: str

    def __str__(self) -> str:
        return f"`{self.python}`"


Part = str | Option | Command


def printable(text: str) -> str:
    """Text fit for one line of a terminal: line breaks, control characters and bytes of no character are escaped.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def option(name: str, value: object = None) -> str:
    """An option, marked, to be put into a message.

    Args:
        name: as Python knows it.
        value: what is given, or should be; None: the option as such.
    """
    plain = value if isinstance(value, str | int | float | dict | None) else str(value)
    return _marked(Option(name, printable(plain) if isinstance(plain, str) else plain))


def command(verb: str, *, python: str) -> str:
    """A verb of the command line, marked; `python` is what does the same there."""
    return _marked(Command(verb, python))


def _marked(part: Option | Command) -> str:
    return f"{MARK}{json.dumps([type(part).__name__, *part])}{MARK}"  # JSON, so that `printable` finds nothing in it


def _parsed(marked: str) -> Option | Command:
    kind, *fields = json.loads(marked)
    return Option(*fields) if kind == Option.__name__ else Command(*fields)


class Message(str):
    """A text for a user. As a `str` it reads as Python users see it; it can be pickled.

    Args:
        text: with what `option` and `command` have marked; a message stays as it is.

    Attributes:
        parts: text, and options and commands, in turn.

    >>> Message(f"too large: {option('overlap', 64)}")
    'too large: overlap=64'
    """

    parts: tuple[Part, ...]

    def __new__(cls, text: str) -> "Message":
        if isinstance(text, Message):
            return text
        parts = [_parsed(part) if at % 2 else part for at, part in enumerate(_MARKED.split(text))]
        message = super().__new__(cls, "".join(map(str, parts)))
        message.parts = tuple(parts)
        return message

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options in it, each once."""
        return tuple(dict.fromkeys(part.name for part in self.parts if isinstance(part, Option)))

    def written(self, write: Callable[[Option | Command], str]) -> str:
        """As another face writes it.

        Args:
            write: gives the words for what is marked.
        """
        return "".join(part if isinstance(part, str) else write(part) for part in self.parts)


def marked(text: str) -> str:
    """A text to be put into another message: its options stay marked."""
    return Message(text).written(_marked)
