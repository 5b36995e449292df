"""One clip in segments that many workers make at once, anywhere; joined they are what one run alone makes.

    cuts (the packets' timestamps)  ->  SegmentJob  ->  make_segment, anywhere  ->  Made  ->  journal  ->  join

Which frames belong to a segment is known before any is decoded, from one walk over the packets. Each worker
compares every decoded frame with that; together the segments cover all of time, so no frame can be lost or come twice.
Where packets and frames are not one to one it is found out then, and the clip is done in turn: `Indivisible`.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Final, Self

from upscale_cli.errors import DeviceError, FFmpegError, InterruptedRun, UpscaleError
from upscale_cli.events import ClipFinished, ClipProgress, Event, Listener, Note, saying_once
from upscale_cli.frames.video import VideoFrame
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.value_range import ValueRange
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.jobs.frame_queue import Tally, capacity, flow
from upscale_cli.jobs.job import Output
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_io import nothing_shown
from upscale_cli.jobs.video_plan import StreamPlan, frames_announced, looks_back
from upscale_cli.jobs.video_resume import SegmentRun, damage_of, not_in_segments, run_resumable
from upscale_cli.media.video.colour import complete
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, find_ffmpeg
from upscale_cli.media.video.reader import VideoReader
from upscale_cli.media.video.reader_arguments import DecodeOptions, deinterlacing
from upscale_cli.media.video.segments import Segment, SegmentEncoder, segment_length
from upscale_cli.media.video.streams import VideoStream
from upscale_cli.media.video.writer_arguments import Track
from upscale_cli.messages import option
from upscale_cli.text import counted

POLL_SECONDS: Final = 0.5
"""How often it is seen whether there are more workers; and on Windows a wait that is longer cannot be interrupted."""

WORTH_DIVIDING: Final = 3
"""Segments below which a clip is left to one worker."""


class Indivisible(Exception):  # noqa: N818  # no error: the clip is done in turn
    """Which frames a segment has is not known before decoding; the text has the reason. What is recorded is right."""


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """One segment, for any process that sees the same files; it can be pickled.

    Attributes:
        clip: of which it is a part.
        number: from 0.
        pts: of its frames, in ticks; all frames of the clip between `after` and the last of them.
        after: timestamp of the frame before; None for the first segment.
        is_last: no frame comes after it.
        folder: where it is to lie.
        stream, track: which stream is read, and how it is encoded: as was decided where the segments are dispatched.
        ffmpeg: the version it has to be made by.
        used: what values the whole clip uses, where that is little of its range.
        engines: what is to run the nets, as `EngineChoice.labels` has it.
    """

    clip: VideoFacts
    number: int
    pts: tuple[int, ...]
    after: int | None
    is_last: bool
    folder: Path
    stream: VideoStream
    track: Track
    ffmpeg: str
    used: ValueRange | None = None
    engines: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.clip.name}, segment {self.number + 1}"

    @property
    def source(self) -> Path | str:
        return self.clip.source

    @property
    def output(self) -> Output:
        """That of the clip, next to which it lies."""
        return self.clip.output

    @property
    def target(self) -> Target:
        return self.clip.target

    @property
    def lr_size(self) -> tuple[int, int]:
        return self.stream.width, self.stream.height

    @property
    def overwrite(self) -> bool:
        """It is not asked for the clip's output: segments replace what is there."""
        return True

    @property
    def is_local(self) -> bool:
        return self.clip.is_local

    def absolute(self) -> Self:
        return replace(self, clip=self.clip.absolute())

    def check_machine(self) -> None:
        same_ffmpeg(self)

    def run(self, upscaler: Upscaler, listener: Listener) -> "Made":
        """As `make_segment`."""
        return make_segment(self, upscaler, listener)

    @property
    def decode(self) -> DecodeOptions:
        """How its frames are read. Behind the last of them nothing may come, so there the reader goes on to the end."""
        options = self.clip.options
        frames = None if self.is_last and options.decode.frames is None else len(self.pts)
        return replace(
            options.decode, after=self.after, lead=looks_back(options), frames=frames, max_pixels=options.max_pixels
        )


@dataclass(frozen=True, slots=True)
class Made:
    """What became of a segment.

    Attributes:
        segment: for the journal.
        tally, stages: what was done for it, and busy seconds.
        damage: what the source has lost in it, in words; "" for nothing.
        complaints: of the decoder, about frames of this segment.
        is_clean_start: decoding began at the clip's first frame.
    """

    segment: Segment
    tally: Tally
    stages: dict[str, float] = field(default_factory=dict)
    damage: str = ""
    complaints: int = 0
    is_clean_start: bool = False


Submit = Callable[[SegmentJob, Listener], "Future[Made]"]
"""Begins with a segment on some worker; the listener is called with its events, from any thread."""


def is_worth_dividing(job: VideoFacts) -> bool:
    """Whether a clip may go in segments, and is long enough for that by what its container declares."""
    stream = job.streams[0]
    expected = stream.frames or (stream.seconds or 0) * stream.rate
    if job.options.decode.frames is not None:
        expected = min(expected, job.options.decode.frames)
    return not not_in_segments(job) and expected > WORTH_DIVIDING * segment_length(stream.rate)


# Where segments are dispatched


def run_in_segments(
    job: VideoFacts, upscaler: Upscaler, submit: Submit, listener: Listener, workers: Callable[[], int] = lambda: 4
) -> ClipFinished:
    """As `run_resumable`; the segments are made by workers, at most `workers()` of them at once.

    Args:
        upscaler: equal to the workers' own; decides about sizes and the record, and computes nothing.

    Raises:
        Indivisible: the clip has to be done in turn; `run_resumable` goes on from what is recorded.
        UpscaleError: as `run_resumable`, or why a segment could not be made. What is done stays.
    """

    def dispatch(making: SegmentRun) -> None:
        _dispatch(making, submit, workers)

    return run_resumable(job, upscaler, listener, dispatch)


def _dispatch(making: SegmentRun, submit: Submit, workers: Callable[[], int]) -> None:
    """Has all segments made that are not recorded yet, and records them as they come."""
    jobs, recorded = _jobs(making), making.journal.recorded
    if any(job.number in recorded and recorded[job.number].pts != job.pts for job in jobs):
        raise Indivisible("other frames are recorded than its packets announce")
    waiting = deque(job for job in jobs if job.number not in recorded)
    progress = _Progress(making)
    in_progress: set[Future[Made]] = set()
    made: list[Made] = []
    try:
        while waiting or in_progress:
            while waiting and len(in_progress) < max(1, workers()):
                job = waiting.popleft()
                in_progress.add(submit(job, progress.listener_for(job)))
            done, in_progress = wait(in_progress, POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                made.append(future.result())
                making.journal.add(made[-1].segment)
                progress.take(made[-1])
    except (KeyboardInterrupt, InterruptedRun):
        _cancel(in_progress)
        raise
    except Exception:
        _cancel(in_progress)
        wait(in_progress)  # no worker shall write into the folder any more
        raise
    making.progress.end_of_others()
    making.journal.complete(damage_of(_damage(made), making.journal))


def _cancel(in_progress: "set[Future[Made]]") -> None:
    for future in in_progress:
        future.cancel()


def _damage(made: Sequence[Made]) -> str:
    """What is wrong with the source, by the reports of all segments; complaints count as in `VideoReader.damage`."""
    words = [one.damage for one in sorted(made, key=lambda one: -one.segment.number) if one.damage]
    if not words and any(one.complaints for one in made) and any(one.is_clean_start for one in made):
        words.append("the source is damaged: the decoder complains of it")  # how often, two segments may have reported
    more = [f"and more in {counted(len(words) - 1, 'place')}"] if len(words) > 1 else []
    return "; ".join(words[:1] + more)


class _Progress:
    """Progress of all segments in progress, from any thread, as one."""

    def __init__(self, making: SegmentRun) -> None:
        self._making = making
        self._frames: dict[int, int] = {}
        self._lock = Lock()

    def listener_for(self, job: SegmentJob) -> Listener:
        """Takes the events of one segment."""

        def listen(event: Event) -> None:
            if isinstance(event, Note):
                self._making.say(event.text)
            elif isinstance(event, ClipProgress):
                with self._lock:
                    self._frames[job.number] = event.done
                    self._making.progress.report_of_others(sum(self._frames.values()))

        return listen

    def take(self, made: Made) -> None:
        """A segment is done."""
        with self._lock:
            self._frames.pop(made.segment.number, None)
            self._making.progress.take(made.tally, made.stages)
            self._making.progress.report_of_others(sum(self._frames.values()))


def _jobs(making: SegmentRun) -> list[SegmentJob]:
    """All segments of a clip.

    Raises:
        Indivisible: their frames are not known.
        InputError: there is no frame.
    """
    job, planned = making.job, making.planned
    pts = expected_times(job, planned)
    if not pts:
        raise nothing_shown(job.clip)
    length = segment_length(planned.track.rate)
    return [
        SegmentJob(
            job, number, tuple(pts[begin : begin + length]), pts[begin - 1] if begin else None,
            begin + length >= len(pts), making.folder.absolute(), planned.stream, planned.track,
            making.plan.ffmpeg.version, planned.upscaler.used, making.engines,
        )
        for number, begin in enumerate(range(0, len(pts), length))
    ]  # fmt: skip


def expected_times(job: VideoFacts, planned: StreamPlan) -> list[int]:
    """The timestamps of all frames that are wanted, in ticks, by one walk over the packets.

    Raises:
        Indivisible: they cannot be known so, or could not be found again.
    """
    clip, stream, decode = job.clip, planned.stream, job.options.decode
    if stream.untimed:
        raise Indivisible("it has no timestamps")
    if not clip.seekable:
        raise Indivisible("it has no index to seek by")
    if deinterlacing(decode.deinterlace, stream) == "field":
        raise Indivisible("its fields become frames")
    return [pts for pts, _ in frames_announced(clip, stream, decode)]


# Where a segment is made


def make_segment(job: SegmentJob, upscaler: Upscaler, listener: Listener) -> Made:
    """Makes one segment: decodes from some seconds before it, so that each frame comes out as in a run from the start.

    Raises:
        Indivisible: other frames come than the packets announce.
        UpscaleError: it cannot be made; nothing is left of it.
    """
    say = saying_once(listener)
    ffmpeg = same_ffmpeg(job)
    _keep_engines(job, upscaler)
    frames, tally = _frame_upscaler(job, upscaler), Tally()
    steady = frames.steady() if job.clip.options.steady else None
    with (
        VideoReader(job.clip.clip, job.stream, job.track.format, ffmpeg, options=job.decode, say=say) as reader,
        SegmentEncoder(job.folder, job.number, job.clip.output_name, job.track, ffmpeg) as encoder,
    ):
        errors = _Errors(reader)

        def report() -> None:
            listener(ClipProgress(job.clip.clip.name, tally.frames, len(job.pts), 0.0, 0.0, None, ""))

        flow(
            _as_expected(errors.counted(reader), job),
            {job.stream.index: frames},
            encoder.write,
            tally=tally,
            stop_reading=reader.stop,
            finish={} if steady is None else {job.stream.index: steady},
            reuse=job.clip.options.reuse,
            on_frame=report,
            lr_capacity=capacity(job.track.format.frame_bytes(frames.width, frames.height)),
            sr_capacity=capacity(job.track.format.frame_bytes(frames.out_width, frames.out_height)),
        )
        segment = encoder.finish()
        stages = {"decode": reader.seconds, **frames.seconds, "encode": encoder.seconds}
        if steady is not None:
            stages["steady"] = steady.seconds
        is_damaged = reader.repeated or job.is_last  # else it may be no more than complaints, which are counted
        damage = reader.damage() if is_damaged else ""
        return Made(segment, tally, stages, damage, errors.count, reader.is_clean_start)


class _Errors:
    """Counts what a decoder complains of; behind a seek from the first wanted frame on: others are never shown."""

    def __init__(self, reader: VideoReader) -> None:
        self._reader = reader
        self._before: int | None = None

    @property
    def count(self) -> int:
        return self._reader.errors - (0 if self._reader.is_clean_start else self._before or 0)

    def counted(self, frames: VideoReader) -> Iterator[VideoFrame]:
        for frame in frames:
            if self._before is None and not frame.is_lead:
                self._before = self._reader.errors
            yield frame


def _as_expected(frames: Iterator[VideoFrame], job: SegmentJob) -> Iterator[VideoFrame]:
    """The frames, if they come at the times that the packets announce.

    Raises:
        Indivisible: they do not.
    """
    count = 0
    for frame in frames:
        if frame.is_lead:
            yield frame
            continue
        if count == len(job.pts) or frame.pts != job.pts[count]:
            raise Indivisible("its packets and its frames are not one to one")
        count += 1
        yield frame
    if count < len(job.pts):
        raise Indivisible("fewer frames come out of it than its packets announce")


def same_ffmpeg(job: SegmentJob) -> FFmpeg:
    """This machine's, if it is of the version that the clip was begun with.

    Raises:
        FFmpegError: it is not.
    """
    ffmpeg = find_ffmpeg()
    if ffmpeg.version != job.ffmpeg:
        raise FFmpegError(
            f"{job.name}: ffmpeg is {ffmpeg.version} on this worker and {job.ffmpeg} where the run began. "
            "Install the same everywhere, or name it with UPSCALE_FFMPEG."
        )
    return ffmpeg


def _keep_engines(job: SegmentJob, upscaler: Upscaler) -> None:
    """Has a clip's nets run by what ran them where the segments are dispatched. (A GPU is torch's everywhere.)

    Raises:
        DeviceError: this machine has no such engine.
    """
    if upscaler.device.type != "cpu":
        return
    passes = upscaler.plan(*job.lr_size, job.target).passes
    upscaler.engines.keep(job.engines, passes)
    here = upscaler.engines.labels(passes)
    if here != dict(job.engines):
        wanted, found = (", ".join(labels.values()) or "torch" for labels in (job.engines, here))
        raise DeviceError(
            f"{job.name}: the net would be run by {found} on this worker, and by {wanted} where the run began. "
            f"Install the same everywhere, or choose {option('engine', 'torch')}."
        )


def _frame_upscaler(job: SegmentJob, upscaler: Upscaler) -> VideoUpscaler:
    """As `plan_clip` makes it; what it may report was reported there.

    Raises:
        UpscaleError: this machine's result would be of another size.
    """
    stream, encoder = job.stream, job.track.encoder
    tags, _ = complete(stream.tags, stream.width, stream.height, job.track.format)
    frames = VideoUpscaler(
        upscaler, job.track.format, stream.width, stream.height, tags, job.clip.target,
        graph=job.clip.options.hurries, reuse=job.clip.options.reuse,
    )  # fmt: skip
    if frames.sr_width > encoder.width or frames.sr_height > encoder.height:
        raise UpscaleError(
            f"{job.name}: {frames.sr_width} x {frames.sr_height} pixels come out on this worker, where the run began "
            f"{encoder.width} x {encoder.height}. Install the same version everywhere."
        )
    frames.pad_to(encoder.width, encoder.height)
    if job.used is not None:
        frames.use_range(job.used)
    return frames
