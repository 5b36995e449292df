"""The page at `/`."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse

from upscale_cli.service.problems import problems

router: Final = APIRouter(tags=["page"])

FOLDER: Final = Path(__file__).with_name("page")

POLICY: Final = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}


@router.get("/", response_class=FileResponse, responses={
    200: {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}, **problems(),
})  # fmt: skip
def page() -> FileResponse:
    """The page."""
    return FileResponse(FOLDER / "index.html", media_type="text/html", headers=POLICY)
