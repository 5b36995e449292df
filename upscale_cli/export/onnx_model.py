"""A net as an ONNX model for other programs: for pictures of any size and number, and with what there is to know of it.

Three ways lead there, and the first that knows the net is taken: our own translation, torch's tracing exporter, and
torch's newer one. What is written into `metadata_props` is listed in docs/export.md.
"""

import importlib.util
import io
import warnings
from collections.abc import Mapping
from typing import Any, Final
from unittest import mock

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from upscale_cli._version import __version__
from upscale_cli.errors import OutputError
from upscale_cli.export.chain_net import module_of
from upscale_cli.messages import option
from upscale_cli.models import onnx_graph
from upscale_cli.models.interface import SCALE_INPUT, Descriptor, InputSpec, LoadedNet, Scale
from upscale_cli.models.onnx_facts import described
from upscale_cli.models.onnx_half import halve

INPUT: Final = "input"
OUTPUT: Final = "output"


ANY_LENGTH: Final = 5
"""Of an axis of a condition that may have any length, in what is traced and tried."""

LARGEST_BYTES: Final = 2**31 - 1
"""Of a protobuf message, which a model is."""


class Traceable(nn.Module):
    """A net of one scale with its inputs in order; float32 goes in and out, whatever it computes in.

    Args:
        net: it.
        fp16: compute in half precision.
    """

    def __init__(self, net: LoadedNet, *, fp16: bool) -> None:
        super().__init__()
        self.net = module_of(net)
        self._dtype = torch.float16 if fp16 else torch.float32
        self.net.to(self._dtype)
        self._conditions = [spec.name for spec in conditions_of(net.descriptor)]

    def forward(self, lr: Tensor, *conditions: Tensor) -> Tensor:
        given = {name: value.to(self._dtype) for name, value in zip(self._conditions, conditions, strict=True)}
        out: Tensor = self.net(lr.to(self._dtype), **given)
        return out.float()


def conditions_of(net: Descriptor) -> list[InputSpec]:
    """What an exported net takes in addition to the picture: the scale is no part of it, it is that of the file."""
    return [spec for spec in net.inputs if spec.name != SCALE_INPUT]


def example(net: Descriptor, number: int, height: int, width: int) -> dict[str, NDArray[np.float32]]:
    """Random pictures and conditions of a batch, by the names of the exported inputs.

    Returns:
        (number, C, height, width) in [0, 1], and (number, ...) within the bounds of each `InputSpec`.
    """
    rng = np.random.default_rng(number * height + width)
    values = {INPUT: rng.random((number, net.channels, height, width), dtype=np.float32)}
    for spec in conditions_of(net):
        sides = [spec.shape[0], height, width] if spec.tiled else spec.shape
        shape = (number, *(ANY_LENGTH if side is None else side for side in sides))
        least = 0.0 if spec.least is None else spec.least
        most = least + 1 if spec.most is None else spec.most
        values[spec.name] = (least + (most - least) * rng.random(shape)).astype(np.float32)
    return values


def example_sides(net: Descriptor, *lengths: int) -> list[int]:
    """Sides near these that the net takes: multiples of what theirs must be, and no less than the least."""
    return [-(-max(length, net.least_side) // net.multiple_of) * net.multiple_of for length in lengths]


def exported_model(
    net: LoadedNet, scale: Scale, facts: Mapping[str, str], *, fp16: bool = False, name: str = "net"
) -> onnx.ModelProto:
    """The net as an ONNX model.

    Args:
        scale: of the pass.
        facts: that go into its metadata, after those of the descriptor.
        fp16: weights and computation in half precision; inputs and output stay float32.
        name: of the graph.

    Raises:
        OutputError: the net does something that ONNX has no operator for, or is too large.
    """
    if any(spec.kind == "reference" for spec in net.descriptor.inputs):
        raise OutputError(
            f"{name}: copies from a second picture, which is brought over each picture first: no file for other "
            f"programs can hold that. Upscale with it here, with {option('reference', 'PICTURE')}."
        )
    net = net.at(scale)
    model = _translated(net, fp16=fp16) or _by_torch(net, fp16=fp16, name=name)
    if model.ByteSize() > LARGEST_BYTES:
        raise OutputError(
            f"{name}: has {model.ByteSize() / 1e9:.1f} GB of weights, and an ONNX file holds up to 2.1 GB"
        )
    model.producer_name, model.producer_version = "upscale-cli", __version__
    model.graph.name = name
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {**described(net.descriptor, scale, fp16=fp16), **facts})
    onnx.checker.check_model(model)
    return model


def of_one_size(model: onnx.ModelProto, height: int, width: int, scale: Scale) -> onnx.ModelProto:
    """The model for single pictures of one size: what programs want that know no free axes."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    sides = {"batch": 1, "height": height, "width": width}
    for value in fixed.graph.input:
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param in sides:
                axis.dim_value = sides[axis.dim_param]
    output = fixed.graph.output[0].type.tensor_type.shape.dim
    output[0].dim_value = 1
    if isinstance(scale, int):
        output[2].dim_value, output[3].dim_value = height * scale, width * scale
    del fixed.graph.value_info[:]  # what was inferred of free axes
    onnx.helper.set_model_props(fixed, {prop.key: prop.value for prop in model.metadata_props} | {
        "input_size": f"{width}x{height}"
    })  # fmt: skip
    onnx.checker.check_model(fixed)
    return fixed


def _translated(net: LoadedNet, *, fp16: bool) -> onnx.ModelProto | None:
    """By `models.onnx_graph`, in a moment; None where it does not know the net."""
    try:
        model = onnx_graph.onnx_model(net, module_of(net))
    except Exception:  # it runs the net's own code on what stands for tensors: anything can fail, and tracing may not
        return None
    _rename(model, {onnx_graph.INPUT: INPUT, onnx_graph.OUTPUT: OUTPUT})
    if fp16:
        halve(model)
    return model


def _rename(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)


def _by_torch(net: LoadedNet, *, fp16: bool, name: str) -> onnx.ModelProto:
    """By one of torch's exporters."""
    module = Traceable(net, fp16=fp16).eval()
    height, width = example_sides(net.descriptor, 19, 23)
    values = example(net.descriptor, 2, height, width)
    arguments: dict[str, Any] = {
        "args": tuple(torch.from_numpy(value) for value in values.values()), "opset_version": onnx_graph.OPSET,
        "input_names": list(values), "output_names": [OUTPUT],
    }  # fmt: skip
    try:
        return onnx.load_model_from_string(_by_tracing(module, net.descriptor, arguments))
    except Exception as error:  # code of the net, of torch, of plugins: anything can fail
        if importlib.util.find_spec("onnxscript") is None:
            raise OutputError(
                f"{name}: cannot be written as ONNX: {_reason(error)}. Another exporter of torch's may know how: "
                "pip install onnxscript"
            ) from error
        return _by_torch_export(module, net.descriptor, arguments, name)


def _reason(error: Exception) -> str:
    """The first line of what torch says, without the advice that follows."""
    first = str(error).strip().partition("\n")[0].partition(". ")[0]
    return first[:200].rstrip(".") or type(error).__name__


def _nothing(*_: object) -> None:
    """Says nothing."""


def _by_tracing(module: nn.Module, net: Descriptor, arguments: Mapping[str, Any]) -> bytes:
    """torch's older exporter, which needs no other library."""
    stream = io.BytesIO()
    # Where it fails, torch 2.13 prints its whole graph, whatever `verbose` says.
    with mock.patch.object(torch._C, "_jit_onnx_log", _nothing, create=True), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older one; and of constants, which `verify` finds out
        torch.onnx.export(
            module,
            f=stream,  # type: ignore[arg-type]  # it takes streams, which its type does not say
            dynamo=False,
            dynamic_axes=_axes(net),
            **arguments,
        )
    return stream.getvalue()


def _axes(net: Descriptor) -> dict[str, dict[int, str]]:
    """Which axes may have any length, and what they are called."""
    axes = {INPUT: {0: "batch", 2: "height", 3: "width"}, OUTPUT: {0: "batch", 2: "out_height", 3: "out_width"}}
    for spec in conditions_of(net):
        names = {at: f"{spec.name}_{at}" for at, side in enumerate(spec.shape, start=1) if side is None}
        axes[spec.name] = {0: "batch", **({2: "height", 3: "width"} if spec.tiled else names)}
    return axes


def _by_torch_export(module: nn.Module, net: Descriptor, arguments: Mapping[str, Any], name: str) -> onnx.ModelProto:
    """torch's newer exporter, which knows more operators."""
    names = arguments["input_names"]
    axes = {given: dict.fromkeys(_axes(net)[given], torch.export.Dim.DYNAMIC) for given in names}
    first, *others = (axes[given] for given in names)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own code: nothing a user could act on
            program = torch.onnx.export(
                module, dynamo=True, dynamic_shapes=(first, tuple(others)), verbose=False,
                **arguments,
            )  # fmt: skip
        assert program is not None
        return program.model_proto
    except Exception as error:
        raise OutputError(f"{name}: cannot be written as ONNX: {_reason(error)}") from error
