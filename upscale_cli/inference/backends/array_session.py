"""What the sessions of engines on the host have in common: arrays in and out, and a few things begun, by shape."""

import copy
import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from upscale_cli.models.interface import INPUT

if TYPE_CHECKING:
    from torch import Tensor

Begun = TypeVar("Begun")

Shapes = Mapping[str, tuple[int, ...]]
"""Of what goes in, by its names."""

MOST_SHAPES: Final = 4
"""Begun at a time: a picture's windows are all alike, and what it takes to begin is little beside running it."""


class EngineSession(ABC, Generic[Begun]):
    """See `base.ArraySession`.

    Args:
        requests: how many windows are computed at a time.
        threads: of the processor, for all of them together.
        most: things that are kept begun.
    """

    def __init__(self, requests: int, threads: int, most: int = MOST_SHAPES) -> None:
        self._own = self._requests = requests
        self._threads, self._most = threads, most
        self._begun: OrderedDict[tuple[tuple[int, ...], ...], Begun] = OrderedDict()
        self._lock = threading.Lock()
        self._alone: Self | None = None

    @property
    def concurrency(self) -> int:
        """See `base.Session`."""
        return self._own

    @property
    def requests(self) -> int:
        """See `base.SharesThreads`."""
        return self._own

    def alone(self) -> Self:
        """See `base.SharesThreads`; the net itself is the same object, what is begun is not."""
        with self._lock:
            if self._own == 1:
                return self
            if self._alone is None:
                self._alone = copy.copy(self)
                self._alone._own = self._alone._requests = 1
                self._alone._begun, self._alone._lock = OrderedDict(), threading.Lock()
            return self._alone

    def share(self, callers: int) -> None:
        """See `base.Session`; what was begun for another number is dropped."""
        with self._lock:
            requests = callers if callers > 1 else self._own
            if requests != self._requests:
                self._requests = requests
                self._begun.clear()

    def run(self, batch: "Tensor", conditions: "Mapping[str, Tensor]") -> "Tensor":
        """See `base.Session`."""
        import torch

        given = {INPUT: batch, **conditions}
        return torch.from_numpy(self.infer({name: value.contiguous().numpy() for name, value in given.items()}))

    @abstractmethod
    def infer(self, inputs: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
        """See `base.ArraySession`."""

    def _begun_for(self, key: tuple[tuple[int, ...], ...], begin: Callable[[], Begun]) -> Begun:
        """What belongs to a key; those that were used last stay."""
        with self._lock:
            if key not in self._begun:
                while len(self._begun) >= self._most:
                    self._begun.popitem(last=False)
                self._begun[key] = begin()
            self._begun.move_to_end(key)
            return self._begun[key]
