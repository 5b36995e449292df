"""Which ffmpeg runs: found, named, and refused."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from upscale_cli.errors import FFmpegError
from upscale_cli.media.video.ffmpeg import binary
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg, last_words, pixel_formats_of

ANSWERS = {"-encoders": " V....D libx264              H.264\n", "-hwaccels": "Hardware acceleration methods:\ncuda\n"}


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes an ffmpeg of any version, as far as its answers go."""

    def make(version: str) -> None:
        first = f"ffmpeg version {version} Copyright (c) 2000-2026 the FFmpeg developers\n"

        def ask(_path: str, *words: str, name: str | None = None) -> str:
            assert name
            return ANSWERS.get(words[0], first)

        monkeypatch.setenv("UPSCALE_FFMPEG", sys.executable)
        monkeypatch.setattr(binary, "ask", ask)
        binary._examine.cache_clear()

    yield make
    binary._examine.cache_clear()


def test_the_one_that_is_found_has_what_we_need(monkeypatch: pytest.MonkeyPatch) -> None:
    ffmpeg = find_ffmpeg()
    assert {"ffv1", "rawvideo"} <= ffmpeg.encoders
    assert os.path.exists(ffmpeg.path)
    assert "yuv420p" in pixel_formats_of(ffmpeg.path, "ffv1")
    assert pixel_formats_of(ffmpeg.path, "no such encoder") == ()
    monkeypatch.setenv("UPSCALE_FFMPEG", ffmpeg.path)
    assert find_ffmpeg().version == ffmpeg.version


@pytest.mark.parametrize(
    ("version", "major"),
    [
        ("7.0.2-static", 7),
        ("n9.0.2-17-g2a571b6068-20260930", 9),
        ("6.1.1-3ubuntu5", 6),
        ("8.0", 8),
        ("N-112345-gabcdef0123", 0),
        ("git-2024-05-01-1234567", 0),
        ("2025-01-02-git-0457aaf0d3-full_build-www.gyan.dev", 0),
    ],
)
def test_versions_are_read_however_they_are_written(pretend: Callable[[str], None], version: str, major: int) -> None:
    pretend(version)
    ffmpeg = find_ffmpeg()
    assert (ffmpeg.version, ffmpeg.major) == (version, major)
    assert ffmpeg.encoders == {"libx264"}
    assert ffmpeg.hwaccels == {"cuda"}
    assert not ffmpeg.has_hdr_options


@pytest.mark.parametrize("version", ["4.4.2-0ubuntu0.22.04.1", "n5.1", "6.0"])
def test_an_old_one_is_refused(pretend: Callable[[str], None], version: str) -> None:
    pretend(version)
    with pytest.raises(FFmpegError, match=r"is too old\. Install ffmpeg 6\.1 or later"):
        find_ffmpeg()


def test_the_nearer_variable_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/no/such/ffmpeg")
    monkeypatch.setenv("UPSCALE_FFMPEG", "")
    with pytest.raises(FFmpegError, match="IMAGEIO_FFMPEG_EXE=/no/such/ffmpeg: does not exist"):
        find_ffmpeg()
    monkeypatch.setenv("UPSCALE_FFMPEG", "/neither/is/this")
    with pytest.raises(FFmpegError, match="UPSCALE_FFMPEG=/neither/is/this: does not exist"):
        find_ffmpeg()


def test_what_is_no_ffmpeg_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("UPSCALE_FFMPEG", sys.executable)
    with pytest.raises(FFmpegError, match=r"is no (working )?ffmpeg"):
        find_ffmpeg()
    monkeypatch.setenv("UPSCALE_FFMPEG", str(tmp_path))
    with pytest.raises(FFmpegError, match="is a folder"):
        find_ffmpeg()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells programs by their extension")
def test_a_file_that_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plain = tmp_path / "ffmpeg"
    plain.write_text("no program")
    monkeypatch.setenv("UPSCALE_FFMPEG", str(plain))
    with pytest.raises(FFmpegError, match="is not executable"):
        find_ffmpeg()
    plain.chmod(0o755)
    with pytest.raises(FFmpegError, match="cannot be started"):
        find_ffmpeg()


def test_a_platform_without_one_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import imageio_ffmpeg

    def none() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    for variable in ("UPSCALE_FFMPEG", "IMAGEIO_FFMPEG_EXE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", none)
    with pytest.raises(FFmpegError, match=r"ffmpeg is missing.*Install ffmpeg 6\.1 or later"):
        find_ffmpeg()


@pytest.mark.skipif(sys.platform == "win32", reason="no links without rights on Windows")
def test_a_name_on_path_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my ffmpeg").symlink_to(os.path.abspath(find_ffmpeg().path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UPSCALE_FFMPEG", "my ffmpeg")
    assert find_ffmpeg().path == shutil.which("my ffmpeg")


@pytest.mark.parametrize(
    ("reported", "reason"),
    [
        ("", ""),
        (
            "[libx265 @ 0x55d0] Image size is too small (8x8).\nConversion failed!\n",
            "libx265: Image size is too small (8x8).",
        ),
        ("[vost#0:0/libx264 @ 0x1] [enc:libx264 @ 0x2] Bad preset\nConversion failed!\n", "libx264: Bad preset"),
        ("[out#0/mp4 @ 0x1] Nothing was written into output file\n", "Nothing was written into output file"),
    ],
)
def test_the_reason_is_found_among_the_rest(reported: str, reason: str) -> None:
    assert last_words(reported) == reason
