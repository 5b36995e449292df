"""Prefixes of object stores are listed: the photos and clips below one. Opens only objects of an ambiguous ending."""

from collections.abc import Iterator
from pathlib import PurePosixPath

from upscale_cli.batch.choice import BELOW, EXCLUDED, HIDDEN, OTHER, OURS, RAW, Choice, Sources
from upscale_cli.batch.manifest import outputs_listed_in
from upscale_cli.batch.manifest_objects import prefixes_with_lines
from upscale_cli.batch.source_names import (
    AMBIGUOUS_ENDINGS,
    has_clip_in_it,
    is_object_named_like_ours,
    is_source_ending,
)
from upscale_cli.files.object_listing import Listing
from upscale_cli.jobs.inputs import Input
from upscale_cli.media.image.formats import RAW_EXTENSIONS


def photos_and_clips_below(prefix: str, root: str, below: Listing, choice: Choice, found: Sources) -> Iterator[Input]:
    """The photos and clips below a prefix, in no order."""
    found.ignored.update(BELOW for one in below.prefixes if not _is_hidden_name(one.removesuffix("/")))
    output = choice.output if isinstance(choice.output, str) else None
    ours = {entry for folder in prefixes_with_lines(below) for entry in outputs_listed_in(folder)}
    stems = (
        {one.rpartition(".")[0] for one in below.objects if is_source_ending(one)} if choice.output is None else set()
    )
    for url, there in below.objects.items():
        path = PurePosixPath(url.removeprefix(root))
        is_output = output is not None and output != prefix and url.startswith(output)
        if is_output or any(map(_is_hidden_name, url.removeprefix(prefix).split("/")[:-1])):
            continue
        why = _why_not_object(url, path, choice)
        if why is None and ((url, there.size) in ours or is_object_named_like_ours(url, stems)):
            why = OURS
        if why is None:
            yield Input(url, root=root, listed=there)
        else:
            found.ignored[why] += 1


def _why_not_object(url: str, path: PurePosixPath, choice: Choice) -> str | None:
    """Why an object is ignored; None if it is not."""
    ending = path.suffix.lower()
    if _is_hidden_name(url):
        return HIDDEN
    if not choice.takes(path):
        return EXCLUDED
    if ending in RAW_EXTENSIONS:
        return RAW
    if not is_source_ending(path.name) or (ending in AMBIGUOUS_ENDINGS and not has_clip_in_it(url)):
        return OTHER
    return None


def _is_hidden_name(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".")
