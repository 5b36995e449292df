"""Subtitles that are not UTF-8, into a container that needs them converted: no line is lost, none ends the run."""

from pathlib import Path

import av
import pytest

from tests.clips import X264, Clips, ffmpeg, moving
from tests.examine import upscale

WESTERN, CYRILLIC = "Zürich, café".encode("cp1252"), "Привет, мир!".encode("cp1251")
ASCII, UTF_8 = b"plain words.", "Zürich ok.".encode().ljust(12)


@pytest.fixture(scope="module")
def source(clips: Clips) -> bytes:
    """A Matroska file with two lines of twelve bytes, to be overwritten."""
    text = "1\n00:00:00,000 --> 00:00:00,200\n1-AAAAAAAAAA\n\n2\n00:00:00,200 --> 00:00:00,400\n2-AAAAAAAAAA\n"
    lines, path = clips.text("lines.srt", text), clips.folder / "lines.mkv"
    ffmpeg(*moving(), "-i", lines, "-map", 0, "-map", 1, "-t", "0.48", *X264, "-c:s", "srt", path)
    return path.read_bytes()


def lines_of(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(container.streams.subtitles[0])]
    return [packet[2:] for packet in packets if len(packet) > 2]  # behind the length, in MP4


@pytest.mark.parametrize(
    ("first", "second", "expected", "told"),
    [
        (ASCII, UTF_8, [ASCII, UTF_8.rstrip()], ""),
        (ASCII, WESTERN, [ASCII, "Zürich, café".encode()], "read as Windows-1252 and written as UTF-8"),
        (ASCII, CYRILLIC, [ASCII, CYRILLIC], "its bytes are kept"),
        (UTF_8, WESTERN, [UTF_8.rstrip(), WESTERN], "its bytes are kept"),
        (CYRILLIC, CYRILLIC, [CYRILLIC, CYRILLIC], "its bytes are kept"),
    ],
)
def test_every_line_arrives(
    source: bytes, tmp_path: Path, first: bytes, second: bytes, expected: list[bytes], told: str
) -> None:
    (tmp_path / "in.mkv").write_bytes(source.replace(b"1-AAAAAAAAAA", first).replace(b"2-AAAAAAAAAA", second))
    outcome = upscale(tmp_path / "in.mkv", "-o", tmp_path / "out.mp4", "-m", "bicubic", "--preset", "ultrafast")
    assert outcome.code == 0, outcome.err
    assert [line.rstrip() for line in lines_of(tmp_path / "out.mp4")] == expected
    words = " ".join((outcome.out + outcome.err).split())
    assert ("stream 1 (subtitle) is not UTF-8" in words) == bool(told)
    assert told in words
