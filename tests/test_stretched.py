"""Segments made by many workers, in any order: joined, they are what one run alone makes, to the last packet."""

import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clips import AAC, Clips, corrupted, ffmpeg, moving, tone
from tests.examine import examine, planes
from tests.test_video_resume import assert_same_file, work_of
from upscale_cli.errors import FFmpegError, InterruptedRun, OutputError
from upscale_cli.events import ClipFinished, ClipProgress, Event, Listener, Note, ignore
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs import video_segments
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.prepare_video import open_clip, prepare_video
from upscale_cli.jobs.video import VideoJob, run_clip
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.jobs.video_resume import run_resumable
from upscale_cli.jobs.video_segments import (
    Indivisible,
    Made,
    SegmentJob,
    is_worth_dividing,
    make_segment,
    run_in_segments,
)
from upscale_cli.media.video import segments
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.reader_arguments import DecodeOptions

LENGTH = 5
FAST = EncodeOptions(preset="ultrafast")
FFV1 = EncodeOptions(codec="ffv1")


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (segments, video_segments):
        monkeypatch.setattr(module, "segment_length", lambda _: LENGTH)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as threads:
        yield threads


def upscaler() -> Upscaler:
    return Upscaler("bicubic", device="cpu")


def job_for(source: Path, output: Path, **options: Any) -> VideoJob:
    given, chosen = Input(str(source)), ClipOptions(**{"encode": FAST, **options})
    naming = Naming(str(output), None, Target(scale=2))
    return prepare_video(given, open_clip(given, chosen), upscaler(), naming, Outputs([given], overwrite=False), chosen)


def made_alone(job: SegmentJob) -> Made:
    """In a process of its own, as a worker makes it."""
    return make_segment(job, upscaler(), ignore)


def by_threads(pool: Executor) -> video_segments.Submit:
    """Each segment by an upscaler of its own."""
    return lambda job, listener: pool.submit(make_segment, job, upscaler(), listener)


def in_turn(source: Path, output: Path, **options: Any) -> ClipFinished:
    return run_resumable(job_for(source, output, resume=True, **options), upscaler(), ignore)


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", ".mp4", {"encode": EncodeOptions()}),
    ("plain", ".mkv", {"encode": FFV1}),
    ("open_gop", ".mp4", {}),
    ("long_gop", ".mp4", {"decode": DecodeOptions(start=0.3, frames=22)}),
    ("long_gop", ".mkv", {"decode": DecodeOptions(start=0.3, end=1.2)}),
    ("vfr", ".mp4", {}),
    ("vfr_mkv", ".mkv", {}),
    ("ntsc_film", ".mp4", {}),
    ("ntsc_film_mkv", ".mkv", {}),
    ("offset", ".mkv", {}),
    ("offset_mp4", ".mp4", {}),
    ("cut", ".mp4", {}),
    ("static", ".mp4", {}),
    ("interlaced_bff", ".mkv", {}),
    ("alpha_ffv1", ".mkv", {"encode": FFV1}),
    ("odd", ".mkv", {}),
    ("rotated_90", ".mp4", {}),
    ("languages", ".mkv", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "extension", "options"), CASES)
def test_made_by_many_is_made_in_turn(
    clips: Clips, tmp_path: Path, pool: Executor, name: str, extension: str, options: dict[str, Any]
) -> None:
    alone, shared = tmp_path / f"alone{extension}", tmp_path / f"shared{extension}"
    before = in_turn(clips(name), alone, **options)
    after = run_in_segments(job_for(clips(name), shared, **options), upscaler(), by_threads(pool), ignore)
    assert_same_file(examine(alone), examine(shared))
    assert (after.frames, after.repeated, after.damage) == (before.frames, before.repeated, before.damage)
    assert not work_of(shared).exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["long_gop", "open_gop", "vfr", "interlaced_bff", "ntsc_film_mkv"])
def test_without_loss_every_frame_is_that_of_a_single_run(
    clips: Clips, tmp_path: Path, pool: Executor, name: str
) -> None:
    alone, shared = tmp_path / "alone.mkv", tmp_path / "shared.mkv"
    run_clip(job_for(clips(name), alone, encode=FFV1), upscaler())
    run_in_segments(job_for(clips(name), shared, encode=FFV1), upscaler(), by_threads(pool), ignore)
    assert examine(shared).picture.pts == examine(alone).picture.pts
    for one, other in zip(planes(alone), planes(shared), strict=True):
        for plane, again in zip(one, other, strict=True):
            np.testing.assert_array_equal(plane, again)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen seconds of interlaced H.264 with B-frames and sound: behind the tenth second workers seek."""
    path = tmp_path_factory.mktemp("film") / "interlaced.mp4"
    weave = ("-vf", "interlace=scan=tff:lowpass=off", "-flags", "+ildct+ilme", "-x264-params", "tff=1")
    encoder = ("-c:v", "libx264", "-g", 60, "-bf", 3, *AAC)
    ffmpeg(*moving(48, 32, 800, "50"), *tone(seconds=16), "-frames:v", 400, *weave, *encoder, path)
    return path


@pytest.mark.slow
def test_other_processes_that_seek_make_the_same(film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """bwdif looks at the neighbours of a frame, also across the cut."""
    for module in (segments, video_segments):
        monkeypatch.setattr(module, "segment_length", lambda _: 50)
    alone, shared = tmp_path / "alone.mp4", tmp_path / "shared.mp4"
    in_turn(film, alone)
    with ProcessPoolExecutor(2, mp_context=_spawning()) as processes:

        def submit(job: SegmentJob, _: Listener) -> "Future[Made]":
            return processes.submit(made_alone, job)

        run_in_segments(job_for(film, shared), upscaler(), submit, ignore)
    assert_same_file(examine(alone), examine(shared))


def _spawning() -> Any:
    import multiprocessing

    return multiprocessing.get_context("spawn")


def test_a_job_can_be_pickled_and_is_small(clips: Clips, tmp_path: Path) -> None:
    for job in jobs_of(job_for(clips("long_gop"), tmp_path / "out.mp4")):
        data = pickle.dumps(job)
        assert pickle.loads(data) == job
        assert len(data) < 20_000


def jobs_of(job: VideoJob) -> list[SegmentJob]:
    """The segments that would be dispatched."""
    jobs: list[SegmentJob] = []

    def submit(one: SegmentJob, _: Listener) -> "Future[Made]":
        jobs.append(one)
        raise InterruptedRun

    with pytest.raises(InterruptedRun):
        run_in_segments(job, upscaler(), submit, ignore)
    return jobs


# Journals with gaps


class Stopping:
    """Gives segments to threads, those of `late` last, and stops when so many are done."""

    def __init__(self, pool: Executor, after: int, late: Sequence[int] = ()) -> None:
        self._pool, self._left, self._late = pool, after, late
        self._lock = threading.Lock()
        self.made: list[int] = []

    def __call__(self, job: SegmentJob, listener: Listener) -> "Future[Made]":
        with self._lock:
            if job.number in self._late:
                return Future()  # still in progress when it ends
            if not self._left:
                raise InterruptedRun
            self._left -= 1
            self.made.append(job.number)
        return self._pool.submit(make_segment, job, upscaler(), listener)


def broken_off(job: VideoJob, stopping: Stopping) -> Path:
    with pytest.raises(InterruptedRun, match="goes on from there"):
        run_in_segments(job, upscaler(), stopping, ignore, workers=lambda: 2)
    assert isinstance(job.output, Path)
    return work_of(job.output)


@pytest.mark.slow
def test_a_driver_that_was_killed_goes_on_with_what_is_recorded(clips: Clips, tmp_path: Path, pool: Executor) -> None:
    alone, shared = tmp_path / "alone.mp4", tmp_path / "shared.mp4"
    in_turn(clips("long_gop"), alone)
    work = broken_off(job_for(clips("long_gop"), shared), Stopping(pool, after=4, late=[1]))
    kept = {path.name for path in work.glob("stretch-0*")}
    again = Stopping(pool, after=100)
    notes: list[Event] = []
    run_in_segments(job_for(clips("long_gop"), shared, resume=True), upscaler(), again, notes.append)
    assert 1 in again.made
    assert kept
    assert not {int(name[len("stretch-") :][:5]) for name in kept} & set(again.made)
    assert any(isinstance(note, Note) and "going on after frame" in note.text for note in notes)
    assert_same_file(examine(alone), examine(shared))


@pytest.mark.slow
def test_a_run_in_turn_goes_on_before_the_first_gap(clips: Clips, tmp_path: Path, pool: Executor) -> None:
    alone, shared = tmp_path / "alone.mp4", tmp_path / "shared.mp4"
    in_turn(clips("long_gop"), alone)
    broken_off(job_for(clips("long_gop"), shared), Stopping(pool, after=4, late=[1]))
    notes: list[Event] = []
    run_resumable(job_for(clips("long_gop"), shared, resume=True), upscaler(), notes.append)
    assert Note(f"long_gop.mp4: going on after frame {LENGTH}.") in notes
    assert_same_file(examine(alone), examine(shared))


@pytest.mark.slow
def test_a_segment_that_is_lost_again_is_made_again(clips: Clips, tmp_path: Path, pool: Executor) -> None:
    alone, shared = tmp_path / "alone.mp4", tmp_path / "shared.mp4"
    in_turn(clips("long_gop"), alone)
    work = broken_off(job_for(clips("long_gop"), shared), Stopping(pool, after=4, late=[1]))
    next(work.glob("stretch-00000-*")).unlink()
    run_in_segments(job_for(clips("long_gop"), shared, resume=True), upscaler(), by_threads(pool), ignore)
    assert_same_file(examine(alone), examine(shared))


# What cannot be divided


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "why"),
    [
        ("raw_h264", {}, "timestamps"),
        ("transport", {}, "index"),
        ("interlaced_bff", {"decode": DecodeOptions(deinterlace="field")}, "fields"),
    ],
)
def test_what_is_left_to_one(
    clips: Clips, tmp_path: Path, pool: Executor, name: str, options: dict[str, Any], why: str
) -> None:
    job = job_for(clips(name), tmp_path / "out.mkv", **options)
    with pytest.raises(Indivisible, match=why):
        run_in_segments(job, upscaler(), by_threads(pool), ignore)
    run_resumable(replace(job, options=replace(job.options, resume=True)), upscaler(), ignore)
    assert (tmp_path / "out.mkv").exists()
    assert not work_of(tmp_path / "out.mkv").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda times: times[:-1],
        lambda times: times[1:],
        lambda times: [*times, times[-1] + 512],
        lambda times: times[:LENGTH] + times[LENGTH + 1 :],
        lambda times: sorted([*times, times[LENGTH] - 1]),
    ],
)
def test_other_frames_than_the_packets_tell_are_noticed(
    clips: Clips, tmp_path: Path, pool: Executor, change: Callable[[list[int]], list[int]]
) -> None:
    """Each time that is missing or made up is noticed by the segment it lies in; what is recorded by then is right."""
    alone, shared = tmp_path / "alone.mp4", tmp_path / "shared.mp4"
    in_turn(clips("long_gop"), alone)
    original = video_segments.expected_times
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(video_segments, "expected_times", lambda *given: change(original(*given)))
        with pytest.raises(Indivisible, match="packets"):
            run_in_segments(job_for(clips("long_gop"), shared), upscaler(), by_threads(pool), ignore)
    run_resumable(job_for(clips("long_gop"), shared, resume=True), upscaler(), ignore)
    assert_same_file(examine(alone), examine(shared))


@pytest.mark.slow
def test_a_damaged_clip_is_as_damaged_as_in_turn(clips: Clips, tmp_path: Path, pool: Executor) -> None:
    source = corrupted(clips, "long_gop", range(12, 15))
    before = in_turn(source, tmp_path / "alone.mkv")
    try:
        after = run_in_segments(job_for(source, tmp_path / "shared.mkv"), upscaler(), by_threads(pool), ignore)
    except Indivisible:
        after = run_resumable(job_for(source, tmp_path / "shared.mkv", resume=True), upscaler(), ignore)
    assert before.damage
    assert after.damage
    assert after.frames == before.frames
    pts = [examine(tmp_path / name).picture.pts for name in ("alone.mkv", "shared.mkv")]
    assert pts[0] == pts[1]


@pytest.mark.slow
@pytest.mark.parametrize("packet", [30, 370, 400, 599])
def test_damage_behind_a_seek_is_noticed(
    clips: Clips, tmp_path: Path, pool: Executor, packet: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In segments of five seconds; a decoder may pass over it, conceal it, or lose a frame."""
    for module in (segments, video_segments):
        monkeypatch.setattr(module, "segment_length", lambda _: 125)
    source = corrupted(clips, "film", range(packet, packet + 1))
    before = in_turn(source, tmp_path / "alone.mkv")
    after = run_in_segments(job_for(source, tmp_path / "shared.mkv"), upscaler(), by_threads(pool), ignore)
    assert bool(after.damage) == bool(before.damage)
    assert (after.frames, after.repeated) == (before.frames, before.repeated)
    pts = [examine(tmp_path / name).picture.pts for name in ("alone.mkv", "shared.mkv")]
    assert pts[0] == pts[1]


# Failures


def test_a_failed_segment_is_one_line_and_costs_no_other(clips: Clips, tmp_path: Path, pool: Executor) -> None:
    shared = tmp_path / "out.mp4"

    def failing(job: SegmentJob, upscaler: Upscaler, listener: Listener) -> Made:
        if job.number == 3:
            raise OutputError("the disk is full.")
        return make_segment(job, upscaler, listener)

    def submit(job: SegmentJob, listener: Listener) -> "Future[Made]":
        return pool.submit(failing, job, upscaler(), listener)

    with pytest.raises(OutputError, match=r"the disk is full\. \d+ frames are done; the same command goes on"):
        run_in_segments(job_for(clips("long_gop"), shared), upscaler(), submit, ignore, workers=lambda: 1)
    assert len(list(work_of(shared).glob("stretch-*"))) == 3
    assert not shared.exists()


def test_another_ffmpeg_is_refused(clips: Clips, tmp_path: Path) -> None:
    job = replace(jobs_of(job_for(clips("plain"), tmp_path / "out.mp4"))[0], ffmpeg="3.4")
    with pytest.raises(FFmpegError, match="Install the same"):
        make_segment(job, upscaler(), ignore)
    assert not list(job.folder.glob("stretch-*"))


def test_half_a_segment_leaves_nothing(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = jobs_of(job_for(clips("plain"), tmp_path / "out.mp4"))[0]

    def full(_: Path) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(segments, "synced", full)
    with pytest.raises(OSError, match="No space"):
        make_segment(job, upscaler(), ignore)
    assert not list(job.folder.glob("stretch-*"))


def test_progress_counts_all_segments(clips: Clips, tmp_path: Path, pool: Executor, monkeypatch: Any) -> None:
    monkeypatch.setattr("upscale_cli.jobs.video_progress.PROGRESS_SECONDS", 0.0)
    events: list[Event] = []
    job = job_for(clips("long_gop"), tmp_path / "out.mp4")
    run_in_segments(job, upscaler(), by_threads(pool), events.append)
    counts = [event.done for event in events if isinstance(event, ClipProgress)]
    assert counts == sorted(counts)
    assert counts[-1] == 40
    (finished,) = [event for event in events if isinstance(event, ClipFinished)]
    assert (finished.frames, finished.net + finished.same) == (40, 40)


def test_which_clips_are_worth_it(clips: Clips, tmp_path: Path) -> None:
    assert is_worth_dividing(job_for(clips("long_gop"), tmp_path / "out.mp4"))
    assert not is_worth_dividing(job_for(clips("plain"), tmp_path / "out.mp4"))
    assert not is_worth_dividing(job_for(clips("long_gop"), tmp_path / "out.mp4", decode=DecodeOptions(frames=LENGTH)))
    assert not is_worth_dividing(job_for(clips("long_gop"), tmp_path / "out.mp4", preview=1.0))
    assert Fraction(40, LENGTH) > video_segments.WORTH_DIVIDING
