"""Which encoder, and with which arguments: from what the user wants, the picture, the container and this ffmpeg.

Nothing is trusted that was not seen to work: hardware encoders, and software ones at unusual sizes or with the user's
own arguments, first encode two frames of the real size and format.
"""

import functools
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from upscale_cli.errors import DeviceError, FFmpegError, OptionError, UpscaleError
from upscale_cli.events import Say
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.media.video.codecs import CODECS, CONTAINERS, HARDWARE_BY_PLATFORM, PIXEL_FORMATS, Codec
from upscale_cli.media.video.encoder_arguments import encoder_for
from upscale_cli.media.video.encoder_pixel_format import formats_of, loss, nearest, wanted_format
from upscale_cli.media.video.encoding import EncodeOptions, Encoder, Picture
from upscale_cli.media.video.ffmpeg.binary import NO_WINDOW, FFmpeg, last_words
from upscale_cli.messages import option

ENVIRONMENT: Final[Mapping[str, str]] = {"SVT_LOG": "1"}
"""For every ffmpeg that encodes: SVT-AV1 prints its settings otherwise, and takes no option against it."""

USUAL_SIDES: Final = (128, 4096)
"""Pictures with sides within are encoded without a trial."""

TRIAL_SECONDS: Final = 120
"""Two frames of 8192 x 8192 pixels at 10 bits take libx265 7 s on four cores; a driver that hangs never answers."""

LARGEST_AREA: Final = (2**31 - 1) // 8
"""Of a picture with 128 pixels more on both axes: libavutil refuses larger ones, whatever the encoder."""

HUGE: Final = 16_384
"""Sides beyond the limits of most encoders: then it is the size that has to change."""

_SETTLED: Final = 256
"""Sides at which every working encoder works."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """An encoder, and what the user should know if it is the one."""

    codec: Codec
    encoder: Encoder
    notes: tuple[str, ...]


def choose_encoder(options: EncodeOptions, picture: Picture, container_name: str, ffmpeg: FFmpeg, say: Say) -> Encoder:
    """The encoder to use, seen to work where there is doubt.

    Args:
        container_name: a key of `CONTAINERS`.
        say: gets what the picture loses, and which other encoder is used in place of the first.

    Raises:
        OptionError: an option does not fit the encoder, or the encoder does not fit the container or this ffmpeg.
        DeviceError: the hardware encoder that was asked for does not work here.
        FFmpegError: the encoder fails, or there is none.
    """
    search = _Search(options, picture, container_name, ffmpeg)
    plan = search.fast_hardware() if options.realtime and options.codec == "auto" else None
    plan = plan or search.first_that_works(search.names())
    for note in plan.notes:
        say(note)
    return plan.encoder


def working_hardware(ffmpeg: FFmpeg) -> list[str]:
    """The hardware encoders that work on this machine; tries each that this ffmpeg has."""
    picture = Picture(
        format=PIXEL_FORMATS["yuv420p"],
        width=_SETTLED,
        height=_SETTLED,
        rate=Fraction(25),
        tags=ColourTags("bt709", "bt709", "bt709", "tv", "left"),
    )
    search = _Search(EncodeOptions(), picture, "matroska", ffmpeg)
    names = [codec.name for codec in CODECS.values() if codec.hardware and codec.name in ffmpeg.encoders]
    return [name for name in names if search.trial(search.plan(name)) is None]


@dataclass(frozen=True, slots=True)
class _Search:
    """The search for an encoder: what it must do, and with what."""

    options: EncodeOptions
    picture: Picture
    container: str
    ffmpeg: FFmpeg

    def names(self) -> list[str]:
        """The encoders to consider, best first."""
        if self.options.codec == "auto":
            return self._ranked()
        named = self._named()
        return [named, *(name for name in self._ranked() if name != named)]

    def first_that_works(self, names: list[str]) -> _Plan:
        """The plan of the first encoder that takes pictures of this size; reported where it is not the first."""
        refused: list[str] = []
        for number, name in enumerate(names):
            # Quality, preset and the like were meant for the first; the others have scales of their own.
            mine = self if number == 0 else replace(self, options=self.options.without_details())
            plan = mine.plan(name)
            why = mine._refusal(plan)
            if why is None:
                instead = [f"{text}; {name} is used instead." for text in refused[:1]]
                return replace(plan, notes=(*instead, *plan.notes))
            if number == 0 and (self.options.codec != "auto" or self.options.extra) and not self._is_about_size(plan):
                raise self._failure(name, why)
            refused.append(f"{name} cannot encode {self.picture.width} x {self.picture.height} pixels ({why})")
        if not refused:
            raise OptionError(
                f"{self.container} can hold nothing that this ffmpeg encodes for us. "
                f"Choose another {option('output')}, in .mkv."
            )
        is_huge = max(self.picture.width, self.picture.height) > HUGE
        remedy = (
            f"a smaller {option('scale')} or {option('box')}" if is_huge else f"another {option('output')}, in .mkv"
        )
        raise FFmpegError(f"{refused[0]}, and no other that {self.container} can hold does. Choose {remedy}.")

    def fast_hardware(self) -> _Plan | None:
        """The first hardware encoder that works and takes nothing from the picture."""
        wanted = wanted_format(self.options, self.picture)
        if (self.picture.mastering or self.picture.light) and not self.ffmpeg.has_hdr_options:
            return None
        kinds = ("hevc", "av1") if wanted.bits > 8 else ("h264", "hevc", "av1")
        platform = HARDWARE_BY_PLATFORM.get(sys.platform, ())
        for name in (f"{kind}_{hardware}" for hardware in platform for kind in kinds):
            if not self._is_possible(name) or any(self._loss(name)):
                continue
            with suppress(OptionError):  # the user's preset or quality is none of this one's
                plan = self.plan(name)
                if self.trial(plan) is None:
                    return plan
        return None

    def plan(self, name: str) -> _Plan:
        codec = CODECS[name]
        return _Plan(codec, *encoder_for(codec, self.options, self.picture, self.container, self.ffmpeg))

    def trial(self, plan: _Plan) -> str | None:
        return trial(self.ffmpeg.path, plan.encoder, self.picture.format.name, self.picture.rate)

    def _named(self) -> str:
        """The encoder that the user named, if this ffmpeg has it and the container can hold what it makes."""
        name = self.options.codec
        here = [known for known in CODECS if known in self.ffmpeg.encoders]
        if name not in CODECS:
            raise OptionError(f"{option('codec', name)} is unknown. This ffmpeg has: auto, {', '.join(here)}.")
        if name not in here:
            raise OptionError(
                f"{option('codec', name)}: ffmpeg {self.ffmpeg.version} is built without it. It has: {', '.join(here)}."
            )
        if CODECS[name].kind not in CONTAINERS[self.container]:
            fitting = [known for known in here if CODECS[known].kind in CONTAINERS[self.container]]
            raise OptionError(
                f"{option('codec', name)}: {self.container} cannot hold {CODECS[name].kind}. "
                f"Choose one of {', '.join(fitting) or 'none'}, or another {option('output')}, in .mkv for one."
            )
        rgb = name == "libx264" and wanted_format(self.options, self.picture).model == "rgb"
        return "libx264rgb" if rgb and "libx264rgb" in here else name

    def _ranked(self) -> list[str]:
        """What keeps the most of the picture first; among equals, what plays in most places."""
        wanted = wanted_format(self.options, self.picture)
        if self.picture.lossless == "ffv1" and self.options.leaves_codec_open:
            special = "ffv1"
        elif wanted.alpha:
            special = {"webm": "libvpx-vp9", "mov": "prores_ks"}.get(self.container, "ffv1")
        elif self.picture.tags.is_hdr or wanted.bits > 8:
            special = "libx265"
        else:
            special = "libx264rgb" if wanted.model == "rgb" else "libx264"
        usual = ["libx264", "libx265", "libvpx-vp9", "libsvtav1", "ffv1", "prores_ks"]
        usual += [codec.name for codec in CODECS.values() if codec.hardware]  # some builds have no other H.264
        ranked = sorted(filter(self._is_possible, dict.fromkeys([special, *usual])), key=self._loss)
        if wanted.alpha and self.container == "mov" and special in ranked:  # what editors open, before its last 2 bits
            ranked.insert(0, ranked.pop(ranked.index(special)))
        return ranked

    def _is_possible(self, name: str) -> bool:
        """Whether this ffmpeg has the encoder, the container holds what it makes, and it takes frames of ours."""
        known = name in CODECS and name in self.ffmpeg.encoders and CODECS[name].kind in CONTAINERS[self.container]
        return known and bool(formats_of(CODECS[name], self.container, self.ffmpeg))

    def _loss(self, name: str) -> tuple[int, ...]:
        wanted = wanted_format(self.options, self.picture)
        return loss(wanted, nearest(wanted, formats_of(CODECS[name], self.container, self.ffmpeg)))

    def _refusal(self, plan: _Plan) -> str | None:
        """Why the encoder cannot be used; tried only where there is doubt."""
        if why := _size_refusal(plan):
            return why
        width, height = plan.encoder.width, plan.encoder.height
        usual = all(USUAL_SIDES[0] <= side <= USUAL_SIDES[1] and side % 2 == 0 for side in (width, height))
        return self.trial(plan) if plan.codec.hardware or self.options.extra or not usual else None

    def _is_about_size(self, plan: _Plan) -> bool:
        """Whether the same encoder with the same arguments takes a picture of a usual size.

        Not asked of hardware: a user who names it wants it, or to know why not.
        """
        if plan.codec.hardware:
            return False
        settled = replace(plan.encoder, width=_SETTLED, height=_SETTLED)
        return _size_refusal(plan) is not None or self.trial(replace(plan, encoder=settled)) is None

    def _failure(self, name: str, why: str) -> UpscaleError:
        if CODECS[name].hardware:
            return DeviceError(
                f'{option("codec", name)} does not work here ("{why}"). Choose a software encoder, or auto.'
            )
        if self.options.extra:
            given = " ".join(f"{key}={value}" for key, value in self.options.extra)
            return OptionError(f'{name} fails with {option("extra", given)} ("{why}"). Correct it, or leave it out.')
        return FFmpegError(f'{name} fails ("{why}"). Choose another {option("codec")}.')


def _size_refusal(plan: _Plan) -> str | None:
    """What is known of the encoder's limits without a trial."""
    codec, sides = plan.codec, (plan.encoder.width, plan.encoder.height)
    if min(sides) < codec.smallest:
        return f"it takes {codec.smallest} x {codec.smallest} and up"
    if max(sides) > codec.largest:
        return f"it takes sides up to {codec.largest}"
    if (sides[0] + 128) * (sides[1] + 128) >= LARGEST_AREA:
        return f"ffmpeg takes no more than {LARGEST_AREA // 10**6} million"
    return None


@functools.cache
def trial(path: str, encoder: Encoder, pix_fmt: str, rate: Fraction) -> str | None:
    """Encodes two frames with exactly these arguments and throws the result away.

    Args:
        path: of the ffmpeg binary.
        pix_fmt: of the frames that will be fed.

    Returns:
        What ffmpeg logs about its failure; None if it works.
    """
    source = f"nullsrc=size={encoder.width}x{encoder.height}:rate={rate},format={pix_fmt}"
    command = [path, "-hide_banner", "-nostdin", "-loglevel", "error", *encoder.device_arguments]
    command += [*encoder.input_arguments, "-f", "lavfi", "-i", source, "-frames:v", "2"]
    command += ["-vf", encoder.filters, *encoder.arguments, "-f", "null", "-"]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRIAL_SECONDS,
            check=False,
            creationflags=NO_WINDOW,
            env=os.environ | ENVIRONMENT,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{error.strerror or error}" if isinstance(error, OSError) else f"no answer within {TRIAL_SECONDS} s"
    if done.returncode == 0:
        return None
    return last_words(done.stderr.decode("utf-8", "replace")) or f"ended with code {done.returncode}"
