"""Encoders: which one is chosen, with which arguments, and that what they write reads back as what was meant.

Frames go in as they do in earnest: raw in NUT through a pipe. PyAV reads what comes out.
"""

import io
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from upscale_cli.errors import DeviceError, FFmpegError, OptionError
from upscale_cli.frames.colour_tags import ColourTags, ContentLight, MasteringDisplay
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.media.video import encoder_arguments, encoder_choice
from upscale_cli.media.video.codecs import CODECS, PIXEL_FORMATS
from upscale_cli.media.video.encoder_choice import ENVIRONMENT, choose_encoder
from upscale_cli.media.video.encoder_pixel_format import loss, nearest
from upscale_cli.media.video.encoding import EncodeOptions, Encoder, Picture
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, find_ffmpeg
from upscale_cli.media.video.streams import Orientation
from upscale_cli.messages import Message

SUFFIX = {"mp4": "mp4", "mov": "mov", "matroska": "mkv", "webm": "webm", "mpegts": "ts", "nut": "nut", "avi": "avi"}
BT709 = ColourTags("bt709", "bt709", "bt709", "tv", "left")
TAGS = {
    "bt709": BT709,
    "bt709 pc": replace(BT709, range="pc"),
    "ntsc": ColourTags("smpte170m", "smpte170m", "smpte170m", "tv", "topleft"),
    "pal": ColourTags("bt470bg", "bt470bg", "smpte170m", "tv", "center"),
    "pq": ColourTags("bt2020nc", "bt2020", "smpte2084", "tv", "topleft"),
    "hlg": ColourTags("bt2020nc", "bt2020", "arib-std-b67", "tv", "left"),
}
RGB = ColourTags("gbr", "bt709", "iec61966-2-1", "pc")
NUMBERS = {"bt709": 1, "bt470bg": 5, "smpte170m": 6, "bt2020": 9, "bt2020nc": 9, "smpte2084": 16, "arib-std-b67": 18}
DISPLAY = MasteringDisplay(
    red=(Fraction(34000, 50000), Fraction(16000, 50000)),
    green=(Fraction(13250, 50000), Fraction(34500, 50000)),
    blue=(Fraction(7500, 50000), Fraction(3000, 50000)),
    white=(Fraction(15635, 50000), Fraction(16450, 50000)),
    min_luminance=Fraction(50, 10000),
    max_luminance=Fraction(1000),
)
LIGHT = ContentLight(max_cll=1000, max_fall=400)

Samples = NDArray[Any]


@pytest.fixture(scope="module")
def ffmpeg() -> FFmpeg:
    return find_ffmpeg()


@pytest.fixture
def needs(ffmpeg: FFmpeg) -> Callable[[str], None]:
    def check(name: str) -> None:
        if name not in ffmpeg.encoders:
            pytest.skip(f"this ffmpeg is built without {name}")

    return check


def picture(pix_fmt: str = "yuv420p", width: int = 128, height: int = 128, **more: Any) -> Picture:
    tags = more.pop("tags", RGB if FORMATS[pix_fmt].model == "rgb" else BT709)
    return Picture(format=FORMATS[pix_fmt], width=width, height=height, rate=Fraction(24000, 1001), tags=tags, **more)


def choose(what: Picture, container: str, ffmpeg: FFmpeg, **options: Any) -> tuple[Encoder, str]:
    """The encoder, and what was reported about it."""
    reported: list[str] = []
    return choose_encoder(EncodeOptions(**options), what, container, ffmpeg, reported.append), Message(
        " ".join(reported)
    )


def frames_of(what: Picture, chosen: Encoder, count: int = 4) -> list[Samples]:
    """Smooth frames of the size to be fed, within the legal range."""
    size = what.format.frame_samples(chosen.width, chosen.height)
    ramps = (np.linspace(0.25 + 0.02 * number, 0.75, size) for number in range(count))
    return [np.round(ramp * what.format.white).astype(what.format.dtype) for ramp in ramps]


def encode(
    what: Picture, chosen: Encoder, container: str, folder: Path, ffmpeg: FFmpeg, *, name: str = "out", first: int = 0
) -> Path:
    """Writes four frames through the pipe with exactly the encoder's arguments."""
    nut = io.BytesIO()
    with av.open(nut, "w", format="nut") as output:
        stream: Any = output.add_stream("rawvideo", rate=what.rate)
        stream.width, stream.height, stream.pix_fmt = chosen.width, chosen.height, what.format.name
        stream.codec_context.time_base = Fraction(1001, 24000)
        for number, samples in enumerate(frames_of(what, chosen)):
            packet = av.Packet(samples.tobytes())
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1001, 24000), True
            packet.pts = packet.dts = first + number
            output.mux(packet)
    path = folder / f"{name}.{SUFFIX[container]}"
    command = [ffmpeg.path, "-hide_banner", "-loglevel", "error", "-y", *chosen.device_arguments, "-copyts"]
    command += [*chosen.input_arguments, "-f", "nut", "-i", "pipe:0", "-vf", chosen.filters, *chosen.arguments]
    command += ["-fps_mode", "passthrough", "-enc_time_base", "demux", f"file:{path}"]
    done = subprocess.run(command, input=nut.getvalue(), capture_output=True, check=False, env=os.environ | ENVIRONMENT)
    assert done.returncode == 0, done.stderr.decode()
    return path


def read(path: Path) -> tuple[Any, list[Any]]:
    """(stream, decoded frames); the file is closed, its facts stay."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        return stream, list(source.decode(stream))


def samples_of(frame: Any, pix_fmt: str) -> Samples:
    """The planes of a decoded frame, one after the other, without padding; packed RGB is taken apart first."""
    frame = frame if frame.format.name == pix_fmt else frame.reformat(format=pix_fmt)
    sizes = FORMATS[pix_fmt].plane_sizes(frame.width, frame.height)
    parts = []
    for plane, (rows, columns) in zip(frame.planes, sizes, strict=True):
        whole = np.frombuffer(plane, FORMATS[pix_fmt].dtype).reshape(plane.height, -1)
        parts.append(whole[:rows, :columns].ravel())
    return np.concatenate(parts)


# Which one


@pytest.mark.parametrize(
    ("pix_fmt", "container", "name", "encoded"),
    [
        ("yuv420p", "mp4", "libx264", "yuv420p"),
        ("yuv422p", "matroska", "libx264", "yuv422p"),
        ("yuv444p", "mov", "libx264", "yuv444p"),
        ("yuv440p", "mp4", "libx264", "yuv444p"),
        ("gray", "mp4", "libx264", "yuv420p"),
        ("gray10le", "mp4", "libx265", "gray10le"),
        ("yuv420p10le", "mp4", "libx265", "yuv420p10le"),
        ("yuv444p12le", "mp4", "libx265", "yuv444p12le"),
        ("yuv420p10le", "avi", "libx264", "yuv420p10le"),
        ("yuv420p", "webm", "libvpx-vp9", "yuv420p"),
        ("yuv422p10le", "webm", "libvpx-vp9", "yuv422p10le"),
        ("yuva420p", "webm", "libvpx-vp9", "yuva420p"),
        ("yuva444p10le", "mov", "prores_ks", "yuva444p10le"),
        ("yuva420p", "mov", "prores_ks", "yuva444p10le"),
        ("yuva420p", "matroska", "ffv1", "yuva420p"),
        ("gbrap", "matroska", "ffv1", "bgra"),
        ("yuva420p", "mp4", "libx264", "yuv420p"),
        ("gbrp", "mp4", "libx264rgb", "rgb24"),
        ("gbrp", "webm", "libvpx-vp9", "gbrp"),
        ("gbrp12le", "matroska", "libx265", "gbrp12le"),
    ],
)
def test_auto_keeps_what_it_can(
    ffmpeg: FFmpeg, needs: Callable[[str], None], pix_fmt: str, container: str, name: str, encoded: str
) -> None:
    needs(name)
    chosen, reported = choose(picture(pix_fmt), container, ffmpeg)
    assert (chosen.name, chosen.pix_fmt) == (name, encoded)
    loses_alpha = FORMATS[pix_fmt].alpha and not PIXEL_FORMATS[encoded].alpha
    assert ("without its transparency" in reported) == loses_alpha


def test_auto_takes_hevc_for_hdr_even_at_eight_bits(ffmpeg: FFmpeg, needs: Callable[[str], None]) -> None:
    needs("libx265")
    assert choose(picture(tags=TAGS["hlg"]), "mp4", ffmpeg)[0].name == "libx265"


def test_what_an_encoder_cannot_take_is_said(ffmpeg: FFmpeg, needs: Callable[[str], None]) -> None:
    needs("libsvtav1")
    chosen, reported = choose(picture("yuv444p12le"), "mp4", ffmpeg, codec="libsvtav1")
    assert chosen.pix_fmt == "yuv420p10le"
    assert "without its 12 bits and chroma resolution" in reported


@pytest.mark.parametrize(
    ("container", "options", "message"),
    [
        ("mp4", {"codec": "x264"}, r"codec='x264' is unknown\. This ffmpeg has: auto, .*ffv1"),
        ("mp4", {"codec": "prores_ks"}, r"mp4 cannot hold prores\. Choose one of libx264"),
        ("webm", {"codec": "libx264"}, r"webm cannot hold h264\. Choose one of .*libvpx-vp9"),
        ("ogg", {}, r"ogg can hold nothing"),
        ("mp4", {"crf": 52}, r"crf=52: libx264 takes numbers from 0 \(best\) to 51 \(worst\)"),
        ("webm", {"crf": 20.5}, r"crf=20\.5: libvpx-vp9 takes whole numbers from 0"),
        ("matroska", {"codec": "ffv1", "crf": 10}, r"crf=10: ffv1 has no such scale"),
        ("mp4", {"preset": "quick"}, r"preset='quick': libx264 does not know it\. It takes ultrafast"),
        ("mov", {"codec": "prores_ks", "preset": "fast"}, r"It has none; leave it out"),
        ("mp4", {"pix_fmt": "yuv"}, r"pix_fmt='yuv' is none of: "),
        (
            "mp4",
            {"codec": "libx264", "pix_fmt": "gray12le"},
            r"pix_fmt='gray12le': libx264 does not take it\. It takes ",
        ),
        ("mp4", {"extra": (("i", "/etc/passwd"),)}, r"extra='i=/etc/passwd': libx264 has no option 'i'"),
        ("mp4", {"extra": (("vf", "hflip"),)}, r"libx264 has no option 'vf'"),
        ("mp4", {"extra": (("passlogfile", "x"),)}, r"libx264 has no option 'passlogfile'"),
        ("mp4", {"extra": (("profile", "nonsense"),)}, r"libx264 fails with extra='profile=nonsense'"),
    ],
)
def test_what_makes_no_sense_is_one_line(ffmpeg: FFmpeg, container: str, options: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message) as caught:
        choose(picture(), container, ffmpeg, **options)
    assert "\n" not in str(caught.value)


def test_an_encoder_that_is_not_in_the_build_is_told_from_an_unknown_one(ffmpeg: FFmpeg) -> None:
    small = replace(ffmpeg, encoders=ffmpeg.encoders - {"libx265"})
    with pytest.raises(OptionError, match=r"codec='libx265': ffmpeg .* is built without it\. It has: libx264"):
        choose(picture(), "mp4", small, codec="libx265")


# Sizes


@pytest.mark.slow
@pytest.mark.parametrize(("width", "height"), [(67, 65), (67, 64), (64, 65), (1, 1), (129, 301)])
@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt", "rounds"),
    [
        ("libx264", "mp4", "yuv420p", (2, 2)),
        ("libx264", "mp4", "yuv422p", (2, 1)),
        ("libx264", "mp4", "yuv444p", (1, 1)),
        ("libvpx-vp9", "webm", "yuv420p", (1, 1)),
        ("ffv1", "matroska", "yuv420p", (1, 1)),
        ("prores_ks", "mov", "yuv422p10le", (1, 1)),
    ],
)
def test_odd_sides_are_kept_where_the_encoder_can(
    tmp_path: Path, ffmpeg: FFmpeg, codec: str, container: str, pix_fmt: str, rounds: Any, width: int, height: int
) -> None:
    what = picture(pix_fmt, width, height)
    chosen, _ = choose(what, container, ffmpeg, codec=codec)
    assert chosen.name == codec
    assert (chosen.width, chosen.height) == (width + width % rounds[0], height + height % rounds[1])
    _, frames = read(encode(what, chosen, container, tmp_path, ffmpeg))
    assert [(frame.width, frame.height) for frame in frames] == [(chosen.width, chosen.height)] * 4


def test_padding_does_not_change_the_aspect(ffmpeg: FFmpeg) -> None:
    what = picture(width=101, height=55, sar=Fraction(16, 11))
    chosen, _ = choose(what, "mp4", ffmpeg, codec="libx264")
    assert chosen.sar * chosen.width / chosen.height == what.sar * what.width / what.height


@given(st.fractions(min_value=Fraction(1, 10**7), max_value=10**7))
def test_any_ratio_fits_sixteen_bits(ratio: Fraction) -> None:
    fitted = encoder_arguments._sixteen_bits(ratio)
    assert 1 <= fitted.numerator <= 65535
    assert 1 <= fitted.denominator <= 65535
    assert fitted == ratio or abs(fitted / ratio - 1) < 1e-4 or not Fraction(1, 6000) < ratio < 6000


@pytest.mark.parametrize("codec", ["auto", "libx265"])
@pytest.mark.parametrize("side", [1, 8, 40])
def test_a_picture_that_is_too_small_gets_another_encoder_which_is_reported(
    tmp_path: Path, ffmpeg: FFmpeg, needs: Callable[[str], None], codec: str, side: int
) -> None:
    needs("libx265")
    what = picture("yuv444p10le", side, side)
    chosen, reported = choose(what, "mp4", ffmpeg, codec=codec, preset="fast", crf=51)
    assert chosen.name == "libx264"
    assert f"libx265 cannot encode {side} x {side} pixels" in reported
    assert "libx264 is used instead" in reported
    _, frames = read(encode(what, chosen, "mp4", tmp_path, ffmpeg))
    assert len(frames) == 4


def test_a_picture_that_is_too_large_for_all_says_so(ffmpeg: FFmpeg) -> None:
    with pytest.raises(FFmpegError, match=r"libx264 cannot encode 20000 x 64 pixels .*Choose a smaller"):
        choose(picture(width=20000, height=64), "mp4", ffmpeg)
    assert choose(picture(width=20000, height=64), "matroska", ffmpeg)[0].name == "ffv1"
    with pytest.raises(FFmpegError, match="ffmpeg takes no more than 268 million"):
        choose(picture(width=16384, height=16384), "matroska", ffmpeg)


# What is written


@pytest.mark.slow
@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt"),
    [
        ("libx264", "mp4", "yuv420p"),
        ("libx264", "matroska", "yuv420p10le"),
        ("libx264", "mpegts", "yuv422p"),
        ("libx265", "mp4", "yuv420p10le"),
        ("libx265", "mov", "yuv422p12le"),
        ("libx265", "matroska", "gray"),
        ("libsvtav1", "mp4", "yuv420p10le"),
        ("libsvtav1", "webm", "yuv420p"),
        ("libvpx-vp9", "webm", "yuv420p"),
        ("libvpx-vp9", "matroska", "yuv444p12le"),
        ("prores_ks", "mov", "yuv422p10le"),
        ("ffv1", "matroska", "yuv420p"),
        ("ffv1", "matroska", "gray12le"),
    ],
)
def test_tags_read_back(
    tmp_path: Path, ffmpeg: FFmpeg, needs: Callable[[str], None], codec: str, container: str, pix_fmt: str, tags: str
) -> None:
    needs(codec)
    meant = TAGS[tags]
    what = picture(pix_fmt, tags=meant)
    chosen, reported = choose(what, container, ffmpeg, codec=codec)
    path = encode(what, chosen, container, tmp_path, ffmpeg)
    _, frames = read(path)
    limited = meant.range == "tv" or codec == "prores_ks"
    assert ("limited range" in reported) == (limited and meant.range == "pc")
    for frame in frames:
        assert NUMBERS[meant.matrix or ""] == frame.colorspace
        assert NUMBERS[meant.primaries or ""] == frame.color_primaries
        assert NUMBERS[meant.transfer or ""] == frame.color_trc
        assert frame.color_range == (1 if limited else 2)
    # ProRes in MOV has no place for the siting, H.264 and H.265 only for that of 4:2:0, AV1 for no centre.
    if "420" in pix_fmt and not (codec == "libsvtav1" and meant.chroma_location == "center"):
        described = subprocess.run([ffmpeg.path, "-loglevel", "debug", "-i", path], capture_output=True, check=False)
        assert f", {meant.chroma_location})".encode() in described.stderr


@pytest.mark.slow
@pytest.mark.parametrize("pix_fmt", sorted(FORMATS))
@pytest.mark.parametrize("side", ["tv", "pc"])
def test_ffv1_in_matroska_changes_no_sample(tmp_path: Path, ffmpeg: FFmpeg, pix_fmt: str, side: Any) -> None:
    what = (
        picture(pix_fmt, 67, 65)
        if FORMATS[pix_fmt].model == "rgb"
        else picture(pix_fmt, 67, 65, tags=replace(BT709, range=side))
    )
    chosen, reported = choose(what, "matroska", ffmpeg, codec="ffv1")
    _, frames = read(encode(what, chosen, "matroska", tmp_path, ffmpeg))
    for frame, meant in zip(frames, frames_of(what, chosen), strict=True):
        np.testing.assert_array_equal(samples_of(frame, pix_fmt), meant)
    assert not reported


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt"),
    [
        ("libx264", "mp4", "yuv420p"),
        ("libx264", "mp4", "yuv440p"),
        ("libx264", "mp4", "gray"),
        ("libx264", "mp4", "yuv420p12le"),
        ("libx264", "mp4", "gbrp"),
        ("libx264", "mp4", "gbrp10le"),
        ("libx265", "mp4", "yuv422p12le"),
        ("libx265", "mp4", "gbrp12le"),
        ("libsvtav1", "mp4", "yuv444p"),
        ("libvpx-vp9", "webm", "gray10le"),
        ("libvpx-vp9", "webm", "gbrp"),
        ("prores_ks", "mov", "yuv420p"),
        ("prores_ks", "mov", "gray"),
        ("prores_ks", "mov", "gbrp"),
    ],
)
@pytest.mark.parametrize("side", ["tv", "pc"])
def test_the_picture_stays_the_picture(
    tmp_path: Path, ffmpeg: FFmpeg, needs: Callable[[str], None], codec: str, container: str, pix_fmt: str, side: Any
) -> None:
    """Within what the codec loses on a ramp; a wrong range or matrix would be off by much more."""
    needs(codec)
    rgb = FORMATS[pix_fmt].model == "rgb"
    what = picture(pix_fmt) if rgb else picture(pix_fmt, tags=replace(BT709, range=side))
    chosen, _ = choose(what, container, ffmpeg, codec=codec)
    _, frames = read(encode(what, chosen, container, tmp_path, ffmpeg))
    meant = _as_rgb(_raw_frame(what, chosen))
    seen = _as_rgb(frames[0])
    assert np.abs(meant - seen).mean() < 2.5


def _raw_frame(what: Picture, chosen: Encoder) -> Any:
    """The first frame that was fed, as PyAV holds frames."""
    frame = av.VideoFrame(chosen.width, chosen.height, what.format.name)
    samples, position = frames_of(what, chosen)[0], 0
    for plane, (rows, columns) in zip(frame.planes, what.format.plane_sizes(chosen.width, chosen.height), strict=True):
        part = samples[position : position + rows * columns].reshape(rows, columns)
        padded = np.zeros((rows, plane.line_size // part.itemsize), part.dtype)
        padded[:, :columns] = part
        plane.update(padded.tobytes())
        position += rows * columns
    if what.format.model != "rgb":
        frame.colorspace = 1
        frame.color_range = 2 if what.tags.range == "pc" else 1
    return frame


def _as_rgb(frame: Any) -> NDArray[np.int64]:
    if frame.format.name.startswith("gray"):  # ffmpeg takes grey for full range, whatever it is tagged
        luma = frame.to_ndarray().astype(np.float64) / (2.0 ** frame.format.components[0].bits - 1) * 255
        luma = luma if frame.color_range == 2 else (luma - 16) * 255 / 219
        return np.repeat(luma.round().astype(np.int64)[..., None], 3, axis=2)
    return np.asarray(frame.to_ndarray(format="rgb24"), np.int64)


@pytest.mark.parametrize(
    ("codec", "container", "pix_fmt"),
    [
        ("libvpx-vp9", "webm", "yuva420p"),
        ("libvpx-vp9", "matroska", "yuva420p"),
        ("prores_ks", "mov", "yuva444p10le"),
    ],
)
def test_transparency_is_kept(tmp_path: Path, ffmpeg: FFmpeg, codec: str, container: str, pix_fmt: str) -> None:
    what = picture(pix_fmt)
    chosen, reported = choose(what, container, ffmpeg, codec=codec)
    path = encode(what, chosen, container, tmp_path, ffmpeg)
    size = what.format.frame_samples(128, 128)
    # FFmpeg's own VP9 decoder leaves transparency out.
    decoder = ["-c:v", "libvpx-vp9"] if codec == "libvpx-vp9" else []
    command = [ffmpeg.path, "-loglevel", "error", *decoder, "-i", str(path), "-f", "rawvideo", "-pix_fmt", pix_fmt, "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    seen = np.frombuffer(raw, what.format.dtype)[:size]
    alpha = slice(size - 128 * 128, size)
    assert np.abs(seen[alpha].astype(int) - frames_of(what, chosen)[0][alpha]).max() <= what.format.white * 0.02
    assert not reported


@pytest.mark.parametrize(
    ("codec", "container"),
    [
        ("libx265", "mp4"),
        ("libx265", "matroska"),
        ("libx264", "mp4"),
        ("libsvtav1", "mp4"),
        ("libvpx-vp9", "webm"),
        ("prores_ks", "mov"),
        ("ffv1", "matroska"),
    ],
)
def test_hdr10_metadata_reads_back(
    tmp_path: Path, ffmpeg: FFmpeg, needs: Callable[[str], None], codec: str, container: str
) -> None:
    needs(codec)
    what = picture("yuv420p10le", tags=TAGS["pq"], mastering=DISPLAY, light=LIGHT)
    chosen, reported = choose(what, container, ffmpeg, codec=codec)
    if "left out" in reported:
        assert not ffmpeg.has_hdr_options
        assert codec in ("libvpx-vp9", "prores_ks", "ffv1")
        return
    _, frames = read(encode(what, chosen, container, tmp_path, ffmpeg))
    side = {
        data.type.name: np.frombuffer(bytes(data), np.int32)
        for data in frames[0].side_data
        if "LIGHT" in data.type.name or "MASTERING" in data.type.name
    }
    assert side["CONTENT_LIGHT_LEVEL"].tolist() == [1000, 400]
    pairs = side["MASTERING_DISPLAY_METADATA"][:20].reshape(10, 2)
    values = [Fraction(int(top), int(bottom)) for top, bottom in pairs]
    meant = [*DISPLAY.red, *DISPLAY.green, *DISPLAY.blue, *DISPLAY.white, DISPLAY.min_luminance, DISPLAY.max_luminance]
    grid = Fraction(1, 16384) if codec == "libsvtav1" else 0  # AV1 stores binary fractions
    assert all(abs(value - other) <= grid for value, other in zip(values, meant, strict=True))


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_sample_aspect_ratio_reads_back(
    tmp_path: Path, ffmpeg: FFmpeg, needs: Callable[[str], None], codec: str, container: str
) -> None:
    needs(codec)
    what = picture(sar=Fraction(64, 45))
    chosen, _ = choose(what, container, ffmpeg, codec=codec)
    stream, _ = read(encode(what, chosen, container, tmp_path, ffmpeg))
    assert stream.sample_aspect_ratio == Fraction(64, 45)


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
@pytest.mark.parametrize("rotation", [90.0, 180.0, -90.0])
def test_rotation_reads_back(tmp_path: Path, ffmpeg: FFmpeg, container: str, rotation: float) -> None:
    what = picture(width=160, orientation=Orientation(rotation))
    chosen, _ = choose(what, container, ffmpeg, codec="libx264")
    _, frames = read(encode(what, chosen, container, tmp_path, ffmpeg))
    assert (frames[0].width, frames[0].height) == (160, 128)
    assert (frames[0].rotation - rotation) % 360 == 0


# The user's own arguments


def test_quality_and_speed_do_what_they_say(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    noise = picture(width=256, height=256)
    sizes = []
    for crf in (5, 30):
        chosen, _ = choose(noise, "mp4", ffmpeg, crf=crf, preset="veryfast")
        assert f"-crf {crf} -preset veryfast" in " ".join(chosen.arguments)
        sizes.append(encode(noise, chosen, "mp4", tmp_path, ffmpeg).stat().st_size)
    assert sizes[0] > sizes[1]


def test_the_users_parameters_join_ours(ffmpeg: FFmpeg, needs: Callable[[str], None]) -> None:
    needs("libx265")
    extra = (("x265-params", "keyint=5"), ("bf", "2"))
    chosen, _ = choose(picture(), "mp4", ffmpeg, codec="libx265", closed_gop=True, extra=extra)
    given = dict(zip(chosen.arguments[::2], chosen.arguments[1::2], strict=True))
    assert given["-x265-params"] == "log-level=error:open-gop=0:keyint=5"
    assert given["-bf"] == "2"


def test_a_bit_rate_of_the_users_ends_constant_quality(ffmpeg: FFmpeg) -> None:
    chosen, _ = choose(picture(), "mp4", ffmpeg, extra=(("b", "1M"),))
    assert "-crf" not in chosen.arguments


def test_a_pixel_format_that_is_asked_for_is_made_and_reported(tmp_path: Path, ffmpeg: FFmpeg) -> None:
    what = picture("yuv444p")
    chosen, reported = choose(what, "mp4", ffmpeg, pix_fmt="yuv420p")
    assert "without its chroma resolution: as pix_fmt= says" in reported
    _, frames = read(encode(what, chosen, "mp4", tmp_path, ffmpeg))
    assert frames[0].format.name == "yuv420p"


@given(st.sampled_from(sorted(FORMATS)), st.sets(st.sampled_from(sorted(PIXEL_FORMATS)), min_size=1))
def test_the_nearest_format_is_the_same_one_where_there_is_one(name: str, offered: set[str]) -> None:
    formats = tuple(PIXEL_FORMATS[other] for other in sorted(offered))
    chosen = nearest(PIXEL_FORMATS[name], formats)
    assert name not in offered or chosen.name in (name, "nv12", "p010le", "yuv444p16le", "rgb24", "bgr0", "bgra")
    assert all(loss(PIXEL_FORMATS[name], chosen) <= loss(PIXEL_FORMATS[name], other) for other in formats)


# Hardware, realtime, live


def test_a_hardware_encoder_that_fails_says_why(ffmpeg: FFmpeg, monkeypatch: pytest.MonkeyPatch) -> None:
    pretended = replace(ffmpeg, encoders=ffmpeg.encoders | {"h264_vaapi"})
    monkeypatch.setattr(encoder_choice, "trial", lambda *_: "No VA display found")
    with pytest.raises(DeviceError, match=r'codec=.h264_vaapi. does not work here \("No VA display found"\)'):
        choose(picture(), "mp4", pretended, codec="h264_vaapi")


def test_realtime_takes_hardware_where_it_works(ffmpeg: FFmpeg, monkeypatch: pytest.MonkeyPatch) -> None:
    pretended = replace(ffmpeg, encoders=ffmpeg.encoders | {"h264_vaapi", "hevc_vaapi"})
    monkeypatch.setattr(encoder_choice, "HARDWARE_BY_PLATFORM", dict.fromkeys(("linux", "darwin", "win32"), ("vaapi",)))
    monkeypatch.setattr(encoder_choice, "trial", lambda *_: None)
    assert choose(picture(), "mp4", pretended, realtime=True)[0].name == "h264_vaapi"
    assert choose(picture("yuv444p"), "mp4", pretended, realtime=True)[0].name == "libx264"  # 4:4:4 would be lost
    monkeypatch.setattr(encoder_choice, "trial", lambda *_: "no device")
    chosen, reported = choose(picture(), "mp4", pretended, realtime=True)
    assert (chosen.name, reported) == ("libx264", "")
    assert "ultrafast" in chosen.arguments


@pytest.mark.parametrize(
    ("codec", "container"), [("libx264", "mp4"), ("libx265", "mp4"), ("libsvtav1", "mp4"), ("libvpx-vp9", "webm")]
)
def test_live_has_no_reordering(
    tmp_path: Path, ffmpeg: FFmpeg, needs: Callable[[str], None], codec: str, container: str
) -> None:
    needs(codec)
    what = picture()
    chosen, _ = choose(what, container, ffmpeg, codec=codec, realtime=True, live=True)
    with av.open(str(encode(what, chosen, container, tmp_path, ffmpeg))) as source:
        packets = [packet for packet in source.demux(video=0) if packet.size]
    assert len(packets) == 4
    assert all(packet.pts == packet.dts for packet in packets)


@pytest.mark.parametrize("name", [name for name, codec in CODECS.items() if not codec.hardware])
def test_fresh_runs_of_an_encoder_can_be_joined(
    tmp_path: Path, ffmpeg: FFmpeg, needs: Callable[[str], None], name: str
) -> None:
    """The same parameter sets, a keyframe first: so packets of one run may follow those of another."""
    needs(name)
    pix_fmt = {"prores": "yuv422p10le"}.get(CODECS[name].kind, "gbrp" if name == "libx264rgb" else "yuv420p")
    what = picture(pix_fmt)
    chosen, _ = choose(what, "matroska", ffmpeg, codec=name, closed_gop=True)
    headers = []
    for number in (0, 4):
        path = encode(what, chosen, "matroska", tmp_path, ffmpeg, name=f"part{number}", first=number)
        with av.open(str(path)) as source:
            headers.append(source.streams.video[0].codec_context.extradata)
            assert next(source.demux(video=0)).is_keyframe
    assert headers[0] == headers[1]
    assert chosen.name == name
