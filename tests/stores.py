"""An S3 server on 127.0.0.1 (moto's) that counts what it is asked, and misbehaves on demand.

store.fail("PUT", "a_2x.png", times=2)       # 503, twice; then as it should be
store.fail("GET", how="cut")                 # half of the bytes come, then the connection breaks off, for good
"""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import unquote

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

How = Literal["503", "501", "403", "reset", "lost", "cut", "slow"]
"""Two statuses; no answer; no answer though all was done; half of an answer; an answer in its own time."""

FOR_GOOD: Final = 10**9

ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "the-key",
    "AWS_SECRET_ACCESS_KEY": "the-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1",  # trying again is for us to do
}
"""What a user of the store sets, but for its endpoint."""


@dataclass
class Fault:
    """What goes wrong with requests of a method whose path has some text in it."""

    method: str
    text: str
    times: int
    how: How
    is_waiting: threading.Event = field(default_factory=threading.Event)
    may_go_on: threading.Event = field(default_factory=threading.Event)

    def hits(self, environ: dict[str, Any]) -> bool:
        path = f"{environ['PATH_INFO']}?{unquote(environ.get('QUERY_STRING', ''))}"
        return bool(self.times) and environ["REQUEST_METHOD"] == self.method and self.text in path


class Store:
    """The server; owns its thread.

    Attributes:
        requests: how many there were, by method, and "LIST" for GETs of a bucket.
        moved: bytes of bodies: "in" to the store, "out" of it.
    """

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.requests, self.moved = Counter[str](), Counter[str]()
        self._faults: list[Fault] = []
        self._lock, self._one_at_a_time = threading.Lock(), threading.Lock()
        self.client: Any = None

    def __enter__(self) -> Self:
        self._thread.start()
        self.client = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.client.close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    # What a test does

    def bucket(self, name: str) -> "Bucket":
        self.client.create_bucket(Bucket=name)
        return Bucket(self.client, name)

    def fail(self, method: str, text: str = "", *, times: int = FOR_GOOD, how: How = "503") -> Fault:
        """From now on, requests fail; gives the fault, whose `times` counts down."""
        self._faults.append(Fault(method, text, times, how))
        return self._faults[-1]

    def reset(self) -> None:
        """As new, but for what is stored."""
        self._faults.clear()
        self.requests.clear()
        self.moved.clear()

    # What a client gets

    def _serve(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self._count(environ)
        fault = self._take_fault(environ)
        if fault is not None and fault.how == "slow":
            fault.is_waiting.set()
            fault.may_go_on.wait()
        if fault is None or fault.how == "slow":
            return self._counted(self._answer(environ, start))
        if fault.how != "lost":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if fault.how in ("503", "501", "403"):
            start(f"{fault.how} Fault", [("Content-Type", "application/xml")])
            code = {"503": "SlowDown", "501": "NotImplemented", "403": "AccessDenied"}[fault.how]
            return [f"<Error><Code>{code}</Code><Message>not now</Message></Error>".encode()]
        if fault.how == "lost":
            self._answer(environ, lambda *_: None)
        body = b"".join(self._answer(environ, start)) if fault.how == "cut" else b""
        return _breaking_off(environ["werkzeug.socket"], body)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        """moto is not made for threads: to abort an upload while a part comes in would be an error of its own."""
        with self._one_at_a_time:
            return list(self._app(environ, start))

    def _count(self, environ: dict[str, Any]) -> None:
        is_listing = environ["REQUEST_METHOD"] == "GET" and "/" not in environ["PATH_INFO"].strip("/")
        with self._lock:
            self.requests["LIST" if is_listing else environ["REQUEST_METHOD"]] += 1
            self.moved["in"] += int(environ.get("CONTENT_LENGTH") or 0)

    def _counted(self, body: Iterable[bytes]) -> Iterator[bytes]:
        for piece in body:
            with self._lock:
                self.moved["out"] += len(piece)
            yield piece

    def _take_fault(self, environ: dict[str, Any]) -> Fault | None:
        with self._lock:
            fault = next((fault for fault in self._faults if fault.hits(environ)), None)
            if fault is not None:
                fault.times -= 1
            return fault


def _breaking_off(connection: socket.socket, body: bytes) -> Iterator[bytes]:
    if body:
        yield body[: len(body) // 2]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


class _Quiet(MotoRequestHandler):  # type: ignore[misc]
    def log(self, type: str, message: str, *args: Any) -> None:
        pass

    def run_wsgi(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # connections that broke off
            super().run_wsgi()


@dataclass(frozen=True)
class Bucket:
    """A bucket, seen past everything that goes wrong on the way to it... by the test alone."""

    client: Any
    name: str

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, data: bytes | Path) -> str:
        """Makes an object; gives its URL."""
        body = data if isinstance(data, bytes) else data.read_bytes()
        self.client.put_object(Bucket=self.name, Key=key, Body=body)
        return f"{self.url}/{key}"

    def put_all(self, folder: Path, prefix: str) -> str:
        """Makes an object of every file below a folder; gives the URL of the prefix."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}{path.relative_to(folder).as_posix()}", path)
        return f"{self.url}/{prefix}"

    def get(self, key: str) -> bytes:
        data: bytes = self.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return data

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def tags(self, prefix: str = "") -> dict[str, str]:
        """The ETag of everything below a prefix, by the rest of its key; manifests apart."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        found = {one["Key"].removeprefix(prefix): one["ETag"] for page in pages for one in page.get("Contents", [])}
        return {key: tag for key, tag in found.items() if ".upscale-manifest/" not in key}

    def keys(self, prefix: str = "") -> set[str]:
        return set(self.tags(prefix))

    def uploads(self) -> list[Any]:
        """Multipart uploads that were neither completed nor aborted."""
        uploads: list[Any] = self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", [])
        return uploads
