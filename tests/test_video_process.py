"""A child process: exit code and last words, pipes that are written in pieces or break, hangs, and no process left."""

import contextlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from upscale_cli.media.video.ffmpeg import process
from upscale_cli.media.video.ffmpeg.process import Child


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """No process, a zombie among them, and no thread outlives its test."""
    before = psutil.Process().children(recursive=True)
    threads = set(threading.enumerate())
    yield
    assert not [child for child in psutil.Process().children(recursive=True) if child not in before]
    for thread in set(threading.enumerate()) - threads:
        thread.join(5)
        assert not thread.is_alive(), thread


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def say(*lines: str, code: int = 1) -> list[str]:
    return python(f"import sys; sys.stderr.write({chr(10).join(lines) + chr(10)!r}); sys.exit({code})")


# Exit code and last words


@pytest.mark.parametrize("code", [0, 1, 69, 187])
def test_the_exit_code_is_kept(code: int) -> None:
    with Child(python(f"raise SystemExit({code})")) as child:
        assert child.wait() == code
        assert child.wait() == code


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((), ""),
        (("[info] fine", "[verbose] more"), ""),
        (("[error] first", "[error] second", "[info] ending"), "second"),
        (("[fatal] bad option", "[warning] by the way"), "bad option"),
        (("[mp4 @ 0x55d] [error] No space left", "[error] Error writing trailer: -28"), "No space left"),
        (("[out#0/mp4 @ 0x5] [libx264 @ 0x6] [error] broken header",), "broken header"),
        (("[error] Conversion failed!",), "Conversion failed!"),
        (("[warning] odd", "no level at all"), "no level at all"),
        (("[error] first line\rsecond \x1b[31mred",), r"first line\rsecond \x1b[31mred"),
        (("[error] " + "x" * 1000,), "x" * 300),
        (("[error] not text: \udcff",), r"not text: \\xff"),
    ],
)
def test_its_last_words(lines: tuple[str, ...], reason: str) -> None:
    code = f"""
        import sys
        for line in {lines!r}:
            sys.stderr.buffer.write(line.encode("utf-8", "surrogateescape") + b"\\n")
        sys.exit(1)
    """
    with Child(python(code)) as child:
        child.wait()
        assert child.reason() == reason.replace("\\\\", "\\")


def test_every_line_is_told_with_its_level() -> None:
    reported: list[tuple[str, str]] = []
    lines = ("[info] one", "[h264 @ 0x1] [warning] two", "three", "", "[error] four")
    with Child(say(*lines), on_line=lambda level, text: reported.append((level, text))) as child:
        child.wait()
    assert reported == [("info", "one"), ("warning", "two"), ("", "three"), ("", ""), ("error", "four")]


def test_a_flood_of_complaints_neither_blocks_nor_piles_up() -> None:
    """More than any pipe holds, in long lines without an end and short ones, while standard output is not read."""
    code = """
        import sys
        sys.stderr.write("y" * 3_000_000)
        sys.stderr.write("\\n" + "[error] complaint\\n" * 100_000 + "[error] the last one\\n")
        sys.stdout.write("done")
    """
    with Child(python(code), stdout=True) as child:
        assert child.stdout.read(100) == b"done"
        assert child.wait() == 0
        assert child.reason() == "the last one"


# Pipes


def test_all_bytes_go_through_both_pipes() -> None:
    """Far more than a pipe holds, echoed in odd pieces: writes are taken in part only."""
    code = """
        import os, shutil, sys
        while piece := os.read(0, 65_537):
            os.write(1, piece[:1]), sys.stdout.flush()
            rest = memoryview(piece)[1:]
            while rest: rest = rest[os.write(1, rest):]
    """
    data = os.urandom(5_000_000)
    with Child(python(code), stdin=True, stdout=True) as child:
        sent: list[int] = []

        def feed() -> None:
            sent.append(child.stdin.write(memoryview(data)))
            child.stdin.close()

        thread = threading.Thread(target=feed)
        thread.start()
        back = bytearray()
        while piece := child.stdout.read(100_000):
            back += piece
        thread.join()
        assert sent == [len(data)]
        assert back == data
        assert child.wait() == 0


def test_a_process_that_reads_no_more_breaks_the_pipe() -> None:
    with Child(python("import sys; sys.stdin.buffer.read(10); sys.exit(3)"), stdin=True) as child:
        with pytest.raises(OSError):  # noqa: PT011  # EPIPE; on Windows EINVAL
            child.stdin.write(bytes(2**26))
        assert child.wait() == 3


def test_an_empty_pipe_reads_as_its_end() -> None:
    with Child(python("pass"), stdout=True) as child:
        assert child.stdout.read(10) == b""


def test_what_is_not_wanted_is_not_waited_for() -> None:
    """Neither pipe asked for: it reads nothing, and what it prints is dropped."""
    with Child(python("import sys; print('x' * 10**7); assert sys.stdin.read() == ''")) as child:
        assert child.wait() == 0


def test_variables_are_added_to_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "1")
    code = "import os; print(os.environ['OURS'] + os.environ['THEIRS'], end='')"
    with Child(python(code), stdout=True, environment={"THEIRS": "2"}) as child:
        assert child.stdout.read(10) == b"12"


# Hanging, and being ended

HANG = "import time; time.sleep(600)"


def test_a_process_that_gives_nothing_is_ended() -> None:
    with Child(python(HANG), stdout=True, stall_seconds=0.4) as child:
        assert child.stdout.read(1) == b""
        assert child.wait() != 0
        assert child.stalled
        assert child.reason() == "nothing moved for 0.4 s"


def test_a_process_that_takes_nothing_is_ended() -> None:
    with Child(python(HANG), stdin=True, stall_seconds=0.4) as child:
        with pytest.raises(OSError):  # noqa: PT011
            child.stdin.write(bytes(2**24))
        assert child.stalled


@pytest.mark.slow
def test_a_process_that_does_not_end_is_ended() -> None:
    """It has taken everything, and sleeps instead of closing its file."""
    with Child(python(f"import sys; sys.stdin.read(); {HANG}"), stdin=True, stall_seconds=0.6) as child:
        child.stdin.write(b"all")
        child.stdin.close()
        assert child.wait() != 0
        assert child.stalled


@pytest.mark.slow
def test_a_process_that_is_busy_ending_may_go_on() -> None:
    """It uses a processor now and then, for longer than it might do nothing."""
    code = """
        import sys, time
        sys.stdin.read()
        until = time.monotonic() + 3.5
        while time.monotonic() < until:
            used = time.process_time()
            while time.process_time() < used + 0.02: pass
            time.sleep(0.1)
    """
    with Child(python(code), stdin=True, stall_seconds=2.0) as child:
        child.stdin.close()
        assert child.wait() == 0
        assert not child.stalled


def test_nothing_waits_so_nothing_stalls() -> None:
    """An idle process is not hung: it is we who do not ask."""
    with Child(python("import time; time.sleep(1); print('x', end='')"), stdout=True, stall_seconds=0.2) as child:
        time.sleep(0.6)
        assert not child.stalled
        assert child.wait(0) is None


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 1.5])
def test_slow_is_not_hung(limit: float | None) -> None:
    """Something comes now and then, or no limit is set."""
    pause = 0.3 if limit else 0.6
    code = f"import time\nfor _ in range(6): time.sleep({pause}); print('x', end='', flush=True)"
    with Child(python(code), stdout=True, stall_seconds=limit) as child:
        got = b""
        while piece := child.stdout.read(1):
            got += piece
            if limit is None:
                break
        assert got == (b"x" if limit is None else b"xxxxxx")
        assert not child.stalled


def test_a_block_that_raises_leaves_no_process() -> None:
    with contextlib.suppress(KeyboardInterrupt), Child(python(HANG), stdin=True, stdout=True) as child:
        pid = child._process.pid
        raise KeyboardInterrupt
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="shell scripts")
def test_what_a_wrapper_script_has_started_goes_with_it() -> None:
    with Child(["/bin/sh", "-c", f"{sys.executable} -c '{HANG}'; exit 0"], stdout=True) as child:
        shell = psutil.Process(child._process.pid)
        while not (started := shell.children()):
            time.sleep(0.02)
    psutil.wait_procs(started, timeout=60)
    assert not [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def test_stopping_it_ends_the_reading_of_another_thread() -> None:
    with Child(python(HANG), stdout=True) as child:
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(child.stdout.read(1)))
        thread.start()
        time.sleep(0.1)
        child.stop()
        thread.join(10)
        assert got == [b""]
        assert child.stdout.read(1) == b""  # still open
        child.stop()
        child.kill()


def test_waiting_may_be_limited() -> None:
    with Child(python(HANG)) as child:
        assert child.wait(0.05) is None
        assert child.wait(0) is None


@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
def test_it_may_be_asked_to_end() -> None:
    code = """
        import signal, sys, time
        signal.signal(signal.SIGINT, lambda *_: sys.exit(255))
        print("x", end="", flush=True)
        time.sleep(600)
    """
    with Child(python(code), stdout=True) as child:
        child.stdout.read(1)
        child.interrupt()
        assert child.wait() == 255
        child.interrupt()  # it has ended already


# Elsewhere


def test_windows_gets_its_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a window, in a group of its own, which is what CTRL_BREAK_EVENT goes to."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0x200, raising=False)
    assert process._window_flags() == 0x08000200


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Child([str(tmp_path / "ffmpeg")])
