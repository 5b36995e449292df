"""Frames into a file: raw planes framed as NUT go to ffmpeg, which encodes them and copies all other streams.

VideoFrame  ->  NUT around its samples  ->  ffmpeg -f nut -i pipe:0 -i file:CLIP ... OUTPUT

Segments that are joined come as packets, encoded already; PyAV muxes those.
"""

import contextlib
import io
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import av
from numpy.typing import NDArray

from upscale_cli.errors import OutputError, UpscaleError, printable
from upscale_cli.media.video.carried_streams import Slot, chapter_arguments, slot_arguments, upscaled_outputs
from upscale_cli.media.video.container import Container, container_arguments
from upscale_cli.media.video.encoder_choice import ENVIRONMENT
from upscale_cli.media.video.ffmpeg import nut
from upscale_cli.media.video.ffmpeg.binary import FFmpeg
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.ffmpeg.process import BUFFER_BYTES, LOG_ARGUMENTS, STALL_SECONDS, Child
from upscale_cli.media.video.ffmpeg.raw_stream import raw_stream
from upscale_cli.media.video.opening import input_arguments, lost_source, pictures
from upscale_cli.media.video.programs import program_arguments
from upscale_cli.media.video.spatial import Spatial
from upscale_cli.media.video.spatial_writer import spatial_arguments, title_of, write_spatial
from upscale_cli.media.video.streams import Clip
from upscale_cli.media.video.subtitle_text import text_arguments
from upscale_cli.media.video.tee import SecondInput, Tapped
from upscale_cli.media.video.writer_arguments import (
    MP4_FAMILY,
    WHOLE,
    Cut,
    Track,
    cut_arguments,
    earlier,
    for_stream,
    join_format,
    last_duration,
    of_input_stream,
    shift_of,
    tag_arguments,
    timescale,
    without_tag,
)
from upscale_cli.messages import option

UNSHIFTED: Final = {"avoid_negative_ts": "disabled"}
FRAME_BY_FRAME: Final = {"movflags": "empty_moov+frag_every_frame"}
"""For the muxer that writes into the pipe: it shifts nothing (what must not be below zero, we shift), and QuickTime is
written frame by frame; no other muxer knows that option."""

FORGETFUL: Final = {"syncpoints": "none", "strict": "experimental"}
"""NUT without points to seek to: a pipe is not sought, and both ends would keep every one of them in memory.
(It is "experimental" because version 4 of NUT, which knows of pipes, was never declared final.)"""

FINISH_SECONDS: Final = 20.0
"""How long an interrupted encoder may take to close its file properly."""

ENDING_SECONDS: Final = 10.0
"""How long the encoder of a clip whose source has failed may take for the frames that it has."""

HELD_SECONDS: Final = 0.25
"""An encoder at work takes a frame sooner; a paused player takes longer."""

FLUSHED: Final = ("-flush_packets", "1")
SHORT_CLUSTERS: Final = ("-cluster_time_limit", "100")
"""For live viewing: no packet waits in the muxer's buffer, and none in Matroska's clusters for more than 100 ms."""


class VideoWriter(Closing):
    """Encodes frames into a file; owner of the ffmpeg process that does it.

    Args:
        output: a file, which is overwritten, a stream of bytes (standard output), or an address to send to.
        name: of what the user asked for, for messages.
        tracks: one for each stream that is upscaled, in the order of `slots`.
        container: what is written.
        clip, slots: the source of the other streams, and which; None: the video alone.
        cut: which part of them.
        is_part: packets to be joined later: nothing that belongs to the final container is written. On a pipe they go
            as MP4.
        tee: gives the bytes of a clip that can be read once only.
        is_join: packets come instead of samples, already encoded; `take_shape` and `copy` instead of `write`.

    Attributes:
        frames: how many were taken.
        seconds: how long we have been waiting for the encoder.
        held_seconds: how much of that in waits so long that the reader of the output must have paused.

    Raises:
        OutputError: ffmpeg fails; the text has its reason.
        InputError: what it copies from is no longer there, or no longer whole.
    """

    def __init__(
        self,
        output: Path | str | IO[bytes],
        name: str,
        tracks: Sequence[Track],
        container: Container,
        ffmpeg: FFmpeg,
        *,
        clip: Clip | None = None,
        slots: Sequence[Slot] = (),
        cut: Cut = WHOLE,
        is_part: bool = False,
        is_join: bool = False,
        tee: Tapped | None = None,
    ) -> None:
        self.name, self._tracks, self._container, self._clip = name, tracks, container, clip
        self._is_part, self._is_join = is_part, is_join
        others = [stream.index for stream in clip.video] if clip is not None else []
        self._is_only_video = sum(slot.index in others for slot in slots) <= 1  # the option is for all tracks at once
        self._pipe_format = join_format(tracks[0].encoder, container) if is_join else "nut"
        self._shift = shift_of(tracks, self._pipe_format)
        self._path, self._slots = output if isinstance(output, Path) else None, slots
        self._spatial: dict[int, Spatial] = {}
        self._pictures: tempfile.TemporaryDirectory[str] | None = None
        self.frames = 0
        self.seconds = self.held_seconds = 0.0
        self._is_stream = not isinstance(output, Path)
        self._second = SecondInput() if tee is not None else None
        self._head = tee.head() if tee is not None else b""
        self._child = Child(
            self._command(output, ffmpeg, clip, slots, cut),
            stdin=True,
            stdout=False if isinstance(output, Path | str) else output,
            stall_seconds=None if self._is_stream else STALL_SECONDS,  # the reader of a stream may pause
            environment=ENVIRONMENT,
            inherited=self._second.inherited if self._second is not None else (),
        )
        if self._second is not None and tee is not None:
            is_carried = any(slot.action != "upscale" for slot in slots)
            self._second.begin(tee.tap() if is_carried else io.BytesIO(self._head))
        self._muxer: Any = None
        self._joined: Any = None
        self._headers = b""
        try:
            if is_join:
                options = UNSHIFTED | _PIPE_OPTIONS.get(self._pipe_format, {})
                self._muxer = av.open(
                    self._child.stdin, "w", format=self._pipe_format, buffer_size=BUFFER_BYTES, options=options
                )
            else:
                self._headers = nut.headers([_raw_stream(track) for track in tracks])
        except BaseException:
            self._child.kill()
            if self._second is not None:
                self._second.close()
            raise

    def write(self, track: int, samples: NDArray[Any], pts: int) -> None:
        """Takes one frame.

        Args:
            track: which of the tracks.
            samples: the planes one after the other, as the track's format and encoder size say; never to be changed
                any more.
            pts: in ticks of the track's time base.
        """
        pts += self._shift_of(track)
        with self._sending():
            self._child.stdin.write(self._headers + nut.frame_header(track, pts, samples.nbytes))
            self._child.stdin.lend(samples)
        self._headers = b""
        self.frames += 1

    def take_shape(self, stream: Any) -> None:
        """Before `copy`: the stream whose packets will come; the first call counts."""
        if self._joined is None:
            self._joined = self._muxer.add_stream_from_template(stream, opaque=True)  # there may be no encoder for it
            if self._pipe_format != "matroska":  # which knows codings by names of its own
                self._joined.codec_context.codec_tag = stream.codec_context.codec_tag
            self._joined.time_base = self._tracks[0].time_base

    def copy(self, packet: "av.Packet[Any]", pts: int, dts: int, duration: int) -> None:
        """Takes one encoded packet; times in ticks of the first track."""
        shift = self._shift_of(0)
        packet.pts, packet.dts = pts + shift, dts + shift
        packet.duration = duration if self._pipe_format != "matroska" else 0  # it would make block groups of them
        packet.stream, packet.time_base = self._joined, self._tracks[0].time_base
        with self._sending():
            self._muxer.mux(packet)
        self.frames += 1

    def _shift_of(self, track: int) -> int:
        """By how many ticks of a track all comes later through the pipe."""
        return round(self._shift / self._tracks[track].time_base)

    @contextlib.contextmanager
    def _sending(self) -> Iterator[None]:
        """Around what may wait for the encoder, or find it dead."""
        begin = time.perf_counter()
        try:
            yield
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._failure() from error
        finally:
            took = time.perf_counter() - begin
            self.seconds += took
            self.held_seconds += took if took > HELD_SECONDS else 0.0

    def finish(self) -> None:
        """Ends the streams and waits until the file is whole."""
        begin = time.perf_counter()
        try:
            self._end_input()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise self._failure() from error
        if self._child.wait() != 0:
            raise self._failure()
        if self._path is not None and self._spatial:
            try:
                write_spatial(self._path, self._spatial, self._container, self._clip, self._slots)
            except OSError as error:
                raise OutputError(f"{self.name}: cannot be written ({error.strerror or error}). {_FREE}") from error
        self.seconds += time.perf_counter() - begin

    def cut_short(self, patience: float = 0.0) -> bool:
        """After an interruption: lets ffmpeg close the file with what it has; whether that went well.

        Args:
            patience: seconds for what is in the pipe still, and for what else it copies, before it is interrupted.
        """
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            self._end_input()
        if not patience or self._child.wait(patience) is None:
            self._child.interrupt()
        code = self._child.wait(FINISH_SECONDS)
        return code in (0, 255)  # ffmpeg's own code for "asked to stop, and did"

    def _end_input(self) -> None:
        if self._muxer is not None:
            self._muxer.close()
        self._child.stdin.close()

    def abandon(self) -> None:
        """After the run was interrupted, while another thread may be in `write`: the reader of a stream may have paused
        for good, and is not waited for. A file's encoder goes on, so that the file can be closed well."""
        if self._is_stream:
            self._child.stop()

    def stop(self) -> None:
        """Ends ffmpeg at once, while another thread may be in `write` or `copy`, which then fails."""
        self._child.stop()

    def close(self) -> None:
        """Ends the encoder; the file is whole only after `finish`."""
        self._child.kill()
        if self._muxer is not None:
            with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
                self._muxer.close()
        if self._second is not None:
            self._second.close()
        if self._pictures is not None:
            self._pictures.cleanup()

    def _failure(self) -> UpscaleError:
        code = self._child.wait(5.0)
        if self._clip is not None and (lost := lost_source(self._clip)) is not None:
            return lost  # whatever ffmpeg makes of that
        reason = self._child.reason() or _SIGNALS.get(code or 0, "no reason given")
        if self._is_stream and "Broken pipe" in reason:
            what = "standard output" if self.name == "-" else self.name
            return OutputError(f"{what}: its reader has closed it after frame {self.frames} (Broken pipe).")
        remedy = next(
            (text for words, text in _REMEDIES if words in reason),
            f"Choose another {option('codec')} or {option('output')}.",
        )
        return OutputError(
            f'{self.name}: ffmpeg ended with code {code} after frame {self.frames} ("{printable(reason)}"). {remedy}'
        )

    # The command line

    def _command(
        self, output: Path | str | IO[bytes], ffmpeg: FFmpeg, clip: Clip | None, slots: Sequence[Slot], cut: Cut
    ) -> list[str]:
        first = self._tracks[0].encoder
        command = [ffmpeg.path, *LOG_ARGUMENTS, "-y", *first.device_arguments, "-copyts"]
        command += earlier(float(self._shift) + cut.start)
        for number, track in enumerate(self._tracks):
            command += of_input_stream(track.encoder.input_arguments, number)
        command += ["-thread_queue_size", "2", "-f", self._pipe_format, "-i", "pipe:0"]
        if clip is not None:
            # Input offsets, not one of the output: chapters heed these only.
            part = ["-ss", f"{cut.start:.6f}", *earlier(cut.start)] if cut.start else []
            carried = slot_arguments(tuple(slots), clip, attached=self._covers(clip, slots))
            command += [*part, *text_arguments(slots), *self._source(clip), *carried]
        else:
            command += [argument for number in range(len(self._tracks)) for argument in ("-map", f"0:{number}")]
        places = upscaled_outputs(tuple(slots)) or range(len(self._tracks))
        for place, track in zip(places, self._tracks, strict=True):
            command += self._encoding(place, track, cut)
            if track.spatial is not None and not self._is_part:
                command += spatial_arguments(place, track.spatial, title_of(clip, slots, place), self._container)
                self._spatial[place] = track.spatial
        if clip is not None:
            command += cut_arguments(cut, clip, slots)
            command += chapter_arguments(clip) if cut == WHOLE else ()
            command += program_arguments(clip, slots, self._container)
        target = f"file:{output}" if isinstance(output, Path) else output if isinstance(output, str) else "pipe:1"
        if self._is_stream:
            command += FLUSHED
            command += SHORT_CLUSTERS if self._container.muxer in ("matroska", "webm") else ()
        muxer = container_arguments(self._container, clip) if clip is not None else ["-f", self._container.muxer]
        if self._is_part and self._is_stream:
            muxer += ["-movflags", FRAME_BY_FRAME["movflags"]]
        return [*command, *muxer, target]

    def _source(self, clip: Clip) -> list[str]:
        """The input that everything but the upscaled streams comes from."""
        if self._second is None:
            return [*input_arguments(clip), "-i", clip.source]
        return [*input_arguments(clip), "-protocol_whitelist", self._second.protocols, "-i", self._second.address]

    def _covers(self, clip: Clip, slots: Sequence[Slot]) -> dict[int, str]:
        """Cover art that goes in as files: where they lie, by stream."""
        wanted = [slot.index for slot in slots if slot.action == "attach"]
        if not wanted:
            return {}
        self._pictures = tempfile.TemporaryDirectory(prefix="upscale-")
        paths = {}
        for index, data in pictures(clip, wanted, head=io.BytesIO(self._head) if self._head else None).items():
            path = Path(self._pictures.name) / str(index)
            path.write_bytes(data)
            paths[index] = str(path)
        return paths

    def _encoding(self, place: int, track: Track, cut: Cut) -> list[str]:
        """What encodes one track, for the output stream of that number."""
        encoder = track.encoder
        if self._is_join:
            arguments = [f"-c:{place}", "copy", *for_stream(tag_arguments(encoder.arguments), place)]
            # Neither is to be guessed from the packets.
            arguments += [f"-r:{place}", str(track.rate), f"-time_base:{place}", str(track.time_base)]
        else:
            given = without_tag(encoder.arguments) if self._is_part else encoder.arguments
            arguments = [f"-filter:{place}", encoder.filters, *for_stream(given, place)]
            arguments += [f"-fps_mode:{place}", "passthrough", f"-enc_time_base:{place}", "demux"]
        if track.last is not None and not self._is_part:
            arguments += [f"-bsf:{place}", last_duration(track, cut, self._container)]
        if self._container.muxer in MP4_FAMILY and self._is_only_video:
            arguments += ["-video_track_timescale", str(timescale(track.time_base))]
        return arguments


def _raw_stream(track: Track) -> nut.RawStream:
    """Describes to the encoder's ffmpeg the frames that it will read."""
    return raw_stream(track.format, track.encoder.width, track.encoder.height, track.time_base, track.rate)


_SIGNALS: Final = {-9: "killed", -11: "it crashed", -15: "ended from outside", -25: "File too large"}
"""What ended a process that had no chance to say so (POSIX)."""

_PIPE_OPTIONS: Final = {"mov": FRAME_BY_FRAME, "mp4": FRAME_BY_FRAME, "nut": FORGETFUL}

_FREE: Final = f"Free space, or choose another {option('output')}."
_REMEDIES: Final = (
    ("No space left", _FREE),
    ("Disk quota", _FREE),
    ("Permission denied", f"Choose a folder you may write to with {option('output')}."),
    ("File too large", f"Choose another file system with {option('output')}, or a higher {option('crf')}."),
)
