"""What the code values mean, for an encoder: colour tags before and after the conversion, filters, HDR10 metadata."""

import functools
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Final

from upscale_cli.frames.colour_tags import ColourTags, MasteringDisplay, Range
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.media.video.codecs import Codec
from upscale_cli.media.video.encoding import Picture
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, ask


def hdr_arguments(codec: Codec, picture: Picture, ffmpeg: FFmpeg) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """HDR10 metadata: options of ffmpeg's own before the input where it has them, else parameters of the encoder's."""
    display, light = picture.mastering, picture.light
    levels = f"{light.max_cll},{light.max_fall}" if light else ""
    if ffmpeg.has_hdr_options:
        shown = ("-mastering_display", _in_units(display)) if display else ()
        return (*shown, *(("-content_light", levels) if light else ())), ()
    if codec.params is None or not (display or light):
        return (), ()
    names = {"x264": ("mastering-display", "cll"), "x265": ("master-display", "max-cll")}
    for_display, for_light = names.get(codec.params, ("mastering-display", "content-light"))
    pairs = []
    if display:
        pairs.append(f"{for_display}={_in_decimals(display) if codec.params == 'svtav1' else _in_units(display)}")
    if light:
        pairs.append(f"{for_light}={levels}")
    return (), (f"-{codec.params}-params", ":".join(pairs))


def _in_units(display: MasteringDisplay) -> str:
    """In units of 0.00002 and 0.0001 cd/m2, the grid of H.264 and H.265."""
    xy = [f"{name}({round(x * 50000)},{round(y * 50000)})" for name, (x, y) in _points(display)]
    luminance = f"L({round(display.max_luminance * 10000)},{round(display.min_luminance * 10000)})"
    return "".join(xy) + luminance


def _in_decimals(display: MasteringDisplay) -> str:
    xy = [f"{name}({float(x):.6f},{float(y):.6f})" for name, (x, y) in _points(display)]
    return "".join(xy) + f"L({float(display.max_luminance):.6f},{float(display.min_luminance):.6f})"


def _points(display: MasteringDisplay) -> tuple[tuple[str, tuple[Fraction, Fraction]], ...]:
    return (("G", display.green), ("B", display.blue), ("R", display.red), ("WP", display.white))


def nameable(tags: ColourTags, ffmpeg: FFmpeg) -> tuple[ColourTags, list[str]]:
    """The tags that this ffmpeg has names for, and the others."""
    known = _names_of_tags(ffmpeg.path)
    unnamed = [name for name in (tags.matrix, tags.primaries, tags.transfer) if name is not None and name not in known]
    return replace(
        tags,
        matrix=None if tags.matrix in unnamed else tags.matrix,
        primaries=None if tags.primaries in unnamed else tags.primaries,
        transfer=None if tags.transfer in unnamed else tags.transfer,
    ), unnamed


@functools.cache
def _names_of_tags(path: str) -> frozenset[str]:
    return frozenset(re.findall(r"^ {5}([\w-]+) ", ask(path, "-h", "filter=setparams"), re.MULTILINE))


def tags_after(
    tags: ColourTags, source: PixelFormat, target: PixelFormat, codec: Codec, container_name: str
) -> ColourTags:
    """What is true of the samples once they are in the encoder's pixel format."""
    if source.model == "rgb" and target.model != "rgb":
        wide = tags.primaries == "bt2020"
        return replace(tags, matrix="bt2020nc" if wide else "bt709", range="tv", chroma_location="left")
    if target.model == "rgb":
        return replace(tags, matrix="gbr", range="pc", chroma_location=None)
    # FFV1 carries no tags; apart from Matroska, no container that takes it has a place for the range.
    is_untagged = codec.kind == "ffv1" and container_name != "matroska"
    ranges: tuple[Range, ...] = ("tv",) if is_untagged else codec.ranges
    return replace(tags, range=tags.range if tags.range in ranges else "tv")


def filters_for(
    codec: Codec, source: PixelFormat, target: PixelFormat, before: ColourTags, after: ColourTags, sar: Fraction
) -> Iterator[str]:
    """Tags as they are, conversion if there must be one, tags as they are then."""
    yield _setparams(before)
    if source.model == "gray" and target.model != "gray":
        # ffmpeg takes grey for full range, whatever it is tagged, and would stretch it, unless both ends are given.
        yield f"scale=in_range=pc:out_range=pc,format={_FULL_CHROMA[source.bits]}"
        yield _setparams(before)
    if source.name != target.name or before != after:
        matrices = f":in_color_matrix={before.matrix}" if before.matrix in _SCALABLE else ""
        matrices += f":out_color_matrix={after.matrix}" if after.matrix in _SCALABLE else ""
        ranges = f"in_range={before.range or 'tv'}:out_range={after.range or 'tv'}"
        yield f"scale={ranges}{matrices}:flags={_SCALE_FLAGS},format={target.name}"
        yield _setparams(after)
    yield f"setsar=sar={sar.numerator}/{sar.denominator}:max=65535"
    if codec.upload:
        yield "hwupload"


def _setparams(tags: ColourTags) -> str:
    return (
        f"setparams=range={tags.range or 'tv'}:color_primaries={tags.primaries or 'unknown'}"
        f":color_trc={tags.transfer or 'unknown'}:colorspace={tags.matrix or 'unknown'}"
    )


def colour_arguments(tags: ColourTags, target: PixelFormat) -> Iterator[str]:
    """What the filter's tags do not settle.

    Without -color_range ffmpeg 8 and later converts full range to limited for encoders that do not list both (ffv1).
    """
    yield from ("-color_range", tags.range or "tv")
    if tags.chroma_location and target.subsampled:
        yield from ("-chroma_sample_location", tags.chroma_location)


_FULL_CHROMA: Final = {8: "yuv444p", 10: "yuv444p10le", 12: "yuv444p12le", 16: "yuv444p16le"}
_SCALE_FLAGS: Final = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_SCALABLE: Final = frozenset({"bt709", "fcc", "smpte170m", "bt470bg", "smpte240m", "bt2020nc"})
"""Matrices that the scale filter knows by these names."""
