"""Jobs over HTTP: accepted, listed, cancelled, done again, removed."""

from typing import Annotated, Any, Final

from fastapi import Header, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from upscale_cli.service.download import CONDITIONAL, Download
from upscale_cli.service.here import Here, JobId
from upscale_cli.service.inputs import AddressedJob, accept
from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import problems
from upscale_cli.service.request import MOST_BYTES, JobBody, parsed
from upscale_cli.service.router import Router
from upscale_cli.service.service import Service
from upscale_cli.service.store import State, StoredJob
from upscale_cli.service.upload import Form, received, whole
from upscale_cli.service.views import JobList, JobView

router: Final = Router(prefix="/api/jobs", tags=["jobs"])

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", max_length=200, description="A request that is sent again with it is the same job."
    ),
]

_BINARY: Final = {"*/*": {"schema": {"type": "string", "format": "binary"}}}

_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The file.", "content": _BINARY},
    **CONDITIONAL,
    206: {**CONDITIONAL[206], "content": {**_BINARY, "multipart/byteranges": {}}},
}

_FORM: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary", "description": "A photo, clip or comic."},
                        "options": {
                            "type": "string", "contentMediaType": "application/json",
                            "contentSchema": {"$ref": "#/components/schemas/JobBody"},
                            "description": "What is to be done with it: JSON as `JobBody`.",
                        },
                    },
                },
            },
            "application/json": {"schema": {"$ref": "#/components/schemas/AddressedJob"}},
        },
    }
}  # fmt: skip


@router.post(
    "", status_code=201, response_model=JobView, openapi_extra=_FORM,
    responses=problems(404, 408, 409, 413, 415, 422, 503, 507),
)  # fmt: skip
async def create(request: Request, response: Response, service: Here, key: Key = None) -> JobView:
    """Accept a job: a photo, clip or comic, and what is to be done with it.

    The file comes in a form, or it lies where the service can reach it: in a folder that the owner allows, at an
    address that the owner allows, or in an upload (`/api/uploads`); then the request is JSON.
    """
    key = None if key is None else f"key:{key}"  # other faces have keys of their own
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json":
        addressed = AddressedJob.model_validate_json(await whole(request, MOST_BYTES))
        job = await accept(service, addressed, key)
    else:
        async with received(request, service) as form:
            unknown = sorted(set(form.fields) - {"options"})
            if unknown:
                raise Problem(422, f"{unknown[0][:100]}: is no field of the form. Send file and options.")
            body: JobBody = parsed(form.fields.get("options", ""))
            job = await run_in_threadpool(_accept, service, form, body, key)
    response.headers["Location"] = f"/api/jobs/{job.id}"
    return service.view(job)


def _accept(service: Service, form: Form, body: JobBody, key: str | None) -> StoredJob:
    with form.arrived() as path:
        return service.submit(body, name=form.name, arrived=path, key=key)


@router.get("", responses=problems(422))
def listed(
    service: Here,
    limit: Annotated[int, Query(ge=1, le=500, description="Most jobs in the answer.")] = 100,
    before: Annotated[int | None, Query(ge=0, le=2**53, description="Of an earlier answer: the next page.")] = None,
    state: Annotated[list[State] | None, Query(description="Only jobs in one of these states.")] = None,
) -> JobList:
    """All jobs, the newest first."""
    jobs = service.store.newest(limit, before, tuple(state or ()))
    return JobList(jobs=[service.view(job) for job in jobs], before=jobs[-1].number if len(jobs) == limit else None)


@router.get("/{id}", responses=problems(404, 422))
def shown(id: JobId, service: Here) -> JobView:
    """One job, and how far it is."""
    return service.view(service.job(id))


@router.get(
    "/{id}/result", response_class=Download,
    responses={**_FILE, **problems(404, 409, 410, 416, 422)},
)  # fmt: skip
def result(id: JobId, service: Here) -> Download:
    """The file that was made; takes Range and If-None-Match."""
    job = service.job(id)
    return Download(service.result(job), filename=service.view(job).result_name, headers=DOWNLOAD)


DOWNLOAD: Final = {"Content-Security-Policy": "sandbox; default-src 'none'", "Cache-Control": "private"}
"""What a client sent may be a page; in a browser it does nothing."""


@router.get(
    "/{id}/input", response_class=Download,
    responses={**_FILE, **problems(404, 410, 416, 422)},
)  # fmt: skip
def original(id: JobId, service: Here) -> Download:
    """The file that it was made from; takes Range and If-None-Match."""
    job = service.job(id)
    path = service.folders.input(job.id, job.source)
    if not path.is_file():
        raise Problem(410, "the input is gone from the disk.")
    return Download(path, filename=job.name, headers=DOWNLOAD)


@router.post("/{id}/cancel", responses=problems(404, 422, 507))
def cancel(id: JobId, service: Here) -> JobView:
    """Drop a job that waits or runs; one that runs ends a moment later. One that has ended stays as it is."""
    return service.view(service.cancel(id))


@router.post("/{id}/retry", responses=problems(404, 409, 422, 507))
def retry(id: JobId, service: Here) -> JobView:
    """Do a job again that has failed, was cancelled or skipped."""
    return service.view(service.retry(id))


@router.delete("/{id}", status_code=204, responses=problems(404, 409, 422, 507))
def remove(id: JobId, service: Here) -> Response:
    """Forget a job that has ended, with its input and result."""
    service.remove(id)
    return Response(status_code=204)
