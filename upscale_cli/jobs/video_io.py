"""The two ends of a clip: its readers, merged by time, and its writer."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from upscale_cli.errors import InputError
from upscale_cli.events import Say
from upscale_cli.frames.video import VideoFrame
from upscale_cli.jobs.video_job import ClipJob
from upscale_cli.jobs.video_plan import ClipPlan, LanePlan
from upscale_cli.media.video.reader import DecodeOptions, VideoReader
from upscale_cli.media.video.streams import Clip
from upscale_cli.media.video.writer import VideoWriter


def open_reader(job: ClipJob, plan: ClipPlan, lane: LanePlan, decode: DecodeOptions, say: Say) -> VideoReader:
    """The frames of one lane."""
    decode = replace(decode, paced=job.is_paced, max_pixels=job.options.max_pixels)
    return VideoReader(job.clip, lane.stream, lane.format, plan.ffmpeg, options=decode, once=job.once, say=say)


def _writer(job: ClipJob, plan: ClipPlan, target: Path | str | IO[bytes]) -> VideoWriter:
    tracks = [lane.track for lane in plan.lanes]
    return VideoWriter(
        target, job.output_name, tracks, job.container, plan.ffmpeg, clip=job.clip, slots=plan.slots, cut=plan.cut,
        once=job.once,
    )  # fmt: skip


def nothing_shown(clip: Clip) -> InputError:
    """The part that was asked for lies between two frames, or behind the last one."""
    return InputError(f"{clip.name}: no frame of it is shown in that part. Choose another --start, or a later --end.")


def in_order(readers: Sequence[VideoReader]) -> Iterator[VideoFrame]:
    """The frames of several streams, as they are shown."""
    if len(readers) == 1:
        return iter(readers[0])
    times = {reader.stream.index: reader.time_base for reader in readers}
    return heapq.merge(*readers, key=lambda frame: frame.pts * times[frame.stream])
