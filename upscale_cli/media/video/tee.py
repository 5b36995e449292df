"""A source whose bytes come once only (a pipe, a live stream), for several readers: the probe, decoders, the encoder.

    source  ->  [chunks]  ->  tap: probe (the head)
   (thread)               ->  tap: decoder's standard input
                          ->  tap: encoder, which copies sound and all else from it

Each reader sees every byte from the first on, at its own pace. A chunk is released when all have passed it, so memory
holds what lies between the fastest and the slowest: the frames in progress, in their coded form.
"""

import contextlib
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from upscale_cli.errors import InputError
from upscale_cli.media.video.ffmpeg.closing import Closing
from upscale_cli.media.video.ffmpeg.process import Pipe

HEAD_BYTES: Final = 8 * 2**20
"""How much of the source the probe may look at."""

MOST_BYTES: Final = 2**30
"""How far one reader may run ahead of another. More would mean sound and pictures a gigabyte apart."""

LIVE_BYTES: Final = 64 * 2**20
"""How much of a live source is taken in before the first read: a sender does not wait until the model is loaded."""

CHUNK_BYTES: Final = 2**16
_ENDING_SECONDS: Final = 0.5
"""How long a source may take to notice that it is not read any more."""

_POLL_SECONDS: Final = 0.5  # waits are cut into pieces, because on Windows Ctrl-C does not end one


class Tee(Closing):
    """Owner of a source that can be read once.

    Args:
        name: for messages.
        read: gives some bytes, b"" at the end; called in a thread of its own.
        stop: asks the source to end, after which `read` comes to its end, and does not wait for that; None where it
            cannot be asked.
        release: releases it.
        is_live: it sets the pace itself.
    """

    def __init__(
        self,
        name: str,
        read: Callable[[], bytes],
        *,
        stop: Callable[[], None] | None = None,
        release: Callable[[], None] = lambda: None,
        is_live: bool = False,
    ) -> None:
        self.name, self._read, self._stop, self._release, self.is_live = name, read, stop, release, is_live
        self._chunks: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0  # chunks that all have passed
        self._taps: list[Tap] = []
        self._is_begun = self._is_ended = False
        self.error: Exception | None = None
        self._changed = threading.Condition()
        self._pumping = threading.Thread(target=self._pump, name="source", daemon=True)
        self._pumping.start()

    def tap(self, limit: int | None = None) -> "Tap":
        """One more reader, from the first byte on; not after `begin`.

        Args:
            limit: for this reader the source ends after so many bytes.
        """
        with self._changed:
            assert not self._is_begun, "the first bytes are gone"
            tap = Tap(self, limit)
            self._taps.append(tap)
            return tap

    def head(self) -> bytes:
        """What has been read so far; before `begin`."""
        with self._changed:
            return b"".join(self._chunks)

    def begin(self) -> None:
        """All readers are there: what they have passed need not be kept."""
        with self._changed:
            self._is_begun = True
            self._drop()
            self._changed.notify_all()

    def cut(self) -> None:
        """Ends the source here; what has been read of it, and the error it may end with, still reach all readers."""
        if self._stop is not None:
            self._stop()
        else:
            self._end()

    def close(self) -> None:
        """Ends the source, and all readers' reading."""
        for tap in list(self._taps):
            tap.close()
        self._end()
        self._release()
        # A thread that wakes while Python takes itself down can abort the process. One that waits for a source which
        # gives nothing sleeps on.
        self._pumping.join(_ENDING_SECONDS)

    def _end(self) -> None:
        with self._changed:
            self._is_ended = True
            self._changed.notify_all()

    # For the taps, which hold `_changed` when they call

    def chunk(self, number: int) -> bytes | None:
        """The chunk of that number, from 0; None at the end. Waits for it."""
        while number >= self._dropped + len(self._chunks) and not self._is_ended:
            self._changed.notify_all()
            self._changed.wait(_POLL_SECONDS)
        place = number - self._dropped  # below zero for a tap that was closed while it read
        return self._chunks[place] if 0 <= place < len(self._chunks) else None

    def moved(self) -> None:
        """A tap has passed a chunk, or has gone."""
        self._taps = [tap for tap in self._taps if not tap.is_closed]
        self._drop()
        self._changed.notify_all()

    @property
    def changed(self) -> threading.Condition:
        return self._changed

    def _drop(self) -> None:
        if not self._is_begun:
            return
        passed = min((tap.number for tap in self._taps), default=self._dropped + len(self._chunks))
        while self._dropped < passed and self._chunks:
            self._bytes -= len(self._chunks.popleft())
            self._dropped += 1

    def _pump(self) -> None:
        """Reads while a reader waits for bytes; else the source waits, if it can."""
        while self._is_wanted():
            try:
                chunk = self._read()
            except (OSError, ValueError):
                chunk = b""
            with self._changed:
                if not chunk or self._is_ended:
                    self._is_ended = True
                elif self._bytes > MOST_BYTES:
                    self._is_ended = True
                    self.error = InputError(
                        f"{self.name}: its streams lie more than {MOST_BYTES / 1e9:.0f} GB apart, too far to be "
                        "carried along from a pipe. Save it to a file first, and name that."
                    )
                else:
                    self._chunks.append(chunk)
                    self._bytes += len(chunk)
                self._changed.notify_all()

    def _is_wanted(self) -> bool:
        """Waits until a reader has nothing left; False once the source is ended."""
        with self._changed:
            while not self._is_ended:
                if any(tap.number >= self._dropped + len(self._chunks) for tap in self._taps):
                    return True
                if self.is_live and self._bytes < LIVE_BYTES:
                    return True
                self._changed.wait(_POLL_SECONDS)
            return False


class Tap:
    """One reader's view of a `Tee`: a file without a seek, as PyAV takes it."""

    def __init__(self, source: Tee, limit: int | None) -> None:
        self._source, self._left = source, limit
        self._rest = memoryview(b"")
        self.number = 0  # of the chunk that comes next
        self.is_closed = False
        self.name = "pipe"

    def read(self, length: int = CHUNK_BYTES) -> bytes:
        """Some bytes, at most `length`; b"" at the end. Waits for them."""
        if not self._rest:
            self._rest = memoryview(self._next())
        if self._left is not None:
            length = min(length, self._left)
            self._left -= min(length, len(self._rest))
        taken, self._rest = self._rest[:length], self._rest[length:]
        return bytes(taken)

    def close(self) -> None:
        """No more is wanted; a `read` in progress ends."""
        with self._source.changed:
            self.is_closed = True
            self._source.moved()

    def _next(self) -> bytes:
        with self._source.changed:
            if self.is_closed:
                return b""
            chunk = self._source.chunk(self.number)
            if chunk is None or self.is_closed:
                return b""
            self.number += 1
            self._source.moved()
            return chunk


class Tapped(Protocol):
    """What a second input comes from."""

    def head(self) -> bytes:
        """What was read before it was opened."""

    def tap(self) -> "Tap":
        """A reader, from the first byte on."""


class Later:
    """A `Tee` for one who comes after `begin`: the first bytes and a place are kept.

    Args:
        is_wanted: whether `tap` will be called; what a place keeps and nobody takes would pile up.
    """

    def __init__(self, tee: Tee, *, is_wanted: bool) -> None:
        self._head = tee.head()
        self._tap = tee.tap() if is_wanted else None

    def head(self) -> bytes:
        """What had been read when the place was taken."""
        return self._head

    def tap(self) -> Tap:
        """The place; once."""
        assert self._tap is not None, "nobody wanted it"
        return self._tap


class Bytes(Protocol):
    """What gives bytes: a tap, or the head in memory."""

    def read(self, length: int, /) -> bytes:
        """At most so many; b"" at the end."""

    def close(self) -> None:
        """No more is wanted."""


class Sink(Protocol):
    """What takes bytes: a pipe or a connection to a process."""

    def write(self, data: bytes, /) -> object:
        """Takes them all, or raises OSError."""

    def close(self) -> None:
        """Ends the stream."""


class Feed:
    """Carries bytes into a process, in a thread of its own, until either ends."""

    def __init__(self, source: Bytes, sink: Sink) -> None:
        self._source, self._sink = source, sink
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it; the process should be gone by then, or have closed its end."""
        self._source.close()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the process has gone, or wants no more
            while chunk := self._source.read(CHUNK_BYTES):
                self._sink.write(chunk)
        with contextlib.suppress(OSError, ValueError):
            self._sink.close()
        self._source.close()


class SecondInput:
    """A second way into a process, after its standard input: an inherited pipe, or on Windows a local connection.

    Attributes:
        address: what ffmpeg opens.
        protocols: what its whitelist must let in for that.
        inherited: descriptors that the process must get.
    """

    def __init__(self, *, by_socket: bool = sys.platform == "win32") -> None:
        self.inherited: tuple[int, ...] = ()
        self._listener: socket.socket | None = None
        self._feed: Feed | None = None
        if by_socket:
            self._listener = socket.create_server(("127.0.0.1", 0), backlog=1)
            self.address, self.protocols = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}", "tcp"
        else:
            theirs, ours = os.pipe()
            self.inherited, self._ours = (theirs,), ours
            self.address, self.protocols = f"pipe:{theirs}", "pipe"

    def begin(self, source: Bytes) -> None:
        """Once the process runs: bytes flow."""
        if self._listener is not None:
            self._feed = Feed(source, _Accepted(self._listener))
            return
        os.close(self.inherited[0])
        self._feed = Feed(source, Pipe(os.fdopen(self._ours, "wb", buffering=0)))

    def close(self) -> None:
        """After the process has ended."""
        if self._listener is not None:
            self._listener.close()
        if self._feed is not None:
            self._feed.close()


class _Accepted:
    """The first and only connection to a listener, as a sink."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._listener.settimeout(_POLL_SECONDS)  # closing it does not wake a thread that waits for a connection
        self._connection: socket.socket | None = None

    def write(self, data: bytes, /) -> None:
        if self._connection is None:
            self._connection = self._accept()
            self._listener.close()
        self._connection.sendall(data)

    def close(self) -> None:
        self._listener.close()
        if self._connection is not None:
            self._connection.close()

    def _accept(self) -> socket.socket:
        while True:
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(None)
            return connection
