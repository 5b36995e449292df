"""What is decided about a clip before its first frame: streams, formats, sizes, encoders, what is copied."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from upscale_cli.errors import InputError, OptionError, OutputError
from upscale_cli.events import Detail, Say
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import PixelFormat, opaque
from upscale_cli.inference.device import free_host_memory
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.steady import LOOKS_BACK, Steady
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.jobs.frame_queue import Finish, Pipeline, capacity
from upscale_cli.jobs.picture_notes import notes_on
from upscale_cli.jobs.preview import SideBySide, SteadySide
from upscale_cli.jobs.video_facts import ClipOptions, VideoFacts
from upscale_cli.media.image.formats import check_size
from upscale_cli.media.video.caption_search import has_captions
from upscale_cli.media.video.carried_metadata import FrameMetadataKind, carried, metadata_of
from upscale_cli.media.video.carried_streams import Slot, carry, tag_notes
from upscale_cli.media.video.colour import complete, is_usual
from upscale_cli.media.video.encoder_choice import choose_encoder
from upscale_cli.media.video.encoding import Encoder, Picture
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, find_ffmpeg
from upscale_cli.media.video.nearest_format import nearest_format
from upscale_cli.media.video.packet_schedule import Schedule, clock_restart, tail
from upscale_cli.media.video.picture_container import format_in
from upscale_cli.media.video.programs import program_notes
from upscale_cli.media.video.reader_arguments import (
    PREROLL_SECONDS,
    DecodeOptions,
    deinterlacing,
    ticks_below_zero,
    time_limits,
)
from upscale_cli.media.video.spatial import Spatial, enlarged
from upscale_cli.media.video.spatial_writer import kept, spatial_note
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.media.video.subtitle_text import text_notes, with_encodings
from upscale_cli.media.video.writer_arguments import Cut, Track
from upscale_cli.messages import option
from upscale_cli.text import amount


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """One video stream on its way: how it is read, upscaled and encoded.

    Attributes:
        stream, format: what is read, and in which pixel format the decoder gives it.
        side_by_side: each frame of the output shows before and after: a preview.
        metadata: what frames keep beside the picture.
        tags: of its colours, complete.
        steady: what makes it flicker less; None where that is not wanted.
    """

    stream: VideoStream
    format: PixelFormat
    upscaler: VideoUpscaler
    track: Track
    side_by_side: bool = False
    metadata: tuple[FrameMetadataKind, ...] = ()
    tags: ColourTags = ColourTags()
    steady: Steady | None = None

    @property
    def pipeline(self) -> Pipeline:
        """What the frames go through."""
        return SideBySide(self.upscaler, self.format) if self.side_by_side else self.upscaler

    @property
    def finish(self) -> dict[int, Finish]:
        """What is done with its SR frames, by stream; empty for nothing."""
        if self.steady is None:
            return {}
        size = self.upscaler.out_width, self.upscaler.out_height
        is_alone = not self.side_by_side
        return {self.stream.index: self.steady if is_alone else SteadySide(self.steady, self.format, *size)}

    @property
    def seconds(self) -> dict[str, float]:
        """Busy seconds of each stage between reader and writer."""
        steady = {} if self.steady is None else {"steady": self.steady.seconds}
        return {**self.upscaler.seconds, **steady}

    @property
    def lr_bytes(self) -> int:
        return self.format.frame_bytes(self.stream.width, self.stream.height)

    @property
    def sr_bytes(self) -> int:
        return self.format.frame_bytes(self.track.encoder.width, self.track.encoder.height)


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Everything decided before the first frame.

    Attributes:
        streams: those that are upscaled.
        slots: the streams of the output, in their order.
        cut: the part of the other streams that is copied.
        frames: that will come, of all streams together; None where unknown.
    """

    streams: tuple[StreamPlan, ...]
    slots: tuple[Slot, ...]
    cut: Cut
    frames: int | None
    ffmpeg: FFmpeg


def plan_clip(job: VideoFacts, upscaler: Upscaler, say: Say) -> ClipPlan:
    """Streams, formats, sizes, encoders; what else is copied. Nothing is decoded.

    Raises:
        InputError: the part that is wanted is not in it, or its clock starts anew.
        OptionError: this ffmpeg has no such `hwaccel`, or no encoder fits.
        OutputError: memory has no room for its frames.
    """
    ffmpeg = find_ffmpeg()
    clip, options = job.clip, job.options
    start, seconds = options.decode.start, clip.seconds
    if start is not None and seconds is not None and start >= seconds:
        raise InputError(
            f"{clip.name}: {option('start', start)} is not in it; it lasts {seconds:.2f} s. Choose an earlier one."
        )
    if job.note:
        say(f"{clip.name}: {job.note}")
    for note in clip.pictures.notes if clip.pictures is not None else ():
        say(note)
    _check_hwaccel(options.decode.hwaccel, ffmpeg)
    chosen = job.streams
    if options.decode.fps is not None and not any(stream.untimed for stream in chosen):
        say(f"{clip.name}: {option('fps')} is for streams without timestamps; this clip has its own, which are kept.")
    for stream in chosen:
        _check_clock(clip, stream, options.decode)
    streams = tuple(_stream_plan(job, upscaler, stream, ffmpeg, say) for stream in chosen)
    slots, notes = carry(clip, tuple(stream.index for stream in chosen), job.container)
    slots = with_encodings(clip, slots)
    more = [*tag_notes(clip), *text_notes(clip, slots), *program_notes(clip, job.container)]
    if job.container.frames:
        more = notes_on(job, streams[0].track.rate, streams[0].tags)
    for note in (*notes, *more):
        say(f"{clip.name}: {note}")
    _check_memory(clip, streams)
    return ClipPlan(streams, slots, _cut(job, streams), _frames_expected(chosen, options.decode), ffmpeg)


def _cut(job: VideoFacts, streams: Sequence[StreamPlan]) -> Cut:
    """The part of sound and all else that is copied: as long as the frames last."""
    decode = job.options.decode
    start = decode.start or 0.0
    seconds = None if decode.end is None else decode.end - start
    if decode.frames is not None:
        ends = [
            sum(planned.track.last) * planned.track.time_base for planned in streams if planned.track.last is not None
        ]
        if ends:
            seconds = float(max(ends)) - job.clip.start_seconds - start
        else:
            seconds = float(decode.frames / streams[0].track.rate)
    return Cut(start=start, seconds=seconds)


def _last_frame(clip: Clip, stream: VideoStream, decode: DecodeOptions) -> tuple[int, int] | None:
    """(timestamp, duration) of the last frame of the part that is taken, by its packet; None where there is none."""
    if clip.pictures is not None and clip.pictures.times and decode.end is None and decode.frames is None:
        return clip.pictures.times[-1], clip.pictures.end - clip.pictures.times[-1]
    if stream.untimed or clip.path is None:
        return None
    if decode.end is None and decode.frames is None:
        return tail(clip, stream)
    last = deque(frames_announced(clip, stream, decode), maxlen=1)
    return last[0] if last else None


def frames_announced(clip: Clip, stream: VideoStream, decode: DecodeOptions) -> Iterator[tuple[int, int]]:
    """(timestamp, duration) of each frame of the part that is taken, in ticks and as they are shown, by its packet:
    nothing is decoded."""
    begin, end = time_limits(clip, stream.time_base, decode)
    sought = None  # so that what lies far before the part need not be read
    if begin is not None and clip.seekable:
        sought = max(0, begin - math.ceil(Fraction(PREROLL_SECONDS) / stream.time_base)) or None
    count = 0
    with Schedule(clip, stream, start=sought) as schedule:
        for pts, duration in schedule.rest(None):
            if begin is not None and pts < begin:
                continue
            if (end is not None and pts >= end) or count == decode.frames:
                return
            yield pts, duration
            count += 1


def _check_clock(clip: Clip, stream: VideoStream, decode: DecodeOptions) -> None:
    """Refuses recordings that were joined byte by byte: sound and picture could not be kept together.

    Raises:
        InputError: the clock starts anew.
    """
    restart = None if clip.path is None else clock_restart(clip, stream)
    if restart is not None and (decode.end is None or decode.end > restart):
        raise InputError(
            f"{clip.name}: its clock starts anew after {restart:.1f} s, as in recordings that were joined. "
            f"Mend it first (ffmpeg -i INPUT -map 0 -c copy MENDED.mkv), or take the part before with {option('end')}."
        )


def _check_hwaccel(name: str | None, ffmpeg: FFmpeg) -> None:
    if name is not None and name not in ("auto", "none", *ffmpeg.hwaccels):
        known = ", ".join(sorted(ffmpeg.hwaccels)) or "none"
        raise OptionError(
            f"{option('hwaccel', name)} is not in this ffmpeg, which has {known}. Choose one of them, or auto."
        )


def _stream_plan(job: VideoFacts, upscaler: Upscaler, stream: VideoStream, ffmpeg: FFmpeg, say: Say) -> StreamPlan:
    name, options = job.clip.name, job.options
    format, is_changed = nearest_format(stream.pixel_format)
    if upscaler.alpha == "drop":
        format = opaque(format)
    tags, guess = complete(stream.tags, stream.width, stream.height, format)
    if is_changed:
        say(f"{name}: pixel format {stream.pixel_format} becomes {format.name}, the nearest that is kept exactly.")
    if guess:
        say(Detail(f"{name}: {guess}") if is_usual(stream.tags, stream.width, stream.height) else f"{name}: {guess}")
    if deinterlacing(options.decode.deinterlace, stream):
        why = f"interlaced; deinterlaced by bwdif ({option('deinterlace', 'off')} keeps the fields)"
        say(f"{name}: {why if stream.interlaced else 'deinterlaced by bwdif, as asked'}.")
    frames = VideoUpscaler(
        upscaler, format, stream.width, stream.height, tags, job.target,
        graph=options.hurries, reuse=options.reuse, say=say,
    )  # fmt: skip
    rate, time_base = _timing(stream, options.decode)
    picture = Picture(
        format=format, width=frames.sr_width, height=frames.sr_height, rate=rate, tags=tags,
        sar=_pixel_aspect(stream, frames, job.target), mastering=stream.mastering, light=stream.light,
        orientation=stream.orientation, lossless=stream.codec if stream.lossless else "",
        for_players=job.clip.pictures is not None,
    )  # fmt: skip
    encoder = _fitted_encoder(job, frames, picture, ffmpeg, say)
    metadata, notes = carried(
        stream, metadata_of(stream, captions=has_captions(job.clip, stream)), encoder,
        is_alone=len(job.streams) == 1,
    )  # fmt: skip
    for note in notes:
        say(f"{name}: {note}")
    track = Track(
        format=format, encoder=encoder, time_base=time_base, rate=rate, below_zero=ticks_below_zero(stream),
        last=_last_frame(job.clip, stream, options.decode) if time_base == stream.time_base else None,
        spatial=_spatial(job, stream, frames.sr_width, say),
    )  # fmt: skip
    return StreamPlan(
        stream, format, frames, track, side_by_side=options.preview is not None, metadata=metadata, tags=tags,
        steady=frames.steady() if options.steady else None,
    )  # fmt: skip


def looks_back(options: ClipOptions) -> int:
    """How many frames before it have a part in a frame of the output."""
    return LOOKS_BACK if options.steady else 0


def _spatial(job: VideoFacts, stream: VideoStream, width: int, say: Say) -> Spatial | None:
    """What the output says of a sphere, or of views for two eyes; a preview shows other pictures."""
    if stream.spatial is None or job.options.preview is not None:
        return None
    said = kept(stream.spatial, job.container, is_file=isinstance(job.output, Path))
    number = job.clip.video.index(stream) + 1
    say(f"{job.clip.name}: {spatial_note(stream.spatial, said, job.container, number)}.")
    return enlarged(said, width / stream.width)


def _fitted_encoder(job: VideoFacts, frames: VideoUpscaler, picture: Picture, ffmpeg: FFmpeg, say: Say) -> Encoder:
    """The encoder, and frames made to fit it: even sides where it needs them."""
    if job.options.preview is not None:
        frames.pad_to(frames.sr_width + frames.sr_width % 2, frames.sr_height)
        picture = replace(picture, width=2 * frames.out_width)
    if job.container.frames:
        row = format_in(job.container)
        check_size(row, picture.width, picture.height)
        return Encoder(row.name, picture.format.name, picture.width, picture.height, picture.sar, (), "", (), ())
    encoder = choose_encoder(job.encode, picture, job.container.muxer, ffmpeg, say)
    if (encoder.width, encoder.height) != (picture.width, picture.height):
        say(
            f"{job.clip.name}: {picture.width} x {picture.height} becomes {encoder.width} x {encoder.height}, for "
            f"{encoder.name} takes even sides only in {encoder.pix_fmt}; the border is repeated "
            f"({option('codec', 'ffv1')} keeps it)."
        )
        sides = 1 if job.options.preview is None else 2
        frames.pad_to(encoder.width // sides, encoder.height)
    return encoder


def _timing(stream: VideoStream, decode: DecodeOptions) -> tuple[Fraction, Fraction]:
    """(frames per second, time base) of what the reader will give."""
    rate, time_base = stream.rate, stream.time_base
    if stream.untimed:
        rate = decode.fps or stream.rate
        time_base = 1 / rate
    if deinterlacing(decode.deinterlace, stream) == "field":
        return rate * 2, time_base / 2
    return rate, time_base


def _pixel_aspect(stream: VideoStream, frames: VideoUpscaler, target: Target) -> Fraction:
    """The SAR that shows the SR picture with the shape of the LR one; as it was where the user stretches it."""
    if target.stretch:
        return stream.sar
    return stream.sar * Fraction(stream.width * frames.sr_height, stream.height * frames.sr_width)


def _frames_expected(streams: Sequence[VideoStream], decode: DecodeOptions) -> int | None:
    """How many frames will come, for the bar; None where unknown."""
    total = 0
    for stream in streams:
        rate, _ = _timing(stream, decode)
        factor = rate / stream.rate if not stream.untimed else 1
        known = stream.frames * factor if stream.frames else stream.seconds and stream.seconds * rate
        count = None if not known else round(known)
        if decode.end is not None:
            until = frames_before(decode.end, rate)
            count = until if count is None else min(count, until)
        if decode.start is not None and count is not None:
            count = max(0, count - frames_before(decode.start, rate))
        if decode.frames is not None:
            count = min(filter(None, (count, decode.frames)))
        if count is None:
            return None
        total += count
    return total


def frames_before(seconds: float, rate: Fraction) -> int:
    """How many frames of a constant rate are shown before a moment; one at that very moment is not.

    >>> frames_before(0.32, Fraction(25)), frames_before(0.33, Fraction(25))
    (8, 9)
    """
    return math.ceil(Fraction(seconds).limit_denominator(10**6) * rate)


def _check_memory(clip: Clip, streams: Sequence[StreamPlan]) -> None:
    """Refuses frames that memory has no room for: those in the channels, at work and in ffmpeg itself."""
    needed = sum(
        planned.lr_bytes * (capacity(planned.lr_bytes) + 8)
        + planned.sr_bytes * (capacity(planned.sr_bytes) + 8)
        + (planned.steady.held_bytes if planned.steady is not None else 0)
        for planned in streams
    )
    free = free_host_memory()
    if needed > free:
        raise OutputError(
            f"{clip.name}: frames of {streams[0].upscaler.out_width} x {streams[0].upscaler.out_height} pixels need "
            f"{amount(needed)} of memory, {amount(free)} are free. Choose a smaller {option('scale')}."
        )
