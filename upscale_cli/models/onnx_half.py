"""An ONNX graph in half precision, float32 on both its sides: for engines that compute in what the graph has."""

from typing import Final

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

LARGEST: Final = float(np.finfo(np.float16).max)


def halve(model: ModelProto) -> None:
    """Weights and activations become fp16, in place, between casts of what goes in and comes out.

    Args:
        model: without subgraphs; its floating values are float32.
    """
    graph = model.graph
    factors = {name for node in graph.node if node.op_type == "Resize" for name in node.input[1:3]}  # stay float32
    for tensor in graph.initializer:
        if tensor.name not in factors:
            _halve(tensor)
    for node in graph.node:
        if not factors & set(node.output):
            _halve_attributes(node)
    inside = {value.name: f"{value.name}_half" for value in (*graph.input, *graph.output)}
    for node in graph.node:
        node.input[:] = [inside.get(name, name) for name in node.input]
        node.output[:] = [inside.get(name, name) for name in node.output]
    casts = [helper.make_node("Cast", [one.name], [inside[one.name]], to=TensorProto.FLOAT16) for one in graph.input]
    nodes = [*casts, *graph.node]
    nodes += [helper.make_node("Cast", [inside[one.name]], [one.name], to=TensorProto.FLOAT) for one in graph.output]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


def _halve(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        half = np.clip(numpy_helper.to_array(tensor), -LARGEST, LARGEST).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))


def _halve_attributes(node: NodeProto) -> None:
    """Constants, and casts to float32."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.TENSOR:
            _halve(attribute.t)
        elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16
