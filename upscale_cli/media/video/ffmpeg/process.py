"""An ffmpeg process and its pipes: started without a shell, watched, never left behind."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, Final, Literal, Self, cast

import numpy as np
import psutil
from numpy.typing import NDArray

from upscale_cli.errors import printable
from upscale_cli.media.video.ffmpeg.vmsplice import Lender

STALL_SECONDS: Final = 300.0
"""How long a process may neither give nor take a byte before it is taken for hung and ended."""

PIPE_BYTES: Final = 2**20
"""What a pipe holds, where the system lets us choose (Linux); fewer switches between the processes."""

BUFFER_BYTES: Final = 2**18
"""What PyAV reads or writes at once; more was measured to cost more, for each call makes a new object of that size."""

_TAIL_LINES: Final = 40
_LEVEL = re.compile(r"^(?:\[[^\]]*\] )*\[(quiet|panic|fatal|error|warning|info|verbose)\] (.*)")

Level = Literal["quiet", "panic", "fatal", "error", "warning", "info", "verbose", ""]

LOG_ARGUMENTS: Final = ("-hide_banner", "-nostats", "-loglevel", "repeat+level+info")
"""What makes ffmpeg log everything to standard error, each line with its level."""


class Child:
    """One process: its pipes, its last words, its exit code. Killed when the block that owns it ends.

    Args:
        arguments: the program and its arguments; there is no shell.
        stdin, stdout: whether it is fed, and read. Else it gets nothing, and what it prints is dropped.
        on_line: called from another thread with (level, text) of every line that it logs.
        stall_seconds: see `STALL_SECONDS`; None never ends it (where another process sets the pace).
        environment: variables to set besides ours.
        inherited: descriptors of ours that it gets under the same numbers (not on Windows).
        folder: where it works; None: where we do.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        stdin: bool | IO[bytes] = False,
        stdout: bool | IO[bytes] = False,
        on_line: Callable[[Level, str], None] | None = None,
        stall_seconds: float | None = STALL_SECONDS,
        environment: Mapping[str, str] | None = None,
        inherited: Sequence[int] = (),
        folder: str | None = None,
    ) -> None:
        self._on_line = on_line
        self._tail: deque[tuple[Level, str]] = deque(maxlen=_TAIL_LINES)
        self.stalled = False
        self._process = subprocess.Popen(
            list(arguments),
            stdin=_pipe_or(stdin),
            stdout=_pipe_or(stdout),
            stderr=subprocess.PIPE,
            bufsize=0,
            env=_environment(environment or {}),
            pass_fds=inherited,
            cwd=folder,
            start_new_session=sys.platform != "win32",  # Ctrl-C is ours to handle
            creationflags=_window_flags(),
        )
        self._log = threading.Thread(target=self._read_log, name="ffmpeg log", daemon=True)
        self._log.start()
        self._ends = [end for end in (self._process.stdin, self._process.stdout) if end is not None]
        self._pipes = [Pipe(end) for end in self._ends]
        self._ended = threading.Event()
        self._is_awaited = False
        self._stall_seconds = stall_seconds
        self._threads = [self._log]
        if stall_seconds is not None and self._pipes:
            watch = threading.Thread(target=self._watch, args=(stall_seconds,), name="ffmpeg watch", daemon=True)
            watch.start()
            self._threads.append(watch)

    @property
    def stdin(self) -> "Pipe":
        return self._pipes[0]

    @property
    def stdout(self) -> "Pipe":
        return self._pipes[-1]

    def reason(self) -> str:
        """The last line of its log that shows why it failed; "" where it logged nothing."""
        if self.stalled:
            return f"nothing moved for {self._stall_seconds:g} s"
        self._log.join(timeout=2)
        lines = list(self._tail)
        errors = [text for level, text in lines if level in ("panic", "fatal", "error")]
        specific = [text for text in errors if not _GENERAL.search(text)]
        with_cause = [text for text in errors if ": " in text]
        words = (specific or with_cause or errors or [text for _, text in lines if text])[-1:]
        return printable(words[0].strip())[:300] if words else ""

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit code; None if it is still running after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        self._is_awaited = True
        while True:  # in short waits, which Ctrl-C ends on every system
            try:
                code = self._process.wait(0.5 if deadline is None else max(0.0, min(0.5, deadline - time.monotonic())))
            except subprocess.TimeoutExpired:
                if deadline is not None and time.monotonic() >= deadline:
                    self._is_awaited = False
                    return None
            else:
                self._ended.set()
                self._join_threads()
                return code

    def _join_threads(self) -> None:
        """A thread that wakes while Python takes itself down can abort the process."""
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5)

    def interrupt(self) -> None:
        """Asks ffmpeg to stop reading and to close its output properly, as Ctrl-C does."""
        with contextlib.suppress(OSError, ValueError):
            if sys.platform == "win32":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                self._process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Ends it at once. Another thread may be reading or writing its pipes: it finds them ended, and open still."""
        self._kill()
        self._process.wait()
        self._ended.set()

    def kill(self) -> None:
        """Ends it at once and takes its exit code, so that nothing of it stays. No thread may use its pipes then."""
        self.stop()
        for end in self._ends:
            with contextlib.suppress(OSError, ValueError):
                end.close()
        self._join_threads()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        # Unbuffered pipes are read a byte at a time for a line, and a damaged clip makes a hundred thousand lines.
        with io.BufferedReader(cast(io.RawIOBase, self._process.stderr)) as stream:
            for raw in iter(lambda: _read_line(stream), b""):
                text = raw.decode("utf-8", "backslashreplace").rstrip()
                match = _LEVEL.match(text)
                level, words = (cast(Level, match[1]), match[2]) if match else ("", text)
                if level in ("panic", "fatal", "error", "warning", ""):
                    self._tail.append((level, words))
                if self._on_line is not None:
                    self._on_line(level, words)

    def _kill(self) -> None:
        """The process, and where the system has groups of processes those that a wrapper script has started."""
        if self._process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def _watch(self, limit: float) -> None:
        """Ends the process when we have waited too long: for a pipe to move, or for any work at its end."""
        effort = _Effort(self._process.pid)
        while not self._ended.wait(min(limit / 4, 1.0)):
            idle = [pipe.waiting_seconds() for pipe in self._pipes]
            if self._is_awaited:
                idle.append(effort.idle_seconds())
            if self._process.poll() is None and max(idle) > limit:
                self.stalled = True
                self._kill()


class _Effort:
    """How long a process and its children have not used a processor, as far as was looked."""

    def __init__(self, pid: int) -> None:
        self._pid, self._used, self._since = pid, -1.0, 0.0

    def idle_seconds(self) -> float:
        """Since the first look that found what this one finds."""
        used = 0.0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self._pid)
            for one in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    used += sum(one.cpu_times()[:2])
        if used != self._used:
            self._used, self._since = used, time.monotonic()
        return time.monotonic() - self._since


_GENERAL = re.compile(
    r"^(Error (opening|muxing|submitting|writing|closing)|Conversion failed|Task finished|Terminating)"
)


class Pipe:
    """Our end of a pipe to a process, as PyAV wants it: read or write; it knows how long it has been waiting."""

    def __init__(self, end: IO[bytes]) -> None:
        self._end = end
        self._since: float | None = None
        self.name = "pipe"
        _enlarge(end)
        self._lender = Lender(end.fileno())

    def read(self, length: int = -1) -> bytes:
        self._since = time.monotonic()
        try:
            return self._end.read(length)
        finally:
            self._since = None

    def write(self, data: Any) -> int:
        self._since = time.monotonic()
        try:
            rest = memoryview(data).cast("B")
            length = len(rest)
            while rest:  # unbuffered, so a write may take a part only
                rest = rest[self._end.write(rest) or 0 :]
                self._since = time.monotonic()
            return length
        finally:
            self._since = None

    def lend(self, data: NDArray[Any]) -> None:
        """Writes what will not be changed any more, without a copy where the system can do that."""
        flat = data.reshape(-1).view(np.uint8)
        self._move()
        try:
            taken = self._lender.lend(flat, self._move)
        finally:
            self._since = None
        if taken < flat.size:
            self.write(flat[taken:])

    def _move(self) -> None:
        self._since = time.monotonic()

    def close(self) -> None:
        self._end.close()

    def waiting_seconds(self) -> float:
        """How long the read or write in progress has not moved."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since


def _read_line(stream: IO[bytes]) -> bytes:
    return stream.readline(10_000)


def _pipe_or(given: bool | IO[bytes]) -> Any:
    if isinstance(given, bool):
        return subprocess.PIPE if given else subprocess.DEVNULL
    return given


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours and more, without what would colour the log: its levels could not be recognised any more."""
    return {name: value for name, value in os.environ.items() if name != "AV_LOG_FORCE_COLOR"} | dict(more)


def _window_flags() -> int:
    if sys.platform != "win32":
        return 0
    return subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP


def _enlarge(end: IO[bytes]) -> None:
    if sys.platform == "linux":
        import fcntl

        with contextlib.suppress(OSError):  # more than this user may have
            fcntl.fcntl(end.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
