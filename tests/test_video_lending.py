"""Memory that a pipe is lent, instead of a copy."""

import contextlib
import ctypes
import errno
import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from upscale_cli.media.video.ffmpeg import vmsplice
from upscale_cli.media.video.ffmpeg.process import Pipe
from upscale_cli.media.video.ffmpeg.vmsplice import Lender

SIZE = 3_000_001  # more than a pipe holds, and no whole number of pages

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has pipes that take memory")


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        with contextlib.suppress(OSError):  # the test has closed it
            os.close(end)


def read_all(descriptor: int, into: bytearray) -> threading.Thread:
    def read() -> None:
        while piece := os.read(descriptor, 50_000):
            into.extend(piece)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def frame(number: int, size: int = SIZE) -> "np.ndarray[tuple[int], np.dtype[np.uint8]]":
    return np.random.default_rng(number).integers(0, 256, size, dtype=np.uint8)


@pytest.mark.parametrize("has_vmsplice", [pytest.param(True, marks=only_linux), False])
def test_all_bytes_come_in_order_however_short_the_frames_live(
    ends: tuple[int, int], has_vmsplice: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else keeps the frames, so new ones would take their memory while it is still to be read."""
    if not has_vmsplice:
        monkeypatch.setattr(vmsplice, "_vmsplice", lambda: None)
    reading, writing = ends
    came = bytearray()
    with os.fdopen(writing, "wb", buffering=0) as end:
        pipe = Pipe(end)
        thread = read_all(reading, came)
        sizes = [SIZE, 10, SIZE, 4096, 100_000, 100_000, SIZE, 1]
        for number, size in enumerate(sizes):
            pipe.write(b"head")
            pipe.lend(frame(number, size))
    thread.join(60)
    assert bytes(came) == b"".join(b"head" + frame(number, size).tobytes() for number, size in enumerate(sizes))


def test_wider_samples_go_as_their_bytes(ends: tuple[int, int]) -> None:
    reading, writing = ends
    samples = np.arange(1000, dtype=np.uint16)
    with os.fdopen(writing, "wb", buffering=0) as end:
        Pipe(end).lend(samples)
    assert os.read(reading, 4000) == samples.tobytes()


@pytest.mark.slow
@only_linux
def test_what_was_read_is_let_go(ends: tuple[int, int]) -> None:
    reading, writing = ends
    came = bytearray()
    thread = read_all(reading, came)
    lender, lent = Lender(writing), []
    for number in range(5):
        data = frame(number)
        lent.append(weakref.ref(data))
        assert lender.lend(data, lambda: None) == SIZE
    del data
    gc.collect()
    assert [one() is not None for one in lent] == [False, False, False, False, True]
    os.close(writing)
    thread.join(60)


@only_linux
def test_small_frames_are_kept_until_the_pipe_is_past_them(ends: tuple[int, int]) -> None:
    reading, writing = ends
    lender, lent = Lender(writing), []
    for number in range(10):
        data = frame(number, 1000)  # all of them fit into the pipe, where they wait
        lent.append(weakref.ref(data))
        lender.lend(data, lambda: None)
    del data
    gc.collect()
    assert all(one() is not None for one in lent)
    assert os.read(reading, 20_000) == b"".join(frame(number, 1000).tobytes() for number in range(10))


def test_a_file_is_no_pipe(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb", buffering=0) as end:
        Pipe(end).lend(frame(0))
    assert (tmp_path / "file").read_bytes() == frame(0).tobytes()


def test_there_is_no_reader_any_more(ends: tuple[int, int]) -> None:
    reading, writing = ends
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as end, pytest.raises(OSError):  # noqa: PT011  # EPIPE; on Windows EINVAL
        Pipe(end).lend(frame(0))


@only_linux
def test_a_system_that_keeps_it_from_us(ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """As a sandbox does: what is left is written, and nothing is lent again."""
    asked = []

    def refuse(*_: object) -> int:
        asked.append(1)
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(vmsplice, "_vmsplice", lambda: refuse)
    reading, writing = ends
    came = bytearray()
    thread = read_all(reading, came)
    with os.fdopen(writing, "wb", buffering=0) as end:
        pipe = Pipe(end)
        pipe.lend(frame(0))
        pipe.lend(frame(1))
    thread.join(60)
    assert bytes(came) == frame(0).tobytes() + frame(1).tobytes()
    assert len(asked) == 1
