"""Standard output: whether anything can be written there."""

import os
import sys
from typing import TextIO


def can_be_written(stream: TextIO) -> bool:
    """Whether a stream was opened for writing; a closed one was not (see `cli.main`)."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        return (fcntl.fcntl(stream.fileno(), fcntl.F_GETFL) & os.O_ACCMODE) != os.O_RDONLY
    except (OSError, ValueError):  # no file: what stands for one in a program that calls us
        return True
