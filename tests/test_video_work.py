"""The work folder: one run at a time, nothing left, nothing lost."""

import os
import sys
from pathlib import Path

import pytest

from upscale_cli.errors import OptionError, OutputError
from upscale_cli.files.work_folder import JOB_FILE, WorkFolder, claim, work_folder


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.mp4"


@pytest.fixture
def reported() -> list[str]:
    return []


def test_a_delivered_file_is_all_that_is_left(output: Path, reported: list[str]) -> None:
    with WorkFolder(output, overwrite=False, say=reported.append) as work:
        work.file.write_bytes(b"clip")
        work.deliver()
    assert output.read_bytes() == b"clip"
    assert list(output.parent.iterdir()) == [output]
    assert not reported


@pytest.mark.parametrize("resume", [False, True])
def test_an_error_leaves_what_can_go_on_and_nothing_else(output: Path, reported: list[str], resume: bool) -> None:
    work = WorkFolder(output, overwrite=False, resume=resume, say=reported.append)
    error = OutputError("the encoder died")
    work.__enter__()
    work.file.write_bytes(b"half")
    work.__exit__(OutputError, error, None)
    assert work_folder(output).exists() == resume
    assert not work.file.exists()
    assert not output.exists()


def test_a_second_run_is_refused(output: Path, reported: list[str]) -> None:
    with WorkFolder(output, overwrite=False, resume=True, say=reported.append):
        for resume in (False, True):
            second = WorkFolder(output, overwrite=False, resume=resume, say=reported.append)
            with pytest.raises(OutputError, match="another run is writing it"):
                second.__enter__()
    with WorkFolder(output, overwrite=False, resume=True, say=reported.append) as work:
        work.discard()
    assert not list(output.parent.iterdir())


def test_an_output_that_appeared_before_the_lock_is_seen(output: Path, reported: list[str]) -> None:
    late = WorkFolder(output, overwrite=False, resume=True, say=reported.append)
    output.write_bytes(b"of the other run")
    with pytest.raises(OutputError, match="already exists"):
        late.__enter__()


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_output_that_appears_at_work_is_kept_unless_it_may_go(
    output: Path, reported: list[str], overwrite: bool
) -> None:
    with WorkFolder(output, overwrite=overwrite, say=reported.append) as work:
        work.file.write_bytes(b"ours")
        output.write_bytes(b"theirs")
        if overwrite:
            work.deliver()
        else:
            with pytest.raises(OutputError, match="appeared"):
                work.deliver()
    assert output.read_bytes() == (b"ours" if overwrite else b"theirs")
    assert list(output.parent.iterdir()) == [output]


def test_what_a_killed_run_left_is_cleared_and_named(output: Path, reported: list[str]) -> None:
    work_folder(output).mkdir()
    (work_folder(output) / output.name).write_bytes(b"half")
    with WorkFolder(output, overwrite=False, say=reported.append) as work:
        assert not work.file.exists()
    assert len(reported) == 1
    assert work_folder(output).name in reported[0]
    assert not list(output.parent.iterdir())


def test_what_can_go_on_is_not_cleared(output: Path, reported: list[str]) -> None:
    work_folder(output).mkdir()
    job = work_folder(output) / JOB_FILE
    job.write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match="resume=True"):
        WorkFolder(output, overwrite=False, say=reported.append).__enter__()
    assert job.exists()


def test_each_run_that_can_go_on_writes_into_a_file_of_its_own(output: Path, reported: list[str]) -> None:
    names = {WorkFolder(output, overwrite=False, resume=True, say=reported.append).file for _ in range(2)}
    assert len(names) == 2
    assert {name.suffix for name in names} == {".mp4"}


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions bind no administrator")
def test_a_folder_that_cannot_be_written_is_one_line(output: Path, reported: list[str]) -> None:
    output.parent.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written"):
            WorkFolder(output, overwrite=False, say=reported.append).__enter__()
    finally:
        output.parent.chmod(0o700)


def test_a_folder_of_that_name_that_is_the_users_own_is_not_touched(output: Path, reported: list[str]) -> None:
    own = work_folder(output)
    own.mkdir()
    (own / "diary.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds diary\.txt"):
        WorkFolder(output, overwrite=False, say=reported.append).__enter__()
    assert [entry.name for entry in own.iterdir()] == ["diary.txt"]


def test_a_link_to_another_folder_is_not_followed(output: Path, reported: list[str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / output.name).write_text("mine")
    try:
        work_folder(output).symlink_to(elsewhere, target_is_directory=True)
    except OSError:
        pytest.skip("this user may make no links here")
    with pytest.raises(OutputError, match="is a link"):
        WorkFolder(output, overwrite=False, say=reported.append).__enter__()
    assert [entry.name for entry in elsewhere.iterdir()] == [output.name]


def test_what_two_jobs_differ_in_is_told_in_words(tmp_path: Path) -> None:
    claim(tmp_path, {"tile": 64})
    words = "its engine (not given then, openvino 2026.4.1 fp32, torch bf16 now)"
    with pytest.raises(OptionError) as error:
        claim(tmp_path, {"tile": 64, "its engine": {"4": "openvino 2026.4.1 fp32", "2": "torch bf16"}})
    assert f"holds the work of another job: {words}. Repeat" in str(error.value)
