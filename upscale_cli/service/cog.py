"""Cog's predictions (https://github.com/replicate/cog, its HTTP API), so that clients made for it fit: as values.

A prediction is a job: its id is the job's key, so that the same PUT twice is one prediction. Its input is a job's
options, and an `image`: a data: URL, or an address that the owner allows.
"""

import base64
import binascii
import mimetypes
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field

from upscale_cli.service.fetching import ending_for, name_at
from upscale_cli.service.folders import is_address
from upscale_cli.service.problem import Problem
from upscale_cli.service.request import JobBody
from upscale_cli.service.service import Service
from upscale_cli.service.store import State, StoredJob

Status = Literal["starting", "processing", "succeeded", "failed", "canceled"]

WebhookEvent = Literal["start", "output", "logs", "completed"]

STATUS: Final[dict[State, Status]] = {
    "queued": "starting", "running": "processing", "done": "succeeded", "failed": "failed", "skipped": "failed",
    "cancelled": "canceled",
}  # fmt: skip

KEY: Final = "cog:"
"""Before a prediction's id, in a job's key."""

MOST_INLINE: Final = 16 * 2**20
"""Bytes of a result that is given as a data: URL; of a larger one the address is."""


class CogInput(JobBody):
    """The input of a prediction: a job's options, and the picture."""

    image: str = Field(
        max_length=2**26, pattern="^(data:|https?://)",
        description="A photo or clip: a data: URL, or an address that is allowed.",
    )  # fmt: skip
    scale: Annotated[float, Field(gt=0, le=1024)] | None = Field(None, description="Short for target.scale.")


class PredictionRequest(BaseModel):
    """What cog's clients send; what they send besides is ignored, as cog does."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    input: CogInput
    id: str | None = Field(None, min_length=1, max_length=200)
    webhook: str | None = Field(None, max_length=4096, description="Where events of the prediction are sent.")
    webhook_events_filter: tuple[WebhookEvent, ...] = Field(
        ("start", "output", "logs", "completed"), description="Which of them."
    )


class Prediction(BaseModel):
    """A prediction, as cog's clients read it. What is not known yet is left out."""

    id: str
    status: Status
    input: dict[str, Any] | None = None
    output: str | None = Field(None, description="A data: URL; of a large result its address.")
    error: str | None = None
    logs: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None


def body_of(given: CogInput) -> JobBody:
    """The options of the job.

    Raises:
        Problem: scale and target are both given.
    """
    options = given.model_dump(exclude_unset=True, exclude={"image", "scale"})
    if given.scale is not None:
        if "target" in options:
            raise Problem(422, "input.scale and input.target exclude each other. Give one.", field="input.scale")
        options["target"] = {"scale": given.scale}
    return JobBody.model_validate(options)


def submit(service: Service, request: PredictionRequest, id: str, base: str) -> StoredJob:
    """Accepts a prediction; one that is there already is given as it is.

    Args:
        base: the address that the service was called by.

    Raises:
        Problem: the picture is no data: URL and no address.
        InputError: it is of no kind that is known, or may not be fetched.
    """
    there = service.store.by_key(KEY + id)
    if there is not None:
        return there
    extra: dict[str, Any] = {"base": base}
    if request.webhook is not None:
        service.check_address(request.webhook)
        extra |= {"webhook": request.webhook, "events": list(request.webhook_events_filter)}
    image, body = request.input.image, body_of(request.input)
    if is_address(image):
        extra["image"] = image
        return service.submit(body, name=name_at(image), address=image, key=KEY + id, extra=extra)
    media_type, data = parsed_data_url(image)
    with service.uploads.written(data) as path:
        name = f"image{ending_for('image', media_type)}"
        return service.submit(body, name=name, arrived=path, key=KEY + id, extra=extra)


def parsed_data_url(url: str) -> tuple[str, bytes]:
    """(media type, bytes) of a data: URL (RFC 2397).

    Raises:
        Problem: it is none.
    """
    head, comma, data = url.partition(",")
    wrong = Problem(
        422, "input.image: is neither a data: URL nor an address. Send data:image/png;base64,...", field="input.image"
    )
    if not comma or not head.startswith("data:"):
        raise wrong
    media_type, *parameters = head.removeprefix("data:").split(";")
    raw = unquote_to_bytes(data)
    if "base64" not in (parameter.strip().lower() for parameter in parameters):
        return media_type.lower(), raw
    try:
        return media_type.lower(), base64.b64decode(raw, validate=True)
    except (binascii.Error, ValueError):
        raise wrong from None


def prediction_of(service: Service, job: StoredJob) -> Prediction:
    """A job, as cog's clients read it."""
    notes = [event.record["text"] for event in service.store.events(job.id) if event.record.get("event") == "note"]
    is_failed = STATUS[job.state] == "failed"
    options = service.view(job).options
    return Prediction(
        id=(job.key or "").removeprefix(KEY), status=STATUS[job.state], logs="".join(f"{note}\n" for note in notes),
        input={"image": job.extra["image"], **options} if "image" in job.extra else options,
        output=_output(service, job) if job.state == "done" else None, error=job.message if is_failed else None,
        metrics={"predict_time": round(max(0.0, job.ended - job.started), 6)} if job.ended and job.started else {},
        created_at=_time(job.created), started_at=_time(job.started), completed_at=_time(job.ended),
    )  # fmt: skip


def as_json(prediction: Prediction) -> dict[str, Any]:
    """What is not known is left out."""
    return prediction.model_dump(mode="json", exclude_none=True)


def _output(service: Service, job: StoredJob) -> str:
    if job.result_bytes > MOST_INLINE:
        return f"{job.extra.get('base', '').rstrip('/')}/api/jobs/{job.id}/result"
    path = service.result(job)
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
