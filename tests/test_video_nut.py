"""NUT as we write it, read by libavformat."""

import io
from fractions import Fraction

import av
import pytest

from upscale_cli.media.video.ffmpeg.nut import RawStream, frame_header, headers

GRAY = RawStream(tag=b"Y800", width=6, height=4, time_base=Fraction(1, 25), rate=Fraction(25))

Frame = tuple[int, int, bytes]
"""Stream, timestamp, samples."""


def read(streams: list[RawStream], frames: list[Frame]) -> tuple[av.container.InputContainer, list[Frame]]:
    written = headers(streams) + b"".join(frame_header(k, pts, len(data)) + data for k, pts, data in frames)
    container = av.open(io.BytesIO(written), "r", format="nut")
    packets = [packet for packet in container.demux() if packet.size]
    return container, [(packet.stream.index, int(packet.pts or 0), bytes(packet)) for packet in packets]


@pytest.mark.parametrize(
    "time_base", [Fraction(1, 25), Fraction(1001, 24000), Fraction(1, 90_000), Fraction(3)], ids=str
)
def test_every_time_base_is_kept(time_base: Fraction) -> None:
    stream = RawStream(tag=b"Y800", width=6, height=4, time_base=time_base, rate=Fraction(24000, 1001))
    frames = [(0, pts, bytes([pts % 256]) * 24) for pts in (0, 1, 2, 127, 128, 129, 70_000, 2**33, 2**33 + 1, 2**40)]
    container, came = read([stream], frames)
    assert container.streams.video[0].time_base == time_base
    assert container.streams.video[0].base_rate == Fraction(24000, 1001)
    assert came == frames


@pytest.mark.parametrize("size", [1, 127, 128, 65_535, 65_537, 3_110_400])
def test_frames_of_any_size(size: int) -> None:
    frames = [(0, pts, bytes([78, pts]) * (size // 2) + b"N" * (size % 2)) for pts in range(3)]  # "N" begins headers
    assert read([GRAY], frames)[1] == frames


def test_many_streams_each_with_its_own_clock() -> None:
    """As many as readers take."""
    streams = [
        RawStream(tag=b"Y800", width=2 + k, height=2, time_base=Fraction(1, 10_007 + k), rate=Fraction(25))
        for k in range(256)
    ]
    frames = [(k, 1000 * k + pts, bytes(2 * (2 + k))) for pts in range(2) for k in (0, 1, 127, 128, 255)]
    container, came = read(streams, frames)
    assert [stream.time_base for stream in container.streams] == [stream.time_base for stream in streams]
    assert [stream.width for stream in container.streams.video] == [stream.width for stream in streams]
    assert came == frames


@pytest.mark.parametrize(
    ("name", "tag"), [("yuv420p", b"I420"), ("yuv420p10le", b"Y3\x0b\x0a"), ("gbrp12le", b"G3\0\x0c")]
)
def test_the_tag_names_the_pixel_format(name: str, tag: bytes) -> None:
    stream = RawStream(tag=tag, width=4, height=2, time_base=Fraction(1, 25), rate=Fraction(25))
    container, _ = read([stream], [(0, 0, bytes(48))])
    assert container.streams.video[0].pix_fmt == name


def test_checksums_are_those_of_the_format() -> None:
    """A reader is strict about those of the headers: one wrong bit, and there is no stream."""
    good = headers([GRAY])
    place = good.index(b"Y800")
    bad = good[:place] + b"Y801" + good[place + 4 :]
    with pytest.raises(av.error.FFmpegError):
        av.open(io.BytesIO(bad + frame_header(0, 0, 24) + bytes(24)), "r", format="nut")


def test_no_time_lies_below_zero() -> None:
    with pytest.raises(AssertionError):
        frame_header(0, -1, 24)
