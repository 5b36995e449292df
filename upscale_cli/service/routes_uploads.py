"""Large inputs in pieces, by tus 1.0 (https://tus.io/protocols/resumable-upload) with its extensions creation,
expiration and termination; a job then names the upload: {"input": {"upload": ID}}."""

import base64
import binascii
from email.utils import formatdate
from typing import IO, Annotated, Any, Final

from anyio import to_thread
from fastapi import Depends, Header, Path, Request, Response
from starlette.concurrency import run_in_threadpool

from upscale_cli.service.here import Here
from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import problems
from upscale_cli.service.resumable import KEPT_SECONDS, Upload
from upscale_cli.service.router import Router
from upscale_cli.service.service import Service
from upscale_cli.service.upload import BLOCK, CHECK_EVERY, steady, writing

VERSION: Final = "1.0.0"

router: Final = Router(prefix="/api/uploads", tags=["uploads"])

PIECE: Final = "application/offset+octet-stream"

UploadId = Annotated[str, Path(description="Of an upload, as `POST /api/uploads` gave it.", max_length=64)]


async def _speaks_tus(
    version: Annotated[str | None, Header(alias="Tus-Resumable", json_schema_extra={"const": VERSION})] = None,
) -> None:
    if version != VERSION:
        raise Problem(
            412, f"Tus-Resumable: {version or 'is missing'}; this service speaks {VERSION}.",
            headers={"Tus-Version": VERSION},
        )  # fmt: skip


Tus: Final = Depends(_speaks_tus)

_TAKES: Final[dict[int | str, dict[str, Any]]] = {
    204: {"description": "What is taken.", "headers": {
        name: {"schema": {"type": "string"}} for name in ("Tus-Version", "Tus-Extension", "Tus-Max-Size")
    }}
}  # fmt: skip


@router.options("", status_code=204, responses={**_TAKES, **problems()})
def offered(service: Here) -> Response:
    """What this service speaks, and takes."""
    return Response(status_code=204, headers={
        "Tus-Resumable": VERSION, "Tus-Version": VERSION, "Tus-Extension": "creation,expiration,termination",
        "Tus-Max-Size": str(service.settings.max_upload),
    })  # fmt: skip


@router.post("", status_code=201, dependencies=[Tus], responses=problems(412, 413, 415, 422, 503, 507))
def begin(
    service: Here,
    length: Annotated[int, Header(alias="Upload-Length", ge=1, description="Bytes of the whole.")],
    metadata: Annotated[
        str, Header(alias="Upload-Metadata", max_length=4096, description="filename, and its value in Base64.")
    ],
) -> Response:
    """Begin an upload."""
    service.check_space(length, awaited=service.uploads.missing())
    upload = service.uploads.begin(_name_in(metadata), length)
    return Response(status_code=201, headers={"Location": f"/api/uploads/{upload.id}", **_state(service, upload)})


@router.head("/{id}", dependencies=[Tus], response_class=Response, responses=problems(404, 412, 422))
def asked(id: UploadId, service: Here) -> Response:
    """How much of an upload has arrived (Upload-Offset)."""
    upload = service.uploads.get(id)
    headers = {"Upload-Length": str(upload.length), "Cache-Control": "no-store", **_state(service, upload)}
    return Response(status_code=200, headers=headers)


@router.patch(
    "/{id}", status_code=204, dependencies=[Tus],
    responses=problems(404, 408, 409, 412, 413, 415, 422, 423, 507),
    openapi_extra={"requestBody": {
        "required": True, "content": {PIECE: {"schema": {"type": "string", "format": "binary"}}},
    }},
)  # fmt: skip
async def add(
    id: UploadId, request: Request, service: Here,
    offset: Annotated[int, Header(alias="Upload-Offset", ge=0, description="Where the piece belongs.")],
) -> Response:  # fmt: skip
    """Send a piece of an upload, to be added at its end. What has arrived when the connection breaks is kept."""
    if request.headers.get("content-type", "") != PIECE:
        raise Problem(415, f"Content-Type has to be {PIECE}.")
    upload = await run_in_threadpool(service.uploads.get, id)
    with service.uploads.alone(upload):
        there = await run_in_threadpool(service.uploads.offset, upload)
        if offset != there:
            raise Problem(409, f"Upload-Offset {offset} is not where the upload ends: {there}. Ask for it, and go on.")
        file = await to_thread.run_sync(lambda: service.uploads.path(upload).open("ab"), limiter=writing)
        with file:
            await _take(request, service, upload, file, there)
    return Response(status_code=204, headers=await run_in_threadpool(_state, service, upload))


async def _take(request: Request, service: Service, upload: Upload, file: IO[bytes], there: int) -> None:
    """Writes a piece as it comes."""
    data, checked_at = bytearray(), there

    async def flush() -> None:
        block = bytes(data)
        data.clear()
        await to_thread.run_sync(file.write, block, limiter=writing)

    try:
        async for chunk in steady(request):
            if there + len(chunk) > upload.length:
                raise Problem(413, f"the piece goes beyond the {upload.length:,} bytes that were announced.")
            there += len(chunk)
            data += chunk
            if len(data) >= BLOCK:
                await flush()
            if there - checked_at > CHECK_EVERY:
                checked_at = there
                service.check_space()
    finally:
        if data:
            await flush()


@router.delete("/{id}", status_code=204, dependencies=[Tus], responses=problems(404, 412, 422, 423, 507))
def give_up(id: UploadId, service: Here) -> Response:
    """Give an upload up."""
    upload = service.uploads.get(id)
    with service.uploads.alone(upload):
        service.uploads.remove(upload)
    return Response(status_code=204, headers={"Tus-Resumable": VERSION})


def _state(service: Service, upload: Upload) -> dict[str, str]:
    return {
        "Tus-Resumable": VERSION, "Upload-Offset": str(service.uploads.offset(upload)),
        "Upload-Expires": formatdate(upload.created + KEPT_SECONDS, usegmt=True),
    }  # fmt: skip


def _name_in(metadata: str) -> str:
    """The client's name of the file.

    Raises:
        Problem: there is none.
    """
    for pair in metadata.split(","):
        key, _, value = pair.strip().partition(" ")
        if key in ("filename", "name"):
            try:
                return base64.b64decode(value, validate=True).decode()
            except (binascii.Error, ValueError):
                break
    raise Problem(
        422, "Upload-Metadata: has no filename in Base64. Send one: the ending tells what the input is.",
        field="Upload-Metadata",
    )  # fmt: skip
