#!/usr/bin/env bash
# With FastAPI's own server-sent events, a listener that closes its page while an event waits for it is an error of the
# application: the request ends with an exception that no handler of the route or the application sees.
#
# Seen with fastapi 0.165.0, starlette 1.10.0, anyio 4.16.0 (PyPI, Python 3.11). `EventSourceResponse` passes events on
# through two streams of one place each, and closes the last before the task that fills it has been cancelled. Where an
# event waits there at that moment, as it does when several are told at once or the client reads slowly, that task
# raises anyio.BrokenResourceError within a task group. The same generator sent by Starlette's StreamingResponse ends
# without one. A server writes it to its log as an error with a traceback: uvicorn, "Exception in ASGI application", once
# for each listener that left (of 50 connections closed in the middle of bursts of events: 50). Middleware around the
# application has to take that group, where it has seen http.disconnect, for what it is.
#
# Output when it was seen:
#   a client that leaves while events wait, EventSourceResponse: ExceptionGroup of BrokenResourceError
#   a client that leaves while events wait, StreamingResponse: nothing raised
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet fastapi==0.165.0 starlette==1.10.0 anyio==4.16.0
cd "$folder"
venv/bin/python - <<'PYTHON'
import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import StreamingResponse

app = FastAPI()


@app.get("/EventSourceResponse", response_class=EventSourceResponse)
async def events() -> AsyncIterator[ServerSentEvent]:
    while True:
        yield ServerSentEvent(data=1)
        await asyncio.sleep(0)


@app.get("/StreamingResponse")
async def plain() -> StreamingResponse:
    async def lines() -> AsyncIterator[str]:
        while True:
            yield "data: 1\n\n"
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/event-stream")


async def leave(name: str) -> str:
    """Asks, reads the first event, and goes away once more of them wait."""
    asked, heard, gone = False, asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, object]:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.body":
            heard.set()
            await asyncio.Event().wait()  # as a socket that takes no more

    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "path": f"/{name}", "raw_path": f"/{name}".encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
    }
    request = asyncio.create_task(app(scope, receive, send))
    await heard.wait()
    await asyncio.sleep(0.2)
    gone.set()
    try:
        await request
    except BaseExceptionGroup as group:
        inner: BaseException = group
        while isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
        return f"{type(group).__name__} of {type(inner).__name__}"
    return "nothing raised"


ends = {name: asyncio.run(leave(name)) for name in ("EventSourceResponse", "StreamingResponse")}
for name, end in ends.items():
    print(f"a client that leaves while events wait, {name}: {end}")
assert ends == {"EventSourceResponse": "ExceptionGroup of BrokenResourceError", "StreamingResponse": "nothing raised"}
PYTHON
echo "as it was seen"
