"""The verb `upscale export`: which net, as what, where to; it calls one function, and shows what was made.

Imports neither torch nor numpy, so that `--help` is instant.
"""

import json
import math
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from upscale_cli.cli.licences import ask_for_licences
from upscale_cli.cli.lines import put_error
from upscale_cli.cli.options import Json, Quiet, complete_model
from upscale_cli.errors import OptionError, printable
from upscale_cli.export.formats import Format

if TYPE_CHECKING:
    from upscale_cli.export.exporter import Export


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", autocompletion=complete_model, show_default=False,
            help="As -m takes it: a name (upscale models list), omdb:ID, a checkpoint, or a chain or mix of these.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", show_default=False,
            help="net.onnx, net.xml (OpenVINO, with net.bin), net.glsl (mpv) or net.safetensors, or a folder/. "
            "Default: MODEL-x4.onnx.",
        ),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(
            "-s", "--scale", show_default=False,
            help="Of a model that has several. Default: 4, or its largest; for mpv 2.",
        ),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            "-f", "--format", metavar="NAME", show_default=False,
            help="onnx, openvino, mpv or safetensors. Default: by the ending of the output, else onnx.",
        ),
    ] = None,
    denoise: Annotated[
        float, typer.Option("--denoise", help="0 keeps grain and noise, 1 removes them (realesr-general).")
    ] = 1.0,
    strength: Annotated[
        float | None,
        typer.Option("--strength", show_default=False, help="0 is faithful, 1 crisp (photo-lite)."),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Weights in half precision: half the size.")] = False,
    input_size: Annotated[
        str | None,
        typer.Option(
            "--input-size", metavar="WxH", show_default=False,
            help="The only size it takes, for programs that want one (ffmpeg's dnn_processing). Default: any.",
        ),
    ] = None,
    full_range: Annotated[
        bool, typer.Option("--full-range", help="Of a shader: for clips whose black is 0, where others have 16.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output that exists.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:  # fmt: skip
    """Write a net as a file for other programs: ONNX, OpenVINO, a shader for mpv, safetensors.

    [bold]upscale export realesr-general -o net.onnx[/bold], [bold]upscale export espcn -o espcn.glsl[/bold]
    """
    from upscale_cli.cli.console import listening
    from upscale_cli.export.exporter import export_model

    with listening(as_json=as_json, quiet=quiet) as listener:
        ask_for_licences([model], listener)
        made = export_model(
            model, output, scale=scale, format=format, denoise=denoise, strength=strength, fp16=fp16,
            input_size=_size_of(input_size), full_range=full_range, overwrite=overwrite, listener=listener,
        )  # fmt: skip
    if as_json:
        print(json.dumps(as_record(made)))
    elif not quiet:
        put_error(in_words(made))


def _size_of(text: str | None) -> tuple[int, int] | None:
    """`--input-size`: width and height.

    Raises:
        OptionError: no such thing.

    >>> _size_of("960x540")
    (960, 540)
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text.strip().lower())
    if not match:
        raise OptionError(f"--input-size {text!r} is no size. Write WIDTHxHEIGHT, such as 960x540.")
    return int(match[1]), int(match[2])


def in_words(made: "Export") -> str:
    """What was made, for a person."""
    from upscale_cli.text import amount, duration

    files = " and ".join(printable(str(path)) for path in made.files)
    takes = f", takes {', '.join(made.inputs)}" if len(made.inputs) > 1 else ""
    agreement = made.agreement
    checked = ""
    if agreement and agreement.runtime:
        near = "answers alike" if math.isinf(agreement.psnr) else f"answers to {agreement.psnr:.0f} dB alike"
        checked = f"; {near} in {agreement.runtime}"
    return f"{files}  {made.title}, {made.precision}{takes}, {amount(made.size)}{checked}  {duration(made.seconds)}"


def as_record(made: "Export") -> dict[str, Any]:
    """For `--json`: {"event": "exported", ...}."""
    agreement = made.agreement
    return {
        "event": "exported",
        "output": printable(str(made.output)),
        "files": [printable(str(path)) for path in made.files],
        "format": made.format,
        "model": made.title,
        "precision": made.precision,
        "inputs": list(made.inputs),
        "bytes": made.size,
        "checked_by": agreement.runtime if agreement else "",
        "error": agreement.error if agreement else None,
        "psnr": agreement.psnr if agreement and not math.isinf(agreement.psnr) else None,
        "seconds": made.seconds,
    }
