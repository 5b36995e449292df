"""Memory into a pipe without a copy, where the system can do that: `vmsplice` of Linux."""

import ctypes
import functools
import os
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Lender:
    """Lends arrays to the pipe that a descriptor writes to; keeps each until the pipe has given it back.

    A pipe holds memory that it was lent only until it is read. It has a fixed number of places with a page at most in
    each, so once it has taken as many bytes as it can hold, it holds nothing of what came before.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lent: deque[NDArray[np.uint8]] = deque()
        self._vmsplice = _vmsplice()
        self._capacity = _capacity(descriptor) if self._vmsplice is not None else 0

    def lend(self, data: NDArray[np.uint8], progress: Callable[[], None]) -> int:
        """Waits until the pipe has taken all of it; how many bytes it did take, fewer where the system will not.

        Args:
            data: (n,) bytes, never to be changed any more.
            progress: called whenever it has taken some.

        Raises:
            OSError: it has no reader any more.
        """
        taken = 0
        if self._vmsplice is None or not self._capacity:
            return taken
        self._lent.append(data)
        while taken < data.size:
            piece = _Piece(data.ctypes.data + taken, data.size - taken)
            count = self._vmsplice(self._descriptor, ctypes.byref(piece), 1, 0)
            if count < 0:
                error = ctypes.get_errno()
                if isinstance(reason := OSError(error, os.strerror(error)), InterruptedError):
                    continue
                if isinstance(reason, BrokenPipeError):
                    raise reason
                self._capacity = 0  # a system that keeps it from us
                return taken
            taken += count
            progress()
        while sum(one.size for one in self._lent) - self._lent[0].size >= self._capacity:
            self._lent.popleft()
        return taken


class _Piece(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


@functools.cache
def _vmsplice() -> Any:
    """The system's function; None where there is none."""
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "vmsplice", None)
    if function is not None:
        function.argtypes = (ctypes.c_int, ctypes.POINTER(_Piece), ctypes.c_ulong, ctypes.c_uint)
        function.restype = ctypes.c_ssize_t
    return function


def _capacity(descriptor: int) -> int:
    """How many bytes a pipe holds; 0 for what is no pipe."""
    if sys.platform != "linux":
        return 0
    import fcntl

    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ)
    except OSError:
        return 0
