"""Streams that nobody can name: copied where the container gives them back as they are, else left out with one line.

The inputs are made here: a good file whose name for a coding is overwritten with one that does not exist.
"""

from fractions import Fraction
from pathlib import Path

import av
import pytest

from tests.clips import AAC, X264, Clips, ffmpeg, moving, tone
from tests.conftest import SHARED
from tests.examine import upscale
from upscale_cli.media.video.carried_streams import Slot, carry
from upscale_cli.media.video.container import CONTAINERS
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.streams import Clip, OtherStream, VideoStream

FAST = ("-s", 2, "-m", "bicubic", "--preset", "ultrafast")


@pytest.fixture(scope="module")
def two(clips: Clips) -> Path:
    """Two pictures and two sounds: H.264, MPEG-4, AAC, AC-3."""
    path = clips.folder / "two_of_each.mp4"
    other = ("-f", "lavfi", "-i", "smptebars=size=96x64:rate=25")
    ffmpeg(
        *(*moving(), *other, *tone(), *("-map", 0, "-map", 1, "-map", 2, "-map", 2), "-t", "0.48"),
        *(*X264, "-c:v:1", "mpeg4", *AAC, "-c:a:1", "ac3", path),
    )
    return path


def renamed(source: Path, path: Path, old: bytes, new: bytes, *muxing: object) -> Path:
    """The same streams in another container, and there a coding under another name of the same length."""
    assert len(old) == len(new)
    ffmpeg("-i", source, "-map", 0, "-c", "copy", *muxing, path)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    return path


def streams(path: Path) -> list[tuple[str, str, list[bytes]]]:
    """Kind, coding ("" where it has no name), and packets of each stream."""
    with av.open(str(path)) as container:
        found: list[tuple[str, str, list[bytes]]] = [
            (stream.type, stream.codec_context.codec.canonical_name if stream.codec_context else "", [])
            for stream in container.streams
        ]
        for packet in container.demux():
            if packet.size:
                found[packet.stream_index][2].append(bytes(packet))
        return found


UNKNOWN = {
    "spatial sound of a phone": ("mov", ".mov", b"ac-3", b"apac", "stream 3 (audio, apac) is left out"),
    "sound in MP4": ("mp4", ".mp4", b"ac-3", b"zzza", "stream 3 (audio, zzza) is left out"),
    "sound in Matroska": ("matroska", ".mkv", b"A_AC3", b"A_XYZ", "stream 3 (audio, unknown) is left out"),
    "pictures in Matroska": (
        *("matroska", ".mkv", b"V_MPEG4/ISO/ASP", b"V_MPEG4/ISO/XYZ"),
        "stream 1 (video, unknown) is left out",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", UNKNOWN)
def test_what_the_container_cannot_give_back_is_left_out_with_one_line(two: Path, tmp_path: Path, name: str) -> None:
    muxer, suffix, old, new, line = UNKNOWN[name]
    source = renamed(two, tmp_path / f"in{suffix}", old, new, "-f", muxer)
    outcome = upscale(source, "-o", tmp_path / f"out{suffix}", *FAST)
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.err.split())
    assert said.count(line) == 1, said
    assert "its coding is not known" in said
    before, after = streams(source), streams(tmp_path / f"out{suffix}")
    known = [stream for stream in before if stream[1]]
    assert [stream[:2] for stream in after] == [stream[:2] for stream in known]
    assert len(after[0][2]) == 12
    assert [stream[2] for stream in after[1:]] == [stream[2] for stream in known[1:]]


@pytest.mark.slow
def test_pictures_that_a_tag_describes_are_copied(two: Path, tmp_path: Path) -> None:
    """AVI and Matroska both say by a tag, and by data that follows it, what pictures are."""
    source = tmp_path / "in.avi"
    ffmpeg("-i", two, "-map", "0:0", "-map", "0:1", "-map", "0:3", "-c", "copy", "-c:v:1", "mpeg4", source)
    source.write_bytes(source.read_bytes().replace(b"FMP4", b"ZQZQ"))
    outcome = upscale(source, "-o", tmp_path / "out.mkv", *FAST)
    assert outcome.code == 0, outcome.err
    assert "left out" not in outcome.err
    before, after = streams(source), streams(tmp_path / "out.mkv")
    assert [stream[:2] for stream in after] == [("video", "h264"), ("video", ""), ("audio", "ac3")]
    assert after[1][2] == before[1][2]
    assert "ZQZQ" in {stream.tag for stream in probe(tmp_path / "out.mkv").others}


@pytest.mark.slow
def test_sound_of_a_tag_without_meaning_in_avi(tmp_path: Path) -> None:
    source = tmp_path / "in.avi"
    ffmpeg(*moving(), *tone(), "-t", "0.48", *X264, "-c:a", "mp3", source)
    data = source.read_bytes()
    place = data.find(b"strf", data.find(b"auds")) + 8  # WAVEFORMATEX begins with the tag
    source.write_bytes(data[:place] + b"\x99\x77" + data[place + 2 :])
    outcome = upscale(source, "-o", tmp_path / "out.mkv", *FAST)
    assert outcome.code == 0, outcome.err
    assert "stream 1 (audio, unknown) is left out" in " ".join(outcome.err.split())
    assert [stream[:2] for stream in streams(tmp_path / "out.mkv")] == [("video", "h264")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mkv_unknown_audio", "mkv_unknown_sub"])
def test_the_cases(tmp_path: Path, name: str) -> None:
    source = SHARED / "cases" / f"{name}.mkv"
    if not source.exists():
        pytest.skip("shared/cases is not here")
    outcome = upscale(source, "-o", tmp_path / "out.mkv", *FAST)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("is left out") == 1
    before, after = streams(source), streams(tmp_path / "out.mkv")
    assert len(after[0][2]) == 50
    assert [stream for stream in after if stream[1] == "aac"] == [stream for stream in before if stream[1] == "aac"]


# What is decided


def _clip(*others: OtherStream, format: str) -> Clip:
    video = VideoStream(
        index=0, codec="h264", width=96, height=64, pixel_format="yuv420p", time_base=Fraction(1, 1000), start=0,
        rate=Fraction(25), frames=None, seconds=1.0,
    )  # fmt: skip
    return Clip(source="file:clip", name="clip", format=format, video=(video,), main=0, others=others)


@pytest.mark.parametrize(
    ("format", "container", "kind", "tag", "is_copied"),
    [
        ("avi", "Matroska", "video", "ZQZQ", True),
        ("avi", "Matroska", "video", "", False),
        ("avi", "Matroska", "audio", "ZQZQ", False),
        ("avi", "MP4", "video", "ZQZQ", False),
        ("avi", "NUT", "audio", "ZQZQ", True),
        ("mov,mp4,m4a,3gp,3g2,mj2", "Matroska", "video", "zzzv", False),
        ("mov,mp4,m4a,3gp,3g2,mj2", "MP4", "audio", "apac", False),
        ("matroska,webm", "Matroska", "subtitle", "", False),
    ],
)
def test_unknown_codings(format: str, container: str, kind: str, tag: str, is_copied: bool) -> None:
    other = OtherStream(index=1, kind=kind, codec="unknown", tag=tag, has_decoder=False)  # type: ignore[arg-type]
    slots, notes = carry(_clip(other, format=format), (0,), CONTAINERS[container])
    assert (Slot(1, "copy") in slots) == is_copied
    assert len(notes) == (not is_copied)


@pytest.mark.parametrize("container", ["MPEG-TS", "MP4", "Matroska"])
def test_sound_that_is_announced_and_never_comes(container: str) -> None:
    """No muxer takes a sound without a rate, and ffmpeg would end without an output."""
    silent = OtherStream(index=1, kind="audio", codec="ac3", is_described=False)
    slots, notes = carry(_clip(silent, format="mpegts"), (0,), CONTAINERS[container])
    assert [slot.index for slot in slots] == [0]
    assert notes == ("stream 1 (audio, ac3) is left out: nothing in it says its rate and channels",)


def test_sound_that_cannot_be_decoded_is_not_converted() -> None:
    other = OtherStream(index=1, kind="audio", codec="ac4", has_decoder=False)
    slots, notes = carry(_clip(other, format="mpegts"), (0,), CONTAINERS["MP4"])
    assert [slot.index for slot in slots] == [0]
    assert notes == ("stream 1 (audio, ac4) is left out: MP4 cannot hold it",)
