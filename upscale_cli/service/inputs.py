"""Inputs that are not sent along: below a folder that the owner allows."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from upscale_cli.service.problem import Problem
from upscale_cli.service.request import JobBody
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings
from upscale_cli.service.store import StoredJob


class InFolder(BaseModel):
    """A file in a folder that the owner allows."""

    model_config = ConfigDict(extra="forbid")
    path: Annotated[str, Field(min_length=1, max_length=4096, description="Absolute, or below the first such folder.")]


class AddressedJob(JobBody):
    """A job whose input lies where the service can reach it."""

    input: InFolder = Field(description="Where the input lies.")


async def accept(service: Service, addressed: AddressedJob, key: str | None) -> StoredJob:
    """Accepts such a job.

    Raises:
        Problem: the input may not be named, or is not there.
    """
    path = await run_in_threadpool(allowed, service.settings, addressed.input.path)
    body = JobBody.model_validate(addressed.model_dump(exclude_unset=True, exclude={"input"}))
    return await run_in_threadpool(service.submit, body, name=path.name, source=path, key=key)


def allowed(settings: ServiceSettings, given: str) -> Path:
    """A file that a client names, all links followed, if it lies below a folder that the owner allows. What lies
    elsewhere and what is not there get the same answer.

    Raises:
        Problem: so it is not.
    """
    refusal = Problem(403, "input.path: no such file below the folders that are allowed here.", field="input.path")
    if "\0" in given or not settings.allow_folder:
        raise refusal
    path = Path(os.path.realpath(settings.allow_folder[0] / given))
    for folder in settings.allow_folder:
        if path.is_relative_to(os.path.realpath(folder)) and path.is_file():
            return path
    raise refusal
