"""Options that are given and have no effect on anything that comes: told in one line, never passed over. Pure."""

from collections.abc import Sequence
from dataclasses import fields

from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.messages import option

OF_PHOTOS = ("quality", "pyramid", "salvage", "max_memory")
"""Fields of `PhotoOptions` that clips have no use for."""

OF_NETS = ("precision", "tile", "overlap", "tta")
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


def unused_without_net(options: UpscalerOptions, model: str) -> str | None:
    """The line about options for nets, where a model has none."""
    given = [option(name) for name in OF_NETS if _is_given(options, name)]
    return f"{_listed(given)} for nets, and {model} is none: no effect." if given else None


def _is_given(options: PhotoOptions | UpscalerOptions, name: str) -> bool:
    usual = {field.name: field.default for field in fields(options)}
    return bool(getattr(options, name) != usual[name])


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last} are" if first else f"{last} is"
