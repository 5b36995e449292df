"""The page: one HTML file with everything in it, written picture by picture, so that no more than one is held.

It loads nothing: its policy (CSP) allows the one script and the one style whose hashes it names, and
pictures that are written into it. Names come from files and are never taken for HTML. `linked_page` is the same page
for a server, which has the pictures at addresses of its own.
"""

import base64
import dataclasses
import hashlib
import html
import itertools
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

from upscale_cli.compare.browser_image import Picture, load
from upscale_cli.compare.measure import Likeness, likeness
from upscale_cli.compare.pairing import Subject, Unpaired
from upscale_cli.errors import InputError, OutputError, UpscaleError, printable
from upscale_cli.events import Say, unreported
from upscale_cli.files.atomic_file import OutputFile, Stream
from upscale_cli.messages import marked

LARGEST_PAGE: Final = 10**9
"""Bytes; larger ones are slow in every browser, and some open them not at all."""

ASPECT_TOLERANCE: Final = 0.02
"""How much the aspect ratios of two versions may differ before they can hardly show the same."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Two versions of a picture, or one and the reference, and how alike they are."""

    subject: str
    before: str
    after: str
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class Compared:
    """A whole page, or a whole clip, exists.

    Attributes:
        output: its path.
        pictures: how many are in it; 0 for a clip.
        size: bytes of the file.
        measured: what could be measured, picture by picture.
        failed: pictures that are not in it, and why.
        unpaired: files without a partner, of folders.
    """

    output: str
    pictures: int
    size: int
    seconds: float
    measured: tuple[Measured, ...] = ()
    failed: tuple[tuple[str, str], ...] = ()
    unpaired: tuple[Unpaired, ...] = ()


def write_page(
    subjects: Sequence[Subject],
    output: Path,
    *,
    overwrite: bool = False,
    say: Say = unreported,
    before_each: Callable[[], None] = lambda: None,
) -> Compared:
    """Writes the page that compares the versions of some pictures.

    Args:
        subjects: the pictures, in the order they are shown.
        output: an .html file; nothing stands there before it is whole.
        say: gets what the user should know, in one line each.
        before_each: is called before each picture, and before the page gets its name; what it raises ends the run.

    Returns:
        What is in it. Of several pictures those that cannot be compared are left out, and named in `failed`.

    Raises:
        InputError: no picture can be compared; for a single one, why.
        OutputError: the page cannot be written there, or would be too large.
    """
    begin = time.perf_counter()
    template = _Template(_title(subjects))
    entries: list[dict[str, Any]] = []
    measured: list[Measured] = []
    failed: list[tuple[str, str]] = []
    with OutputFile(output, overwrite=overwrite) as stream:
        stream.write(template.head)
        for subject in subjects:
            before_each()
            try:
                pictures = _loaded(subject, say)
            except UpscaleError as error:
                if len(subjects) == 1:
                    raise
                failed.append((subject.name, error.message))
                continue
            alike = _measured(pictures)
            entries.append(_entry(subject, pictures, alike, len(entries)))
            measured += _named(subject, pictures, alike)
            _write_pictures(stream, pictures, len(entries) - 1, output)
        if not entries:
            raise InputError(f"none of the {len(subjects)} pictures can be compared; the first: {marked(failed[0][1])}")
        before_each()
        stream.write(template.tail(entries))
        size = stream.tell()
    return Compared(str(output), len(entries), size, time.perf_counter() - begin, tuple(measured), tuple(failed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked:
    """A version of a picture that lies at an address of the server that the page comes from.

    Attributes:
        label: what tells it from the other versions, in one line.
        url: of a picture as a browser shows it, such as `browser_image.load` makes it.
        width, height: in pixels, as it is shown.
        alpha: whether it may be transparent.
    """

    label: str
    url: str
    width: int
    height: int
    alpha: bool


def linked_page(name: str, versions: Sequence[Linked]) -> bytes:
    """The page that compares versions of one picture, which it loads from where it comes from itself.

    Args:
        name: of the picture, in one line.
        versions: before first, then after.
    """
    template = _Template(" | ".join(version.label for version in versions), pictures="'self'")
    shown = [
        {**dataclasses.asdict(version), "file": version.label, "data": version.url, "reference": False}
        for version in versions
    ]
    return template.head + template.tail([{"name": name, "versions": shown, "alike": []}])


def _loaded(subject: Subject, say: Say) -> list[Picture]:
    """All versions, the reference last; seen to show the same."""
    versions = [*subject.versions, *([subject.reference] if subject.reference else [])]
    pictures = [load(version, say) for version in versions]
    largest = max(pictures, key=lambda picture: math.prod(picture.size))
    for picture in pictures:
        _check_aspect(picture, largest, say)
    return pictures


def _check_aspect(picture: Picture, largest: Picture, say: Say) -> None:
    """Sides that are rounded to whole pixels may change the aspect ratio a little.

    Raises:
        InputError: it is of another shape.
    """
    (width, height), (full_width, full_height) = picture.size, largest.size
    difference = abs(full_width / width - full_height / height)
    if difference <= max(full_width / width, full_height / height) / min(width, height):
        return
    sides = f"{width} x {height} pixels, and {printable(largest.version.label)} {full_width} x {full_height}"
    if abs(math.log(full_width * height / (full_height * width))) > ASPECT_TOLERANCE:
        raise InputError(
            f"{printable(picture.version.label)}: has {sides}: not of one shape, so they show different things. "
            "Crop one of them."
        )
    say(f"{printable(picture.version.label)}: has {sides}: not quite of one shape, and shown stretched to one.")


Alike = dict[tuple[int, int], Likeness]
"""By the positions of two versions of one size."""


def _measured(pictures: Sequence[Picture]) -> Alike:
    pairs = itertools.combinations(range(len(pictures)), 2)
    found = {(a, b): likeness(pictures[a], pictures[b]) for a, b in pairs}
    return {pair: alike for pair, alike in found.items() if alike is not None}


def _named(subject: Subject, pictures: Sequence[Picture], alike: Alike) -> list[Measured]:
    """With a reference, each version against it; else the first against each other."""
    base = len(pictures) - 1 if subject.reference else 0
    label = [picture.version.label for picture in pictures]
    return [Measured(subject.name, label[a], label[b], value) for (a, b), value in alike.items() if base in (a, b)]


def _entry(subject: Subject, pictures: Sequence[Picture], alike: Alike, number: int) -> dict[str, Any]:
    """What the script has to know of a picture."""
    return {
        "name": subject.name,
        "versions": [
            {
                "label": picture.version.label,
                "file": picture.version.file,
                "width": picture.size[0],
                "height": picture.size[1],
                "alpha": picture.frame.has_alpha,
                "mime": picture.mime,
                "data": _identifier(number, position),
                "reference": subject.reference is not None and position == len(pictures) - 1,
            }
            for position, picture in enumerate(pictures)
        ],
        "alike": [{"a": a, "b": b, **as_numbers(value)} for (a, b), value in alike.items()],
    }


def as_numbers(alike: Likeness) -> dict[str, float | str | None]:
    """As JSON can hold it: "inf" where nothing differs."""
    values = dataclasses.asdict(alike)
    return {key: "inf" if value == math.inf else value for key, value in values.items()}


def _write_pictures(stream: Stream, pictures: Sequence[Picture], number: int, output: Path) -> None:
    """As blocks of data, which the browser neither runs nor decodes until the script asks for one."""
    for position, picture in enumerate(pictures):
        stream.write(f'<script type="text/plain" id="{_identifier(number, position)}">'.encode())
        stream.write(base64.b64encode(picture.data))
        stream.write(b"</script>\n")
        if stream.tell() > LARGEST_PAGE:
            raise OutputError(
                f"{printable(str(output))}: would be larger than {LARGEST_PAGE // 10**6:,} MB, more than a browser "
                "opens. Compare fewer pictures at once, or crops of them."
            )


def _identifier(number: int, position: int) -> str:
    return f"picture-{number}-{position}"


def _title(subjects: Sequence[Subject]) -> str:
    """The file names of a single picture; else how many there are."""
    if len(subjects) == 1:
        return " | ".join(version.label for version in subjects[0].versions)
    return f"{len(subjects)} pictures compared"


class _Template:
    """The page around its pictures.

    Args:
        pictures: where they may come from, as a policy names it.
    """

    def __init__(self, title: str, pictures: str = "data:") -> None:
        folder = resources.files(__package__)
        page, colours, style, script = (
            folder.joinpath(name).read_text("utf-8") for name in ("page.html", "colours.css", "page.css", "page.js")
        )
        style = colours + style
        policy = (
            f"default-src 'none'; img-src {pictures}; style-src {_hash(style)}; script-src {_hash(script)}; "
            "base-uri 'none'; form-action 'none'"
        )
        self._script = script
        head, self._tail = page.split("{pictures}")
        for mark, value in (("{style}", style), ("{policy}", policy), ("{title}", html.escape(title))):  # a name last
            head = head.replace(mark, value, 1)
        self.head = head.encode()

    def tail(self, entries: list[dict[str, Any]]) -> bytes:
        """What follows the pictures: what the script has to know, and the script."""
        data = json.dumps(entries).replace("<", "\\u003c")  # so that no name ends the block it stands in
        before, _, after = self._tail.partition("{data}")
        return (before + data + after.replace("{script}", self._script, 1)).encode()


def _hash(text: str) -> str:
    """How a policy names the only script, or style, that it allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
