"""Which ffmpeg runs, and what it can do. Only this file asks the binary about itself."""

import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Final

from upscale_cli.errors import FFmpegError

NO_WINDOW: Final[int] = getattr(subprocess, "CREATE_NO_WINDOW", 0)
"""`creationflags` for every ffmpeg: on Windows a console program opens a window of its own otherwise."""

OLDEST: Final = (6, 1)
"""The first version with `-enc_time_base demux`, without which timestamps do not come through exactly."""

_ANSWER_SECONDS: Final = 60
"""A virus scanner may check a binary before its first run; a healthy one then answers within 0.1 s."""

_VARIABLES: Final = ("UPSCALE_FFMPEG", "IMAGEIO_FFMPEG_EXE")


@dataclass(frozen=True, slots=True)
class FFmpeg:
    """An ffmpeg that was seen to run.

    Attributes:
        path: absolute, or as found on PATH.
        version: as it calls itself ("n9.0.2-17-g2a571b6068", "7.0.2-static", "N-12345-gabcdef0").
        major: of a released version; 0 for builds that count commits or days.
        encoders: names of those compiled in. Hardware encoders are in many builds; which means nothing for the machine.
        hwaccels: ways to decode in hardware that are compiled in.
        crops: by itself, as the container says (from 7.1 on), unless -apply_cropping keeps it from that.
        has_hdr_options: takes -mastering_display and -content_light before an input (9.0 does, 7.0 does not).
    """

    path: str
    version: str
    major: int
    encoders: frozenset[str]
    hwaccels: frozenset[str]
    crops: bool
    has_hdr_options: bool


def find_ffmpeg() -> FFmpeg:
    """The ffmpeg that UPSCALE_FFMPEG or IMAGEIO_FFMPEG_EXE names, else imageio-ffmpeg's own, else the system's.

    Each binary is asked once in the life of the process.

    Raises:
        FFmpegError: there is none, or it does not run, is something else, or is too old.
    """
    for variable in _VARIABLES:
        if named := os.environ.get(variable):
            return _examine(_executable(named, variable), f"{variable}={named}")
    import imageio_ffmpeg

    try:
        path: str = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        raise FFmpegError(
            "ffmpeg is missing: imageio-ffmpeg brings none for this platform, and there is none on PATH. "
            "Install ffmpeg 6.1 or later, or name one with UPSCALE_FFMPEG."
        ) from None
    return _examine(path, path)


def _executable(named: str, variable: str) -> str:
    """The binary that a variable names, by path or as a command."""
    path = shutil.which(named)
    if path:
        return path
    what = "is a folder" if os.path.isdir(named) else "is not executable" if os.path.exists(named) else "does not exist"
    raise FFmpegError(f"{variable}={named}: {what}. Name an ffmpeg binary there, or unset {variable}.")


@functools.cache
def _examine(path: str, name: str) -> FFmpeg:
    """What the binary prints about itself; `name` is for messages."""
    version = _version(ask(path, "-version", name=name))
    if version is None:
        raise FFmpegError(f"{name}: is no ffmpeg. Name an ffmpeg binary with UPSCALE_FFMPEG, or unset it.")
    number = re.match(r"n?(\d+)\.(\d+)", version)
    if number and (int(number[1]), int(number[2])) < OLDEST:
        raise FFmpegError(
            f"{name}: ffmpeg {version} is too old. Install ffmpeg {OLDEST[0]}.{OLDEST[1]} or later, "
            "or unset UPSCALE_FFMPEG for the one that comes with imageio-ffmpeg."
        )
    options = ask(path, "-h", "long", name=name)
    return FFmpeg(
        path=path,
        version=version,
        major=int(number[1]) if number else 0,
        encoders=frozenset(re.findall(r"^ [A-Z.]{6} ([\w-]+) ", ask(path, "-encoders", name=name), re.MULTILINE)),
        hwaccels=frozenset(ask(path, "-hwaccels", name=name).split("methods:")[-1].split()),
        crops="-apply_cropping" in options,
        has_hdr_options="-mastering_display" in options,
    )


def _version(text: str) -> str | None:
    match = re.match(r"ffmpeg version (\S+)", text)
    return match[1] if match else None


@functools.cache
def pixel_formats_of(path: str, encoder: str) -> tuple[str, ...]:
    """The pixel formats that an encoder takes in this build; none where it has no such encoder.

    Args:
        path: of the ffmpeg binary.
    """
    match = re.search(r"Supported pixel formats: (.*)", ask(path, "-h", f"encoder={encoder}"))
    return tuple(match[1].split()) if match else ()


@functools.cache
def filters_of(path: str) -> frozenset[str]:
    """Names of the filters that are compiled in.

    Args:
        path: of the ffmpeg binary.
    """
    return frozenset(re.findall(r"^ [A-Z.]+ +(\w+) +\S+->\S+ ", ask(path, "-filters"), re.MULTILINE))


def ask(path: str, *arguments: str, name: str | None = None) -> str:
    """What ffmpeg prints when it is asked about itself.

    Raises:
        FFmpegError: it cannot be started, does not answer, or fails.
    """
    name = name or path
    try:
        done = subprocess.run(
            [path, "-hide_banner", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ANSWER_SECONDS,
            check=False,
            creationflags=NO_WINDOW,
        )
    except OSError as error:
        raise FFmpegError(
            f"{name}: cannot be started ({error.strerror or error}). Name another ffmpeg with UPSCALE_FFMPEG."
        ) from error
    except subprocess.TimeoutExpired:
        raise FFmpegError(
            f"{name}: no answer within {_ANSWER_SECONDS} s. Name another ffmpeg with UPSCALE_FFMPEG."
        ) from None
    if done.returncode:
        raise FFmpegError(
            f"{name}: is no working ffmpeg ({arguments[0]} ended with code {done.returncode}). "
            "Name another one with UPSCALE_FFMPEG."
        )
    return done.stdout.decode("utf-8", "replace")


def last_words(stderr: str) -> str:
    """The line of ffmpeg's error output that says why it failed, without the address of the object that logged it.

    ffmpeg ends with general lines ("Conversion failed!", "Nothing was written into output file"); the reason stands
    before them. Empty where it logged nothing.

    >>> last_words("[libx265 @ 0x55d0] Image size is too small (8x8).\\nConversion failed!\\n")
    'libx265: Image size is too small (8x8).'
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    specific = [line for line in lines if not _GENERAL.search(line)]
    line = (specific or lines or [""])[-1]
    return re.sub(r"^(?:\[(?P<who>[^\]]*?)(?: @ 0x[0-9a-fA-F]+)?\] ?)+", _said_by, line)


_GENERAL: Final = re.compile(
    r"Conversion failed!|Nothing was written into output file|Terminating thread|Task finished with error code"
    r"|Error sending frames? to consumers|Error while (?:filtering|opening encoder)|Could not open encoder before EOF"
    r"|Error submitting video frame|Error encoding a frame|Error initializing output stream|received no packets"
)


def _said_by(match: re.Match[str]) -> str:
    who = match["who"].strip().removeprefix("enc:")
    return "" if "#" in who else f"{who}: "  # "[vost#0:0/libx264 @ ...]" is ffmpeg's own, about a stream
