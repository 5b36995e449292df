"""What is shown: a bar on a terminal, lines in a pipe, JSON for programs."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from upscale_cli.console import JsonLines, Terminal, duration, started_line
from upscale_cli.events import Estimate, Event, Failed, Fetching, Finished, Note, Progress, Started

STARTED = Started(
    "a/photo.jpg", "photo_4x.jpg", "espcn", "asked for", ("espcn-x4",), "cpu", "fp32", 10, 20, 40, 80, frames=3
)
RUN: list[Event] = [
    STARTED,
    Note("a note\nin two lines"),
    Estimate(75, "cpu"),
    Progress(0, 4, 0),
    Progress(1, 4, 0.8),
    Fetching("net.pth", 10, 100),
    Failed("b.jpg", "b.jpg: is empty"),
    Failed("c.jpg", "is lost"),
    Finished("a/photo.jpg", "photo_4x.jpg", 40, 80, 3.21),
]


def shown(*, terminal: bool, quiet: bool = False) -> str:
    screen = io.StringIO()
    listener = Terminal(Console(file=screen, force_terminal=terminal, width=100, color_system=None), quiet=quiet)
    for event in RUN:
        listener(event)
    listener.end_bar()
    return screen.getvalue()


def test_a_pipe_gets_lines_and_no_bar() -> None:
    lines = shown(terminal=False).splitlines()
    assert lines[0] == ("a/photo.jpg: 10 x 20 -> 40 x 80, 3 frames, espcn (espcn-x4): asked for; cpu, fp32")
    assert lines[1:] == [
        "note: a note\\nin two lines",
        "about 1 min 15 s on this CPU",
        "error: b.jpg: is empty",
        "error: c.jpg: is lost",
        "photo_4x.jpg  40 x 80  3.2 s",
    ]


def test_a_terminal_gets_a_bar() -> None:
    screen = shown(terminal=True)
    assert "photo.jpg" in screen
    assert "/4 tiles" in screen


def test_quiet_leaves_the_errors() -> None:
    assert shown(terminal=False, quiet=True).splitlines() == ["error: b.jpg: is empty", "error: c.jpg: is lost"]


def test_json_has_one_object_a_line() -> None:
    stream = io.StringIO()
    listener = JsonLines(stream)
    for event in RUN:
        listener(event)
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record["event"] for record in records] == [
        "started", "note", "estimate", "progress", "progress", "fetching", "failed", "failed", "finished",
    ]  # fmt: skip
    assert records[0]["passes"] == ["espcn-x4"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 00 s"), (7300, "2 h 01 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_first_line_of_a_still_speaks_of_no_frames() -> None:
    assert "frames" not in started_line(replace(STARTED, frames=1))
