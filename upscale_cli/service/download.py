"""A file that is sent, with Range and If-None-Match, and with problems where Starlette would send plain text."""

import os
from typing import Any, Final

from anyio import to_thread
from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Message, Receive, Scope, Send

from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import response_of

CONDITIONAL: Final[dict[int | str, dict[str, Any]]] = {
    206: {"description": "The range that was asked for."},
    304: {"description": "The client has the file: If-None-Match names its ETag, or If-Modified-Since its time."},
}
"""What a route that sends a file may answer besides, for its documentation."""

_CONDITIONS: Final = StaticFiles(check_dir=False)
"""Knows when a client has a file already."""


class Download(FileResponse):
    """A file. A range that is none, or lies behind its end, is a problem, and so is a file that is removed between the
    answer and this."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self.stat_result = await to_thread.run_sync(os.stat, self.path)
        except FileNotFoundError:
            await response_of(Problem(410, "the file is gone from the disk."))(scope, receive, send)
            return
        self.set_stat_headers(self.stat_result)
        if _CONDITIONS.is_not_modified(self.headers, Headers(scope=scope)):
            await NotModifiedResponse(self.headers)(scope, receive, send)
            return
        problem: Problem | None = None

        async def sending(message: Message) -> None:
            nonlocal problem
            if message["type"] == "http.response.start" and message["status"] in (400, 416):
                total = dict(message["headers"]).get(b"content-range")
                problem = Problem(
                    message["status"], "Range is no range of this file. Ask for bytes=FIRST-LAST within it.",
                    headers={"Content-Range": total.decode()} if total else {},
                )  # fmt: skip
            elif problem is None:
                await send(message)

        await super().__call__(scope, receive, sending)
        if problem is not None:
            await response_of(problem)(scope, receive, send)
