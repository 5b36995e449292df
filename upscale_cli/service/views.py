"""What clients see of a job. Pure."""

import json
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from upscale_cli.service.folders import INPUT_STEM, Kind
from upscale_cli.service.progress import JobProgress
from upscale_cli.service.store import State, StoredJob


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job.

    Attributes:
        id: names it in all addresses.
        number: the order of arrival; also the cursor of lists.
        name: of the input, as the client has it.
        state: queued, running, done, failed, cancelled, or skipped (the input is as large as it has to be).
        input_bytes, result_bytes: sizes of the files.
        created, started, ended: seconds since 1970; null while that is to come.
        message: why there is no result, or what the source has lost; one line.
        options: as they were asked for.
        result_name: what the result is called when it is downloaded; "" while there is none.
        facts: of the result: model, device, width, height, frames, seconds.
        progress: while it runs.
        watched: it is a file of a watched folder: the result lies beside it or in the owner's output folder, and stays
            there when the job is deleted.
    """

    id: str
    number: int
    name: str
    kind: Kind
    state: State
    input_bytes: int
    result_bytes: int
    created: float
    started: float | None
    ended: float | None
    message: str
    options: dict[str, Any]
    result_name: str
    facts: dict[str, Any]
    progress: JobProgress | None
    watched: bool

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        progress = None if self.progress is None else asdict(self.progress)
        return {**{name: getattr(self, name) for name in self.__slots__}, "progress": progress}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobList:
    """Jobs, the newest first.

    Attributes:
        before: for the next page: `?before=`; null on the last.
    """

    jobs: list[JobView]
    before: int | None


def result_name(job: StoredJob) -> str:
    """What a result is called: the client's name of the input, and what the command line adds to it."""
    if not job.result:
        return ""
    if job.place is not None or not job.result.startswith(INPUT_STEM):
        return job.result
    return f"{PurePath(job.name).stem}{job.result.removeprefix(INPUT_STEM)}"


def view(job: StoredJob, progress: JobProgress | None) -> JobView:
    """A job as clients see it."""
    return JobView(
        id=job.id, number=job.number, name=job.name, kind=job.kind, state=job.state, input_bytes=job.input_bytes,
        result_bytes=job.result_bytes, created=job.created, started=job.started, ended=job.ended, message=job.message,
        options=json.loads(job.request), result_name=result_name(job), facts=dict(job.facts),
        progress=progress if job.state == "running" else None, watched="watched" in job.extra,
    )  # fmt: skip
