"""What runs jobs: threads of this process, or the workers of a cluster.

    FolderRun  ->  Executor.submit(job)  ->  job.run(upscaler)  ->  Future of what the source has lost

What submits jobs need not know where they are run; an executor knows nothing of folders and manifests.
"""

from concurrent.futures import Future
from typing import Protocol

from upscale_cli.events import Listener
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import Job


class Executor(Protocol):
    """Runs jobs, several at a time."""

    @property
    def concurrency(self) -> int:
        """How many jobs are worth being in progress at once; may change during a run."""

    def submit(self, job: Job, upscaler: Upscaler, listener: Listener) -> "Future[str]":
        """Begins with a job, at once or when a worker is free.

        Args:
            upscaler: what does it; in another process, one made by its `recipe`.
            listener: is called with its events, from any thread.

        Returns:
            What the source has lost, in words ("" for nothing), or the `UpscaleError` why it failed.
        """

    def close(self) -> None:
        """Ends what is in progress, leaving nothing half-done, and releases what was held."""
