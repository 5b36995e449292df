"""How far a job is, from its events. Pure, but for the clock that is passed in."""

from collections.abc import Sequence
from dataclasses import dataclass

from upscale_cli.events import ClipProgress, Event, Progress, Started


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is.

    Attributes:
        done: part of the whole, 0 to 1; null where that is unknown.
        seconds_left: null where unknown.
        frames: of a clip, written so far; null of others.
        fps: frames per second so far; null of others.
    """

    done: float | None
    seconds_left: float | None
    frames: int | None = None
    fps: float | None = None


@dataclass(slots=True)
class Watched:
    """A job in progress.

    Attributes:
        names: what its files are called here, and what clients call them, in the order in which they are replaced.
        begun: when the net began, in seconds of a monotonic clock; `first`: what was done by then.
    """

    names: Sequence[tuple[str, str]] = ()
    progress: JobProgress = JobProgress(0.0, None)  # frozen
    begun: float | None = None
    first: float = 0.0

    def hear(self, event: Event, now: float) -> bool:
        """Takes an event; gives whether it says how far the job is."""
        if isinstance(event, Started):
            self.begun = now
            return False
        if isinstance(event, ClipProgress):
            done = event.done / event.total if event.total else None
            self.progress = JobProgress(done, event.seconds_left, event.done, event.fps)
            return True
        if isinstance(event, Progress) and event.total:
            done = event.done / event.total
            self.progress = JobProgress(done, self._left(done, now) or event.expected_seconds or None)
            return True
        return False

    def named(self, text: str) -> str:
        """A message in which files have the names that the client knows: where they lie here is nobody's business."""
        for here, there in self.names:
            text = text.replace(here, there)
        return text

    def _left(self, done: float, now: float) -> float | None:
        """By the pace so far: what a former run had done already took no time now."""
        if self.begun is None:
            self.begun = now
        if not self.first:
            self.first = done
            self.begun = now
            return None
        made = done - self.first
        return (1 - done) / made * (now - self.begun) if made > 0 else None
