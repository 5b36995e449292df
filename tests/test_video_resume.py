"""--resume: the same file as without it, whatever became of the runs before, and nothing else left."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clips import AAC, Clips, corrupted, ffmpeg, has_encoder, moving, tone
from tests.command import Outcome
from tests.examine import Report, assert_kept, assert_same_times, examine, planes, ticks, upscale
from upscale_cli.files import work_folder
from upscale_cli.files.work_folder import job_in
from upscale_cli.jobs import video_resume
from upscale_cli.media.video import segments
from upscale_cli.media.video.segments import Segment, decoding_times

LENGTH = 5
VPX = ("--encoder-arg", "deadline=realtime", "--encoder-arg", "cpu-used=8")
FAST = ("--preset", "ultrafast")


@pytest.fixture(autouse=True)
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "segment_length", lambda _: LENGTH)


def run(source: Path, output: Path, *options: object) -> Outcome:
    return upscale(source, "-m", "bicubic", "-o", output, *options)


def done(source: Path, output: Path, *options: object, code: int = 0) -> str:
    """Runs to the end; what was reported. Only the output is left."""
    outcome = run(source, output, *options)
    assert outcome.code == code, outcome.err
    assert output.is_file()
    assert not work_of(output).exists()
    return " ".join((outcome.err + outcome.out).split())


def work_of(output: Path) -> Path:
    return output.with_name(f"{output.name}.work")


def halted(source: Path, output: Path, *options: object, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ends a run before the join, as Ctrl-C would; its work folder."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(video_resume, "_join", interrupt)
        assert run(source, output, "--resume", *options).code == 130
    return work_of(output)


def keep_segments(work: Path, count: int) -> None:
    """As if the run had been killed when so many were recorded."""
    journal = work / "journal.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:count]), encoding="utf-8")


def assert_same_file(a: Report, b: Report) -> None:
    """Every packet, every frame, every time, every tag."""
    assert [track.parcels for track in a.tracks] == [track.parcels for track in b.tracks]
    assert [track.picture for track in a.tracks] == [track.picture for track in b.tracks]
    assert [track.metadata for track in a.tracks] == [track.metadata for track in b.tracks]
    assert (a.chapters, a.attachments, a.metadata) == (b.chapters, b.attachments, b.metadata)


# The join


JOINED: list[tuple[str, str, tuple[str, ...], str]] = [
    ("plain", ".mp4", (), "libx264"),
    ("plain", ".mp4", ("--codec", "libx265", *FAST), "libx265"),
    ("plain", ".mp4", ("--codec", "libsvtav1"), "libsvtav1"),
    ("plain", ".mp4", ("--codec", "libvpx-vp9", *VPX), "libvpx-vp9"),
    ("plain", ".ts", (), "libx264"),
    ("chapters_mp4", ".mp4", (), "libx264"),
    ("offset_mp4", ".mp4", (), "libx264"),
    ("offset", ".mkv", (), "libx264"),
    ("ntsc_film", ".mp4", (), "libx264"),
    ("vfr", ".mp4", (), "libx264"),
    ("vfr_mkv", ".mkv", (), "libx264"),
    ("transport", ".ts", (), "libx264"),
    ("srt", ".mkv", ("--codec", "ffv1"), "ffv1"),
    ("languages", ".mkv", FAST, "libx264"),
    ("cover", ".mp4", FAST, "libx264"),
    ("rotated_90", ".mp4", FAST, "libx264"),
    ("anamorphic", ".mp4", FAST, "libx264"),
    ("hdr10", ".mkv", FAST, "libx265"),
    ("hdr10_mp4", ".mp4", FAST, "libx265"),
    ("alpha_vp9", ".webm", VPX, "libvpx-vp9"),
    ("alpha_prores", ".mov", (), "prores_ks"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "extension", "options", "encoder"), JOINED)
def test_joined_segments_are_what_one_encoder_writes(
    clips: Clips, tmp_path: Path, name: str, extension: str, options: Sequence[str], encoder: str
) -> None:
    if not has_encoder(encoder):
        pytest.skip(f"this ffmpeg has no {encoder}")
    source, plain, joined = clips(name), tmp_path / f"plain{extension}", tmp_path / f"joined{extension}"
    done(source, plain, *options)
    done(source, joined, "--resume", *options)
    before, after = examine(plain), examine(joined)
    assert_kept(before, after, scale=1)
    assert_same_times(before.picture.pts, after.picture.pts, ticks(after.video) / 2)


def test_without_loss_the_pixels_are_the_same(clips: Clips, tmp_path: Path) -> None:
    options = ("--codec", "ffv1", "--start", "0.2", "--frames", 23)
    done(clips("long_gop"), tmp_path / "plain.mkv", *options)
    done(clips("long_gop"), tmp_path / "joined.mkv", "--resume", *options)
    pairs = list(zip(planes(tmp_path / "plain.mkv"), planes(tmp_path / "joined.mkv"), strict=True))
    assert len(pairs) == 23
    for before, after in pairs:
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_ffv1_in_quicktime_is_refused(clips: Clips, tmp_path: Path) -> None:
    outcome = run(clips("plain"), tmp_path / "out.mov", "--resume", "--codec", "ffv1")
    assert outcome.code == 2
    assert ".mkv" in outcome.line
    assert not list(tmp_path.iterdir())


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.lists(st.integers(0, 4), min_size=1, max_size=6),
    st.integers(-100, 1000),
)
def test_packets_are_decoded_in_order_and_in_time(steps: list[int], delays: list[int], begin: int) -> None:
    """Whatever the delays of the segments, for packets stored as late as each delay lets them be."""
    pts = [begin]
    for step in steps:
        pts.append(pts[-1] + step)
    parts = np.array_split(np.array(pts), len(delays))
    made = [
        Segment(n, "", 0, tuple(part.tolist()), min(delay, max(0, len(part) - 1)))
        for n, (part, delay) in enumerate(zip(parts, delays, strict=True))
        if len(part)
    ]
    dts = decoding_times(made)
    assert len(dts) == len(pts)
    assert all(a < b for a, b in pairwise(dts))
    assert all(decoded <= shown for decoded, shown in zip(dts, pts, strict=True))
    place = 0
    for segment in made:
        for number in range(len(segment.pts)):
            assert dts[place + number] <= segment.pts[max(0, number - segment.delay)]
        place += len(segment.pts)


# Going on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "extension", "options"),
    [
        ("plain", ".mp4", ()),
        ("long_gop", ".mp4", (*FAST, "--start", "0.3", "--frames", 22)),
        ("long_gop", ".mkv", (*FAST, "--start", "0.3", "--end", "1.2")),
        ("raw_h264", ".mkv", ("--fps", "24")),
        ("transport", ".ts", ()),
        ("interlaced_tff", ".ts", ()),
        ("interlaced_mpeg2", ".mkv", ("--deinterlace", "field")),
        ("cut", ".mp4", FAST),
        ("vfr", ".mp4", FAST),
        ("alpha_vp9", ".webm", VPX),
    ],
)
def test_it_goes_on_behind_any_segment(
    clips: Clips,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    extension: str,
    options: Sequence[str],
) -> None:
    source, whole, output = clips(name), tmp_path / f"whole{extension}", tmp_path / f"out{extension}"
    done(source, whole, "--resume", *options)
    work = halted(source, output, *options, monkeypatch=monkeypatch)
    kept = tmp_path / "kept"
    shutil.copytree(work, kept)
    count = len((kept / "journal.jsonl").read_text(encoding="utf-8").splitlines())
    for stop in {0, 1, count // 2, count - 1}:
        shutil.rmtree(work, ignore_errors=True)
        output.unlink(missing_ok=True)
        shutil.copytree(kept, work)
        keep_segments(work, stop)
        reported = done(source, output, "--resume", *options)
        assert ("going on after frame" in reported) == (stop > 0)
        assert_same_file(examine(whole), examine(output))


@pytest.mark.slow
def test_a_seek_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the first ten seconds decoding begins anew at a key frame; bwdif looks at neighbours."""
    monkeypatch.setattr(segments, "segment_length", lambda _: 100)
    source = tmp_path / "interlaced.mp4"
    weave = ("-vf", "interlace=scan=tff:lowpass=off", "-flags", "+ildct+ilme", "-x264-params", "tff=1")
    encoder = ("-c:v", "libx264", "-g", 60, "-bf", 3, *AAC)
    ffmpeg(*moving(48, 32, 800, "50"), *tone(seconds=16), "-frames:v", 400, *weave, *encoder, source)
    whole, output = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    done(source, whole, "--resume", *FAST)
    work = halted(source, output, *FAST, monkeypatch=monkeypatch)
    keep_segments(work, 3)
    done(source, output, "--resume", *FAST)
    assert_same_file(examine(whole), examine(output))


@pytest.mark.slow
def test_lost_frames_are_told_by_the_run_that_finishes(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = corrupted(clips, "long_gop_mkv", range(20, 24))
    output = tmp_path / "out.mp4"
    whole = run(source, tmp_path / "whole.mp4", "--resume", *FAST)
    halted(source, output, *FAST, monkeypatch=monkeypatch)
    outcome = run(source, output, "--resume", *FAST)
    assert outcome.code == whole.code == 1
    assert "the source is damaged" in outcome.line
    counts = [examine(path).picture.pts for path in (tmp_path / "whole.mp4", output)]
    assert counts[0] == counts[1]


# What cannot be trusted is done again


def torn_line(work: Path) -> None:
    journal = work / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-30])


def zeros_at_the_end(work: Path) -> None:
    """As some file systems leave it after a power cut."""
    keep_segments(work, 2)
    with (work / "journal.jsonl").open("ab") as stream:
        stream.write(bytes(300))


def no_newline_at_the_end(work: Path) -> None:
    keep_segments(work, 2)
    journal = work / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-1])


def strange_lines(work: Path) -> None:
    keep_segments(work, 1)
    with (work / "journal.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('[]\n{"number": 1}\n{"pts": 3}\n7\n')


def missing_segment(work: Path) -> None:
    next(work.glob("stretch-00001-*")).unlink()


def shorter_segment(work: Path) -> None:
    os.truncate(next(work.glob("stretch-00001-*")), 500)


def torn_job(work: Path) -> None:
    job = work / "job.json"
    job.write_text(job.read_text(encoding="utf-8")[:40], encoding="utf-8")


def missing_job(work: Path) -> None:
    (work / "job.json").unlink()


def strays(work: Path) -> None:
    """What an encoder leaves that outlived its run: the segment it was at, and half of a join."""
    (work / "stretch-00009-00000000.mkv").write_bytes(b"half")
    (work / "joined-00000000.mp4").write_bytes(b"half")
    (work / "job.json.new").write_bytes(b"half")


HARM = (torn_line, zeros_at_the_end, no_newline_at_the_end, strange_lines, missing_segment, shorter_segment, torn_job)


@pytest.mark.slow
@pytest.mark.parametrize("harm", [*HARM, missing_job, strays], ids=lambda harm: harm.__name__)
def test_a_harmed_work_folder_costs_time_only(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    whole, output = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    done(clips("plain"), whole, "--resume")
    harm(halted(clips("plain"), output, monkeypatch=monkeypatch))
    done(clips("plain"), output, "--resume")
    assert_same_file(examine(whole), examine(output))


def test_a_full_disk_is_one_line_and_costs_one_segment(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, output = tmp_path / "whole.mp4", tmp_path / "out.mp4"
    done(clips("plain"), whole, "--resume")
    room = iter([True] * 2)
    synced = work_folder.synced

    def until_full(path: Path) -> None:
        if path.suffix == ".mkv" and not next(room, False):
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(path)

    with monkeypatch.context() as patch:
        patch.setattr(segments, "synced", until_full)
        outcome = run(clips("plain"), output, "--resume")
    assert outcome.code == 1
    assert f"{2 * LENGTH} frames are done; the same command goes on" in outcome.line
    assert not output.exists()
    assert "going on after frame 10" in done(clips("plain"), output, "--resume")
    assert_same_file(examine(whole), examine(output))


# Which job


def test_other_options_are_named(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.mp4"
    work = halted(clips("plain"), output, "--crf", 20, monkeypatch=monkeypatch)
    before = sorted(work.iterdir())
    outcome = run(clips("plain"), output, "--resume", "--crf", 22, "--start", 0.1)
    assert outcome.code == 2
    assert "--crf (20.0 then, 22.0 now)" in outcome.line
    assert "--start (not given then, 0.1 now)" in outcome.line
    assert sorted(work.iterdir()) == before


def test_another_input_is_named(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.mp4"
    halted(clips("plain"), output, monkeypatch=monkeypatch)
    outcome = run(clips("static"), output, "--resume")
    assert outcome.code == 2
    assert "the input differs" in outcome.line


def test_hwaccel_and_reuse_may_change(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.mp4"
    halted(clips("plain"), output, monkeypatch=monkeypatch)
    assert "going on" in done(clips("plain"), output, "--resume", "--no-reuse", "--hwaccel", "auto")


@pytest.mark.parametrize("options", [("--realtime=strict",), ("--preview", 1)], ids=lambda o: str(o[0]))
def test_what_does_not_go_with_resume(clips: Clips, tmp_path: Path, options: Sequence[object]) -> None:
    outcome = upscale(clips("plain"), "-m", "bicubic", "-o", tmp_path / "out.mp4", "--resume", *options)
    assert outcome.code == 2
    assert "--resume" in outcome.line


def test_a_finished_job_says_so(clips: Clips, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    done(clips("plain"), output, "--resume")
    before = output.stat()
    assert "was finished by this job already" in done(clips("plain"), output, "--resume")
    assert output.stat() == before


def test_an_output_of_somebody_else_is_kept(clips: Clips, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    output.write_bytes(b"mine")
    outcome = run(clips("plain"), output, "--resume")
    assert outcome.code == 1
    assert "already exists" in outcome.line
    assert output.read_bytes() == b"mine"
    assert not work_of(output).exists()


def test_a_kill_between_delivery_and_clearing_up(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = tmp_path / "out.mp4"
    kept = tmp_path / "kept"
    shutil.copytree(halted(clips("plain"), output, monkeypatch=monkeypatch), kept)
    done(clips("plain"), output, "--resume")
    shutil.copytree(kept, work_of(output))
    assert "was finished" in done(clips("plain"), output, "--resume")


def test_the_work_of_another_job_outlives_a_finished_one(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    done(clips("plain"), output, "--resume")
    work = halted(clips("plain"), output, "--overwrite", "--crf", 30, monkeypatch=monkeypatch)
    assert run(clips("plain"), output, "--resume").code == 0
    assert work.is_dir()


def test_hours_of_work_are_not_cleared_by_a_run_without_resume(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mp4"
    work = halted(clips("plain"), output, monkeypatch=monkeypatch)
    outcome = run(clips("plain"), output)
    assert outcome.code == 1
    assert "--resume" in outcome.line
    assert len(list(work.glob("stretch-*"))) == 3
    done(clips("plain"), output, "--resume")


# Killed


KILLED_FRAMES = 200
KILLED_SEGMENT = 25
KILLED = ("-m", "bicubic", "-s", "4", "--preset", "slow", "--resume")
SCRIPT = """
from pathlib import Path
from upscale_cli import cli
from upscale_cli.models import store
from upscale_cli.media.video import segments
segments.segment_length = lambda rate: {length}
store.cache_folder = lambda: Path({cache!r})
cli.main()
"""


def start(source: Path, output: Path) -> "subprocess.Popen[bytes]":
    script = SCRIPT.format(cache=str(output.with_name("cache")), length=KILLED_SEGMENT)
    command = [sys.executable, "-c", script, str(source), "-o", str(output), *KILLED]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for(process: "subprocess.Popen[bytes]", there: Callable[[], Iterable[object]]) -> None:
    """Until something is there, or the process has ended."""
    while process.poll() is None and not any(True for _ in there()):
        time.sleep(0.002)


def lines(work: Path) -> list[str]:
    journal = work / "journal.jsonl"
    return journal.read_text(encoding="utf-8").splitlines() if journal.exists() else []


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One job: killed alone, killed with its children, interrupted, killed in the join; then run to its end."""
    source, whole, output = tmp_path / "lr.mp4", tmp_path / "whole.mp4", tmp_path / "out.mp4"
    ffmpeg(
        *(*moving(64, 36, KILLED_FRAMES), *tone(seconds=KILLED_FRAMES / 25), "-frames:v", KILLED_FRAMES),
        *("-c:v", "libx264", "-bf", 3, *AAC, source),
    )
    work = work_of(output)
    killing = start(source, output)
    wait_for(killing, lambda: lines(work)[0:1])
    killing.kill()  # its encoders live on, see the end of their input, and close their files
    killing.communicate()

    killing = start(source, output)
    wait_for(killing, lambda: lines(work)[3:4])
    children = psutil.Process(killing.pid).children(recursive=True) if killing.poll() is None else []
    for process in (killing, *children):
        process.kill()
    killing.communicate()

    if sys.platform != "win32":
        interrupted = start(source, output)
        wait_for(interrupted, lambda: lines(work)[5:6])
        if interrupted.poll() is None:
            children = psutil.Process(interrupted.pid).children(recursive=True)
            interrupted.send_signal(signal.SIGINT)
            reported = interrupted.communicate()[1].decode()
            assert "frames are done" in reported
            assert "the same command goes on" in reported
            assert interrupted.returncode == 130
            assert not [child for child in children if child.is_running()]

    killing = start(source, output)
    wait_for(killing, lambda: work.glob("joined-*"))
    killing.kill()
    killing.communicate()

    final = start(source, output)
    reported = final.communicate()[1].decode()
    assert final.returncode == 0, reported
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "lr.mp4", "out.mp4"]
    monkeypatch.setattr(segments, "segment_length", lambda _: KILLED_SEGMENT)
    undisturbed = upscale(source, "-o", whole, *KILLED)
    assert undisturbed.code == 0, undisturbed.err
    assert len(examine(whole).picture.pts) == KILLED_FRAMES
    assert_same_file(examine(whole), examine(output))


def test_the_record_is_plain_words(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = halted(clips("plain"), tmp_path / "out.mp4", monkeypatch=monkeypatch)
    record = json.loads((work / "job.json").read_text(encoding="utf-8"))
    assert record["--model"] == "bicubic"
    assert "--hwaccel" not in record
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_a_relative_output_with_a_colon(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clips("plain").resolve()
    monkeypatch.chdir(tmp_path)
    done(source, Path("a:b.mkv"), "--resume")


def test_a_work_folder_from_elsewhere_opens_no_other_file(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mkv"
    work = halted(clips("plain"), output, monkeypatch=monkeypatch)
    first, *rest = (work / "journal.jsonl").read_text().splitlines()
    segment = json.loads(first)
    secret = tmp_path / "secret.mkv"
    shutil.copy(work / segment["file"], secret)
    script = work / segment["file"]
    script.write_text(f"ffconcat version 1.0\nfile '{secret.name}'\n")
    segment["size"] = script.stat().st_size
    (work / "journal.jsonl").write_text("\n".join((json.dumps(segment), *rest, "")))
    outcome = run(clips("plain"), output, "--resume")
    assert outcome.code == 1
    assert "cannot be read back" in outcome.err
    segment |= {"file": str(secret), "size": secret.stat().st_size}
    (work / "journal.jsonl").write_text("\n".join((json.dumps(segment), *rest, "")))
    job = job_in(work)
    assert job is not None
    assert not segments.Journal(work, job).segments
