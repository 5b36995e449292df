"""Which files a run takes: folders are walked, prefixes are listed, lists are read, globs choose. Opens no picture.

The rules, and why, are in docs/folders.md.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from upscale_cli.batch.choice import EXCLUDED, Choice, Sources
from upscale_cli.batch.input_list import bytes_of, lines_of
from upscale_cli.batch.source_names import is_source_ending
from upscale_cli.batch.walk_folders import photos_and_clips_in
from upscale_cli.batch.walk_objects import photos_and_clips_below
from upscale_cli.errors import UpscaleError
from upscale_cli.files.object_listing import listed, stamp, stamps
from upscale_cli.files.object_names import as_prefix, bucket_of, is_object, is_prefix_name
from upscale_cli.files.stamp import Stamp
from upscale_cli.jobs.inputs import STDIO, Input, is_web_address, why_not_fetched

LIST_ENDING: Final = ".txt"


def find_sources(names: Sequence[str], lists: Sequence[str], choice: Choice) -> Sources:
    """The files that a run takes.

    Args:
        names: files, folders, objects, prefixes, and lists that end in .txt.
        lists: lists of any ending; "-" is standard input.

    Raises:
        InputError: a list cannot be read; the only input is in a store that cannot be asked. Else what lies in one
            fails, and the others are taken.
    """
    found = Sources()
    for name in names:
        if name.lower().endswith(LIST_ENDING) and not os.path.isdir(name):
            _take_list(name, choice, found)
        elif len(names) + len(lists) == 1:
            _take(name, None, choice, found)
        else:
            with _reporting(name, found):
                _take(name, None, choice, found)
    for name in lists:
        _take_list(name, choice, found)
    found.inputs = _each_once(found.inputs)
    return found


def is_many(name: str) -> bool:
    """Whether an input stands for many: a folder, a list, or what is named like a prefix."""
    if name.lower().endswith(LIST_ENDING):
        return True
    if is_object(name):
        return is_prefix_name(name) or not is_source_ending(name)
    return os.path.isdir(name)


def natural(name: str) -> tuple[object, ...]:
    """What names are sorted by: numbers as numbers, letter case and accents' forms last.

    >>> sorted(["b/1", "a10", "a9"], key=natural)
    ['a9', 'a10', 'b/1']
    """
    return (*(_natural_part(part) for part in PurePath(name).parts), (), name)


def _natural_part(part: str) -> tuple[str | int, ...]:
    pieces = re.split(r"([0-9]+)", unicodedata.normalize("NFC", part).casefold())
    return tuple(int(piece) if number % 2 else piece for number, piece in enumerate(pieces))


# What is named


def _take(name: str, root: str | None, choice: Choice, found: Sources) -> None:
    """One name, of a folder or a file, of a prefix or an object.

    Args:
        root: what its path in OUT is reckoned from; None: from the folder itself, or the file's own.
    """
    if is_object(name):
        _take_object(name, root, choice, found)
    elif os.path.isdir(name):
        taken = photos_and_clips_in(name, name if root is None else root, choice, found)
        found.inputs += sorted(taken, key=lambda source: natural(source.name))
    else:
        found.inputs.append(Input(name, root=root))


def _take_list(name: str, choice: Choice, found: Sources) -> None:
    """Every line of a list."""
    folder = Path(name).parent if name != STDIO and not is_object(name) else None
    lines = lines_of(bytes_of(name), name)
    objects = [line for line in lines if is_object(line) and not is_prefix_name(line)]
    seen = _stamps_of_each(objects, found)
    failed = {name for name, _ in found.failed}
    for line in lines:
        if is_web_address(line):
            found.failed.append((line, why_not_fetched(line)))
            continue
        if is_object(line):
            if line not in failed:
                with _reporting(line, found):
                    _take_listed_object(line, seen, choice, found)
            continue
        path = line
        if not os.path.lexists(path):
            path = next((form for form in _other_forms(line, folder) if os.path.lexists(form)), line)
        root = _root_of(path)
        below = PurePath(path) if root is None else PurePath(path).relative_to(root)
        if os.path.isdir(path) or choice.takes(below):
            _take(path, root, choice, found)
        else:
            found.ignored[EXCLUDED] += 1


def _stamps_of_each(objects: Sequence[str], found: Sources) -> dict[str, Stamp | None]:
    """All objects of a list at once; where a store cannot be asked, the ones in it fail, and no other."""
    try:
        return dict(stamps(objects))
    except UpscaleError:
        seen: dict[str, Stamp | None] = {}
        for bucket in dict.fromkeys(map(bucket_of, objects)):
            own = [name for name in objects if bucket_of(name) == bucket]
            try:
                seen |= stamps(own)
            except UpscaleError as error:
                found.failed += [(name, _about(name, error)) for name in own]
        return seen


@contextmanager
def _reporting(line: str, found: Sources) -> Iterator[None]:
    """A line of a list that leads nowhere fails, and the others go on."""
    try:
        yield
    except UpscaleError as error:
        found.failed.append((line, _about(line, error)))


def _about(name: str, error: UpscaleError) -> str:
    """What is wrong with an input, without its name, which is said before it."""
    return error.marked.removeprefix(f"{name}: ")


def _other_forms(line: str, folder: Path | None) -> Iterator[str]:
    """What a line may mean that names nothing as it stands: a file next to the list, accents in another form."""
    for form in dict.fromkeys((line, *(unicodedata.normalize(name, line) for name in ("NFC", "NFD")))):
        yield form
        if folder is not None:
            yield str(folder / form)


def _root_of(path: str) -> str | None:
    """What a listed file's folders in OUT are reckoned from; None where it lies outside of the current folder."""
    given = PurePath(path)
    if given.is_absolute():
        here = Path.cwd()
        return str(here) if given.is_relative_to(here) else None
    return None if ".." in given.parts else ""


def _each_once(inputs: Iterable[Input]) -> list[Input]:
    """A file that is found twice (by folder and by list) is taken where it comes first."""
    by_path: dict[str, Input] = {}
    for source in inputs:
        path = source.name if source.is_object else os.path.normcase(os.path.abspath(source.name))
        by_path.setdefault(path, source)
    return list(by_path.values())


# Objects


def _take_object(name: str, root: str | None, choice: Choice, found: Sources) -> None:
    """An object, or all that lies below a prefix.

    Args:
        root: as of `_take`.
    """
    there = None if is_prefix_name(name) else stamp(name)
    if there is not None:
        found.inputs.append(Input(name, root=root, listed=there))
        return
    below = listed(name, deep=choice.recursive)
    if below.objects or below.prefixes:
        taken = photos_and_clips_below(as_prefix(name), root or as_prefix(name), below, choice, found)
        found.inputs += sorted(taken, key=lambda source: natural(source.name))
    else:
        found.failed.append((name, "there is no such object, and nothing lies below it. Check its name."))


def _take_listed_object(line: str, seen: Mapping[str, Stamp | None], choice: Choice, found: Sources) -> None:
    """A line of a list. What it names keeps its path below its bucket."""
    root, there = bucket_of(line), seen.get(line)
    if there is None:
        _take_object(line, root, choice, found)
    elif choice.takes(PurePosixPath(line.removeprefix(root))):
        found.inputs.append(Input(line, root=root, listed=there))
    else:
        found.ignored[EXCLUDED] += 1
