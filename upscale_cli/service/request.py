"""What a client asks for: the options of the Python API, as the schema of a job.

    JSON  ->  JobBody (checked by pydantic, made from the dataclasses)  ->  JobRequest (the dataclasses themselves)

Fields that only the owner decides about, or that name files, are in `WITHHELD`; every other field of the dataclasses
is offered, with its type, default and description, and so is one that is added there later.
"""

import re
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Final, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from upscale_cli.errors import OptionError, UnknownModelError
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import check_format
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.image.formats import as_ending
from upscale_cli.media.video.encoding import EncodeOptions
from upscale_cli.media.video.reader_arguments import DecodeOptions
from upscale_cli.messages import Command, Message, Option, option
from upscale_cli.models.registry import is_known
from upscale_cli.models.resolve import is_checkpoint_path, other_names_here
from upscale_cli.models.user_files import user_file
from upscale_cli.models.zoo import zoo_id

WITHHELD: Final[dict[type, dict[str, str]]] = {
    UpscalerOptions: {
        "device": "the owner's", "engine": "the owner's", "hurry": "set for clips in real time",
        "clip_codec": "found in the clip", "mask": "a file", "reference": "a file", "conditions": "may be files",
        "kernel": "may be a file",
    },
    PhotoOptions: {
        "overwrite": "results have a folder each", "max_pixels": "the owner's", "max_memory": "the owner's",
        "resume": "always on",
    },
    ClipOptions: {
        "overwrite": "results have a folder each", "max_pixels": "the owner's", "resume": "on where it can be",
        "play": "has no file", "live": "has no file", "decode": "as `decode`", "encode": "as `encode`",
    },
    DecodeOptions: {
        "hwaccel": "the owner's", "after": "resuming's", "paced": "for viewers", "max_pixels": "the owner's",
    },
    EncodeOptions: {
        "extra": "may name files", "realtime": "by `clip.realtime`", "live": "has no file",
        "closed_gop": "resuming's",
    },
    Target: {},
}  # fmt: skip
"""Why a field is not offered."""

LONGEST_TEXT: Final = 200
"""Characters of any text in the options."""

MOST_BYTES: Final = 64 * 1024
"""Of the options as JSON."""

RESUMED_NEVER: Final = (".gif", ".apng", ".webp", ".png", ".avif", ".jpg", ".jpeg", ".tif", ".tiff")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What is to be done with an input.

    Attributes:
        model: a name of the registry, or the stem of a file in the owner's folders; None: the best here.
        target: how large the result shall be; None: 4 times, of clips twice, or the model's own scale.
        format: of the result, such as "png"; None: the input's.
        net, photo, clip: the options of the Python API.
    """

    model: str | None = None
    target: Target | None = None
    format: str | None = None
    net: UpscalerOptions = field(default_factory=UpscalerOptions)
    photo: PhotoOptions = field(default_factory=PhotoOptions)
    clip: ClipOptions = field(default_factory=ClipOptions)


def described(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass says of each field, by its name: of "a, b: text", of both."""
    texts: dict[str, str] = {}
    body = (kind.__doc__ or "").partition("Attributes:")[2].partition("Raises:")[0]
    for match in re.finditer(r"^ {8}(\w[\w, ]*): (.*(?:\n {12}.*)*)", body, re.MULTILINE):
        for name in match[1].split(", "):
            texts[name] = " ".join(match[2].split())
    return texts


def body_of(kind: type, name: str, **more: tuple[Any, Any]) -> type[BaseModel]:
    """A pydantic model with the fields of a dataclass that are offered.

    Args:
        more: further fields, as pydantic's `create_model` takes them.
    """
    hints, texts = get_type_hints(kind, localns={"NDArray": list}), described(kind)
    offered = {
        one.name: (hints[one.name], Field(_default(one), description=texts.get(one.name)))
        for one in fields(kind)
        if one.name not in WITHHELD[kind]
    }
    config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=LONGEST_TEXT)
    model: type[BaseModel] = create_model(name, __config__=config, **offered, **more)  # type: ignore[call-overload]
    return model


def _default(one: Any) -> Any:
    return one.default if one.default is not MISSING else one.default_factory()


def _group(body: type[BaseModel], text: str) -> tuple[Any, Any]:
    return (body, Field(default_factory=body, description=text))


SizeBody = body_of(Target, "Size")
NetBody = body_of(UpscalerOptions, "Net")
PhotoBody = body_of(PhotoOptions, "Photo")
ClipBody = body_of(
    ClipOptions, "Clip",
    decode=_group(body_of(DecodeOptions, "Decode"), "Which frames, and how they are decoded."),
    encode=_group(body_of(EncodeOptions, "Encode"), "What is wanted of the encoder."),
)  # fmt: skip


class JobBody(BaseModel):
    """What is to be done with an input: the options of the Python API."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, str_max_length=LONGEST_TEXT)

    model: str | None = Field(None, description="A name of `/api/models`; none: the best on this machine.")
    target: SizeBody | None = Field(  # type: ignore[valid-type]
        None, description="How large the result shall be: one of scale, box, long_side and megapixels."
    )
    format: str | None = Field(None, description='Of the result, such as "png"; none: the input\'s.')
    net: NetBody = Field(default_factory=NetBody, description="How the net is run.")  # type: ignore[valid-type]
    photo: PhotoBody = Field(  # type: ignore[valid-type]
        default_factory=PhotoBody, description="How photos are read and written."
    )
    clip: ClipBody = Field(  # type: ignore[valid-type]
        default_factory=ClipBody, description="How clips are read and written."
    )


def parsed(text: str | bytes) -> JobBody:
    """Options as JSON, checked.

    Raises:
        ValidationError: a field is unknown, or not of its type.
    """
    return JobBody.model_validate_json(text or "{}")


def request_of(body: JobBody) -> JobRequest:
    """The dataclasses that a client's JSON stands for, with every rule of theirs checked.

    Raises:
        OptionError: a value is out of range, two exclude each other, or the model is none that may be asked for.
    """
    given = body.model_dump(exclude_unset=True)
    clip = dict(given.get("clip", {}))
    decode, encode = DecodeOptions(**clip.pop("decode", {})), EncodeOptions(**clip.pop("encode", {}))
    size = given.get("target")
    if body.model is not None:
        check_model(body.model)
    if body.format is not None:
        check_format(body.format)
    return JobRequest(
        model=body.model,
        target=None if size is None else Target(**size),
        format=body.format,
        net=UpscalerOptions(**given.get("net", {})),
        photo=PhotoOptions(**given.get("photo", {})),
        clip=ClipOptions(decode=decode, encode=encode, **clip),
    )


def check_model(name: str) -> None:
    """Refuses what is neither a name of the registry nor a file of the owner's folders: no path, nothing fetched from
    anywhere else.

    Raises:
        UnknownModelError: so it is.
    """
    if is_known(name):
        return
    if is_checkpoint_path(name) or zoo_id(name) is not None or user_file(name) is None:
        raise UnknownModelError(
            f"{option('model', name)} is not known here. Choose one of /api/models"
            f"{'' if other_names_here() else ', or have the owner add its folder'}."
        )


def limited(request: JobRequest, *, engine: str, max_pixels: int, max_memory: int | None) -> JobRequest:
    """By the owner's engine, and within the owner's limits."""
    decode = replace(request.clip.decode, max_pixels=max_pixels)
    return replace(
        request,
        net=replace(request.net, engine=engine),
        photo=replace(request.photo, max_pixels=max_pixels, max_memory=max_memory),
        clip=replace(request.clip, decode=decode, max_pixels=max_pixels),
    )


def owned(
    request: JobRequest, *, engine: str, max_pixels: int, max_memory: int | None, overwrite: bool = True
) -> JobRequest:
    """With what the owner decides about, and what holds for every job of a service.

    Args:
        overwrite: the result takes the place of what is there.
    """
    request = limited(request, engine=engine, max_pixels=max_pixels, max_memory=max_memory)
    is_resumable = (
        request.clip.preview is None and request.clip.realtime != "strict" and request.clip.video_stream != "all"
    ) and as_ending(request.format or "") not in RESUMED_NEVER
    return replace(
        request,
        photo=replace(request.photo, overwrite=overwrite, resume=True),
        clip=replace(request.clip, overwrite=overwrite, resume=is_resumable),
    )


_PLACES: Final = {
    name: f"{place}.{name}"
    for kind, place in ((EncodeOptions, "clip.encode"), (DecodeOptions, "clip.decode"), (ClipOptions, "clip"),
                        (PhotoOptions, "photo"), (UpscalerOptions, "net"), (Target, "target"))
    for name in (one.name for one in fields(kind) if one.name not in WITHHELD[kind])
}  # fmt: skip
"""Where an option stands in the JSON of a job."""


def _written(part: Option | Command) -> str:
    """An option or a command in a message, as clients of HTTP write it."""
    if isinstance(part, Command):
        return f"`upscale {part.verb}`"
    name = _PLACES.get(part.name, part.name)
    return name if part.value is None else f"{name} = {part.value!r}"


def place_of(name: str) -> str | None:
    """Where the option of that name stands in the JSON of a job; None for what is none.

    >>> place_of("tile"), place_of("tiles")
    ('net.tile', None)
    """
    return _PLACES.get(name)


def in_fields(text: str) -> str:
    """A text for users, as clients of HTTP read it.

    >>> in_fields(f"{option('overlap', 64)} leaves no room")
    'net.overlap = 64 leaves no room'
    """
    return Message(text).written(_written)


def field_of(error: OptionError) -> str | None:
    """The field that an error is about."""
    return _PLACES.get(error.options[0], error.options[0]) if error.options else None


__all__ = [
    "MOST_BYTES", "WITHHELD", "JobBody", "JobRequest", "ValidationError", "check_model", "described", "field_of",
    "in_fields", "limited", "owned", "parsed", "place_of", "request_of",
]  # fmt: skip
