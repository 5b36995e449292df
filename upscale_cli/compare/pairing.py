"""What is compared with what: which files show the same picture, and what each is called. Decides without a pixel."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from upscale_cli.errors import InputError, OptionError, printable
from upscale_cli.jobs.inputs import Input
from upscale_cli.media.image.formats import RAW_EXTENSIONS, is_picture_ending

Kind = Literal["picture", "clip", "folder"]

_SIZE: Final = r"_(?:\d+(?:\.\d+)?x|\d+x\d+)"
"""How our outputs' names end: `_4x`, `_2.5x`, `_3840x2160`."""


@dataclass(frozen=True, slots=True)
class Version:
    """One file that shows a picture.

    Attributes:
        label: what tells it from the other versions, in one line.
        source: what `ImageReader` takes.
    """

    label: str
    source: Path | bytes

    @property
    def file(self) -> str:
        """Its file name, in one line."""
        return self.label if isinstance(self.source, bytes) else printable(self.source.name)


@dataclass(frozen=True, slots=True)
class Subject:
    """One picture in all its versions, the first of them before, the others after.

    Attributes:
        name: in one line.
        reference: the HR picture, if there is one.
    """

    name: str
    versions: tuple[Version, ...]
    reference: Version | None = None


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A file without a partner to compare with; why, in one line."""

    file: str
    why: str


def kind_of(path: Path) -> Kind:
    """What a name stands for; a file that is not there counts by its ending."""
    if os.path.isdir(path):
        return "folder"
    return "clip" if Input(os.fspath(path)).is_clip else "picture"


def common_kind(paths: Sequence[Path]) -> Kind:
    """The kind that all of them are of.

    Raises:
        InputError: one of them is not there.
        OptionError: they are of different kinds.
    """
    for path in paths:
        if not os.path.lexists(path):
            raise InputError(f"{path}: there is no such file. Check the name and the folder.")
    kinds = [kind_of(path) for path in paths]
    for path, kind in zip(paths, kinds, strict=True):
        if kind != kinds[0]:
            raise OptionError(
                f"{path} is a {kind} and {paths[0]} a {kinds[0]}. Compare pictures with pictures, clips with clips, or "
                "folders with folders."
            )
    return kinds[0]


def subject_of_files(files: Sequence[Path], reference: Path | None = None) -> Subject:
    """One picture from files that are named one by one."""
    versions = tuple(Version(label, file) for label, file in zip(labels(files), files, strict=True))
    held = Version(printable(reference.name), reference) if reference is not None else None
    return Subject(printable(files[0].stem), versions, held)


def subjects_of_folders(
    folders: Sequence[Path], reference: Path | None = None
) -> tuple[tuple[Subject, ...], tuple[Unpaired, ...]]:
    """The pictures that all folders hold, by file name without its ending; and those that some lack.

    A name with our own addition (`photo_4x`, `photo_realesrgan_4x`) belongs to the one without.

    Raises:
        InputError: a folder has no picture in it, or cannot be read.
    """
    every = [*folders, *([reference] if reference is not None else [])]
    held = [_pictures_in(folder) for folder in every]
    keys = _keys([{path.stem for path in paths} for paths in held])
    names = labels(every)
    subjects, unpaired = [], []
    for key in sorted({key for of_folder in keys for key in of_folder.values()}, key=_natural):
        found = [_of_key(paths, of_folder, key) for paths, of_folder in zip(held, keys, strict=True)]
        if all(len(paths) == 1 for paths in found):
            versions = tuple(Version(name, paths[0]) for name, paths in zip(names, found, strict=True))
            given = versions[: len(folders)]
            subjects.append(Subject(printable(key), given, versions[-1] if reference is not None else None))
        else:
            unpaired += _unpaired(every, found)
    return tuple(subjects), tuple(unpaired)


def labels(paths: Sequence[Path]) -> list[str]:
    """Names that tell the paths apart: as few of their last parts as it takes; a path that is given twice is counted.

    >>> labels([Path("lr/cat.png"), Path("sr/cat.png")]), labels([Path("cat.png"), Path("cat_4x.png")])
    (['lr/cat.png', 'sr/cat.png'], ['cat.png', 'cat_4x.png'])
    """
    parts = [path.absolute().parts for path in paths]
    names: list[str] = []
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-count:]) for path in parts]
        if len(set(names)) == len(set(parts)):
            break
    counted = [
        f"{name} ({names[:at].count(name) + 1})" if name in names[:at] else name for at, name in enumerate(names)
    ]
    return [printable(name) for name in counted]


def _pictures_in(folder: Path) -> list[Path]:
    try:
        entries = [Path(entry.path) for entry in os.scandir(folder) if entry.is_file()]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}). Check its permissions.") from error
    endings = {path: path.suffix.lower() for path in entries if not path.name.startswith(".")}
    found = [path for path, end in endings.items() if is_picture_ending(end) and end not in RAW_EXTENSIONS]
    if not found:
        raise InputError(
            f"{folder}: there is no picture in it. Name a folder with pictures; those within are left out."
        )
    return sorted(found)


def _keys(stems: Sequence[Collection[str]]) -> list[dict[str, str]]:
    """For each folder: stem -> what the picture is called in all of them. Equal names come before our additions."""
    common = set(stems[0]).intersection(*stems[1:])
    known = {stem for of_folder in stems for stem in of_folder}
    return [{stem: stem if stem in common else _root(stem, known) for stem in of_folder} for of_folder in stems]


def _root(stem: str, known: Iterable[str]) -> str:
    """The name that a stem was made from: the longest other one that it adds to, or itself without the addition."""
    longer = [other for other in known if re.fullmatch(re.escape(other) + r"(?:_[\w.-]+)?" + _SIZE, stem)]
    return max(longer, key=len) if longer else re.sub(f"(?<=.){_SIZE}$", "", stem)


def _of_key(paths: list[Path], keys: dict[str, str], key: str) -> list[Path]:
    """The files of one folder that a picture may be; of several the one that bears its very name."""
    found = [path for path in paths if keys[path.stem] == key]
    exact = [path for path in found if path.stem == key]
    return exact if len(exact) == 1 else found


def _unpaired(folders: Sequence[Path], found: list[list[Path]]) -> list[Unpaired]:
    doubled = [paths for paths in found if len(paths) > 1]
    if doubled:
        names = " and ".join(printable(path.name) for path in doubled[0])
        why = f"{names} in {printable(str(doubled[0][0].parent))} may both be this picture. Move one of them away."
    else:
        lacking = [printable(str(folder)) for folder, paths in zip(folders, found, strict=True) if not paths]
        why = f"there is no picture of that name in {' and '.join(lacking)}. Add it, or leave this one out."
    return [Unpaired(printable(str(next(paths[0] for paths in found if paths))), why)]


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts 2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part.casefold()) for part in re.split(r"(\d+)", name)]
