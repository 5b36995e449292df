"""ffmpeg's arguments for a file that is written: tracks, parts of a clip, time bases and shifts. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.media.video.carried_streams import Slot
from upscale_cli.media.video.container import Container
from upscale_cli.media.video.encoding import Encoder
from upscale_cli.media.video.spatial import Spatial
from upscale_cli.media.video.streams import Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One video stream to be encoded.

    Attributes:
        format: of the samples that come.
        encoder: what encodes them; its width and height are those of the samples.
        time_base: seconds per tick of the timestamps that come.
        rate: frames per second, the best guess.
        last: (timestamp, duration) of the last frame in ticks, where known: an encoder does not know durations, so
            the very last one would be a guess.
        below_zero: by how many ticks all comes later through the pipe; see `reader_arguments.ticks_below_zero`.
        spatial: what the output says of spheres and pairs of views.
    """

    format: PixelFormat
    encoder: Encoder
    time_base: Fraction
    rate: Fraction
    last: tuple[int, int] | None = None
    below_zero: int = 0
    spatial: Spatial | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which part of the source's other streams is copied: seconds from the clip's start."""

    start: float = 0.0
    seconds: float | None = None


WHOLE: Final = Cut()


def cut_arguments(cut: Cut, clip: Clip, slots: Sequence[Slot]) -> list[str]:
    """What leaves out packets from before the first frame and behind the last, by the output's own times.

    ffmpeg's seek brings sound from before the place, and its own check for that forgets a clip's start offset.
    """
    arguments = []
    if cut.start:
        arguments += ["-copypriorss", "0"]
        thinned = {stream.index for stream in clip.others if stream.kind in ("audio", "subtitle")}
        for place, slot in enumerate(slots):
            if slot.action == "copy" and slot.index in thinned:
                arguments += [f"-bsf:{place}", f"noise=drop='lt(pts*tb,{clip.start_seconds:.6f})'"]
    if cut.seconds is not None:
        arguments += ["-t", f"{cut.seconds + clip.start_seconds:.6f}"]
    return arguments


def earlier(seconds: float) -> list[str]:
    """An input option that brings all of its timestamps forward."""
    return ["-itsoffset", f"{-seconds:.9f}"] if seconds else []


def shift_of(tracks: Sequence[Track], pipe_format: str) -> Fraction:
    """By how many seconds all comes later through the pipe. MP4 has to begin at zero; elsewhere, whole ticks of every
    track that are whole milliseconds too, so that nothing is rounded differently for it."""
    needed = max(track.below_zero * track.time_base for track in tracks)
    if pipe_format in ("mp4", "mov"):
        return needed
    step = math.lcm(*(track.time_base.numerator for track in tracks))
    return Fraction(math.ceil(needed / step) * step)


def join_format(encoder: Encoder, container: Container) -> str:
    """How encoded packets go through the pipe: exact in time, decoding times too, and with all that is known of them.

    MP4 and QuickTime keep both times; NUT keeps one, which is enough where frames are stored as they are shown. Only
    Matroska holds VP9's transparency; its ticks of a millisecond are those of the output.
    """
    if container.muxer in ("matroska", "webm"):
        return "matroska"
    if encoder.name == "ffv1":
        return "nut"
    return "mov" if encoder.name == "prores_ks" else "mp4"


_INPUT_OPTIONS: Final = frozenset(
    {"-display_rotation", "-display_hflip", "-display_vflip", "-mastering_display", "-content_light", "-noautorotate"}
)


def of_input_stream(arguments: Sequence[str], number: int) -> list[str]:
    """Gives input options the number of their stream: the pipe may bring several."""
    return [f"{argument}:v:{number}" if argument in _INPUT_OPTIONS else argument for argument in arguments]


def tag_arguments(arguments: Sequence[str]) -> list[str]:
    """The codec tag among an encoder's arguments, which belongs to the container (`hvc1`)."""
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    return [argument for pair in pairs if pair[0].startswith("-tag") for argument in pair]


def without_tag(arguments: Sequence[str]) -> list[str]:
    """Pairs of option and value, without those that name a coding's tag in the container."""
    pairs = zip(arguments[::2], arguments[1::2], strict=True)
    return [argument for pair in pairs if not pair[0].startswith("-tag") for argument in pair]


def last_duration(track: Track, cut: Cut, container: Container) -> str:
    """A bitstream filter that gives the last frame its duration (`TB` is the filter's own time base).

    MP4's muxer heeds only the duration of the packet stored last, which with B-frames is not the frame shown last; all
    others it takes from the times of decoding. So there each packet gets it.
    """
    assert track.last is not None
    pts, duration = (Fraction(ticks) * track.time_base for ticks in track.last)
    lasts = f"round({float(duration):.9f}/TB)"
    if container.muxer in MP4_FAMILY:
        return f"setts=pts=PTS:dts=DTS:duration={lasts}"
    late = f"gte(PTS*TB,{float(pts - track.time_base / 2) - cut.start:.9f})"
    return f"setts=pts=PTS:dts=DTS:duration='if({late},{lasts},DURATION)'"


MP4_FAMILY: Final = ("mp4", "mov", "3gp", "f4v")


def timescale(time_base: Fraction) -> int:
    """Ticks a second for MP4 that hold every tick of the source; where its tick is a fraction, more of them."""
    scale = time_base.denominator
    while scale < 10_000:  # as muxers do: a coarse timescale is one that players were never tested with
        scale *= 2
    return scale


def for_stream(arguments: Sequence[str], place: int) -> list[str]:
    """Gives encoder options the number of their output stream: ("-crf", "18") becomes ("-crf:0", "18")."""
    numbered = []
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        option = name.removesuffix(":v")
        numbered += [f"{option}:{place}", value]
    return numbered
