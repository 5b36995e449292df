"""One call of a tool while it runs: its events as progress, its notes, and its end where the assistant no longer wants
it. Knows nothing of the SDK."""

from dataclasses import dataclass, field
from typing import Final

from upscale_cli.errors import InterruptedRun
from upscale_cli.events import (
    ClipProgress,
    Event,
    Fetching,
    FolderProgress,
    Note,
    Progress,
    Surveyed,
    Surveying,
)
from upscale_cli.text import amount, counted

FETCHING_SHARE: Final = 0.1
"""Of the whole, where something has to be fetched first."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far a call has come.

    Attributes:
        share: 0 to 1; it never falls.
        text: for people.
    """

    share: float
    text: str


@dataclass(slots=True)
class Running:
    """A call in progress; the listener of its events, from any thread.

    `stop` makes the next event raise, so that the work unwinds as it does after Ctrl-C: nothing half-done is left.

    Attributes:
        step: the latest.
        events: all that tell of a result, in order.
        notes: each once.
    """

    step: Step = Step(0.0, "")
    events: list[Event] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    _is_stopped: bool = False
    _is_folder: bool = False
    _fetched: float = 0.0

    def __call__(self, event: Event) -> None:
        """Takes an event.

        Raises:
            InterruptedRun: the call was stopped.
        """
        self.check()
        match event:
            case Note(is_detail=False):
                self.notes[event.text] = None
            case Fetching():
                self._advance(
                    _share(event.done, event.total) * FETCHING_SHARE, f"fetching {event.file}, {_bytes(event)}"
                )
                self._fetched = FETCHING_SHARE
            case Surveyed():
                self._is_folder = True
                self._advance(self._fetched, f"{counted(event.to_do, 'file')} to do, {event.skipped} done before")
            case FolderProgress():
                done = event.done + event.skipped + event.failed
                self._work(_share(done, event.total), f"{done} of {counted(event.total, 'file')}")
            case Progress() if not self._is_folder:  # of many at a time, nobody can follow
                self._work(_share(event.done, event.total), f"{event.done} of {counted(event.total, 'tile')}")
            case ClipProgress() if not self._is_folder:
                of = "" if event.total is None else f" of {event.total}"
                self._work(_share(event.done, event.total), f"frame {event.done}{of}, {event.fps:.1f} a second")
            case Progress() | ClipProgress() | Surveying() | Note():
                pass
            case _:
                self.events.append(event)

    def stop(self) -> None:
        """Ends the work at its next event."""
        self._is_stopped = True

    def check(self) -> None:
        """
        Raises:
            InterruptedRun: the call was stopped.
        """
        if self._is_stopped:
            raise InterruptedRun("cancelled; nothing half-done was left behind.")

    def _work(self, share: float, text: str) -> None:
        self._advance(self._fetched + share * (1 - self._fetched), text)

    def _advance(self, share: float, text: str) -> None:
        self.step = Step(max(share, self.step.share), text)


def _share(done: int, total: int | None) -> float:
    return min(done / total, 1.0) if total else 0.0


def _bytes(event: Fetching) -> str:
    return amount(event.done) if event.total is None else f"{amount(event.done)} of {amount(event.total)}"
