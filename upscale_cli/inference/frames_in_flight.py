"""Frames that a device has begun with, or is done with; see `scheduler.InFlight`."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from upscale_cli.inference.cuda_frames import Stopwatch


@dataclass(frozen=True, slots=True, eq=False)
class SRSamples:
    """A frame that is done: SR samples on the host."""

    samples: Tensor

    @property
    def is_done(self) -> bool:
        return True

    def wait(self) -> None:
        """There is nothing to wait for."""

    def result(self, _place: int) -> Tensor:
        return self.samples


@dataclass(slots=True, eq=False)
class DownloadingFrame:
    """A frame on its way back from a GPU: all is there once `download.end` has passed.

    Attributes:
        check: judges it and computes it again, if need be, then gives the samples that count.
    """

    samples: Tensor
    download: Stopwatch
    check: Callable[[], Tensor]

    @property
    def is_done(self) -> bool:
        return False

    def wait(self) -> None:
        self.download.end.synchronize()
        self.samples = self.check()

    def result(self, _place: int) -> Tensor:
        return self.samples
