"""Clips that are damaged, none at all, or meant to do harm; and what else can go wrong on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.clips import X264, Clips, corrupted, ffmpeg, moving, tone, truncated
from tests.command import Outcome
from tests.conftest import REPOSITORY
from tests.examine import assert_same_packets, assert_same_times, examine, likeness, planes, ticks, upscale
from tests.waiting import PATIENCE, until

FAST = ("-m", "bicubic", "--preset", "ultrafast")
posix = pytest.mark.skipif(os.name == "nt", reason="signals and shell scripts as on Linux and macOS")


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """No process outlives the run that started it."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert not left, [process.name() for process in left]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder for one input and its output."""
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def put(place: Path, source: Path, name: str | None = None) -> Path:
    path = place / (name or source.name)
    path.write_bytes(source.read_bytes())
    return path


def names(place: Path) -> set[str]:
    return {path.name for path in place.iterdir()}


def refused(place: Path, outcome: Outcome, code: int = 1) -> str:
    """The one line; the run failed and left nothing but its input."""
    assert outcome.code == code, outcome.err + outcome.out
    assert len(names(place)) == 1, names(place)
    assert len(outcome.line) < 600
    return outcome.line


def kept(outcome: Outcome, code: int) -> str:
    """All that was reported of a run that made a file."""
    assert outcome.code == code, outcome.err + outcome.out
    assert "Traceback" not in outcome.err
    return " ".join((outcome.err + outcome.out).split())


# What is no clip


@pytest.mark.parametrize("name", ["audio_only_mp4", "empty", "prose", "noise"])
def test_what_is_no_clip_is_refused(clips: Clips, place: Path, name: str) -> None:
    source = put(place, clips(name))
    line = refused(place, upscale(source, *FAST))
    assert source.name in line
    assert {"audio_only_mp4": "no video", "empty": "empty"}.get(name, "") in line.lower()


def test_a_clip_that_is_not_there(place: Path) -> None:
    outcome = upscale(place / "nothing.mp4", *FAST)
    assert outcome.code in (1, 2)
    assert "nothing.mp4" in outcome.line
    assert not names(place)


def test_a_clip_that_is_a_folder(place: Path) -> None:
    (place / "folder.mp4").mkdir()
    outcome = upscale(place / "folder.mp4", *FAST)
    assert outcome.code in (1, 2)
    assert "Traceback" not in outcome.err


def test_one_bad_clip_among_good_ones(clips: Clips, place: Path) -> None:
    sources = [put(place, clips(name)) for name in ("plain", "empty", "one_frame")]
    outcome = upscale(*sources, *FAST)
    assert outcome.code == 1
    assert "empty.mp4" in outcome.line
    assert names(place) == {"plain.mp4", "empty.mp4", "one_frame.mp4", "plain_2x.mp4", "one_frame_2x.mp4"}


# Damage


@pytest.mark.parametrize("name", ["long_gop_mkv", "faststart", "long_gop_ts"])
def test_of_a_truncated_clip_everything_that_decodes_is_kept(clips: Clips, place: Path, name: str) -> None:
    source = put(place, truncated(clips, name, 0.6))
    outcome = upscale(source, *FAST)
    # Nothing in a transport stream tells how long it was.
    kept(outcome, 1) if name != "long_gop_ts" else kept(outcome, outcome.code)
    output = place / f"{source.stem}_2x{source.suffix}"
    assert names(place) == {source.name, output.name}
    before, after = examine(source), examine(output)
    assert after.damaged == 0
    assert abs(len(before.picture.pts) - len(after.picture.pts)) <= 1
    count = min(len(before.picture.pts), len(after.picture.pts))
    assert_same_times(before.picture.pts[:count], after.picture.pts[:count], ticks(after.video))
    assert abs(len(before.of("audio")[0].parcels) - len(after.of("audio")[0].parcels)) <= 1
    assert min(likeness(source, output)) > 29


def test_an_mp4_that_lost_its_index_is_refused(clips: Clips, place: Path) -> None:
    refused(place, upscale(put(place, truncated(clips, "long_gop", 0.6)), *FAST))


@pytest.mark.parametrize(
    ("name", "packets"),
    [
        ("plain", range(3, 6)),
        ("plain", range(11, 12)),
        ("long_gop", range(12, 15)),
        ("long_gop_mkv", range(20, 31)),
    ],
)
def test_damage_in_the_middle_moves_nothing(clips: Clips, place: Path, name: str, packets: range) -> None:
    whole = examine(clips(name))
    source = put(place, corrupted(clips, name, packets))
    text = kept(upscale(source, *FAST), 1)
    assert any(word in text for word in ("damaged", "repeated", "lost", "corrupt")), text
    output = place / f"{source.stem}_2x{source.suffix}"
    assert names(place) == {source.name, output.name}
    after = examine(output)
    assert after.damaged == 0
    assert_same_times(whole.picture.pts, after.picture.pts, ticks(after.video))
    assert_same_packets(whole, after)


def test_frames_that_cannot_be_decoded_are_repeated(clips: Clips, place: Path) -> None:
    source = put(place, corrupted(clips, "plain", range(3, 6)))
    decoded = set(examine(source).picture.pts)
    whole = examine(clips("plain")).picture.pts
    missing = [at for at, pts in enumerate(whole) if pts not in decoded]
    assert missing
    text = kept(upscale(source, "-m", "bicubic", "-s", 1, "--codec", "ffv1", "-o", place / "out.mkv"), 1)
    assert str(len(missing)) in text
    frames = [frame[0] for frame in planes(place / "out.mkv")]
    assert len(frames) == len(whole)
    for at in missing:
        assert (frames[at] == frames[at - 1]).all() or (frames[at] == frames[min(at + 1, len(frames) - 1)]).all()


@pytest.mark.parametrize("name", ["resized", "resized_ts"])
def test_a_frame_size_that_changes(clips: Clips, place: Path, name: str) -> None:
    source = put(place, clips(name))
    outcome = upscale(source, *FAST)
    text = kept(outcome, outcome.code)
    assert outcome.code in (0, 1)
    assert "128" in text, "the other size is not reported"
    after = examine(place / f"{source.stem}_2x{source.suffix}")
    assert after.picture.sizes == ((192, 128),)
    assert_same_times(examine(source).picture.pts, after.picture.pts, ticks(after.video))


# Wrong usage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--codec", "libx999"), "libx999"),
        (("--codec", "aac"), "aac"),
        (("--pix-fmt", "yuv999p"), "yuv999p"),
        (("--start", "soon"), "soon"),
        (("--start", "-1"), "start"),
        (("--end", "0"), "end"),
        (("--start", "0.3", "--end", "0.2"), "end"),
        (("--frames", "0"), "frames"),
        (("--fps", "fast"), "fast"),
        (("--fps", "0"), "fps"),
        (("--video-stream", "7"), "7"),
        (("--video-stream", "second"), "second"),
        (("--encoder-arg", "nothing"), "nothing"),
        (("--encoder-arg", "=3"), "=3"),
        (("--deinterlace", "yes"), "yes"),
        (("--crf", "900"), "900"),
        (("--codec", "libx264", "-f", "webm"), "webm"),
        (("--codec", "prores_ks", "-f", "webm"), "webm"),
    ],
)
def test_wrong_usage_is_told_in_one_line(clips: Clips, place: Path, options: tuple[str, ...], word: str) -> None:
    source = put(place, clips("plain"))
    outcome = upscale(source, "-m", "bicubic", *options)
    assert outcome.code == 2, outcome.err + outcome.out
    assert "Traceback" not in outcome.err
    assert word in outcome.err
    assert names(place) == {source.name}


@pytest.mark.parametrize(
    "options",
    [("--preset", "nonsense"), ("--encoder-arg", "x264-params=nonsense=1:qp=-5"), ("--encoder-arg", "no_such=1")],
)
def test_what_only_the_encoder_can_refuse(clips: Clips, place: Path, options: tuple[str, ...]) -> None:
    source = put(place, clips("plain"))
    outcome = upscale(source, "-m", "bicubic", *options)
    assert outcome.code in (1, 2), outcome.err + outcome.out
    assert outcome.line
    assert names(place) == {source.name}


def test_a_start_behind_the_end(clips: Clips, place: Path) -> None:
    source = put(place, clips("plain"))
    outcome = upscale(source, *FAST, "--start", "99")
    assert outcome.code in (1, 2), outcome.err + outcome.out
    assert outcome.line
    assert names(place) == {source.name}


def test_outputs_are_not_overwritten(clips: Clips, place: Path) -> None:
    source = put(place, clips("plain"))
    (place / "plain_2x.mp4").write_bytes(b"mine")
    upscale(source, *FAST)
    assert (place / "plain_2x.mp4").read_bytes() == b"mine"
    kept(upscale(source, *FAST, "--overwrite"), 0)
    assert len(examine(place / "plain_2x.mp4").picture.pts) == 12
    same = upscale(source, *FAST, "--overwrite", "-o", source)
    assert same.code != 0
    assert source.read_bytes() == clips("plain").read_bytes()


def test_events_are_json(clips: Clips, place: Path) -> None:
    outcome = upscale(put(place, clips("plain")), *FAST, "--json")
    assert outcome.code == 0, outcome.err
    events = [json.loads(line) for line in outcome.out.splitlines()]
    assert events
    assert all(isinstance(event, dict) for event in events)


def test_quiet_says_nothing(clips: Clips, place: Path) -> None:
    outcome = upscale(put(place, clips("plain")), *FAST, "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")


# ffmpeg that is missing, ends early, or finds no room


def test_ffmpeg_that_is_missing(clips: Clips, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_FFMPEG", str(place / "no" / "ffmpeg"))
    source = put(place, clips("plain"))
    outcome = upscale(source, *FAST)
    assert outcome.code in (1, 2)
    assert "ffmpeg" in outcome.line
    assert names(place) == {source.name}


def test_ffmpeg_that_is_something_else(clips: Clips, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_FFMPEG", sys.executable)
    source = put(place, clips("plain"))
    outcome = upscale(source, *FAST)
    assert outcome.code in (1, 2)
    assert outcome.line
    assert names(place) == {source.name}


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a few lines of shell before ffmpeg."""

    def write(lines: str) -> None:
        path = tmp_path / "ffmpeg"
        path.write_text(f'#!/bin/sh\n{lines}\nexec "{get_ffmpeg_exe()}" "$@"\n')
        path.chmod(0o755)
        monkeypatch.setenv("UPSCALE_FFMPEG", str(path))

    return write


@pytest.mark.slow
@posix
@pytest.mark.parametrize("lines", ["ulimit -f 64", "trap '' XFSZ; ulimit -f 64"], ids=["killed", "no room"])
def test_an_encoder_that_ends_in_mid_way(clips: Clips, place: Path, script: Callable[[str], None], lines: str) -> None:
    """No file may grow beyond 32 KiB (64 on some systems), so the encoder dies when its output does."""
    source = put(place, clips("long_gop"))
    script(lines)
    outcome = upscale(source, "-m", "bicubic", "-s", 4, "--codec", "ffv1", "-o", place / "out.mkv")
    assert outcome.code == 1, outcome.err
    assert "out.mkv" in outcome.line
    assert "out.mkv" not in names(place)


@posix
def test_a_decoder_that_ends_in_mid_way(clips: Clips, place: Path, script: Callable[[str], None]) -> None:
    """What writes to standard output is a decoder; it is cut off after some frames, and its code says so."""
    source = put(place, clips("long_gop"))
    script(f'case "$*" in *pipe:1*) "{get_ffmpeg_exe()}" "$@" | head -c 100000; exit 1;; esac')
    text = kept(upscale(source, *FAST), 1)
    assert source.name in text
    for output in names(place) - {source.name}:
        file = place / output
        if file.is_dir():  # what was done when the decoder broke down
            assert output in text
            file /= output.removesuffix(".work")
        assert 0 < len(examine(file).picture.pts) <= 40


@pytest.mark.slow
@posix
@pytest.mark.parametrize("who", ["python", "group"])
def test_ctrl_c(place: Path, who: str) -> None:
    source = place / "long.mp4"
    ffmpeg(*moving(320, 180, 1500), *tone(seconds=60), "-frames:v", 1500, *X264, source)
    command = [sys.executable, "-m", "upscale_cli", str(source), "-m", "espcn", "--device", "cpu"]
    job = subprocess.Popen(
        command, cwd=REPOSITORY, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children = _wait_for_children(job)
    if who == "group":
        os.killpg(job.pid, signal.SIGINT)
    else:
        job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=PATIENCE)
    assert job.returncode == 130, err
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if "interrupted" in line.lower()]) == 1, err
    psutil.wait_procs(children, timeout=60)
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    for name in names(place) - {"long.mp4"}:
        assert name in err, f"{name} is left and not named"


def _wait_for_children(job: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Both ffmpegs of the job, once it has done some work."""
    children: list[psutil.Process] = []

    def are_there() -> bool:
        children[:] = psutil.Process(job.pid).children(recursive=True)
        return len(children) >= 2 and all(child.is_running() for child in children)

    until(are_there, of=job)
    time.sleep(1)
    return children


# What is meant to do harm


def disguises(secret: Path) -> dict[str, str]:
    return {
        "concat.mp4": f"ffconcat version 1.0\nfile '{secret.name}'\n",
        "playlist.mp4": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret.name}\n#EXT-X-ENDLIST\n",
        "absolute.mkv": f"ffconcat version 1.0\nfile 'file:{secret}'\n",
        "session.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "manifest.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        f'<AdaptationSet mimeType="video/mp4"><Representation id="0" bandwidth="1"><BaseURL>{secret.name}</BaseURL>'
        "</Representation></AdaptationSet></Period></MPD>",
        "filter.mp4": "movie=" + secret.name,
    }


@pytest.mark.parametrize(
    "name", ["concat.mp4", "playlist.mp4", "absolute.mkv", "session.mp4", "manifest.mp4", "filter.mp4"]
)
def test_no_clip_can_make_ffmpeg_read_another_file(clips: Clips, place: Path, name: str) -> None:
    secret = put(place, clips("long_gop_mkv"), "secret.ts")
    source = place / name
    source.write_text(disguises(secret)[name])
    outcome = upscale(source, *FAST)
    assert outcome.code == 1, outcome.err
    assert name in outcome.line
    assert names(place) == {"secret.ts", name}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "with space.mp4",
        "-leading.mp4",
        "100%.mp4",
        "%03d.mp4",
        "it's.mp4",
        "[a];(b),{c}&d.mp4",
        "{stem}.mp4",
        "Ünï 日本語 🎬.mp4",
        *([] if os.name == "nt" else ["a:b.mp4", "http:x.mp4", 'quo"te.mp4', "line\nbreak.mp4", "back\\slash.mp4"]),
    ],
)
def test_names_are_names(clips: Clips, place: Path, name: str) -> None:
    source = put(place, clips("one_frame"), name)
    text = kept(upscale(source, *FAST), 0)
    assert names(place) == {name, f"{name[:-4]}_2x.mp4"}, text
    assert len(examine(place / f"{name[:-4]}_2x.mp4").picture.pts) == 1


@pytest.mark.parametrize("name", ["-leading.mp4", "-i.mp4", *([] if os.name == "nt" else ["pipe:0.mp4", "a:b.mp4"])])
def test_names_without_a_folder(clips: Clips, place: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put(place, clips("one_frame"), name)
    monkeypatch.chdir(place)
    kept(upscale(*FAST, "--", name), 0)
    assert names(place) == {name, f"{name[:-4]}_2x.mp4"}


def test_a_clip_by_another_name(clips: Clips, place: Path) -> None:
    """Matroska named .mp4: what it holds decides how it is read, and the output is named by what it is."""
    source = put(place, clips("chapters"), "named.mp4")
    kept(upscale(source, *FAST), 0)
    (output,) = names(place) - {"named.mp4"}
    container = examine(place / output).format
    assert container.startswith({"named_2x.mp4": "mov", "named_2x.mkv": "matroska"}[output])


def test_the_log_is_understood_in_colour(clips: Clips, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AV_LOG_FORCE_COLOR", "1")
    source = put(place, corrupted(clips, "plain", range(3, 6)))
    outcome = upscale(source, *FAST, "-o", place / "out.mkv")
    assert outcome.code == 1
    assert "the source is damaged" in " ".join((outcome.err + outcome.out).split())


def test_frames_that_grow_beyond_the_limit_are_not_decoded(place: Path) -> None:
    parts = []
    for size in ("64x48", "640x480"):
        part = place.parent / f"{size}.h264"
        ffmpeg("-f", "lavfi", "-i", f"testsrc2=size={size}:rate=25:duration=0.4", *X264, part)
        parts.append(part.read_bytes())
    source = place / "growing.h264"
    source.write_bytes(b"".join(parts))
    outcome = upscale(source, *FAST, "-o", place / "out.mkv", "--max-pixels", "10000")
    assert outcome.code == 1
    assert "the source is damaged" in " ".join((outcome.err + outcome.out).split())
