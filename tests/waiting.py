"""Waits that end with what they wait for, however busy the machine is."""

import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

import psutil

PATIENCE: Final = 600.0
"""Seconds, after which a test has hung; nothing takes as long on any machine."""


def until(there: Callable[[], object], *, of: "subprocess.Popen[Any] | None" = None) -> None:
    """Waits until something is so.

    Args:
        of: a process that has to bring it about; that it ends without is an error.
    """
    end = time.monotonic() + PATIENCE
    while not there():
        if of is not None and of.poll() is not None and not there():
            raise AssertionError(f"it has ended with {of.returncode}: {of.communicate()}")
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)


def until_listening(process: "subprocess.Popen[Any]", port: int) -> None:
    """Waits until a process can be connected to, without a connection of our own: some take only one."""

    def is_listening() -> bool:
        sockets = psutil.Process(process.pid).net_connections("tcp")
        return any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets)

    until(is_listening, of=process)
