"""Options that are given and have no effect on anything that comes: told in one line each. Pure."""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.messages import option

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from upscale_cli.jobs.video_facts import ClipOptions

OF_PHOTOS = ("quality", "pyramid", "salvage", "max_memory")
"""Fields of `PhotoOptions` that clips have no use for."""

OF_DECODING = ("start", "end", "frames", "fps", "deinterlace", "hwaccel")
OF_ENCODING = ("codec", "crf", "preset", "pix_fmt", "extra")
"""Fields of `DecodeOptions` and `EncodeOptions` that users give."""

OF_NETS = ("engine", "precision", "tile", "overlap", "halo", "tta", "blend", "match_colour", "mask", "reference")
"""Fields of `UpscalerOptions` that only nets have a use for."""


def unused_by_kind(
    photos: PhotoOptions, for_clips: Sequence[str], *, has_photos: bool, has_clips: bool
) -> tuple[str, ...]:
    """Lines about options for clips where there are photos only, and the other way round.

    Args:
        photos: how pictures would be read and written.
        for_clips: options for clips alone that are given, marked (`messages.option`).
    """
    lines = []
    if for_clips and not has_clips:
        lines.append(f"{_listed(for_clips)} for clips, and there is none here: no effect.")
    given = [option(name) for name in OF_PHOTOS if _is_given(photos, name)]
    if given and not has_photos:
        instead = f" Clips take {option('crf')} for their quality." if photos.quality is not None else ""
        lines.append(f"{_listed(given)} for photos, and there is none here: no effect.{instead}")
    elif photos.quality is not None and has_clips:
        lines.append(f"{option('quality')} is for photos; clips take {option('crf')}.")
    return tuple(lines)


def given_for_clips(options: "ClipOptions") -> tuple[str, ...]:
    """The options for clips alone that differ from the default, marked for messages."""
    groups = (
        (options.decode, OF_DECODING),
        (options.encode, OF_ENCODING),
        (options, ("video_stream", "steady", "realtime", "preview", "play", "live")),
    )
    given = _given_in(groups)
    return given if options.reuse else (*given, option("reuse", False))


def unused_by_frames(options: "ClipOptions") -> tuple[str, ...]:
    """Lines about what matters to an output only, where frames are given to another program."""
    groups = (
        (options.encode, OF_ENCODING),
        (options, ("overwrite", "realtime", "resume", "preview", "play", "live", "only_below", "yes")),
    )
    given = _given_in(groups)
    return (f"{_listed(given)} for clips that are written, and frames are given out here: no effect.",) if given else ()


def unused_without_net(options: UpscalerOptions, model: str) -> str | None:
    """The line about options for nets, where a model has none."""
    given = [option(name) for name in OF_NETS if _is_given(options, name)]
    return f"{_listed(given)} for nets, and {model} is none: no effect." if given else None


def _given_in(groups: "Sequence[tuple[DataclassInstance, Sequence[str]]]") -> tuple[str, ...]:
    return tuple(option(name) for group, names in groups for name in names if _is_given(group, name))


def _is_given(options: "DataclassInstance", name: str) -> bool:
    usual = {field.name: field.default for field in fields(options)}
    given, default = getattr(options, name), usual[name]
    return given is not None if default is None else bool(given != default)  # an array is not to be compared


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last} are" if first else f"{last} is"
