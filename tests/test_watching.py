"""Folders that are watched: none missed, none taken half."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.albums import paint
from tests.command import Run
from tests.waiting import PATIENCE
from upscale_cli.batch.arrivals import Arrivals, waiting
from upscale_cli.batch.manifest import Stamp

FAST = ("-m", "bicubic", "-s", "2")


# When a file is whole


def test_a_file_is_taken_when_it_has_stopped_changing() -> None:
    arrivals = Arrivals(settle=2.0)
    for now, size in enumerate([10, 20, 30, 30]):
        assert arrivals.settled({"a": Stamp(size, now if size < 30 else 9)}, now) == []
    assert arrivals.is_waiting
    assert arrivals.settled({"a": Stamp(30, 9)}, 4) == ["a"]
    assert not arrivals.is_waiting
    assert arrivals.settled({"a": Stamp(30, 9)}, 99) == []


def test_a_new_time_alone_is_a_change() -> None:
    arrivals = Arrivals(settle=2.0)
    arrivals.settled({"a": Stamp(30, 1)}, 0)
    assert arrivals.settled({"a": Stamp(30, 2)}, 2) == []
    assert arrivals.settled({"a": Stamp(30, 2)}, 4) == ["a"]


def test_a_file_that_changes_again_is_taken_again() -> None:
    arrivals = Arrivals(settle=1.0)
    arrivals.settled({"a": Stamp(1, 1)}, 0)
    assert arrivals.settled({"a": Stamp(1, 1)}, 1) == ["a"]
    arrivals.settled({"a": Stamp(2, 2)}, 2)
    assert arrivals.settled({"a": Stamp(2, 2)}, 3) == ["a"]


def test_a_file_that_went_and_came_is_taken_again() -> None:
    arrivals = Arrivals(settle=1.0)
    for now in (0, 1):
        taken = arrivals.settled({"a": Stamp(1, 1)}, now)
    assert taken == ["a"]
    assert arrivals.settled({}, 2) == []
    arrivals.settled({"a": Stamp(1, 1)}, 3)
    assert arrivals.settled({"a": Stamp(1, 1)}, 4) == ["a"]


def test_an_empty_file_is_still_to_come() -> None:
    arrivals = Arrivals(settle=1.0)
    assert [arrivals.settled({"a": Stamp(0, 1)}, now) for now in range(5)] == [[]] * 5


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_none_is_missed_and_none_is_taken_twice_as_it_is(sizes: list[int]) -> None:
    """A file of any size at any time is taken whenever it has stayed the same, is not empty, and is not what was taken
    last."""
    arrivals = Arrivals(settle=1.0)
    last = 0
    for now, size in enumerate(sizes):
        is_due = size != 0 and now > 0 and sizes[now - 1] == size != last
        assert arrivals.settled({"a": Stamp(size, size)}, float(now)) == (["a"] if is_due else [])
        last = size if is_due else last


# The wait


@pytest.mark.slow
def test_the_wait_ends_with_a_change(tmp_path: Path) -> None:
    with waiting([str(tmp_path)], tmp_path / "out", recursive=True, say=pytest.fail) as wait:
        wait(0.3)  # nothing happens
        threading.Timer(0.3, (tmp_path / "new.png").touch).start()
        wait(600)
    assert (tmp_path / "new.png").exists()


def test_without_events_the_wait_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("upscale_cli.batch.arrivals.POLL_SECONDS", 0.01)
    reported: list[str] = []
    with waiting([str(tmp_path / "gone")], None, recursive=True, say=reported.append) as wait:
        wait(600)
        wait(600)
    assert len(reported) == 1
    assert "does not report changes" in reported[0]


# The whole


WATCHING = """
import sys
from upscale_cli import cli
from upscale_cli.batch import arrivals
arrivals.SETTLE_SECONDS = float(sys.argv.pop(1))
cli.main()
"""
SETTLED = 1.5
"""Seconds without a change after which a file counts as whole."""


class Watched:
    """`upscale IN -o OUT --watch` as a process of its own, and what it tells."""

    def __init__(self, folder: Path, *options: str) -> None:
        command = [
            sys.executable,
            "-c",
            WATCHING,
            str(SETTLED),
            "in",
            "-o",
            "out",
            "-r",
            "--watch",
            "--json",
            *FAST,
            *options,
        ]
        self._process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.seen: list[dict[str, Any]] = []

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line))

    def until(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Waits for an event."""
        while True:
            event = self._events.get(timeout=PATIENCE)
            self.seen.append(event)
            if event["event"] == kind and all(event[name] == value for name, value in fields.items()):
                return event

    def end(self) -> int:
        """Ctrl-C; gives the exit code."""
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(PATIENCE)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
        while not self._events.empty():
            self.seen.append(self._events.get())
        return code

    def finished(self) -> list[str]:
        return [Path(event["source"]).name for event in self.seen if event["event"] == "finished"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process there")
def test_files_come_slowly_by_renaming_and_in_bulk(tmp_path: Path) -> None:
    paint(tmp_path / "in/there before.png", 0)
    paint(tmp_path / "elsewhere/renamed.png", 1)
    whole = paint(tmp_path / "elsewhere/slow.png", 2, (200, 150)).read_bytes()
    watched = Watched(tmp_path)
    watched.until("finished", source="in/there before.png")
    watched.until("folder_finished")
    slow = 1
    while not comes_slowly(tmp_path / f"in/slow{slow}.png", whole):
        watched.until("folder_finished")  # this machine stood still, and half of a file was taken for a whole one
        slow += 1
    watched.until("finished", source=f"in/slow{slow}.png")
    (tmp_path / "in/new folder").mkdir()
    (tmp_path / "elsewhere/renamed.png").rename(tmp_path / "in/new folder/renamed.png")
    watched.until("finished", source="in/new folder/renamed.png")
    for number in range(100):
        paint(tmp_path / f"in/bulk/{number}.jpg", number)
    names = {f"{number}.jpg" for number in range(100)}
    while not names <= set(watched.finished()):
        watched.until("folder_finished")
    assert watched.end() == 0
    taken = [name for name in watched.finished() if name not in {f"slow{before}.png" for before in range(slow)}]
    assert sorted(taken) == sorted(["there before.png", f"slow{slow}.png", "renamed.png", *names])  # each once
    assert len([event for event in watched.seen if event["event"] == "failed"]) < slow
    with Image.open(tmp_path / f"out/slow{slow}_2x.png") as sr:
        assert sr.size == (400, 300)
    assert len(list((tmp_path / "out/bulk").iterdir())) == 100
    if slow == 1:
        assert watched.seen[-1]["text"] == "watching has ended: 103 files done, 0 failed."


def comes_slowly(path: Path, data: bytes) -> bool:
    """Writes a file piece by piece; whether no pause between two of them was as long as what counts as settled."""
    longest, last = 0.0, time.monotonic()
    with path.open("wb") as stream:
        for at in range(0, len(data), len(data) // 12):
            stream.write(data[at : at + len(data) // 12])
            stream.flush()
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
            time.sleep(0.2)
    return max(longest, time.monotonic() - last) < SETTLED


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C cannot be sent to one process there")
def test_a_bad_file_is_told_and_taken_again_when_it_has_changed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    whole = paint(tmp_path / "elsewhere/a.png").read_bytes()
    watched = Watched(tmp_path)
    watched.until("note")
    (tmp_path / "in/a.png").write_bytes(whole[:-30])
    (tmp_path / "in/bad.png").write_text("hello")
    watched.until("failed", source="in/bad.png")
    (tmp_path / "in/a.png").write_bytes(whole)
    watched.until("finished", source="in/a.png")
    watched.until("folder_finished")
    assert watched.end() == 1
    assert watched.seen[-1]["text"] == "watching has ended: 1 file done, 1 failed."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--dry-run",), "--watch does not go with --dry-run"),
        (("--fail-fast",), "--watch does not go with --fail-fast"),
        (("--overwrite",), "--watch does not go with --overwrite"),
        (("--no-skip-existing",), "--watch does not go with --no-skip-existing"),
        (("photo.png",), "photo.png is none"),
        (("--from-list", "list.txt"), "list.txt is none"),
    ],
)
def test_what_cannot_be_watched(run: Run, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    outcome = run(tmp_path, "--watch", *FAST, *options)
    assert (outcome.code, message in outcome.line) == (2, True), outcome.err
