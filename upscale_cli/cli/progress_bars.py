"""Progress bars of rich, as ours are: gone when the work is done, and with room for what a terminal echoes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn, Task
    from rich.table import Table


def bars(columns: "Sequence[ProgressColumn]", console: "Console") -> "Progress":
    """Bars of these columns, one line each."""
    from rich.progress import Progress

    class OneLine(Progress):
        """Leaves room for the ^C that a terminal echoes: in a full line it would begin a new one, and the bar stay."""

        def make_tasks_table(self, tasks: "Iterable[Task]") -> "Table":
            table = super().make_tasks_table(tasks)
            table.width = console.width - len("^C") - 1
            return table

    return OneLine(*columns, console=console, transient=True)
