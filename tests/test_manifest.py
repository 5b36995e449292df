"""What is done in a folder of outputs, as the manifest knows it: after kills, changes, and with several runs."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from tests.albums import touch_later
from upscale_cli.batch.manifest import JobOptions, Manifest, outputs_listed_in
from upscale_cli.batch.manifest_file import MANIFEST_NAME
from upscale_cli.errors import OutputError
from upscale_cli.jobs.inputs import Input

OPTIONS = {"model": "espcn", "scale": 4}
JOB = JobOptions(OPTIONS)
OTHER = JobOptions({**OPTIONS, "scale": 2})


@pytest.fixture
def source(tmp_path: Path) -> Input:
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    path.write_bytes(b"lr")
    return Input(str(path), root=str(path.parent))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "a_4x.png"


def made(source: Input, output: Path, content: bytes = b"sr", job: JobOptions = JOB) -> Manifest:
    """A manifest in which an output is done."""
    manifest = Manifest(output.parent)
    record = manifest.begin(source, output, job)
    output.write_bytes(content)
    manifest.finish(record)
    return manifest


def test_what_is_done_is_known_to_the_next_run(source: Input, output: Path) -> None:
    made(source, output)
    record = Manifest(output.parent).finished(source, JOB)
    assert record is not None
    assert Manifest(output.parent).place(record) == output
    assert Manifest(output.parent).finished(source, OTHER) is None


def test_a_folder_that_was_moved_is_known_again(source: Input, output: Path, tmp_path: Path) -> None:
    made(source, output)
    output.parent.rename(tmp_path / "moved")
    source.path.parent.rename(tmp_path / "moved too")
    again = Input(str(tmp_path / "moved too/a.png"), root=str(tmp_path / "moved too"))
    assert Manifest(tmp_path / "moved").finished(again, JOB) is not None


@pytest.mark.parametrize("change", ["input's time", "input's size", "output's size", "output gone"])
def test_what_has_changed_is_done_again(source: Input, output: Path, change: str) -> None:
    made(source, output)
    if change == "input's time":
        touch_later(source.path)
    elif change == "input's size":
        source.path.write_bytes(b"longer")
    elif change == "output's size":
        output.write_bytes(b"edited")
    else:
        output.unlink()
    assert Manifest(output.parent).finished(source, JOB) is None


def test_only_our_own_untouched_output_of_the_same_file_may_be_replaced(
    source: Input, output: Path, tmp_path: Path
) -> None:
    made(source, output)
    assert Manifest(output.parent).may_replace(source, output)
    (tmp_path / "other").mkdir()
    namesake = Input(str(tmp_path / "other/a.png"), root=str(tmp_path / "other"))
    assert not Manifest(output.parent).may_replace(namesake, output)
    touch_later(output)
    assert not Manifest(output.parent).may_replace(source, output)
    assert not Manifest(output.parent).may_replace(source, output.with_name("foreign.png"))


def test_a_kill_between_the_output_and_its_line(source: Input, output: Path) -> None:
    Manifest(output.parent).begin(source, output, JOB)
    assert Manifest(output.parent).finished(source, JOB) is None  # killed before
    output.write_bytes(b"sr")
    assert Manifest(output.parent).finished(source, JOB) is not None  # killed after
    assert Manifest(output.parent).may_replace(source, output)
    assert outputs_listed_in(output.parent) == {(str(output), 2)}


def test_a_kill_before_an_older_output_was_replaced(source: Input, output: Path) -> None:
    made(source, output)
    Manifest(output.parent).begin(source, output, OTHER)
    manifest = Manifest(output.parent)
    assert manifest.finished(source, OTHER) is None
    assert manifest.finished(source, JOB) is not None
    assert manifest.may_replace(source, output)


def test_what_another_run_has_put_in_place_is_known_before_its_line(source: Input, output: Path) -> None:
    ours, theirs = Manifest(output.parent), Manifest(output.parent)
    theirs.begin(source, output, JOB)
    record = ours.begin(source, output, JOB)
    output.write_bytes(b"theirs")
    ours.drop(record)
    assert ours.finished(source, JOB) is not None


def test_an_edited_output_is_not_ours_though_a_killed_run_had_begun_it(source: Input, output: Path) -> None:
    Manifest(output.parent).begin(source, output, JOB)  # killed
    made(source, output)
    output.write_bytes(b"edited by hand")
    assert Manifest(output.parent).finished(source, JOB) is None
    assert not Manifest(output.parent).may_replace(source, output)


def test_what_was_dropped_owns_nothing(source: Input, output: Path) -> None:
    manifest = Manifest(output.parent)
    manifest.drop(manifest.begin(source, output, JOB))
    output.write_bytes(b"somebody's")
    assert Manifest(output.parent).finished(source, JOB) is None
    assert not Manifest(output.parent).may_replace(source, output)


@pytest.mark.parametrize("cut", [1, 10, 100])
def test_a_torn_line_costs_itself_only(source: Input, output: Path, cut: int) -> None:
    made(source, output)
    whole = (output.parent / MANIFEST_NAME).read_bytes()
    (output.parent / MANIFEST_NAME).write_bytes(whole + whole.splitlines(keepends=True)[-1][:-cut])
    assert Manifest(output.parent).finished(source, JOB) is not None
    made(source, output, b"other", job=OTHER)
    assert Manifest(output.parent).finished(source, OTHER) is not None


NONSENSE = [b"\xff\xfe", b"[]", b"1", b'{"done": 3}', b'{"done": "x", "stamp": 1}', b"{}", b"null"]


@pytest.mark.parametrize("line", NONSENSE)
def test_nonsense_is_ignored(source: Input, output: Path, line: bytes) -> None:
    made(source, output)
    (output.parent / MANIFEST_NAME).write_bytes(line + b"\n" + (output.parent / MANIFEST_NAME).read_bytes())
    assert Manifest(output.parent).finished(source, JOB) is not None


def test_names_of_any_kind_come_back(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ["ü 'q\".png", *([] if os.name == "nt" else ["new\nline.png", os.fsdecode(b"\xff.png")])]:
        try:
            (folder / name).write_bytes(b"lr")
        except OSError:  # file systems that want names to be text
            continue
        source, output = Input(str(folder / name), root=str(folder)), tmp_path / f"sr {name}"
        made(source, output)
        assert Manifest(tmp_path).finished(source, JOB) is not None


def test_the_options_stand_there_once(source: Input, output: Path) -> None:
    made(source, output)
    output.unlink()
    made(source, output)
    lines = [json.loads(line) for line in (output.parent / MANIFEST_NAME).read_text().splitlines()]
    assert [line for line in lines if "options" in line] == [{"job": JOB.digest, "options": OPTIONS}]


def _add_many(folder: str, source: str, number: int) -> None:
    manifest = Manifest(Path(folder))
    given = Input(source)
    for count in range(20):
        manifest.begin(given, Path(folder) / f"{number}-{count}.png", JobOptions({"number": number, "count": count}))


@pytest.mark.slow
def test_several_runs_write_into_one_manifest(source: Input, tmp_path: Path) -> None:
    start = multiprocessing.get_context("spawn")
    runs = [start.Process(target=_add_many, args=(str(tmp_path), source.name, number)) for number in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    begun = [json.loads(line) for line in (tmp_path / MANIFEST_NAME).read_bytes().splitlines()]
    assert sorted(line["begun"] for line in begun if "begun" in line) == sorted(
        f"{number}-{count}.png" for number in range(3) for count in range(20)
    )


def test_what_another_run_adds_is_seen(source: Input, output: Path) -> None:
    ours = Manifest(output.parent)
    made(source, output)
    assert ours.finished(source, JOB) is None
    ours.refresh()
    assert ours.finished(source, JOB) is not None


def test_a_manifest_that_cannot_be_written(tmp_path: Path, source: Input) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written there .*output="):
        Manifest(tmp_path / "file").begin(source, tmp_path / "file/x.png", JOB)
    with pytest.raises(OutputError, match=r"cannot be written there .*output="):
        Manifest(tmp_path / "file").check()


def test_an_empty_manifest_goes_again(tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "out")
    manifest.check()
    assert (tmp_path / "out" / MANIFEST_NAME).exists()
    manifest.tidy()
    assert not (tmp_path / "out").exists()


def test_reading_takes_what_is_new_only(source: Input, output: Path) -> None:
    """A line that is just being written is taken once it is whole."""
    made(source, output)
    watcher = Manifest(output.parent)
    fields = {"done": "b.png", "input": "b", "source": "b", "stamp": [1, 1], "made": [1, 1], "job": "j"}
    line = json.dumps(fields)
    with (output.parent / MANIFEST_NAME).open("a") as stream:
        stream.write(line[:20])
        stream.flush()
        watcher.refresh()
        stream.write(line[20:] + "\n")
    watcher.refresh()
    assert len(watcher.outputs()) == 2
