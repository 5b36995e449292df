"""Never a false success, never a silent failure: what is lost is told, and the exit code says so."""

import io
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from tests.clips import Clips
from tests.command import Run
from tests.test_console import CLIP, FINISHED
from upscale_cli import upscale_file
from upscale_cli.cli.console import Terminal
from upscale_cli.errors import InputError, OutputError
from upscale_cli.events import Estimate, Event, Finished, Note
from upscale_cli.files.abandoned import sweep
from upscale_cli.files.atomic_file import HOST, TEMPORARY, OutputFile
from upscale_cli.files.work_folder import JOB_FILE, RUNNING_FILE, WorkFolder, work_folder
from upscale_cli.frames.image import Layout
from upscale_cli.jobs import long_runs
from upscale_cli.jobs import video as video_module
from upscale_cli.jobs.encoding_time import encoding_seconds
from upscale_cli.jobs.video_io import in_order
from upscale_cli.media.image.formats import FORMATS
from upscale_cli.media.image.metadata import PhotoInfo

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    y, x = np.mgrid[0:40, 0:48]
    Image.fromarray(np.stack([5 * x, 6 * y, 2 * (x + y)], axis=2).astype(np.uint8)).save(path)
    return path


def shell(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """A line with `upscale` in it, as a shell runs it."""
    line = line.replace("upscale ", f"{sys.executable} -m upscale_cli ")
    return subprocess.run(["sh", "-c", line], cwd=folder, capture_output=True, text=True, check=False)


# Standard output


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    ["upscale photo.png -m bicubic -o - -f png", "upscale models list", "upscale photo.png -m bicubic -o a.png --json"],
)
def test_a_closed_standard_output_fails_with_one_line(command: str, photo: Path) -> None:
    done = shell(f"{command} >&-", photo.parent)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "standard output" in line
    assert "Traceback" not in done.stderr


@posix_only
@pytest.mark.slow
def test_a_closed_standard_output_harms_nothing_that_has_no_use_for_it(photo: Path) -> None:
    done = shell("upscale photo.png -s 2 -m bicubic -o a.png -q >&-", photo.parent)
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(photo.parent / "a.png") as made:
        assert made.size == (96, 80)


@posix_only
@pytest.mark.slow
@pytest.mark.parametrize("command", ["upscale photo.png -s 30 -m bicubic -o - -f bmp", "upscale models list"])
def test_a_reader_that_has_left_is_no_success_and_no_traceback(command: str, photo: Path) -> None:
    done = shell(f"{{ {command}; echo code $? >&2; }} | true", photo.parent)
    assert "code 1" in done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_damage_is_told_where_only_errors_are() -> None:
    screen = io.StringIO()
    listener = Terminal(Console(file=screen, width=300, color_system=None), quiet=True)
    listener(FINISHED)
    assert screen.getvalue() == ""
    listener(replace(FINISHED, damage="the source is damaged: 2 lost"))
    assert screen.getvalue() == f"error: {CLIP.source}: the source is damaged: 2 lost\n"


# Lists


def test_a_line_that_leads_nowhere_does_not_stop_the_others(run: Run, photo: Path, tmp_path: Path) -> None:
    second = photo.with_name("second.png")
    second.write_bytes(photo.read_bytes())
    names = tmp_path / "list.txt"
    lines = [photo, "gs://no-such-bucket-here/a.jpg", "az://no-such-container/b/", photo.with_name("gone.png"), second]
    names.write_text("".join(f"{line}\n" for line in lines))
    outcome = run(names, "-o", tmp_path / "out", "-s", 2, "-m", "bicubic")
    assert outcome.code == 1
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == ["photo_2x.png", "second_2x.png"]
    for name in ("gs://no-such-bucket-here/a.jpg", "az://no-such-container/b/", "gone.png"):
        assert name in outcome.err
    assert "Traceback" not in outcome.err
    assert "3 failed" in outcome.err


# Finished before


def test_a_photo_that_is_finished_is_no_failure(photo: Path, tmp_path: Path) -> None:
    output, events = tmp_path / "out.png", list[Event]()
    how: dict[str, Any] = {"scale": 2, "model": "bicubic", "resume": True}
    upscale_file(photo, output, **how)
    before = output.stat()
    upscale_file(photo, output, **how, listener=events.append)
    assert output.stat() == before
    (note, finished) = events
    assert isinstance(note, Note)
    assert "was finished by this job already" in note.text
    assert isinstance(finished, Finished)
    for change in ({"scale": 3}, {"model": "lanczos"}):
        with pytest.raises(OutputError, match="already exists"):
            upscale_file(photo, output, **{**how, **change})
    output.write_bytes(b"mine")
    with pytest.raises(OutputError, match="already exists"):
        upscale_file(photo, output, **how)
    assert output.read_bytes() == b"mine"


def test_the_command_given_again_ends_well(run: Run, photo: Path, tmp_path: Path) -> None:
    command = (photo, "-o", tmp_path / "out.png", "-s", 2, "-m", "bicubic", "--resume")
    assert run(*command).code == 0
    again = run(*command)
    assert again.code == 0
    assert "was finished by this job already" in again.err
    assert run(*command[:-1]).code == 1  # without --resume it would be written anew


# Long runs


@pytest.mark.parametrize("free", [0, 10**15])
def test_a_picture_beyond_any_measure_is_asked_about(
    run: Run, photo: Path, free_disk: Callable[[int], None], free: int
) -> None:
    """Before all else: that the disk has no room for it would send the user after the wrong thing."""
    free_disk(free)
    outcome = run(photo, "--long-side", 200_000, "-m", "bicubic", "-o", photo.parent / "out.tif")
    assert outcome.code == 1
    assert "gigapixels, more than 20" in outcome.line
    assert "--yes" in outcome.line
    assert list(photo.parent.iterdir()) == [photo]


def test_a_time_beyond_any_patience_is_asked_about(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_runs, "WORTH_TIMING_PIXELS", 0)
    monkeypatch.setattr("upscale_cli.inference.upscaler.Upscaler.expected_seconds", lambda *_: 9 * 3600.0)
    how: dict[str, Any] = {"scale": 2, "model": "espcn", "device": "cpu"}
    output = photo.parent / "out.png"
    with pytest.raises(OutputError, match=r"expected to take 9 h 00 min on this CPU, more than 8 h.*yes=True"):
        upscale_file(photo, output, **how)
    upscale_file(photo, output, **how, yes=True)
    assert output.exists()


@pytest.mark.parametrize("format", [row.name for row in FORMATS.values() if row.written and row.name != "DICOM"])
def test_the_time_is_that_of_the_encoder_too(format: str) -> None:
    row = FORMATS[format]
    info = PhotoInfo("a.png", "PNG", 64, 64, "RGB", 8)
    assert encoding_seconds(row, info, 10**6) == 0  # not worth timing
    little, much = (encoding_seconds(row, info, pixels) for pixels in (10**8, 10**12))
    assert 0 < little < much


@pytest.mark.parametrize(("layout", "bits"), [("L", 8), ("RGBA", 16), ("CMYK", 8), ("RGB", 32), ("LAB", 8)])
def test_any_kind_of_picture_is_timed(layout: Layout, bits: Literal[8, 16, 32]) -> None:
    info = PhotoInfo("a.tif", "TIFF", 64, 64, layout, bits, frames=3, page_sizes=((64, 64),) * 3)
    assert encoding_seconds(FORMATS["TIFF"], info, 10**9) > 0


def test_a_slow_encoder_is_asked_about(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_runs, "WORTH_TIMING_PIXELS", 0)
    monkeypatch.setattr("upscale_cli.jobs.photo.encoding_seconds", lambda *_: 9 * 3600.0)
    output = photo.parent / "out.png"
    how: dict[str, Any] = {"scale": 2, "model": "bicubic", "device": "cpu"}
    with pytest.raises(OutputError, match="expected to take 9 h 00 min"):
        upscale_file(photo, output, **how)
    events: list[Event] = []
    upscale_file(photo, output, **how, yes=True, listener=events.append)
    assert [round(event.seconds) for event in events if isinstance(event, Estimate)] == [9 * 3600]


def test_the_time_is_that_of_the_net(photo: Path) -> None:
    """A picture of which no pixel is known takes as long as one of that size."""
    from upscale_cli import Upscaler
    from upscale_cli.inference.sizing import Target
    from upscale_cli.media.image.reader_writer import ImageReader

    upscaler = Upscaler("espcn", device="cpu")
    with ImageReader(photo) as reader:
        plan = upscaler.plan(reader.info.width, reader.info.height, Target(scale=16))
        assert upscaler.tile_count(long_runs.like(reader.info), plan) == upscaler.tile_count(next(iter(reader)), plan)


# What killed runs leave


def left_by_a_killed_run(folder: Path, name: str = "dead.mp4") -> tuple[Path, Path]:
    """A temporary file and a work folder, both without a lock."""
    part = folder / f"{TEMPORARY}{HOST}0123456789ab.part"
    part.touch()
    work = work_folder(folder / name)
    work.mkdir()
    for entry in ("lock", RUNNING_FILE, name):
        (work / entry).touch()
    return part, work


def test_the_next_run_takes_away_what_killed_ones_left(run: Run, photo: Path, tmp_path: Path) -> None:
    part, work = left_by_a_killed_run(tmp_path)
    outcome = run(photo, "-o", tmp_path / "out.png", "-s", 2, "-m", "bicubic")
    assert outcome.code == 0
    assert not part.exists()
    assert not work.exists()
    assert "left by a run that was killed, and removed: dead.mp4.work, 1 temporary file" in outcome.err


def living(folder: Path, ready: Any, end: Any) -> None:
    """A run at work on a photo and a clip, until it is told to end."""
    with (
        OutputFile(folder / "photo.png", overwrite=False) as stream,
        WorkFolder(folder / "clip.mp4", overwrite=False, say=print) as work,
    ):
        stream.write(b"half")
        work.file.write_bytes(b"half")
        ready.set()
        end.wait()
        work.deliver()


@posix_only
@pytest.mark.slow
def test_two_runs_never_take_away_each_other_s(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, end = context.Event(), context.Event()
    other = context.Process(target=living, args=(tmp_path, ready, end))
    other.start()
    try:
        assert ready.wait(120)
        before, told = sorted(tmp_path.rglob("*")), list[str]()
        old = time.time() - 9000
        for path in before:
            os.utime(path, (old, old))
        sweep([tmp_path], told.append)
        assert sorted(tmp_path.rglob("*")) == before
        assert told == []
    finally:
        end.set()
        other.join()
    assert other.exitcode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "photo.png"]


@pytest.mark.parametrize("kind", ["can go on", "kept by Ctrl-C", "foreign file", "of an older version"])
def test_what_is_worth_keeping_stays(kind: str, tmp_path: Path) -> None:
    part, work = left_by_a_killed_run(tmp_path)
    if kind == "can go on":
        (work / JOB_FILE).write_text("{}")
    elif kind == "foreign file":
        (work / "holiday.jpg").touch()
    else:
        (work / RUNNING_FILE).unlink()
    before = sorted(work.iterdir())
    sweep([tmp_path, tmp_path / "not there"], lambda _: None)
    assert sorted(work.iterdir()) == before
    assert not part.exists()


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    _, work = left_by_a_killed_run(own, "dead.mp4")
    (tmp_path / "dead.mp4.work").symlink_to(work, target_is_directory=True)
    sweep([tmp_path], lambda _: None)
    assert work.is_dir()


def test_a_run_that_is_interrupted_leaves_what_it_says_it_leaves(tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "clip.mp4", overwrite=False, say=print) as work:
        work.file.write_bytes(b"the first frames")
        work.keep()
    sweep([tmp_path], lambda _: None)
    assert work.file.read_bytes() == b"the first frames"


@posix_only
def test_a_temporary_file_that_is_removed_before_its_lock_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upscale_cli.files import atomic_file

    hold, lost = atomic_file.hold, list[Path]()

    def late(file: Any) -> bool:
        if not lost:
            (path,) = tmp_path.glob(f"{TEMPORARY}*.part")
            assert atomic_file.remove_abandoned(tmp_path) == 1
            lost.append(path)
        return hold(file)

    monkeypatch.setattr(atomic_file, "hold", late)
    with OutputFile(tmp_path / "out.png", overwrite=False) as stream:
        stream.write(b"whole")
    assert lost
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]
    assert (tmp_path / "out.png").read_bytes() == b"whole"


# Sources that vanish


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".mkv", ".mp4"])
def test_the_frames_of_a_source_that_vanishes_are_kept(
    ending: str, clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader fails after some frames: what is done plays."""
    from upscale_cli import upscale_video

    source, output = tmp_path / f"clip{ending}", tmp_path / f"out{ending}"
    source.write_bytes(clips("plain").read_bytes())
    readers = in_order

    def gone(given: Any) -> Any:
        for number, frame in enumerate(readers(given)):
            if number == 5:
                raise InputError(f"{source.name}: is no longer there. Bring it back.")
            yield frame

    monkeypatch.setattr(video_module, "in_order", gone)
    with pytest.raises(InputError, match=rf"clip{ending}: is no longer there.*first \d frames are in .*, which plays"):
        upscale_video(source, output, 2, model="bicubic")
    assert not output.exists()
    import av

    with av.open(str(work_folder(output) / output.name)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 1


@pytest.mark.slow
def test_an_encoder_that_loses_its_source_blames_the_source(clips: Clips, tmp_path: Path) -> None:
    from upscale_cli.media.video.opening import lost_source
    from upscale_cli.media.video.probe import probe

    source = tmp_path / "clip.mkv"
    source.write_bytes(clips("plain").read_bytes())
    clip = probe(source)
    assert lost_source(clip) is None
    source.unlink()
    error = lost_source(clip)
    assert error is not None
    assert "is no longer there" in error.message
