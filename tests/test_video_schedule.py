"""Expected frames are what the decoder gives, for whole files; and never less than that for damaged ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from tests.clips import RECIPES, Clips, corrupted, ffmpeg, truncated
from upscale_cli.errors import UpscaleError
from upscale_cli.media.video.packet_schedule import ExpectedFrame, Schedule, tail
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.streams import Clip, VideoStream

UNTIMED = {"raw_h264", "raw_h265"}
NO_VIDEO = {"audio_only", "audio_only_mp4", "empty", "prose", "noise"}
TIMED = sorted(set(RECIPES) - UNTIMED - NO_VIDEO)


def decoded(path: Path, stream: VideoStream) -> list[ExpectedFrame]:
    """pts and duration of each frame, by PyAV."""
    with av.open(str(path)) as container:
        frames: Iterator[Any] = container.decode(container.streams[stream.index])
        return [(frame.pts, frame.duration) for frame in frames if frame.pts is not None]


def expected_frames(clip: Clip, stream: VideoStream) -> list[ExpectedFrame]:
    with Schedule(clip, stream) as schedule:
        return list(schedule.rest(None))


@pytest.mark.slow
@pytest.mark.parametrize("name", TIMED)
def test_every_frame_is_expected_and_no_other(clips: Clips, name: str) -> None:
    clip = probe(clips(name))
    for stream in clip.video:
        frames = decoded(clips(name), stream)
        assert expected_frames(clip, stream) == frames
        assert tail(clip, stream) == frames[-1]


@pytest.mark.parametrize("name", ["plain", "vfr_mkv", "cut", "long_gop_ts"])
def test_beside_a_decoder_nothing_is_missed(clips: Clips, name: str) -> None:
    clip = probe(clips(name))
    stream = clip.video[0]
    last: int | None = None
    with Schedule(clip, stream) as schedule:
        for pts, _ in decoded(clips(name), stream):
            assert schedule.between(last, pts) == []
            last = pts
        assert list(schedule.rest(last)) == []


def test_what_a_decoder_leaves_out_is_named(clips: Clips) -> None:
    clip = probe(clips("plain"))
    stream = clip.video[0]
    frames = decoded(clips("plain"), stream)
    with Schedule(clip, stream) as schedule:
        assert schedule.between(None, frames[2][0]) == frames[:2]
        assert schedule.between(frames[2][0], frames[7][0]) == frames[3:7]
        assert list(schedule.rest(frames[9][0])) == frames[10:]


def test_hidden_frames_of_vp8_and_vp9_are_not_expected(tmp_path: Path) -> None:
    for codec in ("libvpx", "libvpx-vp9"):
        path = tmp_path / f"{codec}.webm"
        ffmpeg(
            *("-f", "lavfi", "-i", "testsrc2=s=96x64:r=25:d=2", "-c:v", codec, "-b:v", "200k", "-auto-alt-ref", "1"),
            *("-lag-in-frames", "16", "-deadline", "good", "-cpu-used", "5", path),
        )
        clip = probe(path)
        frames = decoded(path, clip.video[0])
        assert len(frames) == 50
        assert expected_frames(clip, clip.video[0]) == frames


@pytest.mark.parametrize("name", ["long_gop_mkv", "long_gop_ts", "faststart"])
def test_of_a_truncated_file_what_is_still_there_is_expected(clips: Clips, name: str) -> None:
    whole = probe(clips(name))
    every = expected_frames(whole, whole.video[0])
    path = truncated(clips, name, 0.6)
    try:
        clip = probe(path)
    except UpscaleError:
        pytest.skip("nothing of it can be read")
    left = [expected[0] for expected in expected_frames(clip, clip.video[0])]
    assert 0 < len(left) <= len(every)
    assert left == [expected[0] for expected in every][: len(left)]


def test_damaged_packets_are_still_expected(clips: Clips) -> None:
    whole = probe(clips("long_gop_mkv"))
    damaged = probe(corrupted(clips, "long_gop_mkv", range(10, 14)))
    assert expected_frames(damaged, damaged.video[0]) == expected_frames(whole, whole.video[0])


@pytest.mark.parametrize("name", sorted(UNTIMED))
def test_of_streams_without_timestamps_nothing_is_expected(clips: Clips, name: str) -> None:
    clip = probe(clips(name))
    assert expected_frames(clip, clip.video[0]) == []
    assert tail(clip, clip.video[0]) is None


def test_a_schedule_may_begin_in_the_middle(clips: Clips) -> None:
    clip = probe(clips("static"))
    stream = clip.video[0]
    frames = decoded(clips("static"), stream)
    with Schedule(clip, stream, start=frames[20][0]) as schedule:
        rest = list(schedule.rest(frames[20][0] - 1))
    assert rest == frames[20:]


def test_of_a_file_that_is_gone_nothing_is_expected(clips: Clips, tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    path.write_bytes(clips("plain").read_bytes())
    clip = probe(path)
    path.unlink()
    assert expected_frames(clip, clip.video[0]) == []
    assert tail(clip, clip.video[0]) is None
