"""Does one job, here and now."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from upscale_cli.events import Listener
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.job import Job
    from upscale_cli.jobs.object_job import ObjectJob
    from upscale_cli.jobs.video_job import ClipJob


def perform(job: "Job | ClipJob | ObjectJob", upscaler: "Upscaler", listener: "Listener") -> str:
    """Does one job, here and now; gives what the source has lost, in words, or "".

    Raises:
        UpscaleError: nothing came of it.
    """
    from upscale_cli.jobs.job import Job
    from upscale_cli.jobs.photo import run

    if isinstance(job, Job):
        run(job, upscaler, listener)
        return ""
    from upscale_cli.jobs.object_job import ObjectJob, run_object

    if isinstance(job, ObjectJob):
        return run_object(job, upscaler, listener)
    from upscale_cli.jobs.video import run_clip

    return run_clip(job, upscaler, listener).damage
