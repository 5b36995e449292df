"""Deals windows to the devices that hold a net: those of one kind that wait at the same time go together.

Nothing waits for company: while the devices are busy windows gather, and whoever waits for one of them sends off, as
soon as a device is free, the one that came first and all that are like it. So the tiles of many small pictures, each
upscaled by a thread of its own, share batches, and a picture alone is computed as if there were no others. There is no
thread in here: the callers do the work.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from upscale_cli.events import Say
from upscale_cli.inference.backends.torch_eager import DeviceNet, Flight, Window
from upscale_cli.inference.device import device_failure

_POLL_SECONDS = 0.5
"""Waits are cut into pieces of this length, because on Windows Ctrl-C does not end one."""


@dataclass(slots=True, eq=False)
class Ticket:
    """A window that waits, is under way, or is done."""

    window: Window
    flight: "_Dealt | None" = None
    place: int = 0  # in the flight
    error: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Dealt:
    """A flight, who runs it, and for whom."""

    device: DeviceNet
    tickets: list[Ticket]
    flight: Flight | None = None
    is_over: bool = False


@dataclass(slots=True, eq=False)
class _Seat:
    """A device at work."""

    net: DeviceNet
    flights: deque[_Dealt] = field(default_factory=deque)


class Dealer:
    """Windows in, SR windows out; safe to be used by several threads.

    Args:
        nets: of the devices; all give the same for the same.
        together: how many windows like this one may go as one.
        say: takes what the user should know.
    """

    def __init__(self, nets: Sequence[DeviceNet], together: Callable[[Window], int], say: Say) -> None:
        self._seats = [_Seat(net) for net in nets]
        self._together, self._say = together, say
        self._begins_at_once = any(net.device.type == "cuda" for net in nets)  # to launch does not keep the caller
        self._waiting: deque[Ticket] = deque()
        self._changed = threading.Condition()

    @property
    def hands(self) -> int:
        """How many windows keep all devices busy."""
        return sum(seat.net.hands for seat in self._seats)

    def submit(self, window: Window) -> Ticket:
        """Puts a window into the queue; a GPU that has nothing to do begins with it."""
        ticket = Ticket(window)
        with self._changed:
            self._waiting.append(ticket)
        if self._begins_at_once:
            self._deal()
        return ticket

    def collect(self, ticket: Ticket) -> tuple[Tensor, Tensor]:
        """Waits for a window: its kept part, (scale * h, scale * w, C) float32 on the host, and its health.

        Raises:
            DeviceError: no device can do it.
        """
        while not self._is_done(ticket):
            if self._deal():
                continue
            with self._changed:
                busy = [seat.flights[0] for seat in self._seats if seat.flights]
                ours = ticket.flight or next((dealt for dealt in busy if dealt.flight is not None), None)
                if ours is None or ours.flight is None:
                    self._changed.wait(_POLL_SECONDS)
                    continue
            self._land(ours)
        if ticket.error is not None:
            raise ticket.error
        assert ticket.flight is not None
        assert ticket.flight.flight is not None
        return ticket.flight.flight.kept[ticket.place], ticket.flight.flight.health[ticket.place]

    def forget(self, ticket: Ticket) -> None:
        """Nobody waits for that window any more."""
        with self._changed:
            if ticket in self._waiting:
                self._waiting.remove(ticket)

    @staticmethod
    def _is_done(ticket: Ticket) -> bool:
        return ticket.error is not None or (ticket.flight is not None and ticket.flight.is_over)

    def _deal(self) -> bool:
        """Sends off the windows that come next, if a device is free for them. Says whether it did."""
        with self._changed:
            free = [seat for seat in self._seats if len(seat.flights) < seat.net.hands]
            if not (free and self._waiting):
                return False
            seat = min(free, key=lambda seat: len(seat.flights))
            dealt = _Dealt(seat.net, self._take())
            seat.flights.append(dealt)
        try:
            dealt.flight = dealt.device.launch([ticket.window for ticket in dealt.tickets])
        except Exception as error:
            self._fail(dealt, error)
            return True
        except BaseException as error:  # Ctrl-C: the others must not wait for ever
            self._end(dealt, error)
            raise
        with self._changed:
            for place, ticket in enumerate(dealt.tickets):
                ticket.flight, ticket.place = dealt, place
            self._changed.notify_all()
        if dealt.flight.arrived is None:
            self._end(dealt)
        return True

    def _take(self) -> list[Ticket]:
        """The window that came first, and those that may go with it."""
        first = self._waiting.popleft()
        alike = [ticket for ticket in self._waiting if ticket.window.kind == first.window.kind]
        alike = alike[: self._together(first.window) - 1]
        for ticket in alike:
            self._waiting.remove(ticket)
        return [first, *alike]

    def _land(self, dealt: _Dealt) -> None:
        """Waits for a flight on a GPU."""
        assert dealt.flight is not None
        try:
            dealt.flight.wait()
        except Exception as error:
            self._fail(dealt, error)
        else:
            self._end(dealt)
        self._deal()  # the device has nothing to do: first that, then the picture

    def _end(self, dealt: _Dealt, error: BaseException | None = None) -> None:
        """A flight is over; its device is free for another."""
        with self._changed:
            for seat in self._seats:
                if dealt in seat.flights:
                    seat.flights.remove(dealt)
            for ticket in dealt.tickets:
                ticket.error = ticket.error or error
            dealt.tickets = []  # they know the flight: in a circle, SR windows would stay until Python looks for such
            dealt.is_over = True
            self._changed.notify_all()

    def _fail(self, dealt: _Dealt, error: Exception) -> None:
        """A flight has come to nothing. Where the device is to blame, the others take over what it had in hand."""
        failure = device_failure(error, dealt.device.device)
        with self._changed:
            seat = next((seat for seat in self._seats if seat.net is dealt.device), None)
            if seat is None:
                return  # it was told before: all flights of a GPU fail together
            if failure is None or len(self._seats) == 1:
                self._end(dealt, failure or error)
                return
            self._seats.remove(seat)
            orphans = [ticket for flight in seat.flights for ticket in flight.tickets]
            for ticket in orphans:
                ticket.flight = None
            self._waiting.extendleft(reversed(orphans))
            left = ", ".join(str(other.net.device) for other in self._seats)
            self._changed.notify_all()
        self._say(f"{str(failure).split('. ')[0]}: going on with {left}.")
