"""An input that is sent, straight to the disk: multipart/form-data, of which nothing large is ever held in memory.

The form has a `file`, and `options` (JSON) before or after it. python-multipart finds the parts; what is here is where
they go, and where that ends.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import anyio
from anyio import CapacityLimiter, to_thread
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from upscale_cli.service.folders import new_id
from upscale_cli.service.pace import IDLE_SECONDS, LEAST_BYTES, Pace
from upscale_cli.service.problem import Problem
from upscale_cli.service.request import MOST_BYTES
from upscale_cli.service.service import Service

BLOCK: Final = 2**20
"""Bytes that are written at once."""

MOST_HEADER: Final = 16 * 1024
"""Bytes of the headers of one part."""

MOST_PARTS: Final = 20

MOST_AT_ONCE: Final = 64
"""Bodies that arrive at a time."""

CHECK_EVERY: Final = 8 * 2**20
"""Bytes between two looks at the free disk."""

writing: Final = CapacityLimiter(8)
"""Threads that write what arrives: apart from those of other requests, which need not wait for disks."""


@dataclass(slots=True)
class Form:
    """What was sent.

    Attributes:
        name: the client's, of the file; "" where none was sent.
        path: where it goes.
        size: bytes of it that have come.
        rest: its last bytes, which nobody has written yet.
        fields: all else, by name.
    """

    path: Path
    name: str = ""
    size: int = 0
    rest: bytes = b""
    fields: dict[str, str] = field(default_factory=dict)
    _file: IO[bytes] | None = None

    def write(self, data: bytes) -> None:
        """Adds to the file. Blocks."""
        if self._file is None:
            self._file = self.path.open("xb")
        self._file.write(data)

    @contextlib.contextmanager
    def arrived(self) -> Iterator[Path]:
        """The file, whole; whoever takes it over moves it away, and else it is removed in the end. Blocks."""
        try:
            self.write(self.rest)
            self.close()
            yield self.path
        finally:
            self.remove()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """Takes away what nobody has taken over. Blocks."""
        if self._file is not None:
            self.close()
            self._file = None
            self.path.unlink(missing_ok=True)

    @property
    def is_begun(self) -> bool:
        """Whether anything of it is on the disk."""
        return self._file is not None


class _Parts:
    """Takes the parser's calls: of the file it collects bytes to be written, of a field its text."""

    def __init__(self) -> None:
        self.files, self.name, self.fields = 0, "", dict[str, str]()
        self.data = bytearray()
        self.is_complete = False
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = b"", b""
        self._parts, self._is_file, self._field = 0, False, ""
        self._text = bytearray()

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin, "on_part_data": self._part_data, "on_part_end": self._end,
            "on_header_field": self._header_field, "on_header_value": self._header_value,
            "on_header_end": self._header_end, "on_headers_finished": self._headers_finished, "on_end": self._complete,
        }  # fmt: skip

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise Problem(400, f"the form has more than {MOST_PARTS} parts. Send one file, and options.")
        self._headers, self._text = {}, bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]
        self._check_header()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]
        self._check_header()

    def _check_header(self) -> None:
        if len(self._header) + len(self._value) > MOST_HEADER:
            raise Problem(400, "a part of the form has too long a header. Send a shorter name.")

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        self._is_file = b"filename" in options
        if self._is_file:
            self.files += 1
            if self.files > 1:
                raise Problem(400, "the form has more than one file. Send each in a request of its own.")
            self.name = options[b"filename"].decode("utf-8", "replace")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            self.data += data[start:end]
            return
        self._text += data[start:end]
        if len(self._text) > MOST_BYTES:
            raise Problem(413, f"{self._field or 'a field'}: is longer than {MOST_BYTES:,} bytes.")

    def _end(self) -> None:
        if not self._is_file:
            self.fields[self._field] = self._text.decode("utf-8", "replace")

    def _complete(self) -> None:
        self.is_complete = True


@contextlib.asynccontextmanager
async def received(request: Request, service: Service) -> AsyncIterator[Form]:
    """The form of a request, whose file is `Form.arrived`; nothing of what nobody has taken over stays.

    Raises:
        Problem: it is no form, breaks off, or is too large for a limit or for the disk.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise Problem(415, "the request is no form. Send multipart/form-data with a file and options.")
    if service.may_be_full:
        await to_thread.run_sync(service.check_queue)
    service.check_space(_length(request))
    form = Form(service.folders.upload(new_id()))
    with counted(service, MOST_AT_ONCE):
        try:
            await _receive(request, service, boundary, form)
            yield form
        finally:
            if form.is_begun:
                with anyio.CancelScope(shield=True), contextlib.suppress(OSError):
                    await to_thread.run_sync(form.remove, limiter=writing)


@contextlib.contextmanager
def counted(service: Service, most: int) -> Iterator[None]:
    """Within it one more body arrives.

    Raises:
        Problem: that many arrive already.
    """
    if len(service.arriving) >= most:
        raise Problem(
            503, f"{len(service.arriving)} inputs are arriving, and no more are taken. Try again in a moment.",
            headers={"Retry-After": "5"},
        )  # fmt: skip
    one = object()
    service.arriving.add(one)
    try:
        yield
    finally:
        service.arriving.discard(one)


async def _receive(request: Request, service: Service, boundary: bytes, form: Form) -> None:
    """Reads the form; of its file the last block stays in memory, so that a small one costs one thread once."""
    parts, checked_at, after = _Parts(), 0, 0

    async def flush() -> None:
        data = bytes(parts.data)
        parts.data.clear()
        form.size += len(data)
        await to_thread.run_sync(form.write, data, limiter=writing)

    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        async for chunk in steady(request):
            after += len(chunk) if parts.is_complete else 0
            if after > MOST_HEADER:
                raise Problem(400, "the form goes on after its end. Send one form in a request.")
            parser.write(chunk)
            if form.size + len(parts.data) > service.settings.max_upload:
                raise Problem(
                    413, f"the file is larger than the {service.settings.max_upload:,} bytes that are taken here."
                )
            if len(parts.data) >= BLOCK:
                await flush()
                if form.size - checked_at > CHECK_EVERY:
                    checked_at = form.size
                    service.check_space()
        parser.finalize()
    except FormParserError as error:
        raise Problem(400, "the form is damaged. Send multipart/form-data as a browser does.") from error
    if not parts.is_complete:
        raise Problem(400, "the form breaks off before its end. Send it again.")
    form.size += len(parts.data)
    form.name, form.fields, form.rest = parts.name, parts.fields, bytes(parts.data)
    if not parts.files:
        raise Problem(422, "file: is missing. Send one.", field="file")


async def steady(request: Request) -> AsyncIterator[bytes]:
    """The body, as it comes; a client that sends nothing for too long is given up.

    Raises:
        Problem: so it is, or the client has gone.
    """
    stream, pace = request.stream().__aiter__(), Pace(time.monotonic())
    while True:
        try:
            with anyio.fail_after(IDLE_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem(408, f"nothing came for {IDLE_SECONDS:.0f} seconds. Send it again.") from None
        except ClientDisconnect:
            raise Problem(400, "the client has gone before the end.") from None
        if not pace.keeps(len(chunk), time.monotonic()):
            raise Problem(408, f"fewer than {LEAST_BYTES:,} bytes came in {IDLE_SECONDS:.0f} seconds. Send it again.")
        yield chunk


async def whole(request: Request, most: int) -> bytes:
    """All of a small body, at most so many bytes.

    Raises:
        Problem: it is longer.
    """
    data = bytearray()
    async for chunk in steady(request):
        data += chunk
        if len(data) > most:
            raise Problem(413, f"the request is longer than {most:,} bytes.")
    return bytes(data)


def _length(request: Request) -> int:
    """Bytes that are announced; 0 where none are."""
    given = request.headers.get("content-length", "")
    return int(given) if given.isdecimal() else 0
