"""The outside view of a clip: what is in the file, read with PyAV alone, and what two files do not have in common.

Nothing here knows how the clips were written. Times are seconds as `Fraction`, absolute, as the container tells them.
"""

import contextlib
import hashlib
import io
import re
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple, dataclass, field, replace
from fractions import Fraction
from functools import cache
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any
from unittest import mock

import av
import numpy as np
from av.sidedata.sidedata import Type
from imageio_ffmpeg import get_ffmpeg_exe
from numpy.typing import NDArray
from PIL import Image

from tests.command import Outcome
from upscale_cli import cli

Plane = NDArray[Any]

# What a reader makes up, a muxer writes about itself, or that is only true of the stream that was replaced.
OWN_METADATA = re.compile(
    r"encoder|duration|major_brand|minor_version|compatible_brands|vendor_id|bps.*|number_of_.*|_statistics_.*"
    r"|timecode|alpha_mode|handler_name",
    re.IGNORECASE,
)
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # libavcodec's own decoders of these drop the alpha plane
PLANAR = {"bgr0": "gbrp", "rgb24": "gbrp", "bgra": "gbrap", "rgba": "gbrap"}  # only the order in memory changes


@dataclass(frozen=True)
class Parcel:
    """One packet: when it is shown, for how long (0: unknown), and the SHA-256 of its payload."""

    pts: Fraction | None
    duration: Fraction
    digest: str


@dataclass(frozen=True)
class Tags:
    """Colour tags as numbers of ITU-T H.273; 2 is "unspecified". Range: 0 unspecified, 1 tv, 2 pc."""

    matrix: int
    primaries: int
    transfer: int
    range: int


@dataclass(frozen=True)
class Picture:
    """What only video streams have.

    Attributes:
        pts, durations: of the frames that were decoded, in the order they came.
        sizes: every (width, height) that occurred, in the order of first occurrence.
        pixel_format: as the decoder gives it; decoders that keep alpha are used.
        tags: as the decoder tells with the first frame; container_tags: as known before decoding.
        display_matrix: nine numbers, 16.16 and 2.30 fixed point; None where there is none.
        mastering: xy of red, green and blue, xy of white, least and greatest luminance in cd/m2.
        light: MaxCLL and MaxFALL, cd/m2.
        interlaced: how many frames say they are.
        hdr10plus: how many frames carry it.
    """

    pts: tuple[Fraction | None, ...]
    durations: tuple[Fraction, ...]
    sizes: tuple[tuple[int, int], ...]
    pixel_format: str
    sar: Fraction
    tags: Tags
    container_tags: Tags
    display_matrix: tuple[int, ...] | None
    mastering: tuple[Fraction, ...] | None
    light: tuple[int, int] | None
    interlaced: int
    hdr10plus: int

    @property
    def width(self) -> int:
        return self.sizes[0][0]

    @property
    def height(self) -> int:
        return self.sizes[0][1]

    @property
    def display_aspect(self) -> Fraction:
        return Fraction(self.width, self.height) * self.sar


@dataclass(frozen=True)
class Track:
    """One stream. `parcels` are in the order of the file, `shown` in the order of their times."""

    index: int
    kind: str
    codec: str
    time_base: Fraction
    parcels: tuple[Parcel, ...]
    metadata: dict[str, str]
    dispositions: frozenset[str]
    end: Fraction | None
    picture: Picture | None = None

    @property
    def shown(self) -> list[Parcel]:
        return sorted(self.parcels, key=lambda parcel: (parcel.pts is None, parcel.pts or 0))

    @property
    def is_video(self) -> bool:
        return self.kind == "video" and "attached_pic" not in self.dispositions


@dataclass(frozen=True)
class Report:
    """What is in a file."""

    path: Path
    format: str
    tracks: tuple[Track, ...]
    chapters: tuple[tuple[Fraction, Fraction, str], ...]
    attachments: tuple[tuple[str, str], ...]
    metadata: dict[str, str]
    damaged: int = field(default=0)

    def of(self, kind: str) -> list[Track]:
        """Its tracks of a kind; cover art is a "picture", not a "video"."""
        if kind == "video":
            return [track for track in self.tracks if track.is_video]
        if kind == "picture":
            return [track for track in self.tracks if track.kind == "video" and not track.is_video]
        return [track for track in self.tracks if track.kind == kind]

    @property
    def video(self) -> Track:
        """The first video track, cover art aside."""
        return self.of("video")[0]

    @property
    def picture(self) -> Picture:
        """Of the first video track."""
        assert self.video.picture is not None
        return self.video.picture


# Reading


def examine(path: Path, *, decode: bool = True, frames: int | None = None) -> Report:
    """Reads all of a file: every packet, and every frame of every video stream.

    Args:
        decode: False leaves out what only decoding tells, and each `picture`.
        frames: how many of each stream are decoded at least, where a `picture` of the beginning will do.
    """
    parcels: dict[int, list[Parcel]] = {}
    looks: dict[int, _Look] = {}
    damaged = 0
    with av.open(f"file:{path}", metadata_errors="replace") as container:
        streams = [stream for stream in container.streams if stream.type not in ("attachment", "unknown")]
        if decode:
            looks = {stream.index: _Look(stream, frames) for stream in streams if stream.type == "video"}
        for packet in _packets(container, streams):
            at, base = packet.stream.index, packet.time_base  # the last, empty ones have no stream_index
            if packet.size:
                pts = None if packet.pts is None else packet.pts * base
                duration = (packet.duration or 0) * base
                parcels.setdefault(at, []).append(Parcel(pts, duration, hashlib.sha256(bytes(packet)).hexdigest()))
            if at in looks:
                damaged += not looks[at].take(packet)
        tracks = tuple(_track(stream, parcels.get(stream.index, []), looks.get(stream.index)) for stream in streams)
        chapters = tuple(
            (chapter["start"] * chapter["time_base"], chapter["end"] * chapter["time_base"], _title(chapter))
            for chapter in container.chapters()
            if chapter["time_base"]
        )
        attachments = tuple(
            (stream.metadata.get("filename", ""), hashlib.sha256(stream.data).hexdigest())
            for stream in container.streams.attachments
        )
        return Report(path, container.format.name, tracks, chapters, attachments, dict(container.metadata), damaged)


def planes(path: Path, stream: int = 0, limit: int | None = None) -> Iterator[list[Plane]]:
    """The planes of each decoded frame, (H, W) uint8 or uint16 each, in the order they are stored, alpha last.

    Args:
        stream: which of the video streams, cover art aside.
        limit: how many frames at most.
    """
    for frame in islice(_frames(path, stream), limit):
        planar = frame.reformat(format=PLANAR[frame.format.name]) if frame.format.name in PLANAR else frame
        yield [_plane(planar, at) for at in range(len(planar.planes))]


def _title(chapter: Any) -> str:
    return str(chapter["metadata"].get("title", ""))


def _packets(container: Any, streams: list[Any]) -> Iterator[Any]:
    """All packets; a container that breaks off ends the stream, as in every player."""
    with contextlib.suppress(av.error.FFmpegError):
        yield from container.demux(streams)
        return
    for stream in streams:  # what the decoders still hold
        packet = av.Packet()
        packet.stream = stream
        packet.time_base = stream.time_base
        yield packet


class _Look:
    """Decodes one video stream and keeps what its frames tell."""

    def __init__(self, stream: Any, most: int | None) -> None:
        context = stream.codec_context
        self.container_tags = _tags(context)
        self.context = _alpha_decoder(stream) or context
        self.frames: list[Any] = []
        self.first: Any = None
        self.sizes: dict[tuple[int, int], None] = {}
        self.interlaced = self.hdr10plus = 0
        self.stream, self.most = stream, most

    def take(self, packet: Any) -> bool:
        """Decodes a packet, where more frames are wanted; False where the decoder refuses it."""
        if self.most is not None and len(self.frames) >= self.most:
            return True
        try:
            frames = self.context.decode(packet if packet.size else None)
        except av.error.EOFError:
            return True
        except av.error.FFmpegError:
            return False
        for frame in frames:
            self.first = self.first or frame
            self.sizes.setdefault((frame.width, frame.height))
            self.interlaced += frame.interlaced_frame
            self.hdr10plus += Type.DYNAMIC_HDR_PLUS in frame.side_data
            base = frame.time_base or self.stream.time_base
            self.frames.append((None if frame.pts is None else frame.pts * base, (frame.duration or 0) * base))
        return True

    def picture(self) -> Picture | None:
        if self.first is None:
            return None
        return Picture(
            pts=tuple(pts for pts, _ in self.frames),
            durations=tuple(duration for _, duration in self.frames),
            sizes=tuple(self.sizes),
            pixel_format=self.first.format.name,
            sar=self.stream.sample_aspect_ratio or Fraction(1),
            tags=_completed(_tags(self.first), self.container_tags),
            container_tags=self.container_tags,
            display_matrix=_display_matrix(self.first),
            mastering=_mastering(self.first),
            light=_light(self.first),
            interlaced=self.interlaced,
            hdr10plus=self.hdr10plus,
        )


def _alpha_decoder(stream: Any) -> Any:
    """A decoder that keeps the alpha of VP8 and VP9; None where there is none to keep."""
    name = ALPHA_DECODERS.get(stream.codec_context.codec.canonical_name)
    if name is None or not any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items()):
        return None
    return av.CodecContext.create(name, "r")


def _frames(path: Path, stream: int) -> Iterator[Any]:
    with av.open(f"file:{path}") as container:
        wanted = [s for s in container.streams.video if "attached_pic" not in _dispositions(s)][stream]
        context = _alpha_decoder(wanted) or wanted.codec_context
        for packet in _packets(container, [wanted]):
            with contextlib.suppress(av.error.FFmpegError):
                yield from context.decode(packet if packet.size else None)


def _plane(frame: Any, at: int) -> Plane:
    plane = frame.planes[at]
    bits = max(component.bits for component in frame.format.components)
    rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
    width = frame.format.chroma_width(frame.width) if _is_chroma(frame, at) else frame.width
    height = frame.format.chroma_height(frame.height) if _is_chroma(frame, at) else frame.height
    return rows[:height].view(np.dtype("<u2") if bits > 8 else np.uint8)[:, :width].copy()


def _is_chroma(frame: Any, at: int) -> bool:
    return at in (1, 2) and not frame.format.is_rgb


def _tags(source: Any) -> Tags:
    return Tags(*(int(getattr(source, name)) for name in ("colorspace", "color_primaries", "color_trc", "color_range")))


def _completed(tagged: Tags, container: Tags) -> Tags:
    """A player asks the stream first, then the container."""
    pairs = zip(astuple(tagged), astuple(container), (2, 2, 2, 0), strict=True)
    return Tags(*(a if a != unspecified else b for a, b, unspecified in pairs))


def _side_data(frame: Any, kind: Type) -> bytes | None:
    found = frame.side_data.get(kind)
    return None if found is None else bytes(found)


def _display_matrix(frame: Any) -> tuple[int, ...] | None:
    data = _side_data(frame, Type.DISPLAYMATRIX)
    return None if data is None else struct.unpack("9i", data)


def _mastering(frame: Any) -> tuple[Fraction, ...] | None:
    """AVMasteringDisplayMetadata: ten rational numbers and two flags."""
    data = _side_data(frame, Type.MASTERING_DISPLAY_METADATA)
    if data is None:
        return None
    numbers = struct.unpack("20i", data[:80])
    return tuple(Fraction(a, b) if b else Fraction(0) for a, b in zip(numbers[::2], numbers[1::2], strict=True))


def _light(frame: Any) -> tuple[int, int] | None:
    data = _side_data(frame, Type.CONTENT_LIGHT_LEVEL)
    light = (0, 0) if data is None else struct.unpack("2I", data[:8])
    return light if any(light) else None  # zeros: not known


def _track(stream: Any, parcels: list[Parcel], look: _Look | None) -> Track:
    base = stream.time_base or Fraction(1)
    metadata = dict(stream.metadata)
    written = next((value for key, value in metadata.items() if key.upper().startswith("DURATION")), None)
    if written is not None and (match := re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", written)):
        hours, minutes, seconds = map(Fraction, match.groups())
        end: Fraction | None = 3600 * hours + 60 * minutes + seconds
    else:
        ends = [parcel.pts + parcel.duration for parcel in parcels if parcel.pts is not None and parcel.duration]
        end = max(ends, default=None)
    context = stream.codec_context
    return Track(
        index=stream.index,
        kind=stream.type,
        codec=context.codec.canonical_name if context is not None else stream.metadata.get("mimetype", "unknown"),
        time_base=base,
        parcels=tuple(parcels),
        metadata=metadata,
        dispositions=_dispositions(stream),
        end=end,
        picture=look.picture() if look else None,
    )


def _dispositions(stream: Any) -> frozenset[str]:
    return frozenset(filter(None, (stream.disposition.name or "").split("|")))


@cache
def chroma_location(path: Path) -> str | None:
    """Where chroma samples sit, as ffmpeg's own banner names it; PyAV does not tell."""
    command = [get_ffmpeg_exe(), "-loglevel", "verbose", "-i", f"file:{path}"]
    done = subprocess.run(command, capture_output=True, check=False)
    banner = done.stderr.decode(errors="replace")
    video = next((line for line in banner.splitlines() if ": Video: " in line), "")
    match = re.search(r"\b(topleft|bottomleft|left|center|top|bottom)\)", video)
    return match[1] if match else None


# Comparing


def ticks(track: Track) -> Fraction:
    """How exact the times of a track must be: to its own tick, or to a millisecond where the tick is coarser."""
    return min(track.time_base, Fraction(1, 1000))


def _differences(before: Iterable[Any], after: Iterable[Any], same: Callable[[Any, Any], bool]) -> list[str]:
    pairs = zip_longest(before, after, fillvalue="nothing")
    return [
        f"#{at}: {_say(a)} -> {_say(b)}" for at, (a, b) in enumerate(pairs) if "nothing" in (a, b) or not same(a, b)
    ]


def _say(value: Any) -> str:
    return f"{float(value):.6f} s" if isinstance(value, Fraction) else str(value)


def _expect(what: str, differences: list[str]) -> None:
    assert not differences, f"{what}: {len(differences)} differ: {'; '.join(differences[:8])}"


def _within(tick: Fraction) -> Callable[[Fraction | None, Fraction | None], bool]:
    def same(a: Fraction | None, b: Fraction | None) -> bool:
        return a == b if a is None or b is None else abs(a - b) < tick

    return same


def assert_same_times(before: Iterable[Fraction | None], after: Iterable[Fraction | None], tick: Fraction) -> None:
    """Both lists have the same length, and no two times are a tick apart."""
    before, after = list(before), list(after)
    counts = f"frame times ({len(before)} before, {len(after)} after, tick {tick})"
    _expect(counts, _differences(before, after, _within(tick)))


def assert_same_timing(before: Track, after: Track, tick: Fraction | None = None) -> None:
    """Both video tracks show as many frames, at the same times, and the last one for as long."""
    assert before.picture is not None
    assert after.picture is not None
    tick = tick or ticks(after)
    assert_same_times(before.picture.pts, after.picture.pts, tick)
    if before.end is not None and after.end is not None:
        assert abs(before.end - after.end) < 2 * max(tick, ticks(before)), (
            f"the last frame ends at {_say(before.end)} -> {_say(after.end)}"
        )


def assert_same_packets(
    before: Report, after: Report, kinds: Iterable[str] = ("audio", "subtitle"), *, payload: bool = True
) -> None:
    """Every stream of these kinds: the same codec, the same packets byte for byte, at the same times.

    Args:
        payload: False where the containers wrap it differently (AAC in transport streams).
    """
    for kind in kinds:
        pairs = zip_longest(before.of(kind), after.of(kind))
        for at, (a, b) in enumerate(pairs):
            assert a is not None, f"{kind} {at}: came from nowhere: {b.codec}"
            assert b is not None, f"{kind} {at}: lost: {a.codec}"
            assert a.codec == b.codec, f"{kind} {at}: codec {a.codec} -> {b.codec}"
            payloads = ([p.digest[:8] if payload else "" for p in track.parcels] for track in (a, b))
            packets = f"{kind} {at} ({len(a.parcels)} -> {len(b.parcels)} packets)"
            _expect(f"{packets}, payload", _differences(next(payloads), next(payloads), str.__eq__))
            tick = max(ticks(a), ticks(b)) if after.format != "mpeg" else Fraction(1, 1000)  # reckoned by the reader
            same = _within(tick)
            _expect(f"{kind} {at}, times", _differences((p.pts for p in a.parcels), (p.pts for p in b.parcels), same))
            if kind == "subtitle":
                lengths = _differences(
                    (p.duration for p in a.parcels), (p.duration for p in b.parcels), _within(2 * tick)
                )
                _expect(f"{kind} {at}, durations", lengths)


def assert_same_tags(before: Picture, after: Picture) -> None:
    """What is tagged stays as tagged; what is not may be guessed, but not so that a player shows it otherwise."""
    for name in ("matrix", "primaries", "transfer", "range"):
        a, b = getattr(before.tags, name), getattr(after.tags, name)
        unspecified = 0 if name == "range" else 2
        assert a in (b, unspecified), f"{name}: {a} -> {b}"
        tagged = getattr(after.container_tags, name)
        assert tagged in (b, unspecified), f"{name}: the container says {tagged}, the stream {b}"
    layout = av.VideoFormat(before.pixel_format, 2, 2)
    by_custom_full = "yuvj" in before.pixel_format or layout.is_rgb or len(layout.components) == 1
    if before.tags.range == 0 and not by_custom_full:
        assert after.tags.range in (0, 1), "untagged range was taken for full range"


def assert_same_display(before: Picture, after: Picture) -> None:
    """The same picture on the screen: display matrix, shape, HDR10 metadata."""
    upright = (65_536, 0, 0, 0, 65_536, 0, 0, 0, 1 << 30)
    turned = [picture.display_matrix or upright for picture in (before, after)]
    assert turned[0] == turned[1], f"display matrix {before.display_matrix} -> {after.display_matrix}"
    ratio = float(after.display_aspect / before.display_aspect)
    assert abs(ratio - 1) < 1e-3, f"display aspect {before.display_aspect} -> {after.display_aspect}, SAR {after.sar}"
    assert before.mastering == after.mastering, f"mastering display {before.mastering} -> {after.mastering}"
    assert before.light == after.light, f"MaxCLL and MaxFALL {before.light} -> {after.light}"


def assert_same_rest(before: Report, after: Report) -> None:
    """Streams of each kind in number and order, dispositions, metadata and languages; chapters; attachments."""
    kinds = [Counter(track.kind for track in report.tracks) for report in (before, after)]
    assert kinds[0] == kinds[1], f"streams {dict(kinds[0])} -> {dict(kinds[1])}"
    pairs = [pair for kind in kinds[0] for pair in zip(before.of(kind), after.of(kind), strict=True)]
    pairs += zip(before.of("picture"), after.of("picture"), strict=True)
    for a, b in pairs:
        assert a.dispositions == b.dispositions, f"stream {a.index}: {set(a.dispositions)} -> {set(b.dispositions)}"
        _assert_metadata(f"stream {a.index}", a.metadata, b.metadata)
    _assert_metadata("the file", before.metadata, after.metadata)
    assert_same_chapters(before, after)
    assert Counter(before.attachments) == Counter(after.attachments), f"{before.attachments} -> {after.attachments}"


def assert_same_chapters(before: Report, after: Report) -> None:
    titles = [[title for _, _, title in report.chapters] for report in (before, after)]
    assert titles[0] == titles[1], f"chapters {titles[0]} -> {titles[1]}"
    for at in (0, 1):
        times = ([chapter[at] for chapter in report.chapters] for report in (before, after))
        _expect("chapters", _differences(next(times), next(times), _within(Fraction(1, 500))))


def _assert_metadata(where: str, before: dict[str, str], after: dict[str, str]) -> None:
    found = {key.lower(): value for key, value in after.items()}
    for key, value in before.items():
        if not OWN_METADATA.fullmatch(key) and value != "und":
            assert found.get(key.lower()) == value, f"{where}: {key} = {value!r} -> {found.get(key.lower())!r}"


def assert_same_samples(before: Picture, after: Picture) -> None:
    """As many bits, the same chroma format, alpha or none, RGB or not."""
    kinds = [_kind(picture.pixel_format) for picture in (before, after)]
    gray = any(kind[0] == 1 for kind in kinds)  # decoders of H.264 and HEVC give gray as 4:2:0
    assert kinds[0][2:] == kinds[1][2:] if gray else kinds[0] == kinds[1], (
        f"pixel format {before.pixel_format} -> {after.pixel_format}"
    )


def _kind(pixel_format: str) -> tuple[int, int, int, bool]:
    layout = av.VideoFormat(pixel_format, 64, 64)
    chroma = 64 * layout.chroma_width() // layout.chroma_height() + layout.chroma_width()
    planes = len(layout.components)
    return planes, chroma, max(component.bits for component in layout.components), layout.is_rgb


def assert_kept(before: Report, after: Report, *, scale: int = 2, timing: bool = True) -> list[tuple[Track, Track]]:
    """`after` is `before` with one video stream or more enlarged, and nothing else changed.

    Args:
        timing: False for a stream that has no times.

    Returns:
        The streams that were enlarged, with what they were.
    """
    assert after.damaged == 0, f"{after.damaged} packets of the output do not decode"
    enlarged = []
    for a, b in zip(before.of("video"), after.of("video"), strict=True):
        assert a.picture, "the input does not decode"
        assert b.picture, "the output does not decode"
        if timing:
            assert_same_timing(a, b)
        if a.picture.sizes == b.picture.sizes and scale != 1:
            _expect("a stream that is copied", _differences(_payloads(a), _payloads(b), str.__eq__))
            continue
        assert_enlarged(a.picture, b.picture, scale)
        enlarged.append((a, b))
    assert enlarged, "no video stream was enlarged"
    assert_same_packets(before, after, ("audio", "subtitle", "picture"))
    assert_same_rest(before, after)
    return enlarged


def assert_enlarged(before: Picture, after: Picture, scale: int) -> None:
    """`scale` times as large, and otherwise the same picture."""
    width, height = before.width * scale, before.height * scale
    exact, even = (width, height), (width + width % 2, height + height % 2)
    assert after.sizes in ((exact,), (even,)), f"{before.sizes} -> {after.sizes}"
    assert_same_tags(before, after)
    assert_same_display(before, after)
    assert_same_samples(before, after)


def _payloads(track: Track) -> list[str]:
    return [parcel.digest for parcel in track.parcels]


def beginning(before: Report, after: Report) -> Report:
    """What of a clip should be in an output of its first frames: as many frames, and the sound up to their end."""
    count = len(after.picture.pts)
    picture = before.picture
    assert count < len(picture.pts)
    stop = picture.pts[count]
    assert stop is not None
    tracks = []
    for track in before.tracks:
        if track is before.video:
            times = replace(picture, pts=picture.pts[:count], durations=picture.durations[:count])
            tracks.append(replace(track, picture=times, end=stop))
        else:
            there = len(after.of(track.kind)[before.of(track.kind).index(track)].parcels)
            for parcel in track.parcels[there:]:
                assert parcel.pts is None or parcel.pts > stop - SOUND_FRAME, f"{track.kind} ends too early"
            tracks.append(replace(track, parcels=track.parcels[:there], end=None))
    return replace(before, tracks=tuple(tracks))


SOUND_FRAME = Fraction(1, 10)  # seconds: more than any audio packet lasts


# Pictures


def psnr(a: Plane, b: Plane, white: int) -> float:
    """Peak signal-to-noise ratio of two planes in dB."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(white**2 / error))


def bicubic(plane: Plane, scale: int, *, left: bool = False) -> Plane:
    """A plane enlarged by Pillow, in floats.

    Args:
        left: its samples sit at the left edge of what they stand for (chroma of 4:2:0 and 4:2:2), not in the middle.
    """
    border = 4
    image = Image.fromarray(np.pad(plane.astype(np.float32), border, mode="edge"))
    shift = (1 - 1 / scale) / 4 if left else 0.0  # of a quarter luma sample per side, in chroma samples
    height, width = plane.shape
    box = (border + shift, border, border + shift + width, border + height)
    return np.asarray(image.resize((width * scale, height * scale), Image.Resampling.BICUBIC, box=box))


def likeness(
    before: Path, after: Path, *, scale: int = 2, limit: int = 4, stream: int = 0, out_stream: int | None = None
) -> list[float]:
    """The worst PSNR, plane by plane, of the first frames against their input, enlarged by Pillow.

    An output of even sides may be larger than `scale` times the input by a row and a column, which are left out.
    """
    worst: list[float] = []
    at = stream if out_stream is None else out_stream
    deeper = _bits(after, at) - _bits(before, stream)
    white = (1 << _bits(after, at)) - 1
    for lr, sr in zip(planes(before, stream, limit), planes(after, at, limit), strict=False):
        if 1 in (len(lr), len(sr)):  # gray, which some decoders give with neutral chroma
            lr, sr = lr[:1], sr[:1]
        assert len(lr) == len(sr), f"{len(lr)} planes -> {len(sr)}"
        values = []
        for small, large in zip(lr, sr, strict=True):
            expected = bicubic(small, scale, left=small.shape[1] < lr[0].shape[1]) * 2.0**deeper
            rows, columns = np.minimum(expected.shape, large.shape)
            values.append(psnr(np.clip(expected, 0, white)[:rows, :columns], large[:rows, :columns], white))
        worst = [min(pair) for pair in zip(worst or values, values, strict=True)]
    assert worst, f"{after}: no frame"
    return worst


@cache
def _bits(path: Path, stream: int) -> int:
    return max(int(component.bits) for component in next(_frames(path, stream)).format.components)


# Running


def upscale(*args: object) -> Outcome:
    """Runs `upscale ...` in this process."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["upscale", *map(str, args)]),
        mock.patch.dict("os.environ", COLUMNS="100"),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
    return Outcome(code, out.getvalue(), err.getvalue())
