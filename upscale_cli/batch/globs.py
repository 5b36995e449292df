"""Globs: what `--include` and `--exclude` mean."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from upscale_cli.errors import OptionError
from upscale_cli.messages import option


def matches(path: PurePath, glob: str) -> bool:
    """Whether a glob means a file, or a folder that it lies in; letter case and accents' forms do not count.

    >>> matches(PurePath("2024/Drafts/a.JPG"), "*.jpg"), matches(PurePath("2024/Drafts/a.JPG"), "drafts")
    (True, True)
    >>> matches(PurePath("2024/Drafts/a.JPG"), "2024/*.jpg"), matches(PurePath("2024/Drafts/a.JPG"), "2024/**/*.jpg")
    (False, True)
    """
    parts = tuple(_plain(part) for part in path.parts)
    pattern = tuple(_plain(part) for part in re.split(r"[/\\]" if os.name == "nt" else "/", glob) if part != ".")
    pattern = tuple(part for part in pattern if part)
    if len(pattern) == 1 and "/" not in glob.rstrip("/"):
        return any(_part_matches(part, pattern[0]) for part in parts)
    return any(_parts_match(parts[:end], pattern) for end in range(1, len(parts) + 1))


def _parts_match(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a pattern with its `**` covers a path, part by part."""
    reached = {0}  # how much of the pattern may be used up; no recursion, which many ** would make endless
    for part in (*parts, None):
        for at in sorted(reached):
            while at < len(pattern) and pattern[at] == "**":
                at += 1
                reached.add(at)
        if part is None:
            return len(pattern) in reached
        stays = {at for at in reached if at < len(pattern) and pattern[at] == "**"}
        goes_on = {at + 1 for at in reached if at < len(pattern) and _part_matches(part, pattern[at])}
        reached = stays | goes_on
    return False


def _part_matches(part: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    return pattern != "**" and fnmatchcase(part, pattern)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def check_globs(name: str, globs: Iterable[str]) -> tuple[str, ...]:
    """Globs as given.

    Raises:
        OptionError: an empty one, or one that begins at the root of the disk.
    """
    for glob in globs:
        if not glob.strip("/") or glob.startswith("/"):
            raise OptionError(
                f"{option(name, glob)} matches nothing. Write a name or a path below the folder, like '*.jpg'."
            )
    return tuple(globs)
