"""Whether an exported net gives the answers of the net it was made from: asked before the file gets its name.

A trace may hold what was true of the traced picture only: a size, a branch. So it is run for other sizes, too.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from upscale_cli.errors import OutputError
from upscale_cli.export.onnx_model import OUTPUT, Traceable, example, example_sides
from upscale_cli.inference.backends import libraries
from upscale_cli.messages import option
from upscale_cli.models.interface import LoadedNet, Scale

if TYPE_CHECKING:
    import onnx

SIZES: Final = ((1, 33, 26), (2, 18, 37))
"""Batch, height and width, near which the answers are compared; odd where the net takes odd sides."""

TOLERANCE: Final = 1e-4
"""Of the greatest difference in fp32, as a part of the spread of the answer; runtimes sum in other orders."""

CLOSE_DB: Final = 50.0
"""In fp16: of the answers, as pictures; what the other half precisions are held to here."""

Values = Mapping[str, NDArray[np.float32]]
Runner = Callable[[Values], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near an exported net's answers are to torch's.

    Attributes:
        runtime: that ran it, with its version; "" where none is installed.
        error: the greatest difference, as a part of the spread of torch's answer.
        psnr: of the answers, dB, worst size; inf where nothing differs.
    """

    runtime: str
    error: float = 0.0
    psnr: float = np.inf


def onnx_runner(model: "onnx.ModelProto") -> tuple[str, Runner] | None:
    """A runtime that is installed, with its version, and what it makes of inputs; None where there is none.

    Raises:
        Exception: what the runtime raises at a model that it does not take.
    """
    data = model.SerializeToString()
    if importlib.util.find_spec("onnxruntime") is not None:
        onnxruntime = libraries.onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised, and told in one line
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return f"onnxruntime {onnxruntime.__version__}", lambda values: session.run([OUTPUT], dict(values))[0]
    return ir_runner(data, b"") if importlib.util.find_spec("openvino") is not None else None


def ir_runner(graph: bytes, weights: bytes) -> tuple[str, Runner]:
    """OpenVINO, for its own two files; an ONNX model is a graph without further weights."""
    openvino = libraries.openvino()
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(graph, weights), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    version = openvino.__version__.partition("-")[0]
    return f"openvino {version}", lambda values: compiled(dict(values))[OUTPUT]


def verified(
    load: Callable[[], tuple[str, Runner] | None], net: LoadedNet, scale: Scale, *, fp16: bool, name: str
) -> Agreement:
    """Compares a file's answers with those of the net in fp32, at sizes that it was not traced with.

    Args:
        load: gives what runs the file; None where nothing does.
        fp16: some difference is expected, and no reason to refuse.
        name: of the net, for messages.

    Raises:
        OutputError: they differ, or the runtime does not take the file.
    """
    try:
        found = load()
    except Exception as error:  # of a library: anything can fail
        raise OutputError(f"{name}: cannot be exported: what was made does not load ({_first_line(error)})") from error
    if found is None:
        return Agreement("")
    runtime, run = found
    module = Traceable(net.at(scale), fp16=False).eval()
    worst, psnr = 0.0, np.inf
    for number, height, width in SIZES:
        sides = example_sides(net.descriptor, height, width)
        values = example(net.descriptor, number, *sides)
        with torch.no_grad():
            reference = module(*map(torch.from_numpy, values.values())).numpy()
        try:
            answer = run(values)
        except Exception as error:
            raise OutputError(_depends(name, f"it fails for {sides[1]} x {sides[0]}: {_first_line(error)}")) from error
        if answer.shape != reference.shape:
            raise OutputError(_depends(name, f"for {sides[1]} x {sides[0]} its answer has another size"))
        worst, psnr = max(worst, _error(answer, reference)), min(psnr, _psnr(answer, reference))
    if not np.isfinite(worst):
        raise OutputError(f"{name}: overflows in half precision. Leave out {option('fp16')}.")
    if worst > TOLERANCE and not fp16:
        raise OutputError(_depends(name, f"its answers differ from the net's by {worst:.2g} of their spread"))
    return Agreement(runtime, worst, psnr)


def _depends(name: str, what: str) -> str:
    return (
        f"{name}: cannot be exported: {what}. What the net does depends on the size in a way that a trace does not hold"
    )


def _error(answer: NDArray[Any], reference: NDArray[Any]) -> float:
    spread = float(reference.max() - reference.min()) or 1.0
    return float(np.abs(answer - reference).max()) / spread


def _psnr(answer: NDArray[Any], reference: NDArray[Any]) -> float:
    """Of values of which 1 is white."""
    error = float(np.mean(np.square(answer.astype(np.float64) - reference)))
    return 10 * np.log10(1 / error) if error else np.inf


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200].rstrip(".") or type(error).__name__
