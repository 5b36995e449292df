"""Frames out of clips and into clips, sample for sample and tick for tick, against PyAV as the independent reader."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray

from tests.clips import Clips, corrupted, ffmpeg, moving, recipe
from tests.examine import examine, planes
from upscale_cli.errors import FFmpegError, InputError, OutputError
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import FORMATS, PixelFormat
from upscale_cli.frames.video import VideoFrame
from upscale_cli.media.video import reader as reader_module
from upscale_cli.media.video import writer as writer_module
from upscale_cli.media.video.container import CONTAINERS
from upscale_cli.media.video.encoder_choice import choose_encoder
from upscale_cli.media.video.encoding import EncodeOptions, Encoder, Picture
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg
from upscale_cli.media.video.ffmpeg.process import Child
from upscale_cli.media.video.nearest_format import nearest_format
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.reader import VideoReader
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.media.video.writer import VideoWriter
from upscale_cli.media.video.writer_arguments import Track

EVERYTHING = DecodeOptions()
TAGS = ColourTags("bt709", "bt709", "bt709", "tv", "left")
posix = pytest.mark.skipif(os.name == "nt", reason="scripts that are programs")


@pytest.fixture(autouse=True)
def _no_process_is_left() -> Iterator[None]:
    """No process outlives the block that started it."""
    before = psutil.Process().children(recursive=True)
    yield
    left = [process for process in psutil.Process().children(recursive=True) if process not in before]
    assert not left, left


# Reading and writing in a few words


def opened(path: Path, options: DecodeOptions = EVERYTHING, *, stream: int | None = None) -> VideoReader:
    clip = probe(path)
    video = clip.stream(clip.main if stream is None else stream)
    return VideoReader(
        clip, video, nearest_format(video.pixel_format)[0], find_ffmpeg(), options=options, say=lambda _: None
    )


@dataclass
class Taken:
    """What a reader gave, and how it ended."""

    frames: list[VideoFrame]
    reader: VideoReader

    @property
    def pts(self) -> list[int]:
        return [frame.pts for frame in self.frames]

    @property
    def seconds(self) -> list[Fraction]:
        return [frame.pts * self.reader.time_base for frame in self.frames]


def read(path: Path, **options: Any) -> Taken:
    stream = options.pop("stream", None)
    with opened(path, DecodeOptions(**options), stream=stream) as reader:
        return Taken(list(reader), reader)


def stored(format: PixelFormat, codec: str) -> Encoder:
    """An encoder that changes nothing and asks nothing."""
    return Encoder(
        name=codec, pix_fmt=format.name, width=0, height=0, sar=Fraction(1), input_arguments=(), filters="null",
        arguments=("-c:v", codec, "-pix_fmt", format.name), device_arguments=(),
    )  # fmt: skip


def write(
    path: Path,
    frames: list[NDArray[Any]],
    format: PixelFormat,
    size: tuple[int, int],
    *,
    encoder: Encoder | None = None,
    times: list[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    container: str = "NUT",
    **track: Any,
) -> None:
    width, height = size
    made = replace(encoder or stored(format, "rawvideo"), width=width, height=height)
    whole = Track(format=format, encoder=made, time_base=time_base, rate=Fraction(25), **track)
    with VideoWriter(path, path.name, [whole], CONTAINERS[container], find_ffmpeg()) as writer:
        for at, samples in enumerate(frames):
            writer.write(0, samples, times[at] if times else at)
        writer.finish()
        assert writer.frames == len(frames)


def some(format: PixelFormat, size: tuple[int, int], count: int = 3) -> list[NDArray[Any]]:
    """Frames of noise over all code values."""
    rng = np.random.default_rng(5)
    samples = format.frame_samples(*size)
    return [rng.integers(0, format.white, samples, dtype=format.dtype, endpoint=True) for _ in range(count)]


# Pixel formats


@pytest.mark.parametrize("size", [(18, 10), (17, 9), (1, 1), (2, 1), (33, 2)])
@pytest.mark.parametrize("name", FORMATS)
def test_planes_lie_as_libav_has_them(name: str, size: tuple[int, int]) -> None:
    """Sizes of planes, bits and subsampling of every row, by libav's own descriptors."""
    format, (width, height) = FORMATS[name], size
    layout = av.VideoFormat(name, width, height)
    frame = av.VideoFrame(width, height, name)
    assert format.plane_sizes(width, height) == [(plane.height, plane.width) for plane in frame.planes]
    assert {component.bits for component in layout.components} == {format.bits}
    assert layout.is_rgb == (format.model == "rgb")
    assert len(layout.components) == len(format.plane_sizes(width, height))
    assert layout.is_big_endian is False or format.bits == 8


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 18), (31, 17)])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_passes_both_pipes_byte_for_byte(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    """Noise of every code value into a file and out of it again; its codec keeps what ffmpeg was given."""
    format, path = FORMATS[name], tmp_path / "noise.nut"
    frames = some(format, size)
    write(path, frames, format, size)
    taken = read(path)
    assert taken.reader.format == format
    assert (taken.reader.width, taken.reader.height) == size
    assert [frame.samples.dtype for frame in taken.frames] == [format.dtype] * len(frames)
    for got, sent in zip(taken.frames, frames, strict=True):
        np.testing.assert_array_equal(got.samples, sent)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(32, 18), (31, 17)])
@pytest.mark.parametrize("name", ["gray", "yuv420p", "yuv422p10le", "yuv440p", "yuva444p", "gbrp", "gbrap12le"])
def test_what_another_reader_sees_is_what_was_written(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    """Through ffv1 in Matroska, which PyAV decodes by itself."""
    format, path = FORMATS[name], tmp_path / "noise.mkv"
    picture = Picture(format=format, width=size[0], height=size[1], rate=Fraction(25), tags=TAGS)
    encoder = choose_encoder(EncodeOptions(codec="ffv1"), picture, "matroska", find_ffmpeg(), lambda _: None)
    frames = some(format, size)
    write(path, frames, format, size, encoder=encoder, container="Matroska")
    order = [2, 0, 1, 3] if format.model == "rgb" else [0, 1, 2, 3]  # of theirs: R, G, B
    for seen, sent in zip(planes(path), frames, strict=True):
        start = 0
        for at, (rows, columns) in enumerate(format.plane_sizes(*size)):
            plane = sent[start : start + rows * columns].reshape(rows, columns)
            start += rows * columns
            del order[len(format.plane_sizes(*size)) :]
            np.testing.assert_array_equal(seen[at], plane, err_msg=f"plane {at}")


# Which frames


@recipe(".mkv")
def gop(_: Clips, path: Path) -> None:
    """A hundred frames with B-frames and key frames 25 apart, for seeking."""
    ffmpeg(*moving(64, 48, 100), "-frames:v", 100, "-c:v", "libx264", "-bf", 3, "-g", 25, path)


@recipe(".mkv")
def gop_late(clips: Clips, path: Path) -> None:
    """The same, beginning at 7.3 s."""
    ffmpeg("-itsoffset", 7.3, "-i", clips("gop"), "-copyts", "-c", "copy", "-avoid_negative_ts", "disabled", path)


@recipe(".mp4")
def negative(clips: Clips, path: Path) -> None:
    """Its first frames are shown before zero, as where an edit list was taken away."""
    ffmpeg(
        *("-itsoffset", -0.28, "-i", clips("plain"), "-copyts", "-map", "0:v", "-c", "copy"),
        *("-avoid_negative_ts", "disabled", "-use_editlist", 0, path),
    )


@recipe(".webm")
def altref(_: Clips, path: Path) -> None:
    """VP8 with hidden reference frames, which have packets and are never shown."""
    ffmpeg(
        *moving(64, 48, 60), "-frames:v", 60, "-c:v", "libvpx", "-auto-alt-ref", 1, "-lag-in-frames", 16,
        *("-arnr-maxframes", 7, "-b:v", "200k", "-cpu-used", 4, path),
    )  # fmt: skip


@recipe(".webm")
def altref_vp9(_: Clips, path: Path) -> None:
    ffmpeg(
        *moving(64, 48, 60), "-frames:v", 60, "-c:v", "libvpx-vp9", "-auto-alt-ref", 1, "-lag-in-frames", 16,
        *("-b:v", "100k", "-cpu-used", 5, path),
    )  # fmt: skip


HEALTHY = (
    *("plain", "one_frame", "odd", "open_gop", "offset", "offset_mp4", "ntsc_film", "ntsc_film_mkv", "vfr", "vfr_mkv"),
    *("cut", "gop", "gop_late", "negative", "altref", "altref_vp9", "transport", "ten_bit"),
    *("rgb_x264", "gray", "static", "rotated_90"),
)


def decoded_by_pyav(path: Path) -> tuple[list[int], Fraction]:
    """Every timestamp that PyAV's decoder gives, in ticks."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        return [frame.pts for frame in container.decode(stream) if frame.pts is not None], stream.time_base


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_clip_gives_the_frames_that_it_has(clips: Clips, name: str) -> None:
    """Tick for tick what PyAV decodes; nothing is repeated, and nothing is wrong."""
    wanted, time_base = decoded_by_pyav(clips(name))
    taken = read(clips(name))
    assert taken.pts == wanted
    assert taken.reader.time_base == time_base
    assert taken.reader.repeated == 0
    assert not any(frame.is_repeat for frame in taken.frames)
    assert taken.reader.damage() == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["plain", "gop", "gop_late", "vfr", "vfr_mkv", "offset", "open_gop", "cut", "negative"]
)
@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        (None, None, 3),
        (0.08, None, None),
        (None, 0.2, None),
        (0.04, 0.2, None),
        (0.041, 0.199, None),
        (0.1, 0.3, 2),
        (0.12, None, 1),
    ],
)
def test_exactly_the_frames_within_the_limits(
    clips: Clips, name: str, start: float | None, end: float | None, count: int | None
) -> None:
    """start <= time < end, counted from the clip's start, then at most `count`."""
    path = clips(name)
    origin = Fraction(probe(path).start_seconds).limit_denominator(10**6)
    everything, time_base = decoded_by_pyav(path)
    begin, until = (None if at is None else Fraction(str(at)) + origin for at in (start, end))
    wanted = [
        pts
        for pts in everything
        if (begin is None or pts * time_base >= begin) and (until is None or pts * time_base < until)
    ]
    assert read(path, start=start, end=end, frames=count).pts == wanted[:count]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gop", "gop_late", "open_gop"])
@pytest.mark.parametrize("preroll", [0.5, 1.0])
def test_a_seek_changes_nothing(clips: Clips, name: str, preroll: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same frames, sample for sample, as without it."""
    whole = read(clips(name))
    origin = probe(clips(name)).start_seconds
    monkeypatch.setattr(reader_module, "PREROLL_SECONDS", preroll)
    for start in (0.52, 0.96, 1.04):
        taken = read(clips(name), start=start, frames=4)
        first = next(
            at
            for at, seconds in enumerate(whole.seconds)
            if seconds >= Fraction(str(start)) + Fraction(origin).limit_denominator(1000)
        )
        assert taken.pts == whole.pts[first : first + 4]
        for got, same in zip(taken.frames, whole.frames[first:], strict=False):
            np.testing.assert_array_equal(got.samples, same.samples)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gop", "gop_late", "open_gop", "vfr", "negative"])
@pytest.mark.parametrize("preroll", [0.0, 0.2, 10.0])
def test_going_on_after_a_frame(clips: Clips, name: str, preroll: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether there is a seek, and one that overshoots (no preroll: then it begins anew), or none."""
    monkeypatch.setattr(reader_module, "PREROLL_SECONDS", preroll)
    whole = read(clips(name))
    last = len(whole.pts) - 1
    for at in {0, 1, last // 2, 2 * last // 3, last - 1, last}:
        taken = read(clips(name), after=whole.pts[at])
        assert taken.pts == whole.pts[at + 1 :], f"after frame {at} of {last}"
        for got, same in zip(taken.frames[:1], whole.frames[at + 1 :], strict=False):
            np.testing.assert_array_equal(got.samples, same.samples)


def test_a_part_that_has_no_frames_is_empty_not_broken(clips: Clips) -> None:
    assert read(clips("plain"), start=0.201, end=0.2099).pts == []


@pytest.mark.parametrize("name", ["raw_h264", "raw_h265"])
@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(25), Fraction(50)])
def test_streams_without_times_are_numbered(clips: Clips, name: str, fps: Fraction) -> None:
    taken = read(clips(name), fps=fps)
    assert taken.pts == list(range(12))
    assert taken.reader.time_base == 1 / fps
    part = read(clips(name), fps=fps, start=float(4 / fps), frames=3)
    assert part.pts == [4, 5, 6]
    np.testing.assert_array_equal(part.frames[0].samples, taken.frames[4].samples)


@pytest.mark.parametrize("name", ["interlaced_mpeg2", "interlaced_tff", "interlaced_bff"])
def test_deinterlacing(clips: Clips, name: str) -> None:
    """One frame for one, or two; at the same times, and half-way between them."""
    off, frame, field = (read(clips(name), deinterlace=mode) for mode in ("off", "auto", "field"))
    assert frame.seconds == off.seconds
    assert field.seconds[::2] == off.seconds
    assert len(field.frames) == 2 * len(off.frames)
    gaps = {b - a for a, b in pairwise(field.seconds)}
    assert gaps == {Fraction(1, 50)}
    assert all(a.samples.shape == b.samples.shape for a, b in zip(off.frames, frame.frames, strict=True))
    assert any((a.samples != b.samples).any() for a, b in zip(off.frames, frame.frames, strict=True))


def test_who_asks_for_deinterlacing_gets_it_whatever_the_flags_say(clips: Clips) -> None:
    """A progressive clip: left alone by default, filtered on demand."""
    auto, frame = (read(clips("gop"), deinterlace=mode, frames=6) for mode in ("auto", "frame"))
    off = read(clips("gop"), deinterlace="off", frames=6)
    assert frame.pts == auto.pts == off.pts
    assert all((a.samples == b.samples).all() for a, b in zip(auto.frames, off.frames, strict=True))
    assert any((a.samples != b.samples).any() for a, b in zip(frame.frames, off.frames, strict=True))


@pytest.mark.parametrize("name", ["alpha_vp8", "alpha_vp9", "alpha_ffv1", "alpha_prores", "alpha_rgb"])
def test_transparency_is_read(clips: Clips, name: str) -> None:
    taken = read(clips(name))
    assert taken.reader.format.alpha
    width, height = taken.reader.width, taken.reader.height
    alpha = taken.frames[0].samples[-width * height :].reshape(height, width).astype(float) / taken.reader.format.white
    assert alpha[0, -1] > 0.8
    assert alpha[-1].max() < 0.1


def test_a_frame_size_that_changes_is_brought_to_the_first(clips: Clips) -> None:
    reported: list[str] = []
    clip = probe(clips("resized"))
    video = clip.stream(clip.main)
    with VideoReader(clip, video, FORMATS["yuv420p"], find_ffmpeg(), say=reported.append) as reader:
        sizes = {frame.samples.size for frame in reader}
    assert sizes == {FORMATS["yuv420p"].frame_samples(96, 64)}
    assert any("change" in text for text in reported)


# Damage


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gop", "long_gop", "long_gop_mkv", "open_gop"])
@pytest.mark.parametrize("packets", [range(3, 4), range(12, 15), range(20, 31)])
def test_damage_moves_nothing(clips: Clips, name: str, packets: range) -> None:
    """As many frames as the healthy clip has, at its times; lost ones are the frame before, and counted."""
    if packets.stop > 30 and name == "open_gop":
        pytest.skip("it has 30 packets")
    healthy = read(clips(name))
    taken = read(corrupted(clips, name, packets))
    assert taken.pts == healthy.pts
    repeats = [frame.is_repeat for frame in taken.frames]
    assert sum(repeats) == taken.reader.repeated
    assert not repeats[0]
    for before, after in pairwise(taken.frames):
        if after.is_repeat:
            assert after.samples is before.samples
    assert ("damaged" in taken.reader.damage()) == (taken.reader.errors > 0)
    if len(packets) > 3:  # less may look like a picture to the decoder
        assert taken.reader.errors > 0
    if name == "gop":
        assert taken.reader.repeated > 0


def test_a_limit_that_damage_lies_behind_is_no_damage(clips: Clips) -> None:
    taken = read(corrupted(clips, "gop", range(60, 61)), frames=5)
    assert taken.pts == read(clips("gop")).pts[:5]


def test_a_decoder_that_gives_nothing(clips: Clips) -> None:
    data = bytearray(clips("one_frame").read_bytes())
    with av.open(str(clips("one_frame"))) as container:
        packet = next(container.demux(video=0))
    assert packet.pos is not None
    data[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    damaged = clips.text("nothing_inside.mp4", bytes(data))
    clip = replace(probe(clips("one_frame")), source=f"file:{damaged}")  # the probe would refuse it
    with (
        VideoReader(clip, clip.video[0], FORMATS["yuv420p"], find_ffmpeg(), say=lambda _: None) as reader,
        pytest.raises(InputError, match=r"one_frame\.mp4: no frame of it can be decoded"),
    ):
        list(reader)


# Closing early


def test_a_reader_that_is_left_early_leaves_no_process(clips: Clips) -> None:
    with opened(clips("gop")) as reader:
        next(iter(reader))


def test_a_reader_that_was_never_iterated(clips: Clips) -> None:
    with opened(clips("gop")):
        pass


# Writing


def last_packet(path: Path) -> tuple[Fraction, Fraction]:
    """(time, duration) of the packet that is shown last, in seconds."""
    with av.open(str(path)) as container:
        shown = [packet for packet in container.demux(video=0) if packet.size and packet.pts is not None]
    last = max(shown, key=lambda packet: packet.pts or 0)
    assert last.pts is not None
    assert last.time_base is not None
    return last.pts * last.time_base, (last.duration or 0) * last.time_base


def h264(size: tuple[int, int], container: str, *, reordered: bool = False) -> Encoder:
    picture = Picture(format=FORMATS["yuv420p"], width=size[0], height=size[1], rate=Fraction(25), tags=TAGS)
    extra = (("bf", "3"), ("b_strategy", "0"), ("sc_threshold", "0")) if reordered else ()
    options = EncodeOptions(codec="libx264", preset="medium" if reordered else "ultrafast", extra=extra)
    return choose_encoder(options, picture, container, find_ffmpeg(), lambda _: None)


@pytest.mark.parametrize(("container", "ending"), [("MP4", ".mp4"), ("QuickTime", ".mov"), ("Matroska", ".mkv")])
@pytest.mark.parametrize("duration", [40, 7, 1000])
def test_the_last_frame_lasts_as_long_as_it_did(tmp_path: Path, container: str, ending: str, duration: int) -> None:
    row = CONTAINERS.get(container) or next(row for row in CONTAINERS.values() if ending in row.extensions)
    path, size, format = tmp_path / f"last{ending}", (64, 48), FORMATS["yuv420p"]
    times = [0, 40, 80, 81, 300]
    write(
        path, some(format, size, len(times)), format, size, encoder=h264(size, row.muxer), times=times,
        time_base=Fraction(1, 1000), container=row.name, last=(300, duration),
    )  # fmt: skip
    at, lasts = last_packet(path)
    assert at == Fraction(300, 1000)
    if ending == ".mkv" and not lasts:  # a block without a duration: the track's end tells
        with av.open(str(path)) as whole:
            assert whole.duration is not None
            lasts = Fraction(whole.duration, 10**6) - at
    assert lasts == Fraction(duration, 1000)


@pytest.mark.parametrize(("container", "ending"), [("MP4", ".mp4"), ("QuickTime", ".mov"), ("Matroska", ".mkv")])
def test_the_last_frame_lasts_as_long_as_it_did_behind_reordered_ones(
    tmp_path: Path, container: str, ending: str
) -> None:
    row, path, size, format = CONTAINERS[container], tmp_path / f"last{ending}", (64, 48), FORMATS["yuv420p"]
    times = list(range(0, 800, 40))
    write(
        path, some(format, size, 1) * len(times), format, size, encoder=h264(size, row.muxer, reordered=True),
        times=times, time_base=Fraction(1, 1000), container=row.name, last=(760, 1000),
    )  # fmt: skip
    with av.open(str(path)) as clip:
        packets = [packet.pts or 0 for packet in clip.demux(video=0) if packet.size]
        assert packets[-1] != max(packets), "the frame shown last is stored last"
        assert clip.duration == 1_760_000


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 25), Fraction(1001, 24000), Fraction(1, 90000), Fraction(1, 12800), Fraction(1, 1000)]
)
def test_every_tick_of_the_source_is_kept_in_mp4(tmp_path: Path, time_base: Fraction) -> None:
    path, size, format = tmp_path / "ticks.mp4", (64, 48), FORMATS["yuv420p"]
    times = [0, 1, 2, 5, 11, 12, 500]
    write(
        path, some(format, size, len(times)), format, size, encoder=h264(size, "mp4"), times=times,
        time_base=time_base, container="MP4",
    )  # fmt: skip
    report = examine(path)
    assert report.picture.pts == tuple(at * time_base for at in times)


def test_two_tracks(tmp_path: Path) -> None:
    """Of different size, format and time base."""
    path = tmp_path / "two.nut"
    small, large = FORMATS["gray"], FORMATS["yuv444p10le"]
    tracks = [
        Track(
            format=format, encoder=replace(stored(format, "rawvideo"), width=width, height=height),
            time_base=Fraction(1, ticks), rate=Fraction(25),
        )
        for format, width, height, ticks in ((small, 16, 9, 1000), (large, 31, 17, 24000))
    ]  # fmt: skip
    a, b = some(small, (16, 9), 2), some(large, (31, 17), 2)
    with VideoWriter(path, "two.nut", tracks, CONTAINERS["NUT"], find_ffmpeg()) as writer:
        writer.write(0, a[0], 0)
        writer.write(1, b[0], 1001)
        writer.write(0, a[1], 50)
        writer.write(1, b[1], 2002)
        writer.finish()
    first, second = read(path, stream=0), read(path, stream=1)
    assert first.seconds == [0, Fraction(50, 1000)]
    assert second.seconds == [Fraction(1001, 24000), Fraction(2002, 24000)]
    np.testing.assert_array_equal(first.frames[1].samples, a[1])
    np.testing.assert_array_equal(second.frames[1].samples, b[1])


# Encoders that fail


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a Python script in ffmpeg's place, which answers questions as ffmpeg does and encodes as `body` says."""

    def make(body: str) -> None:
        path = tmp_path / "ffmpeg"
        path.write_text(
            f"#!{sys.executable}\nimport os, sys, time\n"
            f"real = {get_ffmpeg_exe()!r}\n"
            "if 'pipe:0' not in sys.argv or 'lavfi' in sys.argv: os.execv(real, [real, *sys.argv[1:]])\n"
            f"{body}\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("UPSCALE_FFMPEG", str(path))

    return make


def failing(tmp_path: Path, count: int = 40, size: tuple[int, int] = (640, 360)) -> str:
    format = FORMATS["yuv420p"]
    frames = some(format, size, 2) * (count // 2)
    with pytest.raises(OutputError) as caught:
        write(tmp_path / "out.mkv", frames, format, size, container="Matroska")
    text = str(caught.value)
    assert text.startswith("out.mkv: ffmpeg ended with code ")
    assert "\n" not in text
    return text


@posix
def test_an_encoder_that_dies_is_quoted_with_the_frame_and_a_remedy(
    tmp_path: Path, fake: Callable[[str], None]
) -> None:
    fake(
        "for _ in range(50): sys.stdin.buffer.raw.read(65536)\n"
        "print('[out#0/matroska @ 0x1] [error] Error writing: No space left on device', file=sys.stderr)\n"
        "print('[error] Error closing file', file=sys.stderr)\n"
        "sys.exit(228)"
    )
    text = failing(tmp_path)
    assert "code 228 after frame " in text
    assert 5 < int(text.partition("after frame ")[2].split()[0]) < 40
    assert "No space left on device" in text
    assert text.endswith("Free space, or choose another output=.")


@posix
def test_an_encoder_that_dies_at_the_very_end(tmp_path: Path, fake: Callable[[str], None]) -> None:
    fake("sys.stdin.buffer.read()\nprint('[error] Error writing trailer: -5', file=sys.stderr)\nsys.exit(251)")
    text = failing(tmp_path, 4)
    assert 'code 251 after frame 4 ("Error writing trailer: -5")' in text
    assert text.endswith("Choose another codec= or output=.")


@posix
def test_an_encoder_that_dies_without_a_word(tmp_path: Path, fake: Callable[[str], None]) -> None:
    fake("sys.exit(1)")
    assert "code 1 after frame " in failing(tmp_path)


@pytest.mark.slow
@posix
@pytest.mark.parametrize("count", [2, 40], ids=["fits into the pipe", "fills the pipe"])
def test_an_encoder_that_hangs_is_ended(
    tmp_path: Path, fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """It reads nothing: the pipe fills up, or everything lies in it and the end never comes."""
    fake("time.sleep(600)")
    monkeypatch.setattr(writer_module, "STALL_SECONDS", 2.0)
    text = failing(tmp_path, count)
    assert "nothing moved for 2 s" in text


@posix
def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file may grow beyond 64 blocks."""
    path = tmp_path / "ffmpeg"
    path.write_text(f"#!/bin/sh\ntrap '' XFSZ\nulimit -f 64\nexec '{get_ffmpeg_exe()}' \"$@\"\n")
    path.chmod(0o755)
    monkeypatch.setenv("UPSCALE_FFMPEG", str(path))
    text = failing(tmp_path)
    assert "File too large" in text


def test_ffmpeg_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_FFMPEG", str(tmp_path / "nowhere"))
    with pytest.raises(FFmpegError, match="nowhere"):
        find_ffmpeg()


@pytest.mark.slow
@posix
def test_a_decoder_that_hangs_is_ended(clips: Clips, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It gives some frames, and then nothing."""
    path = tmp_path / "ffmpeg"
    path.write_text(
        f"#!{sys.executable}\nimport subprocess, sys, time\n"
        f"real = [{get_ffmpeg_exe()!r}, *sys.argv[1:]]\n"
        "if 'pipe:1' not in sys.argv: sys.exit(subprocess.call(real))\n"
        "out = subprocess.run(real, stdout=subprocess.PIPE).stdout\n"
        "sys.stdout.buffer.write(out[: len(out) // 2]), sys.stdout.flush(), time.sleep(600)\n"
    )
    path.chmod(0o755)
    monkeypatch.setenv("UPSCALE_FFMPEG", str(path))
    started = Child.__init__

    def impatient(self: Child, arguments: Any, **given: Any) -> None:
        started(self, arguments, **{**given, "stall_seconds": 2.0})

    monkeypatch.setattr(Child, "__init__", impatient)
    with opened(clips("gop")) as reader, pytest.raises(InputError, match=r"stood still .* after frame \d\d\."):
        list(reader)
