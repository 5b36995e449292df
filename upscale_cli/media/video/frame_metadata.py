"""The metadata of a clip's frames, by when they are shown: read by a decoder of its own, for raw frames carry none.

clip  ->  PyAV decodes, pictures are thrown away  ->  (time, FrameMetadata), as shown  ->  `take(pts)`
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from av.container import InputContainer

from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.media.video import hdr10plus
from upscale_cli.media.video.carried_metadata import FrameMetadataKind
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.opening import FAILURES, open_clip, packets_of
from upscale_cli.media.video.reader_arguments import PREROLL_SECONDS
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.media.video.tee import Tap

_CAPTION_HEADER: Final = bytes((0xB5, 0x00, 0x31)) + b"GA94" + b"\x03"
"""Country (United States), provider (ATSC), identifier, and the type of caption data (ATSC A/53 part 4, 6.2.3)."""

_MOST_CAPTION_BYTES: Final = 31 * 3
"""In one message, which counts its constructs of three bytes in five bits."""

_CAREFREE: Final = {"skip_loop_filter": "all", "skip_idct": "all"}
"""For a decoder whose pictures nobody sees."""

_TIMED_BY_GUESS: Final = ("avi",)
"""Demuxers of files without times of presentation: what is guessed differs, the order of frames does not."""


@dataclass(frozen=True, slots=True)
class FrameMetadata:
    """What one frame carries besides its picture.

    Attributes:
        captions: `cc_data` constructs of three bytes each (CTA-708-E 4.4).
        hdr10plus: an `AVDynamicHDRPlus`; b"" where it has none.
    """

    captions: bytes = b""
    hdr10plus: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.captions or self.hdr10plus)

    def messages(self) -> list[bytes]:
        """As T.35 messages, the country code first."""
        starts = range(0, len(self.captions), _MOST_CAPTION_BYTES)
        messages = [_caption_message(self.captions[start : start + _MOST_CAPTION_BYTES]) for start in starts]
        return [*messages, hdr10plus.message(self.hdr10plus)] if self.hdr10plus else messages


NOTHING: Final = FrameMetadata()


def _caption_message(constructs: bytes) -> bytes:
    """Flags: all bits that were given a meaning once, and that constructs follow; then how many, and marker bits."""
    return _CAPTION_HEADER + bytes((0xC0 | len(constructs) // 3, 0xFF)) + constructs + b"\xff"


class FrameMetadataReader(Closing):
    """The metadata of one stream's frames, in the order they are shown.

    Never raises for what is damaged: frames that are lost here have none.

    Args:
        clip, stream: what to read, a file.
        kinds: what of it is wanted.
        time_base: seconds per tick of the times asked for.
        rate: frames per second of a stream that has no times.
        growth: SR pixels per LR pixel, across and down.
        start: seconds from the clip's start before which nothing is asked for.
        tap: gives the bytes of a clip whose source can be read once only.
    """

    def __init__(
        self,
        clip: Clip,
        stream: VideoStream,
        kinds: Sequence[FrameMetadataKind],
        *,
        time_base: Fraction,
        rate: Fraction,
        growth: tuple[Fraction, Fraction] = (Fraction(1), Fraction(1)),
        start: float = 0.0,
        max_pixels: int = MAX_PIXELS,
        tap: Tap | None = None,
    ) -> None:
        self._clip, self._stream, self._kinds, self._growth = clip, stream, kinds, growth
        self._time_base, self._rate, self._start = time_base, rate, start
        self._max_pixels, self._tap = max_pixels, tap
        self._is_begun = False
        self._is_by_order = clip.format in _TIMED_BY_GUESS and not start
        self._slack = 0  # ticks by which times may differ that were never stored
        self._ahead: tuple[int, FrameMetadata] | None = None  # read, and of a later frame than was asked for
        self._container: InputContainer | None = None
        self._coming = self._frames()

    def stop(self) -> None:
        """Ends a `take` in another thread that waits for a source which gives nothing."""
        if self._tap is not None:
            self._tap.close()

    def close(self) -> None:
        """Releases the source."""
        self.stop()
        self._coming = iter(())
        if self._container is not None:
            self._container.close()

    def take(self, pts: int) -> FrameMetadata:
        """Of the frame that is shown then; times rise from call to call. Captions of frames that were never asked for,
        for they are not shown, are said with the next one that is."""
        if self._is_by_order:
            return next(self._coming, (pts, NOTHING))[1]
        captions, hdr = b"", b""
        while (frame := self._ahead or next(self._coming, None)) is not None:
            self._ahead = None
            ticks, metadata = frame
            if ticks > pts + self._slack:
                self._ahead = frame
                break
            is_of_this = ticks >= pts - self._slack
            if self._is_begun or is_of_this:
                captions += metadata.captions
                hdr = metadata.hdr10plus
            if is_of_this:
                break
        self._is_begun = True
        return FrameMetadata(captions, hdr)

    def _open(self) -> Any:
        """The stream, where its frames are to be read from; None where it cannot be opened any more."""
        try:
            self._container = open_clip(self._tap or self._clip.source, max_pixels=self._max_pixels)
            video = self._container.streams[self._stream.index]
            begin = self._start - PREROLL_SECONDS
            if begin > 0 and self._clip.seekable and not self._stream.untimed:
                offset = (Fraction(begin) + Fraction(self._clip.start_seconds)) / self._stream.time_base
                self._container.seek(max(round(offset), 0), stream=video)
        except FAILURES:
            return None
        context: Any = video.codec_context
        context.options = {**context.options, **_CAREFREE}
        context.thread_type = "AUTO" if self._tap is None else "SLICE"  # frames in threads come later
        return video

    def _frames(self) -> Iterator[tuple[int, FrameMetadata]]:
        video = self._open()
        if video is None:
            return
        seconds = Fraction(0)
        for number, frame in enumerate(_decoded(self._container, video)):
            if self._stream.untimed:
                seconds = number / self._rate
            elif frame.pts is not None:
                seconds = frame.pts * (frame.time_base or self._stream.time_base)
            elif number:  # program streams have times for some frames only
                seconds += 1 / self._rate
                self._slack = round(1 / self._rate / 4 / self._time_base)
            else:
                continue
            yield round(seconds / self._time_base), self._metadata(frame)

    def _metadata(self, frame: Any) -> FrameMetadata:
        captions, hdr = b"", b""
        for number in range(len(frame.side_data)):
            try:
                side = frame.side_data[number]
                kind = side.type.name
            except ValueError:  # a kind that PyAV has no name for
                continue
            if kind == "A53_CC" and "captions" in self._kinds:
                captions += bytes(side)
            elif kind == "DYNAMIC_HDR_PLUS" and "HDR10+" in self._kinds:
                hdr = hdr10plus.scaled(bytes(side), *self._growth)
        return FrameMetadata(captions, hdr)


def _decoded(container: Any, video: Any) -> Iterator[Any]:
    """All frames that a decoder gives, past what is damaged."""
    for packet in packets_of(container, video):
        try:
            yield from packet.decode()
        except FAILURES:
            continue
