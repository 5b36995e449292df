"""Who wants to hear of what happens, and how far each job is.

Events that are kept come with a number; progress is not kept, and of it only the latest counts, so that a listener that
is slow, or has gone, takes no memory.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_WAITING: Final = 1000
"""Events that a listener may leave unread before it is dropped; it can ask for them again by their number."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something to tell.

    Attributes:
        number: of an event that is kept; None for what is not.
        kind: "job" for a job's record, "progress", "removed", or the name of the pipeline's event.
    """

    job: str
    kind: str
    data: Mapping[str, Any]
    number: int | None = None


class Subscription:
    """What one listener has not heard yet. Belongs to the event loop it was made in."""

    def __init__(self, job: str | None) -> None:
        self.job = job
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Told] = deque()
        self._progress: dict[str, Told] = {}
        self._is_over = False
        self._has_more = asyncio.Event()

    def tell(self, told: Told | None) -> None:
        """From any thread; None: there is no more."""
        try:
            self._loop.call_soon_threadsafe(self._put, told)
        except RuntimeError:  # its loop has ended
            self._is_over = True

    def _put(self, told: Told | None) -> None:
        if told is None or len(self._waiting) >= MOST_WAITING:
            self._is_over = True
        elif told.kind == "progress":
            self._progress[told.job] = told
        else:
            self._progress.pop(told.job, None) if told.kind == "job" else None
            self._waiting.append(told)
        self._has_more.set()

    async def next(self) -> list[Told] | None:
        """What there is, waiting for the first; None once there is no more."""
        while not (self._waiting or self._progress):
            if self._is_over:
                return None
            await self._has_more.wait()
            self._has_more.clear()
        told = [*self._waiting, *self._progress.values()]
        self._waiting.clear()
        self._progress.clear()
        return told


class Hub:
    """Tells listeners what happens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners = set[Subscription]()
        self._hearers: list[Callable[[Told], None]] = []

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def subscribe(self, job: str | None = None) -> Subscription:
        """Of one job, or of all; to be given back by `leave`. In an event loop."""
        subscription = Subscription(job)
        with self._lock:
            self._listeners.add(subscription)
        return subscription

    def hear(self, hearer: Callable[[Told], None]) -> None:
        """Calls a function with everything, in the thread in which it happens; it has to return at once."""
        self._hearers.append(hearer)

    def leave(self, subscription: Subscription) -> None:
        with self._lock:
            self._listeners.discard(subscription)

    def tell(self, told: Told) -> None:
        """From any thread."""
        with self._lock:
            listeners = [one for one in self._listeners if one.job in (None, told.job)]
        for listener in listeners:
            listener.tell(told)
        for hearer in self._hearers:
            hearer(told)

    def close(self) -> None:
        """No listener hears more."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener.tell(None)
