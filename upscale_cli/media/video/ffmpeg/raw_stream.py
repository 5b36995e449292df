"""What NUT's headers declare of frames in one of our pixel formats."""

from fractions import Fraction

import av

from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.media.video.ffmpeg.nut import RawStream


def raw_stream(format: PixelFormat, width: int, height: int, time_base: Fraction, rate: Fraction) -> RawStream:
    """A stream of raw frames, with the tag that ffmpeg knows their format by.

    Args:
        time_base: seconds per tick of their timestamps.
        rate: frames per second, the best guess.
    """
    raw = av.CodecContext.create("rawvideo", "w")
    raw.width, raw.height, raw.pix_fmt = width, height, format.name
    raw.time_base = time_base
    raw.open()  # gives it its tag
    return RawStream(
        tag=raw.codec_tag.encode("latin-1"), width=width, height=height, time_base=time_base,
        rate=rate.limit_denominator(2**31 - 1),
    )  # fmt: skip
