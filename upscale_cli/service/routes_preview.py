"""A crop by each of two models, before anything is put into the queue."""

from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import Request
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from upscale_cli.service.here import Here
from upscale_cli.service.problems import problems
from upscale_cli.service.request import LONGEST_TEXT, JobBody, NetBody, request_of
from upscale_cli.service.router import Router
from upscale_cli.service.upload import whole
from upscale_cli.service.viewer import Eyes
from upscale_cli.service.viewer_process import MOST_SIDE, Asked, Previewed, previewed

router: Final = Router(prefix="/api", tags=["page"])

MOST_BYTES: Final = 2**20
"""Of a request: a crop of noise is smaller."""

MOST_SCALE: Final = 16.0
"""Of a preview: more of it than a screen shows."""


class PreviewBody(BaseModel):
    """Which crop, and by which models."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    crop: Base64Bytes = Field(
        description=f"A PNG of at most {MOST_SIDE} x {MOST_SIDE} pixels. A part of it is used, as large as the device "
        "takes some 3 seconds for."
    )
    middle: tuple[float, float] | None = Field(
        None, description="Pixel (from the left, from the top) in the middle of the part that is used, as far as the "
        "crop's edges allow; null: the crop's own.",
    )  # fmt: skip
    models: list[Annotated[str, Field(max_length=LONGEST_TEXT)] | None] = Field(
        min_length=1, max_length=2, description="Names of `/api/models`; null: the best on this machine."
    )
    scale: float = Field(4.0, gt=0, le=MOST_SCALE, description="SR pixels per LR pixel.")
    net: NetBody = Field(default_factory=NetBody, description="How the nets are run.")  # type: ignore[valid-type]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewPicture:
    """What a model has made of it.

    Attributes:
        model: its name.
        picture: PNG, in base64.
        seconds: that it took.
    """

    model: str
    picture: str
    width: int
    height: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewView:
    """A preview.

    Attributes:
        left, top, width, height: the part of the crop that was used.
        pictures: of it, in the order of the models.
    """

    left: int
    top: int
    width: int
    height: int
    pictures: list[PreviewPicture]


_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/PreviewBody"}}},
    }
}


@router.post("/preview", openapi_extra=_BODY, responses=problems(408, 413, 415, 422, 503, 507))
async def preview(request: Request, service: Here, viewer: Eyes) -> PreviewView:
    """A small part of a picture by one or two models, for people who choose. It waits for no job."""
    body = PreviewBody.model_validate_json(await whole(request, MOST_BYTES))
    settings = service.settings
    asked = []
    for model in body.models:
        net = request_of(JobBody(model=model, target=None, format=None, net=body.net)).net
        asked.append(Asked(model, body.scale, replace(net, device=settings.first_device, engine=settings.engine)))
    return _view(await run_in_threadpool(viewer.ask, previewed, body.crop, tuple(asked), body.middle))


def _view(done: Previewed) -> PreviewView:
    pictures = [
        PreviewPicture(
            model=one.model, picture=b64encode(one.picture).decode("ascii"), width=one.width, height=one.height,
            seconds=one.seconds,
        )
        for one in done.made
    ]  # fmt: skip
    return PreviewView(left=done.left, top=done.top, width=done.width, height=done.height, pictures=pictures)
