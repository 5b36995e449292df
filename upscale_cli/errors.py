"""What can go wrong that a user can mend.

The tree::

    UpscaleError                 exit 1   the base; its text is the whole message
    |-- OptionError              exit 2   an option, or two of them together, make no sense
    |   `-- UnknownModelError    exit 2   a model name the registry does not hold
    |-- InputError               exit 1   the source cannot be read as what it claims to be
    |-- OutputError              exit 1   the result cannot be written, or the format cannot hold it
    |-- CheckpointError          exit 1   a checkpoint is missing, damaged, unsafe or of no known kind
    |   `-- FetchError           exit 1   a checkpoint could not be downloaded
    |-- DeviceError              exit 1   the device is absent or too small for the work
    |-- FFmpegError              exit 1   ffmpeg is missing, too old, or broke down
    `-- InterruptedRun           exit 130 Ctrl-C

A message is one line: the value, the rule it breaks, the remedy.
Whatever is not an `UpscaleError` is a bug and keeps its traceback.
"""


def printable(text: str) -> str:
    """Text fit for one line of a terminal: line breaks, control characters and bytes of no character are escaped.

    >>> printable("a\\nb")
    'a\\\\nb'
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def causes_of(error: BaseException) -> tuple[str, ...]:
    """What lies behind an error, the nearest cause first: "OSError: no space left"; one line each."""
    causes = []
    cause = error.__cause__
    while cause is not None:
        first_line = str(cause).partition("\n")[0]
        causes.append(f"{type(cause).__name__}: {printable(first_line)}")
        cause = cause.__cause__
    return tuple(causes)


class UpscaleError(Exception):
    """Base of everything a user can mend. `str(error)` is one line: value, rule, remedy."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class OptionError(UpscaleError):
    """An option's value, or a combination of options, makes no sense."""

    exit_code = 2


class UnknownModelError(OptionError):
    """A model name that the registry does not hold."""


class InputError(UpscaleError):
    """The source is missing, damaged, too large or not a picture."""


class OutputError(UpscaleError):
    """The result cannot be written where, or in the format, that was asked for."""


class CheckpointError(UpscaleError):
    """A checkpoint is missing, damaged, unsafe to load or of no known architecture."""


class FetchError(CheckpointError):
    """A checkpoint could not be downloaded, or is not what it should be."""


class DeviceError(UpscaleError):
    """The device is not there, or too small for the work."""


class FFmpegError(UpscaleError):
    """ffmpeg is missing, too old, or broke down."""


class InterruptedRun(UpscaleError):  # noqa: N818  # no error, but it ends a run like one
    """The user pressed Ctrl-C."""

    exit_code = 130

    def __init__(self, text: str = "interrupted; nothing half-done was left behind.") -> None:
        super().__init__(text)
