"""The process that makes what the page shows: pictures as browsers take them, previews of models.

Apart from the service, for the same reasons as workers are: decoders and nets may crash, hang, or take all memory. And
apart from the workers, so that a preview need not wait for the queue. It is started when it is first needed, and again
when it has died.
"""

import contextlib
import logging
import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as TooLong
from concurrent.futures.process import BrokenProcessPool
from typing import Annotated, Final, ParamSpec, TypeVar

import psutil
from fastapi import Depends, Request

from upscale_cli.service.problem import Problem
from upscale_cli.service.viewer_process import begin, identity

log: Final = logging.getLogger("upscale_cli.service")

MOST_WAITING: Final = 8
"""Requests in the process, or waiting for it."""

PATIENCE_SECONDS: Final = 120.0
"""How long one of them may take, what was before it included."""

P = ParamSpec("P")
Result = TypeVar("Result")


class Viewer:
    """Owner of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._pid: Future[int] | None = None
        self._room = threading.BoundedSemaphore(MOST_WAITING)

    def ask(self, function: Callable[P, Result], *args: P.args, **keywords: P.kwargs) -> Result:
        """What a function of `viewer_process` gives, computed there.

        Raises:
            UpscaleError: it does.
            Problem: too many ask at once, or the process has died or hung over it.
        """
        if not self._room.acquire(blocking=False):
            raise Problem(503, "too many previews are asked for at once. Ask again.", headers={"Retry-After": "2"})
        try:
            with self._lock:
                pool = self._running()
                future = pool.submit(function, *args, **keywords)
            try:
                return future.result(PATIENCE_SECONDS)
            except (BrokenProcessPool, TooLong, CancelledError) as error:
                how = "took too long" if isinstance(error, TooLong) else "ended its process, likely for want of memory"
                log.exception("the viewer was ended", extra={"reason": how})
                self._drop(pool)
                raise Problem(503, f"this {how}. Choose a smaller picture, or another model.") from error
        finally:
            self._room.release()

    def close(self) -> None:
        """Ends the process."""
        if self._pool is not None:
            self._drop(self._pool)

    def _running(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=begin)
            self._pid = self._pool.submit(identity)
        return self._pool

    def _drop(self, pool: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is not pool:
                return
            pid, self._pool = self._pid, None
        with contextlib.suppress(psutil.Error, BrokenProcessPool, TooLong):
            if pid is not None:
                psutil.Process(pid.result(10.0)).kill()
        pool.shutdown(wait=True, cancel_futures=True)


async def viewer_of(request: Request) -> Viewer:
    """See `here.service_of`."""
    viewer: Viewer = request.app.state.viewer
    return viewer


Eyes = Annotated[Viewer, Depends(viewer_of)]
