"""Frames into a file, as `VideoWriter`, for clips whose frames carry metadata: it goes into the encoded packets.

VideoFrame  ->  ffmpeg encodes  ->  PyAV reads packets, puts metadata in  ->  ffmpeg muxes, copies all other streams
                (MP4 on a pipe)                                              (as in the join of segments)
"""

import contextlib
import os
import threading
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

import av
from numpy.typing import NDArray

from upscale_cli.errors import OutputError
from upscale_cli.media.video.container import CONTAINERS
from upscale_cli.media.video.ffmpeg.binary import FFmpeg
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.ffmpeg.process import BUFFER_BYTES
from upscale_cli.media.video.frame_metadata import FrameMetadata, FrameMetadataReader
from upscale_cli.media.video.packet_metadata import with_metadata
from upscale_cli.media.video.writer import FINISH_SECONDS, VideoWriter
from upscale_cli.media.video.writer_arguments import Track
from upscale_cli.messages import option

_MUXING_SECONDS: Final = 2.0
"""How long an interrupted muxer may take for packets that are in its pipe: a pipe holds hundreds of them."""


class MetadataWriter(Closing):
    """Encodes the frames of one stream, each with its metadata; owner of two ffmpeg processes and a thread.

    Args:
        name: of what the user asked for, for messages.
        track: how frames are encoded.
        metadata: where the metadata of frames comes from; closed here.
        open_muxer: gives the writer that joins packets; asked once the first packet is there, with by how many ticks
            its time of decoding lies below zero (above, where the number is below).

    Attributes:
        frames: how many were taken.

    Raises:
        OutputError: ffmpeg fails; the text has its reason.
    """

    def __init__(
        self,
        name: str,
        track: Track,
        ffmpeg: FFmpeg,
        metadata: FrameMetadataReader,
        open_muxer: Callable[[int], VideoWriter],
    ) -> None:
        self.name, self._track, self._metadata, self._open_muxer = name, track, metadata, open_muxer
        self.frames = 0
        self._muxer: VideoWriter | None = None
        self._error: BaseException | None = None
        self._is_stopped = False
        self._lock = threading.Lock()
        self._waiting: dict[int, FrameMetadata] = {}  # frames in the encoder, by time
        self._first: int | None = None
        ours, theirs = os.pipe()
        self._packets = os.fdopen(ours, "rb", buffering=0)
        try:
            with os.fdopen(theirs, "wb", buffering=0) as end:
                self._encoder = VideoWriter(end, name, [track], CONTAINERS["MP4"], ffmpeg, is_part=True)
        except BaseException:
            self._packets.close()
            self._metadata.close()
            raise
        self._thread = threading.Thread(target=self._run, name="packets", daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """How long we have been waiting for the encoder."""
        return self._encoder.seconds

    @property
    def held_seconds(self) -> float:
        """How much of that in waits so long that the reader of the output must have paused."""
        return self._encoder.held_seconds

    def write(self, track: int, samples: NDArray[Any], pts: int) -> None:
        """Takes one frame, as `VideoWriter.write`."""
        metadata = self._metadata.take(pts)
        with self._lock:
            self._waiting[pts] = metadata
            self._first = pts if self._first is None else self._first
        with self._failures():
            self._encoder.write(track, samples, pts)
        self.frames += 1

    def finish(self) -> None:
        """Ends the streams and waits until the file is whole."""
        with self._failures():
            self._encoder.finish()
        self._thread.join()
        with self._failures():
            pass
        if self._muxer is None or self._waiting:
            missing = self.frames if self._muxer is None else len(self._waiting)
            raise OutputError(
                f"{self.name}: {missing} of {self.frames} frames did not come out of {self._track.encoder.name}. "
                f"Choose another {option('codec')}."
            )
        self._muxer.finish()

    def cut_short(self, patience: float = 0.0) -> bool:
        """As `VideoWriter.cut_short`, of two processes, each of which is given some time in any case."""
        is_well = self._encoder.cut_short(max(patience, FINISH_SECONDS))
        self._thread.join()
        return is_well and self._error is None and self._muxer is not None and self._muxer.cut_short(_MUXING_SECONDS)

    def abandon(self) -> None:
        """As `VideoWriter.abandon`."""
        self._metadata.stop()
        if self._muxer is not None:
            self._muxer.abandon()

    def close(self) -> None:
        """Ends both processes; the file is whole only after `finish`."""
        self._is_stopped = True
        self._encoder.stop()
        if self._muxer is not None:
            self._muxer.stop()
        self._thread.join()
        self._encoder.close()
        if self._muxer is not None:  # the thread may have opened it meanwhile
            self._muxer.close()
        self._packets.close()
        self._metadata.close()

    @contextlib.contextmanager
    def _failures(self) -> Any:
        """Of two processes the one that has failed first is to blame: behind a muxer that is gone no encoder works."""
        try:
            yield
        except OutputError:
            if not self._is_stopped:
                self._thread.join()
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    # In a thread of its own

    def _run(self) -> None:
        try:
            self._pass_on()
        except (av.error.FFmpegError, StopIteration, IndexError):
            pass  # no packets: the encoder has failed, and its exit code says why
        except BaseException as error:  # raised again where the frames come from
            self._error = error
        if self._error is not None:
            self._encoder.stop()

    def _pass_on(self) -> None:
        """Packets from the encoder to the muxer, until the encoder ends."""
        with av.open(self._packets, "r", format="mp4", buffer_size=BUFFER_BYTES) as source:
            stream = source.streams.video[0]
            shift: int | None = None
            ticks = Fraction(stream.time_base or 1) / self._track.time_base
            for packet in source.demux(stream):
                if not packet.size or packet.pts is None or packet.dts is None:
                    continue
                pts, dts = round(packet.pts * ticks), round(packet.dts * ticks)
                if shift is None:  # the first packet has the first frame; the pipe counts from anywhere
                    assert self._first is not None
                    shift = self._first - pts
                    self._muxer = self._open_muxer(-(dts + shift))
                    self._muxer.take_shape(stream)
                self._copy(packet, pts + shift, dts + shift, round((packet.duration or 0) * ticks))

    def _copy(self, packet: "av.Packet[Any]", pts: int, dts: int, duration: int) -> None:
        with self._lock:
            metadata = self._waiting.pop(pts, None)
        if metadata is None:
            raise OutputError(
                f"{self.name}: {self._track.encoder.name} gives a frame that it was not given. "
                f"Choose another {option('codec')}."
            )
        assert self._muxer is not None
        self._muxer.copy(with_metadata(packet, metadata, self._track.encoder), pts, dts, duration)
