"""The pixel format that is encoded: of those that an encoder takes, the one nearest to the picture's."""

from dataclasses import replace

from upscale_cli.errors import FFmpegError, OptionError
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.media.video.codecs import PIXEL_FORMATS, Codec
from upscale_cli.media.video.encoding import EncodeOptions, Picture
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, pixel_formats_of
from upscale_cli.messages import option


def wanted_format(options: EncodeOptions, picture: Picture) -> PixelFormat:
    """The pixel format to come as near to as possible."""
    if options.pix_fmt is None:
        wants_players = picture.for_players and options.codec == "auto" and picture.format.model == "rgb"
        return (
            PIXEL_FORMATS["yuv420p" if picture.format.bits == 8 else "yuv420p10le"] if wants_players else picture.format
        )
    if options.pix_fmt not in PIXEL_FORMATS:
        raise OptionError(f"{option('pix_fmt', options.pix_fmt)} is none of: {', '.join(PIXEL_FORMATS)}.")
    return PIXEL_FORMATS[options.pix_fmt]


def formats_of(codec: Codec, container_name: str, ffmpeg: FFmpeg) -> tuple[PixelFormat, ...]:
    """What an encoder of this build can be given for a container."""
    here = codec.formats if codec.upload else pixel_formats_of(ffmpeg.path, codec.name)
    rows = [PIXEL_FORMATS[name] for name in codec.formats if name in here]
    if codec.hardware == "nvenc":  # of words of 16 bits it reads the upper 10
        rows = [replace(row, bits=min(row.bits, 10)) for row in rows]
    # VP9 keeps transparency next to the stream, where only Matroska has a place for it.
    loses_alpha = codec.kind == "vp9" and container_name not in ("webm", "matroska")
    return tuple(row for row in rows if not (row.alpha and loses_alpha))


def loss(wanted: PixelFormat, given: PixelFormat) -> tuple[int, ...]:
    """What is lost from one format to another, the worst first; zeros where nothing is."""
    return (
        wanted.alpha and not given.alpha,
        wanted.model != "gray" and given.model == "gray",
        max(0, wanted.bits - given.bits),
        wanted.model != "gray" and max(0, given.shift_x - wanted.shift_x) + max(0, given.shift_y - wanted.shift_y),
        (wanted.model == "rgb") != (given.model == "rgb"),
    )


def nearest(wanted: PixelFormat, formats: tuple[PixelFormat, ...]) -> PixelFormat:
    """The format that loses least, then the one that adds least."""

    def distance(given: PixelFormat) -> tuple[int, ...]:
        grey = wanted.model == "gray"
        gained = (
            -(given.shift_x + given.shift_y)
            if grey
            else wanted.shift_x + wanted.shift_y - given.shift_x - given.shift_y
        )
        return (
            *loss(wanted, given),
            wanted.model != given.model,
            given.bits - wanted.bits,
            given.alpha - wanted.alpha,
            gained,
        )

    return min(formats, key=distance)


def pixel_format_for(
    codec: Codec, options: EncodeOptions, picture: Picture, container_name: str, ffmpeg: FFmpeg
) -> PixelFormat:
    """The format that is asked for, or of those that the encoder takes the one nearest to the source's.

    Raises:
        OptionError: the encoder does not take what is asked for.
        FFmpegError: it takes none that we can make.
    """
    formats = formats_of(codec, container_name, ffmpeg)
    if not formats:
        raise FFmpegError(f"{codec.name} of this ffmpeg ({ffmpeg.version}) takes no pixel format that upscale knows.")
    chosen = nearest(wanted_format(options, picture), formats)
    if options.pix_fmt not in (None, chosen.name):
        names = ", ".join(row.name for row in formats)
        raise OptionError(f"{option('pix_fmt', options.pix_fmt)}: {codec.name} does not take it. It takes {names}.")
    return chosen
