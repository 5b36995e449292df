"""What a file carries beside its samples, as a list of named things; and what became of each in the output. Pure.

Everything that a user may miss has a name here: profiles, tags, boxes, streams, side data, what is appended. The list
of a source and that of its output are made by the same functions (`image.inventory`, `video.inventory`), so what nobody
has asked about cannot disappear unseen: `compare` finds it, and the job says so.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

Inventory = Mapping[str, str]
"""What there is, by name, and a short value that differs where the things do: a text, a count, a digest."""

SHAPE: Final = "shape of the array"
"""What tifffile writes into a TIFF's description: the size of the old pixels, and no text for people."""

_COLOURS: Final = ("colours", "colour profile")
"""Two ways to declare the same."""

_SHOWN: Final = 6
_LONGEST_VALUE: Final = 60


def digest(data: bytes) -> str:
    """A short value for long data: its length and the start of its SHA-256."""
    return f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()[:12]}"


def short(text: str) -> str:
    """A text as a value: on one line, and a long one by its digest."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_VALUE else digest(text.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True)
class Differences:
    """What became of a source's things in the output, by name, in the source's order.

    Attributes:
        kept: there, with the same value.
        changed: there, with another value: a size, a profile of other colours.
        lost: not there any more.
        added: only in the output.
    """

    kept: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def compare(source: Inventory, output: Inventory) -> Differences:
    """What became of everything in the source. What numbers declare of colours, a profile may, too.

    >>> compare({"EXIF": "a", "comment": "hello"}, {"EXIF": "b", "profile": "c"}).lost
    ('comment',)
    """

    declares = any(name in output for name in _COLOURS)

    def is_there(name: str) -> bool:
        return name in output or (declares and name in _COLOURS)

    return Differences(
        kept=tuple(name for name, value in source.items() if output.get(name) == value),
        changed=tuple(name for name, value in source.items() if is_there(name) and output.get(name) != value),
        lost=tuple(name for name in source if not is_there(name)),
        added=tuple(name for name in output if name not in source),
    )


def untold(lost: Iterable[str], notes: Iterable[str]) -> tuple[str, ...]:
    """What is lost and was not spoken of: no note has all words of its heading.

    A heading is what stands before a colon: of "XMP: GPano:PoseHeadingDegrees" a note about XMP has told.

    >>> untold(["comment", "XMP: dc:title"], ["a.bmp: BMP holds no EXIF or XMP: left out"])
    ('comment',)
    """
    told = " ".join(notes).lower()
    return tuple(name for name in lost if not all(word in told for word in _words(heading(name))))


def heading(name: str) -> str:
    """The kind of a thing: what stands before the colon."""
    return name.split(": ", 1)[0]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def told_in_one_line(lost: Iterable[str]) -> str:
    """What is lost, as the user reads it: things of one kind together, and a long list cut.

    >>> told_in_one_line(["comment", "XMP: dc:title", "XMP: dc:creator"])
    'comment; XMP (dc:title, dc:creator)'
    """
    kinds: dict[str, list[str]] = {}
    for name in lost:
        kind, _, detail = name.partition(": ")
        kinds.setdefault(kind, []).extend([detail] if detail else [])
    parts = []
    for kind, details in kinds.items():
        shown = details[:_SHOWN] + ([f"and {len(details) - _SHOWN} more"] if len(details) > _SHOWN else [])
        parts.append(f"{kind} ({', '.join(shown)})" if shown else kind)
    return "; ".join(parts)
