"""source -> upscaler -> sink, for one clip. Read this first, after `pipeline`.

    VideoReader  ->  FrameUpscaler  ->  VideoWriter
    (ffmpeg, NUT)    (device)           (NUT, ffmpeg)

`clip_plan` decides everything that needs no frame; `run_clip` moves the frames; `watch` counts them.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from upscale_cli.errors import InputError, InterruptedRun, OutputError, UpscaleError
from upscale_cli.events import ClipFinished, Listener, Say, ignore, saying_once
from upscale_cli.files.work_folder import WorkFolder
from upscale_cli.frames.video import VideoFrame
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.frame_queue import Tally, capacity, flow
from upscale_cli.jobs.photo import folder_for
from upscale_cli.jobs.preview import preview_part
from upscale_cli.jobs.realtime import PATIENCE_SECONDS, Gate, Pacer
from upscale_cli.jobs.video_io import _writer, in_order, nothing_shown, open_reader
from upscale_cli.jobs.video_job import ClipJob
from upscale_cli.jobs.video_plan import ClipPlan, plan_clip
from upscale_cli.jobs.video_progress import Watch, started
from upscale_cli.media.video.live import ending_at_ctrl_c
from upscale_cli.media.video.player import Player
from upscale_cli.media.video.reader import VideoReader
from upscale_cli.media.video.tee import Once
from upscale_cli.media.video.writer import VideoWriter
from upscale_cli.text import counted


def run_clip(job: ClipJob, upscaler: Upscaler, listener: Listener = ignore) -> ClipFinished:
    """Upscales one clip.

    Raises:
        InputError: the source cannot be read.
        OutputError: the result cannot be written; only the work folder is left, and named.
        OptionError, CheckpointError, DeviceError, FFmpegError: as their names say.
        InterruptedRun: Ctrl-C; the text says what is left.
    """
    if job.options.resume:
        from upscale_cli.jobs.video_resume import run_resumable

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


def _move(job: ClipJob, plan: ClipPlan, readers: Sequence[VideoReader], writer: VideoWriter, watch: Watch) -> None:
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
        stop_writing=writer.abandon,
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


def _interrupted(work: WorkFolder | None, writer: VideoWriter, tally: Tally) -> UpscaleError:
    """What is left after Ctrl-C: a file that plays, in the work folder."""
    if work is None or not tally.frames or not writer.cut_short():
        return InterruptedRun()
    work.keep()
    return InterruptedRun(f"interrupted: the first {counted(tally.frames, 'frame')} are in {work.file}, which plays.")
