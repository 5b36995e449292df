"""Many sources: find them, name the outputs, report what failed. Decides everything that needs no pixel."""

import functools
import hashlib
import os
import re
import stat
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from string import Formatter
from typing import BinaryIO, Final

from upscale_cli.chain import Target
from upscale_cli.errors import InputError, OptionError, OutputError
from upscale_cli.media.formats import CLIP_EXTENSIONS, FORMATS, Format, format_named, format_of, is_picture_ending
from upscale_cli.media.metadata import PhotoInfo

FIELDS: Final = ("stem", "ext", "scale", "width", "height", "model", "folder", "name")
"""What an output template may name."""

LONGEST_NAME: Final = 250
"""Bytes of a name that we make. File systems take 255 (some count characters), and a clip's work folder adds five."""

STDIO: Final = "-"

HEAD_BYTES: Final = 4096
"""What is looked at of standard input to tell a clip from a picture."""


@dataclass(frozen=True)
class Input:
    """One input: a file, or standard input.

    Attributes:
        root: the folder it was found in, whose tree outputs mirror; None for a file that was named by itself.
    """

    name: str
    may_be_live: bool = False
    root: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether it is an address or a device; only --live lets one in."""
        if not self.may_be_live:
            return False
        from upscale_cli.media.video.live import is_address

        return is_address(self.name)

    @property
    def is_stdin(self) -> bool:
        return self.name == STDIO

    @property
    def path(self) -> Path:
        return Path(self.name)

    @property
    def below_root(self) -> PurePath:
        """Its path in the tree that outputs mirror; of a file that was named by itself, the name."""
        return self.path.relative_to(self.root) if self.root is not None else PurePath(self.path.name)

    @functools.cached_property
    def is_clip(self) -> bool:
        """Whether it is moving pictures with a time base: by its ending, or where that says nothing by its content."""
        if self.is_live:
            return True
        if self.is_stdin:
            return _stdin_is_clip()
        ending = self.path.suffix.lower()
        if ending in CLIP_EXTENSIONS:
            return True
        if is_picture_ending(ending) or not _is_file(self.name):
            return False
        from upscale_cli.media.video.probe import looks_like_clip

        return looks_like_clip(self.path)

    def open(self) -> Path | bytes:
        """What `ImageReader` takes: the path, or all of standard input.

        Raises:
            InputError: a folder, which stands for many; an empty standard input.
        """
        if self.is_stdin:
            return _read_once(STDIO)
        if os.path.isdir(self.name):  # unlike Path.is_dir it never raises
            raise InputError(f"{self.name}: is a folder. Name a file.")
        if _is_pipe(self.name):
            return _read_once(self.name)
        return self.path


def _stdin_is_clip() -> bool:
    """By the first bytes, which stay there for whoever reads."""
    if STDIO in _read or sys.stdin is None or not hasattr(sys.stdin.buffer, "peek"):
        return False
    from upscale_cli.media.video.probe import looks_like_clip

    return looks_like_clip(sys.stdin.buffer.peek(HEAD_BYTES))


_read: dict[str, bytes] = {}


def _read_once(name: str) -> bytes:
    """All of standard input or of a named pipe, which give their bytes once only; several models share them."""
    if name not in _read:
        if name != STDIO:
            _read[name] = Path(name).read_bytes()
        elif sys.stdin is None:
            raise InputError("standard input is closed. Send a picture to it, or name a file.")
        else:
            _read[name] = sys.stdin.buffer.read()
    return _read[name]


def _is_file(name: str) -> bool:
    return stat.S_ISREG(_mode(name))


def _is_pipe(name: str) -> bool:
    return stat.S_ISFIFO(_mode(name))


def _mode(name: str) -> int:
    """What kind of file a name stands for (`st_mode`); 0 for none."""
    try:
        return os.stat(name).st_mode
    except (OSError, ValueError):
        return 0


@dataclass(frozen=True, slots=True)
class Naming:
    """Where outputs go and what they are called.

    Attributes:
        output: as given with -o: None, "-", a file, a folder (existing, or with a trailing slash) or a template.
        format: as given with -f; None takes the output's ending, or the input's format.
        target: decides whether names speak of the scale or of the size.
        several_models: names must tell the models apart.
    """

    output: str | None
    format: str | None
    target: Target | None
    several_models: bool = False

    def __post_init__(self) -> None:
        if self.format is not None and f".{self.format.lower().removeprefix('.')}" not in CLIP_EXTENSIONS:
            try:
                format_named(self.format)
            except OutputError as error:
                raise OptionError(str(error)) from error
        if self.output is not None and "{" in self.output:
            check_template(self.output)

    def place(self, source: Input, info: PhotoInfo, size: tuple[int, int], model: str) -> "Place":
        """Where the output of one source goes.

        Raises:
            OptionError: output and format contradict each other.
            OutputError: the output's ending names no format.
        """
        if self.goes_to_stdout(source):
            return Place(None, format_named(self.format) if self.format else FORMATS[info.format])
        path = self._path(source, self._extension(source, info), (info.width, info.height), size, model)
        return Place(path, self._format(path))

    def place_clip(
        self,
        source: Input,
        lr_size: tuple[int, int],
        size: tuple[int, int],
        model: str,
        ending: str,
        label: str = "",
    ) -> Path | None:
        """Where the upscaled clip goes; None for standard output.

        Args:
            lr_size, size: (width, height) of the clip and of its output.
            ending: of a name that is not the user's own, with the dot.
            label: tells it from the whole clip, in such a name.
        """
        if self.goes_to_stdout(source):
            return None
        return self._path(source, ending, lr_size, size, model, label)

    def goes_to_stdout(self, source: Input) -> bool:
        return self.output == STDIO or (self.output is None and source.is_stdin)

    def _path(
        self,
        source: Input,
        ending: str,
        lr_size: tuple[int, int],
        size: tuple[int, int],
        model: str,
        label: str = "",
    ) -> Path:
        """The output's name, filled in."""
        fields = {
            "stem": "stdin" if source.is_stdin else "live" if source.is_live else source.path.stem,
            "ext": ending,
            "scale": f"{self._scale(lr_size, size):.4g}",
            "width": size[0],
            "height": size[1],
            "model": _file_name(model),
            "folder": str(source.below_root.parent),
            "name": "stdin" if source.is_stdin else "live" if source.is_live else source.path.name,
        }
        default = self._default_template(label)
        if self.output is None:
            return source.path.with_name(_filled_in(default, fields))
        if not ("{" in self.output or is_folder_name(self.output)):
            return Path(self.output)
        if "{" not in self.output:
            return Path(self.output) / source.below_root.parent / _filled_in(default, fields)
        path = _filled_in(self.output, fields)
        return Path(path) / _filled_in(default, fields) if is_folder_name(path) else Path(path)

    def _default_template(self, label: str) -> str:
        model = "_{model}" if self.several_models else ""
        by_scale = self.target is None or self.target.scale is not None
        return "{stem}" + label + model + ("_{scale}x{ext}" if by_scale else "_{width}x{height}{ext}")

    def _scale(self, lr_size: tuple[int, int], size: tuple[int, int]) -> float:
        if self.target is not None and self.target.scale is not None:
            return self.target.scale
        return max(size[0] / lr_size[0], size[1] / lr_size[1])

    def _extension(self, source: Input, info: PhotoInfo) -> str:
        """The input's own ending where it tells the truth, so that .jpeg stays .jpeg."""
        if self.format is not None:
            row = format_named(self.format)
            asked = f".{self.format.lower().removeprefix('.')}"
            return asked if asked in row.extensions else row.extensions[0]
        row = FORMATS[info.format]
        own = source.path.suffix
        if own.lower() == ".pbm":
            return ".pgm"  # one bit becomes gray
        return own if own.lower() in row.extensions else row.extensions[0]

    def _format(self, path: Path) -> Format:
        if self.format is None:
            return format_of(path)
        row = format_named(self.format)
        if path.suffix and path.suffix.lower() not in row.extensions and _names_a_format(path):
            raise OptionError(f"output {path} and --format {self.format} contradict each other. Leave one of them out.")
        return row


def check_template(template: str) -> None:
    """Refuses a template of an output name that could not be filled in.

    Raises:
        OptionError: an open brace, an unknown field, or a format that is more than the padding of a number.
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise OptionError(f"template {template!r} is not understood ({error}). Close every brace.") from error
    for _, field, padding, conversion in parts:
        if field not in FIELDS:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise OptionError(f"output template {template!r} names {{{field}}}. Choose from {known}.")
        allowed = r"0?\d{0,2}" if field in ("width", "height") else ""
        if conversion or not re.fullmatch(allowed, padding or ""):
            raise OptionError(
                f"output template {template!r}: {{{field}}} takes no format; only {{width:05}} and {{height:05}} do."
            )


@dataclass(frozen=True, slots=True)
class Place:
    """Where one output goes: a path, or standard output (None); and in which format."""

    path: Path | None
    format: Format

    @property
    def name(self) -> str:
        return STDIO if self.path is None else str(self.path)

    def target(self) -> Path | BinaryIO:
        """What `ImageWriter` takes."""
        return sys.stdout.buffer if self.path is None else self.path


class Outputs:
    """The outputs promised so far, so that none overwrites an input or another output.

    Args:
        may_replace: whether the output of a source, which is there already, is one of ours.
        folds: the file system takes names for the same that differ in letter case or in the form of accents.
    """

    def __init__(
        self,
        sources: Sequence[Input],
        *,
        overwrite: bool,
        may_replace: Callable[[Input, Path], bool] = lambda *_: False,
        folds: bool = os.name == "nt",
    ) -> None:
        files = [source for source in sources if not (source.is_stdin or source.is_live)]
        self._inputs = {_identity(source.path): source.name for source in files}
        self._promised: dict[str, str] = {}
        self._overwrite, self._may_replace, self._folds = overwrite, may_replace, folds

    def promise(self, source: Input, path: Path | None, *, may_exist: bool = False) -> None:
        """Books a place: a path, or standard output (None).

        Args:
            may_exist: whoever writes there decides about what exists already.

        Raises:
            OutputError: it is an input, another source's output, or exists already and may not be overwritten.
        """
        if path is None:
            if STDIO in self._promised:
                raise OutputError(f"{source.name}: standard output holds one result only. Give -o a folder.")
            self._promised[STDIO] = source.name
            return
        key = folded(os.path.abspath(path)) if self._folds else os.path.abspath(path)
        if _identity(path) in self._inputs:
            raise OutputError(f"{path}: is an input, and inputs are never overwritten. Choose another -o.")
        if self._promised.get(key) == source.name:
            raise OutputError(f"{source.name}: is given twice, with one output {path}. Name it once.")
        if key in self._promised:
            raise OutputError(
                f"{source.name}: its output {path} is that of {self._promised[key]} already. "
                f"Name it with another -o, such as the template '{{folder}}/{{name}}_{{model}}_{{scale}}x{{ext}}'."
            )
        if os.path.lexists(path) and not (self._overwrite or may_exist or self._may_replace(source, path)):
            raise OutputError(f"{path}: exists already. Give --overwrite to replace it, or another -o.")
        self._promised[key] = source.name


def single_output(naming: Naming, sources: Sequence[Input], models: int) -> None:
    """Refuses one file name for several outputs.

    Raises:
        OptionError: -o names one file, or standard output, and there is more than one output to come.
    """
    several = len(sources) * models
    output = naming.output
    if several > 1 and output is not None and "{" not in output and (output == STDIO or not is_folder_name(output)):
        raise OptionError(
            f"output {output!r} is one file for {several} results. Give a folder (FOLDER/) or a template."
        )


def is_folder_name(output: str) -> bool:
    """Whether -o means a folder: by its trailing slash, or because it is one."""
    return output.endswith(("/", "\\")) or os.path.isdir(output)


def folded(path: str) -> str:
    """Equal for paths that many file systems take for the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", os.path.normcase(path)).casefold())


def _names_a_format(path: Path) -> bool:
    try:
        format_of(path)
    except (InputError, OutputError):
        return False
    return True


def _file_name(model: str) -> str:
    return re.sub(r"[^\w.-]+", "-", model)


def _filled_in(template: str, fields: Mapping[str, object]) -> str:
    """A template with its fields; of a stem that makes the name too long, what fits, and eight digits of its hash."""
    filled = template.format_map(fields)
    excess = len(os.fsencode(PurePath(filled).name)) - LONGEST_NAME
    stem = str(fields["stem"])
    if excess <= 0 or "{stem}" not in template:
        return filled
    digits = hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]
    while stem and excess > -len(digits) - 1:  # whole characters, whatever they take
        excess -= len(os.fsencode(stem[-1]))
        stem = stem[:-1]
    return template.format_map({**fields, "stem": f"{stem}~{digits}"})


def _identity(path: Path) -> object:
    """Equal for two names of one file, links and letter case included where the file exists."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return os.path.abspath(path)
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.abspath(path)
