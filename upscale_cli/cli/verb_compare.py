"""The verb `upscale compare`: which files, where to; it checks combinations, and shows the result.

Imports neither torch nor numpy, so that `--help` is instant.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upscale_cli.cli.lines import put_error
from upscale_cli.errors import InputError, OptionError, OutputError, printable

if TYPE_CHECKING:
    from upscale_cli.compare.page import Compared, Measured
    from upscale_cli.compare.pairing import Kind, Subject, Unpaired
    from upscale_cli.events import Listener

PAGE_ENDINGS = (".html", ".htm")


def compare(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="A B", show_default=False,
            help="Before and after: two or more pictures, two clips, or two or more folders (paired by file name).",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", show_default=False,
            help="The page (.html) or, of clips, the clip. Default: {stem}_compare.html or .mp4 next to B.",
        ),
    ] = None,
    hr: Annotated[
        str | None,
        typer.Option("--hr", show_default=False, help="The reference (a file, or a folder of them) to measure by."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Show the result in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per line: events and results.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Show errors only.")] = False,
) -> None:  # fmt: skip
    """Compare pictures in one web page, clips side by side in one clip.

    [bold]upscale compare photo.jpg photo_4x.jpg[/bold], [bold]upscale compare lr/ sr/ --hr hr/ -o set5.html[/bold]
    """
    from upscale_cli.cli.console import listening
    from upscale_cli.compare.pairing import common_kind
    from upscale_cli.jobs.checks import check_web

    check_web(*inputs, *([hr] if hr is not None else []))
    paths = [Path(name) for name in inputs]
    reference = Path(hr) if hr is not None else None
    if len(paths) + (reference is not None) < 2:
        raise OptionError(f"{inputs[0]} alone cannot be compared. Name a second file or folder, or give --hr.")
    kind = common_kind([*paths, *([reference] if reference is not None else [])])
    if kind == "clip" and len(paths) != 2:
        raise OptionError(f"{len(paths)} clips do not fit side by side. Name two.")
    if kind == "clip" and reference is not None:
        raise OptionError(f"--hr {hr}: is for pictures. Leave it out for clips.")
    with listening(as_json=as_json, quiet=quiet) as listener:
        place = output_path(kind, paths, output)
        check_place(place, [*paths, *([reference] if reference is not None else [])])
        unpaired: tuple[Unpaired, ...] = ()
        if kind == "clip":
            from upscale_cli.compare.video_side_by_side import write_clip

            compared = write_clip(paths[0], paths[1], place, overwrite=overwrite, listener=listener)
        else:
            compared, unpaired = _page(kind, paths, reference, place, listener, overwrite=overwrite)
        failed = _told(compared, unpaired, listener)
    show(compared, as_json=as_json, quiet=quiet)
    if open_it:
        import webbrowser

        webbrowser.open(place.absolute().as_uri())
    if failed:
        raise typer.Exit(1)


def output_path(kind: "Kind", paths: list[Path], output: str | None) -> Path:
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
        raise OptionError("-o -: the result has to be a file. Name one.")
    if output.endswith(("/", "\\")) or Path(output).is_dir():
        return Path(output) / default
    if kind != "clip" and not output.lower().endswith(PAGE_ENDINGS):
        raise OptionError(f"-o {output}: pictures are compared in a web page. Give it a name in .html.")
    return Path(output)


def check_place(place: Path, inputs: list[Path]) -> None:
    """Refuses to write over what is compared.

    Raises:
        OutputError: the output is one of the inputs.
    """
    for path in inputs:
        if place.exists() and path.exists() and place.samefile(path):
            raise OutputError(f"{place}: is an input, and inputs are never overwritten. Choose another -o.")


def _page(
    kind: "Kind", paths: list[Path], reference: Path | None, place: Path, listener: "Listener", *, overwrite: bool
) -> "tuple[Compared, tuple[Unpaired, ...]]":
    from upscale_cli.compare.page import write_page
    from upscale_cli.compare.pairing import subject_of_files, subjects_of_folders
    from upscale_cli.events import saying

    subjects: tuple[Subject, ...]
    unpaired: tuple[Unpaired, ...] = ()
    if kind == "folder":
        subjects, unpaired = subjects_of_folders(paths, reference)
    else:
        subjects = (subject_of_files(paths, reference),)
    if not subjects:
        folders = " and ".join(printable(str(path)) for path in paths)
        raise InputError(f"{folders} have no picture in common: {unpaired[0].file}: {unpaired[0].why}")
    return write_page(subjects, place, overwrite=overwrite, say=saying(listener)), unpaired


def _told(compared: "Compared", unpaired: "tuple[Unpaired, ...]", listener: "Listener") -> int:
    """Names what is not in the result; gives how many."""
    from upscale_cli.events import Failed

    for one in unpaired:
        listener(Failed(one.file, one.why))
    for name, why in compared.failed:
        listener(Failed(name, why))
    return len(unpaired) + len(compared.failed)


def show(compared: "Compared", *, as_json: bool, quiet: bool) -> None:
    """Reports what was made: a program on standard output, a person on standard error."""
    if as_json:
        print(json.dumps(as_record(compared)))
    elif not quiet:
        for line in in_words(compared):
            put_error(line)


def in_words(compared: "Compared") -> list[str]:
    """What was made, and what was measured, for a person."""
    from upscale_cli.text import counted, duration

    size = f"{compared.size / 1e6:.1f} MB" if compared.size >= 1e5 else f"{compared.size / 1e3:.0f} kB"
    what = f"{counted(compared.pictures, 'picture')}, {size}" if compared.pictures else size
    lines = [_measured_line(one, several=compared.pictures > 1) for one in compared.measured]
    return [*lines, f"{compared.output}  {what}  {duration(compared.seconds)}"]


def _measured_line(one: "Measured", *, several: bool) -> str:
    alike = one.likeness
    name = f"{one.subject}: " if several else ""
    if alike.largest == 0:
        return f"{name}{one.before} = {one.after}: identical pixels"
    parts = [f"PSNR {alike.psnr_luma:.2f} dB"]
    if alike.ssim_luma is not None:
        parts.append(f"SSIM {alike.ssim_luma:.4f}")
    if alike.psnr_rgb is not None:
        parts.append(f"RGB {alike.psnr_rgb:.2f} dB")
    return f"{name}{one.before} to {one.after}: {', '.join(parts)}"


def as_record(compared: "Compared") -> dict[str, object]:
    """For `--json`: {"event": "compared", ...}."""
    from upscale_cli.compare.page import as_numbers

    measured = [
        {"subject": one.subject, "before": one.before, "after": one.after, **as_numbers(one.likeness)}
        for one in compared.measured
    ]
    return {
        "event": "compared",
        "output": printable(compared.output),
        "pictures": compared.pictures,
        "bytes": compared.size,
        "seconds": compared.seconds,
        "measured": measured,
        "failed": [name for name, _ in compared.failed],
    }
