"""Requests to an application without a network: a client that stalls, vanishes, or never ends, at a sure moment.

answer = Answer()
await call(app, "POST", "/api/jobs", sending(b"abc", vanish=True), answer, headers={...})
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

Result = TypeVar("Result")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


@dataclass(slots=True)
class Answer:
    """What an application has sent so far.

    Attributes:
        began: is set with the first bytes of the body.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")
            if self.body or not message.get("more_body"):
                self.began.set()

    def json(self) -> Any:
        return json.loads(self.body)


def sending(*chunks: bytes, vanish: bool = False) -> Receive:
    """A client that sends a body and then waits, or goes away in the middle of it."""
    waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if vanish:
        waiting.append({"type": "http.disconnect"})
    elif waiting:
        waiting[-1]["more_body"] = False
    else:
        waiting.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    return receive


def leaving(gone: asyncio.Event) -> Receive:
    """A client that asks for something, and goes away when `gone` is set."""
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


def endless(chunks: AsyncIterator[bytes]) -> Receive:
    """A client whose body goes on."""

    async def receive() -> Message:
        return {"type": "http.request", "body": await anext(chunks), "more_body": True}

    return receive


def finished(asking: Coroutine[Any, Any, Result]) -> Result:
    """What comes of it, in a loop of its own: that of a browser's driver may run in this thread."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, asking).result()


async def call(
    app: Callable[..., Awaitable[None]], method: str, path: str, receive: Receive, answer: Answer,
    headers: Mapping[str, str] | None = None,
) -> Answer:  # fmt: skip
    """One request, to its end."""
    given = {"host": "localhost", **(headers or {})}
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8477), "state": {},
    }  # fmt: skip
    await app(scope, receive, answer)
    return answer
