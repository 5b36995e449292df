"""The frames that are expected of a clip's decoder, and when, by the packets of its file.

A decoder ignores what is damaged and does not report it, and a lost frame would leave a hole in the output. So the
packets are read a second time, without decoding: a frame that was expected and did not come can be made up.
"""

import heapq
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet

from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.opening import FAILURES, open_clip, packets_of
from upscale_cli.media.video.streams import Clip, VideoStream

ExpectedFrame = tuple[int, int]
"""pts and duration of a frame, in ticks of its stream; duration 0 where the container does not say."""

_REORDER_PACKETS: Final = 32
"""By how many packets a frame may be stored before one that is shown earlier: H.264 and HEVC reorder up to 16 frames,
of two fields each."""
_READ_WHOLE_BYTES: Final = 64 * 1024**2
_TAIL_SECONDS: Final = 10
RESTART_SECONDS: Final = 1
"""A step back by more than that is no reordering of frames."""


class _Stored(NamedTuple):
    expected: ExpectedFrame
    is_key: bool
    is_shown: bool


class Schedule(Closing):
    """The expected frames of one video stream, in the order they are shown, in constant memory.

    Never raises: of a damaged file nothing is expected behind the place where it cannot be read on, of a stream without
    timestamps nothing at all. Frames shown before the first key frame are not expected, for they may depend on what
    was never recorded.

    Args:
        clip, stream: what to read.
        start: begin at the last key frame before this time, in ticks; None for the beginning.
    """

    def __init__(self, clip: Clip, stream: VideoStream, *, start: int | None = None) -> None:
        self._container = _open(clip)
        self._pushed_back: ExpectedFrame | None = None  # one that was taken too early
        self._coming: Iterator[ExpectedFrame] = iter(())
        if self._container is not None and (start is None or _seek(self._container, stream, start)):
            self._coming = _in_order(_packets(self._container, stream))

    def close(self) -> None:
        """Releases the file; nothing more is expected."""
        self._coming = iter(())
        if self._container is not None:
            self._container.close()
            self._container = None

    def between(self, after: int | None, before: int) -> list[ExpectedFrame]:
        """Frames expected with after < pts < before, which are then done with, as are all earlier ones."""
        return [expected for expected in self._take(before) if after is None or expected[0] > after]

    def rest(self, after: int | None) -> Iterator[ExpectedFrame]:
        """Frames expected with pts > after, to the end of the stream."""
        while expected := self._next():
            if after is None or expected[0] > after:
                yield expected

    def _take(self, before: int) -> Iterator[ExpectedFrame]:
        while expected := self._next():
            if expected[0] >= before:
                self._pushed_back = expected
                return
            yield expected

    def _next(self) -> ExpectedFrame | None:
        expected, self._pushed_back = self._pushed_back or next(self._coming, None), None
        return expected


def tail(clip: Clip, stream: VideoStream) -> ExpectedFrame | None:
    """pts and duration of the frame that is shown last.

    Found near the end, where the file can be sought; else by reading all of it, if it is small.

    Returns:
        None where finding out would cost too much, or nothing has a timestamp.
    """
    container = _open(clip)
    if container is None or stream.untimed:
        return None
    with container:
        if clip.seconds and _seek(container, stream, _near_end(clip, stream)):
            last = _last(container, stream)
            if last is not None:
                return last
    if clip.path is None or clip.path.stat().st_size > _READ_WHOLE_BYTES:
        return None
    container = _open(clip)
    if container is None:
        return None
    with container:
        return _last(container, stream)


def _near_end(clip: Clip, stream: VideoStream) -> int:
    seconds = clip.start_seconds + max((clip.seconds or 0) - _TAIL_SECONDS, 0)
    return max(int(seconds / stream.time_base), stream.start or 0)


def _last(container: InputContainer, stream: VideoStream) -> ExpectedFrame | None:
    return max((packet.expected for packet in _packets(container, stream) if packet.is_shown), default=None)


def _open(clip: Clip) -> InputContainer | None:
    if clip.source.startswith("pipe:"):
        return None  # it can be read once only, and the decoder does
    try:
        return open_clip(clip.source)
    except FAILURES:
        return None


def clock_restart(clip: Clip, stream: VideoStream) -> float | None:
    """Where a clip's clock starts anew, in seconds from its beginning; None where it runs through.

    Recordings that were joined byte by byte do that. Only transport and program streams can, and only they are walked
    through to see.
    """
    if clip.format not in ("mpegts", "mpeg") or (container := _open(clip)) is None:
        return None
    latest: int | None = None
    jump = RESTART_SECONDS / stream.time_base
    with container:
        for packet in _packets(container, stream):
            pts = packet.expected[0]
            if latest is not None and pts < latest - jump:
                return float((latest - (stream.start or 0)) * stream.time_base)
            latest = pts if latest is None else max(latest, pts)
    return None


def _seek(container: InputContainer, stream: VideoStream, pts: int) -> bool:
    try:
        container.seek(pts, stream=container.streams[stream.index])
    except FAILURES:
        return False
    return True


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[_Stored]:
    """The packets of a stream that have a timestamp, as stored; ends where demuxing does."""
    for other in container.streams:
        other.discard = av.stream.Discard.default if other.index == stream.index else av.stream.Discard.all
    for packet in packets_of(container, container.streams[stream.index]):
        if packet.pts is not None and packet.size:
            is_shown = not packet.is_discard and _is_shown(packet, stream.codec)
            yield _Stored((packet.pts, packet.duration or 0), packet.is_keyframe, is_shown)


def _is_shown(packet: "Packet[Any]", codec: str) -> bool:
    """False for the hidden reference frames of VP8 and VP9, which have packets of their own.

    Sources: RFC 6386 section 9.1 (show_frame is bit 4); VP9 bitstream specification 0.6, uncompressed_header() and
    annex B (a superframe, known by its last byte, ends with a shown frame).
    """
    if codec not in ("vp8", "vp9"):
        return True
    view = memoryview(packet)
    if codec == "vp8":
        return bool(view[0] & 0x10)
    if view[-1] & 0xE0 == 0xC0:
        return True
    reserved = view[0] & 0x30 == 0x30  # profile 3 has one more bit
    after_profile = (view[0] & 0x07) << 1 if reserved else view[0] & 0x0F
    show_existing, show = after_profile & 0x08, after_profile & 0x02
    return bool(show_existing or show)


def _in_order(packets: Iterator[_Stored]) -> Iterator[ExpectedFrame]:
    """From the order of storage into the order of time, each time once; whatever jumps back further is left out."""
    waiting: list[ExpectedFrame] = []
    past: int | None = None
    for expected in _from_first_key(packets):
        heapq.heappush(waiting, expected)
        if len(waiting) > _REORDER_PACKETS:
            earliest = heapq.heappop(waiting)
            if past is None or earliest[0] > past:
                past = earliest[0]
                yield earliest
    for earliest in sorted(waiting):
        if past is None or earliest[0] > past:
            past = earliest[0]
            yield earliest


def _from_first_key(packets: Iterator[_Stored]) -> Iterator[ExpectedFrame]:
    """What is shown from the first key frame on; that one itself may be hidden, where an edit list begins behind it."""
    begin: int | None = None
    for packet in packets:
        if begin is None and packet.is_key:
            begin = packet.expected[0]
        if begin is not None and packet.is_shown and packet.expected[0] >= begin:
            yield packet.expected
