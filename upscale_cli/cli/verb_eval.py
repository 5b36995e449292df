"""`upscale eval`: options in, a table out. Imports no torch until the options are known to make sense."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from upscale_cli.cli.eval_clips import check_clips, check_reference, clips_among, measure_clips, measure_ready
from upscale_cli.cli.eval_options import RESULT, WITHOUT_REFERENCE, LrGroup, MetricsGroup
from upscale_cli.cli.eval_result import Result
from upscale_cli.cli.grouped import grouped
from upscale_cli.cli.licences import ask_for_licences
from upscale_cli.cli.option_values import conditions
from upscale_cli.cli.options import (
    MODEL,
    Denoise,
    Device,
    Engine,
    Halo,
    Overlap,
    Precision,
    Strength,
    Tile,
    Tta,
    complete_model,
)
from upscale_cli.errors import OptionError
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.models.input_spec import Sampling

if TYPE_CHECKING:
    from upscale_cli.evaluation.cases import Case
    from upscale_cli.evaluation.contestants import Contestant
    from upscale_cli.evaluation.reference import Protocol
    from upscale_cli.evaluation.rows import Row
    from upscale_cli.events import Event, Listener
    from upscale_cli.inference.upscaler import Upscaler

DEFAULT_SCALE: Final = 4

PICTURES = "Pictures"


@grouped
def evaluate(
    lr_made: LrGroup,
    measured: MetricsGroup,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="HR", show_default=False,
                       help="Folders of HR pictures, single ones, or clips; with --reference a result."),
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
                     help="HR pixels per LR pixel; repeatable. Default: 4; clips 2; with --lr, by the sizes."),
    ] = None,
    per_picture: Annotated[
        bool, typer.Option("--per-picture", rich_help_panel=RESULT,
                     help="A row for each picture, too; with --json and --csv of "
                     "each frame.")
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
        Sampling,
        typer.Option("--kernel-sampling", rich_help_panel=MODEL,
                     help="How the picture was shrunk after the blur, for nets that know; every: every n-th pixel."),
    ] = "bicubic",
    wrap: Annotated[
        bool, typer.Option("--wrap", rich_help_panel=MODEL, help="Edges continue on the other side, as with --lr-blur.")
    ] = False,
    denoise: Denoise = 1.0,
    strength: Strength = None,
    tta: Tta = False,
    tile: Tile = 0,
    overlap: Overlap = None,
    halo: Halo = None,
    device: Device = "auto",
    engine: Engine = "auto",
    precision: Precision = "auto",
) -> None:  # fmt: skip
    """Measure how well models upscale: PSNR, SSIM, MS-SSIM and more; of clips VMAF and XPSNR; NIQE without a reference.

    HR is shrunk as the field does it, upscaled again as users get it, and compared.

    [bold]upscale eval Set5 Set14 -m espcn -s 2 -s 3[/bold]
    [bold]upscale eval --hr HR --lr LR -m my.pth[/bold]
    [bold]upscale eval clip.mp4 -m espcn[/bold]
    [bold]upscale eval result.mp4 --reference hr.mp4[/bold]
    """
    from upscale_cli.cli.console import listening

    with listening(as_json=as_json, quiet=quiet) as tell:
        lr_made.check()
        _check_pictures(inputs or [], hr, lr, lr_made.making, blind=no_reference)
        options = UpscalerOptions(
            device=device,
            engine=engine,
            precision=precision,
            tile=tile,
            overlap=overlap,
            halo=halo,
            tta=tta,
            denoise=denoise,
            strength=strength,
            conditions=conditions(condition or []),
            kernel=kernel,
            noise=noise,
            kernel_sampling=kernel_sampling,
            wrap=wrap,
        )
        result = Result(csv_file, overwrite=overwrite, as_json=as_json, per_picture=per_picture)
        listener = Counting(tell)
        if measured.reference is not None:
            making = [*lr_made.making, *_given({"--scale": bool(scale), "--no-reference": no_reference})]
            check_reference(inputs or [], measured.reference, model or [], others=making)
            measure_ready((inputs or [""])[0], measured.reference, lr_made, measured, result, listener)
        elif clips := clips_among(inputs or []):
            check_clips(lr_made, no_reference=no_reference)
            # LR is as if from a lossless file, and the choice of a model goes by that.
            ready = _models(model or [None], replace(options, clip_codec="ffv1"), listener)
            measure_clips(clips, list(dict.fromkeys(scale or [])), ready, measured, result, listener)
        else:
            _check_measured(measured, lr_made, blind=no_reference, has_scale=bool(scale), has_model=bool(model))
            as_they_are = no_reference and not model
            ready = _models([] if as_they_are else model or [None], options, listener)
            extra = [name for name in measured.of_pictures() if not (no_reference and name == "niqe")]
            protocol = lr_made.protocol(extra)
            scales = [1] if as_they_are else list(dict.fromkeys(scale or []))
            models, bar = ready(), not (quiet or as_json)
            cases = _cases(inputs or [], hr, lr, scales, listener, blind=no_reference)
            for rows in _by_group(cases, models, protocol, listener, bar=bar, blind=no_reference):
                result.add(rows)
            if not no_reference:
                result.say(lr_made.described(lr_is_given=lr is not None))
        result.finish()
    if listener.failures or result.is_empty:
        raise typer.Exit(1)


def _models(
    names: Sequence[str | None], options: UpscalerOptions, listener: "Listener"
) -> "Callable[[], list[Contestant]]":
    """What makes the models ready to be measured, once nothing is left to be refused: torch comes with it."""

    def make() -> "list[Contestant]":
        from upscale_cli.evaluation.contestants import contestants
        from upscale_cli.inference.upscaler import Recipe

        plain = replace(
            options, denoise=1.0, strength=None, conditions=None, kernel=None, noise=None, kernel_sampling="bicubic"
        )

        def upscaler(name: str | None) -> "Upscaler":
            return Recipe(name, plain if name == "bicubic" else options).make(listener)

        ask_for_licences([name for name in names if name], listener)
        return contestants(names, upscaler, listener) if names else []

    return make


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


def _check_measured(measured: MetricsGroup, lr_made: LrGroup, *, blind: bool, has_scale: bool, has_model: bool) -> None:
    """Refuses what has no effect on pictures, or none without a reference.

    Raises:
        OptionError: so it does.
    """
    if measured.frames is not None:
        raise OptionError("--frames is for clips. Leave it out.")
    names = measured.names
    if not blind:
        return
    lpips = ["--lpips"] if measured.lpips else []
    compares = [f"--metrics {name}" for name in names if name not in WITHOUT_REFERENCE]
    given = [*lr_made.making, *lr_made.comparing, *lpips, *compares]
    if given:
        raise OptionError(f"--no-reference compares with nothing, and {given[0]} is about comparing. Leave it out.")
    if has_scale and not has_model:
        raise OptionError("--scale needs something that upscales. Give a --model, or leave --scale out.")


class Counting:
    """Passes events on, notes once only, and counts what failed; what fails alike with several models is told once."""

    def __init__(self, tell: "Listener") -> None:
        from upscale_cli.events import noting_once

        self._tell = noting_once(tell)
        self.failures = 0
        self._failed: set[tuple[str, str]] = set()

    def __call__(self, event: "Event") -> None:
        from upscale_cli.events import Failed

        if isinstance(event, Failed):
            self.failures += 1
            if (event.source, event.message) in self._failed:
                return
            self._failed.add((event.source, event.message))
        self._tell(event)


def _cases(
    inputs: list[str], hr: Path | None, lr: Path | None, scales: list[int], listener: "Listener", *, blind: bool
) -> "list[Case]":
    from upscale_cli.evaluation.cases import cases_of, find_sets, pair_cases

    if hr is not None and lr is not None:
        return pair_cases(hr, lr, scales, listener)
    return cases_of(find_sets(inputs, listener), scales or [DEFAULT_SCALE], blind=blind)


def _by_group(
    cases: "list[Case]",
    models: "list[Contestant]",
    protocol: "Protocol",
    listener: "Listener",
    *,
    bar: bool,
    blind: bool,
) -> "Iterator[list[Row]]":
    """The rows of one set at one scale after the other; blind: there is nothing to compare with."""
    from upscale_cli.evaluation.evaluate import evaluate, evaluate_blind

    for (name, scale), group in itertools.groupby(cases, key=lambda case: (case.group, case.scale)):
        tracked = _tracked(list(group), f"{name} x{scale}", bar=bar)
        if blind:
            yield list(evaluate_blind(tracked, models, listener, protocol.metrics))
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
