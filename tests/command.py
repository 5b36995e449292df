"""The command line, run in this process."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import pytest

from upscale_cli import cli
from upscale_cli.messages import MARK


class Outcome:
    """What a run left on the screen."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def line(self) -> str:
        """The one error line; there must be no other, and no traceback."""
        assert "Traceback" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        return lines[0]

    @property
    def words(self) -> str:
        """All that was printed, in one line: where lines are broken depends on the width."""
        return " ".join((self.err + self.out).split())


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs `upscale ...` in this process."""

    def run(*args: object, columns: int = 100) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["upscale", *map(str, args)])
        monkeypatch.setenv("COLUMNS", str(columns))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        assert MARK not in captured.out + captured.err
        return Outcome(ended.value.code if isinstance(ended.value.code, int) else 0, captured.out, captured.err)

    return run


Piped = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Piped:
    """Runs `upscale ...` in this process between three real pipes, as `subprocess.run` would run it in another."""

    def run(*args: object, source: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
        """Nothing comes from standard input where `source` is None."""
        out, err = _Drain(), _Drain()
        with monkeypatch.context() as patch, _standard_input(source) as stdin:
            patch.setattr(sys, "argv", ["upscale", *map(str, args)])
            patch.setattr(sys, "stdin", stdin)
            patch.setattr(sys, "stdout", out.end)
            patch.setattr(sys, "stderr", err.end)
            patch.setattr("upscale_cli.jobs.inputs._read", {})  # another process has not read anything yet
            with pytest.raises(SystemExit) as ended:
                cli.main()
            code = ended.value.code if isinstance(ended.value.code, int) else 0
            return subprocess.CompletedProcess([str(each) for each in args], code, out.close(), err.close())

    return run


class _Drain:
    """A pipe whose other end is read all the time.

    Attributes:
        end: ours, to be written to.
    """

    def __init__(self) -> None:
        theirs, ours = os.pipe()
        self.end = os.fdopen(ours, "w", encoding="utf-8")
        self._bytes = b""
        self._reader = threading.Thread(target=self._read, args=(theirs,))
        self._reader.start()

    def _read(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as stream:
            self._bytes = stream.read()

    def close(self) -> bytes:
        """All that has come."""
        self.end.close()
        self._reader.join()
        return self._bytes


@contextlib.contextmanager
def _standard_input(data: bytes | None) -> Iterator[TextIO]:
    """A pipe that gives that; without it, what gives nothing."""
    if data is None:
        with Path(os.devnull).open() as stream:
            yield stream
        return

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(ours, "wb") as stream:
            stream.write(data)

    theirs, ours = os.pipe()
    feeder = threading.Thread(target=feed)
    feeder.start()
    with os.fdopen(theirs) as stream:
        yield stream
    feeder.join()
