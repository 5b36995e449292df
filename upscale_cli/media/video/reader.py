"""Frames out of a clip: ffmpeg decodes, raw planes come framed as NUT, each with its own timestamp.

ffmpeg -i file:CLIP -c:v rawvideo -f nut pipe:1  ->  PyAV demuxes NUT  ->  VideoFrame
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from upscale_cli.errors import InputError
from upscale_cli.events import Say
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.frames.video import VideoFrame
from upscale_cli.media.video.ffmpeg.binary import FFmpeg
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.ffmpeg.process import BUFFER_BYTES, STALL_SECONDS, Child, Level
from upscale_cli.media.video.opening import cut_source, lost_source
from upscale_cli.media.video.packet_schedule import Schedule
from upscale_cli.media.video.reader_arguments import (
    PREROLL_SECONDS,
    WHOLE_CLIP,
    DecodeOptions,
    decoder_command,
    deinterlacing,
    ticks_below_zero,
    time_limits,
)
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.media.video.tee import Feed, Tee
from upscale_cli.messages import option
from upscale_cli.text import counted

_LOG_GRACE: Final = 0.2
"""Seconds that an error may take from ffmpeg's log to us, while the frame after it has come already."""


class VideoReader(Closing):
    """The frames of one video stream in presentation order; owner of the ffmpeg process that decodes them.

    A frame that is expected by the packets and does not come from the decoder is the one before it again, counted in
    `repeated`: a lost frame would let sound and picture drift.

    Args:
        tee: gives the bytes of a clip whose source is "pipe:0".

    Attributes:
        time_base: seconds per tick of `VideoFrame.pts`.
        rate: frames per second, the best guess.
        seconds: how long we have been waiting for the decoder.
        repeated: frames that were lost and are repeats of the one before.
        errors: lines that the decoder has logged as errors.
        is_clean_start: whether decoding began at the clip's first frame, so that errors tell of damage.

    Raises:
        InputError: nothing decodes, or the decoder fails or hangs.
    """

    def __init__(
        self,
        clip: Clip,
        stream: VideoStream,
        format: PixelFormat,
        ffmpeg: FFmpeg,
        *,
        options: DecodeOptions = WHOLE_CLIP,
        tee: Tee | None = None,
        say: Say,
    ) -> None:
        self._clip, self.stream, self.format, self._options, self._say = clip, stream, format, options, say
        self.width, self.height = stream.width, stream.height
        self.rate = stream.rate
        self.time_base = stream.time_base
        if stream.untimed:
            self.rate = options.fps or stream.rate
            self.time_base = 1 / self.rate
        self._interlaced = deinterlacing(options.deinterlace, stream)
        if self._interlaced == "field":
            self.rate, self.time_base = self.rate * 2, self.time_base / 2
        self._below_zero = ticks_below_zero(stream) * (2 if self._interlaced == "field" else 1)
        self.seconds = 0.0
        self.repeated = self.errors = self.decoded = 0
        self.is_clean_start = True
        self._is_stopped = False
        self._last: int | None = None
        self._lock = threading.Lock()
        self._first_error = ""
        self._ffmpeg = ffmpeg
        self._tee = tee
        self._feed: Feed | None = None
        self._has_sought = self._seek_seconds() > 0
        self._child = self._start(self._seek_seconds())
        self._schedule = self._expected_frames()

    def __iter__(self) -> Iterator[VideoFrame]:
        """The frames asked for, each once, with strictly rising timestamps."""
        begin, end = self._limits()
        after, seen = self._options.after, not self._has_sought
        lead: deque[VideoFrame] = deque(maxlen=self._options.lead)
        is_from_first = not self._has_sought  # of the part that is taken
        given = 0
        for frame in self._with_repeats():
            if end is not None and frame.pts >= end:
                return
            if begin is not None and frame.pts < begin:
                is_from_first = True
                continue
            if after is not None:
                seen = seen or frame.pts == after
                if frame.pts <= after:
                    lead.append(replace(frame, is_lead=True))
                    continue
                if not seen or (len(lead) < self._options.lead and not is_from_first):
                    yield from self._from_the_start()
                    return
                yield from lead
                after = None
            yield frame
            self.repeated += frame.is_repeat
            given += 1
            if given == self._options.frames:
                return

    def _from_the_start(self) -> Iterator[VideoFrame]:
        """Once more without the seek, which has skipped the frame that was to be found again."""
        self.close()
        self._has_sought = False
        self._child, self._schedule = self._start(0.0), self._expected_frames()
        self.decoded, self._last = 0, None
        if self._is_stopped:  # meanwhile
            self._child.stop()
        return iter(self)

    def stop(self) -> None:
        """Ends the decoder while another thread waits for its frames, of which the next then is the last."""
        self._is_stopped = True
        self._child.stop()

    def close(self) -> None:
        """Ends the decoder; no thread may be waiting for its frames any more."""
        self._child.kill()
        if self._feed is not None:
            self._feed.close()
        if self._schedule is not None:
            self._schedule.close()

    def damage(self) -> str:
        """What is wrong with the source, in words; "" for nothing. Known after the last frame.

        Complaints alone count only where decoding began at the clip's first frame: behind a seek, and in recordings
        that begin between key frames, decoders complain of frames that were never to be shown.
        """
        words = []
        if self.repeated:
            stand = "stands" if self.repeated == 1 else "stand"
            words.append(f"{counted(self.repeated, 'repeat')} of the frame before {stand} for lost ones")
        if missing := self._missing():
            words.append(f"about {counted(missing, 'frame')} missing at its end")
        complaints = self.errors if self.is_clean_start and not self._options.hwaccel else 0
        if not words and complaints <= 0:
            return ""
        detail = f' (the decoder: "{self._first_error[:120]}")' if self._first_error else ""
        return (
            f"the source is damaged: {', '.join(words) or counted(complaints, 'complaint') + ' of the decoder'}{detail}"
        )

    def _missing(self) -> int:
        """Frames that the container announces beyond the last one, where the decoder has complained."""
        whole = self._options.end is None and self._options.frames is None
        if not (whole and self.errors and self.stream.seconds and self._last is not None):
            return 0
        origin = (self.stream.start or 0) * self.time_base
        announced = origin + Fraction(self.stream.seconds).limit_denominator(10**6)
        return max(0, round((announced - self._last * self.time_base) * self.rate) - 1)

    # Out of the pipe

    def _start(self, seek: float) -> Child:
        if self._tee is None:
            return Child(self._command(seek), stdout=True, on_line=self._on_line)
        # The sender of the bytes may pause for as long as it likes: no stall limit.
        child = Child(self._command(seek), stdin=True, stdout=True, on_line=self._on_line, stall_seconds=None)
        self._feed = Feed(self._tee.tap(), child.stdin)
        return child

    def _decoded(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """(pts, samples) of every frame that the decoder gives."""
        needed = self.format.frame_bytes(self.width, self.height)
        last: int | None = None
        try:
            container = av.open(
                self._child.stdout, "r", format="nut", buffer_size=BUFFER_BYTES, metadata_errors="replace"
            )
        except (av.error.FFmpegError, OSError):
            self._end(None)
            return
        with container, contextlib.suppress(_Finished):
            packets = container.demux(container.streams.video[0])
            while True:
                packet = self._next(packets)
                if packet.size != needed:
                    self._check_alive()
                    raise InputError(
                        f"{self._clip.name}: a frame of {packet.size:,} bytes came where {self.width} x {self.height} "
                        f"pixels take {needed:,}. Report this clip."
                    )
                samples = np.frombuffer(memoryview(packet), self.format.dtype)
                pts = self._ticks(packet)
                if pts == last and self._is_surplus():
                    continue
                if last is not None and pts <= last:
                    pts = last + 1  # broken streams; the order of frames is right all the same
                if last is None:
                    self.is_clean_start = not self._has_sought and pts == (self.stream.start or 0)
                self._last = last = pts
                self.decoded += 1
                yield pts, samples
        self._end(last)

    def _next(self, packets: "Iterator[av.Packet[Any]]") -> "av.Packet[Any]":
        begin = time.perf_counter()
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError) as error:
            raise _Finished from error
        finally:
            self.seconds += time.perf_counter() - begin
        if packet.size == 0:
            raise _Finished
        return packet

    def _ticks(self, packet: "av.Packet[Any]") -> int:
        if self.stream.untimed or packet.pts is None:
            return self.decoded
        assert packet.time_base is not None
        return round(packet.pts * packet.time_base / self.time_base) - self._below_zero

    def _end(self, last: int | None) -> None:
        """After the last frame: whether the decoder ended well."""
        code = self._child.wait()
        if last is None:
            self._check_there()
            reason = self._child.reason()
            detail = f'"{reason}"' if reason else f"ffmpeg ended with code {code}"
            remedy = "Is the file whole?" if code is None or code >= 0 else "Name another ffmpeg with UPSCALE_FFMPEG."
            if self._options.hwaccel:
                remedy = f"Try without {option('hwaccel', self._options.hwaccel)}."
            raise InputError(f"{self._clip.name}: no frame of it can be decoded ({detail}). {remedy}")
        self._check_stall()
        if (cut := cut_source(self._clip)) is not None:
            raise cut  # the frames after this one are lost to the cut, not to damage
        if code and not self.errors:
            self.errors = 1
            self._first_error = self._child.reason()

    def _check_alive(self) -> None:
        """Half a frame is the last that comes of a decoder that was killed or broke down."""
        code = self._child.wait(2.0)
        self._check_stall()
        if code:
            self._check_there()
            detail = f' ("{self._child.reason()}")' if self._child.reason() else ""
            raise InputError(
                f"{self._clip.name}: ffmpeg ended with code {code} after frame {self.decoded}{detail}. "
                "Try again, or with another ffmpeg (UPSCALE_FFMPEG)."
            )

    def _check_there(self) -> None:
        """Whether it is the source that has gone, or a part of it, and not the decoder."""
        if (lost := lost_source(self._clip)) is not None:
            raise lost

    def _check_stall(self) -> None:
        if self._child.stalled:
            raise InputError(
                f"{self._clip.name}: the decoder stood still for {STALL_SECONDS:.0f} s after frame {self.decoded}. "
                f"Try without {option('hwaccel')}, or with another ffmpeg (UPSCALE_FFMPEG)."
            )

    # Expected frames

    def _expected_frames(self) -> Schedule | None:
        """The walk over the packets, apart from the decoder; None where packets and frames are not one to one."""
        if self.stream.untimed or self._interlaced == "field" or self._clip.path is None:
            return None
        seconds = self._seek_seconds() if self._has_sought else 0.0
        start = round((Fraction(seconds) + Fraction(self._clip.start_seconds)) / self.time_base)
        return Schedule(self._clip, self.stream, start=start if seconds else None)

    def _with_repeats(self) -> Iterator[VideoFrame]:
        """The decoded frames, and in the gaps that damage has left the frame before, at the expected times."""
        last: VideoFrame | None = None
        for pts, samples in self._decoded():
            if last is not None and self._schedule is not None:
                yield from self._fill(last, self._schedule.between(last.pts, pts))
            last = VideoFrame(samples, pts, self.stream.index)
            yield last
        if last is not None and self._schedule is not None:
            yield from self._fill(last, self._schedule.rest(last.pts))

    def _is_surplus(self) -> bool:
        """Whether a second frame of one time is an error of the decoder: one that was not expected."""
        return self._schedule is not None and self._has_complained()

    def _has_complained(self) -> bool:
        if not self.errors:
            time.sleep(_LOG_GRACE)
        return self.errors > 0

    def _fill(self, last: VideoFrame, gap: Iterable[tuple[int, int]]) -> Iterator[VideoFrame]:
        for pts, _ in gap:
            if not self._has_complained():  # a decoder without complaint: these packets never were to be shown
                self._expect_nothing()
                return
            yield replace(last, pts=pts, is_repeat=True)

    def _expect_nothing(self) -> None:
        assert self._schedule is not None
        self._schedule.close()
        self._schedule = None

    # The decoder

    def _limits(self) -> tuple[int | None, int | None]:
        """Where the part that is taken begins and ends, as timestamps."""
        return time_limits(self._clip, self.time_base, self._options, untimed=self.stream.untimed)

    def _seek_seconds(self) -> float:
        """Where decoding may begin, in seconds from the clip's start; 0 for its very start."""
        if not self._clip.seekable or self.stream.untimed:
            return 0.0
        wanted = self._options.start or 0.0
        if self._options.after is not None:
            wanted = float(self._options.after * self.time_base) - self._clip.start_seconds
        return max(0.0, wanted - PREROLL_SECONDS)

    def _command(self, seek: float) -> list[str]:
        return decoder_command(
            self._ffmpeg, self._clip, self.stream, self.format, self._options,
            seek=seek, interlaced=self._interlaced, below_zero=self._below_zero,
        )  # fmt: skip

    def _on_line(self, level: Level, text: str) -> None:
        if level in ("error", "fatal", "panic"):
            with self._lock:
                self.errors += 1
                self._first_error = self._first_error or text
        elif text.startswith(("Reconfiguring filter graph", "Changing video frame properties")):
            self._say(
                f"{self._clip.name}: its frames change their size or kind on the way; "
                f"all are brought to {self.width} x {self.height} first."
            )


class _Finished(Exception):  # noqa: N818  # no error: the pipe has ended
    """No more packets."""
