"""Inputs that are not sent along: below a folder that the owner allows."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag
from starlette.concurrency import run_in_threadpool

from upscale_cli.files.allowed_folders import AllowedFolders
from upscale_cli.files.names import is_file
from upscale_cli.service.fetching import name_at
from upscale_cli.service.problem import Problem
from upscale_cli.service.request import JobBody
from upscale_cli.service.service import Service
from upscale_cli.service.settings import ServiceSettings
from upscale_cli.service.store import StoredJob
from upscale_cli.service.unknown_fields import tag_of


class InFolder(BaseModel):
    """A file in a folder that the owner allows."""

    model_config = ConfigDict(extra="forbid")
    path: Annotated[str, Field(min_length=1, max_length=4096, description="Absolute, or below the first such folder.")]


class InUpload(BaseModel):
    """An upload that is complete (`/api/uploads`)."""

    model_config = ConfigDict(extra="forbid")
    upload: Annotated[str, Field(pattern="^[0-9a-z]{1,64}$", description="Its id.")]


class AtAddress(BaseModel):
    """A file in the web, at a host that the owner allows."""

    model_config = ConfigDict(extra="forbid")
    url: Annotated[str, Field(pattern="^https?://", max_length=4096, description="http:// or https://.")]


def _kind_of(given: Any) -> str | None:
    """Which of them is meant: what is wrong with that one is told, and not with all."""
    if isinstance(given, InFolder | InUpload | AtAddress):
        return tag_of(type(given))
    known = [name for name in ("path", "upload", "url") if isinstance(given, dict) and name in given]
    return known[0] if len(known) == 1 else None


class AddressedJob(JobBody):
    """A job whose input lies where the service can reach it."""

    input: Annotated[
        Annotated[InFolder, Tag("path")] | Annotated[InUpload, Tag("upload")] | Annotated[AtAddress, Tag("url")],
        Discriminator(
            _kind_of,
            custom_error_type="input",
            custom_error_message="takes an object with one of path, upload and url",
        ),
    ] = Field(description="Where the input lies.")


async def accept(service: Service, addressed: AddressedJob, key: str | None) -> StoredJob:
    """Accepts such a job.

    Raises:
        Problem: the input may not be named, or is not there.
    """
    body = JobBody.model_validate(addressed.model_dump(exclude_unset=True, exclude={"input"}))
    return await run_in_threadpool(_accept, service, body, addressed.input, key)


def _accept(service: Service, body: JobBody, given: InFolder | InUpload | AtAddress, key: str | None) -> StoredJob:
    if key is not None and (there := service.store.by_key(key)) is not None:
        return there
    if isinstance(given, InFolder):
        path = allowed(service.settings, given.path)
        return service.submit(body, name=path.name, source=path, key=key)
    if isinstance(given, AtAddress):
        return service.submit(body, name=name_at(given.url), address=given.url, key=key)
    upload = service.uploads.get(given.upload)
    with service.uploads.alone(upload):
        offset = service.uploads.offset(upload)
        if offset < upload.length:
            raise Problem(409, f"the upload has {offset:,} of {upload.length:,} bytes. Send the rest first.")
        job = service.submit(body, name=upload.name, arrived=service.uploads.path(upload), key=key)
        service.uploads.remove(upload)
        return job


def allowed(settings: ServiceSettings, given: str) -> Path:
    """A file that a client names, if it lies below a folder that the owner allows. What lies elsewhere and what is not
    there get the same answer.

    Raises:
        Problem: so it is not.
    """
    refusal = Problem(403, "input.path: no such file below the folders that are allowed here.", field="input.path")
    if not settings.allow_folder:
        raise refusal
    try:
        path = AllowedFolders(settings.allow_folder).resolved(given)
    except (OSError, RuntimeError, ValueError):
        raise refusal from None
    if path is None or not is_file(path):
        raise refusal
    return path
