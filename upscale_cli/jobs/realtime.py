"""Keeping up with the clock: which frames go through the net, which by bicubic, and what would help. Pure.

The clock starts when the first frame is done: a frame at T seconds is due T + `latency` seconds later. A frame that
would miss that by the net is upscaled by bicubic. None is dropped, so sound and picture never drift.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from upscale_cli.messages import option
from upscale_cli.models.resolve import FAST_CLIP_NETS

LATENCY_SECONDS: Final = 0.5
"""How far a frame may be behind the clock."""

PATIENCE_SECONDS: Final = 2.0
"""A viewer's clock that is missed by so much more has stopped too (a paused player, a silent sender)."""

SWITCH_SECONDS: Final = 1.0
"""Seconds of clip from one switch between net and bicubic to the next, at least: less would flicker."""

HOPE_SECONDS: Final = 10.0
"""With bicubic, over how many seconds of clip the estimate returns to the net's best pace: the delay may be over."""


class NetCost:
    """How long the net is likely to take for a frame: mean and four mean deviations, as TCP estimates round trips.

    Source of the constants: RFC 6298, section 2 (there for the same trade: seldom exceeded, soon adapted).
    """

    def __init__(self, expected: float = 0.0) -> None:
        self._mean, self._deviation = expected, 0.0
        self._best = float("inf")
        self._samples = 0

    @property
    def is_measured(self) -> bool:
        """Whether there was a frame to measure; else all is estimated."""
        return self._samples > 0

    @property
    def mean(self) -> float:
        """Seconds of a frame, by and large."""
        return self._mean

    @property
    def likely(self) -> float:
        """Seconds that the next frame will not exceed, as a rule."""
        return self._mean + 4 * self._deviation

    def add(self, seconds: float) -> None:
        """Takes a measured frame; the first replaces what was expected."""
        self._samples += 1
        if self._samples == 1:
            self._mean, self._deviation = seconds, seconds / 8
        else:
            self._deviation += (abs(seconds - self._mean) - self._deviation) / 4
            self._mean += (seconds - self._mean) / 8
        self._best = min(self._best, self._mean)

    def hope(self, share: float) -> None:
        """Forgets a share (0..1) of what is above the best pace so far."""
        if self._samples:
            self._mean += (self._best - self._mean) * share
            self._deviation *= 1 - share


class Pacer:
    """Decides for each frame, before it is started, whether there is time for the net.

    Args:
        rate: frames per second of clip, the best guess; denser moments are noticed.
        expected: seconds that the net is likely to take for a frame; 0 where unknown.
        latency: see `LATENCY_SECONDS`.
        patience: see `PATIENCE_SECONDS`; None for a clock that never waits.
        clock: seconds, of any origin.
    """

    def __init__(
        self,
        rate: float,
        *,
        expected: float = 0.0,
        latency: float = LATENCY_SECONDS,
        patience: float | None = PATIENCE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate, self._latency, self._patience, self._clock = rate, latency, patience, clock
        self.cost = NetCost(expected)
        self._net = expected <= latency
        self._origin: float | None = None  # by the clock, of second 0 of the clip
        self._first: float | None = None
        self._switched: float | None = None
        self._last_second: deque[float] = deque()

    def by_net(self, at: float) -> bool:
        """Whether the frame of second `at` of the clip goes through the net. Asked once for each, in rising order."""
        if self._first is None:
            self._first = at
        self._note(at)
        if self._origin is None or (self._net and not self.cost.is_measured):
            return self._net
        if self._switched is not None and at - self._switched < SWITCH_SECONDS:
            return self._net
        if self._net != self._is_time(self._slack(at)):
            self._net = not self._net
            self._switched = at
        return self._net

    def done(self) -> None:
        """A frame is done; the first one starts the clock."""
        if self._origin is None and self._first is not None:
            self._origin = self._clock() - self._first

    def held(self, seconds: float) -> None:
        """The viewer took nothing for so long: that clock stood still, and so does this one, if it is patient."""
        if self._origin is not None and self._patience is not None:
            self._origin += seconds

    def _note(self, at: float) -> None:
        times = self._last_second
        if times and not self._net:
            self.cost.hope(min(1.0, max(0.0, at - times[-1]) / HOPE_SECONDS))
        times.append(at)
        while at - times[0] > SWITCH_SECONDS:
            times.popleft()

    def _slack(self, at: float) -> float:
        """Seconds that would be left if the net took this frame now."""
        assert self._origin is not None
        late = self._clock() - (self._origin + at)
        if self._patience is not None and late > self._latency + self._patience:
            self._origin += late
            late = 0.0
        return self._latency - late - self.cost.likely

    def _is_time(self, slack: float) -> bool:
        """Whether the net should be, or stay, at work.

        To go back to it there must be enough slack for the second that it then has to stay.
        """
        if self._net:
            return slack >= 0
        density = max(self._rate, len(self._last_second) / SWITCH_SECONDS)
        loss = max(0.0, self.cost.mean * density - 1.0) * SWITCH_SECONDS
        return slack >= max(loss, self._latency / 4)


class Gate:
    """A `Pacer` that measures the net by itself.

    Args:
        pacer: decides.
        net_seconds: how long the device has computed so far, by the net and by bicubic together.
        held_seconds: how long we have waited for the reader of the output so far.
        depth: how many more frames are in progress when one is begun (on a GPU). What is measured is the net's if all
            of them go through it.
    """

    def __init__(
        self,
        pacer: Pacer,
        net_seconds: Callable[[], float],
        held_seconds: Callable[[], float] = lambda: 0.0,
        *,
        depth: int = 0,
    ) -> None:
        self._pacer, self._net_seconds, self._held_seconds = pacer, net_seconds, held_seconds
        self._before = self._held = 0.0
        self._is_warm = False
        self._recent: deque[bool] = deque([False] * (depth + 1), maxlen=depth + 1)

    def by_net(self, at: float) -> bool:
        """As `Pacer.by_net`."""
        self._measure()
        net = self._pacer.by_net(at)
        self._recent.append(net)
        return net

    def done(self) -> None:
        """As `Pacer.done`."""
        self._pacer.done()

    def _measure(self) -> None:
        held = self._held_seconds()
        self._pacer.held(held - self._held)
        self._held = held
        seconds = self._net_seconds()
        took, self._before = seconds - self._before, seconds
        if not took:
            return
        if self._is_warm and all(self._recent):
            self._pacer.cost.add(took)
        self._is_warm = True  # the first frame also chooses algorithms and lays out memory


def advice(slowest: str, *, may_fall_back: bool, device: str, model: str, encoder: str) -> str:
    """What would help a run that does not keep up, by its slowest stage.

    Args:
        slowest: the stage that the others wait for.
        may_fall_back: bicubic is used for late frames already.
        device: what computes, as torch calls it.
        model: its name.
        encoder: its name.
    """
    if slowest == "decode":
        return f"Decoding is the limit: {option('hwaccel')} decodes in hardware."
    if slowest == "steady":
        return f"{option('steady', True)} is the limit: a smaller {option('scale')} helps, or to leave it out."
    if slowest == "encode":
        is_hardware = encoder.endswith(("_nvenc", "_qsv", "_vaapi", "_videotoolbox", "_amf"))
        quick = "" if is_hardware else f"a hardware {option('codec')}, "
        others = f"a faster {option('preset')}, another {option('codec')} or a smaller {option('scale')}"
        return f"Encoding is the limit: {quick}{others} helps."
    ways = ["a GPU"] if device == "cpu" else []
    smaller = FAST_CLIP_NETS.compressed if model.endswith("-robust") else FAST_CLIP_NETS.clean
    ways += [f"a smaller model ({option('model', smaller)})"] if model not in FAST_CLIP_NETS else []
    ways += [f"a smaller {option('scale')}"]
    ways += [f"{option('realtime', 'strict')} (bicubic where the net would be late)"] if not may_fall_back else []
    return f"{'The net' if slowest == 'net' else 'The way to the device'} is the limit: {', or '.join(ways)} helps."
