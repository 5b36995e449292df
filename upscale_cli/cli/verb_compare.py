"""The verb `upscale compare`: which files, where to; it checks combinations, and shows the result.

Imports neither torch nor numpy, so that `--help` is instant.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from upscale_cli.cli.lines import put_error
from upscale_cli.errors import printable

if TYPE_CHECKING:
    from upscale_cli.compare.page import Compared, Measured


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
    from upscale_cli.compare.files import compare_files, kind_together
    from upscale_cli.jobs.checks import check_web

    check_web(*inputs, *([hr] if hr is not None else []))
    paths = [Path(name) for name in inputs]
    reference = Path(hr) if hr is not None else None
    kind_together(paths, reference)
    with listening(as_json=as_json, quiet=quiet) as listener:
        compared = compare_files(paths, output, reference, overwrite=overwrite, listener=listener)
    show(compared, as_json=as_json, quiet=quiet)
    if open_it:
        import webbrowser

        webbrowser.open(Path(compared.output).absolute().as_uri())
    if compared.failed or compared.unpaired:
        raise typer.Exit(1)


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
