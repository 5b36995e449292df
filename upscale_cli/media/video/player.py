"""A player that shows what is being written: Matroska on its standard input."""

import os
import shutil
from pathlib import PurePath
from typing import IO, Final

from upscale_cli.errors import OptionError, OutputError, printable
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.ffmpeg.process import Child
from upscale_cli.messages import option

PLAYERS: Final = ("mpv", "ffplay")
"""In the order they are looked for: mpv shows HDR as it is meant, and can be paused without losing its place."""


def find_player() -> str:
    """The path of a player that is installed.

    Raises:
        OptionError: none is installed.
    """
    for name in PLAYERS:
        if path := shutil.which(name):
            return path
    raise OptionError(
        f"{option('play', True)} needs a player, and neither {' nor '.join(PLAYERS)} is on PATH. "
        f"Install one, or give {option('output')}."
    )


def player_arguments(path: str, title: str) -> list[str]:
    """The player's command line; it ends with the clip."""
    title = printable(title)
    if PurePath(path).stem.lower() == "ffplay":
        options = ("-hide_banner", "-loglevel", "error", "-autoexit", "-window_title", title)
        return [path, *options, "-f", "matroska", "-i", "pipe:0"]
    quiet = ("--really-quiet", "--no-input-terminal", "--keep-open=no", "--idle=no", "--demuxer=lavf")
    return [path, *quiet, f"--force-media-title={title}", "--cache-pause-initial=no", "-"]


class Player(Closing):
    """Owner of the player's process.

    Args:
        title: of its window.

    Attributes:
        feed: what is written here is shown.
        was_closed: before it had shown everything.
    """

    def __init__(self, title: str) -> None:
        path = find_player()
        self._name = PurePath(path).stem
        self.was_closed = False
        theirs, ours = os.pipe()
        self.feed: IO[bytes] = os.fdopen(ours, "wb", buffering=0)
        with os.fdopen(theirs, "rb", buffering=0) as end:
            try:
                self._child = Child(player_arguments(path, title), stdin=end, stall_seconds=None)
            except OSError as error:
                self.feed.close()
                raise OutputError(
                    f"{path}: cannot be started ({error.strerror}). Install mpv or ffplay anew."
                ) from error

    def closes(self) -> bool:
        """Whether it has been closed, or is about to."""
        return self._child.wait(2.0) is not None

    def wait(self) -> None:
        """Until it has shown everything, or was closed.

        Raises:
            OutputError: it failed.
        """
        self.feed.close()
        code = self._child.wait()
        reason = self._child.reason()
        if code and code > 0 and reason:
            raise OutputError(
                f'{self._name} ended with code {code} ("{reason}"). '
                f"Give {option('output')} a file instead of {option('play', True)}."
            )

    def close(self) -> None:
        """Ends it."""
        self.feed.close()
        self._child.kill()
