"""What can go wrong that a user can mend.

The tree::

    UpscaleError                 exit 1   the base; its text is the whole message
    |-- OptionError              exit 2   an option, or two of them together, make no sense
    |   `-- UnknownModelError    exit 2   a model name the registry does not hold
    |-- InputError               exit 1   the source cannot be read as what it claims to be
    |-- OutputError              exit 1   the result cannot be written, or the format cannot hold it
    |   `-- RoomError              exit 1   more memory is needed than is left
    |-- CheckpointError          exit 1   a checkpoint is missing, damaged, unsafe or of no known kind
    |   `-- FetchError           exit 1   a checkpoint could not be downloaded
    |-- DeviceError              exit 1   the device is absent or too small for the work
    |-- LeftAlone                exit 0   the source is as large as it has to be
    |-- FFmpegError              exit 1   ffmpeg is missing, too old, or broke down
    `-- InterruptedRun           exit 130 Ctrl-C

A message is one line: the value, the rule it breaks, the remedy.
What is not an `UpscaleError` is a bug and keeps its traceback.
"""

from upscale_cli.messages import Message, marked
from upscale_cli.messages import printable as printable


def causes_of(error: BaseException) -> tuple[str, ...]:
    """The causes of an error, the nearest first: "OSError: no space left"; one line each."""
    causes = []
    cause = error.__cause__
    while cause is not None:
        first_line = str(cause).partition("\n")[0]
        causes.append(f"{type(cause).__name__}: {printable(first_line)}")
        cause = cause.__cause__
    return tuple(causes)


class UpscaleError(Exception):
    """Base of everything a user can mend. `str(error)` is one line: value, rule, remedy.

    Attributes:
        message: that line, in which each face writes options in its own way.
    """

    exit_code = 1

    def __init__(self, text: str) -> None:
        self.message = text if isinstance(text, Message) else Message(printable(text))
        super().__init__(self.message)

    @property
    def options(self) -> tuple[str, ...]:
        """The options that it is about, by the names that Python knows them by; the first is the one to look at."""
        return self.message.options

    @property
    def marked(self) -> str:
        """The line, to be put into another message: its options stay marked."""
        return marked(self.message)


class OptionError(UpscaleError):
    """An option's value, or a combination of options, makes no sense."""

    exit_code = 2


class UnknownModelError(OptionError):
    """A model name that the registry does not hold."""


class InputError(UpscaleError):
    """The source is missing, damaged, too large or not a picture."""


class OutputError(UpscaleError):
    """The result cannot be written where, or in the format, that was asked for."""


class RoomError(OutputError):
    """The result needs more memory than is left, beside whatever else this process is at."""


class CheckpointError(UpscaleError):
    """A checkpoint is missing, damaged, unsafe to load or of no known architecture."""


class FetchError(CheckpointError):
    """A checkpoint could not be downloaded, or is not what it should be."""


class DeviceError(UpscaleError):
    """The device is not there, or too small for the work."""


class FFmpegError(UpscaleError):
    """ffmpeg is missing, too old, or broke down."""


class LeftAlone(UpscaleError):  # noqa: N818  # no error, but nothing is made
    """The source is as large as it has to be: nothing is done with it."""

    exit_code = 0


class InterruptedRun(UpscaleError):  # noqa: N818  # no error, but it ends a run like one
    """The user pressed Ctrl-C."""

    exit_code = 130

    def __init__(self, text: str = "interrupted; nothing half-done was left behind.") -> None:
        super().__init__(text)
