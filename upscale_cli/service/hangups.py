"""ASGI middleware for connections of which one side ends before the other has said all."""

from typing import Final

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LINGER_SECONDS: Final = 5.0
"""How long a client may go on sending once it has its answer."""


class Lingering:
    """Ends the connection of a request that is answered before its body is here.

    uvicorn (0.54) would read on for as long as the client sends, unseen by every limit. Closing at once is wrong, too:
    what arrives at a closed socket makes the client's system throw away the answer that it has not read yet. So the
    answer goes out whole, what still comes is dropped for some seconds, and then the connection ends (RFC 9112, 9.6).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_here = not _has_body(scope)

        async def receiving() -> Message:
            nonlocal is_here
            message = await receive()
            is_here = is_here or not message.get("more_body", False)  # a client that has gone sends no more, either
            return message

        async def answering(message: Message) -> None:
            if is_here:
                await send(message)
            elif message["type"] == "http.response.start":
                await send({**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]})
            elif message.get("more_body", False):
                await send(message)
            else:
                await send({**message, "more_body": True})
                with anyio.move_on_after(LINGER_SECONDS):
                    while not is_here:
                        await receiving()
                        await anyio.lowlevel.checkpoint()  # where data is always at hand, nothing else would wait
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        await self._app(scope, receiving, answering)


class Vanishing:
    """Takes a client that goes away while it is told something for what it is, and no error of the service.

    FastAPI (0.165) raises where an event waits for a client of `EventSourceResponse` that has gone.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_gone = False

        async def receiving() -> Message:
            nonlocal has_gone
            message = await receive()
            has_gone = has_gone or message["type"] == "http.disconnect"
            return message

        try:
            await self._app(scope, receiving, send)
        except* anyio.BrokenResourceError:
            if not has_gone:
                raise


def _has_body(scope: Scope) -> bool:
    """Whether a body is announced."""
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip(b"0 ") != b""
