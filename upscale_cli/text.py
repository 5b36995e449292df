"""Small matters of wording. Pure."""

from collections.abc import Iterable
from pathlib import PurePath

from upscale_cli.errors import printable
from upscale_cli.events import Failed


def counted(number: int, noun: str) -> str:
    """
    >>> counted(1, "frame"), counted(1200, "frame")
    ('1 frame', '1,200 frames')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """
    >>> duration(3.21), duration(75), duration(7300)
    ('3.2 s', '1 min 15 s', '2 h 01 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def amount(size: int) -> str:
    """Bytes.

    >>> amount(0), amount(56_300), amount(2_000_000), amount(98_765_432_100)
    ('0 bytes', '56 kB', '2.0 MB', '98.8 GB')
    """
    for least, unit, digits, name in ((1e8, 1e9, 1, "GB"), (1e5, 1e6, 1, "MB"), (1e3, 1e3, 0, "kB")):
        if size >= least:
            return f"{size / unit:.{digits}f} {name}"
    return f"{size} bytes"


def cause_lines(causes: Iterable[str]) -> list[str]:
    """The causes of an error (`errors.causes_of`), a line each."""
    return [f"  because of {cause}" for cause in causes]


def failure_line(failure: Failed) -> str:
    """The line about a failure: the message, with the source's name before it if it does not begin with that."""
    source, message = failure.source, failure.message
    names = (source, printable(source), printable(PurePath(source).name), "<stdin>", "standard input")
    return message if message.startswith(names) else f"{source}: {message}"
