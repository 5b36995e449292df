"""Tags that are not UTF-8: read by a guess that is told, or copied byte for byte; a clip is never lost for them."""

from pathlib import Path
from typing import Any

import av
import pytest

from tests.clips import Clips, ffmpeg
from tests.examine import upscale
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.text_tags import guess, is_utf8, readable

FAST = ("-s", 2, "-m", "bicubic", "--preset", "ultrafast")
PLACEHOLDER = b"Zuericht"
GERMAN = "Zürich é".encode("latin-1")
RUSSIAN = "Приветы!".encode("cp1251")


def escaped(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def with_title(clips: Clips, path: Path, title: bytes, where: str = "-metadata") -> Path:
    """A clip whose title, or that of its sound or first chapter, has these bytes."""
    assert len(title) == len(PLACEHOLDER)
    coding = ("-c:v", "mpeg4", "-c:a", "copy") if path.suffix == ".avi" else ("-c", "copy")
    ffmpeg("-i", clips("chapters"), "-map", 0, *coding, where, f"title={PLACEHOLDER.decode()}", path)
    data = path.read_bytes()
    assert PLACEHOLDER in data
    path.write_bytes(data.replace(PLACEHOLDER, title))
    return path


def titles(path: Path) -> dict[str, bytes]:
    with av.open(str(path), metadata_errors="surrogateescape") as container:
        chapters: list[Any] = container.chapters()
        found: dict[str, Any] = {
            "-metadata": container.metadata,
            "-metadata:s:1": container.streams[1].metadata,
            "-metadata:c:0": chapters[0]["metadata"] if chapters else {},
        }
        return {where: tags.get("title", "").encode("utf-8", "surrogateescape") for where, tags in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("suffix", "where"),
    [
        *((".mkv", where) for where in ("-metadata", "-metadata:s:1", "-metadata:c:0")),
        (".mp4", "-metadata"),
        (".avi", "-metadata"),
    ],
)
def test_a_western_title_becomes_utf_8_and_is_told(clips: Clips, tmp_path: Path, suffix: str, where: str) -> None:
    source = with_title(clips, tmp_path / f"in{suffix}", GERMAN, where)
    assert titles(source)[where] == GERMAN
    output = tmp_path / ("out.mkv" if suffix == ".avi" else f"out{suffix}")
    outcome = upscale(source, "-o", output, *FAST)
    assert outcome.code == 0, outcome.err
    assert "tags that are not UTF-8 (title): read as Windows-1252" in " ".join(outcome.err.split())
    assert titles(output)[where].decode() == "Zürich é"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_a_title_in_another_alphabet_keeps_its_bytes(clips: Clips, tmp_path: Path, suffix: str) -> None:
    source = with_title(clips, tmp_path / f"in{suffix}", RUSSIAN)
    outcome = upscale(source, "-o", tmp_path / f"out{suffix}", *FAST)
    assert outcome.code == 0, outcome.err
    assert "tags that are not UTF-8 (title): their bytes are kept" in " ".join(outcome.err.split())
    assert titles(tmp_path / f"out{suffix}")["-metadata"] == RUSSIAN


def test_what_is_probed_can_be_shown(clips: Clips, tmp_path: Path) -> None:
    for title in (GERMAN, RUSSIAN):
        clip = probe(with_title(clips, tmp_path / "in.mkv", title))
        assert clip.metadata["title"].isprintable()
        clip.metadata["title"].encode()


@pytest.mark.parametrize(
    "text", ["Zürich", "façade", "naïve – “quoted”", "Ærø", "Straße 5 £", "déjà vu…", "Čeština"[1:]]
)
def test_western_texts_are_guessed(text: str) -> None:
    assert guess(escaped(text.encode("cp1252"))) == text


@pytest.mark.parametrize(
    "data",
    [
        *("Привет".encode(encoding) for encoding in ("cp1251", "koi8-r", "cp866")),
        "日本語の題名".encode("shift-jis"),
        "中文标题".encode("gbk"),
        "Ελληνικά".encode("cp1253"),
        b"\x81\x8d\x8f",
        bytes(range(128, 256)),
    ],
)
def test_other_alphabets_are_not_taken_for_western(data: bytes) -> None:
    assert guess(escaped(data)) is None
    assert "\ufffd" in readable(escaped(data))


def test_utf_8_stays_as_it_is() -> None:
    for text in ("", "plain", "Grüße 世界 🎬", "Привет"):
        assert is_utf8(text)
        assert readable(escaped(text.encode())) == text
