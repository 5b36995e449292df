"""Connections of which one side ends before the other has said all: by uvicorn, on a socket, and without."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

import uvicorn
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from tests.asgi import Answer, call, finished, leaving
from upscale_cli.service import hangups
from upscale_cli.service.hangups import Lingering, Vanishing
from upscale_cli.service.run import bound, configured
from upscale_cli.service.settings import ServiceSettings

REFUSED = b"HTTP/1.1 413 "


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """Refuses what is sent to /refused at once; elsewhere reads all and gives its length."""
    length, more = 0, scope["path"] != "/refused"
    while more:
        message = await receive()
        length, more = length + len(message["body"]), message["more_body"]
    body = str(length).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    status = 413 if scope["path"] == "/refused" else 200
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def connected(data: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to it, by the server as it is configured."""
    settings = ServiceSettings(data=data, port=0)
    config = configured(Lingering(answering), settings)
    config.lifespan = "off"
    server = uvicorn.Server(config)
    with bound(settings) as listening:
        running = asyncio.create_task(server._serve([listening]))  # serve() would take the signals
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            yield reader, writer
            writer.close()
        finally:
            server.should_exit = True
            await running


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    return head, await reader.readexactly(length)


async def send_without_end(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
        await writer.drain()


def test_who_sends_without_end_hears_the_refusal_and_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hangups, "LINGER_SECONDS", 0.3)

    async def talk() -> None:
        async with connected(tmp_path) as (reader, writer):
            writer.write(b"POST /refused HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            head, _ = await answer_of(reader)
            assert head.startswith(REFUSED)
            assert b"connection: close" in head.lower()
            with pytest.raises(ConnectionError):
                await send_without_end(writer)

    finished(asyncio.wait_for(talk(), 120))


def test_a_body_that_was_on_its_way_does_not_lose_the_answer(tmp_path: Path) -> None:
    async def talk() -> None:
        async with connected(tmp_path) as (reader, writer):
            size = 8 * 2**20  # more than the sockets hold: the client is still sending when it is answered
            writer.write(b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            writer.write(bytes(size))
            await writer.drain()
            head, _ = await answer_of(reader)
            assert head.startswith(REFUSED)
            assert await reader.read() == b""

    finished(asyncio.wait_for(talk(), 120))


def test_a_connection_whose_body_was_read_is_kept(tmp_path: Path) -> None:
    async def talk() -> None:
        async with connected(tmp_path) as (reader, writer):
            for _ in range(2):
                writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde")
                assert (await answer_of(reader))[1] == b"5"
                writer.write(b"POST /refused HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                assert (await answer_of(reader))[0].startswith(REFUSED)
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await answer_of(reader))[1] == b"0"

    finished(asyncio.wait_for(talk(), 120))


class Unread(Answer):
    """A client that reads nothing beyond the first bytes."""

    async def __call__(self, message: Any) -> None:
        if self.began.is_set():
            await asyncio.Event().wait()
        await super().__call__(message)


def test_a_listener_that_goes_while_events_wait_for_it_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.get("/events", response_class=EventSourceResponse)
    async def events() -> AsyncIterator[ServerSentEvent]:
        while True:
            yield ServerSentEvent(data=1)

    async def leave() -> None:
        gone, answer = asyncio.Event(), Unread()
        heard = asyncio.create_task(call(Vanishing(app), "GET", "/events", leaving(gone), answer))
        await answer.began.wait()
        for _ in range(20):
            await asyncio.sleep(0)  # until events wait
        gone.set()
        await heard

    finished(leave())
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_error_while_the_client_is_there_stays_one() -> None:
    async def broken(_: Any, receive: Any, __: Any) -> None:
        await receive()
        raise anyio.BrokenResourceError

    with pytest.raises(ExceptionGroup):
        finished(call(Vanishing(broken), "GET", "/", leaving(asyncio.Event()), Answer()))
