"""How long engines take for a window of a net. They run in turn, several times, and the least counts: what else the
machine does meets all of them alike, and was seen to double the time of a single run."""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from upscale_cli.inference.backends.base import Session
from upscale_cli.inference.device import CPU, computing
from upscale_cli.models.interface import Descriptor, Precision, Scale

if TYPE_CHECKING:
    from torch import Tensor

SAMPLE_MACS: Final = 3 * 10**9
"""Multiply-adds of the picture that engines are timed on: some hundredths of a second."""

SAMPLE_SIDES: Final = (64, 512)
"""LR pixels of its side, at least and at most; of 32 x 32 other engines are the fastest than of pictures."""

RUNS: Final = 5
"""Of each engine, at most."""

RACE_SECONDS: Final = 1.5
"""All runs but the first of each, together. Of nets that take longer the first counts: what disturbs it is short."""

FAR_BEHIND: Final = 3.0
"""How many times as slow as another an engine must be not to be run again."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The picture that engines are timed on.

    Attributes:
        lr: (1, C, side, side), float32.
        given: what the net wants beside it.
    """

    lr: "Tensor"
    given: "dict[str, Tensor]"


def sample_for(net: Descriptor, scale: Scale, macs: float) -> Sample:
    """Noise on a slope, the same every time.

    Args:
        macs: multiply-adds per LR pixel.
    """
    import torch

    from upscale_cli.models.watch import blank_conditions

    multiple_of = net.side_multiple(scale)
    least, most = SAMPLE_SIDES
    side = max(least, net.least_side, min(most, math.isqrt(int(SAMPLE_MACS / max(macs, 1)))))
    side = math.ceil(side / multiple_of) * multiple_of
    height, width = net.fixed_sides or (side, side)
    noise = torch.rand(1, net.channels, height, width, generator=torch.Generator().manual_seed(0))
    lr = 0.25 * noise + 0.75 * torch.linspace(0, 1, width)
    return Sample(lr, blank_conditions(net, side, scale, CPU))


@dataclass(slots=True, eq=False)
class Contender:
    """A net by one engine.

    Attributes:
        callers: windows at a time.
        seconds: for one of them; the least so far.
    """

    session: Session
    precision: Precision
    callers: int = 1
    seconds: float = math.inf

    def answer(self, sample: Sample) -> "Tensor":
        """What the net makes of it."""
        with computing(CPU, self.precision):
            return self.session.run(sample.lr, sample.given)

    def run(self, sample: Sample) -> None:
        """Once more."""
        with computing(CPU, self.precision):
            self.seconds = min(self.seconds, paced(self.session, sample, self.callers))


def race(contenders: Sequence[Contender], sample: Sample) -> None:
    """Runs those again that have run once, in turn.

    Raises:
        RuntimeError, MemoryError: as an engine raises them, which it has not before.
    """
    end = time.perf_counter() + RACE_SECONDS
    for _ in range(RUNS - 1):
        least = min((one.seconds for one in contenders), default=0.0)
        for one in contenders:
            is_in_time = time.perf_counter() + one.callers * one.seconds < end
            if len(contenders) > 1 and is_in_time and one.seconds <= FAR_BEHIND * least:
                one.run(sample)


def paced(session: Session, sample: Sample, callers: int) -> float:
    """Seconds for a window, where so many are computed at a time."""
    if callers == 1:
        begin = time.perf_counter()
        session.run(sample.lr, sample.given)
        return time.perf_counter() - begin
    with ThreadPoolExecutor(callers) as pool:
        begin = time.perf_counter()
        list(pool.map(lambda _: session.run(sample.lr, sample.given), range(callers)))
        return (time.perf_counter() - begin) / callers
