"""A run over many files, shown to a person: one bar for all, one for each file in progress, and the summary."""

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from upscale_cli.cli.lines import put
from upscale_cli.cli.progress_bars import bars, moving_bar
from upscale_cli.errors import printable
from upscale_cli.events import (
    Chosen,
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
    Skipped,
    Started,
    Surveyed,
    Surveying,
)
from upscale_cli.text import counted, duration, failure_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars
    from rich.progress import TaskID
    from rich.table import Table

NAME_CELLS: Final = 24
"""Of a terminal's line, for what a bar is about."""

FEW_FILES: Final = 12
"""That each have a line, on a terminal too."""


@dataclass(slots=True)
class _Item:
    """A file in progress.

    Attributes:
        frame_megapixels: SR, of one frame.
        output: its name.
        megapixels: SR, made so far.
        bar: its line; None before there is something to draw.
    """

    frame_megapixels: float = 0.0
    output: str = ""
    megapixels: float = 0.0
    bar: "TaskID | None" = None


class FolderView:
    """Lines for people, and bars below them where there is a terminal to draw them on.

    On a terminal a file that went well leaves no line, where there are many: the bars show it. Else each has its own.

    Args:
        output: where the table of --dry-run goes: standard output.
    """

    def __init__(self, console: "Console", output: "Console", *, quiet: bool, verbose: bool = False) -> None:
        self._console, self._output, self._quiet, self._verbose = console, output, quiet, verbose
        self._bars: Bars | None = None
        self._all: TaskID | None = None
        self._items: dict[str, _Item] = {}  # in progress, by source
        self._begin = 0.0
        self._pace = FolderProgress(0, 0, 0, 0, 0.0, 0.0, 0.0, None)
        self._started: Started | None = None  # the last one
        self._said: Counter[str] = Counter()
        self._is_few = False
        self._planned: list[Planned] = []
        self._chosen: dict[str, Chosen] = {}  # by source

    def __call__(self, event: Event) -> None:
        match event:
            case Failed():
                self._drop_item(event.source)
                self._chosen.pop(event.source, None)  # nothing is done by it
                self.error(failure_line(event))
            case _ if self._quiet:
                return
            case Surveying():
                self._draw_survey(event)
            case Surveyed():
                self._survey_done(event)
            case Planned():
                self._planned.append(event)
            case Chosen():
                self._chosen[event.source] = event
            case Started():
                self._start(event)
            case Fetching():
                self._draw_item(f"fetching {event.file}", event.done, event.total)
                if event.done == event.total:
                    self._drop_item(f"fetching {event.file}")
            case Progress():
                self._draw_item(event.source, event.done, event.total, event.megapixels, event.expected_seconds)
            case ClipProgress():
                megapixels = event.done * self._frame_megapixels(event.source)
                self._draw_item(event.source, event.done, event.total, megapixels)
            case Note():
                if self._verbose or not event.is_detail:
                    self._note(event)
            case Skipped():
                self._drop_item(event.source)
                if event.why and self._verbose:
                    self._print(event.why)
            case Finished() | ClipFinished():
                self._drop_item(event.source)
                if self._is_few or not self._console.is_terminal:
                    what = f"{event.width} x {event.height}  {duration(event.seconds)}"
                    self._print(f"{event.output}  {what}")
            case FolderProgress():
                self._pace = event
                self._draw_all()
            case FolderFinished():
                self.end_bars()
                self._summarise(event)

    def error(self, message: str) -> None:
        self._print(f"error: {message}", style="bold red")

    def end_bars(self) -> None:
        """Takes the bars away."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._all = None
        self._items.clear()

    # Lines

    def _print(self, text: str, style: str | None = None) -> None:
        put(self._console, text, style)

    def _note(self, note: Note) -> None:
        """Once, with the first file it is about: a thousand files may give the same cause."""
        item = self._items.get(note.source, _Item())
        what = note.text
        for name in (note.source, item.output):
            for form in (name, printable(name), PurePath(name).name):
                what = what.removeprefix(f"{form}: ") if form else what
        self._said[what] += 1
        if self._said[what] == 1:
            name = PurePath(note.source).name
            self._print(f"note: {what if name in what else f'{name}: {what}'}", style="yellow")

    def _survey_done(self, event: Surveyed) -> None:
        self.end_bars()
        self._pace = FolderProgress(
            0, event.skipped, event.failed, event.to_do + event.skipped + event.failed, 0.0, event.megapixels, 0.0, None
        )
        self._is_few = event.to_do <= FEW_FILES
        before = f", {event.skipped:,} done before" if event.skipped else ""
        before += f", {event.left_alone:,} large enough and left alone" if event.left_alone else ""
        self._print(f"{counted(event.to_do, 'file')} to do ({event.megapixels:,.1f} MP){before}")
        if event.ignored:
            self._print(f"ignored: {', '.join(f'{count:,} {why}' for why, count in event.ignored.items())}")
        self._tell_chosen()

    def _tell_chosen(self) -> None:
        """Which models were chosen for which files; of few files one by one, of many by their groups."""
        if len(self._chosen) <= FEW_FILES:
            for one in self._chosen.values():
                self._print(f"{one.source}: {one.seen}: {one.model}")
            return
        groups = Counter((one.model, one.group) for one in self._chosen.values())
        for model in dict.fromkeys(model for model, _ in groups):
            own = ", ".join(f"{count:,} {group}" for (name, group), count in groups.most_common() if name == model)
            self._print(f"{model}: chosen for {own}")

    def _start(self, event: Started) -> None:
        """Reports by what, where that has changed."""
        before, self._started = self._started, event
        self._items[event.source] = _Item(event.sr_width * event.sr_height / 1e6, event.output)
        if not self._begin:
            self._begin = time.monotonic()
        if before is None or (before.model, before.device, before.computed_in) != (
            event.model, event.device, event.computed_in,
        ):  # fmt: skip
            passes = f" ({' + '.join(event.passes)})" if event.passes else ""
            why = "" if event.source in self._chosen else f"{event.why}; "
            self._print(f"{event.model}{passes}: {why}{event.device}, {event.computed_in}")

    def _summarise(self, event: FolderFinished) -> None:
        if self._planned:
            self._output.print(plan_table(self._planned))
            self._planned = []
        counts = {
            "to do": event.to_do, "done": event.done, "skipped": event.skipped, "left alone": event.left_alone,
            "failed": event.failed,
        }  # fmt: skip
        counted_up = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count) or "nothing to do"
        pace = f", {event.megapixels / event.seconds:.2f} MP/s" if event.megapixels and event.seconds else ""
        failed = " (the errors are above)" if event.failures else ""
        self._print(f"{counted_up}; {duration(event.seconds)}{pace}{failed}")
        for text, count in self._said.items():
            if count > 1:
                self._print(f"  reported of {count:,} files: {text}", style="yellow")
        self._said.clear()
        self._chosen.clear()
        self._begin = 0.0  # of a folder that is watched: the next files will come when they come

    # Bars

    def _frame_megapixels(self, source: str) -> float:
        return self._items[source].frame_megapixels if source in self._items else 0.0

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

    def _draw_all(self) -> None:
        """Files are counted; the bar itself goes by megapixels, which is what takes time."""
        if not self._console.is_terminal:
            return
        self._open_bars()
        assert self._bars is not None
        assert self._all is not None
        megapixels = self._pace.megapixels + sum(item.megapixels for item in self._items.values())
        pace, seconds = self._pace, time.monotonic() - self._begin if self._begin else 0.0
        rate = megapixels / seconds if seconds else 0.0
        seconds_left = (pace.total_megapixels - megapixels) / rate if rate else None
        left = pace.total - pace.done - pace.skipped - pace.failed
        self._bars.update(
            self._all, description="all", completed=megapixels, total=pace.total_megapixels,
            count=f"{left:,} files left", rate=f"{rate:.2f} MP/s" if rate else "",
            left="" if seconds_left is None else duration(max(0.0, seconds_left)),
        )  # fmt: skip

    def _draw_item(
        self, source: str, done: int, total: int | None, megapixels: float = 0.0, expected: float = 0.0
    ) -> None:
        """The line of a file in progress, below that of all."""
        if not self._console.is_terminal:
            return
        item = self._items.setdefault(source, _Item())
        item.megapixels = megapixels
        self._draw_all()
        assert self._bars is not None
        if item.bar is None:  # it moves by itself until a tile is done
            item.bar = self._bars.add_task(_cut(PurePath(source).name), total=None, count="", rate="", left="")
        self._bars.update(item.bar, completed=done, total=total if done else None, expected=expected)

    def _drop_item(self, source: str) -> None:
        """A file is no longer in progress."""
        item = self._items.pop(source, None)
        if item is not None and item.bar is not None and self._bars is not None:
            self._bars.remove_task(item.bar)

    def _open_bars(self) -> None:
        if self._bars is None:
            from rich.progress import TextColumn

            label = TextColumn("{task.description}", markup=False)  # a file name may look like markup
            fields = [TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("count", "rate", "left")]
            self._bars = bars([label, moving_bar(), *fields], self._console)
            self._all = self._bars.add_task("", total=None, count="", rate="", left="")
            self._bars.start()


def plan_table(planned: list[Planned]) -> "Table":
    """What would be done, as a table for people."""
    from rich.table import Table
    from rich.text import Text

    table = Table("input", "input size", "output size", "frames", "model", "output", box=None, pad_edge=False)
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
