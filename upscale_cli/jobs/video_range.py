"""Which values the frames of a clip use, found out before the first of them goes through the net."""

from collections.abc import Callable
from functools import partial

from upscale_cli.events import Say, unreported
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.inference.clip_range import range_of_frames
from upscale_cli.inference.value_range import told
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_io import Reader, open_reader
from upscale_cli.jobs.video_plan import ClipPlan
from upscale_cli.media.video.streams import VideoStream


def find_ranges(job: VideoFacts, plan: ClipPlan, say: Say) -> None:
    """Has the frames of a clip of measured values go through the net in the range that all of them use.

    Raises:
        InputError: nothing decodes.
    """
    for planned in plan.streams:
        stream, name = planned.stream, job.clip.name
        if not may_use_little(stream, planned.format, planned.upscaler):
            continue
        if job.tee is not None or job.is_paced:
            say(f"{name}: what its gray values use is found out for files only; the net gets them as they are.")
            continue
        # What there is to say is said when the frames are read for good.
        opened = partial(open_reader, job, plan, planned, job.options.decode, unreported)
        use_range(opened, planned.format, planned.upscaler, name, say)


def may_use_little(stream: VideoStream, format: PixelFormat, frames: VideoUpscaler) -> bool:
    """Whether it is a clip of measured values, by what it is: gray, of more than 8 bits, coded without loss.

    Films are none: they are in colour, or lossy, or use their range, which then the first frames show.
    """
    return format.model == "gray" and format.bits > 8 and stream.lossless and bool(frames.plan.passes)


def use_range(
    open_frames: Callable[[], Reader], format: PixelFormat, frames: VideoUpscaler, name: str, say: Say
) -> None:
    """Reads the frames through, up to where it is clear that they use their range; those that do not are reported."""
    with open_frames() as reader:
        used = range_of_frames((frame.samples for frame in reader), format.bits)
    if not used.is_full:
        frames.use_range(used)
        say(f"{name}: {told(used)}")
