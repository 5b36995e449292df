"""What the user asks of an encoder by options that each has its own way of: speed, quality, options of its own.

A folder may hold clips for several encoders, and the options are given once. What is meant for another encoder's scale
is brought to that of the one that is used; what it has no scale for is left out, unless it was named. Either is told.
"""

import functools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from upscale_cli.errors import OptionError
from upscale_cli.media.video.codecs import CODECS, Codec
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.ffmpeg.binary import FFmpeg, ask
from upscale_cli.messages import option


def fitted(codec: Codec, options: EncodeOptions, ffmpeg: FFmpeg) -> tuple[EncodeOptions, tuple[str, ...]]:
    """The options as this encoder takes them, and what the user should know about that.

    Raises:
        OptionError: no encoder knows the preset, or the one that was named has no such scale or option.
    """
    notes: list[str] = []
    is_named = options.codec != "auto"
    if options.preset is not None and options.preset not in codec.presets:
        preset = _on_scale_of(codec, options.preset, is_named=is_named)
        notes.append(
            f"{option('preset', options.preset)} is {preset} on the scale of {codec.name}."
            if preset
            else f"{option('preset', options.preset)} is left out: {codec.name} has no such scale."
        )
        options = replace(options, preset=preset)
    if options.crf is not None and codec.quality is None:
        if is_named:
            raise OptionError(
                f"{option('crf', options.crf)}: {codec.name} has no such scale. "
                f"Leave it out, or choose another {option('codec')}."
            )
        notes.append(f"{option('crf', options.crf)} is left out: {codec.name} has no such scale.")
        options = replace(options, crf=None)
    extra = tuple(_known(codec, options, ffmpeg))
    for key, value in options.extra:
        if (key, value) not in extra:
            notes.append(f"{option('extra', f'{key}={value}')} is left out: {codec.name} has no option {key!r}.")
    return replace(options, extra=extra), tuple(notes)


# Speed


_FIRST_ASKED: Final = ("libx264", "libvpx-vp9")
"""Whose scale a preset is taken to be of, where several have its name: those that are chosen by themselves."""


def _on_scale_of(codec: Codec, preset: str, *, is_named: bool) -> str | None:
    """The preset that is as fast among its own as the given one is among those of its encoder; None where it has none.

    Raises:
        OptionError: see `fitted`.
    """
    rows = sorted(CODECS.values(), key=lambda row: row.name not in _FIRST_ASKED)
    home = next((row for row in rows if preset in row.presets), None)
    if home is None or (is_named and not codec.presets):
        known = f"It takes {', '.join(codec.presets)}." if codec.presets else "It has none; leave it out."
        raise OptionError(f"{option('preset', preset)}: {codec.name} does not know it. {known}")
    return _of_speed(codec, _speed(home, preset)) if codec.presets else None


def _fastest_first(codec: Codec) -> tuple[list[str], int, int]:
    """Its presets, and the places of the fastest that is used and of the default."""
    names = list(codec.presets)
    assert codec.fastest is not None
    assert codec.preset is not None
    if names.index(codec.fastest) > names.index(codec.preset):
        names.reverse()
    return names, names.index(codec.fastest), names.index(codec.preset)


def _speed(codec: Codec, preset: str) -> float:
    """From 1 (the fastest) by 0 (the default) to -1 (the slowest)."""
    names, fastest, default = _fastest_first(codec)
    at = names.index(preset)
    if at <= default:
        return min(1.0, (default - at) / (default - fastest))
    return -(at - default) / (len(names) - 1 - default)


def _of_speed(codec: Codec, speed: float) -> str:
    """The nearest preset; another than the default where faster or slower is asked for and there is one."""
    names, fastest, default = _fastest_first(codec)
    steps = abs(speed) * (default - fastest if speed > 0 else len(names) - 1 - default)
    moved = max(1, round(steps)) if steps else 0
    return names[default - moved if speed > 0 else default + moved]


# The encoder's own options


def _known(codec: Codec, options: EncodeOptions, ffmpeg: FFmpeg) -> Iterator[tuple[str, str]]:
    """Those of the user's own arguments that this encoder has.

    Raises:
        OptionError: it was named and has no such option, or no encoder has.
    """
    for key, value in options.extra:
        if _has_option(codec, key, ffmpeg):
            yield key, value
        elif options.codec != "auto" or not _has_another(key, ffmpeg):
            raise OptionError(
                f"{option('extra', f'{key}={value}')}: {codec.name} has no option {key!r}. "
                f"`ffmpeg -h encoder={codec.name}` lists its options."
            )


def _has_option(codec: Codec, key: str, ffmpeg: FFmpeg) -> bool:
    return bare(key) in _GENERAL_OPTIONS | _private_options(ffmpeg.path, codec.name)


def _has_another(key: str, ffmpeg: FFmpeg) -> bool:
    software = (row for row in CODECS.values() if row.hardware is None and row.name in ffmpeg.encoders)
    return any(_has_option(row, key, ffmpeg) for row in software)


def extra_arguments(options: EncodeOptions) -> Iterator[str]:
    """`EncodeOptions.extra`, as `fitted` has let it through: only options of the encoder, so that no value becomes an
    input, an output or a filter."""
    for key, value in options.extra:
        yield from (f"-{bare(key)}", value)


def controls_rate(options: EncodeOptions) -> bool:
    """Whether the user's own arguments say how many bits there are."""
    return any(bare(key) in _RATE_OPTIONS for key, _ in options.extra)


def bare(key: str) -> str:
    """The name of an option: "crf" of "-crf:v"."""
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
