"""What is found out about clips, and what is refused: every made clip is of a kind that a row below states."""

import io
import os
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from tests.clips import RECIPES, Clips, ffmpeg
from upscale_cli.errors import InputError
from upscale_cli.frames.colour_tags import ColourTags, ContentLight
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.media.video.colour import complete
from upscale_cli.media.video.first_frames import orientation_of
from upscale_cli.media.video.nearest_format import nearest_format
from upscale_cli.media.video.opening import WHITELIST_FORMATS, input_arguments, live_arguments, open_clip, pictures
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.signatures import looks_like_clip
from upscale_cli.media.video.streams import Orientation

FACTS: dict[str, dict[str, Any]] = {
    "plain": {"codec": "h264", "width": 96, "height": 64, "rate": 25, "frames": 12, "seconds": 0.48, "start": 0},
    "odd": {"codec": "ffv1", "width": 33, "height": 17, "pixel_format": "yuv420p"},
    "ntsc_film": {"rate": Fraction(24000, 1001)},
    "resized": {"width": 96, "height": 64},
    "raw_h264": {"untimed": True, "start": None, "seconds": None, "rate": 25},
    "raw_h265": {"untimed": True, "codec": "hevc"},
    "dv": {"untimed": False, "rate": 25, "seconds": 0.12},
    "anamorphic": {"sar": Fraction(64, 45)},
    "interlaced_mpeg2": {"interlaced": True},
    "interlaced_bff": {"interlaced": True},
    "rotated_90": {"orientation": Orientation(90.0)},
    "rotated_180": {"orientation": Orientation(180.0)},
    "rotated_mkv": {"orientation": Orientation(90.0)},
    "mirrored": {"orientation": Orientation(hflip=True)},
    "ten_bit": {"pixel_format": "yuv420p10le"},
    "alpha_vp9": {"pixel_format": "yuva420p", "alpha_decoder": "libvpx-vp9"},
    "alpha_vp8": {"pixel_format": "yuva420p", "alpha_decoder": "libvpx"},
    "alpha_prores": {"pixel_format": "yuva444p12le", "alpha_decoder": None},
    "full_range": {"tags": ColourTags("bt709", "bt709", "bt709", "pc", "left")},
    "bt601": {"tags": ColourTags("smpte170m", "smpte170m", "smpte170m", "tv", "left")},
    "untagged": {"tags": ColourTags(chroma_location="left")},
    "hlg": {"tags": ColourTags("bt2020nc", "bt2020", "arib-std-b67", "tv", "left"), "mastering": None},
    "hdr10": {"tags": ColourTags("bt2020nc", "bt2020", "smpte2084", "tv", "left"), "light": ContentLight(1000, 400)},
}


@pytest.mark.parametrize("name", FACTS)
def test_facts_of_the_main_stream(clips: Clips, name: str) -> None:
    clip = probe(clips(name))
    stream = clip.stream(clip.main)
    assert {fact: getattr(stream, fact) for fact in FACTS[name]} == FACTS[name]


def test_facts_of_the_whole_clip(clips: Clips) -> None:
    clip = probe(clips("ass_and_font"))
    assert [(other.kind, other.codec) for other in clip.others] == [
        ("audio", "aac"),
        ("subtitle", "ass"),
        ("attachment", "attachment"),
    ]
    assert clip.seekable
    assert clip.source == f"file:{clips('ass_and_font')}"
    assert probe(clips("chapters")).chapters == 3
    assert probe(clips("offset")).start_seconds == 1.5
    assert not probe(clips("transport")).seekable
    assert not probe(clips("raw_h264")).seekable


def test_the_mastering_display_is_exact(clips: Clips) -> None:
    found = [probe(clips(name)).video[0].mastering for name in ("hdr10", "hdr10_mp4")]
    assert found[0] is not None
    assert found[0] == found[1]
    with av.open(str(clips("hdr10"))) as container:
        frame: Any = next(container.decode(video=0))
        stored = next(bytes(side) for side in frame.side_data if side.type.name == "MASTERING_DISPLAY_METADATA")
    numbers = np.frombuffer(stored[:80], dtype=np.int32).reshape(10, 2)
    rationals = [Fraction(int(above), int(below)) for above, below in numbers]
    assert list(found[0].red) == rationals[:2]
    assert list(found[0].white) == rationals[6:8]
    assert [found[0].min_luminance, found[0].max_luminance] == rationals[8:]


def test_the_main_stream_is_the_default_one(clips: Clips) -> None:
    clip = probe(clips("two_videos"))
    flagged = [stream.index for stream in clip.video if "default" in stream.disposition]
    assert len(clip.video) == 2
    assert clip.main == (flagged or [clip.main])[0]


@pytest.mark.parametrize("name", ["cover", "cover_mkv"])
def test_cover_art_is_no_video(clips: Clips, name: str) -> None:
    clip = probe(clips(name))
    cover = [other.index for other in clip.others if other.kind == "picture"]
    assert len(clip.video) == len(cover) == 1
    assert pictures(clip, cover)[cover[0]].startswith(b"\xff\xd8\xff")


@pytest.mark.slow
@pytest.mark.parametrize("flips", [(), ("-display_hflip",), ("-display_vflip",), ("-display_hflip", "-display_vflip")])
@pytest.mark.parametrize("rotation", [0, 30, 90, 180, -90])
def test_an_orientation_written_again_is_the_same_matrix(
    clips: Clips, tmp_path: Path, rotation: int, flips: tuple[str, ...]
) -> None:
    first, again = tmp_path / "first.mp4", tmp_path / "again.mp4"
    ffmpeg("-display_rotation", rotation, *flips, "-i", clips("plain"), "-c", "copy", first)
    found = probe(first).video[0].orientation or Orientation()
    options = [*(["-display_hflip"] if found.hflip else []), *(["-display_vflip"] if found.vflip else [])]
    ffmpeg("-display_rotation", found.rotation, *options, "-i", clips("plain"), "-c", "copy", again)
    assert np.abs(np.subtract(matrix(first), matrix(again))).max() <= 1


def matrix(path: Path) -> list[int]:
    """Display matrix of the first frame; the identity where there is none."""
    with av.open(str(path)) as container:
        frame: Any = next(container.decode(video=0))
        for side in frame.side_data:
            if side.type.name == "DISPLAYMATRIX":
                return [int(number) for number in np.frombuffer(bytes(side), np.int32)]
    return [65536, 0, 0, 0, 65536, 0, 0, 0, 2**30]


def test_degenerate_matrices_are_ignored() -> None:
    assert orientation_of((0,) * 9) is None
    assert orientation_of((65536, 0, 0, 0, 65536, 0, 0, 0, 2**30)) is None


NAMES = [
    "a: b.mp4",
    "-dash.mp4",
    "with space.mp4",
    "q'uo\"te.mp4",
    "50%d.mp4",
    "world 世界 ü.mp4",
    "file:x.mp4",
    "two\nlines.mp4",
]
IMPOSSIBLE_ON_WINDOWS = frozenset(':"\n')


@pytest.mark.parametrize("name", NAMES)
def test_any_name_works(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if sys.platform == "win32" and IMPOSSIBLE_ON_WINDOWS & set(name):
        pytest.skip("no file can have this name here")
    (tmp_path / name).write_bytes(clips("plain").read_bytes())
    monkeypatch.chdir(tmp_path)
    clip = probe(name)
    assert clip.video[0].frames == 12
    command = [get_ffmpeg_exe(), "-v", "error", *input_arguments(clip), "-i", clip.source, "-f", "null", "-"]
    assert subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False).stderr == b""


# Whatever names another file


def scripts(secret: Path) -> dict[str, str]:
    return {
        "concat": f"ffconcat version 1.0\nfile '{secret.as_posix()}'\n",
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret.as_posix()}\n#EXT-X-ENDLIST\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
        "a=rtpmap:96 H264/90000\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        'mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet>'
        f'<Representation id="0" mimeType="video/mp4"><BaseURL>file:{secret.as_posix()}</BaseURL><SegmentBase/>'
        "</Representation></AdaptationSet></Period></MPD>",
        "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016"/>',
        "avisynth": f'AviSource("{secret.as_posix()}")\n',
        "tedcaptions": '{"captions":[{"duration":1000,"content":"x","startOfParagraph":true,"startTime":0}]}',
    }


@pytest.mark.parametrize("kind", scripts(Path("x")))
def test_no_script_or_playlist_is_followed(clips: Clips, tmp_path: Path, kind: str) -> None:
    script = tmp_path / "holiday.mp4"
    script.write_text(scripts(clips("plain"))[kind])
    with pytest.raises(InputError, match=r"^holiday\.mp4: ") as caught:
        probe(script)
    assert "\n" not in str(caught.value)
    source = f"file:{script}"
    clip = replace(probe(clips("plain")), source=source)
    command = [get_ffmpeg_exe(), "-v", "error", *input_arguments(clip), "-i", source, "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode != 0
    with pytest.raises(av.FFmpegError):
        open_clip(source)


def test_without_the_list_of_formats_a_script_would_be_followed(clips: Clips, tmp_path: Path) -> None:
    """What the lists are for; where this fails, the tests above prove nothing."""
    (tmp_path / "other.mp4").write_bytes(clips("plain").read_bytes())
    script = tmp_path / "holiday.mp4"
    script.write_text("ffconcat version 1.0\nfile other.mp4\n")
    with av.open(f"file:{script}", options={"protocol_whitelist": "file,pipe"}) as container:
        assert container.format.name == "concat"
    with pytest.raises(InputError):
        probe(script)


def test_no_listed_format_reads_other_files() -> None:
    following = {
        "concat",
        "hls",
        "dash",
        "imf",
        "image2",
        "image2pipe",
        "sdp",
        "rtsp",
        "rtp",
        "lavfi",
        "webm_dash_manifest",
    }
    assert not following & set(WHITELIST_FORMATS)
    assert not [name for name in WHITELIST_FORMATS if name.endswith("_pipe") or "," in name]


@pytest.mark.parametrize("address", ["file:x.mp4", "concat:a|b", "x.mp4", "data:,x", "subfile:,,:x", "crypto:x"])
def test_only_streams_are_live(address: str) -> None:
    with pytest.raises(InputError, match="live source"):
        live_arguments(address)


# Bad input


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("audio_only", "no video stream"),
        ("audio_only_mp4", "no video stream"),
        ("empty", "empty"),
        ("prose", "no clip that can be read"),
        ("noise", "no clip that can be read"),
    ],
)
def test_what_is_no_clip_is_refused_in_one_line(clips: Clips, name: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        probe(clips(name))
    assert str(caught.value).startswith(clips(name).name)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        probe(tmp_path / "missing.mp4")
    with pytest.raises(InputError, match="no such file"):
        probe("nul\0.mp4")
    with pytest.raises(InputError, match="folder"):
        probe(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="no regular file"):
        probe(tmp_path / "pipe.mp4")


def test_large_frames_are_refused_before_they_are_decoded(clips: Clips) -> None:
    with pytest.raises(InputError, match="96 x 64"):
        probe(clips("plain"), max_pixels=96 * 64 - 1)
    assert probe(clips("plain"), max_pixels=96 * 64).video


def test_a_decoder_allocates_no_frame_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=640x480:d=0.1", "-c:v", "libx264", path)
    with open_clip(f"file:{path}", max_pixels=1000) as container, pytest.raises(av.FFmpegError):
        next(container.decode(video=0))
    with open_clip(f"file:{path}", max_pixels=640 * 480) as container:
        assert next(container.decode(video=0)).width == 640


def test_the_head_of_standard_input_is_probed(clips: Clips) -> None:
    clip = probe(io.BytesIO(clips("plain").read_bytes()))
    assert (clip.source, clip.name, clip.seekable) == ("pipe:0", "standard input", False)
    assert clip.video[0].frames == 12


def test_a_video_stream_of_rubbish_is_refused(clips: Clips, tmp_path: Path) -> None:
    data = bytearray(clips("one_frame").read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") if data.find(b"moov") > start else len(data)
    data[start : end - 4] = bytes(end - 4 - start)
    (tmp_path / "rubbish.mp4").write_bytes(data)
    with pytest.raises(InputError, match="no picture"):
        probe(tmp_path / "rubbish.mp4")


@pytest.mark.parametrize("keep", [0.02, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["srt", "languages_mp4", "long_gop_ts", "alpha_vp9"])
def test_truncated_files_are_probed_or_refused(clips: Clips, tmp_path: Path, name: str, keep: float) -> None:
    data = clips(name).read_bytes()
    path = tmp_path / clips(name).name
    path.write_bytes(data[: int(len(data) * keep)])
    try:
        clip = probe(path)
    except InputError:
        return
    assert clip.video


# Signatures


NO_CLIPS = {"empty", "prose", "noise"}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_clips_are_told_by_their_content(clips: Clips, name: str) -> None:
    path = clips(name)
    assert looks_like_clip(path) == looks_like_clip(path.read_bytes()[:4096]) == (name not in NO_CLIPS)


def test_pictures_and_texts_are_no_clips(tmp_path: Path) -> None:
    heads = [
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"II*\0",
        b"BM",
        b"hello",
        b"",
    ]
    heads += [b"\0\0\0\x1cftypavif", b"\0\0\0\x18ftypheic", b"\0\0\x01\0", bytes(4096), b"G" * 100]
    assert not any(looks_like_clip(head) for head in heads)
    assert not looks_like_clip(tmp_path / "missing")


# Pixel formats and colours


LOSSLESS = (
    *("nv12", "nv16", "nv24", "p010le", "p012le", "y210le", "uyvy422", "yuyv422", "rgb24", "bgr24", "rgba", "bgra"),
    *("bgr0", "gbrp10be", "yuv420p10be", "x2rgb10le", "vuya", "gray10be"),
)


@pytest.mark.parametrize("name", LOSSLESS)
def test_a_lossless_neighbour_gives_every_sample_back(name: str) -> None:
    row, changed = nearest_format(name)
    assert not changed
    source = av.VideoFrame(64, 32, row.name)
    rng = np.random.default_rng(0)
    for plane in source.planes:
        samples = plane.buffer_size // row.dtype.itemsize
        plane.update(rng.integers(0, row.white, samples, row.dtype, endpoint=True).tobytes())
    again = source.reformat(format=name).reformat(format=row.name)
    for before, after, (height, width) in zip(source.planes, again.planes, row.plane_sizes(64, 32), strict=True):
        shape = (height, -1)
        first, second = (np.frombuffer(bytes(plane), row.dtype).reshape(shape)[:, :width] for plane in (before, after))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("name", "nearest", "changed"),
    [
        ("yuvj420p", "yuv420p", False),
        ("yuvj440p", "yuv440p", False),
        ("yuv411p", "yuv422p", True),
        ("yuv410p", "yuv420p", True),
        ("yuv440p10le", "yuv444p10le", True),
        ("yuv420p9le", "yuv420p10le", True),
        ("yuv420p16le", "yuv420p16le", False),
        ("yuva420p16le", "yuva420p16le", False),
        ("rgb48le", "gbrp16le", False),
        ("pal8", "gbrap", True),
        ("gray16le", "gray16le", False),
        ("ya8", "yuva444p", True),
        ("xyz12le", "gbrp12le", True),
        ("monob", "gray", True),
        ("rgba64le", "gbrap16le", False),
        ("yuv422p14le", "yuv422p16le", True),
        ("no such format", "yuv420p", True),
    ],
)
def test_other_formats_have_a_nearest_one(name: str, nearest: str, changed: bool) -> None:
    assert nearest_format(name) == (FORMATS[nearest], changed)


def test_every_format_of_ffmpeg_has_a_nearest_one() -> None:
    listed = subprocess.run([get_ffmpeg_exe(), "-v", "error", "-pix_fmts"], capture_output=True, text=True, check=True)
    names = [line.split()[1] for line in listed.stdout.splitlines() if len(line.split()) > 4 and line[0] in "I."]
    assert len(names) > 150
    assert all(nearest_format(name)[0].name in FORMATS for name in names)


@pytest.mark.parametrize(
    ("size", "format", "tags", "completed"),
    [
        ((1920, 1080), "yuv420p", ColourTags(), ColourTags("bt709", "bt709", "bt709", "tv", "left")),
        ((1280, 480), "yuv420p", ColourTags(), ColourTags("bt709", "bt709", "bt709", "tv", "left")),
        ((720, 576), "yuv420p", ColourTags(), ColourTags("bt470bg", "bt470bg", "bt709", "tv", "left")),
        ((720, 480), "yuv420p", ColourTags(), ColourTags("smpte170m", "smpte170m", "bt709", "tv", "left")),
        ((640, 360), "yuv444p", ColourTags(), ColourTags("smpte170m", "bt709", "bt709", "tv", None)),
        ((640, 360), "yuv420p", ColourTags(range="pc"), ColourTags("smpte170m", "bt709", "bt709", "pc", "center")),
        (
            (640, 360),
            "yuv420p10le",
            ColourTags(primaries="bt2020", transfer="smpte2084"),
            ColourTags("bt2020nc", "bt2020", "smpte2084", "tv", "left"),
        ),
        ((64, 64), "gbrp", ColourTags(), ColourTags("gbr", "bt709", "iec61966-2-1", "pc", None)),
        ((64, 64), "gray", ColourTags(), ColourTags("smpte170m", "bt709", "bt709", "pc", None)),
    ],
)
def test_missing_tags_are_guessed_as_players_do(
    size: tuple[int, int], format: str, tags: ColourTags, completed: ColourTags
) -> None:
    found, line = complete(tags, *size, FORMATS[format])
    assert found == completed
    assert line is not None
    assert complete(found, 4 * size[0], 4 * size[1], FORMATS[format]) == (found, None)
