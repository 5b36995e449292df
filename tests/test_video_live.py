"""Clips that are no files: from a pipe, to a pipe, to a player, from and to a network address."""

import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.clips import AAC, X264, Clips, ffmpeg, moving, tone
from tests.command import Piped
from tests.conftest import REPOSITORY
from tests.examine import assert_kept, examine, upscale
from tests.waiting import PATIENCE, until, until_listening
from upscale_cli.media.video import tee as once_module
from upscale_cli.media.video.addresses import is_address
from upscale_cli.media.video.live import container_of
from upscale_cli.media.video.player import player_arguments
from upscale_cli.media.video.tee import Feed, SecondInput, Tee

FAST = ("-m", "bicubic", "--preset", "ultrafast", "--device", "cpu")
UPSCALE = (sys.executable, "-m", "upscale_cli")
posix = pytest.mark.skipif(os.name == "nt", reason="signals and shell scripts as on Linux and macOS")


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """No process outlives the run that started it."""
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    yield
    left = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    _, left = psutil.wait_procs(left, timeout=60)
    assert not left, [process.cmdline() for process in left]


@pytest.fixture
def port() -> int:
    """A free port of this machine."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return int(server.getsockname()[1])
    except OSError:
        pytest.skip("sockets are not allowed here")


Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture
def run(piped: Piped, monkeypatch: pytest.MonkeyPatch) -> Run:
    """`upscale ...`, fed through a pipe; with the exit code that it should have."""

    def run(
        *arguments: object, source: bytes | None = None, code: int = 0, env: dict[str, str] | None = None
    ) -> "subprocess.CompletedProcess[bytes]":
        with monkeypatch.context() as patch:
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            return _checked(piped(*arguments, source=source), code)

    return run


def _checked(done: "subprocess.CompletedProcess[bytes]", code: int) -> "subprocess.CompletedProcess[bytes]":
    assert done.returncode == code, done.stderr.decode(errors="replace")
    assert b"Traceback" not in done.stderr
    return done


# Standard input


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["long_gop_ts", "faststart", "long_gop_mkv", "srt", "ass_and_font", "chapters", "languages", "cover_mkv", "opus",
     "hdr10", "alpha_vp9", "offset", "vfr_mkv"],
)  # fmt: skip
def test_a_clip_through_a_pipe_is_what_it_is_from_a_file(run: Run, clips: Clips, tmp_path: Path, name: str) -> None:
    source = clips(name)
    output = tmp_path / f"out{source.suffix}"
    fast = ("-m", "bicubic", "--encoder-arg", "cpu-used=8") if name == "alpha_vp9" else FAST
    run("-", "-o", output, *fast, source=source.read_bytes())
    assert_kept(examine(source), examine(output))


def test_a_raw_stream_through_a_pipe(run: Run, clips: Clips, tmp_path: Path) -> None:
    run("-", "-o", tmp_path / "out.mkv", *FAST, source=clips("raw_h264").read_bytes())
    assert len(examine(tmp_path / "out.mkv").of("video")[0].parcels) == 12


@pytest.mark.slow
def test_from_pipe_to_pipe(clips: Clips, tmp_path: Path) -> None:
    """In a process of its own, as all of these are for their users."""
    command, source = [*UPSCALE, "-", *FAST], clips("long_gop_mkv").read_bytes()
    done = subprocess.run(command, input=source, capture_output=True, timeout=PATIENCE, cwd=REPOSITORY, check=False)
    _checked(done, 0)
    (tmp_path / "out.mkv").write_bytes(done.stdout)
    assert_kept(examine(clips("long_gop_mkv")), examine(tmp_path / "out.mkv"))


def test_the_second_way_into_the_encoder_may_be_a_socket(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    """As on Windows, where descriptors are not inherited."""
    del port  # only to be skipped where there are no sockets
    monkeypatch.setattr("upscale_cli.media.video.writer.SecondInput", partial(SecondInput, by_socket=True))
    theirs, ours = os.pipe()
    feeder = threading.Thread(target=_write, args=(ours, clips("languages").read_bytes()))
    feeder.start()
    with os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        outcome = upscale("-", "-o", tmp_path / "out.mkv", *FAST)
    feeder.join()
    assert outcome.code == 0, outcome.err
    assert_kept(examine(clips("languages")), examine(tmp_path / "out.mkv"))


def _write(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)


def test_a_pipe_that_cannot_be_read_on_is_refused(run: Run, clips: Clips, tmp_path: Path) -> None:
    done = run("-", "-o", tmp_path / "out.mp4", *FAST, source=clips("long_gop").read_bytes(), code=1)
    line = done.stderr.decode()
    assert "index at its end" in line
    assert "faststart" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell which file was redirected")
def test_a_redirected_file_is_read_as_the_file_it_is(clips: Clips, tmp_path: Path) -> None:
    with clips("long_gop").open("rb") as stdin:
        command = [*UPSCALE, "-", "-o", str(tmp_path / "out.mp4"), *FAST]
        done = subprocess.run(command, stdin=stdin, cwd=REPOSITORY, capture_output=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert_kept(examine(clips("long_gop")), examine(tmp_path / "out.mp4"))


def test_a_torn_clip_through_a_pipe_keeps_what_decodes(run: Run, clips: Clips, tmp_path: Path) -> None:
    data = clips("long_gop_mkv").read_bytes()
    run("-", "-o", tmp_path / "out.mkv", *FAST, source=data[: len(data) // 2], code=1)
    assert examine(tmp_path / "out.mkv").of("video")[0].parcels


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--frames", 7), ("--start", 0.4, "--end", 0.8), ("--end", 0.4)])
def test_a_part_of_a_pipe(run: Run, clips: Clips, tmp_path: Path, options: Sequence[object]) -> None:
    run("-", "-o", tmp_path / "pipe.mkv", *options, *FAST, source=clips("long_gop_mkv").read_bytes())
    run(clips("long_gop_mkv"), "-o", tmp_path / "file.mkv", *options, *FAST)
    pipe, file = examine(tmp_path / "pipe.mkv"), examine(tmp_path / "file.mkv")
    (a,), (b,) = pipe.of("video"), file.of("video")
    assert [parcel.pts for parcel in a.parcels] == [parcel.pts for parcel in b.parcels]
    assert pipe.of("audio")[0].parcels


# Standard output


def test_standard_output_holds_all_that_a_file_would(run: Run, clips: Clips, tmp_path: Path) -> None:
    for name in ("chapters", "ass_and_font", "languages"):
        done = run(clips(name), "-o", "-", "--json", *FAST)
        (tmp_path / f"{name}.mkv").write_bytes(done.stdout)
        assert_kept(examine(clips(name)), examine(tmp_path / f"{name}.mkv"))
        assert [json.loads(line)["event"] for line in done.stderr.splitlines()][-1] == "clip_finished"


@pytest.mark.slow
def test_a_reader_that_has_enough_ends_it(clips: Clips) -> None:
    command = [*UPSCALE, str(clips("long_gop")), "-o", "-", "-s", "8", "--codec", "ffv1", *FAST[:2]]
    job = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert job.stdout is not None
    assert job.stderr is not None
    assert job.stdout.read(20_000)
    job.stdout.close()
    err = job.stderr.read().decode()
    job.stderr.close()
    assert job.wait(PATIENCE) == 1
    assert len([line for line in err.splitlines() if line.startswith("error")]) == 1, err


def test_strict_real_time_counts_every_frame(run: Run, clips: Clips, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    done = run(clips("long_gop"), "-o", output, "-m", "espcn", "--device", "cpu", "--realtime=strict", "--json")
    last = json.loads(done.stdout.splitlines()[-1])
    assert last["frames"] == last["net"] + last["fallback"] + last["same"] == 40
    assert {"fps", "realtime", "slowest", "advice"} <= set(last)


# A player


def player(folder: Path, body: str) -> dict[str, str]:
    """An environment in which `mpv` is this script."""
    folder.mkdir(exist_ok=True)
    script = folder / "mpv"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', '')}"}


@posix
def test_a_player_is_shown_everything(run: Run, clips: Clips, tmp_path: Path) -> None:
    env = player(tmp_path / "bin", f'cat > "{tmp_path}/shown.mkv"; echo "$@" > "{tmp_path}/arguments"')
    run(clips("languages"), "--play", "-m", "bicubic", "--device", "cpu", env=env)
    shown = examine(tmp_path / "shown.mkv")
    assert len(shown.of("video")[0].parcels) == 12
    assert len(shown.of("audio")) == 3
    assert "languages.mkv" in (tmp_path / "arguments").read_text()


@posix
def test_closing_the_player_is_no_error(run: Run, clips: Clips, tmp_path: Path) -> None:
    env = player(tmp_path / "bin", "head -c 3000 > /dev/null; exit 0")
    done = run(clips("long_gop"), "--play", "-m", "bicubic", "-s", 6, "--device", "cpu", env=env)
    assert b"the player was closed" in done.stderr


@posix
def test_a_player_that_fails_is_named_with_its_reason(run: Run, clips: Clips, tmp_path: Path) -> None:
    env = player(tmp_path / "bin", "echo 'no display' >&2; exit 3")
    done = run(clips("long_gop"), "--play", "-m", "bicubic", "-s", 6, "--device", "cpu", env=env, code=1)
    assert b"no display" in done.stderr


def test_without_a_player(run: Run, clips: Clips, tmp_path: Path) -> None:
    done = run(clips("plain"), "--play", "-m", "bicubic", env={"PATH": str(tmp_path)}, code=2)
    assert b"mpv" in done.stderr


@pytest.mark.slow
@posix
def test_ctrl_c_closes_the_player(tmp_path: Path) -> None:
    env = {**os.environ, **player(tmp_path / "bin", f'touch "{tmp_path}/began"; cat > /dev/null')}
    source = tmp_path / "long.mp4"
    ffmpeg(*moving(frames=500), "-frames:v", 500, *X264, source)
    command = [*UPSCALE, str(source), "--play", "-m", "bicubic", "--device", "cpu"]
    job = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, env=env, start_new_session=True)
    until((tmp_path / "began").exists, of=job)
    time.sleep(1)
    job.send_signal(signal.SIGINT)
    _, err = job.communicate(timeout=PATIENCE)
    assert job.returncode == 130, err
    assert b"Traceback" not in err


def test_players_are_told_the_title_and_take_no_option_from_it() -> None:
    for path in ("/usr/bin/mpv", "ffplay"):
        arguments = player_arguments(path, "--script=evil.lua")
        assert "--script=evil.lua" not in arguments[1:] or arguments[arguments.index("--script=evil.lua") - 1] == (
            "-window_title"
        )


# Addresses


@pytest.fixture
def live_source(tmp_path: Path) -> Path:
    """Two seconds, as a broadcast has them."""
    path = tmp_path / "source.ts"
    ffmpeg(*moving(frames=50), *tone(seconds=2), "-frames:v", 50, *X264, "-g", 10, *AAC, path)
    return path


@contextmanager
def sender(source: Path, address: str, *, loops: int = 0) -> "Iterator[subprocess.Popen[bytes]]":
    """ffmpeg that sends a clip at the pace it plays at; it ends with the test, however that ends."""
    command = [get_ffmpeg_exe(), "-v", "error", "-nostdin", "-re", "-stream_loop", str(loops), "-i", str(source)]
    with subprocess.Popen([*command, "-c", "copy", "-f", "mpegts", address], stderr=subprocess.DEVNULL) as sending:
        try:
            yield sending
        finally:
            sending.kill()


@pytest.mark.slow
def test_a_live_stream_into_a_file(run: Run, tmp_path: Path, live_source: Path, port: int) -> None:
    address = f"tcp://127.0.0.1:{port}"
    with sender(live_source, f"{address}?listen=1") as sending:
        until_listening(sending, port)
        done = run("--live", address, "-o", tmp_path / "out.mkv", "-m", "bicubic", "--device", "cpu", "--json")
        assert sending.wait(PATIENCE) == 0
    report = examine(tmp_path / "out.mkv")
    assert len(report.of("video")[0].parcels) == 50
    assert report.of("audio")[0].parcels
    assert json.loads(done.stdout.splitlines()[-1])["frames"] == 50


@pytest.mark.slow
@posix
def test_ctrl_c_is_how_a_live_recording_ends(tmp_path: Path, live_source: Path, port: int) -> None:
    address = f"udp://127.0.0.1:{port}"
    output = tmp_path / "out.mp4"
    with sender(live_source, f"{address}?pkt_size=1316", loops=-1) as sending:
        command = [*UPSCALE, "--live", address, "-o", str(output), "-m", "bicubic", "--device", "cpu", "--json"]
        job = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        work = output.with_name("out.mp4.work") / "out.mp4"
        assert job.stdout is not None
        written = 0
        while written < 20:
            event = json.loads(job.stdout.readline())
            written = event["done"] if event["event"] == "clip_progress" else 0
        until(work.exists, of=job)  # frames may wait in the pipe before the encoder has opened its file
        job.send_signal(signal.SIGINT)
        out, err = job.communicate(timeout=PATIENCE)
        sending.kill()
    assert b"ended by Ctrl-C" in out, err
    assert b"Traceback" not in err
    assert not work.parent.exists()
    report = examine(output)
    assert report.damaged == 0
    assert report.of("video")[0].parcels
    assert report.of("audio")[0].parcels


@pytest.mark.slow
def test_a_file_sent_to_an_address(run: Run, clips: Clips, tmp_path: Path, port: int) -> None:
    address = f"tcp://127.0.0.1:{port}"
    received = tmp_path / "received.ts"
    command = [get_ffmpeg_exe(), "-v", "error", "-nostdin", "-i", f"{address}?listen=1", "-c", "copy", str(received)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as receiving:
        until_listening(receiving, port)
        run("--live", clips("long_gop"), "-o", address, "-m", "bicubic", "--device", "cpu")
        assert receiving.wait(PATIENCE) == 0
    report = examine(received)
    assert len(report.of("video")[0].parcels) == 40
    assert report.of("audio")[0].parcels


def test_no_server_at_an_address(run: Run, tmp_path: Path, port: int) -> None:
    done = run("--live", f"tcp://127.0.0.1:{port}", "-o", tmp_path / "out.mkv", "-m", "bicubic", code=1)
    assert f"tcp://127.0.0.1:{port}" in done.stderr.decode()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("udp://127.0.0.1:9", "-o", "x.mkv"), "--live"),
        (("--live", "udp://127.0.0.1:9"), "-o a file"),
        (("--live", "clip.mp4", "-o", "x.mkv"), "neither"),
        (("--live", "clip.mp4", "-o", "gopher://x/"), "gopher"),
        (("--live", "udp://127.0.0.1:9", "udp://127.0.0.1:8", "-o", "x/"), "one input"),
        (("clip.mp4", "--play", "-o", "x.mkv"), "exclude"),
    ],
)
def test_what_makes_no_sense_is_refused(clips: Clips, arguments: Sequence[str], says: str) -> None:
    given = [str(clips("plain")) if argument == "clip.mp4" else argument for argument in arguments]
    outcome = upscale(*given)
    assert outcome.code == 2, outcome.err
    assert says in outcome.line


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *(("udp://127.0.0.1:1", True), ("rtsp://u:p@host/x", True), ("v4l2:/dev/video0", True), ("/dev/video1", True)),
        *(("clip.mp4", False), ("C:\\clip.mp4", False), ("C:/clip.mp4", False), ("a:b.mp4", False), ("-", False)),
    ],
)
def test_addresses_are_told_from_files(text: str, is_one: bool) -> None:
    assert is_address(text) == is_one


def test_what_is_sent_depends_on_the_scheme() -> None:
    muxers = {scheme: container_of(f"{scheme}://host/x").muxer for scheme in ("udp", "srt", "tcp", "rtsp", "rtmp")}
    assert muxers == {"udp": "mpegts", "srt": "mpegts", "tcp": "mpegts", "rtsp": "rtsp", "rtmp": "flv"}


# Bytes that come once


def source_of(data: bytes, step: int = 1000) -> Tee:
    stream = io.BytesIO(data)
    return Tee("test", lambda: stream.read(step))


def test_all_readers_get_every_byte_at_their_own_pace() -> None:
    data = bytes(range(256)) * 2000
    with source_of(data) as tee:
        fast, slow, head = tee.tap(), tee.tap(), tee.tap(limit=5000)
        tee.begin()
        assert b"".join(iter(partial(fast.read, 777), b"")) == data
        assert b"".join(iter(partial(head.read, 512), b"")) == data[:5000]
        head.close()
        assert b"".join(iter(slow.read, b"")) == data


def test_what_all_have_passed_is_let_go() -> None:
    with source_of(bytes(1_000_000)) as tee:
        a, b = tee.tap(), tee.tap()
        tee.begin()
        for _ in range(1000):
            assert len(a.read(1000)) == len(b.read(1000)) == 1000
        assert len(tee.head()) <= 2000


def test_readers_too_far_apart_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once_module, "MOST_BYTES", 10_000)
    with source_of(bytes(100_000)) as tee:
        fast, _ = tee.tap(), tee.tap()
        tee.begin()
        assert len(b"".join(iter(fast.read, b""))) < 20_000
        assert tee.error is not None
        assert "apart" in str(tee.error)


def test_a_source_that_is_cut_still_gives_what_was_read() -> None:
    with source_of(bytes(100_000)) as tee:
        first, second = tee.tap(), tee.tap()
        tee.begin()
        for _ in range(10):
            first.read(1000)
        tee.cut()
        assert 10_000 <= len(b"".join(iter(second.read, b""))) <= 12_000


def test_closing_frees_waiting_threads() -> None:
    silent = threading.Event()

    def read() -> bytes:
        silent.wait(PATIENCE)
        return b""

    tee = Tee("test", read)
    tap = tee.tap()
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(tap.read()))
    reader.start()
    tee.close()
    reader.join(10)
    assert got == [b""]
    silent.set()


@pytest.mark.slow
def test_a_feed_ends_with_its_process() -> None:
    theirs, ours = os.pipe()
    os.close(theirs)
    with source_of(bytes(10_000_000)) as tee:
        tap = tee.tap()
        tee.begin()
        feed = Feed(tap, os.fdopen(ours, "wb", buffering=0))
        feed.close()
        assert tap.is_closed
