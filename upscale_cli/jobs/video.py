"""source -> upscaler -> sink, for one clip. Read this first, after `photo`.

    VideoReader  ->  VideoUpscaler  ->  VideoWriter
    (ffmpeg, NUT)    (device)           (NUT, ffmpeg)

`video_plan` decides everything that needs no frame; `run_clip` moves the frames; `video_progress` counts them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from upscale_cli.errors import InputError, InterruptedRun, OutputError, UpscaleError
from upscale_cli.events import ClipFinished, Listener, Note, Say, ignore, saying_once, unreported
from upscale_cli.files.output_folder import folder_for
from upscale_cli.files.work_folder import WorkFolder
from upscale_cli.frames.video import VideoFrame
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.carried import Told, report_carried_of_clip
from upscale_cli.jobs.frame_queue import Tally, capacity, flow
from upscale_cli.jobs.job import Expected, Submit
from upscale_cli.jobs.long_clips import check_clip_length, expected_seconds
from upscale_cli.jobs.picture_output import PictureWriter
from upscale_cli.jobs.preview import preview_part
from upscale_cli.jobs.realtime import PATIENCE_SECONDS, Gate, Pacer
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_io import Reader, Writer, in_order, nothing_shown, open_reader, open_writer
from upscale_cli.jobs.video_plan import ClipPlan, plan_clip
from upscale_cli.jobs.video_progress import VideoProgress, started
from upscale_cli.jobs.video_range import find_ranges
from upscale_cli.jobs.video_resume import run_resumable
from upscale_cli.jobs.video_segments import Indivisible, is_worth_dividing, run_in_segments
from upscale_cli.media.video.live import ending_at_ctrl_c
from upscale_cli.media.video.opening import plays
from upscale_cli.media.video.player import Player
from upscale_cli.media.video.tee import Tee
from upscale_cli.media.video.writer import ENDING_SECONDS
from upscale_cli.text import counted


class VideoJob(VideoFacts):
    """One clip and one output; a `Job`."""

    __slots__ = ()

    def run(self, upscaler: Upscaler, listener: Listener = ignore) -> str:
        """As `run_clip`."""
        return run_clip(self, upscaler, listener).damage

    def expected(self, upscaler: Upscaler) -> Expected:
        return Expected(expected_seconds(plan_clip(self, upscaler, unreported)))

    def divided(self) -> "DividedVideo | None":
        return DividedVideo(self) if is_worth_dividing(self) else None


@dataclass(frozen=True, slots=True)
class DividedVideo:
    """A clip whose segments are made by several workers; by one, where that cannot be."""

    job: VideoJob

    def run(self, upscaler: Upscaler, listener: Listener, submit: Submit, workers: Callable[[], int]) -> str:
        """See `Divided.run`."""
        job = self.job.absolute()
        try:
            return run_in_segments(job, upscaler, submit, listener, workers).damage
        except Indivisible as reason:
            listener(Note(f"{job.name}: {reason}, so it is done by one worker, in turn."))
        alone = replace(job, options=replace(job.options, resume=True))
        return submit(alone, listener).result()


def run_clip(job: VideoFacts, upscaler: Upscaler, listener: Listener = ignore) -> ClipFinished:
    """Upscales one clip.

    Raises:
        InputError: the source cannot be read.
        OutputError: the result cannot be written; only the work folder is left, and named. Or it takes very long.
        OptionError, CheckpointError, DeviceError, FFmpegError: see `upscale_cli.errors`.
        InterruptedRun: Ctrl-C; the text names what is left.
    """
    if job.options.resume:
        return run_resumable(job, upscaler, listener)
    say = Told(saying_once(listener))
    if job.options.preview is not None:
        start, end = preview_part(job.options.decode, job.options.preview, job.clip)
        decode = replace(job.options.decode, start=start, end=end)
        job = replace(job, options=replace(job.options, decode=decode))
    plan = plan_clip(job, upscaler, say)
    check_clip_length(job, plan, say)
    find_ranges(job, plan, say)
    listener(started(job, upscaler, plan))
    if note := upscaler.plan_note(plan.streams[0].upscaler.plan, *job.lr_size):
        say(note)
    progress = VideoProgress(job, plan, listener)
    with ExitStack() as stack:
        if job.tee is not None:
            stack.enter_context(job.tee)
        work, player = None, None
        if isinstance(job.output, Path):
            stack.enter_context(folder_for(job.output))
            work = stack.enter_context(WorkFolder(job.output, overwrite=job.options.overwrite, say=say))
        elif job.output is None:
            player = stack.enter_context(Player(job.clip.name))
        target = work.file if work is not None else player.feed if player is not None else job.output
        readers: list[Reader] = []
        for planned in plan.streams:
            readers.append(open_reader(job, plan, planned, job.options.decode, say))
            stack.enter_context(readers[-1])
        assert target is not None
        writer: Writer = open_writer(job, plan, target, say)
        stack.enter_context(writer)
        try:
            with _until_closed(player, say), _until_ended(job.tee, say):
                _move(job, plan, readers, writer, progress)
            was_closed = player is not None and player.was_closed
            progress.end(readers, writer.seconds, is_whole=not was_closed)
            if player is not None:
                player.wait()
        except KeyboardInterrupt:
            raise _interrupted(work, writer, progress.tally) from None
        except InputError as error:
            kept = _kept(work, writer, progress.tally, ENDING_SECONDS)
            raise InputError(f"{error.marked} {kept}" if kept else error.message) from error
        if work is not None:
            _deliver(work, writer)
    if isinstance(job.output, Path) and job.options.preview is None and not job.container.frames:
        report_carried_of_clip(job.clip.path, job.name, job.output, job.output_name, say, listener)
    finished = progress.finished(upscaler)
    listener(finished)
    return finished


def _move(job: VideoFacts, plan: ClipPlan, readers: Sequence[Reader], writer: Writer, progress: VideoProgress) -> None:
    """All frames, from the readers through the upscalers into the writer."""
    track_of = {planned.stream.index: number for number, planned in enumerate(plan.streams)}

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
        progress.report(readers, writer.seconds)

    if job.tee is not None:
        job.tee.begin()
    flow(
        in_order(readers),
        {planned.stream.index: planned.pipeline for planned in plan.streams},
        write,
        tally=progress.tally,
        stop_reading=stop_reading,
        stop_writing=writer.abandon,
        finish={stream: finish for planned in plan.streams for stream, finish in planned.finish.items()},
        reuse=job.options.reuse,
        by_net=lambda frame: gate is None or gate.by_net(float(frame.pts * times[frame.stream])),
        on_frame=on_frame,
        lr_capacity=capacity(max(planned.lr_bytes for planned in plan.streams)),
        sr_capacity=capacity(max(planned.sr_bytes for planned in plan.streams)),
    )
    if not progress.tally.frames:
        raise nothing_shown(job.clip)
    if job.tee is not None:
        if job.tee.error is not None:
            raise job.tee.error
        job.tee.cut()  # no sound beyond the last frame that was asked for
    writer.finish()


def _gate(job: VideoFacts, plan: ClipPlan, writer: Writer) -> Gate | None:
    """What decides which late frames are upscaled by bicubic; None where no frame can be late."""
    if not job.is_clocked:
        return None
    upscalers = [planned.upscaler for planned in plan.streams]
    is_watched = job.tee is not None or not isinstance(job.output, Path)
    pacer = Pacer(
        float(sum(planned.track.rate for planned in plan.streams)),
        expected=max(upscaler.expected_seconds() for upscaler in upscalers),
        patience=PATIENCE_SECONDS if is_watched else None,
    )
    return Gate(
        pacer,
        lambda: sum(planned.seconds["net"] + planned.seconds.get("steady", 0.0) for planned in plan.streams),
        lambda: writer.held_seconds,
        depth=max(upscaler.depth for upscaler in upscalers),
    )


@contextmanager
def _until_closed(player: Player | None, say: Say) -> Iterator[None]:
    """The player was closed by the user: no error."""
    try:
        yield
    except OutputError:
        if player is None or not player.closes():
            raise
        player.wait()
        player.was_closed = True
        say("the player was closed.")


@contextmanager
def _until_ended(tee: Tee | None, say: Say) -> Iterator[None]:
    """A live source has no end of its own: Ctrl-C gives it one, and what came until then is finished as any clip."""
    if tee is None or not tee.is_live:
        yield
        return
    with ending_at_ctrl_c(tee.cut) as is_pressed:
        try:
            yield
        except InputError:
            if is_pressed():
                raise InterruptedRun from None
            raise
    if is_pressed():
        say(f"{tee.name}: ended by Ctrl-C.")


def _deliver(work: WorkFolder, writer: Writer) -> None:
    """What is whole gets its name."""
    if isinstance(writer, PictureWriter) and writer.is_sequence:
        writer.deliver()
        work.discard()
    else:
        work.deliver()


def _interrupted(work: WorkFolder | None, writer: Writer, tally: Tally) -> UpscaleError:
    """What is left after Ctrl-C: a file that plays, in the work folder."""
    kept = _kept(work, writer, tally)
    return InterruptedRun(f"interrupted: {kept[0].lower()}{kept[1:]}") if kept else InterruptedRun()


def _kept(work: WorkFolder | None, writer: Writer, tally: Tally, patience: float = 0.0) -> str:
    """Closes the file with the frames that are done, and leaves it where it is; gives a line about it, "" for none.

    Args:
        patience: as of `VideoWriter.cut_short`.
    """
    if work is None or not tally.frames:
        return ""
    is_whole = writer.cut_short(patience)
    if isinstance(writer, PictureWriter):
        if is_whole:
            work.keep()
        where = work.path if writer.is_sequence else work.file
        return f"The first {counted(writer.frames, 'frame')} are in {where}." if is_whole else ""
    if not plays(work.file):
        return ""
    work.keep()
    return f"The first {counted(tally.frames, 'frame')} are in {work.file}, which plays."
