"""A clip whose source is cut while it is read: the source is named, what is done is kept, and the next run is whole."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.clips import ffmpeg, moving, tone
from upscale_cli import upscale_video
from upscale_cli.errors import InputError
from upscale_cli.events import ClipFinished, Event
from upscale_cli.files.work_folder import JOURNAL_FILE, work_folder
from upscale_cli.frames.video import VideoFrame
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video import reader, segments
from upscale_cli.media.video.opening import cut_source, lost_source
from upscale_cli.media.video.probe import probe

FRAMES = 120
SEGMENT = 24


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """So large that no pipe, queue or buffer holds it."""
    path = tmp_path / "clip.mp4"
    ffmpeg(
        *moving(320, 240, FRAMES), *tone(seconds=5), "-frames:v", FRAMES,
        "-c:v", "libx264", "-qp", 10, "-g", 12, "-preset", "ultrafast", "-c:a", "aac", path,
    )  # fmt: skip
    return path


@pytest.fixture
def cut(source: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """Cuts the source once, when a third of its frames are read; gives its bytes."""
    whole, journal = source.read_bytes(), work_folder(source.with_name("out.mp4")) / JOURNAL_FILE
    frames_of, done = reader.VideoReader.__iter__, list[bool]()

    def cutting(self: Any) -> Iterator[VideoFrame]:
        for number, frame in enumerate(frames_of(self)):
            if number == FRAMES // 3 and not done:
                while self._options.max_pixels == 10**6 and not (
                    journal.exists() and journal.read_text()
                ):  # the first segment is recorded
                    time.sleep(0.01)
                source.write_bytes(whole[: len(whole) // 2])
                done.append(True)
            yield frame

    monkeypatch.setattr(segments, "segment_length", lambda _: SEGMENT)
    monkeypatch.setattr(reader.VideoReader, "__iter__", cutting)
    yield whole
    assert done


def gray(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]


@pytest.mark.slow
def test_with_resume_the_next_run_has_the_whole(source: Path, cut: bytes) -> None:
    output, undisturbed = source.with_name("out.mp4"), source.with_name("undisturbed.mp4")
    options, events = ClipOptions(resume=True, max_pixels=10**6), list[Event]()
    with pytest.raises(InputError) as caught:
        upscale_video(source, output, 2, model="bicubic", options=options)
    assert f"clip.mp4: was cut from {len(cut):,} to {len(cut) // 2:,} bytes while it was read" in caught.value.message
    assert f"{SEGMENT} frames are done; the same command goes on from there" in caught.value.message
    assert "codec" not in caught.value.message
    assert not output.exists()
    source.write_bytes(cut)
    upscale_video(source, output, 2, model="bicubic", options=options, listener=events.append)
    (finished,) = [event for event in events if isinstance(event, ClipFinished)]
    assert (finished.damage, finished.repeated, finished.frames) == ("", 0, FRAMES)
    assert not work_folder(output).exists()
    upscale_video(source, undisturbed, 2, model="bicubic", options=options)
    np.testing.assert_array_equal(gray(output), gray(undisturbed))


@pytest.mark.slow
def test_without_it_the_frames_that_are_done_play(source: Path, cut: bytes) -> None:
    output = source.with_name("out.mp4")
    with pytest.raises(InputError, match=r"clip\.mp4: was cut from .* first \d+ frames are in .*, which plays"):
        upscale_video(source, output, 2, model="bicubic")
    assert not output.exists()
    assert len(cut) // 2 == source.stat().st_size
    assert len(gray(work_folder(output) / output.name)) > FRAMES // 4


def test_a_recording_that_grows_is_none(source: Path) -> None:
    clip, whole = probe(source), source.read_bytes()
    source.write_bytes(whole + bytes(1000))
    assert lost_source(clip) is None
    source.write_bytes(whole[:-1])
    assert cut_source(clip) is not None
    assert lost_source(clip) is not None
    source.unlink()
    assert cut_source(clip) is None  # on POSIX it is read to its end all the same
    gone = lost_source(clip)
    assert gone is not None
    assert "is no longer there" in gone.message
