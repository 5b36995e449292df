"""Which frames of a clip are decoded, and ffmpeg's arguments for it: seeks, limits, fields, pixel formats. Pure."""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from upscale_cli.errors import OptionError
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.media.image.formats import MAX_PIXELS
from upscale_cli.media.video.ffmpeg.binary import FFmpeg
from upscale_cli.media.video.ffmpeg.process import LOG_ARGUMENTS
from upscale_cli.media.video.opening import EXACT_CROP, decoder_limit, input_arguments
from upscale_cli.media.video.streams import Clip, VideoStream
from upscale_cli.messages import option

Deinterlace = Literal["auto", "off", "frame", "field"]

PREROLL_SECONDS: Final = 10.0
"""How long before a wanted frame decoding begins after a seek, so that frames of open groups are whole by then."""

FORGETFUL: Final = ("-syncpoints", "none", "-f_strict", "experimental")
"""NUT without points to seek to; see `writer.FORGETFUL`."""

MAX_FPS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeOptions:
    """Which frames, and how they are decoded.

    Attributes:
        start, end: seconds from the clip's start; frames with start <= time < end are taken. None: all.
        frames: at most so many; None: all.
        fps: frames per second of a stream that has no timestamps; None: its own guess.
        deinterlace: "auto" deinterlaces frames that are flagged interlaced, one frame for one; "frame" all of them,
            "field" too, but into two each.
        hwaccel: ffmpeg's -hwaccel.
        after: take only frames later than this timestamp (resume), in ticks.
        lead: give so many frames up to `after` too, as `VideoFrame.is_lead`; fewer where there are no more.
        paced: read no faster than the clip plays.
        max_pixels: no larger frame is decoded, whatever size the stream changes to.
    """

    start: float | None = None
    end: float | None = None
    frames: int | None = None
    fps: Fraction | None = None
    deinterlace: Deinterlace = "auto"
    hwaccel: str | None = None
    after: int | None = None
    lead: int = 0
    paced: bool = False
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if self.end is not None and self.end <= (self.start or 0.0):
            raise OptionError(
                f"{option('end', self.end)} is not after {option('start', self.start or 0.0)}. "
                f"Choose a later {option('end')}."
            )
        if self.frames is not None and self.frames < 1:
            raise OptionError(f"{option('frames', self.frames)} is too few. Take at least 1.")
        if self.fps is not None and not 0 < self.fps <= MAX_FPS:
            raise OptionError(f"{option('fps', self.fps)} is no frame rate. Choose one above 0 and up to {MAX_FPS}.")


WHOLE_CLIP: Final = DecodeOptions()


def raw_name(stream: VideoStream, format: PixelFormat) -> str:
    """The pixel format to ask ffmpeg for. Full-range formats of the old kind (yuvj420p) keep their name: for yuv420p
    ffmpeg would squeeze them into the studio range."""
    if stream.pixel_format.startswith("yuvj") and stream.pixel_format.replace("yuvj", "yuv") == format.name:
        return stream.pixel_format
    return format.name


def ticks_below_zero(stream: VideoStream) -> int:
    """How far a stream's timestamps reach below zero, which NUT cannot hold: both pipes carry them so much later."""
    return max(0, -(stream.start or 0))


def time_limits(
    clip: Clip, time_base: Fraction, options: DecodeOptions, *, untimed: bool = False
) -> tuple[int | None, int | None]:
    """Where a part begins and ends, in ticks: the first that is taken, the first that is not. None for no limit."""

    def ticks(seconds: float | None) -> int | None:
        if seconds is None:
            return None
        origin = Fraction(0) if untimed else Fraction(clip.start_seconds).limit_denominator(10**6)
        return math.ceil((origin + Fraction(seconds).limit_denominator(10**6)) / time_base)

    return ticks(options.start), ticks(options.end)


def deinterlacing(wanted: Deinterlace, stream: VideoStream) -> Literal["", "frame", "field"]:
    """What is done to interlaced frames of this stream; "" for nothing."""
    if wanted == "off" or not (stream.interlaced or wanted in ("frame", "field")):
        return ""
    return "field" if wanted == "field" else "frame"


def decoder_command(
    ffmpeg: FFmpeg,
    clip: Clip,
    stream: VideoStream,
    format: PixelFormat,
    options: DecodeOptions,
    *,
    seek: float,
    interlaced: Literal["", "frame", "field"],
    below_zero: int,
) -> list[str]:
    """ffmpeg's command line that gives a stream's frames as NUT.

    Args:
        format: of the samples that are wanted.
        seek: seconds from the clip's start, where decoding begins.
        interlaced: of `deinterlacing`.
        below_zero: of `ticks_below_zero`, in ticks of what comes out.
    """
    source = clip.source
    before = ["-copyts", "-noautorotate", "-max_error_rate", "1"]
    before += ["-flags", EXACT_CROP, *(["-apply_cropping", "codec"] if ffmpeg.crops else [])]
    before += ["-max_pixels", str(decoder_limit(options.max_pixels, stream.width, stream.height))]
    if options.hwaccel:
        before += ["-hwaccel", options.hwaccel]
    if stream.alpha_decoder and format.alpha:
        before += [f"-c:{stream.index}", stream.alpha_decoder]
    if seek and stream.x264_build is not None:  # the note that names it lies before
        before += [f"-x264_build:{stream.index}", str(stream.x264_build)]
    if seek:
        before += ["-ss", f"{seek:.6f}", "-noaccurate_seek"]
    if options.paced:
        before += ["-readrate", "1", "-readrate_initial_burst", "1"]
    filters = []
    if interlaced:
        which = "interlaced" if options.deinterlace == "auto" else "all"  # who asks for it knows better than flags
        filters.append(f"bwdif=mode=send_{interlaced}:deint={which}")
    if crop := stream.crop:  # after the fields are told apart: an odd line of border would swap them
        size = f"iw-{crop.left + crop.right}:ih-{crop.top + crop.bottom}"
        filters.append(f"crop={size}:{crop.left}:{crop.top}:exact=1")
    if stream.untimed:
        filters.append("setpts=N")
    elif below_zero:
        filters.append(f"setpts=PTS+{below_zero}")
    return [
        ffmpeg.path, *LOG_ARGUMENTS, "-nostdin" if clip.path is not None else "-y", *before,
        *input_arguments(clip), "-i", source,
        "-map", f"0:{stream.index}", *(["-vf", ",".join(filters)] if filters else []),
        "-c:v", "rawvideo", "-pix_fmt", raw_name(stream, format),
        "-fps_mode", "passthrough", "-enc_time_base", "demux", *FORGETFUL, "-f", "nut", "pipe:1",
    ]  # fmt: skip
