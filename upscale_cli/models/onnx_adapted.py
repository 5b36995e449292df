"""The graph of an ONNX file between two layers of ours, so that all nets look alike: `lr` in, `sr` out.

lr (N, C, H, W) float32 in [0, 1]  ->  what the net takes  ->  net  ->  back to  sr (N, C, scale * H, scale * W)
"""

from typing import Any, Final, Literal

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper, numpy_helper

from upscale_cli.models.onnx_file import OnnxFile, Port
from upscale_cli.models.onnx_graph import INPUT, OUTPUT

ValueRange = Literal["unit", "levels", "signed"]
"""0..1, 0..255 or -1..1."""

FACTORS: Final[dict[ValueRange, tuple[float, float]]] = {"unit": (1, 0), "levels": (255, 0), "signed": (2, -1)}
"""What values of [0, 1] are multiplied by, and what is added then."""

OWN: Final = "upscale_cli_"
"""Before the names of what is added."""

PAD_INPUTS_OPSET: Final = 11
"""From which on Pad takes its amounts as an input."""


def adapted(file: OnnxFile, given: ValueRange, made: ValueRange, margin: int = 0) -> bytes:
    """The net from `lr` to `sr`, serialised.

    Args:
        given, made: the range of the values that the net itself takes and gives; of uint8 it is always "levels".
        margin: LR pixels repeated around the picture, for nets that give so much less.
    """
    model = ModelProto()
    model.CopyFrom(file.model)
    del model.metadata_props[:], model.training_info[:], model.graph.value_info[:], model.functions[:]
    graph = model.graph
    _renamed(graph, {INPUT: f"{OWN}net_{INPUT}", OUTPUT: f"{OWN}net_{OUTPUT}"})
    before = _Layers(graph, INPUT, _name(file.picture.name))
    _enter(before, file.picture, given, margin, _opset(model))
    after = _Layers(graph, _name(file.result.name), OUTPUT)
    _leave(after, file.result, made)
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    picture = file.picture
    kept = [value for value in graph.input if value.name != _name(picture.name)]  # weights, and conditions
    del graph.input[:], graph.output[:]
    sides: list[Any] = [picture.height or "height", picture.width or "width"]
    graph.input.append(helper.make_tensor_value_info(
        INPUT, TensorProto.FLOAT, [1 if picture.one_at_a_time else "batch", picture.channels, *sides]
    ))  # fmt: skip
    graph.input.extend(kept)
    graph.output.append(helper.make_tensor_value_info(
        OUTPUT, TensorProto.FLOAT, ["sr_batch", picture.channels, "sr_height", "sr_width"]
    ))  # fmt: skip
    return bytes(model.SerializeToString())


def _opset(model: ModelProto) -> int:
    return max(int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx"))


def _name(name: str) -> str:
    """Of a tensor of the net, after ours have got theirs."""
    return f"{OWN}net_{name}" if name in (INPUT, OUTPUT) else name


def _renamed(graph: GraphProto, names: dict[str, str]) -> None:
    """Tensors by other names, in inner graphs too."""
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.type == AttributeProto.GRAPH else attribute.graphs:
                _renamed(inner, names)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)


class _Layers:
    """A chain of operators from one tensor to another.

    Args:
        graph: gets their constants.
        first, last: names of the tensors.
    """

    def __init__(self, graph: GraphProto, first: str, last: str) -> None:
        self._graph, self._at, self._last = graph, first, last
        self._prefix = f"{OWN}{first}_"
        self.nodes: list[onnx.NodeProto] = []

    def add(self, op: str, *constants: Any, **attributes: Any) -> None:
        names: list[str] = []
        for values in constants:
            names.append(f"{self._prefix}{len(self.nodes)}_{len(names)}")
            self._graph.initializer.append(numpy_helper.from_array(np.asarray(values), names[-1]))
        made = f"{self._prefix}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, [self._at, *names], [made], **attributes))
        self._at = made

    def end(self) -> None:
        self.nodes.append(helper.make_node("Identity", [self._at], [self._last]))


def _enter(layers: _Layers, port: Port, values: ValueRange, margin: int, opset: int) -> None:
    if margin:
        amounts = [0, 0, margin, margin] * 2
        if opset >= PAD_INPUTS_OPSET:
            layers.add("Pad", np.array(amounts, np.int64), mode="edge")
        else:
            layers.add("Pad", mode="edge", pads=amounts)
    factor, offset = FACTORS["levels" if port.type == "uint8" else values]
    if factor != 1:
        layers.add("Mul", np.float32(factor))
    if offset:
        layers.add("Add", np.float32(offset))
    if port.type == "uint8":  # rounded to the nearest, and cut off: a cast would do neither
        layers.add("Add", np.float32(0.5))
        layers.add("Floor")
        layers.add("Max", np.float32(0))
        layers.add("Min", np.float32(255))
    if port.type != "fp32":
        layers.add("Cast", to=TensorProto.UINT8 if port.type == "uint8" else TensorProto.FLOAT16)
    if port.layout == "nhwc":
        layers.add("Transpose", perm=[0, 2, 3, 1])
    layers.end()


def _leave(layers: _Layers, port: Port, values: ValueRange) -> None:
    if port.layout == "nhwc":
        layers.add("Transpose", perm=[0, 3, 1, 2])
    if port.type != "fp32":
        layers.add("Cast", to=TensorProto.FLOAT)
    factor, offset = FACTORS["levels" if port.type == "uint8" else values]
    if offset:
        layers.add("Sub", np.float32(offset))
    if factor != 1:
        layers.add("Mul", np.float32(1 / factor))
    layers.end()
