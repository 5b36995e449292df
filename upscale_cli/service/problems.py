"""Every error as problem+json (RFC 9457): one clear line for people, a status for programs."""

import logging
import re
import sqlite3
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException

from upscale_cli.errors import InputError, LeftAlone, OptionError, OutputError, UpscaleError, printable
from upscale_cli.service.problem import MEDIA_TYPE, Problem
from upscale_cli.service.request import field_of, in_fields
from upscale_cli.service.unknown_fields import LONGEST, told

log: Final = logging.getLogger("upscale_cli.service")

STATUS: Final[tuple[tuple[type[UpscaleError], int], ...]] = (
    (OptionError, 422), (InputError, 415), (OutputError, 507), (LeftAlone, 422), (UpscaleError, 503),
)  # fmt: skip

ANY: Final = (400, 401, 403, 421, 500)
"""A request that is no HTTP, without the token, of another origin, for another host; a fault of ours."""


LOGGED: Final = (400, 401, 403, 408, 413, 503, 507)
"""Refusals that an owner wants to hear of: somebody tries what is not allowed, or a limit is reached."""


class ProblemBody(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field("about:blank", description="Of which kind it is, for programs.")
    title: str = Field(description="The kind, for people.")
    status: int = Field(description="The status of HTTP.")
    detail: str = Field(description="What is wrong, which rule it breaks, and what to do; one line.")
    field: str | None = Field(None, description="The field of the request that it is about.")


def response_of(problem: Problem) -> JSONResponse:
    """A problem, as it is sent."""
    return JSONResponse(problem.as_dict(), problem.status, media_type=MEDIA_TYPE, headers=problem.headers or None)


def problem_of(error: UpscaleError) -> Problem:
    """An error of the application, as clients of HTTP read it."""
    status = next(status for kind, status in STATUS if isinstance(error, kind))
    field = field_of(error) if isinstance(error, OptionError) else None
    return Problem(status, in_fields(error.message), field=field)


def invalid(place: str, why: str, count: int) -> Problem:
    """What pydantic finds wrong.

    Args:
        place: the field that the first of it is about.
        count: of all.
    """
    more = f" ({count - 1} more)" if count > 1 else ""
    end = "" if why.endswith("?") and not more else "."
    return Problem(422, f"{place or 'the request'}: {why}{more}{end}", field=place or None)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's documentation: which problems it may answer with, in addition to those that every route may."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
        }
        for status in sorted({*statuses, *ANY})
    }


def methods_of(app: FastAPI, path: str) -> list[str]:
    """What may be asked of a path: of all routes that it may mean, where the router names those of one (RFC 9110)."""
    methods = set[str]()
    for template, operations in app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            methods |= {name.upper() for name in operations}
    return sorted(methods)


def install(app: FastAPI, models: Sequence[type[BaseModel]]) -> None:
    """Makes every error of an application a problem.

    Args:
        models: of the bodies that its routes read themselves.
    """

    @app.exception_handler(Problem)
    async def of_ours(request: Request, error: Problem) -> JSONResponse:
        if error.status in LOGGED:
            client = request.client.host if request.client else ""
            fields = {"status": error.status, "path": request.url.path, "client": client, "reason": error.detail}
            log.warning("refused", extra=fields)
        return response_of(error)

    @app.exception_handler(UpscaleError)
    async def of_options(_: Request, error: UpscaleError) -> JSONResponse:
        return response_of(problem_of(error))

    @app.exception_handler(RequestValidationError)
    async def of_fields(_: Request, error: RequestValidationError) -> JSONResponse:
        errors = error.errors()
        parts = [str(part) for part in errors[0]["loc"] if part not in ("body", "query", "path", "header")]
        return response_of(invalid(printable(".".join(parts))[:LONGEST], errors[0]["msg"], len(errors)))

    @app.exception_handler(ValidationError)
    async def of_options_json(_: Request, error: ValidationError) -> JSONResponse:
        return response_of(invalid(*told(error.title, error.errors()[0], models), error.error_count()))

    @app.exception_handler(HTTPException)
    async def of_http(request: Request, error: HTTPException) -> JSONResponse:
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(methods_of(app, request.url.path))
        return response_of(Problem(error.status_code, f"{error.detail}.", headers=headers))

    @app.exception_handler(sqlite3.OperationalError)
    async def of_queue(_: Request, error: sqlite3.OperationalError) -> JSONResponse:
        log.error("the queue cannot be written", extra={"reason": str(error)})
        return response_of(Problem(507, "the queue cannot be written: most likely its disk is full. Free space there."))

    @app.exception_handler(OSError)
    async def of_disk(_: Request, error: OSError) -> JSONResponse:
        log.error("a file cannot be written", extra={"reason": str(error)})
        return response_of(Problem(507, "the service cannot write: most likely its disk is full. Free space there."))

    @app.exception_handler(Exception)
    async def of_bugs(request: Request, error: Exception) -> JSONResponse:
        log.error("a fault", extra={"path": request.url.path}, exc_info=error)
        return response_of(Problem(500, "a fault of upscale-cli; the log of the service has its traceback."))
