"""Lines for people: broken at words where a terminal is too narrow for them, and left whole in a pipe or a file.

What has no blank in it, such as a path or an address, is never broken, so that it can be copied. Imports rich where a
line is printed on a terminal.
"""

import re
import sys
from typing import TYPE_CHECKING, TextIO

from upscale_cli.errors import printable

if TYPE_CHECKING:
    from rich.console import Console


def broken(text: str, width: int, indent: int = 0) -> str:
    """A text broken before words that would not fit, unless they would not fit on a line of their own either.

    Args:
        width: cells of a line.
        indent: cells before every line but the first.

    >>> broken("a note of /some/long/path here", 12)
    'a note of /some/long/path\\nhere'
    """
    from rich.cells import cell_len  # knows the widths of all scripts

    lines = [""]
    for word in re.findall(r" *[^ ]+", text):  # with the blanks before it
        is_full = cell_len(lines[-1] + word) > width
        if lines[-1].strip() and is_full and (cell_len(word.strip()) <= width - indent or cell_len(lines[-1]) > width):
            lines.append(" " * indent + word.lstrip())
        else:
            lines[-1] += word
    return "\n".join(lines)


def put(console: "Console", text: str, style: str | None = None, *, indent: int = 0) -> None:
    """Prints a line.

    Args:
        text: what cannot be printed in it is escaped.
        indent: cells before every line but the first.
    """
    shown = printable(text)
    if console.is_terminal:
        shown = broken(shown, console.width, indent)
    console.print(shown, style=style, markup=False, soft_wrap=True)


def put_on(stream: TextIO, text: str, *, indent: int = 0) -> None:
    """Prints a line without colours; where there is no terminal, rich is not needed."""
    if not stream.isatty():
        print(printable(text), file=stream)
        return
    from rich.console import Console

    put(Console(file=stream, highlight=False), text, indent=indent)


def put_error(text: str) -> None:
    """Prints the line of an error."""
    put_on(sys.stderr, text)
