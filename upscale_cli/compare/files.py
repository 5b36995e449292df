"""Files and folders compared: what goes with what, where the result goes, and which kind of result it is.

    pictures, folders  ->  one page (page.py)        two clips  ->  one clip (video_side_by_side.py)

Imports neither torch nor numpy until something is compared.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upscale_cli.compare.pairing import Kind, Subject, Unpaired, common_kind, subject_of_files, subjects_of_folders
from upscale_cli.errors import InputError, OptionError, OutputError, printable
from upscale_cli.events import Failed, Listener, ignore, saying
from upscale_cli.messages import option

if TYPE_CHECKING:
    from upscale_cli.compare.page import Compared

PAGE_ENDINGS: Final = (".html", ".htm")


def kind_together(paths: Sequence[Path], reference: Path | None) -> Kind:
    """What is compared.

    Raises:
        InputError: one of them is not there.
        OptionError: they do not go together.
    """
    if len(paths) + (reference is not None) < 2:
        raise OptionError(f"{paths[0]} alone cannot be compared. Name a second file or folder, or give {option('hr')}.")
    kind = common_kind([*paths, *([reference] if reference is not None else [])])
    if kind == "clip" and len(paths) != 2:
        raise OptionError(f"{len(paths)} clips do not fit side by side. Name two.")
    if kind == "clip" and reference is not None:
        raise OptionError(f"{option('hr', reference)}: is for pictures. Leave it out for clips.")
    return kind


def compare_files(
    paths: Sequence[Path],
    output: str | None = None,
    reference: Path | None = None,
    *,
    overwrite: bool = False,
    before_each: Callable[[], None] = lambda: None,
    listener: Listener = ignore,
) -> "Compared":
    """Compares pictures, or the pictures of folders, in a page; two clips side by side in a clip.

    Args:
        paths: before and after, or more.
        output: a file or a folder; None: next to the last of them.
        reference: the HR picture, or a folder of them.
        before_each: is called before each picture; what it raises ends the run, and nothing is left.

    Raises:
        UpscaleError: nothing can be compared, or written there. Of several pictures those that cannot be compared are
            left out and reported as `Failed`.
    """
    kind = kind_together(paths, reference)
    place = output_path(kind, paths, output)
    check_place(place, [*paths, *([reference] if reference is not None else [])])
    if kind == "clip":
        from upscale_cli.compare.video_side_by_side import write_clip

        return write_clip(paths[0], paths[1], place, overwrite=overwrite, listener=listener)
    from dataclasses import replace

    from upscale_cli.compare.page import write_page

    subjects, unpaired = _subjects(kind, paths, reference)
    compared = write_page(subjects, place, overwrite=overwrite, say=saying(listener), before_each=before_each)
    for name, why in (*((one.file, one.why) for one in unpaired), *compared.failed):
        listener(Failed(name, why))
    return replace(compared, unpaired=unpaired)


def output_path(kind: Kind, paths: Sequence[Path], output: str | None) -> Path:
    """Where the result goes.

    Raises:
        OptionError: standard output, or a name of another kind of file.
    """
    last = paths[-1]
    stem = last.absolute().name if kind == "folder" else paths[0].stem
    default = f"{stem}_compare{'.mp4' if kind == 'clip' else '.html'}"
    if output is None:
        return last.absolute().parent / default if kind == "folder" else last.with_name(default)
    if output == "-":
        raise OptionError(f"{option('output', output)}: the result has to be a file. Name one.")
    if output.endswith(("/", "\\")) or os.path.isdir(output):
        return Path(output) / default
    if kind != "clip" and not output.lower().endswith(PAGE_ENDINGS):
        raise OptionError(f"{option('output', output)}: pictures are compared in a web page. Give it a name in .html.")
    return Path(output)


def check_place(place: Path, inputs: Sequence[Path]) -> None:
    """Refuses to write over what is compared.

    Raises:
        OutputError: the output is one of the inputs.
    """
    for path in inputs:
        if place.exists() and path.exists() and place.samefile(path):
            raise OutputError(
                f"{place}: is an input, and inputs are never overwritten. Choose another {option('output')}."
            )


def _subjects(
    kind: Kind, paths: Sequence[Path], reference: Path | None
) -> tuple[tuple[Subject, ...], tuple[Unpaired, ...]]:
    if kind != "folder":
        return (subject_of_files(paths, reference),), ()
    subjects, unpaired = subjects_of_folders(paths, reference)
    if not subjects:
        folders = " and ".join(printable(str(path)) for path in paths)
        raise InputError(f"{folders} have no picture in common: {unpaired[0].file}: {unpaired[0].why}")
    return subjects, unpaired
