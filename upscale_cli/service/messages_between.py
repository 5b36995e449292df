"""What a service and its workers say to each other; all of it can be pickled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from upscale_cli.events import Event
from upscale_cli.service.request import JobRequest


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """How a worker does its jobs.

    Attributes:
        lock: a file that it holds as long as it lives.
        device: what it computes on.
        jobs: photos in progress; None: by the machine.
        ray: the address of a cluster that does the jobs; None: this machine.
    """

    lock: Path
    device: str
    jobs: int | None
    ray: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A job, for a worker.

    Attributes:
        source: the input; `output`: the folder for its result.
        max_result_pixels: of a frame of the result.
    """

    id: str
    source: Path
    output: Path
    request: JobRequest
    max_result_pixels: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """A job is not wanted any more."""

    id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """All that is in progress is to be dropped, so that it can go on later; then the worker ends."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker can take so many jobs at once."""

    concurrency: int


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a job."""

    id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Ended:
    """A job is over.

    Attributes:
        how: "interrupted" where it was cancelled or the worker stops.
        message: why it failed or was skipped, or what the source has lost; marked, as `messages.Message` has it.
        result: the name of the file in the output folder, where it is done.
        facts: of the result.
        is_bug: the failure is ours, and `message` a traceback.
    """

    id: str
    how: Literal["done", "failed", "skipped", "interrupted"]
    message: str = ""
    result: str = ""
    facts: dict[str, Any] | None = None
    is_bug: bool = False


ToWorker = Task | Cancel | Stop
FromWorker = Ready | Happened | Ended
