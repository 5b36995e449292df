"""A net as a file for other programs: chosen, converted, checked, and only then given its name.

name or checkpoint  ->  LoadedNet  ->  ONNX  ->  the same answers?  ->  .onnx | .xml and .bin | .glsl
                            ->  read back: the same net?  ->  .safetensors
"""

import importlib.util
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from upscale_cli.errors import OptionError, OutputError
from upscale_cli.events import Listener, Note, ignore
from upscale_cli.export.chain_net import parts_of
from upscale_cli.export.choice import Choice, chosen
from upscale_cli.export.formats import ENDINGS, USUAL_SCALES, Format
from upscale_cli.files.atomic_file import OutputFile
from upscale_cli.messages import option
from upscale_cli.models.asked import JOINS
from upscale_cli.models.interface import scales_named

if TYPE_CHECKING:
    from upscale_cli.export.verify import Agreement

LARGE: Final = 20_000_000
"""Weights of a net whose export is reported to take a while: some ten seconds and more."""


@dataclass(frozen=True, slots=True)
class Export:
    """What was made.

    Attributes:
        output: the file; of OpenVINO's two the graph.
        files: all of them.
        title: the model and its scale.
        inputs: what it takes, by name.
        size: bytes of all files.
        agreement: with the net that it was made from; None of a shader, which nothing here runs.
    """

    output: Path
    files: tuple[Path, ...]
    format: Format
    title: str
    precision: Literal["fp16", "fp32"]
    inputs: tuple[str, ...]
    size: int
    agreement: "Agreement | None"
    seconds: float


def export_model(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    scale: float | None = None,
    format: Format | None = None,
    denoise: float = 1.0,
    strength: float | None = None,
    fp16: bool = False,
    input_size: tuple[int, int] | None = None,
    full_range: bool = False,
    overwrite: bool = False,
    listener: Listener = ignore,
) -> Export:
    """Writes a net as a file that other programs run (docs/export.md).

    Args:
        model: a name, or the path of any checkpoint; several, mixed or in a chain, as `Upscaler` takes them.
        output: a file, or a folder; None: MODEL-x4.onnx in the current one.
        scale: of the net, where it has several; None: 4 if it has that, else its largest; for mpv 2.
        format: "onnx", "openvino" (two files), "mpv" (a shader) or "safetensors" (a checkpoint); None: by the ending of
            `output`.
        denoise: 0 to 1; below 1 the weights are blended with those of a second checkpoint, where there is one.
        strength: 0 to 1; how much of a crisp checkpoint's weights is mixed in, where there is one.
        fp16: weights in half precision; of ONNX the computation, too. Inputs and output are float32 all the same.
        input_size: width and height of the only pictures that ONNX and OpenVINO files then take, one at a time: for
            programs that know no free sizes; None: any size and number.
        full_range: a shader for clips whose black is 0; else for those whose black is 16, as nearly all are.
        overwrite: replace what is there.
        listener: receives what the user should know.

    Raises:
        OptionError: options that do not go together.
        CheckpointError: as in `Upscaler`.
        OutputError: the net cannot be written in that format, or the file not there.
    """
    begin = time.perf_counter()
    chosen_format = _format(output, format)
    _check_options(chosen_format, fp16=fp16, input_size=input_size, full_range=full_range)
    _check_libraries(chosen_format)
    early = _place(output, chosen_format)
    if early is not None:
        _check_free(early, chosen_format, overwrite=overwrite)
    choice = chosen(str(model), scale, USUAL_SCALES[chosen_format], listener, denoise=denoise, strength=strength)
    _check_size(choice, input_size)
    place = early or _named_after(choice, chosen_format, output)
    _check_free(place, chosen_format, overwrite=overwrite)
    if _weights(choice) > LARGE:
        listener(Note(f"{choice.title} is a large net: tracing and checking it takes a while."))
    if chosen_format == "mpv":
        made = _make_mpv(choice, full_range=full_range)
    else:
        made = _MAKERS[chosen_format](choice, fp16=fp16, input_size=input_size)
    for text in _notes(made.agreement, fp16=fp16):
        listener(Note(text))
    _write(place, made.contents, overwrite=overwrite)
    return Export(
        output=place, files=_files(place, chosen_format), format=chosen_format, title=choice.title,
        precision="fp16" if fp16 else "fp32", inputs=made.inputs, size=sum(map(len, made.contents)),
        agreement=made.agreement, seconds=time.perf_counter() - begin,
    )  # fmt: skip


def _format(output: str | os.PathLike[str] | None, given: Format | None) -> Format:
    """The format that is meant.

    Raises:
        OptionError: none, or two of them.
    """
    ending = "" if output is None or _is_folder(output) else Path(output).suffix.lower()
    by_ending = next((name for name, of_it in ENDINGS.items() if of_it == ending), None)
    if given is None and ending and by_ending is None:
        raise OptionError(
            f"{option('output', output)}: what {ending} is to hold is not known. End it in .onnx, .xml (OpenVINO), "
            f".glsl (mpv) or .safetensors, or give {option('format')}."
        )
    if given is not None and given not in ENDINGS:
        raise OptionError(f"{option('format', given)} is none that nets are written in. Choose {', '.join(ENDINGS)}.")
    needs_ending = given == "openvino" and ending  # OpenVINO goes by it to find the weights
    if given is not None and by_ending != given and (by_ending is not None or needs_ending):
        raise OptionError(
            f"{option('output', output)} does not end as {option('format', given)} does. End it in {ENDINGS[given]}."
        )
    return given or by_ending or "onnx"


def _check_options(format: Format, *, fp16: bool, input_size: tuple[int, int] | None, full_range: bool) -> None:
    """Refuses options of another format.

    Raises:
        OptionError: one is given.
    """
    if fp16 and format == "mpv":
        raise OptionError(f"{option('fp16')} is not for shaders, whose numbers are text. Leave it out.")
    if input_size and format in ("mpv", "safetensors"):
        raise OptionError(f"{option('input_size')} is for ONNX and OpenVINO: others take any. Leave it out.")
    if input_size and min(input_size) < 1:
        raise OptionError(f"{option('input_size', _size(input_size))} is no picture. Give at least 1x1.")
    if full_range and format != "mpv":
        raise OptionError(f"{option('full_range')} is for shaders. Leave it out, or choose {option('format', 'mpv')}.")


def _size(input_size: tuple[int, int]) -> str:
    return f"{input_size[0]}x{input_size[1]}"


def _check_size(choice: Choice, input_size: tuple[int, int] | None) -> None:
    """Refuses a size that the net does not take.

    Raises:
        OptionError: so it is.
    """
    net = choice.net.descriptor
    if input_size and (min(input_size) < net.least_side or any(side % net.multiple_of for side in input_size)):
        raise OptionError(
            f"{option('input_size', _size(input_size))}: {choice.title} takes sides of at least {net.least_side} that "
            f"are multiples of {net.multiple_of}. Choose another."
        )


def _weights(choice: Choice) -> int:
    return sum(tensor.numel() for part in parts_of(choice.net) for tensor in part.state_dict.values())


def _is_folder(output: str | os.PathLike[str]) -> bool:
    return os.fspath(output).endswith(("/", os.sep)) or Path(output).is_dir()


def _place(output: str | os.PathLike[str] | None, format: Format) -> Path | None:
    """The file, where its name does not wait for the net's."""
    if output is None or _is_folder(output):
        return None
    if os.fspath(output) == "-":
        raise OptionError(f"{option('output', '-')}: the result has to be a file. Name one.")
    path = Path(output)
    return path if path.suffix else path.with_name(path.name + ENDINGS[format])


def _named_after(choice: Choice, format: Format, output: str | os.PathLike[str] | None) -> Path:
    name = f"{choice.name.replace(JOINS, '-')}-{scales_named((choice.scale,))}{ENDINGS[format]}"
    return Path(output) / name if output is not None else Path(name)


def _files(place: Path, format: Format) -> tuple[Path, ...]:
    return (place, place.with_suffix(".bin")) if format == "openvino" else (place,)


def _check_free(place: Path, format: Format, *, overwrite: bool) -> None:
    """Refuses what could not be written in the end, before anything is computed.

    Raises:
        OutputError: so it is.
    """
    for path in _files(place, format):
        OutputFile(path, overwrite=overwrite)


def _check_libraries(format: Format) -> None:
    """Refuses a format for which a library is missing.

    Raises:
        OptionError: one is.
    """
    if format == "openvino" and importlib.util.find_spec("openvino") is None:
        raise OptionError(
            f"{option('format', format)} needs openvino, not installed here. "
            'Get it with pip install "upscale-cli[openvino]".'
        )


@dataclass(frozen=True, slots=True)
class _Made:
    """What a format's maker gives: the contents of each file, by what names the net takes its inputs, how it agrees."""

    contents: tuple[bytes, ...]
    inputs: tuple[str, ...]
    agreement: "Agreement | None" = None


def _make_onnx(choice: Choice, *, fp16: bool, input_size: tuple[int, int] | None) -> _Made:
    from upscale_cli.export.onnx_model import exported_model, of_one_size
    from upscale_cli.export.verify import onnx_runner, verified

    model = exported_model(choice.net, choice.scale, choice.facts, fp16=fp16, name=choice.title)
    agreement = verified(lambda: onnx_runner(model), choice.net, choice.scale, fp16=fp16, name=choice.title)
    if input_size:
        model = of_one_size(model, input_size[1], input_size[0], choice.scale)
    return _Made((model.SerializeToString(),), tuple(value.name for value in model.graph.input), agreement)


def _make_openvino(choice: Choice, *, fp16: bool, input_size: tuple[int, int] | None) -> _Made:
    from upscale_cli.export.onnx_model import exported_model, of_one_size
    from upscale_cli.export.openvino_ir import openvino_ir
    from upscale_cli.export.verify import ir_runner, verified

    model = exported_model(choice.net, choice.scale, choice.facts, name=choice.title)
    graph, weights = openvino_ir(model, fp16=fp16)
    agreement = verified(lambda: ir_runner(graph, weights), choice.net, choice.scale, fp16=fp16, name=choice.title)
    if input_size:
        graph, weights = openvino_ir(of_one_size(model, input_size[1], input_size[0], choice.scale), fp16=fp16)
    return _Made((graph, weights), tuple(value.name for value in model.graph.input), agreement)


def _make_mpv(choice: Choice, *, full_range: bool) -> _Made:
    from upscale_cli.export.mpv_shader import MOST_WEIGHTS, mpv_shader
    from upscale_cli.export.onnx_model import exported_model
    from upscale_cli.export.shader_layers import UnshadableError, shader_net
    from upscale_cli.models.onnx_facts import described

    facts = choice.net.descriptor
    weights = _weights(choice)
    try:
        if facts.colour != "luma":
            raise UnshadableError(f"it works on {facts.colour}, and shaders are made of nets that work on brightness")
        if weights > MOST_WEIGHTS:
            raise UnshadableError(f"it has {weights:,} weights, and more than {MOST_WEIGHTS:,} are too slow for a clip")
        model = exported_model(choice.net, choice.scale, choice.facts, name=choice.title)
        net = shader_net(model, int(choice.scale), facts.channels)
    except UnshadableError as error:
        raise OutputError(
            f"{choice.title}: cannot be written as a shader: {error}. Choose {option('format', 'onnx')}."
        ) from error
    stated = {**described(facts, choice.scale, fp16=False), **choice.facts}
    text = mpv_shader(net, stated, title=choice.title, luma_range=facts.luma_range, full_range=full_range)
    return _Made((text.encode(),), ("LUMA",))


def _make_safetensors(choice: Choice, *, fp16: bool, input_size: None) -> _Made:  # noqa: ARG001  # as the others
    from upscale_cli.export.checkpoint import checkpoint_bytes

    inputs = ("lr", *(spec.name for spec in choice.net.descriptor.inputs))
    return _Made((checkpoint_bytes(choice.net, choice.facts, title=choice.name, fp16=fp16),), inputs)


_MAKERS: Final[dict[Format, Callable[..., _Made]]] = {
    "onnx": _make_onnx,
    "openvino": _make_openvino,
    "safetensors": _make_safetensors,
}


def _write(place: Path, contents: tuple[bytes, ...], *, overwrite: bool) -> None:
    if len(contents) == 1:
        with OutputFile(place, overwrite=overwrite) as stream:
            stream.write(contents[0])
        return
    from upscale_cli.export.openvino_ir import write_pair

    graph, weights = contents
    write_pair(place, graph, weights, overwrite=overwrite)


def _notes(agreement: "Agreement | None", *, fp16: bool) -> list[str]:
    """What the user should know of a file that is good enough to be written."""
    from upscale_cli.export.verify import CLOSE_DB

    if agreement is None:
        return []
    if not agreement.runtime:
        return ["neither onnxruntime nor openvino is installed here: whether the file gives the net's answers was "
                "not tried."]  # fmt: skip
    if fp16 and agreement.psnr < CLOSE_DB:
        return [f"in half precision its answers are {agreement.psnr:.0f} dB from those in full precision."]
    return []
