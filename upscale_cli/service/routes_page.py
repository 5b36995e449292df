"""The page at `/`, and its files."""

from pathlib import Path
from typing import Final

from upscale_cli.compare import page as compare_page
from upscale_cli.service.download import CONDITIONAL, Download
from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import problems
from upscale_cli.service.router import Router

router: Final = Router(tags=["page"])

FOLDER: Final = Path(__file__).with_name("page")

KINDS: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

FILES: Final = {
    path.name: path
    for path in (*FOLDER.iterdir(), Path(compare_page.__file__).with_name("colours.css"))
    if path.suffix in KINDS
}
"""All there are. The colours are those of `upscale compare`."""

HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; frame-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    "Cache-Control": "no-cache",
}  # fmt: skip


@router.get("/", response_class=Download, responses={
    200: {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}},
    **CONDITIONAL, **problems(410, 416),
})  # fmt: skip
async def page() -> Download:
    """The page."""
    return Download(FOLDER / "index.html", media_type="text/html", headers=HEADERS)


@router.get("/page/{name}", response_class=Download, responses={
    200: {
        "description": "A file of the page.",
        "content": {kind: {"schema": {"type": "string"}} for kind in KINDS.values()},
    },
    **CONDITIONAL, **problems(404, 410, 416, 422),
})  # fmt: skip
async def file(name: str) -> Download:
    """A file of the page: its style, its scripts."""
    if name not in FILES:
        raise Problem(404, "the page has no such file.")
    path = FILES[name]
    return Download(path, media_type=KINDS[path.suffix], headers=HEADERS)
