"""`upscale eval`: options in, a table out. Imports no torch until the options are known to make sense."""

import csv
import io
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.markup import escape

from upscale_cli.cli.eval_options import LrGroup
from upscale_cli.cli.grouped import grouped
from upscale_cli.cli.licences import ask_for_licences
from upscale_cli.cli.option_values import conditions
from upscale_cli.cli.options import MODEL, Denoise, Device, Engine, Halo, Overlap, Precision, Tile, Tta, complete_model
from upscale_cli.errors import OptionError, OutputError, printable
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.text import counted

if TYPE_CHECKING:
    from rich.table import Table

    from upscale_cli.evaluation.cases import Case
    from upscale_cli.evaluation.contestants import Contestant
    from upscale_cli.evaluation.reference import Protocol
    from upscale_cli.evaluation.rows import Row
    from upscale_cli.events import Event, Listener
    from upscale_cli.inference.upscaler import Upscaler

STDOUT: Final = "-"
WIDEST: Final = 200
"""Characters of a line in a file."""

DEFAULT_SCALE: Final = 4

HEADINGS: Final = {
    "psnr_y": "PSNR", "ssim_y": "SSIM", "ms_ssim_y": "MS-SSIM", "psnr_rgb": "PSNR rgb", "ssim_rgb": "SSIM rgb",
    "lpips": "LPIPS", "niqe": "NIQE",
}  # fmt: skip
"""Columns by metric; those of luma are the field's and need no label."""

DECIMALS: Final = {"psnr_y": 2, "psnr_rgb": 2, "niqe": 2}
"""What the field prints; all others have four."""

PICTURES = "Pictures"
RESULT = "Result"


@grouped
def evaluate(
    lr_made: LrGroup,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="HR", help="Folders of HR pictures, or single ones.", show_default=False),
    ] = None,
    hr: Annotated[
        Path | None,
        typer.Option("--hr", metavar="DIR", show_default=False, rich_help_panel=PICTURES,
                     help="HR pictures whose LR you have; goes with --lr."),
    ] = None,
    lr: Annotated[
        Path | None,
        typer.Option("--lr", metavar="DIR", show_default=False, rich_help_panel=PICTURES,
                     help="LR pictures, matched with --hr by name (x4, _LR, _HR, LRBI at its end are ignored)."),
    ] = None,
    no_reference: Annotated[
        bool,
        typer.Option("--no-reference", rich_help_panel=PICTURES,
                     help="No HR: NIQE of the pictures as they are, and with --model of what it makes of them."),
    ] = False,
    model: Annotated[
        list[str] | None,
        typer.Option("-m", "-n", "--model", show_default=False, rich_help_panel=MODEL, autocompletion=complete_model,
                     help="A name (see `upscale models list`) or a checkpoint file; repeatable. Bicubic is always "
                     "measured too. Default: the best on this machine."),
    ] = None,
    scale: Annotated[
        list[int] | None,
        typer.Option("-s", "--scale", min=2, max=16, show_default=False, rich_help_panel=MODEL,
                     help="HR pixels per LR pixel; repeatable. Default: 4; with --lr, by the sizes."),
    ] = None,
    lpips: Annotated[
        bool, typer.Option("--lpips", rich_help_panel=RESULT, help="Measure LPIPS too (slow; extra: lpips).")
    ] = False,
    per_picture: Annotated[
        bool, typer.Option("--per-picture", rich_help_panel=RESULT, help="A row for each picture, too.")
    ] = False,
    csv_file: Annotated[
        str | None,
        typer.Option("--csv", metavar="FILE", show_default=False, rich_help_panel=RESULT,
                     help="Write the rows as CSV; - for standard output, instead of the table."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", rich_help_panel=RESULT, help="Replace a CSV file that exists.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", rich_help_panel=RESULT, help="One JSON object per line: events and rows.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", rich_help_panel=RESULT, help="No notes, no bar.")] = False,
    condition: Annotated[
        list[str] | None,
        typer.Option("--condition", metavar="NAME=VALUE", show_default=False, rich_help_panel=MODEL,
                     help="What a model needs besides the picture: a number, or a file; repeatable."),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option("--kernel", metavar="KIND|FILE|auto", show_default=False, rich_help_panel=MODEL,
                     help="The blur, for nets that know: as --lr-blur has it, or auto."),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option("--noise", metavar="SIGMA|auto", show_default=False, rich_help_panel=MODEL,
                     help="Standard deviation of the noise, 0 to 255, for nets that know. Default: 0."),
    ] = None,
    kernel_sampling: Annotated[
        Literal["bicubic", "every"],
        typer.Option("--kernel-sampling", rich_help_panel=MODEL,
                     help="How the picture was shrunk after the blur, for nets that know; every: every n-th pixel."),
    ] = "bicubic",
    wrap: Annotated[
        bool, typer.Option("--wrap", rich_help_panel=MODEL, help="Edges continue on the other side, as with --lr-blur.")
    ] = False,
    denoise: Denoise = 1.0,
    tta: Tta = False,
    tile: Tile = 0,
    overlap: Overlap = None,
    halo: Halo = None,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
) -> None:  # fmt: skip
    """Measure how well models upscale: PSNR, SSIM, MS-SSIM, LPIPS; NIQE where there is no reference.

    HR is shrunk as the field does it, upscaled again as users get it, and compared.
    [bold]upscale eval Set5 Set14 -m espcn -s 2 -s 3[/bold], [bold]upscale eval --hr HR --lr LR -m my.pth[/bold]
    """
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json, quiet=quiet) as tell:
        lr_made.check()
        _check_pictures(inputs or [], hr, lr, lr_made.making, blind=no_reference)
        if no_reference:
            given = [*lr_made.making, *lr_made.comparing, *(["--lpips"] if lpips else [])]
            _check_blind(given, has_scale=bool(scale), has_model=bool(model))
        options = UpscalerOptions(
            device=device,
            engine=engine,
            precision=precision,
            tile=tile,
            overlap=overlap,
            halo=halo,
            tta=tta,
            denoise=denoise,
            conditions=conditions(condition or []),
            kernel=kernel,
            noise=noise,
            kernel_sampling=kernel_sampling,
            wrap=wrap,
        )
        result = Result(csv_file, overwrite=overwrite, as_json=as_json, per_picture=per_picture)

        from upscale_cli.evaluation.contestants import contestants  # torch comes with it: nothing is left to be refused
        from upscale_cli.inference.upscaler import Recipe

        def make(name: str | None) -> "Upscaler":
            plain = replace(options, denoise=1.0, conditions=None, kernel=None, noise=None, kernel_sampling="bicubic")
            return Recipe(name, plain if name == "bicubic" else options).make(listener)

        listener = Counting(tell)
        ask_for_licences(model or [], listener)
        protocol = lr_made.protocol(lpips=lpips)
        as_they_are = no_reference and not model
        models = [] if as_they_are else contestants(model or [None], make, listener)
        scales = [1] if as_they_are else list(dict.fromkeys(scale or []))
        cases = _cases(inputs or [], hr, lr, scales, listener, blind=no_reference)
        for rows in _by_group(cases, models, None if no_reference else protocol, listener, bar=not (quiet or as_json)):
            result.add(rows)
        result.finish("" if no_reference else lr_made.described(lr_is_given=lr is not None))
    if listener.failures or not result.rows:
        raise typer.Exit(1)


def _given(options: dict[str, bool]) -> list[str]:
    return [name for name, is_given in options.items() if is_given]


def _check_pictures(inputs: list[str], hr: Path | None, lr: Path | None, making: list[str], *, blind: bool) -> None:
    """Refuses pictures that are given in two ways, or in none.

    Raises:
        OptionError: so it is.
    """
    pairs = _given({"--hr": hr is not None, "--lr": lr is not None})
    if blind and pairs:
        raise OptionError(f"--no-reference and {pairs[0]} exclude each other. Name the pictures without {pairs[0]}.")
    if len(pairs) == 1:
        raise OptionError(f"{pairs[0]} goes with its counterpart. Give --hr and --lr, or name HR folders alone.")
    if pairs and inputs:
        raise OptionError(f"{inputs[0]} and --hr exclude each other. Measure them in two runs.")
    if not pairs and not inputs:
        raise OptionError("there is nothing to measure. Name a folder of HR pictures, or give --hr and --lr.")
    if pairs and making:
        raise OptionError(f"--lr is taken as it is, and {making[0]} is about LR made of HR. Leave one of them out.")


def _check_blind(given: list[str], *, has_scale: bool, has_model: bool) -> None:
    """Refuses what has no effect without a reference.

    Raises:
        OptionError: so it does.
    """
    if given:
        raise OptionError(f"--no-reference compares with nothing, and {given[0]} is about comparing. Leave it out.")
    if has_scale and not has_model:
        raise OptionError("--scale needs something that upscales. Give a --model, or leave --scale out.")


class Counting:
    """Passes events on, notes once only, and counts what failed."""

    def __init__(self, tell: "Listener") -> None:
        from upscale_cli.events import saying_once

        self._tell, self._say = tell, saying_once(tell)
        self.failures = 0

    def __call__(self, event: "Event") -> None:
        from upscale_cli.events import Failed, Note

        if isinstance(event, Note):
            self._say(event.text)
            return
        self.failures += isinstance(event, Failed)
        self._tell(event)


def _cases(
    inputs: list[str], hr: Path | None, lr: Path | None, scales: list[int], listener: "Listener", *, blind: bool
) -> "list[Case]":
    from upscale_cli.evaluation.cases import cases_of, find_sets, pair_cases

    if hr is not None and lr is not None:
        return pair_cases(hr, lr, scales, listener)
    return cases_of(find_sets(inputs, listener), scales or [DEFAULT_SCALE], blind=blind)


def _by_group(
    cases: "list[Case]", models: "list[Contestant]", protocol: "Protocol | None", listener: "Listener", *, bar: bool
) -> "Iterator[list[Row]]":
    """The rows of one set at one scale after the other; without a protocol there is nothing to compare with."""
    from upscale_cli.evaluation.evaluate import evaluate, evaluate_blind

    for (name, scale), group in itertools.groupby(cases, key=lambda case: (case.group, case.scale)):
        tracked = _tracked(list(group), f"{name} x{scale}", bar=bar)
        if protocol is None:
            yield list(evaluate_blind(tracked, models, listener))
        else:
            yield list(evaluate(tracked, models, protocol, listener))


def _tracked(cases: "list[Case]", label: str, *, bar: bool) -> "Iterator[Case]":
    """The cases, with a bar on standard error where there is a terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    if not (bar and console.is_terminal):
        yield from cases
        return
    from rich.progress import track

    yield from track(cases, description=escape(label), console=console, transient=True)


class Result:
    """The rows, as they are wanted: tables for people, JSON lines or CSV for programs.

    Raises:
        OptionError: two things want standard output.
        OutputError: the CSV file exists already.
    """

    def __init__(self, csv_file: str | None, *, overwrite: bool, as_json: bool, per_picture: bool) -> None:
        if as_json and csv_file == STDOUT:
            raise OptionError("--json and --csv - both want standard output. Give --csv a file name.")
        self._csv, self._overwrite = csv_file, overwrite
        self._as_json, self._per_picture = as_json, per_picture
        self.rows: list[Row] = []
        if csv_file not in (None, STDOUT) and not overwrite and os.path.lexists(csv_file or ""):
            raise OutputError(f"{csv_file}: exists already. Give --overwrite to replace it, or another --csv.")

    def add(self, rows: "list[Row]") -> None:
        """One set at one scale: shown at once."""
        from upscale_cli.evaluation.rows import means

        shown = [*(rows if self._per_picture else ()), *means(rows)]
        self.rows += shown
        if self._as_json:
            for row in shown:
                event = "mean" if row.picture is None else "score"
                print(json.dumps({"event": event, **row.as_record()}), flush=True)
        elif self._csv != STDOUT and shown:
            _print(table(shown))

    def finish(self, convention: str) -> None:
        """Writes what waits for the end."""
        if self._csv == STDOUT:
            sys.stdout.write(_as_csv(self.rows))
        elif self._csv is not None:
            self._write_csv(Path(self._csv))
        if convention and self.rows and not self._as_json and self._csv != STDOUT:
            _print(convention)

    def _write_csv(self, path: Path) -> None:
        from upscale_cli.files.atomic_file import move_into_place

        part = path.with_name(f".{path.name}.part")
        try:
            part.write_text(_as_csv(self.rows), encoding="utf-8", newline="")
            move_into_place(part, path, overwrite=self._overwrite)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror}). Choose another --csv.") from error
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _as_csv(rows: "Sequence[Row]") -> str:
    """A header, then a line per row; a mean has no picture, and a figure that is not there is empty."""
    records = [row.as_record() for row in rows]
    names = dict.fromkeys(name for record in records for name in record)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*names], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def table(rows: "Sequence[Row]") -> "Table":
    """One set at one scale; rows of pictures, if there are any, above those of means."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    first, pictures = rows[0], max(row.pictures for row in rows)
    metrics = list(rows[-1].values)
    has_pictures = any(row.picture is not None for row in rows)
    scale = f" x{first.scale}" if first.scale > 1 else ""
    title = printable(f"{first.group}{scale}, {counted(pictures, 'picture')}")
    shown = Table(title=escape(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in (*(["picture"] if has_pictures else []), "model"):
        shown.add_column(name)
    for name in (*(HEADINGS[metric] for metric in metrics), "s", "MP/s"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row, following in itertools.zip_longest(rows, rows[1:]):
        missing = f" ({row.pictures} of {pictures})" if row.picture is None and row.pictures < pictures else ""
        names = [*([row.picture or "mean"] if has_pictures else []), f"{row.model}{missing}"]
        figures = [_figure(row.values[metric], DECIMALS.get(metric, 4)) for metric in metrics]
        speed = [_figure(row.seconds or None, 3), _figure(row.megapixels_per_second, 2)]
        ends = following is None or following.picture != row.picture
        shown.add_row(*map(escape, map(printable, names)), *figures, *speed, end_section=ends)
    return shown


def _figure(value: float | None, decimals: int) -> str:
    return "n/a" if value is None else f"{value:.{decimals}f}"


def _print(renderable: "Table | str") -> None:
    """On standard output. A table is never narrower than it needs: a terminal wraps a line, but shows all of it."""
    from rich.console import Console

    wide = Console(file=sys.stdout, highlight=False, width=WIDEST)
    if not sys.stdout.isatty():
        wide.print(renderable)
        return
    narrow = Console(file=sys.stdout, highlight=False)
    fits = isinstance(renderable, str) or wide.measure(renderable).maximum <= narrow.width
    (narrow if fits else wide).print(renderable)
