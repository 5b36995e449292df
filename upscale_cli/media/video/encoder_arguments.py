"""An encoder's command line: the pixel format nearest to the picture, quality, speed, tags, and what the user adds."""

from collections.abc import Iterator
from fractions import Fraction

from upscale_cli.errors import OptionError
from upscale_cli.frames.pixel_format import PixelFormat
from upscale_cli.media.video.codecs import CONTAINERS, WITHOUT_REORDERING, Codec
from upscale_cli.media.video.encoder_colour import colour_arguments, filters_for, hdr_arguments, nameable, tags_after
from upscale_cli.media.video.encoder_pixel_format import loss, pixel_format_for
from upscale_cli.media.video.encoder_requests import bare, controls_rate, extra_arguments, fitted
from upscale_cli.media.video.encoding import EncodeOptions, Encoder, Picture
from upscale_cli.media.video.ffmpeg.binary import FFmpeg
from upscale_cli.media.video.streams import Orientation
from upscale_cli.messages import option


def encoder_for(
    codec: Codec, options: EncodeOptions, picture: Picture, container_name: str, ffmpeg: FFmpeg
) -> tuple[Encoder, tuple[str, ...]]:
    """ffmpeg's arguments that encode the picture with this encoder, and what the user should know about that.

    Raises:
        OptionError: quality, preset, pixel format or another option is none of the encoder's.
    """
    options, fitting = fitted(codec, options, ffmpeg)
    target = pixel_format_for(codec, options, picture, container_name, ffmpeg)
    width, height = (_even(codec, picture.width, target.shift_x), _even(codec, picture.height, target.shift_y))
    sar = _sixteen_bits(picture.sar * Fraction(picture.width * height, picture.height * width))
    before, unnamed = nameable(picture.tags, ffmpeg)
    after = tags_after(before, picture.format, target, codec, container_name)
    hdr_input, hdr_params = hdr_arguments(codec, picture, ffmpeg)
    arguments = [
        *("-c:v", codec.name, *codec.arguments, *_quality(codec, options), *_speed(codec, options)),
        *_alone(codec, options, picture.rate),
        *_for_container(codec, target, container_name),
        *_for_odd_sides(codec, target, width, height, ffmpeg),
        *hdr_params,
        *extra_arguments(options),
        *(() if codec.upload else ("-pix_fmt", target.name)),
        *colour_arguments(after, target),
    ]
    encoder = Encoder(
        name=codec.name,
        pix_fmt=target.name,
        width=width,
        height=height,
        sar=sar,
        input_arguments=("-noautorotate", *_orientation(picture.orientation), *hdr_input),
        filters=",".join(filters_for(codec, picture.format, target, before, after, sar)),
        arguments=_merged(arguments),
        device_arguments=codec.device,
    )
    notes = [_conversion_note(codec, picture.format, target, _why(codec, options, picture))]
    notes.append(_lossy_note(codec, options, picture, target, container_name))
    if unnamed:
        notes.append(f"this ffmpeg knows no {', '.join(unnamed)}: left untagged.")
    if picture.format.model != "rgb" != target.model and after.range != (before.range or "tv"):
        notes.append(f"{codec.name} in {container_name} cannot mark full range: converted to limited range.")
    if (picture.mastering or picture.light) and not (hdr_input or hdr_params):
        notes.append(
            f"mastering display and content light level are left out: ffmpeg {ffmpeg.version} cannot write them "
            f"with {codec.name}. A later ffmpeg can."
        )
    return encoder, (*fitting, *(note for note in notes if note))


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


def _why(codec: Codec, options: EncodeOptions, picture: Picture) -> str:
    """What decides about the pixel format."""
    if options.pix_fmt is not None:
        return f"as {option('pix_fmt')} says"
    if picture.for_players and options.codec == "auto":
        return f"all players show that; {option('codec', 'ffv1')} keeps them"
    return f"{codec.name} takes nothing nearer"


def _conversion_note(codec: Codec, source: PixelFormat, target: PixelFormat, why: str) -> str:
    """What the user should know of the pixel format; empty where the picture stays what it is."""
    lost = loss(source, target)
    if any(lost):
        names = ("transparency", "colour", f"{source.bits} bits", "chroma resolution", "RGB")
        gone = " and ".join(name for name, is_lost in zip(names, lost, strict=True) if is_lost)
        return f"{source.name} is encoded as {target.name}, without its {gone}: {why}."
    if target.model == "rgb" and codec.kind != "ffv1":
        common = option("pix_fmt", "yuv420p")
        return f"RGB is kept as such ({codec.name}); few players show it. {common} makes what all of them do."
    same = (source.model, source.bits, source.shift_x, source.shift_y)
    if same == (target.model, target.bits, target.shift_x, target.shift_y) or source.model == "gray":
        return ""
    return f"{source.name} is encoded as {target.name}."


def _lossy_note(
    codec: Codec, options: EncodeOptions, picture: Picture, target: PixelFormat, container_name: str
) -> str:
    """That a source which has lost nothing so far loses something now."""
    if not picture.lossless or codec.kind == "ffv1" or _is_lossless(codec, options, target):
        return ""
    where = "" if "ffv1" in CONTAINERS[container_name] else f" ({option('output')} in .mkv)"
    return (
        f"the source is lossless ({picture.lossless}), the output is lossy ({codec.name}). "
        f"{option('codec', 'ffv1')}{where} loses nothing."
    )


def _is_lossless(codec: Codec, options: EncodeOptions, target: PixelFormat) -> bool:
    """Whether the user has asked the encoder to lose nothing."""
    asked = {bare(key): value for key, value in options.extra}
    if codec.params == "x264" and target.bits == 8:
        return options.crf == 0 or "0" in (asked.get("qp"), asked.get("crf"))
    return asked.get("lossless") == "1" or "lossless=1" in asked.get("x265-params", "").split(":")


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
        return
    low, high = sorted((scale.best, scale.worst))
    value = scale.default if options.crf is None else options.crf
    if not low <= value <= high or (scale.whole and value != int(value)):
        kind = "whole numbers" if scale.whole else "numbers"
        raise OptionError(
            f"{option('crf', value)}: {codec.name} takes {kind} from {scale.best:g} (best) to {scale.worst:g} (worst)."
        )
    if options.crf is None and controls_rate(options):
        return
    yield from scale.fixed
    for name in scale.options:
        yield from (name, f"{value:g}")


def _speed(codec: Codec, options: EncodeOptions) -> Iterator[str]:
    preset = options.preset or (codec.fastest if options.realtime else codec.preset)
    if preset is not None:
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


def _orientation(orientation: Orientation | None) -> Iterator[str]:
    if orientation:
        yield from ("-display_rotation", f"{orientation.rotation:g}")
        yield from ("-display_hflip",) if orientation.hflip else ()
        yield from ("-display_vflip",) if orientation.vflip else ()


def _merged(arguments: list[str]) -> tuple[str, ...]:
    """The arguments, all `-*-params` of one name made one; of two values for a key ffmpeg takes the last."""
    merged: dict[str, str] = {}
    others: list[str] = []
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        if name.endswith("-params"):
            merged[name] = f"{merged[name]}:{value}" if name in merged else value
        else:
            others += [name, value]
    return (*others, *(word for pair in merged.items() for word in pair))
