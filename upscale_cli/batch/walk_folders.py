"""Folders are walked: the photos and clips in one, and in those below it. Opens only files of an ambiguous ending."""

import os
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from pathlib import Path, PurePath
from typing import Final

from upscale_cli.batch.choice import BELOW, EXCLUDED, HIDDEN, OTHER, OURS, RAW, Choice, Sources
from upscale_cli.batch.globs import matches
from upscale_cli.batch.manifest import outputs_listed_in
from upscale_cli.batch.manifest_file import MANIFEST_NAME
from upscale_cli.batch.source_names import (
    AMBIGUOUS_ENDINGS,
    has_clip_in_it,
    is_named_like_ours,
    is_source_ending,
    is_work_folder,
)
from upscale_cli.errors import printable
from upscale_cli.jobs.inputs import Input
from upscale_cli.media.image.formats import RAW_EXTENSIONS


def photos_and_clips_in(top: str, root: str, choice: Choice, found: Sources) -> Iterator[Input]:
    """The photos and clips in a folder, in no order. Links to folders come after all real ones, so that a folder which
    is reached by both is found under its own name, and each is walked once."""
    output = _identity(choice.output) if choice.output is not None else None
    seen = {output} - {None, _identity(top)}
    ours = set[tuple[str, int]]()
    real, linked = deque([top]), deque[str]()
    while real or linked:
        folder = real.popleft() if real else linked.popleft()
        identity = _identity(folder)
        if identity in seen:
            continue
        seen.add(identity)
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            found.failed.append((folder, f"the folder cannot be read ({error.strerror}). Check its permissions."))
            continue
        files = [entry for entry in listed if not _is_folder(entry)]
        if any(entry.name == MANIFEST_NAME for entry in files):
            ours |= outputs_listed_in(Path(folder))  # in the folders below, too
        for entry in _visible_folders(listed, root, choice, found):
            (linked if _is_link(entry) else real).append(str(Path(entry.path)))
        yield from _taken(files, root, ours, choice, found)


def _visible_folders(
    entries: Iterable[os.DirEntry[str]], root: str, choice: Choice, found: Sources
) -> Iterator[os.DirEntry[str]]:
    """The folders in a folder that are looked into."""
    for entry in entries:
        if not _is_folder(entry) or _is_hidden(entry) or is_work_folder(entry.name):
            continue
        if any(matches(PurePath(entry.path).relative_to(root), glob) for glob in choice.exclude):
            found.ignored[EXCLUDED] += 1
        elif choice.recursive:
            yield entry
        else:
            found.ignored[BELOW] += 1


def _taken(
    files: Sequence[os.DirEntry[str]], root: str, ours: Set[tuple[str, int]], choice: Choice, found: Sources
) -> Iterator[Input]:
    """The photos and clips among the files of one folder."""
    named = files if choice.output is None else ()
    stems = {PurePath(entry.name).stem for entry in named if is_source_ending(entry.name)}
    for entry in files:
        why = _why_not(entry, root, choice)
        if why is None and (_stamp(entry) in ours or is_named_like_ours(entry.name, stems)):
            why = OURS
        if why is not None:
            found.ignored[why] += 1
        elif not _is_regular(entry):
            found.failed.append((entry.path, _what_link(entry)))
        else:
            yield Input(str(Path(entry.path)), root=root)


def _why_not(entry: os.DirEntry[str], root: str, choice: Choice) -> str | None:
    """Why a file is ignored; None if it is not."""
    ending = PurePath(entry.name).suffix.lower()
    if _is_hidden(entry):
        return HIDDEN
    if not choice.takes(PurePath(entry.path).relative_to(root)):
        return EXCLUDED
    if ending in RAW_EXTENSIONS:
        return RAW
    if not is_source_ending(entry.name) or not (_is_regular(entry) or entry.is_symlink()):
        return OTHER
    if ending in AMBIGUOUS_ENDINGS and _is_regular(entry) and not has_clip_in_it(entry.path):
        return OTHER
    return None


_KINDS: Final = (
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
)  # fmt: skip
"""What is no file and no folder."""


def _what_link(entry: os.DirEntry[str]) -> str:
    """Why a link is no source."""
    try:
        mode = entry.stat().st_mode
    except PermissionError:
        return "is a link to where this user may not look. Check the permissions there."
    except OSError:
        return "is a link that leads nowhere. Remove it, or mend it."
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "no file")
    return f"is a link to {kind} ({printable(os.path.realpath(entry.path))}), and not to a file. Remove it, or mend it."


def _is_hidden(entry: os.DirEntry[str]) -> bool:
    """By a dot, or by the attribute that Windows and macOS have for it."""
    if entry.name.startswith("."):
        return True
    if sys.platform not in ("win32", "darwin"):
        return False
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    attributes = getattr(status, "st_file_attributes", 0) & stat.FILE_ATTRIBUTE_HIDDEN
    return bool(attributes or getattr(status, "st_flags", 0) & stat.UF_HIDDEN)


def _is_regular(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # links in a circle of their own
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links in a circle of their own
        return False


def _is_link(entry: os.DirEntry[str]) -> bool:
    is_junction: Callable[[], bool] = getattr(entry, "is_junction", lambda: False)  # of Windows, since Python 3.12
    return entry.is_symlink() or is_junction()


def _stamp(entry: os.DirEntry[str]) -> tuple[str, int] | None:
    """Path and size, as the manifest knows outputs."""
    try:
        return os.path.abspath(entry.path), entry.stat().st_size
    except OSError:
        return None


def _identity(folder: str | Path) -> tuple[int, int] | None:
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
