"""Which files a run takes: folders are walked, prefixes are listed, lists are read, globs choose. Opens no picture.

The rules, and why, are in docs/folders.md.
"""

import codecs
import os
import re
import stat
import sys
import unicodedata
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Final

from upscale_cli.batch.manifest import MANIFEST_NAME, outputs_listed_in
from upscale_cli.batch.manifest_storage import prefixes_with_lines
from upscale_cli.errors import InputError, OptionError, printable
from upscale_cli.files.object_store import (
    Listing,
    as_prefix,
    bucket_of,
    is_object,
    is_prefix_name,
    listed,
    read,
    stamp,
    stamps,
)
from upscale_cli.files.stamp import Stamp
from upscale_cli.jobs.inputs import STDIO, Input
from upscale_cli.media.image.formats import CLIP_EXTENSIONS, RAW_EXTENSIONS, is_picture_ending
from upscale_cli.models.registry import model_names

LIST_ENDING: Final = ".txt"

AMBIGUOUS_ENDINGS: Final = (".ts", ".mts")
"""Transport streams, and TypeScript."""

WORK_FOLDER_ENDING: Final = ".work"
"""Of folders in which a clip of ours is in the making (`media.video.work`)."""

HIDDEN: Final = "hidden"
OTHER: Final = "neither photo nor clip"
RAW: Final = "camera RAW (to be developed first)"
OURS: Final = "an output of ours"
EXCLUDED: Final = "left out by --include or --exclude"
BELOW: Final = "a folder, without -r"
"""Why something was passed over."""

_OWN_NAME = re.compile(r"(?P<stem>.+)_(?:\d+(?:\.\d+)?x|\d+x\d+)", re.DOTALL)
_OWN_OBJECT = re.compile(r"(?P<stem>.+)_(?:\d+(?:\.\d+)?x|\d*x\d+|\d+px|\d+(?:\.\d+)?mp)", re.DOTALL)
"""Names that outputs get beside their inputs."""

HEAD_BYTES: Final = 4096
"""What is looked at of an object whose ending does not tell what it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What of a folder is taken.

    Attributes:
        recursive: the folders in it, too.
        include, exclude: globs.
        output: the folder or prefix that outputs go to, which is never a source; None: beside the inputs.
    """

    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    output: Path | str | None = None

    def takes(self, path: PurePath) -> bool:
        """Whether the globs let a file through; the path is that below the folder that was named."""
        if any(matches(path, glob) for glob in self.exclude):
            return False
        return not self.include or any(matches(path, glob) for glob in self.include)


@dataclass(slots=True)
class Sources:
    """What was found.

    Attributes:
        inputs: in natural order, each once.
        failed: (name, why) of what could not be looked into.
        passed_over: how many files there are for each reason.
    """

    inputs: list[Input] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)


def find_sources(names: Sequence[str], lists: Sequence[str], choice: Choice) -> Sources:
    """The files that a run takes.

    Args:
        names: files, folders, objects, prefixes, and lists that end in .txt.
        lists: lists of any ending; "-" is standard input.

    Raises:
        InputError: a list cannot be read; a store cannot be asked.
    """
    found = Sources()
    for name in names:
        if name.lower().endswith(LIST_ENDING) and not os.path.isdir(name):
            _take_list(name, choice, found)
        else:
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
        return is_prefix_name(name) or not _is_source_ending(name)
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


# What is named


def _take(name: str, root: str | None, choice: Choice, found: Sources) -> None:
    """One name, of a folder or a file, of a prefix or an object.

    Args:
        root: what its path in OUT is reckoned from; None: from the folder itself, or the file's own.
    """
    if is_object(name):
        _take_object(name, root, choice, found)
    elif os.path.isdir(name):
        walked = _walked(name, name if root is None else root, choice, found)
        found.inputs += sorted(walked, key=lambda source: natural(source.name))
    else:
        found.inputs.append(Input(name, root=root))


def _take_list(name: str, choice: Choice, found: Sources) -> None:
    """Every line of a list."""
    beside = Path(name).parent if name != STDIO and not is_object(name) else None
    lines = lines_of(_bytes_of(name), name)
    seen = stamps([line for line in lines if is_object(line) and not is_prefix_name(line)])
    for line in lines:
        if is_object(line):
            _take_listed_object(line, seen, choice, found)
            continue
        path = line
        if not os.path.lexists(path):
            path = next((form for form in _other_forms(line, beside) if os.path.lexists(form)), line)
        root = _root_of(path)
        below = PurePath(path) if root is None else PurePath(path).relative_to(root)
        if os.path.isdir(path) or choice.takes(below):
            _take(path, root, choice, found)
        else:
            found.passed_over[EXCLUDED] += 1


def _other_forms(line: str, beside: Path | None) -> Iterator[str]:
    """What a line may mean that names nothing as it stands: a file beside the list, accents in another form."""
    for form in dict.fromkeys((line, *(unicodedata.normalize(name, line) for name in ("NFC", "NFD")))):
        yield form
        if beside is not None:
            yield str(beside / form)


def _root_of(path: str) -> str | None:
    """What a listed file's folders in OUT are reckoned from; None where it lies outside of the current folder."""
    given = PurePath(path)
    if given.is_absolute():
        here = Path.cwd()
        return str(here) if given.is_relative_to(here) else None
    return None if ".." in given.parts else ""


def _bytes_of(name: str) -> bytes:
    try:
        if is_object(name):
            return read(name)
        if name != STDIO:
            return Path(name).read_bytes()
        if sys.stdin is None:
            raise InputError("standard input is closed. Send a list to it, or name a file.")
        return sys.stdin.buffer.read()
    except OSError as error:
        raise InputError(f"{name}: the list cannot be read ({error.strerror}). Check its name.") from error


def lines_of(data: bytes, name: str) -> list[str]:
    """The paths in a list.

    Raises:
        InputError: it is no text.

    >>> lines_of(b"a.jpg\\r\\n\\nb c.jpg", "list"), lines_of(b"a\\nb.jpg\\0c.jpg\\0", "list")
    (['a.jpg', 'b c.jpg'], ['a\\nb.jpg', 'c.jpg'])
    """
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            text = data.decode("utf-16")
        else:
            text = os.fsdecode(data.removeprefix(codecs.BOM_UTF8))
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: the list is not in UTF-8 (byte {error.start}). Save it in UTF-8.") from error
    if "\0" in text:
        return [path for path in text.split("\0") if path]
    return [path for path in (line.removesuffix("\r") for line in text.split("\n")) if path]


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
        taken = _below(as_prefix(name), root or as_prefix(name), below, choice, found)
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
        found.passed_over[EXCLUDED] += 1


def _below(prefix: str, root: str, below: Listing, choice: Choice, found: Sources) -> Iterator[Input]:
    """The photos and clips below a prefix, in no order."""
    found.passed_over.update(BELOW for one in below.prefixes if not _is_hidden_name(one.removesuffix("/")))
    output = choice.output if isinstance(choice.output, str) else None
    ours = {entry for folder in prefixes_with_lines(below) for entry in outputs_listed_in(folder)}
    stems = (
        {one.rpartition(".")[0] for one in below.objects if _is_source_ending(one)} if choice.output is None else set()
    )
    for url, there in below.objects.items():
        path = PurePosixPath(url.removeprefix(root))
        is_output = output is not None and output != prefix and url.startswith(output)
        if is_output or any(map(_is_hidden_name, url.removeprefix(prefix).split("/")[:-1])):
            continue
        why = _why_not_object(url, path, choice)
        if why is None and ((url, there.size) in ours or _is_object_named_like_ours(url, stems)):
            why = OURS
        if why is None:
            yield Input(url, root=root, listed=there)
        else:
            found.passed_over[why] += 1


def _why_not_object(url: str, path: PurePosixPath, choice: Choice) -> str | None:
    """Why an object is passed over; None if it is not."""
    ending = path.suffix.lower()
    if _is_hidden_name(url):
        return HIDDEN
    if not choice.takes(path):
        return EXCLUDED
    if ending in RAW_EXTENSIONS:
        return RAW
    if not _is_source_ending(path.name) or (ending in AMBIGUOUS_ENDINGS and not _has_clip_in_it(url)):
        return OTHER
    return None


def _is_hidden_name(name: str) -> bool:
    return name.rpartition("/")[2].startswith(".")


# Walking


def _walked(top: str, root: str, choice: Choice, found: Sources) -> Iterator[Input]:
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
        if not _is_folder(entry) or _is_hidden(entry) or _is_work_folder(entry.name):
            continue
        if any(matches(PurePath(entry.path).relative_to(root), glob) for glob in choice.exclude):
            found.passed_over[EXCLUDED] += 1
        elif choice.recursive:
            yield entry
        else:
            found.passed_over[BELOW] += 1


def _taken(
    files: Sequence[os.DirEntry[str]], root: str, ours: Set[tuple[str, int]], choice: Choice, found: Sources
) -> Iterator[Input]:
    """The photos and clips among the files of one folder."""
    named = files if choice.output is None else ()
    stems = {PurePath(entry.name).stem for entry in named if _is_source_ending(entry.name)}
    for entry in files:
        why = _why_not(entry, root, choice)
        if why is None and (_stamp(entry) in ours or _is_named_like_ours(entry.name, stems)):
            why = OURS
        if why is not None:
            found.passed_over[why] += 1
        elif not _is_regular(entry):
            found.failed.append((entry.path, "is a link that leads nowhere. Remove it, or mend it."))
        else:
            yield Input(str(Path(entry.path)), root=root)


def _why_not(entry: os.DirEntry[str], root: str, choice: Choice) -> str | None:
    """Why a file is passed over; None if it is not."""
    ending = PurePath(entry.name).suffix.lower()
    if _is_hidden(entry):
        return HIDDEN
    if not choice.takes(PurePath(entry.path).relative_to(root)):
        return EXCLUDED
    if ending in RAW_EXTENSIONS:
        return RAW
    if not _is_source_ending(entry.name) or not (_is_regular(entry) or entry.is_symlink()):
        return OTHER
    if ending in AMBIGUOUS_ENDINGS and _is_regular(entry) and not _has_clip_in_it(entry.path):
        return OTHER
    return None


def _is_source_ending(name: str) -> bool:
    ending = PurePath(name).suffix.lower()
    return ending in CLIP_EXTENSIONS or (is_picture_ending(ending) and ending not in RAW_EXTENSIONS)


def _has_clip_in_it(path: str) -> bool:
    from upscale_cli.media.video.probe import looks_like_clip

    return looks_like_clip(read(path, first=HEAD_BYTES) if is_object(path) else path)


def _is_object_named_like_ours(url: str, stems: set[str]) -> bool:
    """The same of an object; all names with their prefixes."""
    return _has_name_of_ours(_OWN_OBJECT.fullmatch(url.rpartition(".")[0]), stems)


def _is_named_like_ours(name: str, stems: set[str]) -> bool:
    """Whether a name is one that we would give to the output of a file beside it."""
    return _has_name_of_ours(_OWN_NAME.fullmatch(PurePath(name).stem), stems)


def _has_name_of_ours(match: re.Match[str] | None, stems: set[str]) -> bool:
    if match is None:
        return False
    stem = match["stem"]
    without_model = [stem.removesuffix(f"_{model}") for model in model_names()]
    candidates = (stem, *without_model)
    return any(one in stems or one.removesuffix("_preview") in stems for one in candidates)


def _is_work_folder(name: str) -> bool:
    path = PurePath(name)
    return path.suffix == WORK_FOLDER_ENDING and PurePath(path.stem).suffix.lower() in CLIP_EXTENSIONS


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


def check_globs(option: str, globs: Iterable[str]) -> tuple[str, ...]:
    """Globs as given.

    Raises:
        OptionError: an empty one, or one that begins at the root of the disk.
    """
    for glob in globs:
        if not glob.strip("/") or glob.startswith("/"):
            raise OptionError(
                f"{option} {printable(glob)!r} matches nothing. Write a name or a path below the folder, like '*.jpg'."
            )
    return tuple(globs)
