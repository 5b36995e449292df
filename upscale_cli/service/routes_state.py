"""What the service is and has: health, models, limits, figures for Prometheus; and the session of a browser."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from fastapi import Request, Response
from pydantic import BaseModel, Field

from upscale_cli._version import __version__
from upscale_cli.models.registry import KERNELS, MODELS
from upscale_cli.models.resolve import best_model
from upscale_cli.models.seen import seen
from upscale_cli.models.store import locate
from upscale_cli.models.user_files import user_files
from upscale_cli.service.guard import COOKIE, is_token, session_of
from upscale_cli.service.here import Here
from upscale_cli.service.metrics import exposed
from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import problems
from upscale_cli.service.router import Router
from upscale_cli.service.upload import whole

router: Final = Router(tags=["service"])


MOST_SESSION: Final = 8192
"""Bytes of a request for a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether the service works.

    Attributes:
        status: "starting" until a worker is ready.
    """

    status: Literal["ready", "starting"]
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelView:
    """A model that jobs may name.

    Attributes:
        scales: of its passes; any other scale is reached by several, and by resampling.
        here: whether its checkpoint is on this machine; it is fetched with the first job that wants it.
        best: whether it is the one for photos where a job names none.
    """

    name: str
    scales: list[str]
    here: bool
    best: bool
    licence: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is taken, and what clients may do.

    Attributes:
        folders: whether inputs may be named by path; `urls`: by address.
        keep_days: how long jobs that have ended are kept.
    """

    max_upload: int
    max_pixels: int
    max_result_pixels: int
    max_queue: int
    folders: bool
    urls: bool
    keep_days: float
    workers: list[dict[str, Any]]


@router.get("/health", responses=problems())
async def health(service: Here) -> Health:
    """Whether the service works. It asks neither the queue nor a worker, so it answers at once whatever they do."""
    is_ready = any(worker["ready"] for worker in service.workers())
    return Health(status="ready" if is_ready else "starting", version=__version__)


@router.get("/metrics", response_class=Response, responses={
    200: {"description": "Figures for Prometheus.", "content": {"text/plain": {"schema": {"type": "string"}}}},
    **problems(),
})  # fmt: skip
def metrics(service: Here) -> Response:
    """Figures for Prometheus."""
    text, media_type = exposed(service)
    return Response(text, media_type=media_type)


@router.get("/api/models", responses=problems())
def models() -> list[ModelView]:
    """The models that jobs may name: those of the registry, the best first, and the files in the owner's folders."""
    views: dict[str, ModelView] = {}
    best = best_model()[0]
    for spec in MODELS:
        before = views.get(spec.model)
        views[spec.model] = ModelView(
            name=spec.model, scales=[*(before.scales if before else ()), str(spec.scale)],
            here=(before is None or before.here) and locate(spec) is not None, best=spec.model == best,
            licence=spec.licence, about=_about(spec.model),
        )  # fmt: skip
    for kernel, about in KERNELS.items():
        views[kernel] = ModelView(name=kernel, scales=["any"], here=True, best=kernel == best, licence="", about=about)
    for file in user_files():
        facts = seen(file.path)
        views.setdefault(file.stem, ModelView(
            name=file.stem, scales=[facts.scales] if facts else [], here=True, best=False,
            licence=facts.licence if facts else "",
            about=facts.arch if facts else "",
        ))  # fmt: skip
    return list(views.values())


def _about(model: str) -> str:
    """What a model is good for; where its checkpoints differ in that, what each is good for."""
    abouts = {str(spec.scale): spec.about for spec in MODELS if spec.model == model}
    if len(set(abouts.values())) == 1:
        return next(iter(abouts.values()))
    return "; ".join(f"x{scale}: {about}" for scale, about in abouts.items())


@router.get("/api/limits", responses=problems())
def limits(service: Here) -> Limits:
    """What is taken here."""
    settings = service.settings
    return Limits(
        max_upload=settings.max_upload, max_pixels=settings.max_pixels, max_result_pixels=settings.max_result_pixels,
        max_queue=settings.max_queue, folders=bool(settings.allow_folder), urls=bool(settings.allow_url),
        keep_days=settings.keep_days, workers=service.workers(),
    )  # fmt: skip


class SessionBody(BaseModel):
    """Who wants a session."""

    token: str = Field(max_length=1000, description="The service's token.")


_SESSION: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SessionBody"}}},
    }
}


@router.post("/api/session", status_code=204, openapi_extra=_SESSION, responses=problems(408, 413, 422))
async def begin_session(request: Request, service: Here) -> Response:
    """Give a browser a cookie in exchange for the token, for what cannot send headers: pictures and event streams."""
    # Whoever comes by may ask this: of a body only so much is read.
    token = SessionBody.model_validate_json(await whole(request, MOST_SESSION)).token
    response = Response(status_code=204)
    if service.token is None:
        return response
    if not is_token(token, service.token):
        raise Problem(401, "this is not the token.", headers={"WWW-Authenticate": "Bearer"})
    # A proxy that speaks TLS passes on where the browser is; `Guard` has seen that it is here.
    is_secure = request.url.scheme == "https" or request.headers.get("origin", "").startswith("https:")
    response.set_cookie(
        COOKIE, session_of(service.token), httponly=True, samesite="strict", secure=is_secure, max_age=30 * 86400
    )
    return response
