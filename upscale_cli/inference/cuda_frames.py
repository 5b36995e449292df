"""What only frames on a GPU need: streams, stopwatches in them, and a recorded computation."""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

WARM_UPS: Final = 3
"""Runs before a CUDA graph is captured: in them cuDNN chooses its algorithms and memory is laid out."""


class Stopwatch:
    """Two marks in a stream of the GPU: the time between them, known once the second has passed."""

    def __init__(self) -> None:
        self.begin, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    @property
    def seconds(self) -> float:
        return float(self.begin.elapsed_time(self.end)) / 1000


class Streams:
    """The streams in addition to the one that computes."""

    def __init__(self, device: torch.device | str) -> None:
        self.upload, self.download = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]


def fetched(tensor: Tensor) -> Tensor:
    """A pinned copy on the host, which is in progress in the current stream. torch pools pinned memory by itself."""
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    host.copy_(tensor, non_blocking=True)
    tensor.record_stream(torch.cuda.current_stream(tensor.device))
    return host


class FrameGraph:
    """The computation of a frame, recorded once and replayed as a whole: the GPU no longer waits for Python.

    Raises:
        RuntimeError, UpscaleError: something in it cannot be recorded.
    """

    def __init__(self, compute: Callable[[Tensor], tuple[Tensor, Tensor]], lr: Tensor) -> None:
        self._lr = lr.clone()
        apart = torch.cuda.Stream(lr.device)  # type: ignore[no-untyped-call]
        apart.wait_stream(torch.cuda.current_stream(lr.device))
        with torch.cuda.stream(apart):
            for _ in range(WARM_UPS):
                compute(self._lr)
        torch.cuda.current_stream(lr.device).wait_stream(apart)
        self._graph = torch.cuda.CUDAGraph()
        # Only this thread's calls are recorded: others may pin memory or ask for events meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._sr, self._healths = compute(self._lr)

    def __call__(self, lr: Tensor) -> tuple[Tensor, Tensor]:
        """As `compute`; the results are copies, for the next replay writes where this one did."""
        self._lr.copy_(lr)
        self._graph.replay()
        return self._sr.clone(), self._healths.clone()
