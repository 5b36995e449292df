"""What `-m` asks for, as text: one model, several in a chain, checkpoints that are mixed. Imports no torch.

1x-dejpeg.pth+realesrgan            each gets what the one before has made
soft.pth:0.7,sharp.pth:0.3          one net whose weights lie between those of two
1x-dejpeg.pth+soft.pth:0.7,sharp.pth:0.3
"""

import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upscale_cli.errors import OptionError, printable
from upscale_cli.messages import option
from upscale_cli.models.registry import is_known
from upscale_cli.models.resolve import is_checkpoint_path
from upscale_cli.models.user_files import user_file

JOINS: Final = "+"

_MEANT_FOR_WEIGHT: Final = re.compile(r"[^,]:[^,:/\\]*,")
"""Something behind a name, before the next one, that is no weight."""

_WEIGHTED: Final = re.compile(r"(.+?):((?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)(?:,|$)")
"""One checkpoint of a mix, and its weight. What follows the colon of a drive, C:\\net.pth, is no number."""

_TOLERANCE: Final = 1e-3
"""Of the sum of weights: thirds are written as 0.333."""


@dataclass(frozen=True, slots=True)
class Part:
    """One net of a chain.

    Attributes:
        names: of the registry, or paths of checkpoints; several are mixed.
        weights: of each; (1.0,) of one alone.
    """

    names: tuple[str, ...]
    weights: tuple[float, ...] = (1.0,)


def asked(given: str) -> tuple[Part, ...]:
    """The parts of a chain, mostly one.

    A "+" or ":" that belongs to the name of a model or of a file that is there separates nothing.

    Raises:
        OptionError: a name is empty, or the weights of a mix do not add up to 1.

    >>> asked("realesrgan"), len(asked("R-ESRGAN 4x++espcn"))
    ((Part(names=('realesrgan',), weights=(1.0,)),), 2)
    >>> asked("C:\\\\a.pth:0.7,b.pth:0.3")
    (Part(names=('C:\\\\a.pth', 'b.pth'), weights=(0.7, 0.3)),)
    """
    pieces = _pieces(given)
    if len(pieces) > 1 and not all(piece.strip() for piece in pieces):
        raise OptionError(
            f"{option('model', given)}: between two {JOINS} there is no name. Write {option('model', 'FIRST+SECOND')}."
        )
    return tuple(_part(piece) for piece in pieces)


def absolute(given: str) -> str:
    """The same with absolute paths, for processes with another current folder."""
    return with_paths(given, lambda path: os.path.abspath(Path(path).expanduser()))


def with_paths(given: str, change: Callable[[str], str]) -> str:
    """The same with every path of a checkpoint changed; names stay.

    >>> with_paths("espcn+a.pth:0.7,b.pth:0.3", lambda path: f"nets/{path}")
    'espcn+nets/a.pth:0.7,nets/b.pth:0.3'
    """

    def moved(name: str) -> str:
        return change(name) if is_checkpoint_path(name) else name

    return JOINS.join(
        ",".join(f"{moved(name)}:{weight!r}" for name, weight in zip(part.names, part.weights, strict=True))
        if len(part.names) > 1
        else moved(part.names[0])
        for part in asked(given)
    )


def _pieces(given: str) -> list[str]:
    """Cut at each "+" that is part of no known name: the longest known pieces from the left, else what lies between."""
    if JOINS not in given or _is_known(given):
        return [given]
    tokens = given.split(JOINS)
    pieces, at = [], 0
    while at < len(tokens):
        for end in range(len(tokens), at, -1):
            piece = JOINS.join(tokens[at:end])
            if end == at + 1 or _is_known(piece):
                pieces.append(piece)
                at = end
                break
    return pieces


def _is_known(piece: str) -> bool:
    """Whether it is the name of a model, a file, or a mix of such."""
    if _is_one(piece):
        return True
    weighted = _weighted(piece)
    return weighted is not None and all(_is_one(name) for name, _ in weighted)


def _is_one(name: str) -> bool:
    return is_known(name) or _is_file(name) or user_file(name) is not None


def _is_file(name: str) -> bool:
    try:
        return Path(name).expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL in it, ~ of nobody
        return False


def _weighted(piece: str) -> list[tuple[str, float]] | None:
    """Names and their weights; None where it is no mix."""
    found, at = [], 0
    while at < len(piece):
        match = _WEIGHTED.match(piece, at)
        if match is None:
            return None
        found.append((match[1].strip(), float(match[2])))
        at = match.end()
    return found or None


def _part(piece: str) -> Part:
    weighted = _weighted(piece)
    its_names = [piece] if weighted is None else [name for name, _ in weighted]
    if not _is_one(piece) and any(_MEANT_FOR_WEIGHT.search(name) for name in its_names):
        raise OptionError(
            f"{option('model', piece)}: not every weight in it is a number of 0 or more. Write FIRST:0.7,OTHER:0.3."
        )
    if weighted is None or _is_one(piece):
        return Part((piece.strip() if JOINS not in piece else piece,))
    names, weights = zip(*weighted, strict=True)
    if len(names) == 1:
        raise OptionError(
            f"{option('model', piece)}: one checkpoint alone has no weight. Name what it is mixed with: "
            f"{printable(names[0])}:0.7,OTHER:0.3."
        )
    total = math.fsum(weights)
    if abs(total - 1) > _TOLERANCE:
        fitting = ",".join(f"{printable(name)}:{weight / total:.3g}" for name, weight in weighted) if total else ""
        raise OptionError(
            f"{option('model', piece)}: the weights add up to {total:g}, and have to add up to 1. "
            f"{f'Write {fitting}.' if fitting else 'Give one of them more than 0.'}"
        )
    return Part(names, weights)
