"""How large the tensors of an ONNX graph are for a picture of some size, without running it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import onnx
from onnx import ModelProto, helper, shape_inference

from upscale_cli.models.onnx_graph import INPUT

SMALL: Final = 1024
"""Elements up to which a constant may decide about a shape; weights are larger, and need not be copied."""


@dataclass(frozen=True, slots=True)
class GraphCost:
    """Of one picture.

    Attributes:
        macs: multiply-adds of convolutions and matrix products.
        elements: that go into and come out of the operator with the most of them.
    """

    macs: int
    elements: int


def graph_cost(model: bytes, height: int, width: int) -> GraphCost | None:
    """What one LR picture costs; None where the graph's shapes do not show.

    Args:
        model: with the picture as `lr`, (N, C, H, W).
    """
    graph = onnx.load_model_from_string(model)
    weights = _lightened(graph, height, width)
    try:
        inferred = shape_inference.infer_shapes(graph, data_prop=True)
    except Exception:  # of a library, on a graph of unknown origin: any kind
        return None
    shapes = dict(weights)
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if all(dim > 0 for dim in dims):
            shapes[value.name] = dims
    macs = most = 0
    for node in inferred.graph.node:
        known = [_product(shapes[name]) for name in node.output if name in shapes]
        if not known:
            continue
        most = max(most, sum(known) + sum(_product(shapes[name]) for name in node.input
                                          if name in shapes and name not in weights))  # fmt: skip
        macs += _macs(node, shapes, sum(known))
    return GraphCost(macs, most) if most else None


def _lightened(model: ModelProto, height: int, width: int) -> dict[str, list[int]]:
    """Fixes the picture's size, and makes inputs of large weights; gives the shapes of all weights."""
    graph = model.graph
    for value in graph.input:
        if value.name == INPUT:
            dims = value.type.tensor_type.shape.dim
            for dim, length in zip(dims, (1, dims[1].dim_value, height, width), strict=True):
                dim.dim_value = length
    weights, kept = {}, []
    for tensor in graph.initializer:
        weights[tensor.name] = list(tensor.dims)
        if _product(tensor.dims) <= SMALL:
            kept.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return weights


def _macs(node: onnx.NodeProto, shapes: Mapping[str, list[int]], made: int) -> int:
    its = shapes.get(node.input[1] if len(node.input) > 1 else "", [])
    if node.op_type in ("Conv", "FusedConv") and its:
        return made * _product(its[1:])
    if node.op_type == "ConvTranspose" and its:
        return _product(shapes.get(node.input[0], [0])) * _product(its[1:])
    if node.op_type in ("MatMul", "Gemm", "FusedMatMul") and node.input[0] in shapes:
        return made * shapes[node.input[0]][-1]
    return 0


def _product(lengths: Iterable[int]) -> int:
    product = 1
    for length in lengths:
        product *= int(length)
    return product
