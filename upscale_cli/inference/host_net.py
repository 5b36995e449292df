"""One net of an engine on the host, such as OpenVINO: windows in, SR windows out. By numpy alone, so that torch, which
takes a second to load, is not needed for a picture.

    window  ->  HostColorAdapter  ->  ArraySession  ->  HostColorAdapter  ->  kept part  ->  its depth
    8 bits  ->  CodesSession, where the net takes the picture's channels and nothing else  ->  kept part

All of it is done in the thread that the window is in flight in.
"""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from upscale_cli.events import Say
from upscale_cli.frames.image import Pixels
from upscale_cli.inference import conditions
from upscale_cli.inference.backends.base import ArraySession, CodesSession, Session
from upscale_cli.inference.chain_session import ChainSession
from upscale_cli.inference.color import as_seen, rounded
from upscale_cli.inference.conditions import blank
from upscale_cli.inference.device import is_out_of_memory, keep_memory_between_layers, memory_explained
from upscale_cli.inference.host_color import HostColorAdapter, health_of_array, pixels_of, unit_of
from upscale_cli.inference.net_runner import NetRunner, Sessions, Through, Window
from upscale_cli.inference.scheduler import InFlight, Pending
from upscale_cli.inference.tiling import NUMPY, Geometry
from upscale_cli.models.interface import Precision

KeptArray = tuple[NDArray[Any], NDArray[np.float32]]
"""(kept part, its health)."""


@dataclass(frozen=True, slots=True, eq=False)
class Done:
    """Windows that are done; see `scheduler.InFlight`."""

    windows: Sequence[KeptArray]

    @property
    def is_done(self) -> bool:
        return True

    def wait(self) -> None:
        """There is nothing to wait for."""

    def result(self, place: int) -> KeptArray:
        return self.windows[place]


class HostNet(NetRunner):
    """A net of an engine that takes arrays. Windows go through it one by one: each number of them would be a shape.

    Args:
        sessions: of a backend that is an `ArrayBackend`.
        geometry: of its tiles.
        tta: average over the eight flips and rotations.
        say: takes what the user should know.
    """

    def __init__(self, sessions: Sessions, geometry: Geometry, *, tta: bool, say: Say) -> None:
        super().__init__(sessions, geometry, NUMPY, tta=tta, say=say)
        self._pool: ThreadPoolExecutor | None = None

    def launch(self, windows: Sequence[Window]) -> InFlight[KeptArray]:
        if not self.begins_at_once:
            return self._compute(windows)
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.concurrency, thread_name_prefix="net")
        return Pending(self._pool.submit(self._compute, windows))

    def in_depth(self, unit: NDArray[Any], dtype: "np.dtype[Any]", *, clip: bool) -> Pixels:
        """See `NetRunner.in_depth`; `unit` is changed in place."""
        if unit.dtype == dtype != np.float32:
            return unit
        if dtype == np.float32:
            return np.clip(unit, 0, 1, out=unit) if clip else unit
        return rounded(unit, dtype)

    def pace(self, precision: Precision, side: int) -> float:
        small = np.zeros((1, 3, side, side), np.float32)
        its = blank(self._net, side, self._geometry.scale)
        seconds = math.inf
        for _ in range(2):  # before the first run it is compiled
            begin = time.perf_counter()
            self.load(precision, alone=self.begins_at_once)(small, its, "display")
            seconds = min(seconds, time.perf_counter() - begin)
        return seconds

    def _adapter(self, session: Session) -> Through:
        if isinstance(session, ChainSession):
            return session.through
        return HostColorAdapter(self._net, cast(ArraySession, session), self._geometry.scale)

    def _compute(self, windows: Sequence[Window]) -> Done:
        keep_memory_between_layers()
        with memory_explained(self.device):
            return Done([self._one(window) for window in windows])

    def _one(self, window: Window) -> KeptArray:
        done = self._in_8_bits(window)
        if done is not None:
            return done
        given = conditions.stacked(self._net, [window.conditions], self._geometry.scale)
        sr = self.run(self.load(window.precision, alone=window.alone), unit_of(window.lr), given, window.transfer)
        health = health_of_array(sr)
        kept = self.kept_part(sr[0], window.rows, window.columns)
        return (kept if window.depth == np.float32 else pixels_of(kept, window.depth)), health

    def _in_8_bits(self, window: Window) -> KeptArray | None:
        """A window by an engine that takes pixels and gives them; None where that cannot be, or the result is not fit
        to be seen, so that the way by float values has to find out what to do."""
        session = self._codes_session(window)
        if session is None:
            return None
        try:
            sr, mean = session.infer_codes(np.array(window.lr[None], order="C"))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return None
        health = np.array([sr.min(), sr.max(), mean], np.float32)
        is_blank = health[0] == health[1] and window.lr.min() != window.lr.max()
        if is_blank or not math.isfinite(mean):
            return None
        return self.kept_part(sr[0].transpose(2, 0, 1), window.rows, window.columns), health

    def _codes_session(self, window: Window) -> CodesSession | None:
        """The net there for the pixels of a window as they are; None where it takes others, or its engine no codes."""
        facts = self._net
        is_plain = window.lr.dtype == window.depth == np.uint8 and window.transfer == "display" and not facts.inputs
        is_small = self._limit is None or max(window.lr.shape[:2]) <= self._limit
        if self._tta or not is_plain or not is_small or window.lr.shape[2] != facts.channels or facts.colour == "ycbcr":
            return None
        zero, span = as_seen(0.0, 255.0, facts.luma_range)
        return self._sessions.for_codes(window.precision, zero, span, facts.channels, alone=window.alone)
