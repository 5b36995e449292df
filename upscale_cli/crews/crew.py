"""Who does the jobs of a run: threads of this process, or the workers of a cluster.

    FolderRun  ->  Crew.submit(job)  ->  perform(job, upscaler)  ->  Future of what the source has lost

Whoever hands out jobs need not know where they are done; whoever does them need not know of folders and manifests.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from upscale_cli.clip import ClipJob
    from upscale_cli.events import Listener
    from upscale_cli.object_job import ObjectJob
    from upscale_cli.pipeline import Job
    from upscale_cli.upscaler import Upscaler


@dataclass(frozen=True, slots=True)
class Recipe:
    """How another process makes the same `Upscaler`; it can be pickled.

    Attributes:
        model: a name, or the path of a checkpoint; None for the best there is.
        options: keyword arguments of `Upscaler`, all but its listener.
    """

    model: str | None
    options: Mapping[str, Any]

    def make(self, listener: "Listener", **changed: Any) -> "Upscaler":
        """The upscaler.

        Args:
            changed: options that differ there, such as the device.
        """
        from upscale_cli.upscaler import Upscaler

        return Upscaler(self.model, listener=listener, **{**self.options, **changed})


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


def perform(job: "Job | ClipJob | ObjectJob", upscaler: "Upscaler", listener: "Listener") -> str:
    """Does one job, here and now; gives what the source has lost, in words, or "".

    Raises:
        UpscaleError: nothing came of it.
    """
    from upscale_cli.pipeline import Job, run

    if isinstance(job, Job):
        run(job, upscaler, listener)
        return ""
    from upscale_cli.object_job import ObjectJob, run_object

    if isinstance(job, ObjectJob):
        return run_object(job, upscaler, listener)
    from upscale_cli.video import run_clip

    return run_clip(job, upscaler, listener).damage
