"""What single frames carry besides the picture: closed captions, HDR10+, Dolby Vision. Judged with PyAV and ffmpeg.

The clips are made here: messages are put into the packets of encoded clips by hand.
"""

import re
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.clips import Clips, ffmpeg, has_encoder
from tests.conftest import SHARED
from tests.examine import upscale
from upscale_cli.errors import OutputError
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.jobs import video_io
from upscale_cli.media.video import hdr10plus, segments
from upscale_cli.media.video.container import CONTAINERS
from upscale_cli.media.video.encoder_choice import choose_encoder
from upscale_cli.media.video.encoding import EncodeOptions, Picture
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.frame_metadata import FrameMetadataReader
from upscale_cli.media.video.metadata_writer import MetadataWriter
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.writer import VideoWriter
from upscale_cli.media.video.writer_arguments import Track

FRAMES: Final = 24
FAST: Final = ("-m", "bicubic", "--preset", "ultrafast")
Message = Callable[[int], bytes]
"""The T.35 message of a frame, by its number as it is shown."""


# Messages by hand


def caption_constructs(number: int) -> bytes:
    """The captions of one frame: a pop-on caption that reads HELLO CAPTION, two bytes a frame, and the number beside it
    in a construct that is not valid (CTA-608 and CTA-708 4.4)."""
    pairs = [(0x14, 0x20), (0x14, 0x20), (0x14, 0x70), (0x14, 0x70)]
    text = b"HELLO CAPTION "
    pairs += list(zip(text[::2], text[1::2], strict=True))
    pairs += [(0x14, 0x2F), (0x14, 0x2F)]
    pair = pairs[number] if number < len(pairs) else (0, 0)
    odd = bytes(byte | (0x80 if byte.bit_count() % 2 == 0 else 0) for byte in pair)
    return bytes((0xFC,)) + odd + bytes((0xF8, 0, number))


def captions(number: int) -> bytes:
    constructs = caption_constructs(number)
    head = bytes((0xB5, 0x00, 0x31)) + b"GA94" + bytes((0x03, 0xC0 | len(constructs) // 3, 0xFF))
    return head + constructs + b"\xff"


def hdr10plus_message(number: int, scale: int = 1) -> bytes:
    """Of two windows, the second with coordinates in a picture of 96 x 64 pixels (SMPTE ST 2094-40)."""
    fields = [(4, 8), (1, 8), (2, 2)]
    fields += [(8 * scale, 16), (6 * scale, 16), (48 * scale - 1, 16), (32 * scale - 1, 16)]
    fields += [(20 * scale + (scale - 1) // 2, 16), (10 * scale + (scale - 1) // 2, 16), (45, 8)]
    fields += [(7 * scale, 16), (9 * scale, 16), (5 * scale, 16), (1, 1), (400, 27), (0, 1)]
    for window in range(2):
        fields += [(1000 + number, 17), (2000 + number, 17), (3000 + window, 17), (900 + number, 17)]
        fields += [(2, 4), (50, 7), (5000 + number, 17), (99, 7), (60_000, 17), (7, 10)]
    fields += [(1, 1), (2, 5), (3, 5), *((peak, 4) for peak in range(6))]
    fields += [(1, 1), (1000, 12), (2000, 12), (3, 4), (100, 10), (200 + number, 10), (1023, 10), (0, 1)]
    fields += [(0, 1), (1, 1), (5, 6)]
    bits = "".join(f"{value:0{width}b}" for value, width in fields)
    bits += "0" * (-len(bits) % 8)
    return bytes((0xB5, 0x00, 0x3C, 0x00, 0x01)) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def sei(message: bytes, header: bytes) -> bytes:
    """A unit with its length, as MP4 and Matroska have it."""
    assert len(message) < 255
    body = bytes((4, len(message))) + message + b"\x80"
    unit = header + re.sub(rb"\x00\x00(?=[\x00-\x03])", b"\x00\x00\x03", body)
    return struct.pack(">I", len(unit)) + unit


def in_h264(packet: bytes, message: bytes) -> bytes:
    return before_picture(packet, sei(message, b"\x06"), lambda first: first & 0x1F in (1, 5))


def in_hevc(packet: bytes, message: bytes) -> bytes:
    return before_picture(packet, sei(message, b"\x4e\x01"), lambda first: first >> 1 < 32)


def in_mpeg2(packet: bytes, message: bytes) -> bytes:
    """As user data of the picture, before its first slice (ITU-T H.262 6.2.2.2)."""
    picture = packet.index(b"\x00\x00\x01\x00")
    place = packet.index(b"\x00\x00\x01\x01", picture)
    return packet[:place] + b"\x00\x00\x01\xb2" + message[3:] + packet[place:]


def before_picture(packet: bytes, unit: bytes, is_picture: Callable[[int], bool]) -> bytes:
    place = 0
    while not is_picture(packet[place + 4]):
        place += 4 + int.from_bytes(packet[place : place + 4], "big")
    return packet[:place] + unit + packet[place:]


def with_messages(source: Path, target: Path, put: Callable[[bytes, bytes], bytes], message: Message) -> Path:
    """A copy of a clip whose frames carry messages, counted in the order they are shown."""
    with av.open(str(source)) as before, av.open(str(target), "w") as after:
        streams = {stream.index: after.add_stream_from_template(stream) for stream in before.streams}
        packets = [packet for packet in before.demux() if packet.size]
        shown = sorted(packet.pts for packet in packets if packet.stream.type == "video" and packet.pts is not None)
        for packet in packets:
            copy: av.Packet[Any] = packet
            if packet.stream.type == "video":
                assert packet.pts is not None
                copy = av.Packet(put(bytes(packet), message(shown.index(packet.pts))))
                copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
                copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
            copy.stream = streams[packet.stream_index]
            after.mux(copy)
    return target


# What is in a clip, by PyAV's decoder and by ffmpeg


def carried(path: Path, kind: str = "A53_CC") -> list[tuple[Fraction, bytes]]:
    """(seconds, side data) of each frame, as shown."""
    with av.open(str(path)) as container:
        found = []
        for frame in container.decode(video=0):
            assert frame.pts is not None
            assert frame.time_base is not None
            every: Any = frame.side_data
            sides = [every[number] for number in range(len(every))]
            data = b"".join(bytes(side) for side in sides if side.type.name == kind)
            found.append((frame.pts * frame.time_base, data))
        return found


def of_frames(path: Path, kind: str = "A53_CC") -> list[bytes]:
    return [data for _, data in carried(path, kind)]


def subtitles(path: Path) -> str:
    """The captions as ffmpeg's filter and decoder read them."""
    filename = str(path).replace("\\", "/").replace(":", "\\\\:")
    command = [get_ffmpeg_exe(), "-v", "error", "-f", "lavfi", "-i", f"movie={filename}[out0+subcc]"]
    done = subprocess.run([*command, "-map", "0:s", "-f", "srt", "-"], capture_output=True, check=True)
    return done.stdout.decode()


@pytest.fixture
def captioned(clips: Clips, tmp_path: Path) -> Path:
    """H.264 with B-frames and sound, each frame with captions of its own."""
    return with_messages(clips("reordered"), tmp_path / "captioned.mp4", in_h264, captions)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "name"),
    [("libx264", "x.mp4"), ("libx264", "x.mkv"), ("libx264", "x.ts"), ("libx265", "x.mp4"), ("libx265", "x.ts"),
     ("libsvtav1", "x.mkv"), ("libsvtav1", "x.mp4")],
)  # fmt: skip
def test_captions_stay_with_their_frames(captioned: Path, tmp_path: Path, codec: str, name: str) -> None:
    if not has_encoder(codec):
        pytest.skip(f"this ffmpeg is built without {codec}")
    preset = "12" if codec == "libsvtav1" else "ultrafast"
    output = tmp_path / name
    outcome = upscale(captioned, "-m", "bicubic", "-o", output, "--codec", codec, "--preset", preset)
    assert outcome.code == 0, outcome.err
    assert of_frames(output) == of_frames(captioned) == [caption_constructs(number) for number in range(FRAMES)]
    assert "closed captions" not in outcome.err
    with av.open(str(output)) as container:
        assert sum(packet.size > 0 for packet in container.demux(audio=0)) > 20


def test_captions_are_read_at_their_time(captioned: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.mp4"
    assert upscale(captioned, *FAST, "-o", output).code == 0
    assert "HELLO CAPTION" in subtitles(output)
    assert subtitles(output) == subtitles(captioned)


def test_captions_of_a_part_are_those_of_its_frames(captioned: Path, tmp_path: Path) -> None:
    output = tmp_path / "x.mkv"
    outcome = upscale(captioned, *FAST, "-o", output, "--start", 0.3, "--end", 0.7)
    assert outcome.code == 0, outcome.err
    assert of_frames(output) == [caption_constructs(number) for number in range(8, 18)]  # 25 frames a second


def test_captions_of_repeated_pictures_stay(clips: Clips, tmp_path: Path) -> None:
    source = with_messages(clips("static"), tmp_path / "still.mp4", in_h264, captions)
    outcome = upscale(source, *FAST, "-o", tmp_path / "x.mp4")
    assert outcome.code == 0, outcome.err
    assert "equal to the one before" in outcome.out + outcome.err
    assert of_frames(tmp_path / "x.mp4") == [caption_constructs(number) for number in range(30)]


def test_captions_stay_in_segments(captioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "segment_length", lambda _: 7)
    outcome = upscale(captioned, *FAST, "-o", tmp_path / "x.mp4", "--resume")
    assert outcome.code == 0, outcome.err
    assert of_frames(tmp_path / "x.mp4") == of_frames(captioned)


@pytest.mark.parametrize("name", ["dvd.mpg", "dvd.ts"])
def test_captions_of_mpeg2_become_messages(clips: Clips, tmp_path: Path, name: str) -> None:
    source = tmp_path / name
    ffmpeg("-i", with_messages(clips("mpeg2"), tmp_path / "dvd.mkv", in_mpeg2, captions), "-c", "copy", source)
    outcome = upscale(source, *FAST, "-o", tmp_path / "x.mkv")
    assert outcome.code == 0, outcome.err
    assert of_frames(tmp_path / "x.mkv") == of_frames(source) == [caption_constructs(n) for n in range(FRAMES)]


@pytest.mark.parametrize("name", ["x.avi", "x.h264"])
def test_frames_without_times_of_their_own_keep_theirs(captioned: Path, tmp_path: Path, name: str) -> None:
    """AVI has times of decoding only, raw streams none."""
    source = tmp_path / name
    ffmpeg("-i", captioned, "-an", "-c", "copy", source)
    outcome = upscale(source, *FAST, "-o", tmp_path / "x.mkv")
    assert outcome.code == 0, outcome.err
    assert of_frames(tmp_path / "x.mkv") == [caption_constructs(number) for number in range(FRAMES)]


def test_of_two_fields_made_frames_the_first_has_the_captions(captioned: Path, tmp_path: Path) -> None:
    outcome = upscale(captioned, *FAST, "-o", tmp_path / "x.mp4", "--deinterlace", "field")
    assert outcome.code == 0, outcome.err
    assert of_frames(tmp_path / "x.mp4")[::2] == of_frames(captioned)
    assert not any(of_frames(tmp_path / "x.mp4")[1::2])


@pytest.mark.slow
@pytest.mark.parametrize("part", [(), ("--start", "0.3"), ("--frames", "7")])
def test_captions_go_from_standard_input_to_standard_output(
    captioned: Path, tmp_path: Path, part: tuple[str, ...]
) -> None:
    source = tmp_path / "in.mkv"
    ffmpeg("-i", captioned, "-c", "copy", source)
    command = ["-m", "upscale_cli", "-", *FAST, *part, "-o", "-", "-f", "mkv"]
    output = tmp_path / "out.mkv"
    done = subprocess.run([sys.executable, *command], input=source.read_bytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    output.write_bytes(done.stdout)
    wanted = range(*{"--start": (8, FRAMES), "--frames": (7,)}[part[0]]) if part else range(FRAMES)
    assert of_frames(output) == [caption_constructs(number) for number in wanted]
    with av.open(str(output)) as container:
        assert sum(packet.size > 0 for packet in container.demux(audio=0)) > 10


@pytest.mark.slow
def test_times_and_pictures_are_those_of_a_clip_without_captions(clips: Clips, captioned: Path, tmp_path: Path) -> None:
    """The encoder gets the same frames, and the packets keep both of their times."""

    def seen(source: Path, name: str) -> tuple[list[Any], list[Any]]:
        assert upscale(source, *FAST, "-o", tmp_path / name).code == 0
        with av.open(str(tmp_path / name)) as container:
            times = [(packet.pts, packet.dts, packet.duration) for packet in container.demux() if packet.size]
        with av.open(str(tmp_path / name)) as container:
            return times, [frame.to_ndarray().tobytes() for frame in container.decode(video=0)]

    for name in ("x.mp4", "x.mkv", "x.ts"):
        assert seen(captioned, f"with_{name}") == seen(clips("reordered"), name)


def test_captions_that_a_coding_cannot_hold_are_told(captioned: Path, tmp_path: Path) -> None:
    outcome = upscale(captioned, "-m", "bicubic", "-o", tmp_path / "x.mkv", "--codec", "ffv1")
    assert outcome.code == 0, outcome.err
    assert "closed captions are left out: ffv1 has no place" in " ".join(outcome.err.split())
    assert not any(of_frames(tmp_path / "x.mkv"))


def test_captions_that_begin_late_are_found(clips: Clips, tmp_path: Path) -> None:
    source = with_messages(clips("reordered"), tmp_path / "late.mp4", late_in_h264, captions)
    assert not probe(source).video[0].captions
    outcome = upscale(source, *FAST, "-o", tmp_path / "x.mp4")
    assert outcome.code == 0, outcome.err
    assert of_frames(tmp_path / "x.mp4") == [b""] * 20 + [caption_constructs(number) for number in range(20, FRAMES)]


def late_in_h264(packet: bytes, message: bytes) -> bytes:
    number = message[-2]
    return in_h264(packet, message) if number >= 20 else packet


def test_a_clip_without_metadata_goes_the_short_way(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(video_io, "MetadataWriter")
    monkeypatch.delattr(video_io, "FrameMetadataReader")
    outcome = upscale(clips("reordered"), *FAST, "-o", tmp_path / "x.mp4")
    assert outcome.code == 0, outcome.err


def test_a_muxer_that_fails_is_to_blame(captioned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object, **__: object) -> None:
        raise OutputError("x.mp4: no room is left. Free space.")

    monkeypatch.setattr(video_io, "open_joiner", no_room)
    outcome = upscale(captioned, *FAST, "-o", tmp_path / "x.mp4")
    assert outcome.code == 1
    assert "no room is left" in outcome.err
    assert list(tmp_path.iterdir()) == [captioned]


def test_an_encoder_that_fails_is_to_blame(captioned: Path, tmp_path: Path) -> None:
    outcome = upscale(captioned, *FAST, "-o", tmp_path / "x.mp4", "--encoder-arg", "profile=nonsense")
    assert outcome.code != 0
    assert "profile" in outcome.err
    assert list(tmp_path.iterdir()) == [captioned]


def test_what_is_there_at_ctrl_c_plays_with_its_captions(captioned: Path, tmp_path: Path) -> None:
    """The encoder closes its stream, and the muxer its file."""
    output, clip = tmp_path / "x.mkv", probe(captioned)
    stream = clip.video[0]
    encode = EncodeOptions(preset="ultrafast")
    picture = Picture(
        format=FORMATS["yuv420p"], width=96, height=64, rate=stream.rate,
        tags=ColourTags("bt709", "bt709", "bt709", "tv", "left"),
    )  # fmt: skip
    encoder = choose_encoder(encode, picture, "matroska", find_ffmpeg(), lambda _: None)
    track = Track(format=picture.format, encoder=encoder, time_base=stream.time_base, rate=stream.rate)
    metadata = FrameMetadataReader(clip, stream, ["captions"], time_base=stream.time_base, rate=stream.rate)

    def open_muxer(below_zero: int) -> VideoWriter:
        later = replace(track, below_zero=below_zero)
        return VideoWriter(output, "x", [later], CONTAINERS["Matroska"], find_ffmpeg(), is_join=True)

    gray = np.full(picture.format.frame_bytes(96, 64), 128, np.uint8)
    with MetadataWriter("x", track, find_ffmpeg(), metadata, open_muxer) as writer:
        for number in range(10):
            writer.write(0, gray, number * round(1 / stream.rate / stream.time_base))
        assert writer.cut_short()
    assert of_frames(output) == [caption_constructs(number) for number in range(10)]


def test_the_shared_case_reads_hello_caption(tmp_path: Path) -> None:
    source = SHARED / "cases/cc.ts"
    if not source.is_file():
        pytest.skip("the shared folder with cases is not here")
    output = tmp_path / "x.ts"
    assert upscale(source, *FAST, "-o", output).code == 0
    assert "00:00:00,367" in subtitles(output)
    assert "HELLO CAPTION" in subtitles(output)
    assert carried(output) == carried(source)


# HDR10+


@pytest.fixture
def dynamic(clips: Clips, tmp_path: Path) -> Path:
    """HEVC of 10 bits with B-frames, each frame with HDR10+ of its own."""
    return with_messages(clips("reordered_pq"), tmp_path / "dynamic.mkv", in_hevc, hdr10plus_message)


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "preset"), [("libx265", "ultrafast"), ("libsvtav1", "12")])
def test_hdr10plus_stays_with_its_frames_and_windows_with_their_place(
    dynamic: Path, tmp_path: Path, codec: str, preset: str
) -> None:
    if not has_encoder(codec):
        pytest.skip(f"this ffmpeg is built without {codec}")
    output = tmp_path / "x.mkv"
    outcome = upscale(dynamic, "-m", "bicubic", "-s", 2, "-o", output, "--codec", codec, "--preset", preset)
    assert outcome.code == 0, outcome.err
    assert "HDR10+" not in outcome.err
    assert found_messages(output) == {number: hdr10plus_message(number, scale=2) for number in range(FRAMES)}
    assert [len(data) for data in of_frames(output, "DYNAMIC_HDR_PLUS")] == [11304] * FRAMES  # decoders take it


def found_messages(path: Path) -> dict[int, bytes]:
    """The HDR10+ messages in the packets of a clip, by the number of the frame as it is shown."""
    mark, length = hdr10plus_message(0)[:6], len(hdr10plus_message(0))
    with av.open(str(path)) as container:
        packets = [(packet.pts or 0, bytes(packet)) for packet in container.demux(video=0) if packet.size]
    shown = sorted(pts for pts, _ in packets)
    messages = {}
    for pts, data in packets:
        plain = data.replace(b"\x00\x00\x03", b"\x00\x00")
        messages[shown.index(pts)] = plain[plain.index(mark) :][:length]
    return messages


def test_an_hdr10plus_message_is_what_was_read(dynamic: Path) -> None:
    for number, data in enumerate(of_frames(dynamic, "DYNAMIC_HDR_PLUS")):
        assert hdr10plus.message(data) == hdr10plus_message(number)
        assert hdr10plus.message(hdr10plus.scaled(data, Fraction(3), Fraction(3))) == hdr10plus_message(number, scale=3)


def test_hdr10plus_that_a_coding_cannot_hold_is_told(dynamic: Path, tmp_path: Path) -> None:
    outcome = upscale(dynamic, *FAST, "-o", tmp_path / "x.mkv", "--codec", "libx264")
    assert outcome.code == 0, outcome.err
    told = " ".join(outcome.err.split())
    assert "HDR10+ dynamic metadata is left out: libx264" in told
    assert told.count("HDR10+ dynamic metadata") == 1


# Dolby Vision


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
    assert " ".join(outcome.err.split()).count("Dolby Vision dynamic metadata is left out; the base layer") == 1
    assert probe(tmp_path / "out.mp4").video[0].dynamic_hdr == ()
