"""Two clips in one, the first on the left: one ffmpeg reads both, puts the pictures together and copies the sound.

[0] scale, pad --.
                  hstack -- encode --> OUTPUT.work/OUTPUT -> OUTPUT
[1] scale, pad --'                     (sound of [0])
"""

import io
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

import av

from upscale_cli.compare.page import ASPECT_TOLERANCE, Compared
from upscale_cli.errors import FFmpegError, InputError
from upscale_cli.events import ClipProgress, Listener, ignore, saying
from upscale_cli.files.work_folder import WorkFolder
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import FORMATS, PixelFormat
from upscale_cli.media.video.colour import complete
from upscale_cli.media.video.container import Container, container_arguments, container_named
from upscale_cli.media.video.encoder_choice import ENVIRONMENT, choose_encoder
from upscale_cli.media.video.encoding import EncodeOptions, Encoder, Picture
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, find_ffmpeg
from upscale_cli.media.video.ffmpeg.process import LOG_ARGUMENTS, Child
from upscale_cli.media.video.nearest_format import nearest_format
from upscale_cli.media.video.opening import input_arguments, open_clip
from upscale_cli.media.video.probe import probe
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.messages import option

_SCALE: Final = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"

_SAME_RATE: Final = 0.001
"""Rates that differ by less are one rate, written by two muxers."""

_TICK: Final = Fraction(1, 1000)
"""Seconds; the coarsest clock of a container (Matroska's), to which times are rounded where rates vary or differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the clips.

    Attributes:
        stream: the video stream a player shows.
        width, height: as it is shown: upright, with square pixels.
        first: when its first picture is shown, in seconds from the earliest timestamp of the file.
        frames, seconds: how many pictures, and for how long.
        rate: frames per second where every frame lasts as long as the others; None where not.
    """

    clip: Clip
    stream: VideoStream
    width: int
    height: int
    first: Fraction
    frames: int
    seconds: Fraction
    rate: Fraction | None


def write_clip(
    before: Path, after: Path, output: Path, *, overwrite: bool = False, listener: Listener = ignore
) -> Compared:
    """Writes a clip that shows both, with the sound of the first.

    Both begin with their first picture, and the shorter one ends it. The smaller picture is enlarged.

    Raises:
        InputError: one of them cannot be read, or they are not of one shape.
        OutputError: the output cannot be written; nothing is left of it.
        FFmpegError: ffmpeg is missing, or fails.
    """
    begin = time.perf_counter()
    container = container_named(output.suffix)
    sides = examine(before), examine(after)
    frame_of(*sides)
    ffmpeg, say = find_ffmpeg(), saying(listener)
    for note in _notes(*sides):
        say(note)
    picture = _picture(*sides)
    encoder = choose_encoder(EncodeOptions(), picture, container.muxer, ffmpeg, say)
    with WorkFolder(output, overwrite=overwrite, say=say) as work:
        command = arguments(ffmpeg, sides, picture, encoder, container, work.file)
        _encode(command, after.name, min(side.seconds for side in sides), _rate(*sides), listener)
        size = work.file.stat().st_size
        work.deliver()
    return Compared(str(output), 0, size, time.perf_counter() - begin)


def examine(path: Path) -> Side:
    """What has to be known of a clip; reads its packets, decodes its first frames.

    Raises:
        InputError: it cannot be read.
    """
    clip = probe(path)
    stream = clip.stream(clip.main)
    width, height = _shown_size(stream)
    times = sorted(_times(clip, stream))
    if not times:
        raise InputError(f"{clip.name}: its pictures have no times. Remux it (ffmpeg -i INPUT -c copy REMUXED.mkv).")
    rate = _constant_rate(times, stream.rate)
    seconds = times[-1] - times[0] + 1 / (rate or stream.rate)
    start = Fraction(clip.start_seconds).limit_denominator(10**6)
    return Side(
        clip=clip, stream=stream, width=width, height=height, first=max(times[0] - start, Fraction(0)),
        frames=len(times), seconds=seconds, rate=rate,
    )  # fmt: skip


def _shown_size(stream: VideoStream) -> tuple[int, int]:
    """(width, height) upright and with square pixels; the longer sides of the pixels count, so that none is lost."""
    width = round(stream.width * max(stream.sar, Fraction(1)))
    height = round(stream.height / min(stream.sar, Fraction(1)))
    is_lying = stream.orientation is not None and round(stream.orientation.rotation) % 180 != 0
    return (height, width) if is_lying else (width, height)


def _times(clip: Clip, stream: VideoStream) -> Iterator[Fraction]:
    """When each picture is shown, in seconds; of a raw stream, which has no clock, by its rate."""
    with open_clip(clip.source) as container:
        number = 0
        try:
            for packet in container.demux(container.streams[stream.index]):
                if packet.size and stream.untimed:
                    yield number / stream.rate
                    number += 1
                elif packet.size and packet.pts is not None:
                    yield packet.pts * stream.time_base
        except av.FFmpegError:  # what follows is damaged; what is there can be compared
            return


def _constant_rate(times: list[Fraction], rate: Fraction) -> Fraction | None:
    """The rate, if every frame comes within a quarter of a frame of when it should."""
    frame = 1 / rate
    steady = all(abs(time - times[0] - number * frame) < frame / 4 for number, time in enumerate(times))
    return rate if steady else None


def frame_of(left: Side, right: Side) -> tuple[int, int]:
    """(width, height) that both are shown in: that of the larger one.

    Raises:
        InputError: they are not of one shape.
    """
    larger = max(left, right, key=lambda side: (side.width * side.height, side.width))
    difference = abs(math.log(left.width * right.height / (left.height * right.width)))
    rounding = 1 / min(left.width, left.height, right.width, right.height)
    if difference > max(ASPECT_TOLERANCE, 2 * rounding):
        raise InputError(
            f"{right.clip.name}: is shown with {right.width} x {right.height} pixels, and {left.clip.name} with "
            f"{left.width} x {left.height}: not of one shape, so they show different things. Crop one of them."
        )
    return larger.width, larger.height


def _even(side: int) -> int:
    """Encoders of subsampled pictures take no other sides; an odd one is stretched by a pixel."""
    return side + side % 2


def _notes(left: Side, right: Side) -> Iterator[str]:
    """What the user should know before it begins."""
    if abs(left.seconds - right.seconds) > max(1 / left.stream.rate, 1 / right.stream.rate):
        shorter = min(left, right, key=lambda side: side.seconds)
        yield (
            f"{left.clip.name} lasts {float(left.seconds):.2f} s and {right.clip.name} {float(right.seconds):.2f} s: "
            f"the comparison ends with {shorter.clip.name}."
        )
    elif left.frames != right.frames:
        yield f"{left.clip.name} has {left.frames:,} frames and {right.clip.name} {right.frames:,}: matched by time."
    if left.stream.tags.is_hdr != right.stream.tags.is_hdr:
        hdr, sdr = (left, right) if left.stream.tags.is_hdr else (right, left)
        yield f"{hdr.clip.name} is HDR and {sdr.clip.name} is not: the colours of {sdr.clip.name} will look wrong."


def _rate(left: Side, right: Side) -> Fraction:
    """Frames per second of the comparison: the best guess where it varies."""
    return max(left.rate or left.stream.rate, right.rate or right.stream.rate)


def _picture(left: Side, right: Side) -> Picture:
    """What is encoded: both in the format that keeps the most, with the colours of the first."""
    formats = [nearest_format(side.stream.pixel_format)[0] for side in (left, right)]
    format = _opaque(max(formats, key=lambda row: (row.bits, row.model == "rgb", -row.shift_x - row.shift_y)))
    if format.model == "gray":
        format = FORMATS["yuv420p" if format.bits == 8 else "yuv420p10le"]
    width, height = frame_of(left, right)
    return Picture(
        format=format, width=2 * _even(width), height=_even(height), rate=_rate(left, right), tags=_tags(left, format)
    )


def _opaque(format: PixelFormat) -> PixelFormat:
    if not format.alpha:
        return format
    rows = (row for row in FORMATS.values() if not row.alpha)
    wanted = (format.model, format.bits, format.shift_x, format.shift_y)
    return next(row for row in rows if (row.model, row.bits, row.shift_x, row.shift_y) == wanted)


def _tags(side: Side, format: PixelFormat) -> ColourTags:
    tags = side.stream.tags if format.model != "rgb" else replace(side.stream.tags, matrix=None, range=None)
    return complete(tags, side.stream.width, side.stream.height, format)[0]


# ffmpeg's arguments --------------------------------------------------------------------------------------------------


def arguments(
    ffmpeg: FFmpeg, sides: tuple[Side, Side], picture: Picture, encoder: Encoder, container: Container, output: Path
) -> list[str]:
    """The whole command line. Left alone, hstack would repeat the last picture of the shorter one: -t ends both."""
    left, right = sides
    inputs = [
        word for side in sides for word in (*input_arguments(side.clip), *_rate_of_raw(side), "-i", side.clip.source)
    ]
    chains = [
        f"[{number}:{side.stream.index}]{_chain(side, sides, picture)}[{name}]"
        for number, (side, name) in enumerate(zip(sides, ("left", "right"), strict=True))
    ]
    graph = f"{';'.join(chains)};[left][right]hstack,{encoder.filters}[both]"
    seconds = float(left.first + min(left.seconds, right.seconds))
    return [
        *(ffmpeg.path, *LOG_ARGUMENTS, "-nostdin", "-y", *encoder.device_arguments, *inputs),
        *("-filter_complex", graph, "-map", "[both]", *_sound(left.clip, container)),
        *("-t", f"{seconds:.6f}", *encoder.arguments),
        *(() if _common_rate(left, right) else ("-fps_mode", "vfr")),
        *("-map_metadata", "-1", "-map_chapters", "-1", "-progress", "pipe:1", "-stats_period", "0.2"),
        *(*container_arguments(container, replace(left.clip, metadata={})), f"file:{output}"),
    ]


def _rate_of_raw(side: Side) -> tuple[str, ...]:
    return ("-r", str(side.stream.rate)) if side.stream.untimed else ()


def _chain(side: Side, sides: tuple[Side, Side], picture: Picture) -> str:
    """From the decoder to one half of the picture: times, size, colours."""
    before, after = _tags(side, nearest_format(side.stream.pixel_format)[0]), picture.tags
    width, height = frame_of(*sides)
    colours = f"in_range={before.range}:out_range={after.range}"
    if before.matrix != after.matrix and "gbr" not in (before.matrix, after.matrix):
        colours += f":in_color_matrix={before.matrix}:out_color_matrix={after.matrix}"
    return (
        f"{_timing(*sides)},scale={_even(width)}:{_even(height)}:flags={_SCALE}:{colours},format={picture.format.name},"
        "setsar=1"
    )


def _common_rate(left: Side, right: Side) -> Fraction | None:
    """The one rate of both; None where they vary, or differ."""
    if left.rate is None or right.rate is None or abs(left.rate / right.rate - 1) > _SAME_RATE:
        return None
    return left.rate


def _timing(left: Side, right: Side) -> str:
    """Both begin when the pictures of the first do, so that its sound fits."""
    start, rate = f"{float(left.first):.6f}", _common_rate(left, right)
    if rate is not None:
        return f"setpts=PTS-STARTPTS,fps={rate},setpts=PTS+{start}/TB"
    return f"setpts=PTS-STARTPTS+{start}/TB,settb={_TICK}"


def _sound(clip: Clip, container: Container) -> Iterator[str]:
    """All sound of a clip, copied where the container can hold it."""
    sound = [stream for stream in clip.others if stream.kind == "audio"]
    for position, stream in enumerate(sound if container.several else sound[:1]):
        codec = "copy" if stream.codec in container.audio_codecs else container.audio
        yield from ("-map", f"0:{stream.index}", f"-c:a:{position}", codec)


# The run -------------------------------------------------------------------------------------------------------------


def _encode(command: list[str], name: str, seconds: Fraction, rate: Fraction, listener: Listener) -> None:
    """Runs ffmpeg to its end.

    Raises:
        FFmpegError: it fails; the text has its reason.
    """
    begin = time.perf_counter()
    total = max(1, round(seconds * rate))
    with Child(command, stdout=True, environment=ENVIRONMENT) as child:
        reader = io.TextIOWrapper(io.BufferedReader(cast(Any, _Raw(child))), "utf-8", "replace")
        for line in reader:
            key, _, value = line.strip().partition("=")
            if key == "frame" and value.isdecimal():
                listener(_progress(name, min(int(value), total), total, rate, time.perf_counter() - begin))
        code = child.wait()
        if code:
            reason = child.reason() or "no reason given"
            raise FFmpegError(
                f'{name}: ffmpeg ended with code {code} ("{reason}"). '
                f"Choose another {option('output')}, or other clips."
            )


class _Raw(io.RawIOBase):
    """What ffmpeg prints, as Python's own layers want it."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._child.stdout.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _progress(name: str, done: int, total: int, rate: Fraction, seconds: float) -> ClipProgress:
    fps = done / seconds if seconds else 0.0
    left = (total - done) / fps if fps else None
    return ClipProgress(name, done, total, fps, fps / float(rate), left, "")
