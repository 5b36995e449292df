"""A web server on 127.0.0.1 that misbehaves on demand: the nth request gets the nth answer, the last one for good.

with Server(content, cut(after=1000), whole) as server:
    ...  # the first connection breaks off, the second one serves what is asked for
    assert server.requests[1].headers["Range"] == "bytes=1000-"
"""

import contextlib
import http.server
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Request:
    path: str
    headers: Message


class Handler(http.server.BaseHTTPRequestHandler):
    """One request; `content` is the file that there is to be had."""

    server: "_Threads"

    @property
    def content(self) -> bytes:
        return self.server.owner.content

    def do_GET(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # the client may leave whenever it likes
            self.server.owner.next_answer(Request(self.path, self.headers))(self)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def begin(self, status: int, **headers: object) -> None:
        """Status line and headers; Content_Length becomes Content-Length."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def asked_start(self) -> int:
        """The first byte that is asked for."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def begin_content(self) -> bytes:
        """Headers as a good server sends them; gives back the body that should follow."""
        start, total = self.asked_start(), len(self.content)
        if start >= total and start:
            self.begin(416, Content_Range=f"bytes */{total}", Content_Length=0)
            return b""
        body = self.content[start:]
        if start:
            self.begin(206, Content_Range=f"bytes {start}-{total - 1}/{total}", Content_Length=len(body))
        else:
            self.begin(200, Content_Type="application/octet-stream", Content_Length=len(body))
        return body


Answer = Callable[[Handler], None]


class Server:
    """Serves `content` under every path; remembers the requests."""

    def __init__(self, content: bytes, *answers: Answer) -> None:
        self.content = content
        self.requests: list[Request] = []
        self._answers = list(answers) or [whole]
        self._threads = _Threads(("127.0.0.1", 0), Handler)
        self._threads.owner = self
        self.url = f"http://127.0.0.1:{self._threads.server_port}"
        self._thread = threading.Thread(target=self._threads.serve_forever, kwargs={"poll_interval": 0.01})
        self._lock = threading.Lock()

    def next_answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._threads.shutdown()
        self._thread.join()
        self._threads.server_close()


class _Threads(http.server.ThreadingHTTPServer):
    owner: Server
    daemon_threads = True
    block_on_close = False


def whole(handler: Handler) -> None:
    """As a good server does it: ranges, 416 beyond the end."""
    handler.wfile.write(handler.begin_content())


def ignoring_range(handler: Handler) -> None:
    handler.begin(200, Content_Length=len(handler.content))
    handler.wfile.write(handler.content)


def cut(after: int) -> Answer:
    """Announces everything, then closes after that many bytes."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(handler.begin_content()[:after])

    return answer


def reset(after: int) -> Answer:
    """As `cut`, but slams the door: the client gets "connection reset by peer"."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(handler.begin_content()[:after])
        until_sent(handler.connection)  # else the reset overtakes the bytes
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()

    return answer


def status(code: int, body: bytes = b"", **headers: object) -> Answer:
    def answer(handler: Handler) -> None:
        handler.begin(code, **headers, Content_Length=len(body))
        handler.wfile.write(body)

    return answer


def announcing(length: int) -> Answer:
    """The whole content, and a Content-Length that is not its own."""

    def answer(handler: Handler) -> None:
        handler.begin(200, Content_Length=length)
        handler.wfile.write(handler.content)

    return answer


def without_length(handler: Handler) -> None:
    """Ends by closing the connection, as servers did before HTTP 1.1."""
    handler.begin(200)
    handler.wfile.write(handler.content)


def chunked(*, broken_after: int | None = None) -> Answer:
    """HTTP 1.1 chunks; `broken_after` that many bytes comes something that is no chunk."""

    def answer(handler: Handler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.close_connection = True
        handler.begin(200, Transfer_Encoding="chunked", Connection="close")
        for start in range(0, len(handler.content), 1000):
            if broken_after is not None and start >= broken_after:
                handler.wfile.write(b"no chunk\r\n")
                return
            piece = handler.content[start : start + 1000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    return answer


def dribbling(piece: int, pause_seconds: float) -> Answer:
    def answer(handler: Handler) -> None:
        body = handler.begin_content()
        for start in range(0, len(body), piece):
            handler.wfile.write(body[start : start + piece])
            time.sleep(pause_seconds)

    return answer


def silent(handler: Handler) -> None:
    """Takes the request and says nothing, until the client has gone."""
    with contextlib.suppress(OSError):
        handler.connection.recv(1)


def stalling(after: int) -> Answer:
    """Begins well, then says nothing more."""

    def answer(handler: Handler) -> None:
        handler.wfile.write(handler.begin_content()[:after])
        handler.wfile.flush()
        silent(handler)

    return answer


def until_sent(connection: socket.socket) -> None:
    """Waits until the other side's system has everything."""
    if sys.platform != "linux":
        time.sleep(0.05)  # the best that can be done there
        return
    import fcntl
    import termios

    while struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))[0]:
        time.sleep(0.001)


def garbage(handler: Handler) -> None:
    """Speaks no HTTP."""
    handler.wfile.write(b"\x00\x01SSH-2.0-nonsense\r\n\r\n")


def another_piece(handler: Handler) -> None:
    """Answers a range with one that was not asked for."""
    handler.begin(206, Content_Range=f"bytes 0-9/{len(handler.content)}", Content_Length=10)
    handler.wfile.write(handler.content[:10])


def web_page(handler: Handler) -> None:
    """A login page, with status 200."""
    status(200, b"<!DOCTYPE html><title>Please log in</title>", Content_Type="text/html; charset=utf-8")(handler)


def endless(handler: Handler) -> None:
    handler.begin(200)
    while True:
        handler.wfile.write(bytes(1 << 16))
