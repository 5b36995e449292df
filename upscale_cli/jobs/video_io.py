"""The two ends of a clip: its readers, merged by time, and its writer."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from upscale_cli.errors import InputError
from upscale_cli.events import Say
from upscale_cli.frames.video import VideoFrame
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_plan import ClipPlan, StreamPlan
from upscale_cli.media.video.reader import VideoReader
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.media.video.streams import Clip
from upscale_cli.media.video.writer import VideoWriter
from upscale_cli.messages import option


def open_reader(job: VideoFacts, plan: ClipPlan, planned: StreamPlan, decode: DecodeOptions, say: Say) -> VideoReader:
    """The frames of one stream."""
    decode = replace(decode, paced=job.is_paced, max_pixels=job.options.max_pixels)
    return VideoReader(job.clip, planned.stream, planned.format, plan.ffmpeg, options=decode, tee=job.tee, say=say)


def open_writer(job: VideoFacts, plan: ClipPlan, target: Path | str | IO[bytes]) -> VideoWriter:
    """What takes the frames of all streams, and copies the rest of the source."""
    tracks = [planned.track for planned in plan.streams]
    return VideoWriter(
        target, job.output_name, tracks, job.container, plan.ffmpeg, clip=job.clip, slots=plan.slots, cut=plan.cut,
        tee=job.tee,
    )  # fmt: skip


def nothing_shown(clip: Clip) -> InputError:
    """The part that was asked for lies between two frames, or behind the last one."""
    return InputError(
        f"{clip.name}: no frame of it is shown in that part. "
        f"Choose another {option('start')}, or a later {option('end')}."
    )


def in_order(readers: Sequence[VideoReader]) -> Iterator[VideoFrame]:
    """The frames of several streams, as they are shown."""
    if len(readers) == 1:
        return iter(readers[0])
    times = {reader.stream.index: reader.time_base for reader in readers}
    return heapq.merge(*readers, key=lambda frame: frame.pts * times[frame.stream])
