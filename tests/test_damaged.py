"""Damaged files by the number: none is a traceback, a hang, a crash, or another picture where that could be known.

A few of each; `python -m benchmarks.damaged` tries hundreds.
"""

from pathlib import Path

import pytest

from tests import damaged
from tests.damaged import (
    Verdict,
    cases,
    of_checkpoints,
    of_clips,
    of_pictures,
    whole_checkpoints,
    whole_clips,
    whole_pictures,
)

CHECKED = ("plain.png", "animated.png", "net.pth")
"""Formats with a checksum over everything: damage is always known."""


def check(verdicts: list[Verdict]) -> None:
    assert not [(verdict.case.path.name, verdict.detail) for verdict in verdicts if verdict.outcome == "bug"]
    silent = [verdict.case for verdict in verdicts if verdict.outcome == "silent"]
    assert not [case.path.name for case in silent if case.whole.name in CHECKED]


@pytest.mark.slow
def test_pictures(tmp_path: Path) -> None:
    wholes = whole_pictures(tmp_path / "whole_ones")
    check(list(of_pictures(cases(wholes, tmp_path / "damaged_ones", 45, seed=1), wholes, tmp_path / "work")))


@pytest.mark.slow
def test_clips(tmp_path: Path) -> None:
    wholes = whole_clips(tmp_path / "whole_ones")
    check(list(of_clips(cases(wholes, tmp_path / "damaged_ones", 6, seed=1), tmp_path / "work")))


@pytest.mark.slow
def test_checkpoints(tmp_path: Path) -> None:
    wholes = whole_checkpoints(tmp_path / "whole_ones")
    check(list(of_checkpoints(cases(wholes, tmp_path / "damaged_ones", 6, seed=1), tmp_path / "work")))


DYING = """
import json, os, sys

for arguments in json.load(sys.stdin):
    if "dies" in arguments:
        os._exit(3)
    print(json.dumps({"event": "ended", "code": 0, "traceback": "fails" in arguments}), flush=True)
"""


def test_a_process_that_dies_is_the_fault_of_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(damaged, "PROGRAM", DYING)
    commands = {tmp_path / word: (word,) for word in ("a", "dies", "b", "fails", "c")}
    ended = damaged._runs(tmp_path, commands)
    assert [problem for _, problem in ended.values()] == ["", "exit code 3", "", "traceback", ""]
