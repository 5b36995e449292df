"""A bounded queue between two threads, which neither side can be left waiting at. Pure."""

import threading
from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

_POLL_SECONDS = 0.5
"""Waits are cut into pieces of this length, because on Windows Ctrl-C does not end one."""


class Closed(Exception):  # noqa: N818  # no error: the other side has gone
    """The other side will not take, or give, any more."""


class Channel(Generic[Item]):
    """Items from one thread to another, at most `capacity` of them on the way.

    The giver ends with `finish`; the taker's loop then ends after the last item. Either side, or a third, breaks it
    off with `abort`: whoever waits, or comes later, gets `Closed`.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._finished = self._aborted = False

    def put(self, item: Item) -> None:
        """Waits for room.

        Raises:
            Closed: the channel was broken off.
        """
        with self._changed:
            while len(self._items) >= self._capacity and not self._aborted:
                self._changed.wait(_POLL_SECONDS)
            if self._aborted:
                raise Closed
            self._items.append(item)
            self._changed.notify_all()

    def finish(self) -> None:
        """No more items will come."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Breaks it off; what is still on the way is dropped."""
        with self._changed:
            self._aborted = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[Item]:
        """The items as they come, until `finish`.

        Raises:
            Closed: the channel was broken off.
        """
        while True:
            with self._changed:
                while not (self._items or self._finished or self._aborted):
                    self._changed.wait(_POLL_SECONDS)
                if self._aborted:
                    raise Closed
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
