"""What gets across into the output: planned for every container, and for real through ffmpeg."""

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import av
import pytest
from av.stream import Disposition
from imageio_ffmpeg import get_ffmpeg_exe

from tests.clips import Clips, ffmpeg
from upscale_cli.errors import OutputError
from upscale_cli.media.image.formats import CLIP_EXTENSIONS
from upscale_cli.media.video.carried_streams import Slot, carry, slot_arguments, upscaled_outputs
from upscale_cli.media.video.container import CONTAINERS, container_arguments, container_like, container_named
from upscale_cli.media.video.opening import input_arguments, pictures
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.streams import Clip, OtherStream, VideoStream

# Plans


def clip_of(*others: OtherStream, name: str = "clip.mkv", format: str = "matroska,webm", **facts: Any) -> Clip:
    """A clip of one video stream and these others."""
    video = VideoStream(
        index=0,
        codec="h264",
        width=64,
        height=48,
        pixel_format="yuv420p",
        time_base=Fraction(1, 1000),
        start=0,
        rate=Fraction(25),
        frames=None,
        seconds=None,
        untimed=facts.pop("untimed", False),
    )
    return Clip(source=f"file:{name}", name=name, format=format, video=(video,), main=0, others=others, **facts)


def fate(stream: OtherStream, container: str, **facts: Any) -> tuple[str | None, int]:
    """What becomes of stream 1 of a clip, and how many lines are reported about it."""
    slots, notes = carry(clip_of(stream, **facts), (0,), CONTAINERS[container])
    assert slots[0] == Slot(0, "upscale")
    return (slots[1].action if len(slots) > 1 else None), len(notes)


@pytest.mark.parametrize(
    ("codec", "container", "action"),
    [
        ("aac", "Matroska", "copy"),
        ("pcm_bluray", "Matroska", "flac"),
        ("aac", "WebM", "libopus"),
        ("opus", "WebM", "copy"),
        ("opus", "MP4", "copy"),
        ("flac", "MP4", "copy"),
        ("pcm_s16le", "MP4", "copy"),
        ("wavpack", "MP4", "alac"),
        ("wmav2", "MP4", "aac"),
        ("opus", "QuickTime", "aac"),
        ("flac", "QuickTime", "alac"),
        ("pcm_bluray", "MPEG-TS", "aac"),
        ("pcm_bluray", "M2TS", "copy"),
    ],
)
def test_sound_is_copied_or_converted(codec: str, container: str, action: str) -> None:
    assert fate(OtherStream(index=1, kind="audio", codec=codec), container) == (action, action != "copy")


@pytest.mark.parametrize(
    ("codec", "container", "action"),
    [
        ("subrip", "Matroska", "copy"),
        ("mov_text", "Matroska", "srt"),
        ("webvtt", "Matroska", "copy"),
        ("hdmv_pgs_subtitle", "Matroska", "copy"),
        ("subrip", "MP4", "mov_text"),
        ("ass", "MP4", "mov_text"),
        ("dvd_subtitle", "MP4", "copy"),
        ("hdmv_pgs_subtitle", "MP4", None),
        ("ass", "WebM", "webvtt"),
        ("dvb_subtitle", "WebM", None),
        ("subrip", "MPEG-TS", None),
        ("dvb_subtitle", "MPEG-TS", "copy"),
        ("hdmv_pgs_subtitle", "M2TS", "copy"),
        ("subrip", "FLV", None),
    ],
)
def test_subtitles_are_copied_converted_or_left_out(codec: str, container: str, action: str | None) -> None:
    assert fate(OtherStream(index=1, kind="subtitle", codec=codec), container) == (action, action != "copy")


@pytest.mark.parametrize(
    ("stream", "container", "action", "notes"),
    [
        (OtherStream(index=1, kind="attachment", codec="attachment"), "Matroska", "copy", 0),
        (OtherStream(index=1, kind="attachment", codec="attachment"), "MP4", None, 1),
        (OtherStream(index=1, kind="picture", codec="mjpeg"), "Matroska", "attach", 0),
        (OtherStream(index=1, kind="picture", codec="png"), "MP4", "copy", 0),
        (OtherStream(index=1, kind="picture", codec="png"), "WebM", None, 1),
        (OtherStream(index=1, kind="data", codec="unknown", tag="tmcd"), "QuickTime", None, 0),
        (OtherStream(index=1, kind="data", codec="bin_data", tag="gpmd"), "MP4", "copy", 0),
        (OtherStream(index=1, kind="data", codec="bin_data", tag="gpmd"), "Matroska", None, 1),
        (OtherStream(index=1, kind="data", codec="klv"), "MPEG-TS", "copy", 0),
    ],
)
def test_everything_else(stream: OtherStream, container: str, action: str | None, notes: int) -> None:
    assert fate(stream, container) == (action, notes)


def test_the_track_of_chapter_names_is_made_anew() -> None:
    names = OtherStream(index=1, kind="data", codec="bin_data", tag="text")
    assert fate(names, "MP4", chapters=2) == (None, 0)
    assert fate(names, "MP4") == (None, 1)


def test_missing_chapters_are_reported() -> None:
    _, notes = carry(clip_of(chapters=3), (0,), CONTAINERS["MPEG-TS"])
    assert notes == ("3 chapters are left out: MPEG-TS holds none",)


def test_flv_holds_one_of_a_kind() -> None:
    sound = [OtherStream(index=index, kind="audio", codec="aac") for index in (1, 2)]
    slots, notes = carry(clip_of(*sound), (0,), CONTAINERS["FLV"])
    assert slots == (Slot(0, "upscale"), Slot(1, "copy"))
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("name", "format", "container", "reported"),
    [
        ("a.mkv", "matroska,webm", "Matroska", False),
        ("a.webm", "matroska,webm", "WebM", False),
        ("a.mp4", "mov,mp4,m4a,3gp,3g2,mj2", "MP4", False),
        ("a.MOV", "mov,mp4,m4a,3gp,3g2,mj2", "QuickTime", False),
        ("a.3gp", "mov,mp4,m4a,3gp,3g2,mj2", "3GP", False),
        ("a.m2ts", "mpegts", "M2TS", False),
        ("noname", "mpegts", "MPEG-TS", False),
        ("wrong.avi", "mov,mp4,m4a,3gp,3g2,mj2", "MP4", False),
        ("wrong.mp4", "matroska,webm", "Matroska", False),
        ("a.avi", "avi", "Matroska", True),
        ("a.mpg", "mpeg", "Matroska", True),
        ("a.wmv", "asf", "Matroska", True),
        ("a.rm", "rm", "Matroska", True),
    ],
)
def test_the_output_is_what_the_input_was(name: str, format: str, container: str, reported: bool) -> None:
    found, note = container_like(clip_of(name=name, format=format))
    assert (found.name, note is not None) == (container, reported)


def test_raw_streams_become_matroska() -> None:
    found, note = container_like(clip_of(name="a.h264", format="h264", untimed=True))
    assert found.name == "Matroska"
    assert note is not None
    assert "no timestamps" in note


def test_containers_by_extension() -> None:
    assert container_named(".M4V").name == "MP4"
    with pytest.raises(OutputError, match="avi"):
        container_named(".avi")
    written = {extension for row in CONTAINERS.values() for extension in row.extensions}
    assert written <= CLIP_EXTENSIONS


# For real


class Stream(NamedTuple):
    kind: str
    codec: str
    language: str | None
    title: str | None
    disposition: Disposition


class Content(NamedTuple):
    """What PyAV finds in a file. packets: (seconds, bytes) of each stream, in the order of time."""

    streams: list[Stream]
    packets: list[list[tuple[Fraction, bytes]]]
    chapters: list[tuple[Fraction, str]]
    metadata: dict[str, str]
    attachments: list[tuple[str | None, str | None, bytes]]


def content(path: Path) -> Content:
    with av.open(str(path)) as container:
        streams: list[Any] = list(container.streams)
        packets: list[list[tuple[Fraction, bytes]]] = [[] for _ in streams]
        for packet in container.demux():
            if packet.size and packet.pts is not None:
                packets[packet.stream_index].append((packet.pts * packet.time_base, bytes(packet)))
        return Content(
            [described(stream) for stream in streams],
            [sorted(each) for each in packets],
            [
                (chapter["start"] * (chapter["time_base"] or Fraction(0)), chapter["metadata"]["title"])
                for chapter in container.chapters()
            ],
            {key.lower(): value for key, value in container.metadata.items()},
            [(each.name, each.mimetype, each.data) for each in streams if each.type == "attachment"],
        )


def described(stream: Any) -> Stream:
    codec = stream.codec_context.codec.canonical_name if stream.codec_context else ""
    tags = stream.metadata
    return Stream(stream.type, codec, tags.get("language"), tags.get("title") or tags.get("name"), stream.disposition)


def remux(source: Path, output: Path) -> tuple[tuple[Slot, ...], Content, Content]:
    """The source's own pictures through a pipe and an encoder again, everything else carried along."""
    clip = probe(source)
    container = container_named(output.suffix)
    slots, _ = carry(clip, (clip.main,), container)
    attached = {}
    for index, data in pictures(clip, [slot.index for slot in slots if slot.action == "attach"]).items():
        attached[index] = str(output.parent / f"picture {index}")
        Path(attached[index]).write_bytes(data)
    tool = [get_ffmpeg_exe(), "-v", "error", "-y"]
    read = [*tool, "-copyts", *input_arguments(clip), "-i", clip.source, "-map", f"0:{clip.main}", "-c:v", "rawvideo"]
    passed = ("-fps_mode", "passthrough", "-enc_time_base", "demux")
    frames = subprocess.run([*read, *passed, "-f", "nut", "pipe:1"], capture_output=True, check=True).stdout
    encoder = "libvpx-vp9" if container.name == "WebM" else "libx264"
    done = subprocess.run(
        [
            *(*tool, "-copyts", "-f", "nut", "-i", "pipe:0", "-copyts", *input_arguments(clip), "-i", clip.source),
            *slot_arguments(slots, clip, attached=attached),
            *(part for position in upscaled_outputs(slots) for part in (f"-c:{position}", encoder)),
            *(*passed, *container_arguments(container, clip), str(output)),
        ],
        input=frames,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return slots, content(source), content(output)


@pytest.fixture(scope="session")
def rich(clips: Clips, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two languages, two kinds of subtitles, a font, cover art, chapters, names in many scripts, a start at 1.25 s."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "text.srt").write_text("1\n00:00:00,100 --> 00:00:00,300\nHällo\n", encoding="utf-8")
    (folder / "font.ttf").write_bytes(b"\0\1\0\0" + bytes(200))
    (folder / "tags").write_text(
        ";FFMETADATA1\ntitle=Grüße 世界\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=200\ntitle=Eins\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=200\nEND=480\ntitle=Zwei ü\n",
        encoding="utf-8",
    )
    cover = folder / "cover.jpg"
    cover.write_bytes(next(iter(pictures(probe(clips("cover")), [2]).values())))
    path = folder / "rich.mkv"
    ffmpeg(
        *("-i", clips("plain"), "-i", folder / "text.srt", "-i", folder / "tags", "-attach", folder / "font.ttf"),
        *("-attach", cover, "-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "1", "-map", "1"),
        *("-map_metadata", "2", "-map_chapters", "2", "-c", "copy", "-c:a:1", "ac3", "-c:s:0", "ass"),
        *("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-metadata:s:a:1", "title=Kommentar ü"),
        *("-disposition:a:0", "0", "-disposition:a:1", "default+comment", "-disposition:s:0", "forced"),
        *("-metadata:s:s:0", "language=fra", "-metadata:s:v:0", "BPS=12345", "-metadata:s:t:0", "mimetype=font/ttf"),
        *("-metadata:s:t:0", "filename=Fönt.ttf", "-metadata:s:t:1", "mimetype=image/jpeg"),
        *("-metadata:s:t:1", "filename=cover.jpg", "-output_ts_offset", "1.25", path),
    )
    return path


def test_matroska_keeps_everything(rich: Path, tmp_path: Path) -> None:
    slots, before, after = remux(rich, tmp_path / "out.mkv")
    assert [slot.action for slot in slots] == ["upscale", *["copy"] * 5, "attach"]
    assert after.streams == before.streams
    assert after.packets[1:] == before.packets[1:]
    assert [time for time, _ in after.packets[0]] == [time for time, _ in before.packets[0]]
    assert after.chapters == before.chapters
    assert len(after.chapters) == 2
    assert after.attachments == before.attachments
    assert after.metadata["title"] == "Grüße 世界"


def test_stale_statistics_are_cleared(rich: Path, tmp_path: Path) -> None:
    remux(rich, tmp_path / "out.mkv")
    with av.open(str(rich)) as source, av.open(str(tmp_path / "out.mkv")) as output:
        assert source.streams[0].metadata["BPS"] == "12345"
        assert "BPS" not in output.streams[0].metadata


def test_mp4_keeps_what_it_can(rich: Path, tmp_path: Path) -> None:
    slots, before, after = remux(rich, tmp_path / "out.mp4")
    assert [slot.action for slot in slots] == ["upscale", "copy", "copy", "mov_text", "mov_text", "copy"]
    kept = [stream for stream in after.streams if stream.kind != "data"]
    assert [stream.codec for stream in kept] == ["h264", "aac", "ac3", "mov_text", "mov_text", "mjpeg"]
    assert kept[2] == before.streams[2]
    assert kept[5].disposition == Disposition.attached_pic
    for number in (1, 2):
        assert [data for _, data in after.packets[number]] == [data for _, data in before.packets[number]]
        times = zip(after.packets[number], before.packets[number], strict=True)
        assert max(abs(new - old) for (new, _), (old, _) in times) <= Fraction(1, 1000)
    assert [time for time, _ in after.packets[0]] == [time for time, _ in before.packets[0]]
    assert after.chapters == before.chapters
    assert after.metadata["title"] == "Grüße 世界"
    # And back again: titles of streams are called otherwise in MP4.
    _, _, again = remux(tmp_path / "out.mp4", tmp_path / "again.mkv")
    assert again.streams[2][2:] == before.streams[2][2:]
    assert again.streams[3].codec == "subrip"
    assert again.streams[-1].disposition == Disposition.attached_pic


def test_webm_converts_the_sound(rich: Path, tmp_path: Path) -> None:
    slots, before, after = remux(rich, tmp_path / "out.webm")
    assert [slot.action for slot in slots] == ["upscale", "libopus", "libopus", "webvtt", "webvtt"]
    assert [stream.language for stream in after.streams] == [stream.language for stream in before.streams[:5]]
    assert [time for time, _ in after.packets[0]] == [time for time, _ in before.packets[0]]


def test_surround_sound_fits_into_opus(clips: Clips, tmp_path: Path) -> None:
    source = tmp_path / "surround.mkv"
    sound = "aevalsrc=0.1*sin(440*t)|0|0|0|0|0:c=5.1(side):d=0.5"
    ffmpeg(
        "-i",
        clips("plain"),
        "-f",
        "lavfi",
        "-i",
        sound,
        "-map",
        "0:v",
        "-map",
        "1",
        "-c:v",
        "copy",
        "-c:a",
        "ac3",
        source,
    )
    remux(source, tmp_path / "out.webm")
    with av.open(str(tmp_path / "out.webm")) as output:
        assert output.streams.audio[0].channels == 6


@pytest.mark.parametrize("suffix", [".flv", ".nut"])
def test_what_holds_nothing_below_zero_shifts_all_streams_together(clips: Clips, tmp_path: Path, suffix: str) -> None:
    _, before, after = remux(clips("plain"), tmp_path / f"out{suffix}")
    pairs = [
        pair for old, new in zip(before.packets, after.packets, strict=True) for pair in zip(old, new, strict=True)
    ]
    shifts = [new - old for (old, _), (new, _) in pairs]
    assert max(shifts) - min(shifts) <= Fraction(1, 1000)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".3gp", ".f4v"])
def test_sound_that_begins_before_zero_stays_there(clips: Clips, tmp_path: Path, suffix: str) -> None:
    """Encoders prime the decoder with a little sound before 0, and some muxers would move all else behind it."""
    _, before, after = remux(clips("plain"), tmp_path / f"out{suffix}")
    assert before.packets[1][0][0] < 0
    for old, new in zip(before.packets, after.packets, strict=True):
        assert len(old) == len(new)
        assert max(abs(a[0] - b[0]) for a, b in zip(old, new, strict=True)) <= Fraction(1, 1000)


@pytest.mark.parametrize(
    "name", ["transport", "offset_mp4", "vfr", "ntsc_film_mkv", "languages", "timecode", "chapters_mp4"]
)
def test_a_container_written_again_keeps_every_timestamp_and_packet(clips: Clips, tmp_path: Path, name: str) -> None:
    source = clips(name)
    _, before, after = remux(source, tmp_path / f"out{source.suffix}")
    kept = [number for number, stream in enumerate(before.streams) if stream.kind != "data"]
    assert [time for time, _ in after.packets[0]] == [time for time, _ in before.packets[0]]
    assert [after.packets[number] for number in kept[1:]] == [before.packets[number] for number in kept[1:]]
    assert after.chapters == before.chapters


def test_a_time_code_is_kept(clips: Clips, tmp_path: Path) -> None:
    remux(clips("timecode"), tmp_path / "out.mov")
    with av.open(str(clips("timecode"))) as source, av.open(str(tmp_path / "out.mov")) as output:
        assert output.streams[0].metadata["timecode"] == source.streams[0].metadata["timecode"]
