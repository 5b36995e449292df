"""An encoder's command line: the pixel format nearest to the picture, quality, speed, tags, and what the user adds."""

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from upscale_cli.errors import FFmpegError, OptionError
from upscale_cli.frames.colour_tags import ColourTags, ContentLight, MasteringDisplay, Range
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.media.video.codecs import PIXEL_FORMATS, WITHOUT_REORDERING, Codec
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, ask, pixel_formats_of
from upscale_cli.media.video.streams import Orientation


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeOptions:
    """What the user wants of the encoder.

    Attributes:
        codec: ffmpeg's name of an encoder (see `CODECS`), or "auto".
        crf: quality on the encoder's own scale; None for its default here.
        preset: one of the encoder's; None for its default here.
        pix_fmt: ffmpeg's name of the pixel format to encode; None to stay as near as the encoder can.
        extra: more options of the encoder, (name, value) each.
        realtime: as fast as it goes, in hardware if there is any.
        live: a frame leaves as soon as it came.
        closed_gop: runs of the encoder can be joined without encoding again.
    """

    codec: str = "auto"
    crf: float | None = None
    preset: str | None = None
    pix_fmt: str | None = None
    extra: tuple[tuple[str, str], ...] = ()
    realtime: bool = False
    live: bool = False
    closed_gop: bool = False

    def without_details(self) -> "EncodeOptions":
        """The same wish, told to an encoder that the details were not meant for."""
        return replace(self, crf=None, preset=None, pix_fmt=None, extra=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What is to be encoded.

    Attributes:
        format: of the frames as they come.
        width, height: in pixels.
        rate: frames per second, the best guess.
        tags: what the code values mean, complete.
        sar: sample aspect ratio.
        orientation: None where the picture is stored upright.
        mastering, light: HDR10 metadata.
    """

    format: PixelFormat
    width: int
    height: int
    rate: Fraction
    tags: ColourTags
    sar: Fraction = Fraction(1)
    mastering: MasteringDisplay | None = None
    light: ContentLight | None = None
    orientation: Orientation | None = None


@dataclass(frozen=True, slots=True)
class Encoder:
    """How ffmpeg is told to encode.

    Attributes:
        name: of the encoder.
        pix_fmt: what it encodes.
        width, height: of the frames to feed: the picture's, made even (by repeating edges) where the encoder needs it.
        sar: gives those frames the aspect that the picture has.
        input_arguments: go before the input.
        filters: the value of -vf.
        arguments: go before the output.
        device_arguments: global, go first.
    """

    name: str
    pix_fmt: str
    width: int
    height: int
    sar: Fraction
    input_arguments: tuple[str, ...]
    filters: str
    arguments: tuple[str, ...]
    device_arguments: tuple[str, ...]


def encoder_for(
    codec: Codec, options: EncodeOptions, picture: Picture, container_name: str, ffmpeg: FFmpeg
) -> tuple[Encoder, tuple[str, ...]]:
    """How ffmpeg is told to encode the picture with this encoder, and what the user should know about that.

    Raises:
        OptionError: quality, preset, pixel format or another option is none of the encoder's.
    """
    target = _pixel_format(codec, options, picture, container_name, ffmpeg)
    width, height = (_even(codec, picture.width, target.shift_x), _even(codec, picture.height, target.shift_y))
    sar = _sixteen_bits(picture.sar * Fraction(picture.width * height, picture.height * width))
    before, unnamed = _nameable(picture.tags, ffmpeg)
    after = _tags_after(before, picture.format, target, codec, container_name)
    hdr_input, hdr_params = _hdr(codec, picture, ffmpeg)
    arguments = [
        *("-c:v", codec.name, *codec.arguments, *_quality(codec, options), *_speed(codec, options)),
        *_alone(codec, options, picture.rate),
        *_for_container(codec, target, container_name),
        *_for_odd_sides(codec, target, width, height, ffmpeg),
        *hdr_params,
        *_extra(codec, options, ffmpeg),
        *(() if codec.upload else ("-pix_fmt", target.name)),
        *_colour(after, target),
    ]
    encoder = Encoder(
        name=codec.name,
        pix_fmt=target.name,
        width=width,
        height=height,
        sar=sar,
        input_arguments=("-noautorotate", *_orientation(picture.orientation), *hdr_input),
        filters=",".join(_filters(codec, picture.format, target, before, after, sar)),
        arguments=_merged(arguments),
        device_arguments=codec.device,
    )
    notes = [_conversion_note(codec, picture.format, target, asked=options.pix_fmt is not None)]
    if unnamed:
        notes.append(f"this ffmpeg knows no {', '.join(unnamed)}: left untagged.")
    if picture.format.model != "rgb" != target.model and after.range != (before.range or "tv"):
        notes.append(f"{codec.name} in {container_name} cannot tell full range from limited: made limited range.")
    if (picture.mastering or picture.light) and not (hdr_input or hdr_params):
        notes.append(
            f"mastering display and content light level are left out: ffmpeg {ffmpeg.version} cannot write them "
            f"with {codec.name}. A later ffmpeg can."
        )
    return encoder, tuple(note for note in notes if note)


def _for_container(codec: Codec, target: PixelFormat, container_name: str) -> Iterator[str]:
    """What only matters in some containers."""
    if container_name in WITHOUT_REORDERING and codec.kind in ("h264", "hevc"):
        yield from ("-bf", "0")
    if codec.kind == "vp9" and target.alpha:
        yield from ("-auto-alt-ref", "0")  # its hidden frames would go to the colours alone
    if codec.kind == "hevc" and container_name in ("mp4", "mov"):
        yield from ("-tag:v", "hvc1")  # the default, hev1, does not play on Apple's systems


def _for_odd_sides(codec: Codec, target: PixelFormat, width: int, height: int, ffmpeg: FFmpeg) -> Iterator[str]:
    """FFV1 in one piece where ffmpeg cuts it wrongly.

    Up to 7.0 for certain, and no more in 9.0, its slices left out the last chroma column or row of odd sides (seen).
    """
    if (
        codec.kind == "ffv1"
        and 0 < ffmpeg.major < 9
        and ((width % 2 and target.shift_x) or (height % 2 and target.shift_y))
    ):
        yield from ("-level", "1", "-slicecrc", "0")


def _conversion_note(codec: Codec, source: PixelFormat, target: PixelFormat, *, asked: bool) -> str:
    """What the user should know of the pixel format; empty where the picture stays what it is."""
    lost = loss(source, target)
    if any(lost):
        names = ("transparency", "colour", f"{source.bits} bits", "chroma resolution", "RGB")
        gone = " and ".join(name for name, is_lost in zip(names, lost, strict=True) if is_lost)
        why = "as --pix-fmt says" if asked else f"{codec.name} takes nothing nearer"
        return f"{source.name} is encoded as {target.name}, without its {gone}: {why}."
    if target.model == "rgb" and codec.kind != "ffv1":
        return f"RGB is kept as such ({codec.name}); few players show it. --pix-fmt yuv420p makes what all of them do."
    same = (source.model, source.bits, source.shift_x, source.shift_y)
    if same == (target.model, target.bits, target.shift_x, target.shift_y) or source.model == "gray":
        return ""
    return f"{source.name} is encoded as {target.name}."


def _even(codec: Codec, side: int, shift: int) -> int:
    step = 1 << shift if codec.even else 1
    return -(-side // step) * step


def _sixteen_bits(ratio: Fraction) -> Fraction:
    """The nearest ratio of two 16-bit numbers, which is what H.264 and H.265 can hold."""
    most = 65535
    small = min(ratio, 1 / ratio).limit_denominator(most) or Fraction(1, most)
    return small if ratio < 1 else 1 / small


def _quality(codec: Codec, options: EncodeOptions) -> Iterator[str]:
    """Constant quality, unless the user's own arguments control the rate."""
    scale = codec.quality
    if scale is None:
        if options.crf is not None:
            raise OptionError(
                f"--crf {options.crf:g}: {codec.name} has no such scale. Leave it out, or choose another --codec."
            )
        return
    low, high = sorted((scale.best, scale.worst))
    value = scale.default if options.crf is None else options.crf
    if not low <= value <= high or (scale.whole and value != int(value)):
        kind = "whole numbers" if scale.whole else "numbers"
        raise OptionError(
            f"--crf {value:g}: {codec.name} takes {kind} from {scale.best:g} (best) to {scale.worst:g} (worst)."
        )
    if options.crf is None and any(_bare(key) in _RATE_OPTIONS for key, _ in options.extra):
        return
    yield from scale.fixed
    for option in scale.options:
        yield from (option, f"{value:g}")


def _speed(codec: Codec, options: EncodeOptions) -> Iterator[str]:
    preset = options.preset or (codec.fastest if options.realtime else codec.preset)
    if preset is not None:
        if preset not in codec.presets:
            known = f"It takes {', '.join(codec.presets)}." if codec.presets else "It has none; leave it out."
            raise OptionError(f"--preset {preset}: {codec.name} does not know it. {known}")
        yield from codec.presets[preset]
    if options.realtime:
        yield from codec.realtime


def _alone(codec: Codec, options: EncodeOptions, rate: Fraction) -> Iterator[str]:
    """What makes frames, or runs of them, stand for themselves."""
    if options.live:
        yield from codec.live
        if codec.kind not in ("prores", "ffv1"):
            yield from ("-g", str(max(1, round(2 * rate))))  # who joins a live stream waits for a keyframe
    if options.closed_gop:
        yield from codec.closed_gop


def _hdr(codec: Codec, picture: Picture, ffmpeg: FFmpeg) -> tuple[tuple[str, ...], tuple[str, ...]]:
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


def _orientation(orientation: Orientation | None) -> Iterator[str]:
    if orientation:
        yield from ("-display_rotation", f"{orientation.rotation:g}")
        yield from ("-display_hflip",) if orientation.hflip else ()
        yield from ("-display_vflip",) if orientation.vflip else ()


def _merged(arguments: list[str]) -> tuple[str, ...]:
    """The arguments, all `-*-params` of one name made one; of two values for a key ffmpeg takes the last."""
    merged: dict[str, str] = {}
    others: list[str] = []
    for option, value in zip(arguments[::2], arguments[1::2], strict=True):
        if option.endswith("-params"):
            merged[option] = f"{merged[option]}:{value}" if option in merged else value
        else:
            others += [option, value]
    return (*others, *(word for pair in merged.items() for word in pair))


# The pixel format ----------------------------------------------------------------------------------------------------


def wanted_format(options: EncodeOptions, picture: Picture) -> PixelFormat:
    """The pixel format to come as near to as possible."""
    if options.pix_fmt is None:
        return picture.format
    if options.pix_fmt not in PIXEL_FORMATS:
        raise OptionError(f"--pix-fmt {options.pix_fmt} is none of: {', '.join(PIXEL_FORMATS)}.")
    return PIXEL_FORMATS[options.pix_fmt]


def formats_of(codec: Codec, container_name: str, ffmpeg: FFmpeg) -> tuple[PixelFormat, ...]:
    """What an encoder of this build can be given for a container."""
    here = codec.formats if codec.upload else pixel_formats_of(ffmpeg.path, codec.name)
    rows = [PIXEL_FORMATS[name] for name in codec.formats if name in here]
    # VP9 keeps transparency beside the stream, where only Matroska has a place for it.
    beside = codec.kind == "vp9" and container_name not in ("webm", "matroska")
    return tuple(row for row in rows if not (row.alpha and beside))


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


def _pixel_format(
    codec: Codec, options: EncodeOptions, picture: Picture, container_name: str, ffmpeg: FFmpeg
) -> PixelFormat:
    formats = formats_of(codec, container_name, ffmpeg)
    if not formats:
        raise FFmpegError(f"{codec.name} of this ffmpeg ({ffmpeg.version}) takes no pixel format that upscale knows.")
    chosen = nearest(wanted_format(options, picture), formats)
    if options.pix_fmt not in (None, chosen.name):
        names = ", ".join(row.name for row in formats)
        raise OptionError(f"--pix-fmt {options.pix_fmt}: {codec.name} does not take it. It takes {names}.")
    return chosen


# What the code values mean -------------------------------------------------------------------------------------------


def _nameable(tags: ColourTags, ffmpeg: FFmpeg) -> tuple[ColourTags, list[str]]:
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


def _tags_after(
    tags: ColourTags, source: PixelFormat, target: PixelFormat, codec: Codec, container_name: str
) -> ColourTags:
    """What is true of the samples once they are in the encoder's pixel format."""
    if source.model == "rgb" and target.model != "rgb":
        wide = tags.primaries == "bt2020"
        return replace(tags, matrix="bt2020nc" if wide else "bt709", range="tv", chroma_location="left")
    if target.model == "rgb" and source.model != "rgb":
        return replace(tags, matrix="gbr", range="pc", chroma_location=None)
    if target.model == "rgb":
        return replace(tags, matrix="gbr", range="pc", chroma_location=None)
    # FFV1 carries no tags; beside Matroska, no container that takes it has a place for the range.
    untold = codec.kind == "ffv1" and container_name != "matroska"
    ranges: tuple[Range, ...] = ("tv",) if untold else codec.ranges
    return replace(tags, range=tags.range if tags.range in ranges else "tv")


def _filters(
    codec: Codec, source: PixelFormat, target: PixelFormat, before: ColourTags, after: ColourTags, sar: Fraction
) -> Iterator[str]:
    """Tags as they are, conversion if there must be one, tags as they are then."""
    yield _setparams(before)
    if source.model == "gray" and target.model != "gray":
        # ffmpeg takes grey for full range, whatever it is tagged, and would stretch it. So tell it to keep it so.
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


def _colour(tags: ColourTags, target: PixelFormat) -> Iterator[str]:
    """What the filter's tags do not settle.

    Without -color_range ffmpeg 8 and later converts full range to limited for encoders that do not list both (ffv1).
    """
    yield from ("-color_range", tags.range or "tv")
    if tags.chroma_location and target.subsampled:
        yield from ("-chroma_sample_location", tags.chroma_location)


_FULL_CHROMA: Final = {8: "yuv444p", 10: "yuv444p10le", 12: "yuv444p12le"}
_SCALE_FLAGS: Final = "bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
_SCALABLE: Final = frozenset({"bt709", "fcc", "smpte170m", "bt470bg", "smpte240m", "bt2020nc"})
"""Matrices that the scale filter knows by these names."""


# The user's own arguments --------------------------------------------------------------------------------------------


def _extra(codec: Codec, options: EncodeOptions, ffmpeg: FFmpeg) -> Iterator[str]:
    """--encoder-arg: only options of the encoder, so that no value becomes an input, an output or a filter."""
    for key, value in options.extra:
        name = _bare(key)
        if name not in _GENERAL_OPTIONS | _private_options(ffmpeg.path, codec.name):
            raise OptionError(
                f"--encoder-arg {key}={value}: {codec.name} has no option {key!r}. "
                f"`ffmpeg -h encoder={codec.name}` lists its options."
            )
        yield from (f"-{name}", value)


def _bare(key: str) -> str:
    return key.removeprefix("-").removesuffix(":v")


@functools.cache
def _private_options(path: str, encoder: str) -> frozenset[str]:
    names = re.findall(r"^  -([\w-]+) ", ask(path, "-h", f"encoder={encoder}"), re.MULTILINE)
    return frozenset(names) - {"passlogfile", "stats", "x265-stats"}  # these write files


_RATE_OPTIONS: Final = frozenset({"b", "qp", "q", "qscale", "global_quality", "rc", "rc_mode", "cq", "crf", "lossless"})
_GENERAL_OPTIONS: Final = frozenset(
    [
        *("b", "minrate", "maxrate", "bufsize", "rc_init_occupancy", "qmin", "qmax", "qdiff", "qcomp", "qblur"),
        *("q", "qscale", "global_quality", "i_qfactor", "b_qfactor", "i_qoffset", "b_qoffset", "trellis", "subq"),
        *("g", "keyint_min", "bf", "b_strategy", "refs", "sc_threshold", "me_range", "slices", "compression_level"),
        *("threads", "thread_type", "profile", "level", "flags", "flags2", "strict", "coder", "context"),
    ]
)
"""Options of libavcodec that all or many encoders share and that change neither the frames nor where they go."""
