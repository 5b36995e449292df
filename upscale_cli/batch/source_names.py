"""What a file's name shows: that it is a photo or a clip, or an output or a work folder of ours."""

import re
from pathlib import PurePath
from typing import Final

from upscale_cli.files.object_names import is_object
from upscale_cli.files.object_store import read
from upscale_cli.media.image.formats import BOOK_EXTENSIONS, CLIP_EXTENSIONS, RAW_EXTENSIONS, is_picture_ending
from upscale_cli.models.registry import model_names

AMBIGUOUS_ENDINGS: Final = (".ts", ".mts")
"""Transport streams, and TypeScript."""

WORK_FOLDER_ENDING: Final = ".work"
"""Of folders in which a clip of ours is in the making (`files.work_folder`)."""

_OWN_NAME = re.compile(r"(?P<stem>.+)_(?:\d+(?:\.\d+)?x|\d+x\d+)", re.DOTALL)
_OWN_OBJECT = re.compile(r"(?P<stem>.+)_(?:\d+(?:\.\d+)?x|\d*x\d+|\d+px|\d+(?:\.\d+)?mp)", re.DOTALL)
"""Names that outputs get next to their inputs."""

HEAD_BYTES: Final = 4096
"""What is looked at of an object whose ending is ambiguous."""


def is_source_ending(name: str) -> bool:
    """Whether a name ends as photos and clips do, camera RAW excepted."""
    ending = PurePath(name).suffix.lower()
    return ending in CLIP_EXTENSIONS | BOOK_EXTENSIONS or (is_picture_ending(ending) and ending not in RAW_EXTENSIONS)


def has_clip_in_it(path: str) -> bool:
    """Whether the first bytes of a file or object are those of a clip."""
    from upscale_cli.media.video.signatures import looks_like_clip

    return looks_like_clip(read(path, first=HEAD_BYTES) if is_object(path) else path)


def is_object_named_like_ours(url: str, stems: set[str]) -> bool:
    """The same as `is_named_like_ours` of an object; all names with their prefixes."""
    return _has_name_of_ours(_OWN_OBJECT.fullmatch(url.rpartition(".")[0]), stems)


def is_named_like_ours(name: str, stems: set[str]) -> bool:
    """Whether a name is one that we would give to the output of a file next to it."""
    return _has_name_of_ours(_OWN_NAME.fullmatch(PurePath(name).stem), stems)


def _has_name_of_ours(match: re.Match[str] | None, stems: set[str]) -> bool:
    if match is None:
        return False
    stem = match["stem"]
    without_model = [stem.removesuffix(f"_{model}") for model in model_names()]
    candidates = (stem, *without_model)
    return any(one in stems or one.removesuffix("_preview") in stems for one in candidates)


def is_work_folder(name: str) -> bool:
    """Whether a folder is named like one in which a clip is in the making."""
    path = PurePath(name)
    return path.suffix == WORK_FOLDER_ENDING and PurePath(path.stem).suffix.lower() in CLIP_EXTENSIONS
