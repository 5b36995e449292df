"""What was made, for people: compared with what it was made of, and all of it as one file."""

import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal

from fastapi import Query, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from zipstream import ZipStream

from upscale_cli.compare.page import Linked, linked_page
from upscale_cli.errors import UpscaleError
from upscale_cli.service.download import CONDITIONAL, Download
from upscale_cli.service.here import Here, JobId
from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import problems
from upscale_cli.service.router import Router
from upscale_cli.service.routes_jobs import DOWNLOAD
from upscale_cli.service.service import Service
from upscale_cli.service.store import StoredJob
from upscale_cli.service.viewer import Eyes, Viewer
from upscale_cli.service.viewer_process import Shown, known, shown, small
from upscale_cli.service.views import result_name

router: Final = Router(prefix="/api", tags=["page"])

Side = Literal["before", "after"]

SHOWN: Final = "shown"
"""The folder of a job that holds its pictures as browsers show them."""

FRAMED: Final = {"X-Frame-Options": "SAMEORIGIN", "Cache-Control": "private, no-store"}
"""The page of the service shows it in a frame."""

_PICTURE: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The picture.",
        "content": {
            f"image/{kind}": {"schema": {"type": "string", "format": "binary"}} for kind in ("png", "jpeg", "webp")
        },
    },
    **CONDITIONAL,
}


@router.get("/jobs/{id}/compare", response_class=HTMLResponse, responses={
    200: {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}},
    **problems(404, 409, 410, 415, 422, 503, 507),
})  # fmt: skip
def compared(id: JobId, service: Here, viewer: Eyes) -> HTMLResponse:
    """Input and result under a slider: the page of `upscale compare`. Of a clip, its middle frame."""
    job = service.job(id)
    service.result(job)
    names: dict[Side, str] = {"before": job.name, "after": result_name(job)}
    versions = []
    for side, name in names.items():
        facts = asdict(_shown(service, viewer, job, side))
        facts.pop("name")
        versions.append(Linked(label=name, url=f"/api/jobs/{job.id}/shown/{side}", **facts))
    return HTMLResponse(linked_page(job.name, versions), headers=FRAMED)


@router.get("/jobs/{id}/shown/{side}", response_class=Download, responses={
    **_PICTURE, **problems(404, 409, 410, 415, 416, 422, 503, 507),
})  # fmt: skip
def picture(id: JobId, side: Side, service: Here, viewer: Eyes) -> Download:
    """The input (`before`) or the result (`after`) as browsers show it: upright, of 8 bits, without metadata."""
    job = service.job(id)
    there = _shown(service, viewer, job, side)
    return Download(service.folders.job(job.id) / SHOWN / there.name, headers=DOWNLOAD)


@router.get("/jobs/{id}/thumbnail", response_class=Download, responses={
    **_PICTURE, 204: {"description": "There is none: the input is gone, is a comic, or cannot be shown."},
    **problems(404, 410, 416, 422, 503, 507),
})  # fmt: skip
def thumbnail(id: JobId, service: Here, viewer: Eyes) -> Response:
    """The input as a small picture; of a clip, its first frame."""
    job = service.job(id)
    folder = service.folders.job(job.id) / SHOWN
    made = next(iter(folder.glob("small.???")), None)
    path = service.folders.input(job.id, job.source)
    try:
        if made is None and job.kind != "book" and path.is_file():
            service.check_space()
            made = folder / viewer.ask(small, path, folder)
    except UpscaleError:
        pass
    if made is None:
        return Response(status_code=204)
    return Download(made, headers={**DOWNLOAD, "Cache-Control": "private, max-age=86400"})


def _shown(service: Service, viewer: Viewer, job: StoredJob, side: Side) -> Shown:
    """The picture, made where it was not yet.

    Raises:
        Problem: the file is gone, or was not made.
    """
    path = service.folders.input(job.id, job.source) if side == "before" else service.result(job)
    if not path.is_file():
        raise Problem(410, "the input is gone from the disk.")
    if job.kind == "book":
        raise Problem(415, f"{job.name}: comics are not compared here. Download both.")
    folder = service.folders.job(job.id) / SHOWN
    there = known(path, side, folder)
    if there is not None:
        return there
    service.check_space()
    return viewer.ask(shown, path, is_clip=job.kind == "clip", stem=side, folder=folder)


@router.get("/results.zip", response_class=StreamingResponse, responses={
    200: {
        "description": "The archive.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    },
    **problems(404, 422),
})  # fmt: skip
def archive(
    request: Request,
    service: Here,
    ids: Annotated[
        list[str] | None,
        Query(
            alias="id",
            max_length=500,
            description="Of jobs that are done; none: of all but those of watched folders.",
        ),
    ] = None,
) -> Response:
    """Results as one zip file, stored as they are, sent while it is made."""
    wanted = None if ids is None else set(ids)
    done = service.store.in_state("done")
    jobs = [job for job in done if (job.place is None if wanted is None else job.id in wanted)]
    places = [(job, path) for job in jobs if (path := job.result_in(service.folders)).is_file()]
    if not places:
        raise Problem(404, "no result is there to be sent.")
    made = ZipStream(sized=True)
    for name, (_, path) in zip(distinct(result_name(job) for job, _ in places), places, strict=True):
        made.add_path(path, name)
    headers = {
        "Content-Disposition": 'attachment; filename="upscaled.zip"', "Content-Length": str(len(made)), **DOWNLOAD,
    }  # fmt: skip
    if request.method == "HEAD":
        return Response(media_type="application/zip", headers=headers)
    return StreamingResponse(iter(made), media_type="application/zip", headers=headers)


def distinct(names: Iterator[str]) -> Iterator[str]:
    """Names of files that every system takes, each once, upper and lower case being the same.

    >>> list(distinct(iter(["a.png", "A.png", "con.png", "x:y?.png"])))
    ['a.png', 'A (2).png', '_con.png', 'x_y_.png']
    """
    taken = set[str]()
    for name in names:
        path = PurePath(_plain(name))
        new, number = path.name, 1
        while new.casefold() in taken:
            number += 1
            new = f"{path.stem} ({number}){path.suffix}"
        taken.add(new.casefold())
        yield new


_RESERVED: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""What Windows opens devices by."""


def _plain(name: str) -> str:
    plain = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", name).strip(" .") or "unnamed"
    return f"_{plain}" if _RESERVED.fullmatch(plain) else plain
