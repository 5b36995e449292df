"""Progress bars of rich, as ours are: gone when the work is done, and with room for what a terminal echoes."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from upscale_cli.text import duration

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


MOST_EXPECTED: Final = 0.95
"""Part of the bar that goes by the clock: the rest waits for what is really done."""


def moving_bar() -> "ProgressColumn":
    """A bar that moves from the start: by the time that is expected (`task.fields["expected"]`, in seconds) until
    something is done, and to and fro where nothing is known. It gives way, so that all else has its room."""
    from rich.progress import BarColumn
    from rich.progress_bar import ProgressBar
    from rich.table import Column

    class Moving(BarColumn):
        def render(self, task: "Task") -> ProgressBar:
            bar = super().render(task)
            expected = task.fields.get("expected")
            if task.total is None and expected:
                bar.pulse, bar.total = False, expected
                bar.completed = min(task.elapsed or 0.0, MOST_EXPECTED * expected)
            return bar

    return Moving(bar_width=None, table_column=Column(ratio=1))


def time_column() -> "ProgressColumn":
    """How long it will take; how long it has taken, where nothing is done yet by which that could be told."""
    from rich.progress import TimeRemainingColumn
    from rich.text import Text

    class Time(TimeRemainingColumn):
        def render(self, task: "Task") -> Text:
            if task.total is None and task.elapsed is not None:
                expected = task.fields.get("expected")
                rest = f"of about {duration(expected)}" if expected else "so far"
                return Text(f"{duration(task.elapsed)} {rest}", style="progress.elapsed")
            return super().render(task)

    return Time()
