"""Who does the jobs of a run: threads of this process, or the workers of a cluster.

    FolderRun  ->  Crew.submit(job)  ->  perform(job, upscaler)  ->  Future of what the source has lost

Whoever hands out jobs need not know where they are done; whoever does them need not know of folders and manifests.
"""

from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from upscale_cli.events import Listener
    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.jobs.job import Job
    from upscale_cli.jobs.object_job import ObjectJob
    from upscale_cli.jobs.video_job import ClipJob


class Crew(Protocol):
    """Does jobs, several at a time."""

    @property
    def hands(self) -> int:
        """How many jobs are worth being under way at once; may change during a run."""

    def submit(self, job: "Job | ClipJob | ObjectJob", upscaler: "Upscaler", listener: "Listener") -> "Future[str]":
        """Begins with a job, at once or when a hand is free.

        Args:
            upscaler: what does it; in another process, one made by its `recipe`.
            listener: told of it, from any thread.

        Returns:
            What the source has lost, in words ("" for nothing), or the `UpscaleError` why nothing came of it.
        """

    def close(self) -> None:
        """Ends what is under way, leaving nothing half-done, and lets go of whatever was held."""
