"""What is wrong with a client's JSON, in our words: above all a field that there is not."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, Final, get_args

from pydantic import BaseModel

from upscale_cli.errors import printable
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.service.request import WITHHELD, JobBody, place_of

GROUPS: Final[dict[str, type]] = {
    "net": UpscalerOptions, "photo": PhotoOptions, "clip": ClipOptions, "clip.decode": DecodeOptions,
    "clip.encode": EncodeOptions, "target": Target,
}  # fmt: skip
"""Where the options of the API stand in a job."""

LONGEST: Final = 200
"""Characters of a client's names that are repeated to it."""

MOST_NAMES: Final = 16
"""Fields that are offered where none is alike."""


def told(title: str, error: Any, models: Sequence[type[BaseModel]]) -> tuple[str, str]:
    """(field, what is wrong with it) of the first error that pydantic finds.

    Args:
        title: of pydantic's error: the model that was to be made.
        error: one of its `errors()`.
        models: that it may be.
    """
    root = next((model for model in models if model.__name__ == title), None)
    parts = [part for part, _ in _walked(root, error["loc"])]
    place = printable(".".join(parts))[:LONGEST]
    if error["type"] != "extra_forbidden" or root is None:
        return place, str(error["msg"]).rstrip(".")
    *above, name = parts
    return place, _unknown(above, name, [model for _, model in _walked(root, error["loc"])][-1])


def _walked(root: type[BaseModel] | None, parts: Sequence[int | str]) -> Iterator[tuple[str, type[BaseModel] | None]]:
    """The parts of a place as a client knows them, each with the model that it is a field of. Which of a union's
    models was tried is no part."""
    model, tried = root, tuple[type[BaseModel], ...]()
    for part in map(str, parts):
        chosen = next((one for one in tried if tag_of(one) == part), None)
        if chosen is not None and len(tried) > 1:
            model, tried = chosen, ()
            continue
        yield part, model
        field = model.model_fields.get(part) if model is not None else None
        tried = tuple(_models_in(field.annotation)) if field is not None else ()
        model = tried[0] if len(tried) == 1 else None


def tag_of(model: type[BaseModel]) -> str:
    """What tells it from others of a union: its only field."""
    return next(iter(model.model_fields))


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _unknown(above: list[str], name: str, model: type[BaseModel] | None) -> str:
    """That there is no such field, why, and what may have been meant."""
    is_cog = above[:1] == ["input"]  # cog's input holds the options of a job
    group = above[1:] if is_cog else above
    before = "input." if is_cog else ""
    why = WITHHELD.get(GROUPS.get(".".join(group), object), {}).get(name)
    if why is not None:
        return f"is not for clients: {why}. Leave it out"
    here = ".".join(above)
    siblings = [*model.model_fields] if model is not None else []
    is_of_job = model is not None and (issubclass(model, JobBody) or ".".join(group) in GROUPS)
    if is_of_job and (elsewhere := place_of(name)) is not None:
        return f"is no field. Did you mean {before}{elsewhere}?"
    if near := get_close_matches(name, siblings, 1):
        return f"is no field. Did you mean {'.'.join([*above, *near])}?"
    if not siblings or len(siblings) > MOST_NAMES:
        return f"is no field{f' of {here}' if here else ''}. Leave it out, or see /api/openapi.json"
    return f"is no field. Choose from {', '.join(siblings)}"
