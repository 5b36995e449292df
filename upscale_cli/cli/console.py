"""Events, shown to a person (a bar on a terminal, plain lines in a pipe) or to a program (JSON lines)."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, TextIO

from upscale_cli.cli.flags import event_in_flags
from upscale_cli.cli.lines import put
from upscale_cli.cli.progress_bars import bars, moving_bar, time_column
from upscale_cli.errors import InterruptedRun, UpscaleError, printable
from upscale_cli.events import (
    ClipFinished,
    ClipProgress,
    Estimate,
    Event,
    Failed,
    Fetching,
    Finished,
    Listener,
    Note,
    Progress,
    Skipped,
    Started,
    Surveyed,
    Surveying,
    as_record,
)
from upscale_cli.text import cause_lines, counted, duration, failure_line

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from upscale_cli.cli.console_folder import FolderView


LEAST_REUSED: Final = 0.01
"""Share of the net's work that is worth a word."""

WIDE: Final = 10_000
"""Cells of a line in a file or a pipe: no table is folded there."""


@contextmanager
def listening(
    *, as_json: bool, quiet: bool = False, verbose: bool = False, stdout_is_taken: bool = False
) -> Iterator[Listener]:
    """The listener that the options ask for, for as long as the run lasts.

    An error that ends the run is an event for a program; for a person `cli.main` prints it.

    Args:
        as_json: one JSON object per event on standard output (on standard error where a picture goes to output).
        quiet: errors only.
        verbose: the causes of errors, and what is as usual, too.
        stdout_is_taken: a picture is written to standard output.
    """
    if as_json:
        lines = JsonLines(sys.stderr if stdout_is_taken else sys.stdout)
        try:
            yield lines
        except (UpscaleError, KeyboardInterrupt) as error:
            lines(Failed("", (InterruptedRun() if isinstance(error, KeyboardInterrupt) else error).message))
            raise
        return
    from rich.console import Console

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    terminal = Terminal(console, quiet=quiet, verbose=verbose)
    try:
        yield terminal
    finally:
        terminal.end_bar()


class JsonLines:
    """One JSON object per line, flushed, so that a program can follow."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        if isinstance(event, Surveying):
            return  # only a bar needs it
        self._stream.write(
            f"{json.dumps(as_record(event_in_flags(event)))}\n"
        )  # at once: notes come from other threads too
        self._stream.flush()


class Terminal:
    """Lines for people; a bar below them while something takes its time, where there is a terminal to draw it on."""

    def __init__(self, console: "Console", *, quiet: bool, verbose: bool = False) -> None:
        self._console, self._quiet, self._verbose = console, quiet, verbose
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._is_of_bytes = False  # the bar counts bytes that are fetched
        self._what = ""  # source in progress, the bar's label
        self._folder: FolderView | None = None  # takes over where many files are one run

    def __call__(self, event: Event) -> None:
        event = event_in_flags(event)
        if self._folder is None and isinstance(event, (Surveying, Surveyed)):
            self._folder = _folder_view(self._console, quiet=self._quiet, verbose=self._verbose)
        if self._folder is not None:
            self._folder(event)
            if isinstance(event, Failed):
                self._explain(event)
            return
        match event:
            case Failed():
                self.end_bar()
                self.error(failure_line(event))
                self._explain(event)
            case ClipFinished() if self._quiet:
                self._complain(event)
            case _ if self._quiet:
                return
            case Note(is_detail=True) if not self._verbose:
                return
            case Note(text=text):
                self._print(f"note: {text}", style="yellow")
            case Skipped():
                self._print(event.why)
            case Fetching():
                self._draw(f"fetching {event.file}", event.done, event.total, of_bytes=True)
                if event.done == event.total:
                    self.end_bar()
            case Started():
                self._what = PurePath(event.source).name
                self._print(started_line(event))
            case Estimate():
                self._print(f"about {duration(event.seconds)} on this {event.device.upper()}", style="yellow")
            case Progress():
                rate = f"{event.megapixels / self._elapsed():.2f} MP/s" if event.megapixels and self._elapsed() else ""
                total = event.total if event.done else None  # the bar moves by itself until a tile is done
                count = f"{event.done}/{event.total} tiles"
                self._draw(printable(self._what), event.done, total, count, rate, expected=event.expected_seconds)
            case ClipProgress():
                limit = f"  limit: {event.slowest}" if event.slowest else ""
                rate = f"{event.fps:.1f} fps  {event.realtime:.2f}x{limit}"
                of_all = "?" if event.total is None else event.total
                self._draw(printable(self._what), event.done, event.total, f"{event.done}/{of_all}", rate)
            case ClipFinished():
                self.end_bar()
                for line in summary(event):
                    self._print(line)
                if event.advice:
                    self._print(f"note: this is not real time by the net alone. {event.advice}", style="yellow")
                self._complain(event)
            case Finished():
                self.end_bar()
                self._print(f"{event.output}  {event.width} x {event.height}  {duration(event.seconds)}")

    def error(self, message: str) -> None:
        self._print(f"error: {message}", style="bold red")

    def _complain(self, event: ClipFinished) -> None:
        """What is wrong with a clip that is finished all the same; the run fails for it."""
        if event.damage:
            self.error(f"{event.source}: {event.damage}")

    def _explain(self, event: Failed) -> None:
        """The causes of a failure, where asked for."""
        if self._verbose:
            for line in (*cause_lines(event.causes), *event.traceback.splitlines()):
                self._print(line)

    def end_bar(self) -> None:
        """Takes the bar away, if there is one."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None
        if self._folder is not None:
            self._folder.end_bars()

    def _print(self, text: str, style: str | None = None) -> None:
        put(self._console, text, style)

    def _elapsed(self) -> float:
        return (self._bar.tasks[0].elapsed or 0.0) if self._bar is not None else 0.0

    def _draw(
        self,
        what: str,
        done: int,
        total: int | None,
        count: str = "",
        rate: str = "",
        *,
        expected: float = 0.0,
        of_bytes: bool = False,
    ) -> None:
        if not self._console.is_terminal:
            return
        if self._bar is not None and self._is_of_bytes != of_bytes:
            self.end_bar()
        if self._bar is None:
            self._is_of_bytes = of_bytes
            self._bar = _bar(self._console, of_bytes=of_bytes)
            self._task = self._bar.add_task("", total=total, count="", rate="")
            self._bar.start()
        assert self._task is not None
        label = _cut(what, self._console.width // 5)
        self._bar.update(
            self._task, completed=done, total=total, description=label, count=count, rate=rate, expected=expected
        )


def _folder_view(console: "Console", *, quiet: bool, verbose: bool) -> "FolderView":
    from rich.console import Console

    from upscale_cli.cli.console_folder import FolderView

    output = Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)
    return FolderView(console, output, quiet=quiet, verbose=verbose)


def _bar(console: "Console", *, of_bytes: bool) -> "Bar":
    from rich.progress import DownloadColumn, ProgressColumn, TextColumn, TransferSpeedColumn

    label = TextColumn("{task.description}", markup=False)  # a file name may look like markup
    if of_bytes:
        counts: list[ProgressColumn] = [DownloadColumn(), TransferSpeedColumn()]
    else:
        counts = [TextColumn(f"{{task.fields[{name}]}}", markup=False) for name in ("count", "rate")]
    return bars([label, moving_bar(), *counts, time_column()], console)


def _cut(text: str, cells: int) -> str:
    """As much of a text as fits into so many cells of a terminal; what is cut off is shown as "…"."""
    from rich.text import Text

    short = Text(text)
    short.truncate(cells, overflow="ellipsis")
    return short.plain


def summary(event: ClipFinished) -> list[str]:
    """What a clip's run came to: the file, the pace, and where the frames came from."""
    if not event.frames:  # nothing was left to do
        return []
    lines = [
        f"{event.output}  {event.width} x {event.height}  {counted(event.frames, 'frame')}  {duration(event.seconds)}"
    ]
    if not event.stages:  # nothing was left to do but the join
        return lines
    parts = {
        f"by {event.model}": event.net,
        "by bicubic to keep up": event.fallback,
        "equal to the one before": event.same,
        "repeated for lost ones": event.repeated,
    }
    counts = ", ".join(f"{count} {what}" for what, count in parts.items() if count)
    if event.reused >= LEAST_REUSED:
        counts += f"; {event.reused:.0%} of the net's work taken over from the frame before"
    pace = f"{event.fps:.1f} fps, {event.realtime:.2f} x real time"
    return [*lines, f"  {pace}; {counts}; slowest stage: {event.slowest}"]


def started_line(event: Started) -> str:
    """The first line of a run: what is done, by which model and why, and where."""
    passes = f" ({' + '.join(event.passes)})" if event.passes else ""
    frames = f", {counted(event.frames, 'frame')}" if event.frames > 1 else ""
    encoder = f", {event.encoder}" if event.encoder else ""
    return (
        f"{event.source}: {event.width} x {event.height} -> {event.sr_width} x {event.sr_height}{frames}, "
        f"{event.model}{passes}: {event.why}; {event.device}, {event.computed_in}{encoder}"
    )
