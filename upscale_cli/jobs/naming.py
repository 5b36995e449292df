"""What an output is called and where it goes, by -o, --format, the source and the size."""

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from string import Formatter
from typing import BinaryIO, Final

from upscale_cli.errors import InputError, OptionError, OutputError
from upscale_cli.files.object_names import is_object, is_prefix_name, joined, key_of, normal
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.inputs import STDIO, Input
from upscale_cli.media.image.formats import (
    CLIP_EXTENSIONS,
    Format,
    as_ending,
    format_named,
    format_of,
    writable_ending,
    written_for,
)
from upscale_cli.media.image.metadata import PhotoInfo
from upscale_cli.media.video.container import ending_of, known_containers
from upscale_cli.messages import option

FIELDS: Final = ("stem", "ext", "scale", "width", "height", "model", "folder", "name")
"""What an output template may name."""

LONGEST_NAME: Final = 250
"""Bytes of a name that we make. File systems take 255 (some count characters), and a clip's work folder adds five."""


@dataclass(frozen=True, slots=True)
class Naming:
    """Where outputs go and what they are called.

    Attributes:
        output: as given with -o: None, "-", a file, a folder (existing, or with a trailing slash) or a template; or the
            URL of an object or a prefix.
        format: as given with -f; None takes the output's ending, or the input's format.
        target: decides whether names have the scale or the size in them.
        several_models: names must have the model in them.
    """

    output: str | None
    format: str | None
    target: Target | None
    several_models: bool = False

    def __post_init__(self) -> None:
        if self.format is not None:
            object.__setattr__(self, "format", ending_of(self.format))
            check_format(self.format)
        if self.output == "":
            raise OptionError(
                f"{option('output')} is empty: a variable, perhaps, that is not set. Name a file or a folder."
            )
        if self.output is not None and "{" in self.output:
            check_template(self.output)

    def place(self, source: Input, info: PhotoInfo, size: tuple[int, int], model: str) -> "Place":
        """Where the output of one source goes.

        Raises:
            OptionError: output and format contradict each other.
            OutputError: the output's ending names no format.
        """
        if self.goes_to_stdout(source):
            return Place(None, format_named(self.format) if self.format else written_for(info.format))
        path = self._path(source, self._extension(source, info), (info.width, info.height), size, model)
        return Place(path, self.format_of(path))

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

    def place_unseen(self, source: Input, ending: str, target: Target, model: str, label: str = "") -> Path | str:
        """Where the output goes of a source that was not looked into: an object's, or what becomes an object.

        Args:
            target: how large it will be; without a scale no number of pixels is known yet.

        Returns:
            A path, or the URL of an object.

        Raises:
            OptionError: as `check_unseen`.
            OutputError: the object's name is no path on this system.
        """
        self.check_unseen()
        if source.is_object and self.output is not None and not is_object(self.output):
            _check_parts(source)
        fields = self._fields(source, ending, model)
        if target.scale is not None:
            fields["scale"] = f"{target.scale:.4g}"
        size = "{scale}x" if target.scale is not None else _requested_size(target)
        return self._filled(source, fields, "{stem}" + label + self._model_part() + f"_{size}{{ext}}")

    def check_unseen(self) -> None:
        """Refuses a template that cannot be filled in before a source is looked into.

        Raises:
            OptionError: it names pixels.
        """
        has_scale = self.target is None or self.target.scale is not None
        unknown = ("width", "height") if has_scale else ("width", "height", "scale")
        named = [name for _, name, _, _ in Formatter().parse(self.output or "") if name in unknown]
        if named:
            raise OptionError(
                f"{option('output', self.output)} names {{{named[0]}}}, which is not known before an object is read. "
                "Leave it out."
            )

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
        fields = self._fields(source, ending, model)
        fields |= {"scale": f"{self._scale(lr_size, size):.4g}", "width": size[0], "height": size[1]}
        place = self._filled(source, fields, self._default_template(label))
        if isinstance(place, str):
            raise OptionError(f"output {place}: is no file. Write one and put it, or let the command line do so.")
        return place

    def _fields(self, source: Input, ending: str, model: str) -> dict[str, object]:
        """The fields of an output's name, but for sizes."""
        stream = "stdin" if source.is_stdin else "live" if source.is_live else None
        folder = source.below_root.parent
        return {
            "stem": stream or source.pure_path.stem,
            "ext": ending,
            "model": _file_name(model),
            "folder": folder.as_posix() if is_object(self.output or "") else str(folder),
            "name": stream or source.pure_path.name,
        }

    def _filled(self, source: Input, fields: dict[str, object], default: str) -> Path | str:
        """-o with its fields filled in; a folder gets a file of the default name."""
        if self.output is None:
            return _below(source.folder, _filled_in(default, fields))
        if not ("{" in self.output or is_folder_name(self.output)):
            return _place(self.output)
        if "{" not in self.output:
            return _below(self.output, str(fields["folder"]), _filled_in(default, fields))
        path = _filled_in(self.output, fields)
        return _below(path, _filled_in(default, fields)) if is_folder_name(path) else _place(path)

    def _default_template(self, label: str) -> str:
        by_scale = self.target is None or self.target.scale is not None
        return "{stem}" + label + self._model_part() + ("_{scale}x{ext}" if by_scale else "_{width}x{height}{ext}")

    def _model_part(self) -> str:
        return "_{model}" if self.several_models else ""

    def _scale(self, lr_size: tuple[int, int], size: tuple[int, int]) -> float:
        if self.target is not None and self.target.scale is not None:
            return self.target.scale
        return max(size[0] / lr_size[0], size[1] / lr_size[1])

    def _extension(self, source: Input, info: PhotoInfo) -> str:
        """The input's own ending where it is that of its format, so that .jpeg stays .jpeg."""
        if self.format is not None:
            return self._asked_extension(self.format)
        row = written_for(info.format)
        own = _writable(source.pure_path.suffix)
        return own if own.lower() in row.extensions else row.extensions[0]

    def unseen_extension(self, source: Input) -> str:
        """Of a photo that was not looked into, whose name is believed."""
        return self._asked_extension(self.format) if self.format else _writable(source.pure_path.suffix)

    def _asked_extension(self, format: str) -> str:
        row = format_named(format)
        asked = as_ending(format)
        return asked if asked in row.extensions else row.extensions[0]

    def format_of(self, path: PurePath) -> Format:
        """The format of a photo's output.

        Raises:
            OptionError: its ending and --format contradict each other.
            OutputError: its ending names no format.
        """
        if self.format is None:
            return format_of(path)
        row = format_named(self.format)
        if path.suffix and path.suffix.lower() not in row.extensions and _names_a_format(path):
            raise OptionError(
                f"output {path} and {option('format', self.format)} contradict each other. Leave one of them out."
            )
        return row


def check_format(format: str) -> None:
    """Refuses what is neither a picture format that is written nor the ending of a clip.

    Raises:
        OptionError: so it is.
    """
    if as_ending(format) in CLIP_EXTENSIONS:
        return
    try:
        format_named(format)
    except OutputError as error:
        raise OptionError(f"{error.marked} For clips choose one of {known_containers()}.") from error


def check_template(template: str) -> None:
    """Refuses a template of an output name that could not be filled in.

    Raises:
        OptionError: an open brace, an unknown field, or a format that is more than the padding of a number.
    """
    try:
        parts = [part for part in Formatter().parse(template) if part[1] is not None]
    except ValueError as error:
        raise OptionError(
            f"{option('output', template)} is not understood. Close every brace; {{{{ stands for one."
        ) from error
    for _, named, padding, conversion in parts:
        if named not in FIELDS:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise OptionError(f"{option('output', template)} names {{{named}}}. Choose from {known}.")
        allowed = r"0?\d{0,2}" if named in ("width", "height") else ""
        if conversion or not re.fullmatch(allowed, padding or ""):
            raise OptionError(
                f"{option('output', template)}: {{{named}}} takes no format; only {{width:05}} and {{height:05}} do."
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


def literal(path: str) -> str:
    """A path as a template that means nothing but it.

    >>> literal("a{b}.png")
    'a{{b}}.png'
    """
    return path.replace("{", "{{").replace("}", "}}")


def is_folder_name(output: str) -> bool:
    """Whether -o means a folder or a prefix: by its trailing slash, or because it is one."""
    if is_object(output):
        return is_prefix_name(output)
    return output.endswith(("/", "\\")) or os.path.isdir(output)


def _writable(ending: str) -> str:
    """The ending of an output whose input has this one, if that is to be kept."""
    if ending.lower() == ".pbm":  # one bit becomes gray
        return ".pgm"
    return writable_ending(ending)


def _names_a_format(path: PurePath) -> bool:
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
    while stem and excess > -len(digits) - 1:  # whole characters, of one byte or several
        excess -= len(os.fsencode(stem[-1]))
        stem = stem[:-1]
    return template.format_map({**fields, "stem": f"{stem}~{digits}"})


def _place(name: str) -> Path | str:
    """A path, or the URL of an object."""
    return normal(name) if is_object(name) else Path(name)


def _below(folder: Path | str, *parts: str) -> Path | str:
    """A place below a folder or a prefix."""
    return joined(folder, "/".join(parts)) if isinstance(folder, str) and is_object(folder) else Path(folder, *parts)


def _requested_size(target: Target) -> str:
    """A size that was asked for, as a part of a name; what comes of it is known with the LR size only.

    >>> _requested_size(Target(box=(3840, None))), _requested_size(Target(megapixels=40))
    ('3840px', '40mp')
    """
    if target.box is None:
        return f"{target.megapixels:.4g}mp" if target.megapixels is not None else f"{target.long_side}px"
    width, height = target.box
    return f"{width}px" if height is None else f"{width or ''}x{height}"


def _check_parts(source: Input) -> None:
    """Refuses an object whose name, as a path of this system, would lead out of the folder of outputs.

    Raises:
        OutputError: so it does.
    """
    foreign = ("\0", "\\", ":") if os.name == "nt" else ("\0",)
    for part in PurePosixPath(key_of(source.name)).parts:
        if part == ".." or any(character in part for character in foreign):
            raise OutputError(f"{source.name}: {part!r} in its name is no name of a file here. Rename the object.")
