"""The application: its routes, who may ask, and how errors are told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI

from upscale_cli._version import __version__
from upscale_cli.service import (
    routes_cog,
    routes_events,
    routes_jobs,
    routes_page,
    routes_preview,
    routes_results,
    routes_state,
    routes_uploads,
)
from upscale_cli.service.cog import PredictionRequest
from upscale_cli.service.guard import Guard
from upscale_cli.service.hangups import Lingering, Vanishing
from upscale_cli.service.inputs import AddressedJob
from upscale_cli.service.problems import ProblemBody, install
from upscale_cli.service.request import JobBody
from upscale_cli.service.routes_preview import PreviewBody
from upscale_cli.service.routes_state import SessionBody
from upscale_cli.service.service import Service
from upscale_cli.service.viewer import Viewer
from upscale_cli.service.webhooks import Webhooks

BODIES: Final = (JobBody, AddressedJob, PredictionRequest, PreviewBody, SessionBody)
"""Of requests, which routes read as they come."""

ABOUT = "Photos, clips and comics in, larger ones out. Every error is problem+json (RFC 9457)."


def create_app(service: Service) -> FastAPI:
    """The application for a service; it starts and closes the service with its own life."""

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        webhooks = Webhooks(service)
        webhooks.start()
        try:
            yield
        finally:
            app.state.viewer.close()
            service.close_work()
            webhooks.close()
            service.close()

    app = FastAPI(
        title="upscale-cli", version=__version__, description=ABOUT, lifespan=life, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json",
    )  # fmt: skip
    app.state.service, app.state.viewer = service, Viewer()
    install(app, BODIES)
    # Before /jobs/{id}, of which "events" is none.
    for part in (
        routes_cog, routes_events, routes_jobs, routes_uploads, routes_results, routes_preview, routes_state,
        routes_page,
    ):  # fmt: skip
        app.include_router(part.router)
    app.add_middleware(Guard, settings=service.settings, token=service.token)
    app.add_middleware(Lingering)  # around the guard, whose refusals come before the body, too
    app.add_middleware(Vanishing)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with what FastAPI does not find by itself: bodies that routes read as they come, and
    problems."""
    if app.openapi_schema is None:
        document = FastAPI.openapi(app)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (ProblemBody, *BODIES):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for operations in document["paths"].values():
            if "get" in operations and "head" not in operations and not _is_stream(operations["get"]):
                operations["head"] = _without_body(operations["get"])
        for operation in (one for path in document["paths"].values() for one in path.values()):
            for parameter in operation.get("parameters", ()):
                if parameter["name"] == "Tus-Resumable":  # its absence is a 412 of tus, not a 422
                    parameter |= {"required": True, "schema": {"const": parameter["schema"]["const"]}}
        token: dict[str, Any] = {"type": "http", "scheme": "bearer"}
        document["components"]["securitySchemes"] = {"token": token}
        document["security"] = [{"token": []}, {}]
        app.openapi_schema = document
    return app.openapi_schema


def _is_stream(operation: dict[str, Any]) -> bool:
    return "text/event-stream" in operation["responses"]["200"].get("content", ())


def _without_body(get: dict[str, Any]) -> dict[str, Any]:
    """The HEAD of a GET (see `Router`)."""
    responses = {
        status: {name: value for name, value in response.items() if name != "content"}
        for status, response in get["responses"].items()
    }
    return {
        **get, "operationId": f"{get['operationId']}_head", "responses": responses,
        "summary": f"{get.get('summary', '')} (without the body)".lstrip(),
    }  # fmt: skip
