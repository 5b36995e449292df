"""What a service says to its workers and its watcher, and they to it; all of it can be pickled."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from upscale_cli.events import Carried, ClipFinished, Event, Fetching, Finished
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
        source: the input.
        output: the folder for its result; with `is_placed` the very file.
        max_result_pixels: of a frame of the result.
    """

    id: str
    source: Path
    output: Path
    request: JobRequest
    max_result_pixels: int
    is_placed: bool = False


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
class Unable:
    """A worker cannot begin, such as without its cluster; the reason is marked."""

    reason: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that the owner should know; marked."""

    text: str


UNTOLD: Final = (Fetching, Carried, Finished, ClipFinished)
"""Events that say no more than the job's record, or come too often to be kept."""


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of a job, which is none of `UNTOLD`."""

    id: str
    event: Event


@dataclass(frozen=True, slots=True)
class Ended:
    """A job is over.

    Attributes:
        how: "interrupted" where it was cancelled, the worker stops, or others left it no memory.
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
FromWorker = Ready | Unable | Noted | Happened | Ended


@dataclass(frozen=True, slots=True)
class WatcherSetup:
    """What the watcher watches.

    Attributes:
        lock: a file that it holds as long as it lives.
        folders: with all that are in them; `output`: where results go, None: next to the inputs.
        request: what is done with each file.
        device: what the workers compute on: it decides about the model where none is named.
        at_once: files that are in the queue at a time.
    """

    lock: Path
    folders: tuple[Path, ...]
    output: Path | None
    request: JobRequest
    device: str
    at_once: int


@dataclass(frozen=True, slots=True)
class Found:
    """A file that is to be done.

    Attributes:
        number: by which it is called when it is settled.
        output: where the result goes.
        overwrite: whether it takes the place of what is there, which is ours.
    """

    number: int
    source: Path
    output: Path
    overwrite: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a file comes to nothing, before it is a job or after; marked, as `messages.Message` has it."""

    source: str
    message: str


@dataclass(frozen=True, slots=True)
class Coming:
    """How many files have been found, and are not done."""

    count: int


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a file that was found.

    Attributes:
        message: of the job.
    """

    number: int
    state: Literal["done", "failed", "skipped", "cancelled"]
    message: str


@dataclass(frozen=True, slots=True)
class Made:
    """What came to nothing was tried again since, by a client, and its output is there.

    Attributes:
        source: the path.
        message: what it has lost; "" for nothing.
    """

    source: str
    message: str


ToWatcher = Settled | Made
FromWatcher = Found | Refused | Coming | Noted
