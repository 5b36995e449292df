"""Tables for people, on standard output. Imports rich where one is printed."""

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Literal


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: Collection[str] = ()) -> None:
    """Prints columns under their headings, without lines; in a pipe or a file no cell is broken.

    On a terminal the first column is whole in any case, so that it can be copied; the last one gets what is left.

    Args:
        right: headings of the columns that stand at the right.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    lines = list(rows)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        is_last = number == len(headings) - 1
        longest = max((cell_len(line[0]) for line in lines), default=0) if number == 0 else None
        justify: Literal["right", "left"] = "right" if heading in right else "left"
        table.add_column(heading, justify=justify, min_width=longest, no_wrap=not is_last)
    for line in lines:
        table.add_row(*map(Text, line))  # what stands in it is no markup
    columns = zip(headings, *lines, strict=True)
    width = None if sys.stdout.isatty() else sum(max(map(cell_len, column)) + 2 for column in columns)
    Console(file=sys.stdout, highlight=False, width=width).print(table)
