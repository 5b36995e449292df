"""What is shown: a bar on a terminal, lines in a pipe, JSON for programs."""

import io
import json
import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from upscale_cli.cli.console import JsonLines, Terminal, started_line, summary
from upscale_cli.events import (
    ClipFinished,
    ClipProgress,
    Estimate,
    Event,
    Failed,
    Fetching,
    Finished,
    Note,
    Progress,
    Started,
)
from upscale_cli.text import duration

STARTED = Started(
    "a/photo.jpg", "photo_4x.jpg", "espcn", "asked for", ("espcn-x4",), "cpu", "fp32", 10, 20, 40, 80, frames=3
)
RUN: list[Event] = [
    STARTED,
    Note("a note\nin two lines"),
    Estimate(75, "cpu"),
    Progress("a.png", 0, 4, 0),
    Progress("a.png", 1, 4, 0.8),
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


# Clips

CLIP = replace(
    STARTED, source="a/A rather long name of a clip, S01E02 [720p].mp4", output="o/large.mp4", encoder="libx264"
)
FINISHED = ClipFinished(
    source=CLIP.source, output="o/large.mp4", width=1280, height=720, seconds=29.1, frames=750, fps=25.77,
    realtime=1.031, net=700, fallback=0, same=48, repeated=2, slowest="net",
    stages={"decode": 1.0, "upload": 0.1, "net": 20.0, "download": 0.1, "encode": 5.0}, model="espcn",
)  # fmt: skip


def drawn(*events: Event, width: int, terminal: bool = True) -> list[str]:
    """What stands on the screen after these events, line by line, without what moves the cursor."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=width, color_system=None, soft_wrap=True)
    listener = Terminal(console, quiet=False)
    for event in events:
        listener(event)
    if listener._bar is not None:
        listener._bar.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    listener.end_bar()
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.mark.parametrize(("reused", "words"), [(0.0, False), (0.004, False), (0.637, True)])
def test_what_was_taken_over_is_told(reused: float, words: bool) -> None:
    text = " ".join(summary(replace(FINISHED, reused=reused)))
    assert ("64% of the net's work taken over from the frame before" in text) == words
    assert ("taken over" in text) == words


@pytest.mark.parametrize(
    "progress",
    [
        ClipProgress("a.png", 145, 750, 14.9, 0.59, 41.0, "net"),
        ClipProgress("a.png", 170_000, 171_000, 1123.4, 46.81, 0.9, "download"),
        ClipProgress("a.png", 3, None, 0.1, 0.004, None, "encode"),
        ClipProgress("a.png", 0, 10, 0.0, 0.0, None, ""),
    ],
)
@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_bar_of_a_clip_is_one_line_with_everything_on_it(progress: ClipProgress, width: int) -> None:
    bar = drawn(CLIP, progress, width=width)[-1]
    assert len(bar.rstrip()) <= width - 3  # room for ^C
    total = "?" if progress.total is None else str(progress.total)
    assert f"{progress.done}/{total}" in re.sub(r"\s*/\s*", "/", bar)
    assert f"{progress.fps:.1f} fps" in bar
    assert f"{progress.realtime:.2f}x" in bar
    assert (f"limit: {progress.slowest}" in bar) == bool(progress.slowest)
    if progress.total is not None:
        assert re.search(r"(\d:\d\d|-:--):(\d\d|--)$", bar.rstrip()), bar
    assert bar.startswith("A rather long n")
    assert "…" in bar


@pytest.mark.parametrize("name", ["日本語の長い名前のクリップ、第一話.mp4", "[bold]x and more and more.mp4", "s.mp4"])
def test_names_of_any_kind_fit_the_bar(name: str) -> None:
    started, progress = replace(CLIP, source=name), ClipProgress("a.png", 1, 10, 1.0, 1.0, 9.0, "encode")
    bar = drawn(started, progress, width=80)[-1]
    assert cell_len(bar) <= 80
    assert bar.startswith(name[:5])
    assert "1.00x  limit: encode" in bar


def test_a_pipe_gets_no_bar_of_a_clip() -> None:
    lines = drawn(CLIP, ClipProgress("a.png", 1, 10, 1.0, 1.0, 9.0, "net"), FINISHED, width=80, terminal=False)
    assert lines[1:] == [
        "o/large.mp4  1280 x 720  750 frames  29.1 s",
        "  25.8 fps, 1.03 x real time; 700 by espcn, 48 equal to the one before, 2 repeated for lost ones; "
        "slowest stage: net",
    ]
    assert lines[0].endswith("cpu, fp32, libx264")


def test_damage_is_an_error_that_names_the_clip() -> None:
    lines = drawn(CLIP, replace(FINISHED, damage="the source is damaged: 2 lost"), width=80, terminal=False)
    assert lines[-1] == f"error: {CLIP.source}: the source is damaged: 2 lost"


def test_a_clip_with_nothing_left_to_do_has_no_summary() -> None:
    assert summary(replace(FINISHED, stages={}, frames=0)) == []


def test_a_clip_that_only_had_to_be_joined_is_named() -> None:
    assert summary(replace(FINISHED, stages={})) == summary(FINISHED)[:1]


def test_the_events_of_a_clip_as_json() -> None:
    stream = io.StringIO()
    listener = JsonLines(stream)
    for event in (CLIP, ClipProgress("a.png", 1, None, 1.0, 1.0, None, "net"), FINISHED):
        listener(event)
    started, progress, finished = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert started["encoder"] == "libx264"
    assert progress == {
        "event": "clip_progress", "source": "a.png", "done": 1, "total": None, "fps": 1.0, "realtime": 1.0,
        "seconds_left": None, "slowest": "net",
    }  # fmt: skip
    assert finished["event"] == "clip_finished"
    assert (finished["net"], finished["same"], finished["repeated"], finished["fallback"]) == (700, 48, 2, 0)
    assert set(finished["stages"]) == {"decode", "upload", "net", "download", "encode"}
