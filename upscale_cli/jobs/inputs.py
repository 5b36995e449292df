"""What a job is made from: a file, an object, standard input or an address."""

import functools
import os
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from upscale_cli.errors import InputError
from upscale_cli.files.object_names import is_object, key_of, parent
from upscale_cli.files.stamp import Stamp
from upscale_cli.media.image.formats import (
    ANIMATION_EXTENSIONS,
    BOOK_EXTENSIONS,
    CLIP_EXTENSIONS,
    as_ending,
    is_picture_ending,
)
from upscale_cli.media.video.numbered import numbered
from upscale_cli.messages import option

STDIO: Final = "-"
_WEB: Final = ("http://", "https://", "ftp://")
HEAD_BYTES: Final = 4096
"""Bytes of standard input that are looked at to tell a clip from a picture."""


@dataclass(frozen=True)
class Input:
    """One input: a file, an object, or standard input.

    Attributes:
        root: the folder or prefix it was found in, whose tree outputs mirror; None for what was named by itself.
        listed: of an object, what it was when it was found.
        as_clip: an animation is taken for a clip, for its output is one.
    """

    name: str
    may_be_live: bool = False
    root: str | None = None
    listed: Stamp | None = field(default=None, compare=False)
    as_clip: bool = False

    @property
    def is_live(self) -> bool:
        """Whether it is an address or a device; only --live lets one in."""
        if not self.may_be_live:
            return False
        from upscale_cli.media.video.addresses import is_address

        return is_address(self.name)

    @property
    def is_stdin(self) -> bool:
        return self.name == STDIO

    @property
    def is_object(self) -> bool:
        """Whether it lies in a store: it has a URL, and no path."""
        return is_object(self.name)

    @property
    def path(self) -> Path:
        """
        Raises:
            InputError: it is an object, which has none.
        """
        if self.is_object:
            raise InputError(f"{self.name}: is no file. Fetch it first, or let the command line do so.")
        return Path(self.name)

    @property
    def location(self) -> Path | str:
        """Its path, or its URL."""
        return self.name if self.is_object else self.path

    @property
    def pure_path(self) -> PurePath:
        """Where it lies, for its parts; of an object, below its bucket."""
        return PurePosixPath(key_of(self.name)) if self.is_object else PurePath(self.name)

    @property
    def folder(self) -> Path | str:
        """The folder or prefix it lies in."""
        return parent(self.name) if self.is_object else self.path.parent

    @property
    def below_root(self) -> PurePath:
        """Its path in the tree that outputs mirror; of what was named by itself, the name."""
        if self.root is None:
            return type(self.pure_path)(self.pure_path.name)
        return PurePosixPath(self.name.removeprefix(self.root)) if self.is_object else self.path.relative_to(self.root)

    def stamp(self) -> Stamp | None:
        """What it is now, or of an object what it was when it was found; None where there is nothing."""
        return self.listed if self.is_object else Stamp.of(self.path)

    @functools.cached_property
    def is_clip(self) -> bool:
        """Whether it is moving pictures with a time base: by its ending, or where that is ambiguous by its content. Of
        objects the ending alone counts."""
        if self.is_live:
            return True
        if self.is_stdin:
            return _stdin_is_clip()
        ending = self.pure_path.suffix.lower()
        if ending in CLIP_EXTENSIONS or self.is_numbered:
            return True
        if self.as_clip and ending in ANIMATION_EXTENSIONS and not self.is_object:
            return True
        if is_picture_ending(ending) or self.is_object or not _is_file(self.name):
            return False
        from upscale_cli.media.video.signatures import looks_like_clip

        return looks_like_clip(self.path)

    @property
    def is_book(self) -> bool:
        """Whether it is a comic book, by its ending."""
        return not (self.is_object or self.is_stdin) and self.pure_path.suffix.lower() in BOOK_EXTENSIONS

    @property
    def is_numbered(self) -> bool:
        """Whether it stands for pictures with numbers in their names."""
        return not self.is_object and is_picture_ending(self.pure_path.suffix.lower()) and bool(numbered(self.name))

    def open(self) -> Path | bytes:
        """What `ImageReader` takes: the path, or all of standard input.

        Raises:
            InputError: a folder, which stands for many; an empty standard input.
        """
        if self.is_stdin:
            return _read_once(STDIO)
        if os.path.isdir(self.name):  # unlike Path.is_dir it never raises
            raise InputError(f"{self.name}: is a folder. Name a file.")
        if is_pipe(self.name):
            return _read_once(self.name)
        return self.path


def is_web_address(name: str) -> bool:
    """Whether it names something in the web, which is never fetched; no path, which could not begin so."""
    return name.lower().startswith(_WEB) and not os.path.lexists(name)


def why_not_fetched(name: str) -> str:
    """Why an address of the web is no input, and what to do."""
    stream = f"; a live stream takes {option('live', True)}" if not is_picture_ending(_ending(name)) else ""
    return f"is an address, and nothing is fetched from the web. Download it, and name the file{stream}."


def _ending(name: str) -> str:
    return PurePosixPath(name.partition("?")[0]).suffix.lower()


def is_clip_output(output: str | None, format: str | None) -> bool:
    """Whether what is written there is a clip, or the frames of one, by its name or by its format."""
    if format is not None and as_ending(format) in CLIP_EXTENSIONS:
        return True
    if output is None or is_object(output):
        return False
    return PurePath(output).suffix.lower() in CLIP_EXTENSIONS or numbered(output) is not None


def _stdin_is_clip() -> bool:
    """By the first bytes, which stay there for later reads."""
    if STDIO in _read or sys.stdin is None or not hasattr(sys.stdin.buffer, "peek"):
        return False
    from upscale_cli.media.video.signatures import looks_like_clip

    return looks_like_clip(sys.stdin.buffer.peek(HEAD_BYTES))


_read: dict[str, bytes] = {}


def _read_once(name: str) -> bytes:
    """All of standard input or of a named pipe, which give their bytes once only; several models share them."""
    if name not in _read:
        if name != STDIO:
            _read[name] = Path(name).read_bytes()
        elif sys.stdin is None:
            raise InputError("standard input is closed. Send a picture to it, or name a file.")
        else:
            _read[name] = sys.stdin.buffer.read()
    return _read[name]


def _is_file(name: str) -> bool:
    return stat.S_ISREG(_mode(name))


def is_pipe(name: str) -> bool:
    """Whether a name stands for a pipe, which gives its bytes once only."""
    return stat.S_ISFIFO(_mode(name))


def _mode(name: str) -> int:
    """What kind of file a name stands for (`st_mode`); 0 for none."""
    try:
        return os.stat(name).st_mode
    except (OSError, ValueError):
        return 0
