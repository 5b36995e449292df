"""Whole folders through the command line: nothing lost, nothing twice, nothing of the user's overwritten."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.albums import mixed_folder, paint, touch_later
from tests.clips import Clips
from tests.command import Run
from tests.waiting import PATIENCE
from upscale_cli.api import upscale_folder
from upscale_cli.batch.manifest import Manifest
from upscale_cli.batch.manifest_file import LOCK_NAME, MANIFEST_NAME
from upscale_cli.errors import InputError, OptionError
from upscale_cli.events import Event, Finished, FolderFinished, FolderProgress, Started, Surveyed
from upscale_cli.executors import threads
from upscale_cli.executors.threads import ThreadExecutor
from upscale_cli.files.atomic_file import OutputFile
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.photo import PhotoJob

FAST = ("-m", "bicubic", "-s", 2)

RUN = PhotoJob.run
"""What tests put themselves in front of."""
OWN = {MANIFEST_NAME, LOCK_NAME}


def tree(folder: Path) -> set[str]:
    """All files below a folder, but the manifest."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - OWN


def stamps(folder: Path) -> dict[str, int]:
    return {name: (folder / name).stat().st_mtime_ns for name in tree(folder)}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three photos, one of them in a folder."""
    folder = tmp_path / "album"
    for number, name in enumerate(["a.png", "b.jpg", "sub/c.png"]):
        paint(folder / name, number)
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


# What comes out, and where


def test_the_tree_is_mirrored_photos_and_clips_mixed(run: Run, album: Path, out: Path, clips: Clips) -> None:
    shutil.copy(clips("plain"), album / "sub/film.mp4")
    (album / "sub/film.srt").write_text("1")
    outcome = run(album, "-o", out, "-r", *FAST, "--frames", 3)
    assert outcome.code == 0, outcome.err
    assert tree(out) == {"a_2x.png", "b_2x.jpg", "sub/c_2x.png", "sub/film_2x.mp4"}
    assert "ignored: 1 neither photo nor clip" in outcome.err
    assert "4 done" in outcome.err
    with av.open(str(out / "sub/film_2x.mp4")) as clip:
        assert sum(1 for _ in clip.decode(video=0)) == 3


def test_folders_in_the_folder_are_left_alone_without_r(run: Run, album: Path, out: Path) -> None:
    assert run(album, "-o", out, *FAST).code == 0
    assert tree(out) == {"a_2x.png", "b_2x.jpg"}
    shutil.rmtree(out)
    for name in ("a.png", "b.jpg"):
        (album / name).unlink()
    outcome = run(album, "-o", out, *FAST)
    assert (outcome.code, out.exists()) == (1, False)
    assert re.search("no photo and no clip .*Give -r", outcome.line)


def test_a_template_with_folders(run: Run, album: Path, tmp_path: Path) -> None:
    outcome = run(album, "-o", f"{tmp_path}/big/{{folder}}/{{model}}/{{name}}.webp", "-r", *FAST)
    assert outcome.code == 0, outcome.err
    assert tree(tmp_path / "big") == {"bicubic/a.png.webp", "bicubic/b.jpg.webp", "sub/bicubic/c.png.webp"}
    assert (tmp_path / "big" / MANIFEST_NAME).exists()
    assert "3 skipped" in run(album, "-o", f"{tmp_path}/big/{{folder}}/{{model}}/{{name}}.webp", "-r", *FAST).err


def test_several_models(run: Run, album: Path, out: Path) -> None:
    assert run(album, "-o", out, "-m", "bicubic", "-m", "lanczos", "-s", 2).code == 0
    assert tree(out) == {f"{stem}_{model}_2x.{end}" for stem, end in (["a", "png"], ["b", "jpg"])
                         for model in ("bicubic", "lanczos")}  # fmt: skip


def test_a_list_of_files(run: Run, album: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(album)
    Path("some.txt").write_text("sub/c.png\na.png\n")
    assert run("some.txt", "-o", out, *FAST).code == 0
    assert tree(out) == {"a_2x.png", "sub/c_2x.png"}
    Path("some.lst").write_text("b.jpg\n")
    assert run("--from-list", "some.lst", "-o", out, *FAST).code == 0
    assert tree(out) == {"a_2x.png", "b_2x.jpg", "sub/c_2x.png"}


def test_include_and_exclude(run: Run, album: Path, out: Path) -> None:
    assert run(album, "-o", out, "-r", *FAST, "--include", "*.png", "--exclude", "sub").code == 0
    assert tree(out) == {"a_2x.png"}


NAMES = [
    "with space.png",
    "quote'\".png",
    "ünïcødé.png",
    "-dash.png",
    "{brace}.png",
    "[markup].png",
    "日本語.png",
    "%s.png",
]
NAMES += [unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD")]
if os.name != "nt":
    NAMES += ["new\nline.png", "tab\t.png", "\x1b[31mred.png"]


def test_odd_names_come_through_and_are_known_again(run: Run, tmp_path: Path, out: Path) -> None:
    for number, name in enumerate(NAMES):
        if os.name != "nt" or not set(name) & set('"'):
            paint(tmp_path / "in" / name, number)
    there = {path.name for path in (tmp_path / "in").iterdir()}
    outcome = run(tmp_path / "in", "-o", out, *FAST)
    assert outcome.code == 0, outcome.err
    assert tree(out) == {f"{name.removesuffix('.png')}_2x.png" for name in there}
    assert f"{len(there)} skipped" in run(tmp_path / "in", "-o", out, *FAST).err


@pytest.mark.parametrize("stem", ["x" * 251, "日" * 83 + "ab", "é" * 125], ids=["ascii", "three bytes", "two bytes"])
def test_names_that_would_become_too_long_are_cut(run: Run, tmp_path: Path, out: Path, clips: Clips, stem: str) -> None:
    try:
        paint(tmp_path / "in" / f"{stem}.png")
        paint(tmp_path / "in" / f"{stem[:-1]}y.png")
        shutil.copy(clips("plain"), tmp_path / "in" / f"{stem}.mp4")
    except OSError:
        pytest.skip("this file system takes no such name in the first place")
    outcome = run(tmp_path / "in", "-o", out, *FAST, "--frames", 2)
    assert outcome.code == 0, outcome.err
    names = tree(out)
    assert len(names) == 3
    assert all(len(os.fsencode(name)) <= 250 and re.search(r"~[0-9a-f]{8}_2x\.", name) for name in names)
    assert "3 skipped" in run(tmp_path / "in", "-o", out, *FAST, "--frames", 2).err


# What is done is not done again


def test_what_is_done_is_skipped(run: Run, album: Path, out: Path) -> None:
    run(album, "-o", out, "-r", *FAST)
    before = stamps(out)
    outcome = run(f"{album}/", "-o", f"{out}/", "-r", *FAST, "-t", 64)  # tiles decide about no pixel
    assert outcome.code == 0
    assert "0 files to do" in outcome.err
    assert stamps(out) == before


def test_what_has_changed_is_done_again_and_the_rest_is_not(run: Run, album: Path, out: Path) -> None:
    run(album, "-o", out, "-r", *FAST)
    before = stamps(out)
    paint(album / "a.png", 99)
    touch_later(album / "a.png")
    paint(album / "new.png", 7)
    outcome = run(album, "-o", out, "-r", *FAST)
    assert "2 done, 2 skipped" in outcome.err, outcome.err
    assert {name for name, time_ in stamps(out).items() if before.get(name) != time_} == {"a_2x.png", "new_2x.png"}


def test_other_options_do_it_again(run: Run, album: Path, out: Path) -> None:
    run(album, "-o", out, *FAST)
    outcome = run(album, "-o", out, "-m", "lanczos", "-s", 2)
    assert (outcome.code, "2 done" in outcome.err) == (0, True), outcome.err


def test_an_output_that_was_edited_is_kept(run: Run, album: Path, out: Path) -> None:
    run(album, "-o", out, *FAST)
    paint(out / "a_2x.png", 5)
    outcome = run(album, "-o", out, *FAST)
    assert (outcome.code, "a_2x.png: exists already" in outcome.line) == (1, True)
    assert run(album, "-o", out, *FAST, "--overwrite").code == 0
    assert run(album, "-o", out, *FAST).code == 0


def test_a_file_that_is_not_ours_is_kept(run: Run, album: Path, out: Path) -> None:
    paint(out / "a_2x.png", 5)
    before = (out / "a_2x.png").read_bytes()
    outcome = run(album, "-o", out, *FAST)
    assert outcome.code == 1
    assert "a_2x.png: exists already. Give --overwrite" in outcome.line
    assert (out / "a_2x.png").read_bytes() == before
    assert (out / "b_2x.jpg").exists()


def test_whose_output_a_place_is_is_known_when_that_is_done(run: Run, album: Path, out: Path) -> None:
    paint(album / "a.bmp", 5)
    for _ in range(2):
        outcome = run(album, "-o", out, "-f", "png", *FAST, "--include", "a.*")
        assert (outcome.code, "a.png: its output" in outcome.line) == (1, True), outcome.err
        assert "exists already" not in outcome.err


def test_a_namesake_from_another_folder_replaces_nothing(run: Run, album: Path, out: Path, tmp_path: Path) -> None:
    run(album, "-o", out, *FAST)
    before = (out / "a_2x.png").read_bytes()
    paint(tmp_path / "other/a.png", 77)
    outcome = run(tmp_path / "other", "-o", out, *FAST)
    assert (outcome.code, "exists already" in outcome.line) == (1, True)
    assert (out / "a_2x.png").read_bytes() == before


def test_a_clip_in_a_folder_that_was_copied_is_known_again(run: Run, tmp_path: Path, out: Path, clips: Clips) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(clips("plain"), tmp_path / "in/film.mp4")
    run(tmp_path / "in", "-o", out, *FAST, "--frames", 2)
    touch_later(out / "film_2x.mp4")
    outcome = run(tmp_path / "in", "-o", out, *FAST, "--frames", 2)
    assert (outcome.code, "1 skipped" in outcome.err) == (0, True), outcome.err
    assert "exists already" in run(tmp_path / "in", "-o", out, *FAST, "--frames", 3).line


def test_a_net_that_cannot_be_had_is_said_once(run: Run, album: Path, out: Path) -> None:
    outcome = run(album, "-o", out, "-m", "realesr-animevideo")
    assert (outcome.code, "UPSCALE_OFFLINE" in outcome.line) == (1, True), outcome.err
    assert not out.exists() or tree(out) == set()


def test_no_skip_existing_refuses_what_exists(run: Run, album: Path, out: Path) -> None:
    run(album, "-o", out, *FAST)
    outcome = run(album, "-o", out, *FAST, "--no-skip-existing")
    assert (outcome.code, outcome.err.count("error: ")) == (1, 2)


def test_overwrite_does_all_again(run: Run, album: Path, out: Path) -> None:
    run(album, "-o", out, *FAST)
    assert "2 done" in run(album, "-o", out, *FAST, "--overwrite").err


def test_outputs_beside_their_inputs_are_not_upscaled_again(run: Run, album: Path) -> None:
    wanted = {"a.png", "b.jpg", "sub/c.png", "a_2x.png", "b_2x.jpg", "sub/c_2x.png"}
    for _ in range(2):
        assert run(album, "-r", *FAST).code == 0
        assert tree(album) - {f"sub/{name}" for name in OWN} == wanted
    assert "0 files to do" in run(album / "sub", *FAST).err  # found from wherever a run begins
    assert run(album, "-r", "-m", "bicubic", "-s", 3).code == 0
    assert tree(album) - {f"sub/{name}" for name in OWN} == wanted | {"a_3x.png", "b_3x.jpg", "sub/c_3x.png"}


def test_outputs_in_a_folder_inside_are_not_upscaled_again(run: Run, album: Path) -> None:
    for _ in range(2):
        assert run(album, "-r", "-o", album / "big", *FAST).code == 0
    assert run(album, "-r", "-o", album / "bigger", *FAST).code == 0  # nor are those of another run
    assert tree(album / "bigger") == {"a_2x.png", "b_2x.jpg", "sub/c_2x.png"}


# Failures


def test_a_bad_file_never_stops_the_rest(run: Run, album: Path, out: Path) -> None:
    (album / "bad.jpg").write_text("hello")
    (album / "cut.jpg").write_bytes((album / "b.jpg").read_bytes()[:300])
    (album / "empty.png").touch()
    outcome = run(album, "-o", out, "-r", *FAST)
    assert outcome.code == 1
    assert tree(out) == {"a_2x.png", "b_2x.jpg", "sub/c_2x.png"}
    assert "3 done, 3 failed" in outcome.err
    for name in ("bad.jpg", "cut.jpg", "empty.png"):
        assert len(re.findall(rf"error: .*{name}: \w+", outcome.err)) == outcome.err.count(name) == 1, "told once"


def test_fail_fast_stops_at_the_first(run: Run, album: Path, out: Path) -> None:
    (album / "aa.jpg").write_text("hello")
    outcome = run(album, "-o", out, "-r", *FAST, "--fail-fast")
    assert outcome.code == 1
    assert not out.exists()
    assert re.search("3 to do, 1 failed", outcome.err), outcome.err


def test_two_outputs_of_one_name_are_refused_before_anything_is_computed(run: Run, album: Path, out: Path) -> None:
    paint(album / "a.jpg", 9)
    outcome = run(album, "-o", out, *FAST, "-f", "png", "--dry-run")
    assert re.search(r"a\.png: its output .*a_2x\.png is that of .*a\.jpg already.*\{name\}", outcome.line)
    outcome = run(album, "-o", out, *FAST, "-f", "png")
    assert outcome.code == 1
    assert tree(out) == {"a_2x.png", "b_2x.png"}
    with Image.open(album / "a.jpg") as first, Image.open(out / "a_2x.png") as image:  # the first in order has it
        assert np.abs(np.asarray(image.resize(first.size), float) - np.asarray(first, float)).mean() < 30
    assert run(album, "-o", f"{out}/{{name}}_{{scale}}x.png", *FAST).code == 0


FORMS = tuple(unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("names", [("A.png", "a.png"), FORMS])
def test_where_the_file_system_folds_names_the_check_does_too(
    run: Run, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, str]
) -> None:
    for name in names:
        paint(tmp_path / "in" / name)
    if len(list((tmp_path / "in").iterdir())) == 1:
        pytest.skip("here the two are one file")
    monkeypatch.setattr(Manifest, "folds", lambda _: True)
    outcome = run(tmp_path / "in", "-o", out, *FAST)
    assert (outcome.code, "is that of" in outcome.line) == (1, True)
    assert len(tree(out)) == 1


def test_a_file_that_vanishes_on_the_way(run: Run, album: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_it_is_gone(job: Any, upscaler: Any, listener: Any) -> str:
        if job.source.name == "a.png":
            job.source.unlink()
        return RUN(job, upscaler, listener)

    monkeypatch.setattr(PhotoJob, "run", after_it_is_gone)
    outcome = run(album, "-o", out, "-r", *FAST)
    assert (outcome.code, "no such file" in outcome.line) == (1, True)
    assert tree(out) == {"b_2x.jpg", "sub/c_2x.png"}


def test_a_file_that_changes_while_it_is_read_is_done_again(
    run: Run, album: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_then_it_changes(job: Any, upscaler: Any, listener: Any) -> str:
        damage = RUN(job, upscaler, listener)
        if job.source.name == "a.png":
            touch_later(job.source)
        return damage

    with monkeypatch.context() as patch:
        patch.setattr(PhotoJob, "run", and_then_it_changes)
        assert run(album, "-o", out, *FAST).code == 0
    assert "1 done, 1 skipped" in run(album, "-o", out, *FAST).err


def test_a_bug_is_told_and_stops_nothing(run: Run, album: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(job: Any, upscaler: Any, listener: Any) -> str:
        if job.source.name == "a.png":
            raise ZeroDivisionError("what a shame")
        return RUN(job, upscaler, listener)

    monkeypatch.setattr(PhotoJob, "run", broken)
    outcome = run(album, "-o", out, *FAST)
    assert re.search(r"a\.png: a bug of ours \(ZeroDivisionError: what a shame\)", outcome.line)
    assert tree(out) == {"b_2x.jpg"}


def test_another_run_that_was_faster(run: Run, album: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both had begun the same file; the one that comes second finds it done."""
    nested: list[bool] = []

    def beaten(job: Any, upscaler: Any, listener: Any) -> str:
        if job.source.name == "a.png" and not nested:
            nested.append(True)
            assert run(album, "-o", out, *FAST, "--include", "a.png").code == 0
        return RUN(job, upscaler, listener)

    monkeypatch.setattr(PhotoJob, "run", beaten)
    outcome = run(album, "-o", out, *FAST)
    assert outcome.code == 0, outcome.err
    assert "1 done, 1 skipped" in outcome.err


def test_ctrl_c_keeps_what_is_done(run: Run, album: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(job: Any, upscaler: Any, listener: Any) -> str:
        if job.source.name == "b.jpg":
            raise KeyboardInterrupt
        return RUN(job, upscaler, listener)

    with monkeypatch.context() as patch:
        patch.setattr(PhotoJob, "run", pressed)
        outcome = run(album, "-o", out, "-r", *FAST, "-j", 1)
    assert outcome.code == 130
    assert outcome.line == "error: interrupted: 1 file done; the same command goes on from there."
    assert "2 done, 1 skipped" in run(album, "-o", out, "-r", *FAST).err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_the_file_system_does_not_take_is_refused_before_anything_is_computed(
    run: Run, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a drive of Windows, mounted."""
    paint(tmp_path / "in/what?.png")
    paint(tmp_path / "in/this.png")
    original = Path.open

    def picky(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.parent == out and "?" in path.name:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(path))
        return original(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", picky)
    outcome = run(tmp_path / "in", "-o", out, *FAST)
    assert re.search(r"what\?_2x\.png: cannot be written \(Invalid argument\)", outcome.line)
    assert tree(out) == {"this_2x.png"}


@pytest.mark.skipif(os.name == "nt" or (hasattr(os, "geteuid") and os.geteuid() == 0), reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_to(run: Run, album: Path, out: Path) -> None:
    out.mkdir()
    out.chmod(0o500)
    outcome = run(album, "-o", out, *FAST)
    out.chmod(0o700)
    assert (outcome.code, "cannot be written there (Permission denied)" in outcome.line) == (1, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-o", "-"), "take files and write files"),
        (("-", "-o", "x/"), "take files and write files"),
        (("--play",), "take files and write files"),
        (("--skip-existing", "--overwrite"), "exclude each other"),
        (("--include", "/x"), "matches nothing"),
        (("-o", "FILE"), "is a file, and many need a folder"),
    ],
)
def test_wrong_usage(run: Run, album: Path, options: tuple[str, ...], message: str) -> None:
    outcome = run(album, *FAST, *(str(album / "a.png") if word == "FILE" else word for word in options))
    assert (outcome.code, message in outcome.line) == (2, True), outcome.err


def test_options_for_folders_do_not_go_with_single_files(run: Run, album: Path) -> None:
    assert "-r is for folders and lists" in run(album / "a.png", "-r", *FAST).line
    assert "no INPUT is given" in run("-r").line


# Looking first


def test_dry_run_shows_the_sizes_and_writes_nothing(run: Run, album: Path, out: Path) -> None:
    before = tree(album)
    outcome = run(album, "-o", out, "-r", *FAST, "--dry-run")
    assert outcome.code == 0
    assert (tree(album), out.exists()) == (before, False)
    assert len(outcome.out.splitlines()) == 4
    assert re.search(r"a\.png .*8 x 6 +16 x 12", outcome.out)
    assert "3 to do" in outcome.err


def test_dry_run_for_programs(run: Run, album: Path, out: Path) -> None:
    run(album, "-o", out, *FAST)
    outcome = run(album, "-o", out, "-r", *FAST, "--dry-run", "--json")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert [event["event"] for event in events] == ["skipped", "skipped", "surveyed", "planned", "folder_finished"]
    assert events[3] == {
        "event": "planned", "source": str(album / "sub/c.png"), "output": str(out / "sub/c_2x.png"), "model": "bicubic",
        "width": 8, "height": 6, "sr_width": 16, "sr_height": 12, "frames": 1, "why": "",
    }  # fmt: skip


def test_ctrl_c_with_several_in_hand(run: Run, album: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done by then counts, what is not leaves nothing behind."""
    both, is_done = threading.Barrier(2), threading.Event()

    def pressed(job: Any, upscaler: Any, listener: Any) -> str:
        both.wait(PATIENCE)
        if job.source.name == "b.jpg":
            is_done.wait(PATIENCE)
            raise KeyboardInterrupt
        damage = RUN(job, upscaler, listener)
        is_done.set()
        return damage

    with monkeypatch.context() as patch:
        patch.setattr(PhotoJob, "run", pressed)
        outcome = run(album, "-o", out, *FAST, "-j", 2)
    assert outcome.code == 130
    assert outcome.line == "error: interrupted: 1 file done; the same command goes on from there."
    assert tree(out) == {"a_2x.png"}
    assert not list(out.glob("*.part"))
    assert "1 done, 1 skipped" in run(album, "-o", out, *FAST).err


def test_fail_fast_ends_what_is_in_hand(run: Run, album: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    both, is_over = threading.Barrier(2), threading.Event()

    def failing(job: Any, upscaler: Any, listener: Any) -> str:
        both.wait(PATIENCE)
        if job.source.name == "a.png":
            raise InputError("a.png: no good.")
        is_over.wait(PATIENCE)  # the run is about to end
        return RUN(job, upscaler, listener)

    def closed(self: ThreadExecutor) -> None:
        self._is_closing.set()
        is_over.set()
        closing(self)

    closing = ThreadExecutor.close
    monkeypatch.setattr(PhotoJob, "run", failing)
    monkeypatch.setattr(ThreadExecutor, "close", closed)
    outcome = run(album, "-o", out, *FAST, "-j", 2, "--fail-fast")
    assert outcome.code == 1
    assert "1 to do, 1 failed" in outcome.err
    assert tree(out) == set()


@pytest.mark.parametrize("model", ["espcn", "bicubic"])
def test_several_at_a_time_give_what_one_gives(run: Run, tmp_path: Path, model: str) -> None:
    """Pictures of one size, whose tiles share batches, and others between them."""
    for number in range(12):
        size = (40, 30) if number % 3 else (20 + number, 30)
        paint(tmp_path / "in" / f"{number}.png", number, size)
    for jobs in (1, 6):
        outcome = run(tmp_path / "in", "-o", tmp_path / f"out{jobs}", "-m", model, "-s", 2, "-j", jobs)
        assert outcome.code == 0, outcome.err
    for number in range(12):
        one, several = (np.asarray(Image.open(tmp_path / f"out{jobs}/{number}_2x.png")) for jobs in (1, 6))
        assert np.abs(one.astype(int) - several.astype(int)).max() <= 1


def test_memory_is_bounded_for_one_at_a_time(run: Run, album: Path, out: Path) -> None:
    outcome = run(album, "-o", out, *FAST, "-j", 4, "--max-memory", "4G")
    assert (outcome.code, "one picture at a time" in outcome.line) == (2, True)
    assert run(album, "-o", out, *FAST, "--max-memory", "4G").code == 0


def test_a_picture_that_needs_all_the_memory_waits_until_it_is_alone(
    run: Run, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        paint(tmp_path / "in" / f"{number}.png", size=(32, 32))
    lock, at_once, most = threading.Lock(), 0, 0

    def counting(job: Any, upscaler: Any, listener: Any) -> str:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.05)  # time for another to come in, were it let
        damage = RUN(job, upscaler, listener)
        with lock:
            at_once -= 1
        return damage

    monkeypatch.setattr(PhotoJob, "run", counting)
    monkeypatch.setattr(threads, "free_host_memory", lambda: 1000)
    assert run(tmp_path / "in", "-o", out, *FAST, "-j", 4).code == 0
    assert most == 1
    assert len(tree(out)) == 4


def test_what_a_run_tells_a_program(run: Run, album: Path, out: Path) -> None:
    (album / "bad.jpg").write_text("hello")
    outcome = run(album, "-o", out, *FAST, "-j", 1, "--json")
    events = [json.loads(line) for line in outcome.out.splitlines()]
    kinds = [event["event"] for event in events if event["event"] != "progress"]
    one = ["started", "carried", "finished", "folder_progress"]
    assert kinds == ["failed", "surveyed", *one, *one, "folder_finished"]
    assert events[-1]["failures"][0]["source"].endswith("bad.jpg")
    paces = [event for event in events if event["event"] == "folder_progress"]
    assert [(pace["done"], pace["failed"], pace["total"]) for pace in paces] == [(1, 1, 3), (2, 1, 3)]
    assert paces[-1]["megapixels"] == paces[-1]["total_megapixels"] == pytest.approx(2 * 16 * 12 / 1e6)
    assert paces[-1]["seconds_left"] == 0
    assert outcome.err == ""


def test_quiet_says_nothing_but_errors(run: Run, album: Path, out: Path) -> None:
    (album / "bad.jpg").write_text("hello")
    outcome = run(album, "-o", out, *FAST, "-q")
    assert len(outcome.err.splitlines()) == 1
    assert "bad.jpg" in outcome.line


# Kills


def test_what_killed_runs_leave_is_removed_and_living_ones_keep_theirs(run: Run, album: Path, out: Path) -> None:
    out.mkdir()
    dead, young = out / ".upscale-0123456789ab.part", out / ".upscale-0123456789ff.part"
    for path in (dead, young):
        path.touch()
    os.utime(dead, (time.time() - 900,) * 2)
    with OutputFile(out / "living.png", overwrite=False) as stream:
        stream.write(b"half")
        (living,) = set(out.glob("*.part")) - {dead, young}
        os.utime(living, (time.time() - 900,) * 2)
        assert run(album, "-o", out, *FAST).code == 0
        assert set(out.glob("*.part")) == {young, living}


KILLED = """
import os, signal, sys
from upscale_cli import cli
from upscale_cli.jobs.photo import PhotoJob
from upscale_cli.files.atomic_file import OutputFile

def dying_after(original, number):
    def run(*arguments):
        nonlocal number
        result = original(*arguments)
        number -= 1
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    return run

moment, number = sys.argv.pop(1), int(sys.argv.pop(1))
if moment == "output":
    PhotoJob.run = dying_after(PhotoJob.run, number)
else:
    OutputFile.__enter__ = dying_after(OutputFile.__enter__, number)
cli.main()
"""
"""The command line, killed with -9 when so many outputs have their names (but not yet their lines in the manifest), or
when so many are begun."""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is of POSIX")
@pytest.mark.parametrize("jobs", [1, 4])
def test_two_kills_on_the_way(tmp_path: Path, jobs: int) -> None:
    """A folder of everything: odd names, nested, broken files, three formats, links. Killed twice, then finished: every
    good file has one right output, every bad one a reason."""
    good, bad = mixed_folder(tmp_path / "in", 60)
    command = ["in", "-o", "out", "-r", "-j", str(jobs), *map(str, FAST)]
    for moment, number in (("output", 15), ("part", 20)):
        killed = [sys.executable, "-c", KILLED, moment, str(number), *command]
        done = subprocess.run(killed, cwd=tmp_path, capture_output=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert 1 <= len(list((tmp_path / "out").rglob("*.part"))) <= 2 * jobs
    for part in (tmp_path / "out").rglob("*.part"):
        os.utime(part, (time.time() - 900,) * 2)
    last = [sys.executable, "-m", "upscale_cli", *command, "--json"]
    done = subprocess.run(last, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 1, done.stderr
    finished = json.loads(done.stdout.splitlines()[-1])
    assert finished["done"] + finished["skipped"] == len(good)
    at_the_kills = 15 + 19
    assert at_the_kills - 2 * (jobs - 1) <= finished["skipped"] <= at_the_kills + 2 * (jobs - 1)
    assert {failure["source"] for failure in finished["failures"]} == {f"in/{name}" for name in bad}
    assert all(len(failure["message"]) > len(failure["source"]) + 10 for failure in finished["failures"])
    assert tree(tmp_path / "out") == set(good.values())
    for name, output in good.items():
        with Image.open(tmp_path / "in" / name) as lr, Image.open(tmp_path / "out" / output) as sr:
            assert sr.size == (2 * lr.width, 2 * lr.height)
            sr.load()


def test_an_input_error_of_a_list_ends_the_run(run: Run, tmp_path: Path) -> None:
    assert "the list cannot be read" in run(tmp_path / "none.txt", *FAST).line


def test_several_photos_named_one_by_one(run: Run, album: Path, out: Path) -> None:
    """As many at a time as of a folder, but nothing is remembered."""
    outcome = run(album / "a.png", album / "b.jpg", album / "none.png", "-o", f"{out}/", *FAST)
    assert outcome.code == 1
    assert "2 done, 1 failed" in outcome.err
    assert outcome.err.count("none.png: there is no such file") == 1
    assert {path.name for path in out.iterdir()} == {"a_2x.png", "b_2x.jpg"}
    again = run(album / "a.png", album / "b.jpg", "-o", f"{out}/", *FAST)
    assert (again.code, again.err.count("exists already")) == (1, 2)
    assert run(album / "a.png", album / "b.jpg", "-o", f"{out}/", *FAST, "--overwrite").code == 0
    assert run(album / "a.png", "-o", f"{out}/", *FAST, "-j", 3).code == 2


def test_one_photo_by_several_models(run: Run, album: Path, out: Path) -> None:
    assert run(album / "a.png", "-o", f"{out}/", *FAST, "-m", "lanczos").code == 0
    assert {path.name for path in out.iterdir()} == {"a_bicubic_2x.png", "a_lanczos_2x.png"}


def test_folders_from_python(album: Path, out: Path) -> None:
    (album / "bad.jpg").write_text("hello")
    reported: list[Event] = []
    first = upscale_folder(album, out, 2, model="bicubic", recursive=True, exclude=["b.*"], listener=reported.append)
    assert (first.done, first.skipped, first.failed) == (2, 0, 1)
    assert first.failures[0].source.endswith("bad.jpg")
    assert tree(out) == {"a_2x.png", "sub/c_2x.png"}
    assert {type(event) for event in reported} >= {Surveyed, Started, Finished, FolderProgress, FolderFinished}
    again = upscale_folder([album / "a.png", album / "b.jpg"], out, 2, model="bicubic", jobs=1)
    assert (again.done, again.skipped) == (1, 1)
    with pytest.raises(OptionError, match="exclude each other"):
        upscale_folder(album, out, 2, target=Target(long_side=9))
