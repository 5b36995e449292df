"""The two ends of a clip: its readers, merged by time, and its writer."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import IO

from upscale_cli.errors import InputError
from upscale_cli.events import Say
from upscale_cli.frames.video import VideoFrame
from upscale_cli.jobs.picture_output import PictureWriter
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_plan import ClipPlan, StreamPlan
from upscale_cli.media.video.frame_metadata import FrameMetadataReader
from upscale_cli.media.video.metadata_writer import MetadataWriter
from upscale_cli.media.video.picture_reader import PictureReader
from upscale_cli.media.video.reader import VideoReader
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.media.video.streams import Clip
from upscale_cli.media.video.tee import Later, Tapped
from upscale_cli.media.video.writer import VideoWriter
from upscale_cli.messages import option

Reader = VideoReader | PictureReader
Writer = VideoWriter | MetadataWriter | PictureWriter
"""What takes frames: where they carry metadata, their encoder is apart from the muxer."""


def open_reader(job: VideoFacts, plan: ClipPlan, planned: StreamPlan, decode: DecodeOptions, say: Say) -> Reader:
    """The frames of one stream."""
    decode = replace(decode, paced=job.is_paced, max_pixels=job.options.max_pixels)
    if job.clip.pictures is not None:
        return PictureReader(job.clip, planned.stream, planned.format, decode, say)
    return VideoReader(job.clip, planned.stream, planned.format, plan.ffmpeg, options=decode, tee=job.tee, say=say)


def open_writer(job: VideoFacts, plan: ClipPlan, target: Path | str | IO[bytes], say: Say) -> Writer:
    """What takes the frames of all streams, and copies the rest of the source."""
    if job.container.frames:
        assert isinstance(target, Path)
        folder = target.parent if job.container.frames == "sequence" else target
        return PictureWriter(job, plan.streams[0], folder, say)
    tracks = [planned.track for planned in plan.streams]
    if not any(planned.metadata for planned in plan.streams):
        return VideoWriter(
            target, job.output_name, tracks, job.container, plan.ffmpeg,
            clip=None if job.clip.pictures is not None else job.clip, slots=plan.slots, cut=plan.cut, tee=job.tee,
        )  # fmt: skip
    (planned,) = plan.streams

    is_carried = any(slot.action != "upscale" for slot in plan.slots)
    later = None if job.tee is None else Later(job.tee, is_wanted=is_carried)

    def open_muxer(below_zero: int) -> VideoWriter:
        return open_joiner(job, plan, target, below_zero, tee=later)

    metadata = open_metadata(job, planned)
    assert metadata is not None
    return MetadataWriter(job.output_name, planned.track, plan.ffmpeg, metadata, open_muxer)


def open_joiner(
    job: VideoFacts,
    plan: ClipPlan,
    target: Path | str | IO[bytes],
    below_zero: int,
    tee: Tapped | None = None,
) -> VideoWriter:
    """What takes the packets of the only stream, and copies the rest of the source.

    Args:
        below_zero: by how many ticks its first packet is decoded before zero, where pipes begin.
    """
    (planned,) = plan.streams
    return VideoWriter(
        target, job.output_name, [replace(planned.track, below_zero=below_zero)], job.container, plan.ffmpeg,
        clip=job.clip, slots=plan.slots, cut=plan.cut, is_join=True, tee=tee,
    )  # fmt: skip


def open_metadata(job: VideoFacts, planned: StreamPlan) -> FrameMetadataReader | None:
    """What the frames of a stream carry besides pictures; None where nothing of it is kept."""
    if not planned.metadata:
        return None
    decode, stream, frames = job.options.decode, planned.stream, planned.upscaler
    return FrameMetadataReader(
        job.clip, stream, planned.metadata,
        time_base=planned.track.time_base, rate=decode.fps or stream.rate,
        growth=(Fraction(frames.sr_width, stream.width), Fraction(frames.sr_height, stream.height)),
        start=decode.start or 0.0, max_pixels=job.options.max_pixels, tap=None if job.tee is None else job.tee.tap(),
    )  # fmt: skip


def nothing_shown(clip: Clip) -> InputError:
    """The part that was asked for lies between two frames, or behind the last one."""
    return InputError(
        f"{clip.name}: no frame of it is shown in that part. "
        f"Choose another {option('start')}, or a later {option('end')}."
    )


def in_order(readers: Sequence[Reader]) -> Iterator[VideoFrame]:
    """The frames of several streams, as they are shown."""
    if len(readers) == 1:
        return iter(readers[0])
    times = {reader.stream.index: reader.time_base for reader in readers}
    return heapq.merge(*readers, key=lambda frame: frame.pts * times[frame.stream])
