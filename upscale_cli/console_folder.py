"""A run over many files, shown to a person: one bar for all, one for the file in hand, and what became of each."""

import time
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from upscale_cli.bars import bars
from upscale_cli.errors import printable
from upscale_cli.events import (
    ClipFinished,
    ClipProgress,
    Event,
    Failed,
    Fetching,
    Finished,
    FolderFinished,
    FolderProgress,
    Note,
    Planned,
    Progress,
    Started,
    Surveyed,
    Surveying,
)
from upscale_cli.words import counted, duration, failure_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.table import Table

NAME_CELLS: Final = 24
"""Of a terminal's line, for what a bar is about."""


class FolderView:
    """Lines for people, and two bars below them where there is a terminal to draw them on.

    On a terminal a file that went well leaves no line: the bars tell. Elsewhere (a log) each has its own.

    Args:
        output: where the table of --dry-run goes: standard output.
    """

    def __init__(self, console: "Console", output: "Console", *, quiet: bool) -> None:
        self._console, self._output, self._quiet = console, output, quiet
        self._bars: Bars | None = None
        self._all: TaskID | None = None
        self._item: TaskID | None = None
        self._begin = 0.0
        self._pace = FolderProgress(0, 0, 0, 0, 0.0, 0.0, 0.0, None)
        self._started: Started | None = None  # the last one
        self._in_hand = ""  # name of the file that is being upscaled, if one is
        self._said: Counter[str] = Counter()
        self._planned: list[Planned] = []

    def __call__(self, event: Event) -> None:
        match event:
            case Failed():
                self.error(failure_line(event))
            case _ if self._quiet:
                return
            case Surveying():
                self._draw_survey(event)
            case Surveyed():
                self._survey_done(event)
            case Planned():
                self._planned.append(event)
            case Started():
                self._start(event)
            case Fetching():
                self._draw_item(f"fetching {event.file}", event.done, event.total)
            case Progress():
                self._draw_item(self._in_hand, event.done, event.total, event.megapixels)
            case ClipProgress():
                self._draw_item(self._in_hand, event.done, event.total, event.done * self._frame_megapixels())
            case Note(text=text):
                self._note(text)
            case Finished() | ClipFinished():
                if not self._console.is_terminal:
                    what = f"{event.width} x {event.height}  {duration(event.seconds)}"
                    self._print(f"{event.output}  {what}")
            case FolderProgress():
                self._pace, self._in_hand = event, ""
                self._draw_all(event.megapixels)
            case FolderFinished():
                self.end_bars()
                self._summarise(event)

    def error(self, message: str) -> None:
        self._print(f"error: {message}", style="bold red")

    def end_bars(self) -> None:
        """Takes the bars away."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._all = self._item = None

    # Lines

    def _print(self, text: str, style: str | None = None) -> None:
        self._console.print(printable(text), style=style, markup=False)

    def _note(self, text: str) -> None:
        """Once, with the first file it is about: a thousand files may give the same cause."""
        self._said[text] += 1
        if self._said[text] == 1:
            is_named = not self._in_hand or self._in_hand in text
            self._print(f"note: {text if is_named else f'{self._in_hand}: {text}'}", style="yellow")

    def _survey_done(self, event: Surveyed) -> None:
        self.end_bars()
        self._pace = FolderProgress(
            0, event.skipped, event.failed, event.to_do + event.skipped + event.failed, 0.0, event.megapixels, 0.0, None
        )
        self._print(f"{counted(event.to_do, 'file')} to do ({event.megapixels:,.1f} MP), {event.skipped:,} done before")
        if event.passed_over:
            self._print(f"passed over: {', '.join(f'{count:,} {why}' for why, count in event.passed_over.items())}")

    def _start(self, event: Started) -> None:
        """Says by what, where that is not what it was."""
        before, self._started = self._started, event
        self._in_hand = PurePath(event.source).name
        if not self._begin:
            self._begin = time.monotonic()
        if before is None or (before.model, before.device, before.precision) != (
            event.model, event.device, event.precision,
        ):  # fmt: skip
            passes = f" ({' + '.join(event.passes)})" if event.passes else ""
            self._print(f"{event.model}{passes}: {event.why}; {event.device}, {event.precision}")

    def _summarise(self, event: FolderFinished) -> None:
        if self._planned:
            self._output.print(plan_table(self._planned))
            self._planned = []
        counts = {"to do": event.to_do, "done": event.done, "skipped": event.skipped, "failed": event.failed}
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing to do"
        pace = f", {event.megapixels / event.seconds:.2f} MP/s" if event.megapixels and event.seconds else ""
        self._print(f"{told}; {duration(event.seconds)}{pace}")
        for text, count in self._said.items():
            if count > 1:
                self._print(f"  said of {count:,} files: {text}", style="yellow")
        self._said.clear()
        self._begin = 0.0  # of a folder that is watched: the next files will come when they come
        for failure in event.failures:
            self._print(f"  failed: {failure_line(failure)}", style="red")

    # Bars

    def _frame_megapixels(self) -> float:
        return self._started.sr_width * self._started.sr_height / 1e6 if self._started is not None else 0.0

    def _draw_survey(self, event: Surveying) -> None:
        if self._console.is_terminal:
            self._open_bars()
            assert self._bars is not None
            assert self._all is not None
            self._bars.update(
                self._all,
                completed=event.done,
                total=event.total,
                description="looking",
                count=f"{event.total:,} files",
            )

    def _draw_all(self, megapixels: float) -> None:
        """Files are counted; the bar itself goes by megapixels, which is what takes time."""
        if not self._console.is_terminal:
            return
        self._open_bars()
        assert self._bars is not None
        assert self._all is not None
        pace, seconds = self._pace, time.monotonic() - self._begin if self._begin else 0.0
        rate = megapixels / seconds if seconds else 0.0
        seconds_left = (pace.total_megapixels - megapixels) / rate if rate else None
        left = pace.total - pace.done - pace.skipped - pace.failed
        self._bars.update(
            self._all, description="all", completed=megapixels, total=pace.total_megapixels,
            count=f"{left:,} files left", rate=f"{rate:.2f} MP/s" if rate else "",
            left="" if seconds_left is None else duration(max(0.0, seconds_left)),
        )  # fmt: skip

    def _draw_item(self, what: str, done: int, total: int | None, megapixels: float = 0.0) -> None:
        if not self._console.is_terminal:
            return
        self._draw_all(self._pace.megapixels + megapixels)
        assert self._bars is not None
        if self._item is None:
            self._item = self._bars.add_task("", total=total, count="", rate="", left="")
        self._bars.update(self._item, description=_cut(what), completed=done, total=total)

    def _open_bars(self) -> None:
        if self._bars is None:
            from rich.progress import BarColumn, TextColumn
            from rich.table import Column

            label = TextColumn("{task.description}", markup=False)  # a file name may look like markup
            bar = BarColumn(bar_width=None, table_column=Column(ratio=1))
            fields = [TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("count", "rate", "left")]
            self._bars = bars([label, bar, *fields], self._console)
            self._all = self._bars.add_task("", total=None, count="", rate="", left="")
            self._bars.start()


def plan_table(planned: list[Planned]) -> "Table":
    """What would be done, as a table for people."""
    from rich.table import Table
    from rich.text import Text

    table = Table("input", "LR", "SR", "frames", "model", "output", box=None, pad_edge=False)
    for row in planned:
        cells = (
            row.source, _size(row.width, row.height), _size(row.sr_width, row.sr_height),
            "?" if row.frames is None else f"{row.frames:,}", row.model, row.output,
        )  # fmt: skip
        table.add_row(*(Text(printable(cell), overflow="fold") for cell in cells))
    return table


def _size(width: int, height: int) -> str:
    return f"{width} x {height}" if width else "?"


def _cut(text: str) -> str:
    from rich.text import Text

    short = Text(printable(text))
    short.truncate(NAME_CELLS, overflow="ellipsis")
    return short.plain
