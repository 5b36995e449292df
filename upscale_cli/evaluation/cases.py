"""Which pictures are measured at which scales: sets found in folders, and HR paired with LR by name."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from upscale_cli.errors import InputError
from upscale_cli.evaluation.reporting import reporting_failures
from upscale_cli.events import Failed, Listener
from upscale_cli.jobs.checks import check_web
from upscale_cli.media.image.formats import is_picture_ending
from upscale_cli.media.image.reader_writer import ImageReader
from upscale_cli.messages import option
from upscale_cli.text import counted

SUFFIXES: Final = re.compile(r"([_-](HR|LR|GT|SRF_\d|LRBI|bicubic|mod\d+)|[_-]?x[2-9])$", re.IGNORECASE)
"""What the field's sets write behind a picture's name: 0801x4, baby_HR, img_001_SRF_2_LR, babyx3."""


@dataclass(frozen=True, slots=True)
class Case:
    """One picture at one scale.

    Attributes:
        group: the set it belongs to, as rows name it.
        hr: the reference; None where there is none.
        lr: what is upscaled; None where it is made of `hr`.
    """

    group: str
    scale: int
    hr: Path | None
    lr: Path | None = None

    @property
    def path(self) -> Path:
        path = self.hr or self.lr
        assert path is not None
        return path


def find_sets(names: Iterable[str], listener: Listener) -> dict[str, list[Path]]:
    """The pictures of each folder, by the folder's name; those given one by one are a set called "pictures".

    What does not exist, and a folder without pictures, is reported and left out.
    """
    sets: dict[str, list[Path]] = {}
    for name in names:
        with reporting_failures(name, listener):
            check_web(name)
            path = Path(name)
            if not os.path.isdir(path):
                if not os.path.exists(path):
                    raise InputError(f"{name}: there is no such file or folder. Check the name.")
                sets.setdefault("pictures", []).append(path)
                continue
            label = path.name or path.resolve().name or name
            sets[name if label in sets else label] = pictures_in(path)
    return sets


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name; not those of its folders.

    Raises:
        InputError: it holds none, or cannot be entered.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}). Name a folder of pictures.") from error
    files = [path for path in paths if is_picture_ending(path.suffix.lower()) and not path.name.startswith(".")]
    if not files:
        raise InputError(f"{folder}: holds no pictures. Name a folder of PNG, JPEG or other picture files.")
    return files


def cases_of(sets: Mapping[str, Sequence[Path]], scales: Iterable[int], *, blind: bool = False) -> list[Case]:
    """Every picture at every scale: a set's scales one after the other.

    Args:
        blind: the pictures are LR and have no HR.
    """
    return [
        Case(group, scale, hr=None if blind else path, lr=path if blind else None)
        for group, paths in sets.items()
        for scale in scales
        for path in paths
    ]


def pair_cases(hr: Path, lr: Path, scales: Sequence[int], listener: Listener) -> list[Case]:
    """HR and LR of two folders (or files) by name, at the scale that follows from their sizes.

    Names match by their stems, with or without what the field writes behind them (x4, _HR, _LR, LRBI). What has no
    partner, and what does not fit it, is reported and left out.

    Args:
        scales: those that may be; none: any.

    Raises:
        InputError: a folder is missing, or holds no pictures.
    """
    label = hr.resolve().name if os.path.isdir(hr) else "pictures"
    cases = []
    for hr_path, lr_path in _partners(hr, lr, listener):
        with reporting_failures(str(hr_path), listener):
            scale = scale_between(_size_of(hr_path), _size_of(lr_path), hr_path, lr_path)
            if scales and scale not in scales:
                asked = ", ".join(map(str, scales))
                raise InputError(
                    f"{hr_path}: is {scale} times as large as {lr_path}, and {option('scale')} asks for {asked}."
                )
            cases.append(Case(label, scale, hr_path, lr_path))
    return sorted(cases, key=lambda case: case.scale)


def _partners(hr: Path, lr: Path, listener: Listener) -> Iterator[tuple[Path, Path]]:
    """Files with one name in both folders; what has no partner, or more than one, is reported."""
    if not os.path.isdir(hr) and not os.path.isdir(lr):
        yield hr, lr
        return
    there = _by_key(pictures_in(lr))
    left = dict(there)
    for key, paths in _by_key(pictures_in(hr)).items():
        others = left.pop(key, [])
        if len(paths) == len(others) == 1:
            yield paths[0], others[0]
            continue
        found = f"{counted(len(paths), 'HR picture')} and {counted(len(others), 'LR picture')} have its name"
        for path in paths:
            fault = found if others else f"has no LR of its name in {lr}"
            listener(Failed(str(path), f"{path}: {fault}. Give each HR one LR of the same name."))
    for path in (path for paths in left.values() for path in paths):
        listener(Failed(str(path), f"{path}: has no HR of its name in {hr}. Give each LR one HR of the same name."))


def _by_key(paths: Iterable[Path]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        found[name_key(path.stem)].append(path)
    return dict(found)


def name_key(stem: str) -> str:
    """A file's name without what the field's sets write behind it.

    >>> name_key("baby"), name_key("babyx4"), name_key("baby_HR_x4"), name_key("0801x2"), name_key("img_001_SRF_2_LR")
    ('baby', 'baby', 'baby', '0801', 'img_001')
    """
    shorter = SUFFIXES.sub("", stem)
    return name_key(shorter) if shorter and shorter != stem else stem


def _size_of(path: Path) -> tuple[int, int]:
    with ImageReader(path) as reader:
        return reader.info.width, reader.info.height


def scale_between(hr: tuple[int, int], lr: tuple[int, int], hr_path: Path, lr_path: Path) -> int:
    """HR pixels per LR pixel; HR may have up to scale - 1 pixels more, which are those that shrinking left out.

    Args:
        hr, lr: (width, height).

    Raises:
        InputError: no whole number from 2 on fits both sides.
    """
    scale = hr[0] // lr[0]
    surplus = [hr_side - scale * lr_side for hr_side, lr_side in zip(hr, lr, strict=True)]
    if scale < 2 or not all(0 <= pixels < scale for pixels in surplus):
        raise InputError(
            f"{hr_path}: its {hr[0]} x {hr[1]} pixels are no whole multiple of the {lr[0]} x {lr[1]} of {lr_path}. "
            "Give HR that is 2, 3, 4, ... times as large on both sides."
        )
    return scale
