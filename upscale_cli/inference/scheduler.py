"""Dispatches requests to devices, several at a time: windows of photos, frames of clips.

    submit  ->  queue  ->  Runner.launch (requests of one kind that wait at the same time, as one batch)  ->  collect

No request waits for others to share a batch with: while the devices are busy requests gather, and as soon as a device
is free, a thread that waits for one of them sends off the one that came first and all that are like it. So the tiles of
many small pictures, each upscaled by a thread of its own, share batches, and a picture alone is computed as if there
were no others. There is no thread in here: the callers do the work. A device that fails is left out, and its requests
go to the others.
"""

import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from upscale_cli.events import Say
from upscale_cli.inference.device import Device, device_failure

_POLL_SECONDS = 0.5
"""Waits are cut into pieces of this length, because on Windows Ctrl-C does not end one."""


class Request(Protocol):
    """What a device is to compute."""

    @property
    def kind(self) -> Hashable:
        """Requests of one kind can go as one batch."""


RequestT = TypeVar("RequestT", bound=Request)
RequestT_contra = TypeVar("RequestT_contra", bound=Request, contravariant=True)
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)


class InFlight(Protocol[ResultT_co]):
    """A batch that a device has begun with."""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing to wait for."""

    def wait(self) -> None:
        """Returns once the results are there, or raises what has failed."""

    def result(self, place: int) -> ResultT_co:
        """Of one of its requests, by its place in the batch; after `wait`."""


@dataclass(frozen=True, slots=True, eq=False)
class Pending(Generic[ResultT_co]):
    """A batch that a thread is at work on; see `InFlight`."""

    future: concurrent.futures.Future[InFlight[ResultT_co]]

    @property
    def is_done(self) -> bool:
        return False

    def wait(self) -> None:
        self.future.result()

    def result(self, place: int) -> ResultT_co:
        return self.future.result().result(place)


class Runner(Protocol[RequestT_contra, ResultT_co]):
    """A device at work on requests; all runners of a scheduler give the same for the same."""

    @property
    def device(self) -> Device: ...

    @property
    def concurrency(self) -> int:
        """How many batches in progress keep it busy."""

    @property
    def begins_at_once(self) -> bool:
        """Whether `launch` returns before they are done."""

    def launch(self, requests: Sequence[RequestT_contra]) -> InFlight[ResultT_co]:
        """Begins with some requests of one kind."""


@dataclass(slots=True, eq=False)
class Future(Generic[RequestT, ResultT]):
    """A request that waits, is in progress, or is done."""

    request: RequestT
    batch: "_Batch[RequestT, ResultT] | None" = None
    place: int = 0  # in the batch
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Batch(Generic[RequestT, ResultT]):
    """Requests that were sent off together."""

    runner: Runner[RequestT, ResultT]
    futures: list[Future[RequestT, ResultT]]
    in_flight: InFlight[ResultT] | None = None
    is_over: bool = False


@dataclass(slots=True, eq=False)
class _Slot(Generic[RequestT, ResultT]):
    """A device, and the batches it has in progress."""

    runner: Runner[RequestT, ResultT]
    batches: deque[_Batch[RequestT, ResultT]] = field(default_factory=deque)


class Scheduler(Generic[RequestT, ResultT]):
    """Requests in, results out; safe to be used by several threads.

    Args:
        runners: of the devices, at least one.
        together: how many requests like this one may go as one batch.
        say: takes what the user should know.
    """

    def __init__(
        self, runners: Sequence[Runner[RequestT, ResultT]], together: Callable[[RequestT], int], say: Say
    ) -> None:
        self._slots = [_Slot(runner) for runner in runners]
        self._together, self._say = together, say
        self._waiting: deque[Future[RequestT, ResultT]] = deque()
        self._changed = threading.Condition()

    @property
    def concurrency(self) -> int:
        """How many batches keep all devices busy."""
        return sum(slot.runner.concurrency for slot in self._slots)

    def submit(self, request: RequestT) -> Future[RequestT, ResultT]:
        """Puts a request into the queue; a device that has room, and needs no caller for it, begins with it."""
        future: Future[RequestT, ResultT] = Future(request)
        with self._changed:
            self._waiting.append(future)
        if any(slot.runner.begins_at_once for slot in self._slots):  # to launch keeps no caller
            self._dispatch()
        return future

    def collect(self, future: Future[RequestT, ResultT]) -> ResultT:
        """Waits for a request.

        Raises:
            DeviceError: no device can do it. Else what the runner raised.
        """
        while not self._is_done(future):
            if self._dispatch():
                continue
            with self._changed:
                busy = [slot.batches[0] for slot in self._slots if slot.batches]
                ours = future.batch or next((batch for batch in busy if batch.in_flight is not None), None)
                if ours is None or ours.in_flight is None:
                    self._changed.wait(_POLL_SECONDS)
                    continue
            self._land(ours)
        if future.error is not None:
            raise future.error
        assert future.batch is not None
        assert future.batch.in_flight is not None
        return future.batch.in_flight.result(future.place)

    def forget(self, future: Future[RequestT, ResultT]) -> None:
        """Nothing waits for that request any more."""
        with self._changed:
            if future in self._waiting:
                self._waiting.remove(future)

    @staticmethod
    def _is_done(future: Future[RequestT, ResultT]) -> bool:
        return future.error is not None or (future.batch is not None and future.batch.is_over)

    def _dispatch(self) -> bool:
        """Sends off the requests that come next, if a device is free for them. Gives whether it did."""
        with self._changed:
            free = [slot for slot in self._slots if len(slot.batches) < slot.runner.concurrency]
            if not (free and self._waiting):
                return False
            slot = min(free, key=lambda slot: len(slot.batches))
            batch = _Batch(slot.runner, self._take())
            slot.batches.append(batch)
        try:
            in_flight = batch.runner.launch([future.request for future in batch.futures])
        except Exception as error:
            self._fail(batch, error)
            return True
        except BaseException as error:  # Ctrl-C: the others must not wait for ever
            self._end(batch, error)
            raise
        with self._changed:
            # All at once: a thread that saw it in flight before its requests know the batch could end it, and
            # these would then wait for ever.
            batch.in_flight = in_flight
            for place, future in enumerate(batch.futures):
                future.batch, future.place = batch, place
            self._changed.notify_all()
        if in_flight.is_done:
            self._end(batch)
        return True

    def _take(self) -> list[Future[RequestT, ResultT]]:
        """The request that came first, and those that may go with it."""
        first = self._waiting.popleft()
        alike = [future for future in self._waiting if future.request.kind == first.request.kind]
        alike = alike[: self._together(first.request) - 1]
        for future in alike:
            self._waiting.remove(future)
        return [first, *alike]

    def _land(self, batch: _Batch[RequestT, ResultT]) -> None:
        """Waits for a batch that is in progress."""
        assert batch.in_flight is not None
        try:
            batch.in_flight.wait()
        except Exception as error:
            self._fail(batch, error)
        else:
            self._end(batch)
        self._dispatch()  # the device has nothing to do: first that, then the picture

    def _end(self, batch: _Batch[RequestT, ResultT], error: BaseException | None = None) -> None:
        """A batch is over; its device is free for another."""
        with self._changed:
            for slot in self._slots:
                if batch in slot.batches:
                    slot.batches.remove(batch)
            for future in batch.futures:
                future.error = future.error or error
            batch.futures = []  # they know the batch: in a circle, SR windows would stay until Python looks for such
            batch.is_over = True
            self._changed.notify_all()

    def _fail(self, batch: _Batch[RequestT, ResultT], error: Exception) -> None:
        """A batch has failed. Where the device has failed, the others take over what it had in progress."""
        failure = device_failure(error, batch.runner.device)
        with self._changed:
            slot = next((slot for slot in self._slots if slot.runner is batch.runner), None)
            if slot is None:
                return  # it was reported before: all batches of a GPU fail together
            if failure is None or len(self._slots) == 1:
                if failure is not None and failure is not error:
                    failure.__cause__ = error
                self._end(batch, failure or error)
                return
            self._slots.remove(slot)
            orphans = [future for batch in slot.batches for future in batch.futures]
            for future in orphans:
                future.batch = None
            self._waiting.extendleft(reversed(orphans))
            left = ", ".join(str(other.runner.device) for other in self._slots)
            self._changed.notify_all()
        self._say(f"{str(failure).split('. ')[0]}: going on with {left}.")
