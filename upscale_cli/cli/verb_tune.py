"""The verbs `upscale tune` and `upscale bench`: what this machine can do with what the user has, and at all.

Imports neither torch nor numpy, so that `--help` is instant.
"""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upscale_cli.cli.flags import in_flags
from upscale_cli.cli.lines import put_error
from upscale_cli.cli.options import Device, Json, Quiet, complete_model
from upscale_cli.errors import OptionError, OutputError, printable

if TYPE_CHECKING:
    from upscale_cli.tuning.bench import Row
    from upscale_cli.tuning.look import Looked
    from upscale_cli.tuning.tune import Way


def tune(
    source: Annotated[
        Path, typer.Argument(metavar="CLIP|PHOTO", show_default=False, help="What is to be upscaled."),
    ],
    scale: Annotated[
        float | None,
        typer.Option("-s", "--scale", metavar="N", show_default=False,
                     help="Result pixels for each input pixel, along an axis. Default: 4; clips 2."),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option("--sheet", metavar="FILE", show_default=False,
                     help="Where the same piece by each model goes, a PNG. "
                     "Default: NAME_tune.png in this folder."),
    ] = None,
    no_sheet: Annotated[bool, typer.Option("--no-sheet", help="Write none.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a sheet that exists.")] = False,
    device: Device = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Look at a clip or photo, and say how to upscale it here: fast, balanced, best.

    [bold]upscale tune film.mkv[/bold]
    """
    from upscale_cli.cli.console import listening
    from upscale_cli.events import noting_once
    from upscale_cli.inference.options import UpscalerOptions
    from upscale_cli.tuning.look import look_at
    from upscale_cli.tuning.sheet import write_sheet
    from upscale_cli.tuning.trial import engines_on
    from upscale_cli.tuning.tune import check_scale, pieces, scale_for, ways

    place = None if no_sheet else sheet or Path(f"{source.stem}_tune.png")
    if place is not None:
        _check_sheet(place, overwrite=overwrite)
    options = UpscalerOptions(device=device)
    with listening(as_json=as_json, quiet=quiet) as tell:
        listener = noting_once(tell)
        _check_is_no_address(source)
        check_scale(scale)
        engines_on(device)  # what is wrong with it is said before anything is decoded
        looked = look_at(source)
        factor = scale_for(looked, scale)
        _show_look(looked, as_json=as_json, quiet=quiet)
        found = []
        for way in ways(looked, factor, options, listener):
            found.append(way)
            _show_way(way, looked, as_json=as_json)
        if place is not None:
            write_sheet(place, pieces(looked, found, factor, options), overwrite=overwrite)
            if not (as_json or quiet):
                put_error(f"{printable(str(place))}  the same piece by each model")


def _check_is_no_address(source: Path) -> None:
    """A path has lost one of an address's slashes by now. Of a drive of Windows the name is one letter."""
    scheme, colon, rest = source.as_posix().partition(":/")
    if colon and len(scheme) > 1 and not source.exists():
        raise OptionError(
            f"{scheme}://{printable(rest)}: is an address, and only files can be looked at. Fetch it first."
        )


def _check_sheet(path: Path, *, overwrite: bool) -> None:
    """Refuses a place that could not be written in the end, before anything is computed.

    Raises:
        OptionError: its name is not that of a PNG.
        OutputError: it exists, or its folder does not.
    """
    from upscale_cli.tuning.sheet import check_sheet

    name = printable(str(path))
    if path.suffix.lower() != ".png":
        raise OptionError(f"--sheet {name}: a sheet is a PNG. Give it a name in .png.")
    if not overwrite and path.is_file():
        raise OutputError(f"{name}: exists already. Give --overwrite to replace it, another --sheet, or --no-sheet.")
    check_sheet(path, overwrite=overwrite)


def _show_look(looked: "Looked", *, as_json: bool, quiet: bool) -> None:
    bits = looked.bits_per_pixel
    facts: dict[str, Any] = {
        "width": looked.width, "height": looked.height, "kind": looked.kind, "codec": looked.codec,
        "frames": looked.frames, "fps": round(looked.fps, 3), "noise": round(looked.noise, 2),
        "bits_per_pixel": bits and round(bits, 3), "repeats": round(looked.repeats, 3),
        "bars": round(looked.bars, 3),
    }  # fmt: skip
    if as_json:
        print(json.dumps({"event": "looked", "source": printable(str(looked.source)), **facts}), flush=True)
        return
    if quiet:
        return
    parts = [f"{looked.width} x {looked.height}", looked.codec if looked.kind == "clip" else str(looked.appearance)]
    if looked.kind == "clip":
        parts.append(f"{looked.frames or 'unknown many'} frames, {looked.fps:.4g} a second")
    parts.append(f"noise {looked.noise:.1f} of 255")
    if bits is not None:
        parts.append(f"{bits:.2f} bits a pixel")
    if looked.repeats:
        parts.append(f"{looked.repeats:.0%} of its frames repeat")
    if looked.bars > 0.01:
        parts.append(f"{looked.bars:.0%} black bars")
    put_error(f"{printable(str(looked.source))}: {', '.join(parts)}")


def _show_way(way: "Way", looked: "Looked", *, as_json: bool) -> None:
    from upscale_cli.text import duration

    arguments = ["-m", way.model, "-s", f"{way.scale:g}", *(["--realtime"] if way.realtime else [])]
    command = shlex.join(["upscale", str(looked.source), *arguments])
    if as_json:
        facts = {**asdict(way), "arguments": arguments, "command": command}
        print(json.dumps({"event": "tuned", **facts}), flush=True)
        return
    takes = duration(way.seconds) if way.seconds is not None else "as long as it goes on"
    rate = f"{way.fps:.3g} frames a second, " if looked.kind == "clip" else ""
    how = (
        f"measured on {way.frames} frames" if way.frames > 1 else "measured" if way.frames else "reckoned from a piece"
    )
    print(f"\n{way.name:<9} {printable(command)}")
    print(f"{'':<9} {rate}{takes} in all, {how}")
    for trial in way.trials:
        speed = f"{trial.sr_megapixels_per_second:.3g} MP/s"
        print(f"{'':<9} {trial.engine} {trial.precision}: {speed} of the result, without files")
    sys.stdout.flush()


def bench(
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", autocompletion=complete_model, show_default=False,
                     help="One model. Default: all that are on this machine."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:  # fmt: skip
    """Time the models on this machine by engine and precision: speed, memory, start.

    [bold]upscale bench[/bold]
    """
    from upscale_cli.models.registry import kernel_named, named, rows_of
    from upscale_cli.tuning.bench import models_here, rows
    from upscale_cli.tuning.trial import engines_on

    models = models_here()
    if model is not None:
        if kernel_named(model):
            raise OptionError(f"-m {model} is no net, so there is nothing to time. Choose another.")
        rows_of(model)  # an unknown one is an error
        models = [row for row in models if row[0] == named(model)[0]]
        if not models:
            raise OptionError(f"-m {printable(model)} has no checkpoint here. Fetch it: upscale models fetch {model}")
    engines = engines_on(device)  # a device that is not here is an error, and not one of every row
    if not as_json:
        print(f"{'model':<24}{'engine':<18}{'in':<6}{'MP/s in':>9}{'MP/s out':>10}{'start s':>9}{'MB':>7}", flush=True)
    for row in rows(models, engines, device):
        _show_row(row, as_json=as_json)


def _show_row(row: "Row", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"event": "benched", **asdict(row), "failure": in_flags(row.failure)}), flush=True)
        return
    name = f"{row.model} x{row.scale}"
    if row.failure:
        print(f"{name:<24}{row.engine:<18}{row.precision:<6} {printable(in_flags(row.failure))}", flush=True)
        return
    figures = f"{row.lr_megapixels_per_second:>9.3g}{row.sr_megapixels_per_second:>10.3g}"
    print(
        f"{name:<24}{row.engine:<18}{row.precision:<6}{figures}{row.start_seconds:>9.2f}{row.peak_megabytes:>7.0f}",
        flush=True,
    )
