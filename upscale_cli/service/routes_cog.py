"""Cog's verbs over HTTP; `cog.py` says what a prediction is. Answers and statuses are those of cog's own server (0.23),
apart from errors, which are problems here, and from GET, which it has not."""

import time
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from fastapi import Header, Path, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from upscale_cli._version import __version__
from upscale_cli.service import cog
from upscale_cli.service.cog import Prediction, PredictionRequest
from upscale_cli.service.folders import new_id
from upscale_cli.service.here import Here
from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import problems
from upscale_cli.service.router import Router
from upscale_cli.service.service import Service
from upscale_cli.service.store import ENDED, StoredJob
from upscale_cli.service.upload import counted, whole

router: Final = Router(tags=["cog"])

STARTED: Final = datetime.fromtimestamp(time.time(), UTC)

MOST_BODY: Final = 32 * 2**20
"""Bytes of a prediction: its picture is in it, and held in memory. Larger ones come by address, or as jobs."""

MOST_AT_ONCE: Final = 16
"""Bodies that arrive at a time."""

Prefer = Annotated[str | None, Header(description="respond-async: answer at once, and do not wait for the end.")]

PredictionId = Annotated[str, Path(max_length=200, description="As the client has chosen it.")]

_BODY: Final[dict[str, Any]] = {"requestBody": {
    "required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PredictionRequest"}}},
}}  # fmt: skip

_BEGUN: Final[dict[int | str, dict[str, Any]]] = {202: {"model": Prediction, "description": "It is in progress."}}

_MAKING: Final = (408, 413, 415, 422, 503, 507)


class CogHealth(BaseModel):
    """Whether predictions are taken. BUSY: all workers have enough to do; further ones wait."""

    status: Literal["STARTING", "READY", "BUSY"]
    setup: dict[str, Any]
    version: dict[str, str]


@router.post("/predictions", response_model=Prediction, openapi_extra=_BODY, responses={**_BEGUN, **problems(*_MAKING)})
async def predict(request: Request, service: Here, prefer: Prefer = None) -> JSONResponse:
    """Begin a prediction, and wait for its end unless `Prefer: respond-async` is sent."""
    wanted = await _wanted(request, service)
    return await _begun(service, wanted, wanted.id or new_id(), request, prefer)


@router.put(
    "/predictions/{id}", response_model=Prediction, openapi_extra=_BODY, responses={**_BEGUN, **problems(*_MAKING)}
)
async def predict_once(id: PredictionId, request: Request, service: Here, prefer: Prefer = None) -> JSONResponse:
    """As POST, under an id of the client's: one that is there already is given as it stands."""
    wanted = await _wanted(request, service)
    if wanted.id is not None and wanted.id != id:
        raise Problem(422, "id: has to be that of the address. Leave it out of the body.", field="id")
    there = await run_in_threadpool(service.store.by_key, cog.KEY + id)
    if there is not None:
        return await _answer(service, there)
    return await _begun(service, wanted, id, request, prefer)


@router.get(
    "/predictions/{id}", response_model=Prediction, response_model_exclude_none=True, responses=problems(404, 422)
)
def shown(id: PredictionId, service: Here) -> Prediction:
    """How a prediction stands."""
    return cog.prediction_of(service, _found(service, id))


@router.post("/predictions/{id}/cancel", responses=problems(404, 422, 507))
def cancel(id: PredictionId, service: Here) -> dict[str, Any]:
    """Drop a prediction."""
    service.cancel(_found(service, id).id)
    return {}


@router.get("/health-check", responses=problems())
async def health_check(service: Here) -> CogHealth:
    """Whether predictions are taken. It asks neither the queue nor a worker, so it answers at once."""
    workers = service.workers()
    is_ready = any(worker["ready"] for worker in workers)
    is_busy = is_ready and all(worker["full"] for worker in workers if worker["ready"])
    setup = {"started_at": STARTED.isoformat(), "status": "succeeded" if is_ready else "starting", "logs": ""}
    return CogHealth(
        status="STARTING" if not is_ready else "BUSY" if is_busy else "READY", setup=setup,
        version={"upscale_cli": __version__},
    )  # fmt: skip


async def _wanted(request: Request, service: Service) -> PredictionRequest:
    with counted(service, MOST_AT_ONCE):
        return PredictionRequest.model_validate_json(await whole(request, MOST_BODY))


async def _begun(
    service: Service, wanted: PredictionRequest, id: str, request: Request, prefer: str | None
) -> JSONResponse:
    await run_in_threadpool(service.check_queue)
    service.check_space(len(wanted.input.image))
    job = await run_in_threadpool(cog.submit, service, wanted, id, str(request.base_url))
    if "respond-async" in (prefer or "").lower():
        return JSONResponse({"id": id, "status": "starting"}, 202)
    heard = service.hub.subscribe(job.id)
    try:
        while (job := await run_in_threadpool(service.job, job.id)).state not in ENDED:
            if await heard.next() is None:
                break  # the service ends
    finally:
        service.hub.leave(heard)
    return await _answer(service, job)


async def _answer(service: Service, job: StoredJob) -> JSONResponse:
    prediction = await run_in_threadpool(cog.prediction_of, service, job)
    return JSONResponse(cog.as_json(prediction), 200 if job.state in ENDED else 202)


def _found(service: Service, id: str) -> StoredJob:
    job = service.store.by_key(cog.KEY + id)
    if job is None:
        raise Problem(404, "there is no such prediction.")
    return job
