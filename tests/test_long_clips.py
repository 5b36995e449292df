"""Clips that take hours are announced, those that take days are asked about; options without effect are told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.clips import Clips
from tests.command import Run
from tests.test_never_silent import left_by_a_killed_run
from upscale_cli import upscale_file, upscale_folder, upscale_frames, upscale_video
from upscale_cli.errors import OutputError
from upscale_cli.events import Event, Note
from upscale_cli.jobs import long_clips
from upscale_cli.jobs.unused_options import given_for_clips
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.reader_arguments import DecodeOptions


@pytest.fixture
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives a function that sets how long a frame takes."""
    monkeypatch.setattr(long_clips, "WORTH_TIMING_PIXELS", 0)

    def set_hours(hours: float) -> None:
        seconds = hours * 3600 / 12  # a clip of 12 frames
        monkeypatch.setattr("upscale_cli.inference.video_upscaler.VideoUpscaler.expected_seconds", lambda _: seconds)

    return set_hours


def notes(events: list[Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, Note))


def test_a_night_is_announced(slow_machine: Any, clips: Clips, tmp_path: Path) -> None:
    slow_machine(12)
    events = list[Event]()
    upscale_video(clips("plain"), tmp_path / "out.mp4", 2, model="bicubic", device="cpu", listener=events.append)
    assert "12 frames are expected to take 12 h 00 min on this CPU. With resume=True" in notes(events)


def test_days_are_asked_about(slow_machine: Any, clips: Clips, tmp_path: Path) -> None:
    slow_machine(50)
    how: dict[str, Any] = {"scale": 2, "model": "bicubic", "device": "cpu"}
    output = tmp_path / "out.mp4"
    with pytest.raises(
        OutputError, match=r"50 h 00 min on this CPU, more than 48 h 00 min\. Give resume=True.*yes=True"
    ):
        upscale_video(clips("plain"), output, **how)
    assert list(tmp_path.iterdir()) == []
    upscale_video(clips("plain"), output, **how, options=ClipOptions(yes=True))
    assert output.exists()


def test_what_can_go_on_is_not_asked_about(slow_machine: Any, clips: Clips, tmp_path: Path) -> None:
    slow_machine(50)
    events, output = list[Event](), tmp_path / "out.mp4"
    upscale_video(
        clips("plain"), output, 2, model="bicubic", device="cpu",
        options=ClipOptions(resume=True), listener=events.append,
    )  # fmt: skip
    assert "12 frames are expected to take 50 h 00 min on this CPU.\n" in f"{notes(events)}\n"
    assert output.exists()


def test_the_command_line_says_yes(run: Run, slow_machine: Any, clips: Clips, tmp_path: Path) -> None:
    slow_machine(50)
    command = (clips("plain"), "-o", tmp_path / "out.mp4", "-m", "bicubic", "--device", "cpu")
    refused = run(*command)
    assert refused.code == 1
    assert "--resume" in refused.line
    assert "--yes" in refused.line
    assert run(*command, "--yes").code == 0


def test_an_hour_is_nothing_to_talk_about(slow_machine: Any, clips: Clips, tmp_path: Path) -> None:
    slow_machine(1)
    events = list[Event]()
    upscale_video(clips("plain"), tmp_path / "out.mp4", 2, model="bicubic", device="cpu", listener=events.append)
    assert "expected" not in notes(events)


# Python as the command line


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "photo.png"
    path.parent.mkdir()
    Image.fromarray(np.arange(300, dtype=np.uint8).reshape(10, 10, 3)).save(path)
    return path


def test_python_takes_away_what_killed_runs_left(photo: Path, clips: Clips, tmp_path: Path) -> None:
    for name, upscale, source in (("a", upscale_file, photo), ("b", upscale_video, clips("plain"))):
        folder, events = tmp_path / name, list[Event]()
        folder.mkdir()
        part, work = left_by_a_killed_run(folder)
        upscale(source, folder / f"out{source.suffix}", 2, model="bicubic", listener=events.append)
        assert [path.name for path in folder.iterdir()] == [f"out{source.suffix}"]
        assert "left by a run that was killed, and removed: dead.mp4.work, 1 temporary file" in notes(events)
        assert not part.exists()
        assert not work.exists()


def test_python_tells_what_has_no_effect(photo: Path, clips: Clips, tmp_path: Path) -> None:
    events = list[Event]()
    wanted = ClipOptions(encode=EncodeOptions(crf=20), decode=DecodeOptions(frames=2), reuse=False)
    upscale_folder(photo.parent, tmp_path / "out", 2, model="bicubic", clips=wanted, listener=events.append)
    assert "frames=, crf= and reuse=False are for clips, and there is none here: no effect" in notes(events)
    events.clear()
    for _ in upscale_frames(clips("plain"), 2, model="bicubic", options=wanted, listener=events.append):
        pass
    assert "crf= is for clips that are written, and frames are given out here" in notes(events)
    events.clear()
    upscale_file(photo, tmp_path / "a.png", 2, model="bicubic", engine="torch", tile=64, listener=events.append)
    assert "engine= and tile= are for nets, and bicubic is none: no effect" in notes(events)
    events.clear()
    upscale_file(photo, tmp_path / "b.png", 2, model="bicubic", listener=events.append)
    assert notes(events) == ""


def test_the_command_line_and_python_know_the_same_options() -> None:
    """What the command line takes as an option for clips, its options for Python have, too."""
    from upscale_cli.cli.video_options import VideoGroup

    group = VideoGroup(
        codec="libx265", crf=20, preset="fast", pix_fmt="yuv420p", encoder_arg=["a=b"], hwaccel="auto", start="1",
        end="2", frames=3, fps="25", video_stream="0", deinterlace="off", no_reuse=True, steady=True, realtime="file",
        play=True, live=True, resume=True, preview=4.0,
    )  # fmt: skip
    made = group.options(overwrite=True, max_pixels=7, yes=True)
    assert sorted(given_for_clips(made)) == sorted(group.given)
    assert given_for_clips(ClipOptions(resume=True, overwrite=True, yes=True, max_pixels=7)) == ()
