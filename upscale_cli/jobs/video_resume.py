"""One clip in segments, so that a run which was killed at any moment can go on.

    VideoReader (after the last recorded frame)  ->  FrameUpscaler  ->  SegmentWriter  ->  join  ->  output

What is done lies in the work folder (`media/video/segments.py`); an uninterrupted run makes the same segments. Other
workers may make them instead (`video_segments.py`): then this is what comes before and after.
"""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from upscale_cli.errors import InputError, InterruptedRun, OptionError, OutputError
from upscale_cli.events import ClipFinished, Listener, Say, saying_once
from upscale_cli.files.output_folder import folder_for
from upscale_cli.files.work_folder import WorkFolder, job_in, under_keys, work_folder
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.carried import Told, report_carried_of_clip
from upscale_cli.jobs.fingerprint import ENGINES_KEY, digest, keep_engines, requested_options
from upscale_cli.jobs.finished_jobs import remember, was_finished
from upscale_cli.jobs.frame_queue import capacity, flow
from upscale_cli.jobs.long_clips import check_clip_length
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_io import nothing_shown, open_joiner, open_metadata, open_reader
from upscale_cli.jobs.video_plan import ClipPlan, StreamPlan, looks_back, plan_clip
from upscale_cli.jobs.video_progress import VideoProgress, started
from upscale_cli.jobs.video_range import find_ranges
from upscale_cli.media.video.carried_streams import upscaled_outputs
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.opening import cut_source, open_clip
from upscale_cli.media.video.segments import Journal, Segment, SegmentWriter, decoding_times, join
from upscale_cli.messages import option

WITHOUT_NEGATIVE_TIMES: Final = ("mpegts", "flv", "nut")
"""Muxers of containers in which decoding, too, begins at zero or later."""

ENCODER: Final = "the encoder"


@dataclass(frozen=True, slots=True)
class SegmentRun:
    """What it takes to make the segments that are missing.

    Attributes:
        folder: where they are to lie.
        journal: which are there, and where the others are recorded.
        progress: counts them.
        engines: what runs the nets, by scale.
    """

    job: VideoFacts
    plan: ClipPlan
    folder: Path
    journal: Journal
    progress: VideoProgress
    say: Say
    engines: Mapping[str, str]

    @property
    def planned(self) -> StreamPlan:
        (planned,) = self.plan.streams
        return planned


def run_resumable(
    job: VideoFacts, upscaler: Upscaler, listener: Listener, make: Callable[[SegmentRun], None] | None = None
) -> ClipFinished:
    """As `video.run_clip`, in segments. What a former run of the same job has done is not done again.

    Args:
        make: makes all segments that are missing and completes the journal; None: in turn, in this process.

    Raises:
        OptionError: the work folder is of another job, or the options do not go with segments.
        OutputError: the result cannot be written; what is done stays in the work folder.
        InterruptedRun: Ctrl-C; the same.
    """
    say = Told(saying_once(listener))
    output = _checked(job)
    keep_engines(upscaler, output, job.target, job.lr_size, say)
    record = job_record(job, upscaler)
    if job.options.resume and was_finished(output, record):
        _clear_up(output, record, say)
        say(f"{job.output_name} was finished by this job already; nothing is left to do.")
        finished = _nothing(job, upscaler)
        listener(finished)
        return finished
    encode = replace(job.options.encode, closed_gop=True)
    job = replace(job, options=replace(job.options, encode=encode))
    plan = plan_clip(job, upscaler, say)
    (planned,) = plan.streams
    _check_joinable(job, planned)
    if make is None:
        check_clip_length(job, plan, say)
    find_ranges(job, plan, say)
    with (
        folder_for(output),
        WorkFolder(output, overwrite=job.options.overwrite, resume=True, say=say) as work,
        work.failures(),
    ):
        journal = Journal(work.path, {**record, ENCODER: _encoder_name(planned)}, lambda: _check_whole(job))
        if make is None:
            journal.forget_beyond_gaps()
        progress = VideoProgress(job, plan, listener, already=journal.frames)
        listener(started(job, upscaler, plan))
        if journal.frames:
            say(f"{job.clip.name}: going on after frame {journal.frames}.")
        making = SegmentRun(job, plan, work.path, journal, progress, say, record.get(ENGINES_KEY, {}))
        try:
            with work.failures():
                if not journal.is_complete:
                    (make or _make_in_turn)(making)
                _join(job, plan, work, journal)
        except (KeyboardInterrupt, InterruptedRun):
            raise InterruptedRun(
                f"interrupted: {journal.frames} frames are done in {work.path}; the same command goes on from there."
            ) from None
        except (InputError, OutputError) as error:
            raise type(error)(
                f"{error.marked} {journal.frames} frames are done; the same command goes on from there."
            ) from error
        remember(output, work.file, record)  # first, so that a kill in between leaves nothing unexplained
        work.deliver()
    report_carried_of_clip(job.clip.path, job.name, output, job.output_name, say, listener)
    finished = replace(progress.finished(upscaler, repeats=journal.repeats), damage=journal.damage)
    listener(finished)
    return finished


def _checked(job: VideoFacts) -> Path:
    """The output, if the options go with segments.

    Raises:
        OptionError: they do not.
    """
    for other in not_in_segments(job):
        raise OptionError(f"{option('resume', True)} does not go with {other}. Leave one of them out.")
    assert isinstance(job.output, Path)
    return job.output


def not_in_segments(job: VideoFacts) -> list[str]:
    """What of a job does not go with segments, by the names that the user knows."""
    options = job.options
    excluded = {
        option("realtime", "strict"): options.realtime == "strict",
        option("play", True): options.play,
        option("live", True): options.live,
        option("preview"): options.preview is not None,
        option("video_stream", "all"): options.video_stream == "all" and len(job.clip.video) > 1,
        option("output", "-"): not isinstance(job.output, Path),
        "a clip from a pipe": job.tee is not None,
        "a clip of pictures": job.clip.pictures is not None or bool(job.container.frames),
    }
    return [other for other, is_given in excluded.items() if is_given]


def job_record(job: VideoFacts, upscaler: Upscaler) -> dict[str, Any]:
    """What makes a job the same job: the input's content and everything that decides about a pixel or a packet, each
    under the name that the user knows. Neither the clock nor `hwaccel` has a part."""
    decode, encode, source = job.options.decode, job.encode, job.clip.path
    assert source is not None, "what is no file does not go in segments"
    record = {
        "the input": digest(source),
        "the container": job.container.name,
        **requested_options(upscaler, job.target, job.lr_size),
        **under_keys(
            start=decode.start, end=decode.end, frames=decode.frames, fps=decode.fps, deinterlace=decode.deinterlace,
            video_stream=job.options.video_stream, codec=encode.codec, crf=encode.crf, preset=encode.preset,
            pix_fmt=encode.pix_fmt, extra=[f"{name}={value}" for name, value in encode.extra],
            realtime=encode.realtime, **({"steady": True} if job.options.steady else {}),
        ),
        "ffmpeg's version": find_ffmpeg().version,
    }  # fmt: skip
    plain: dict[str, Any] = json.loads(json.dumps(record, default=str))
    return plain


def _check_whole(job: VideoFacts) -> None:
    """Refuses a source that was cut since it was probed: frames may have been read that are none of its.

    Raises:
        InputError: so it was.
    """
    if (cut := cut_source(job.clip)) is not None:
        raise cut


def _encoder_name(planned: StreamPlan) -> str:
    """What "auto" was resolved to on this machine."""
    encoder = planned.track.encoder
    return f"{encoder.name} {encoder.pix_fmt} {encoder.width} x {encoder.height}"


def _check_joinable(job: VideoFacts, planned: StreamPlan) -> None:
    """Refuses what would come out of the join with less than it has.

    Raises:
        OptionError: the codec, in that container.
    """
    if planned.track.encoder.name == "ffv1" and job.container.muxer == "mov":
        raise OptionError(
            f"{option('resume', True)} would lose the colour tags of ffv1 in QuickTime. "
            f"Choose an {option('output')} in .mkv, or another {option('codec')}."
        )


def _make_in_turn(making: SegmentRun) -> None:
    """All frames that are not recorded yet, one segment after the other."""
    job, planned, journal, progress = making.job, making.planned, making.journal, making.progress
    wanted = job.options.decode.frames
    if wanted is not None and journal.frames >= wanted:
        journal.complete(damage_of("", journal))
        return
    decode = replace(
        job.options.decode, after=journal.last_pts, lead=looks_back(job.options),
        frames=None if wanted is None else wanted - journal.frames,
    )  # fmt: skip
    with (
        open_reader(job, making.plan, planned, decode, making.say) as reader,
        SegmentWriter(making.folder, job.output_name, planned.track, journal, making.plan.ffmpeg) as writer,
    ):
        flow(
            reader,
            {planned.stream.index: planned.upscaler},
            writer.write,
            tally=progress.tally,
            stop_reading=reader.stop,
            finish=planned.finish,
            reuse=job.options.reuse,
            on_frame=lambda: progress.report([reader], writer.seconds),
            lr_capacity=capacity(planned.lr_bytes),
            sr_capacity=capacity(planned.sr_bytes),
        )
        if not journal.frames and not progress.tally.frames:
            raise nothing_shown(job.clip)
        writer.finish()
        progress.end([reader], writer.seconds)
        journal.complete(damage_of(reader.damage(), journal))


def damage_of(found: str, journal: Journal) -> str:
    """What is wrong with the source, in words; "" for nothing. Frames lost in former runs count.

    Args:
        found: in this run.
    """
    if found or not journal.repeats:
        return found
    return f"the source is damaged: {journal.repeats} lost frames are the frame before again"


def _join(job: VideoFacts, plan: ClipPlan, work: WorkFolder, journal: Journal) -> None:
    """The segments and everything else of the source into the output; nothing is encoded again."""
    (planned,) = plan.streams
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(open_joiner(job, plan, work.file, -decoding_times(journal.segments)[0]))
        metadata = open_metadata(job, planned)
        if metadata is not None:
            stack.enter_context(metadata)
        join(work.path, journal.segments, writer, planned.track.encoder, metadata)
        writer.finish()
    _check_join(job, plan, work.file, journal.segments)


def _check_join(job: VideoFacts, plan: ClipPlan, file: Path, segments: list[Segment]) -> None:
    """Compares the output's timestamps with those that were recorded.

    Raises:
        OutputError: they differ by more than the container's tick. Where the container knows no times below zero, its
            muxer may have shifted everything by one amount.
    """
    (place,) = upscaled_outputs(plan.slots)
    time_base = plan.streams[0].track.time_base
    wanted = [pts * time_base - Fraction(plan.cut.start) for segment in segments for pts in segment.pts]
    with open_clip(f"file:{file}") as container:
        stream = container.streams[place]
        found = sorted(
            packet.pts * packet.time_base
            for packet in container.demux(stream)
            if packet.size and packet.pts is not None and packet.time_base is not None
        )
        tick = stream.time_base or Fraction(1, 1000)
    if job.container.muxer in WITHOUT_NEGATIVE_TIMES:
        wanted, found = _from_the_first(wanted), _from_the_first(found)
    off = [abs(one - other) for one, other in zip(wanted, found, strict=False)]
    if len(wanted) != len(found) or max(off, default=0) > max(tick, time_base):
        raise OutputError(
            f"{job.output_name}: the joined clip has {len(found)} of {len(wanted)} frames, up to "
            f"{float(max(off, default=Fraction(0))):.3f} s off. "
            f"Run it without {option('resume', True)}, or write Matroska ({option('output', 'X.mkv')})."
        )


def _from_the_first(times: list[Fraction]) -> list[Fraction]:
    return [time - times[0] for time in times]


# Jobs that are finished


def _clear_up(output: Path, record: dict[str, Any], say: Say) -> None:
    """Takes away the work folder of this finished job, where a kill left it."""
    left = job_in(work_folder(output))
    if left is not None and {**left, ENCODER: ""} == {**record, ENCODER: ""}:
        with WorkFolder(output, overwrite=True, resume=True, say=say) as work:
            work.discard()


def _nothing(job: VideoFacts, upscaler: Upscaler) -> ClipFinished:
    """The summary of a job that was finished before."""
    width, height = job.target.size_for(*job.lr_size)
    return ClipFinished(
        source=job.clip.name, output=job.output_name, width=width, height=height, seconds=0.0, frames=0, fps=0.0,
        realtime=0.0, net=0, fallback=0, same=0, repeated=0, slowest="", stages={}, model=upscaler.name,
    )  # fmt: skip
