"""Clips that are no files: standard input, addresses and devices; and addresses as outputs.

A live source is received by an ffmpeg of its own, which copies its packets into a pipe. From there on it is what
standard input is: bytes that can be read once only (`tee.py`).

    rtsp://, udp://, v4l2:...  ->  ffmpeg -c copy -f nut pipe:1  ->  Tee
    standard input             ->                                    Tee
"""

import atexit
import io
import os
import re
import signal
import stat
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

from upscale_cli.errors import InputError, OptionError, printable
from upscale_cli.media.video.container import CONTAINERS, Container
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, find_ffmpeg
from upscale_cli.media.video.ffmpeg.process import LOG_ARGUMENTS, Child
from upscale_cli.media.video.opening import live_arguments
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.streams import Clip
from upscale_cli.media.video.tee import CHUNK_BYTES, HEAD_BYTES, Tee
from upscale_cli.messages import option

_MUXERS: Final = {
    **dict.fromkeys(("udp", "srt", "tcp", "rtp"), "mpegts"),
    **dict.fromkeys(("rtsp", "rtsps"), "rtsp"),
    **dict.fromkeys(("rtmp", "rtmps"), "flv"),
}
_MP4: Final = re.compile(rb"....(ftyp|wide|free|skip|pnot)", re.DOTALL)
_LIKE: Final = {"mpegts": "MPEG-TS", "rtsp": "MPEG-TS", "flv": "FLV"}


def container_of(address: str) -> Container:
    """What is sent to an address, by its scheme.

    Raises:
        OptionError: nothing can be sent there.
    """
    scheme = address.partition(":")[0]
    muxer = _MUXERS.get(scheme)
    if muxer is None:
        known = ", ".join(f"{name}://" for name in _MUXERS)
        raise OptionError(
            f"{option('output', address)}: nothing can be sent to such an address. Choose one of {known}, or a file."
        )
    if scheme == "rtp":
        muxer = "rtp_mpegts"
    return replace(CONTAINERS[_LIKE.get(muxer, "MPEG-TS")], muxer=muxer)


# Standard input


def open_stdin(max_pixels: int) -> tuple[Clip, Tee | None]:
    """The clip on standard input, and the bytes to read it from; no bytes where it is a file that has a name.

    Raises:
        InputError: as `probe`; or its index is at its end.
    """
    if sys.stdin is None:
        raise InputError("standard input is closed. Send a clip to it, or name a file.")
    path = _redirected()
    if path is not None:
        return probe(path, max_pixels=max_pixels, name="standard input"), None
    tee = Tee("standard input", _Stdin())
    return _probed(tee, max_pixels), tee


def _redirected() -> Path | None:
    """The file that standard input was redirected from, if it can be found and nothing of it was read."""
    try:
        status = os.fstat(sys.stdin.fileno())
        if not stat.S_ISREG(status.st_mode) or sys.stdin.buffer.tell() != 0:
            return None
        path = Path(_name_of(sys.stdin.fileno()))
        return path if os.path.samestat(path.stat(), status) else None
    except (OSError, ValueError):
        return None


def _name_of(descriptor: int) -> str:
    """The path of an open file, as the system knows it.

    Raises:
        OSError: the system does not know it.
    """
    if sys.platform == "linux":
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    if sys.platform == "darwin":
        import fcntl

        return os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, b"\0" * 1024).rstrip(b"\0"))
    raise OSError


class _Stdin:
    """Bytes of standard input, first those that were read ahead to know whether it is a clip or a picture.

    The rest is read past Python's own buffer: its lock, held by a thread that waits for bytes, would stop the exit.
    """

    def __init__(self) -> None:
        self._buffer = cast(io.BufferedReader, sys.stdin.buffer)
        ahead = self._buffer.peek() if hasattr(self._buffer, "peek") else b""
        self._ahead = self._buffer.read1(len(ahead)) if ahead else b""
        try:
            self._descriptor: int | None = sys.stdin.fileno()
        except (OSError, ValueError):
            self._descriptor = None

    def __call__(self) -> bytes:
        if self._ahead:
            chunk, self._ahead = self._ahead, b""
            return chunk
        if self._descriptor is None:
            return self._buffer.read(CHUNK_BYTES)
        return os.read(self._descriptor, CHUNK_BYTES)


# Live sources


def open_live(address: str, max_pixels: int) -> tuple[Clip, Tee]:
    """A live stream or device, received from now on.

    Raises:
        InputError: nothing comes, or no pictures; the text has the receiver's reason.
    """
    child = Child(_receiving(address, find_ffmpeg()), stdout=True, stall_seconds=None)
    tee = Tee(address, lambda: child.stdout.read(CHUNK_BYTES), stop=child.interrupt, release=child.kill, is_live=True)
    atexit.register(child.kill)  # should the run never begin
    try:
        return _probed(tee, max_pixels), tee
    except InputError as error:
        reason = child.reason()
        if not reason:
            raise
        raise InputError(
            f'{printable(address)}: the live source does not answer with a clip ("{reason}"). Check address and sender.'
        ) from error


def _receiving(address: str, ffmpeg: FFmpeg) -> list[str]:
    """Packets are copied, with timestamps that begin at 0 and never jump back. NUT keeps their time base."""
    options, source = live_arguments(address)
    return [
        *(ffmpeg.path, *LOG_ARGUMENTS, "-nostdin", *options, "-i", source),
        *("-map", "0:v", "-map", "0:a?", "-c", "copy", "-flush_packets", "1", "-f", "nut", "pipe:1"),
    ]


def _probed(tee: Tee, max_pixels: int) -> Clip:
    """What is in it, by its head.

    Raises:
        InputError: as `probe`; or its index is at its end.
    """
    tap = tee.tap(HEAD_BYTES)
    try:
        _check_index(tee)
        return probe(tap, max_pixels=max_pixels, name=tee.name)
    except BaseException:
        tee.close()
        raise
    finally:
        tap.close()


def _check_index(tee: Tee) -> None:
    """Refuses MP4 and QuickTime whose index (moov) comes after the media data (mdat): it would have to be sought.

    Raises:
        InputError: so it is.
    """
    tap = tee.tap(CHUNK_BYTES)
    head = tap.read()
    while _MP4.match(head) and not {b"moov", b"mdat"} & {*_boxes(head)}:
        more = tap.read()
        if not more:
            break
        head += more
    tap.close()
    kinds = _boxes(head)
    if b"mdat" in kinds and b"moov" not in kinds[: kinds.index(b"mdat")]:
        raise InputError(
            f"{tee.name}: this MP4 has its index at its end, so it cannot be read from a pipe. Name the file, "
            "redirect it (`< clip.mp4`), or move its index (`ffmpeg -i clip.mp4 -c copy -movflags +faststart`)."
        )


def _boxes(head: bytes) -> list[bytes]:
    """Kinds of the outermost boxes of an MP4 that begin in its head; none in other files (ISO/IEC 14496-12, 4.2)."""
    kinds: list[bytes] = []
    start = 0
    while start + 16 <= len(head):
        length, kind = struct.unpack_from(">I4s", head, start)
        if not kinds and kind not in (b"ftyp", b"wide", b"free", b"skip", b"pnot", b"mdat"):
            return []
        kinds.append(kind)
        if length == 1:
            (length,) = struct.unpack_from(">Q", head, start + 8)
        if length < 8:
            break
        start += length
    return kinds


# Ctrl-C


@contextmanager
def ending_at_ctrl_c(end: Callable[[], None]) -> Iterator[Callable[[], bool]]:
    """Within, the first Ctrl-C (or SIGTERM) calls `end`, and the run comes to its end; the second is as usual.

    Yields:
        Whether it was pressed. Outside of the main thread, which alone gets signals, nothing changes.
    """
    pressed = False
    usual: dict[int, Any] = {}

    def restore() -> None:
        while usual:
            number, handler = usual.popitem()
            signal.signal(number, handler)

    def press(_number: int, _frame: object) -> None:
        nonlocal pressed
        pressed = True
        restore()
        end()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            usual[number] = signal.signal(number, press)
    try:
        yield lambda: pressed
    finally:
        restore()
