"""A run over many files, as it is shown: two bars on a terminal, lines in a log, and a summary."""

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from upscale_cli.cli.console import Terminal
from upscale_cli.events import (
    Chosen,
    ClipProgress,
    Event,
    Failed,
    Fetching,
    Finished,
    FolderFinished,
    FolderProgress,
    Note,
    Planned,
    Progress,
    Skipped,
    Started,
    Surveyed,
    Surveying,
)

BAD = Failed("in/bad.jpg", "in/bad.jpg: is empty")


def started(name: str) -> Started:
    return Started(f"in/{name}", f"out/{name}", "espcn", "asked for", ("espcn-x4",), "cpu", "fp32", 10, 20, 40, 80, 1)


RUN: list[Event] = [
    Surveying(1, 4),
    BAD,
    Skipped("in/0.png", "out/0.png"),
    Surveyed(2, 1, 1, {"hidden": 2}, 5.0),
    started("1.png"),
    Fetching("net.pth", 10, 100),
    Note("alpha is dropped.", "in/1.png"),
    Progress("in/1.png", 1, 4, 0.8),
    Finished("in/1.png", "out/1.png", 40, 80, 3.21),
    FolderProgress(1, 1, 1, 4, 2.5, 5.0, 1.25, 2.0),
    started("2.mkv"),
    Note("alpha is dropped.", "in/2.mkv"),
    ClipProgress("in/2.mkv", 5, 10, 2.0, 0.1, 3.0, "net"),
    FolderProgress(2, 1, 1, 4, 5.0, 5.0, 1.25, 0.0),
    FolderFinished(0, 2, 1, 1, {"hidden": 2}, 5.0, 4.0, (BAD,)),
]


def shown(events: list[Event], *, terminal: bool, quiet: bool = False) -> str:
    screen = io.StringIO()
    listener = Terminal(Console(file=screen, force_terminal=terminal, width=100, color_system=None), quiet=quiet)
    for event in events:
        listener(event)
    listener.end_bar()
    return screen.getvalue()


def test_a_log_gets_a_line_per_file_and_a_summary() -> None:
    assert shown(RUN, terminal=False).splitlines() == [
        "error: in/bad.jpg: is empty",
        "2 files to do (5.0 MP), 1 done before",
        "ignored: 2 hidden",
        "espcn (espcn-x4): asked for; cpu, fp32",
        "note: 1.png: alpha is dropped.",
        "out/1.png  40 x 80  3.2 s",
        "2 done, 1 skipped, 1 failed; 4.0 s, 1.25 MP/s (the errors are above)",
        "  reported of 2 files: alpha is dropped.",
    ]


def test_no_model_is_shown_for_what_cannot_be_read() -> None:
    chosen = [Chosen(f"in/{name}", "swift", "PNG", "PNG") for name in ("bad.jpg", "1.png")]
    lines = shown([Surveying(0, 2), *chosen, BAD, Surveyed(1, 0, 1, {}, 5.0)], terminal=False).splitlines()
    assert lines == ["error: in/bad.jpg: is empty", "1 file to do (5.0 MP)", "in/1.png: PNG: swift"]


def test_a_terminal_gets_one_bar_for_all_and_one_for_the_file() -> None:
    screen = shown(RUN, terminal=True)
    assert re.search(r"all .*0 files left.*MP/s", screen)
    assert "1.png" in screen
    assert "2.mkv" in screen
    assert "out/1.png" in screen
    many = [replace(event, to_do=200) if isinstance(event, Surveyed) else event for event in RUN]
    assert "out/1.png" not in shown(many, terminal=True)  # the bars tell


def test_each_file_in_hand_has_a_line_of_its_own() -> None:
    both: list[Event] = [
        Surveyed(2, 0, 0, {}, 2.0), started("1.png"), started("2.png"), Progress("in/2.png", 1, 4, 0.2),
        Progress("in/1.png", 1, 2, 0.5),
    ]  # fmt: skip
    last = shown(both, terminal=True).split("2 files to do")[-1]
    assert re.search(r"all .*\n.*2\.png .*\n.*1\.png ", last)
    after: list[Event] = [
        Finished("in/2.png", "out/2.png", 40, 80, 1.0),
        FolderProgress(1, 0, 0, 2, 1.0, 2.0, 1.0, 1.0),
    ]
    frame = shown([*both, *after], terminal=True).split("all ")[-1]
    assert "1.png" in frame
    assert "2.png" not in frame


def test_quiet_leaves_the_errors() -> None:
    assert shown(RUN, terminal=False, quiet=True).splitlines() == ["error: in/bad.jpg: is empty"]


def test_names_that_look_like_markup_or_control_the_terminal() -> None:
    odd = "[red]\x1b[31m.png"
    events: list[Event] = [Surveyed(1, 0, 0, {}, 1.0), started(odd), Progress(f"in/{odd}", 1, 2, 0.1)]
    screen = shown(events, terminal=True)
    assert "[red]" in screen
    assert "\x1b[31m" not in screen


def test_the_table_of_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    plan = Planned("in/[b]a.png", "out/a_4x.png", "espcn", 10, 20, 40, 80, None)
    text = shown([Surveyed(1, 0, 0, {}, 0.1), plan, FolderFinished(1, 0, 0, 0, {}, 0.0, 0.1, ())], terminal=False)
    assert text.splitlines()[-1] == "1 to do; 0.1 s"
    out = capsys.readouterr().out
    assert re.search(r"in/\[b\]a\.png +10 x 20 +40 x 80 +\? +espcn +out/a_4x\.png", out)
