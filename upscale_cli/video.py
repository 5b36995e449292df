"""source -> upscaler -> sink, for one clip. Read this first, after `pipeline`.

    VideoReader  ->  FrameUpscaler  ->  VideoWriter
    (ffmpeg, NUT)    (device)           (NUT, ffmpeg)

`plan_clip` decides everything that needs no frame; `run_clip` moves the frames.
"""

import heapq
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Final, Literal

from upscale_cli.chain import Target
from upscale_cli.device import free_host_memory
from upscale_cli.errors import InputError, InterruptedRun, OptionError, OutputError, UpscaleError
from upscale_cli.events import ClipFinished, ClipProgress, Listener, Note, Say, Started, ignore
from upscale_cli.flow import Lane, Tally, capacity, flow
from upscale_cli.frame_upscaler import FrameUpscaler
from upscale_cli.media.formats import MAX_PIXELS
from upscale_cli.media.video.binary import FFmpeg, find_ffmpeg
from upscale_cli.media.video.colour import complete
from upscale_cli.media.video.container import Container, Slot, carry
from upscale_cli.media.video.encoder import EncodeOptions, Encoder, Picture, choose_encoder
from upscale_cli.media.video.facts import Clip, VideoStream
from upscale_cli.media.video.frame import VideoFrame
from upscale_cli.media.video.live import ending_at_ctrl_c
from upscale_cli.media.video.once import Once
from upscale_cli.media.video.pixel_format import PixelFormat
from upscale_cli.media.video.player import Player
from upscale_cli.media.video.probe import nearest_format
from upscale_cli.media.video.reader import DecodeOptions, VideoReader, deinterlacing, ticks_below_zero, time_limits
from upscale_cli.media.video.schedule import Schedule, tail
from upscale_cli.media.video.work import WorkFolder
from upscale_cli.media.video.writer import Cut, Track, VideoWriter
from upscale_cli.pipeline import folder_for
from upscale_cli.preview import SideBySide, preview_part
from upscale_cli.realtime import PATIENCE_SECONDS, Gate, Pacer, advice
from upscale_cli.upscaler import Upscaler

DEFAULT_CLIP_SCALE: Final = 2
"""For clips, unless the model has one scale only."""

PROGRESS_SECONDS: Final = 0.2

NEARLY_REAL_TIME: Final = 0.97
"""What a run that is paced by the clock may come to, for its last frames have to be encoded too."""

Realtime = Literal["file", "strict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipOptions:
    """How a clip is read, encoded and kept.

    Attributes:
        decode: which frames; deinterlacing; hwaccel.
        encode: codec, quality, pixel format.
        video_stream: which stream is upscaled: an index among the video streams, "all", or None for the one that
            players show.
        overwrite: replace an output that exists.
        dedup: do not compute a frame again that equals the one before.
        max_pixels: most pixels a frame of the source may have.
        realtime: "file": the fastest settings; "strict": also bicubic for frames that would come too late; None: off.
        resume: work in stretches that a later run can take up.
        preview: seconds of a before/after clip, instead of the whole.
        play: show it in a player instead of writing a file.
        live: the source is an address or a device, or the output is an address.
    """

    decode: DecodeOptions = field(default_factory=DecodeOptions)
    encode: EncodeOptions = field(default_factory=EncodeOptions)
    video_stream: str | None = None
    overwrite: bool = False
    dedup: bool = True
    max_pixels: int = MAX_PIXELS
    realtime: Realtime | None = None
    resume: bool = False
    preview: float | None = None
    play: bool = False
    live: bool = False

    @property
    def hurries(self) -> bool:
        """Whether speed counts for more than anything: the fastest of all settings."""
        return self.realtime is not None or self.play or self.live


@dataclass(frozen=True, slots=True)
class ClipJob:
    """One clip and one output.

    Attributes:
        output: a file, a stream of bytes (standard output), an address to send to, or None for a player.
        container: what is written.
        target: how large the result shall be.
        note: why the container is not the source's.
        once: the source's bytes, where they come once only.
    """

    clip: Clip
    output: Path | str | IO[bytes] | None
    output_name: str
    container: Container
    target: Target
    options: ClipOptions = field(default_factory=ClipOptions)
    note: str | None = None
    once: Once | None = None

    @property
    def is_clocked(self) -> bool:
        """Whether frames have a deadline: somebody watches or sends, or the user wants it so."""
        options = self.options
        is_passed_on = self.once is not None or not isinstance(self.output, Path)
        always = options.play or options.live or options.realtime == "strict"
        return always or (options.realtime is not None and is_passed_on)

    @property
    def is_paced(self) -> bool:
        """Whether the source has to be read at the pace it plays at, for whoever watches has no more use for it."""
        is_live = self.once is not None and self.once.is_live
        return self.is_clocked and not isinstance(self.output, Path) and not is_live


@dataclass(frozen=True, slots=True)
class LanePlan:
    """One video stream on its way: how it is read, upscaled and encoded."""

    stream: VideoStream
    format: PixelFormat
    upscaler: FrameUpscaler
    track: Track
    side_by_side: bool = False

    @property
    def lane(self) -> Lane:
        """What the frames go through."""
        return SideBySide(self.upscaler, self.format) if self.side_by_side else self.upscaler

    @property
    def lr_bytes(self) -> int:
        return self.format.frame_bytes(self.stream.width, self.stream.height)

    @property
    def sr_bytes(self) -> int:
        return self.format.frame_bytes(self.track.encoder.width, self.track.encoder.height)


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """Everything decided before the first frame."""

    lanes: tuple[LanePlan, ...]
    slots: tuple[Slot, ...]
    cut: Cut
    frames: int | None
    ffmpeg: FFmpeg


def run_clip(job: ClipJob, upscaler: Upscaler, listener: Listener = ignore) -> ClipFinished:
    """Upscales one clip.

    Raises:
        InputError: the source cannot be read.
        OutputError: the result cannot be written; only the work folder is left, and named.
        OptionError, CheckpointError, DeviceError, FFmpegError: as their names say.
        InterruptedRun: Ctrl-C; the text says what is left.
    """
    if job.options.resume:
        from upscale_cli.resume import run_resumable

        return run_resumable(job, upscaler, listener)
    say = saying_once(listener)
    if job.options.preview is not None:
        start, end = preview_part(job.options.decode, job.options.preview, job.clip)
        decode = replace(job.options.decode, start=start, end=end)
        job = replace(job, options=replace(job.options, decode=decode))
    plan = plan_clip(job, upscaler, say)
    listener(started(job, upscaler, plan))
    watch = Watch(job, plan, listener)
    with ExitStack() as stack:
        if job.once is not None:
            stack.enter_context(job.once)
        work, player = None, None
        if isinstance(job.output, Path):
            stack.enter_context(folder_for(job.output))
            work = stack.enter_context(WorkFolder(job.output, overwrite=job.options.overwrite, say=say))
        elif job.output is None:
            player = stack.enter_context(Player(job.clip.name))
        target = work.file if work is not None else player.feed if player is not None else job.output
        readers = [stack.enter_context(open_reader(job, plan, lane, job.options.decode, say)) for lane in plan.lanes]
        assert target is not None
        writer = stack.enter_context(_writer(job, plan, target))
        try:
            with _until_closed(player, say), _until_ended(job.once, say):
                _move(job, plan, readers, writer, watch)
            was_closed = player is not None and player.was_closed
            watch.end(readers, writer.seconds, is_whole=not was_closed)
            if player is not None:
                player.wait()
        except KeyboardInterrupt:
            raise _interrupted(work, writer, watch.tally) from None
        if work is not None:
            work.deliver()
    finished = watch.finished(upscaler)
    listener(finished)
    return finished


def plan_clip(job: ClipJob, upscaler: Upscaler, say: Say) -> ClipPlan:
    """Streams, formats, sizes, encoders; what else goes along. Nothing is decoded."""
    ffmpeg = find_ffmpeg()
    clip, options = job.clip, job.options
    start, seconds = options.decode.start, clip.seconds
    if start is not None and seconds is not None and start >= seconds:
        raise InputError(
            f"{clip.name}: --start {start:g} is not in it; it lasts {seconds:.2f} s. Choose an earlier one."
        )
    if job.note:
        say(f"{clip.name}: {job.note}")
    _check_hwaccel(options.decode.hwaccel, ffmpeg)
    streams = chosen_streams(clip, options.video_stream)
    lanes = tuple(_lane(job, upscaler, stream, ffmpeg, say) for stream in streams)
    slots, notes = carry(clip, tuple(stream.index for stream in streams), job.container)
    for note in notes:
        say(f"{clip.name}: {note}")
    _check_memory(clip, lanes)
    return ClipPlan(lanes, slots, _cut(job, lanes), _frames_expected(streams, options.decode), ffmpeg)


def _cut(job: ClipJob, lanes: Sequence[LanePlan]) -> Cut:
    """The part of sound and all else that goes along: as long as the frames last."""
    decode = job.options.decode
    start = decode.start or 0.0
    seconds = None if decode.end is None else decode.end - start
    if decode.frames is not None:
        ends = [sum(lane.track.last) * lane.track.time_base for lane in lanes if lane.track.last is not None]
        if ends:
            seconds = float(max(ends)) - job.clip.start_seconds - start
        else:
            seconds = float(decode.frames / lanes[0].track.rate)
    return Cut(start=start, seconds=seconds)


def _last_frame(clip: Clip, stream: VideoStream, decode: DecodeOptions) -> tuple[int, int] | None:
    """(timestamp, duration) of the last frame of the part that is taken, as its packet says; None where none does."""
    if stream.untimed or not clip.source.startswith("file:"):
        return None
    if decode.end is None and decode.frames is None:
        return tail(clip, stream)
    begin, end = time_limits(clip, stream.time_base, decode)
    last, count = None, 0
    with Schedule(clip, stream) as schedule:
        for pts, duration in schedule.rest(None):
            if begin is not None and pts < begin:
                continue
            if (end is not None and pts >= end) or count == decode.frames:
                break
            last, count = (pts, duration), count + 1
    return last


def _check_hwaccel(name: str | None, ffmpeg: FFmpeg) -> None:
    if name is not None and name not in ("auto", "none", *ffmpeg.hwaccels):
        known = ", ".join(sorted(ffmpeg.hwaccels)) or "none"
        raise OptionError(f"--hwaccel {name} is not in this ffmpeg, which has {known}. Choose one of them, or auto.")


def chosen_streams(clip: Clip, wanted: str | None) -> tuple[VideoStream, ...]:
    """The video streams that --video-stream means.

    Raises:
        OptionError: no such stream.
    """
    if wanted is None:
        return (clip.stream(clip.main),)
    if wanted == "all":
        return clip.video
    if not wanted.isdecimal() or int(wanted) >= len(clip.video):
        have = "one video stream, 0" if len(clip.video) == 1 else f"video streams 0 to {len(clip.video) - 1}"
        raise OptionError(f"--video-stream {wanted}: {clip.name} has {have}. Choose one of them, or all.")
    return (clip.video[int(wanted)],)


def _lane(job: ClipJob, upscaler: Upscaler, stream: VideoStream, ffmpeg: FFmpeg, say: Say) -> LanePlan:
    name, options = job.clip.name, job.options
    format, is_changed = nearest_format(stream.pixel_format)
    tags, guess = complete(stream.tags, stream.width, stream.height, format)
    if is_changed:
        say(f"{name}: pixel format {stream.pixel_format} becomes {format.name}, the nearest that is kept exactly.")
    if guess:
        say(f"{name}: {guess}")
    if deinterlacing(options.decode.deinterlace, stream):
        say(f"{name}: interlaced; deinterlaced by bwdif (--deinterlace off keeps the fields).")
    if stream.dynamic_hdr:
        say(f"{name}: {' and '.join(stream.dynamic_hdr)} dynamic metadata is dropped; HDR10 stays.")
    frames = FrameUpscaler(
        upscaler, format, stream.width, stream.height, tags, job.target, graph=options.hurries, say=say
    )
    rate, time_base = _timing(stream, options.decode)
    picture = Picture(
        format=format, width=frames.sr_width, height=frames.sr_height, rate=rate, tags=tags,
        sar=_pixel_aspect(stream, frames, job.target), mastering=stream.mastering, light=stream.light,
        orientation=stream.orientation,
    )  # fmt: skip
    encoder = _fitted_encoder(job, frames, picture, ffmpeg, say)
    track = Track(
        format=format, encoder=encoder, time_base=time_base, rate=rate, below_zero=ticks_below_zero(stream),
        last=_last_frame(job.clip, stream, options.decode) if time_base == stream.time_base else None,
    )  # fmt: skip
    return LanePlan(stream, format, frames, track, side_by_side=options.preview is not None)


def _fitted_encoder(job: ClipJob, frames: FrameUpscaler, picture: Picture, ffmpeg: FFmpeg, say: Say) -> Encoder:
    """The encoder, and frames made to fit it: even sides where it needs them."""
    if job.options.preview is not None:
        frames.pad_to(frames.sr_width + frames.sr_width % 2, frames.sr_height)
        picture = replace(picture, width=2 * frames.out_width)
    encoder = choose_encoder(job.options.encode, picture, job.container.muxer, ffmpeg, say)
    if (encoder.width, encoder.height) != (picture.width, picture.height):
        say(
            f"{job.clip.name}: {picture.width} x {picture.height} becomes {encoder.width} x {encoder.height}, for "
            f"{encoder.name} takes even sides only in {encoder.pix_fmt}; the border is repeated "
            "(--codec ffv1 keeps it)."
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


def _pixel_aspect(stream: VideoStream, frames: FrameUpscaler, target: Target) -> Fraction:
    """The SAR that shows the SR picture with the shape of the LR one; as it was where the user stretches it."""
    if target.stretch:
        return stream.sar
    return stream.sar * Fraction(stream.width * frames.sr_height, stream.height * frames.sr_width)


def _frames_expected(streams: Sequence[VideoStream], decode: DecodeOptions) -> int | None:
    """How many frames will come, for the bar; None where nobody knows."""
    total = 0
    for stream in streams:
        rate, _ = _timing(stream, decode)
        factor = rate / stream.rate if not stream.untimed else 1
        known = stream.frames * factor if stream.frames else stream.seconds and stream.seconds * rate
        if decode.start is not None or decode.end is not None:
            until = min(filter(None, (decode.end, stream.seconds)), default=None)
            known = max(0.0, until - (decode.start or 0.0)) * rate if until is not None else None
        count = None if not known else round(known)
        if decode.frames is not None:
            count = min(filter(None, (count, decode.frames)))
        if count is None:
            return None
        total += count
    return total


def _check_memory(clip: Clip, lanes: Sequence[LanePlan]) -> None:
    """Refuses frames that memory has no room for: those in the channels, at work and in ffmpeg's own hands."""
    needed = sum(
        lane.lr_bytes * (capacity(lane.lr_bytes) + 8) + lane.sr_bytes * (capacity(lane.sr_bytes) + 8) for lane in lanes
    )
    free = free_host_memory()
    if needed > free:
        raise OutputError(
            f"{clip.name}: frames of {lanes[0].upscaler.out_width} x {lanes[0].upscaler.out_height} pixels need "
            f"{needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB are free. Choose a smaller --scale."
        )


# Running


def open_reader(job: ClipJob, plan: ClipPlan, lane: LanePlan, decode: DecodeOptions, say: Say) -> VideoReader:
    """The frames of one lane."""
    decode = replace(decode, paced=job.is_paced)
    return VideoReader(job.clip, lane.stream, lane.format, plan.ffmpeg, options=decode, once=job.once, say=say)


def _writer(job: ClipJob, plan: ClipPlan, target: Path | str | IO[bytes]) -> VideoWriter:
    tracks = [lane.track for lane in plan.lanes]
    return VideoWriter(
        target, job.output_name, tracks, job.container, plan.ffmpeg, clip=job.clip, slots=plan.slots, cut=plan.cut,
        once=job.once,
    )  # fmt: skip


def _move(job: ClipJob, plan: ClipPlan, readers: Sequence[VideoReader], writer: VideoWriter, watch: "Watch") -> None:
    """All frames, from the readers through the upscalers into the writer."""
    track_of = {lane.stream.index: number for number, lane in enumerate(plan.lanes)}

    def write(frame: VideoFrame) -> None:
        writer.write(track_of[frame.stream], frame.samples, frame.pts)

    def stop_reading() -> None:
        for reader in readers:
            reader.stop()

    gate = _gate(job, plan, writer)
    times = {reader.stream.index: reader.time_base for reader in readers}

    def on_frame() -> None:
        if gate is not None:
            gate.done()
        watch.tell(readers, writer.seconds)

    if job.once is not None:
        job.once.begin()
    flow(
        in_order(readers),
        {lane.stream.index: lane.lane for lane in plan.lanes},
        write,
        tally=watch.tally,
        stop_reading=stop_reading,
        dedup=job.options.dedup,
        by_net=lambda frame: gate is None or gate.by_net(float(frame.pts * times[frame.stream])),
        on_frame=on_frame,
        lr_capacity=capacity(max(lane.lr_bytes for lane in plan.lanes)),
        sr_capacity=capacity(max(lane.sr_bytes for lane in plan.lanes)),
    )
    if not watch.tally.frames:
        raise nothing_shown(job.clip)
    if job.once is not None:
        if job.once.error is not None:
            raise job.once.error
        job.once.cut()  # sound has no business beyond the last frame that was asked for
    writer.finish()


def _gate(job: ClipJob, plan: ClipPlan, writer: VideoWriter) -> Gate | None:
    """What sends late frames around the net; None where no frame can be late."""
    if not job.is_clocked:
        return None
    frames = [lane.upscaler for lane in plan.lanes]
    is_watched = job.once is not None or not isinstance(job.output, Path)
    pacer = Pacer(
        float(sum(lane.track.rate for lane in plan.lanes)),
        expected=max(lane.expected_seconds() for lane in frames),
        patience=PATIENCE_SECONDS if is_watched else None,
    )
    return Gate(
        pacer,
        lambda: sum(lane.seconds["net"] for lane in frames),
        lambda: writer.held_seconds,
        depth=max(lane.depth for lane in frames),
    )


@contextmanager
def _until_closed(player: Player | None, say: Say) -> Iterator[None]:
    """Whoever closes the player has seen enough: no error."""
    try:
        yield
    except OutputError:
        if player is None or not player.closes():
            raise
        player.wait()
        player.was_closed = True
        say("the player was closed.")


@contextmanager
def _until_ended(once: Once | None, say: Say) -> Iterator[None]:
    """A live source has no end of its own: Ctrl-C gives it one, and what came until then is finished as any clip."""
    if once is None or not once.is_live:
        yield
        return
    with ending_at_ctrl_c(once.cut) as is_pressed:
        try:
            yield
        except InputError:
            if is_pressed():
                raise InterruptedRun from None
            raise
    if is_pressed():
        say(f"{once.name}: ended by Ctrl-C.")


def nothing_shown(clip: Clip) -> InputError:
    """The part that was asked for lies between two frames, or behind the last one."""
    return InputError(f"{clip.name}: no frame of it is shown in that part. Choose another --start, or a later --end.")


def in_order(readers: Sequence[VideoReader]) -> Iterator[VideoFrame]:
    """The frames of several streams, as they are shown."""
    if len(readers) == 1:
        return iter(readers[0])
    times = {reader.stream.index: reader.time_base for reader in readers}
    return heapq.merge(*readers, key=lambda frame: frame.pts * times[frame.stream])


def _interrupted(work: WorkFolder | None, writer: VideoWriter, tally: Tally) -> UpscaleError:
    """What is left after Ctrl-C: a file that plays, in the work folder."""
    if work is None or not tally.frames or not writer.cut_short():
        return InterruptedRun()
    work.keep()
    return InterruptedRun(f"interrupted: the first {tally.frames} frames are in {work.file}, which plays.")


class Watch:
    """Counts and times what happens; tells of progress, and the sum at the end.

    Args:
        already: frames that a former run has done.
    """

    def __init__(self, job: ClipJob, plan: ClipPlan, listener: Listener, *, already: int = 0) -> None:
        self.tally = Tally()
        self._already = already
        self._job, self._plan, self._listener = job, plan, listener
        self._begin = time.perf_counter()
        self._told = 0.0
        self._ended: float | None = None
        self._first_done: float | None = None
        self._repeated = 0
        self._damage = ""
        self._stages: dict[str, float] = {}

    def tell(self, readers: Sequence[VideoReader], encode_seconds: float) -> None:
        """Progress, a few times a second."""
        now = time.perf_counter()
        self._first_done = self._first_done or now
        if now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        self._stages = self._busy(readers, encode_seconds)
        elapsed = now - self._begin
        done, total = self.tally.frames, self._plan.frames
        fps = done / elapsed
        rest = total - self._already - done if total else -1
        left = rest / fps if rest >= 0 and fps else None
        self._listener(ClipProgress(self._already + done, total, fps, self._realtime(elapsed), left, self.slowest))

    def end(self, readers: Sequence[VideoReader], encode_seconds: float, *, is_whole: bool = True) -> None:
        """After the last frame: what the readers found damaged counts, unless the rest of the source was not wanted."""
        self._ended = time.perf_counter()
        self._stages = self._busy(readers, encode_seconds)
        self._repeated = sum(reader.repeated for reader in readers)
        if is_whole:
            self._damage = "; ".join(filter(None, (reader.damage() for reader in readers)))

    def finished(self, upscaler: Upscaler, *, repeats: int = 0) -> ClipFinished:
        """The summary; `repeats` is what former runs and this one have recorded together."""
        elapsed = (self._ended or time.perf_counter()) - self._begin
        tally, first = self.tally, self._plan.lanes[0].upscaler
        return ClipFinished(
            source=self._job.clip.name, output=self._job.output_name, width=first.out_width, height=first.out_height,
            seconds=elapsed, frames=self._already + tally.frames, fps=tally.frames / elapsed,
            realtime=self._realtime(elapsed), net=tally.net, fallback=tally.fallback, same=tally.same,
            repeated=max(repeats, self._repeated), slowest=self.slowest,
            stages={stage: round(seconds, 3) for stage, seconds in self._stages.items()},
            model=upscaler.name, damage=self._damage, advice=self._advice(upscaler),
        )  # fmt: skip

    @property
    def slowest(self) -> str:
        stages = dict(self._stages)
        if self._job.is_paced or self._job.once is not None:
            stages.pop("decode", None)  # waiting for the decoder was waiting for the clock, or for the sender
        return max(stages, key=lambda stage: stages[stage], default="")

    def _advice(self, upscaler: Upscaler) -> str:
        """What would help, if it could not hold real time with the net alone; the start is not counted."""
        if not self._job.options.hurries or self._first_done is None or self._ended is None:
            return ""
        is_live = self._job.once is not None and self._job.once.is_live
        if not self.tally.fallback and (is_live or self._realtime(self._ended - self._first_done) >= NEARLY_REAL_TIME):
            return ""
        lane = self._plan.lanes[0]
        limit = "net" if self.tally.fallback and self.slowest != "encode" else self.slowest
        return advice(
            limit, may_fall_back=self._job.is_clocked, device=upscaler.device.type, model=upscaler.name,
            encoder=lane.track.encoder.name,
        )  # fmt: skip

    def _realtime(self, elapsed: float) -> float:
        """Seconds of clip per second of work, by the frames written and their rate."""
        shown = [self.tally.per_stream.get(lane.stream.index, 0) / lane.track.rate for lane in self._plan.lanes]
        return float(max(shown)) / elapsed

    def _busy(self, readers: Sequence[VideoReader], encode_seconds: float) -> dict[str, float]:
        stages = {"decode": sum(reader.seconds for reader in readers)}
        for lane in self._plan.lanes:
            for stage, seconds in lane.upscaler.seconds.items():
                stages[stage] = stages.get(stage, 0.0) + seconds
        return {**stages, "encode": encode_seconds}


def saying_once(listener: Listener) -> Say:
    """Notes to a listener, each once."""
    said: set[str] = set()

    def say(text: str) -> None:
        if text not in said:
            said.add(text)
            listener(Note(text))

    return say


def started(job: ClipJob, upscaler: Upscaler, plan: ClipPlan) -> Started:
    """The first line of a run."""
    lane = plan.lanes[0]
    return Started(
        source=job.clip.name, output=job.output_name, model=upscaler.name, why=upscaler.why,
        passes=upscaler.pass_names(lane.upscaler.plan), device=str(upscaler.device),
        precision=lane.upscaler.precision, width=lane.stream.width, height=lane.stream.height,
        sr_width=lane.upscaler.out_width, sr_height=lane.upscaler.out_height, frames=plan.frames or 0,
        encoder=lane.track.encoder.name,
    )  # fmt: skip
