"""Waiting for a queue that cannot be written: its disk is full, or it has no room."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from typing import Final

log: Final = logging.getLogger("upscale_cli.service")

QUEUE_SECONDS: Final = 5.0
"""Until it is tried again."""


def until_written(change: Callable[[], bool], closing: threading.Event) -> bool:
    """Makes a change that must not be lost, and waits for as long as the queue has no room for it.

    Args:
        change: gives whether it was made.
        closing: ends the waiting.

    Returns:
        Whether it was made.
    """
    while True:
        try:
            if change():
                return True
        except sqlite3.OperationalError as error:
            log.error("the queue cannot be written", extra={"reason": str(error)})
        if closing.wait(QUEUE_SECONDS):
            return False
