"""How a net runs on a device: the seam between what we do with pictures and what computes nets.

Colours, padding, health, memory that runs out, and blending stay outside of it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.device import Device
from upscale_cli.models.interface import LoadedNet, Precision

if TYPE_CHECKING:
    from torch import Tensor


class Session(Protocol):
    """A net on a device, in one precision. Used by one thread at a time or by several: it must bear both."""

    @property
    def concurrency(self) -> int:
        """How many callers at a time keep the device busy; above 1, it is worth having as many."""

    def share(self, callers: int) -> None:
        """So many threads, of which each has its share of the processor, will call at a time; 1: one source alone,
        with `concurrency` windows in flight."""

    def run(self, batch: "Tensor", conditions: "Mapping[str, Tensor]") -> "Tensor":
        """Runs the net.

        Args:
            batch: (N, C, H, W) float32 on the device, C the descriptor's channels, in [0, 1] and a little beyond;
                sides divide by `multiple_of`.
            conditions: (N,) or (N, ...) float32 there, one for each of the descriptor's inputs.

        Returns:
            (N, C, scale * H, scale * W) float32 there, not clamped.

        Raises:
            RuntimeError, MemoryError: as the library raises them; `device.is_out_of_memory` and
                `device.device_failure` know what they mean.
        """


@runtime_checkable
class SharesThreads(Protocol):
    """A session that computes several windows at a time, each on its share of the threads."""

    @property
    def requests(self) -> int:
        """How many; callers beyond that wait."""

    def alone(self) -> Session:
        """The same for windows that come one at a time: each has all threads."""


class ArraySession(Session, Protocol):
    """A session of an engine that takes numpy's arrays: on the host, and without torch."""

    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """`run`: the picture (under `INPUT`) and the conditions in, contiguous; the SR picture, which is the caller's
        own, out."""


class CodesSession(Protocol):
    """A net that takes and gives code values of 8 bits."""

    def infer_codes(
        self, codes: NDArray[np.uint8], out: NDArray[np.uint8] | None = None
    ) -> tuple[NDArray[np.uint8], float]:
        """(1, 1, H, W) to (1, 1, scale * H, scale * W), or with channels that come last (1, H, W, C) to (1, scale * H,
        scale * W, C), contiguous; rounded half to even and clipped, the caller's own. And the mean of the values that
        they were rounded from: NaN and Inf reach it.

        Args:
            out: takes them, and is what is returned; of that shape, contiguous.
        """


@runtime_checkable
class TakesCodes(Protocol):
    """A session that can be made one of code values."""

    def with_codes(self, zero: float, span: float, channels_last: int = 0, *, many: bool = False) -> CodesSession:
        """For codes that mean `(code - zero) / span` to the net; shares what can be shared.

        Args:
            channels_last: so many channels, which come last; 0: one plane.
            many: pictures of one size will come: it is worth taking longer to prepare for it.
        """


Enlarge = Callable[[NDArray[np.uint8], Sequence[NDArray[np.uint8]]], None]
"""Takes (n, 1, h, w), contiguous, and writes n planes, (scale * h, scale * w) or less, what is beyond cut off; rounded
half to even and clipped. Beyond the border the last samples repeat."""


@runtime_checkable
class EnlargesPlanes(Protocol):
    """A session whose engine also enlarges planes of 8 bits."""

    def enlarging(self, kernels: NDArray[np.float32], before: tuple[int, int], after: tuple[int, int]) -> Enlarge:
        """The arguments are those of `polyphase.PolyphaseKernels`."""


class Backend(Protocol):
    """Makes sessions."""

    @property
    def name(self) -> str:
        """What users call it."""

    def load(self, net: LoadedNet, device: Device, precision: Precision) -> Session:
        """A net at work on a device.

        Args:
            net: stays as it is; a session may share its tensors.

        Raises:
            NotTranslatableError: the backend has nothing for what the net does.
            RuntimeError, MemoryError: as the library raises them.
        """


@runtime_checkable
class ArrayBackend(Backend, Protocol):
    """Makes sessions that are `ArraySession`s."""

    takes_arrays: Literal[True]
