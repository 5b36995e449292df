"""What single frames carry besides the picture: closed captions, HDR10+, Dolby Vision. Judged with PyAV and ffmpeg."""

import struct
from pathlib import Path

import pytest

from tests.clips import Clips
from tests.examine import upscale
from upscale_cli.media.video.probe import probe


def with_dolby_vision(source: Path, target: Path, profile: int, compatibility: int) -> Path:
    """An MP4 whose video declares Dolby Vision: a configuration box more in its sample entry.

    Source: Dolby Vision streams within the ISO base media file format 2.1.2, 3.2. The index has to come last.
    """
    data = source.read_bytes()
    bits = profile << 9 | 1 << 3 | 0b101  # level 1, RPU and base layer
    record = struct.pack(">BBHB19x", 1, 0, bits, compatibility << 4)
    box = struct.pack(">I4s", 8 + len(record), b"dvcC" if profile < 8 else b"dvvC") + record
    entry = data.index(b"hvc1", data.index(b"stsd")) - 4
    (size,) = struct.unpack_from(">I", data, entry)
    data = data[: entry + size] + box + data[entry + size :]
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"):
        place = data.index(name, data.index(b"moov")) - 4
        (size,) = struct.unpack_from(">I", data, place)
        data = data[:place] + struct.pack(">I", size + len(box)) + data[place + 4 :]
    target.write_bytes(data)
    return target


@pytest.fixture
def hevc(clips: Clips) -> Path:
    return clips("open_gop")


def test_dolby_vision_that_no_colour_tag_can_say_is_refused(hevc: Path, tmp_path: Path) -> None:
    source = with_dolby_vision(hevc, tmp_path / "p5.mp4", profile=5, compatibility=0)
    assert probe(source).video[0].dolby_vision_profile == 5
    outcome = upscale(source, "-m", "bicubic", "-o", tmp_path / "out.mp4")
    assert outcome.code == 1
    assert "profile 5" in outcome.err
    assert "HDR10" in outcome.err
    assert not (tmp_path / "out.mp4").exists()


def test_of_other_dolby_vision_the_base_layer_stays(hevc: Path, tmp_path: Path) -> None:
    source = with_dolby_vision(hevc, tmp_path / "p8.mp4", profile=8, compatibility=1)
    outcome = upscale(source, "-m", "bicubic", "-o", tmp_path / "out.mp4", "--preset", "ultrafast")
    assert outcome.code == 0, outcome.err
    assert " ".join(outcome.err.split()).count("Dolby Vision metadata is left out; the base layer") == 1
    assert probe(tmp_path / "out.mp4").video[0].dynamic_hdr == ()
