"""What happens, as server-sent events: of one job, or of all."""

from collections.abc import AsyncIterator
from typing import Annotated, Final

from fastapi import Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from upscale_cli.service.here import Here, JobId
from upscale_cli.service.hub import Subscription, Told
from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import problems
from upscale_cli.service.router import Router
from upscale_cli.service.service import Service
from upscale_cli.service.store import ENDED, StoredEvent

router: Final = Router(prefix="/api", tags=["events"])

LastEvent = Annotated[
    str | None,
    Header(alias="Last-Event-ID", description="The id of the last event that was heard: those after it come again."),
]


async def _all(service: Here) -> AsyncIterator[Subscription]:
    subscription = _subscribed(service, None)
    try:
        yield subscription
    finally:
        service.hub.leave(subscription)


async def _of_one(id: JobId, service: Here) -> AsyncIterator[Subscription]:
    await run_in_threadpool(service.job, id)
    subscription = _subscribed(service, id)
    try:
        yield subscription
    finally:
        service.hub.leave(subscription)


def _subscribed(service: Service, id: str | None) -> Subscription:
    if service.hub.listeners >= service.settings.max_streams:
        raise Problem(
            503, f"{service.settings.max_streams} streams of events are open already. Close some, or ask again.",
            headers={"Retry-After": "10"},
        )  # fmt: skip
    return service.hub.subscribe(id)


def _number(last: str | None) -> int | None:
    """The number of the last event that was heard; None where none is named that can be one of SQLite's."""
    return int(last) if last is not None and last.isdecimal() and len(last) < 19 else None


def _kept(past: StoredEvent) -> ServerSentEvent:
    return ServerSentEvent(event=past.record["event"], data={"id": past.job, **past.record}, id=str(past.number))


def _sent(told: Told) -> ServerSentEvent:
    number = None if told.number is None else str(told.number)
    return ServerSentEvent(event=told.kind, data=dict(told.data), id=number)


@router.get("/jobs/{id}/events", response_class=EventSourceResponse, responses=problems(404, 422, 503))
async def of_one(
    id: JobId, service: Here, heard: Annotated[Subscription, Depends(_of_one)], last: LastEvent = None
) -> AsyncIterator[ServerSentEvent]:
    """A job's events: `job` with its record at first and at each change of state, `progress`, and those of the pipeline
    (`started`, `note`, ...) with the fields of `upscale_cli.events`. The stream ends with the job."""
    job = await run_in_threadpool(service.job, id)
    yield ServerSentEvent(event="job", data=service.view(job).as_dict())
    after = _number(last) or 0
    for past in await run_in_threadpool(service.store.events, id, after):
        after = past.number
        yield _kept(past)
    if job.state in ENDED:
        return
    while (told := await heard.next()) is not None:
        for one in told:
            if one.number is not None and one.number <= after:
                continue
            yield _sent(one)
            if one.kind == "removed" or (one.kind == "job" and one.data["state"] in ENDED):
                return


@router.get("/events", response_class=EventSourceResponse, responses=problems(422, 503))
async def of_all(
    service: Here, heard: Annotated[Subscription, Depends(_all)], last: LastEvent = None
) -> AsyncIterator[ServerSentEvent]:
    """The events of all jobs, for pages that show many: as those of one; `removed` for a job that is forgotten."""
    after = _number(last)
    while after is not None and (more := await run_in_threadpool(service.store.events, None, after)):
        for past in more:
            after = past.number
            yield _kept(past)
    while (told := await heard.next()) is not None:
        for one in told:
            if one.number is not None and one.number <= (after or 0):
                continue
            yield _sent(one)
