"""A clip that keeps the machine busy for hours is announced, and for days is begun only where that is said."""

from pathlib import Path
from typing import Final

from upscale_cli.errors import OutputError
from upscale_cli.events import Say
from upscale_cli.jobs.long_runs import LONG_SECONDS, WORTH_TIMING_PIXELS
from upscale_cli.jobs.video_facts import VideoFacts
from upscale_cli.jobs.video_plan import ClipPlan
from upscale_cli.messages import option
from upscale_cli.text import duration

LONG_CLIP_SECONDS: Final = 48 * 3600
"""A clip that is expected to take longer is asked about. A film takes a night on many a machine: that is no mistake."""


def expected_seconds(plan: ClipPlan) -> float | None:
    """How long a clip is likely to take on a CPU; None on a GPU, and where nothing says how many frames there are."""
    if plan.frames is None or plan.streams[0].upscaler.device.type != "cpu":
        return None
    return plan.frames / len(plan.streams) * sum(planned.upscaler.expected_seconds() for planned in plan.streams)


def check_clip_length(job: VideoFacts, plan: ClipPlan, say: Say) -> None:
    """Says how long a clip is expected to take, where that is hours, and refuses days of work that a power cut would
    end, unless the user has said yes. With `resume` nothing is lost, so nothing is asked.

    Known on a CPU only, and where the container says how many frames there are.

    Raises:
        OutputError: the expected time is above the bound.
    """
    pixels = sum(planned.upscaler.out_width * planned.upscaler.out_height for planned in plan.streams)
    frames = (plan.frames or 0) / len(plan.streams)
    if job.is_clocked or not isinstance(job.output, Path) or pixels * frames < WORTH_TIMING_PIXELS:
        return
    seconds = expected_seconds(plan)
    if seconds is None or seconds <= LONG_SECONDS:
        return
    device = plan.streams[0].upscaler.device.type.upper()
    expected = f"{job.clip.name}: {plan.frames:,} frames are expected to take {duration(seconds)} on this {device}"
    if job.options.resume:
        say(f"{expected}.")
    elif job.options.yes or seconds <= LONG_CLIP_SECONDS:
        say(f"{expected}. With {option('resume', True)} it could be interrupted, and go on later.")
    else:
        raise OutputError(
            f"{expected}, more than {duration(LONG_CLIP_SECONDS)}. Give {option('resume', True)}, so that it can be "
            f"interrupted, or {option('yes', True)} to begin all the same."
        )
