"""A file that is sent, with Range, and with problems where Starlette would send plain text."""

from fastapi.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from upscale_cli.service.problem import Problem
from upscale_cli.service.problems import response_of


class Download(FileResponse):
    """A file. A range that is none, or lies behind its end, is a problem, and so is a file that is removed between the
    answer and this."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
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

        try:
            await super().__call__(scope, receive, sending)
        except RuntimeError as error:
            if "does not exist" not in str(error):
                raise
            problem = Problem(410, "the file is gone from the disk.")
        if problem is not None:
            await response_of(problem)(scope, receive, send)
