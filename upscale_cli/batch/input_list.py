"""Lists of inputs are read: a text file, an object or standard input, with a path on each line or a NUL after each."""

import codecs
import os
import sys
from pathlib import Path

from upscale_cli.errors import InputError
from upscale_cli.files.object_names import is_object
from upscale_cli.files.object_store import read
from upscale_cli.jobs.inputs import STDIO


def bytes_of(name: str) -> bytes:
    """The content of a list; "-" is standard input.

    Raises:
        InputError: it cannot be read.
    """
    try:
        if is_object(name):
            return read(name)
        if name != STDIO:
            return Path(name).read_bytes()
        if sys.stdin is None:
            raise InputError("standard input is closed. Send a list to it, or name a file.")
        return sys.stdin.buffer.read()
    except OSError as error:
        raise InputError(f"{name}: the list cannot be read ({error.strerror}). Check its name.") from error


def lines_of(data: bytes, name: str) -> list[str]:
    """The paths in a list.

    Raises:
        InputError: it is no text.

    >>> lines_of(b"a.jpg\\r\\n\\nb c.jpg", "list"), lines_of(b"a\\nb.jpg\\0c.jpg\\0", "list")
    (['a.jpg', 'b c.jpg'], ['a\\nb.jpg', 'c.jpg'])
    """
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: the list is not in UTF-8 (byte {error.start}). Save it in UTF-8.") from error
    if "\0" in text:
        return [path for path in text.split("\0") if path]
    return [path for path in (line.removesuffix("\r") for line in text.split("\n")) if path]
