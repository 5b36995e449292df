"""What nets with attention do, in ONNX: pixels become tokens and pixels again, by sizes that the graph itself computes.

As `onnx_operators` has it for all else. A length is a tensor of one whole number; so a net may divide, add and take
remainders of its picture's sides, and reshape and cut by what comes out.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from onnx import TensorProto
from torch import nn

from upscale_cli.models.archs.zeno_layers import averaged, window_places
from upscale_cli.models.onnx_operators import Length, Nodes, NotTranslatableError, Sizes, part_of

# Lengths


def _whole(op: str) -> Callable[..., str]:
    """Of lengths alone."""

    def translate(graph: Nodes, a: Any, b: Any) -> str:
        if not all(isinstance(one, int | Length) for one in (a, b)):
            raise NotTranslatableError("a quotient of tensors, rounded")
        return Length(graph.add(op, graph.lengths(a), graph.lengths(b)))

    return translate


def _negative(graph: Nodes, x: str) -> str:
    return type(x)(graph.add("Neg", x))


# Parts


def item(graph: Nodes, x: Any, index: Any) -> Any:
    """Parts of a tensor by numbers and slices, whose bounds may be computed, and new axes; one length of its sizes."""
    if isinstance(x, list):
        return x[index]
    if isinstance(x, Sizes) and isinstance(index, int):
        return Length(graph.add("Gather", x, graph.integers(index), axis=0))
    parts = list(index) if isinstance(index, tuple | list) else [index]
    cut = next((place for place, part in enumerate(parts) if part is Ellipsis), len(parts))
    behind = parts[cut + 1 :]
    if any(part is None or part is Ellipsis for part in behind):
        raise NotTranslatableError("indexing")
    taken = [part for part in parts[:cut] if part is not None]
    numbered = [*enumerate(taken), *((place - len(behind), part) for place, part in enumerate(behind))]
    for axis, part in numbered:
        if isinstance(part, slice):
            x = x if part == slice(None) else part_of(graph, x, part, axis)
        elif not isinstance(part, int) or isinstance(part, bool):
            raise NotTranslatableError("indexing")
    singles = [(axis, part) for axis, part in numbered if isinstance(part, int)]
    if singles and (behind or any(part is None for part in parts)):
        raise NotTranslatableError("indexing")
    for axis, part in reversed(singles):
        x = graph.add("Gather", x, graph.constant(np.array(part, np.int64)), axis=axis)
    axes = [place for place, part in enumerate(parts[:cut]) if part is None]
    return graph.add("Unsqueeze", x, graph.integers(*axes)) if axes else x


def _chunk(graph: Nodes, x: str, chunks: int, dim: int = 0) -> list[str]:
    return graph.split(x, chunks, dim)


def _chosen(graph: Nodes, x: str, dim: int, index: str) -> str:
    return graph.add("Gather", x, index, axis=dim)


# Shapes


def _reshape(graph: Nodes, x: str, *sizes: Any) -> str:
    return graph.add("Reshape", x, graph.lengths(sizes[0] if len(sizes) == 1 else sizes))


def _flatten(graph: Nodes, x: str, start_dim: int = 0, end_dim: int = -1) -> str:
    if start_dim < 0 or end_dim < -1:
        raise NotTranslatableError("axes counted from the end")
    shape = Sizes(graph.add("Shape", x))
    parts: list[str] = [part_of(graph, shape, slice(0, start_dim), 0)] if start_dim else []
    parts.append(graph.integers(-1))
    if end_dim >= 0:
        parts.append(part_of(graph, shape, slice(end_dim + 1, None), 0))
    return graph.add("Reshape", x, graph.add("Concat", *parts, axis=0))


def _permute(graph: Nodes, x: str, *dims: Any) -> str:
    order = list(dims[0]) if len(dims) == 1 and isinstance(dims[0], list | tuple) else list(dims)
    if any(axis < 0 for axis in order):
        raise NotTranslatableError("axes counted from the end")
    return graph.add("Transpose", x, perm=order)


# Sums and maxima


def _softmax(graph: Nodes, x: str, dim: int) -> str:
    return graph.add("Softmax", x, axis=dim)


def _normalised(graph: Nodes, x: str, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> str:
    if p != 2 or out is not None:
        raise NotTranslatableError("a norm other than that of squares")
    norm = graph.add("ReduceL2", x, graph.integers(dim), keepdims=1)
    return graph.add("Div", x, graph.add("Max", norm, graph.value(float(eps))))


def _layer_norm(
    graph: Nodes, x: str, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> str:
    if weight is None or bias is None:
        raise NotTranslatableError("a normalisation without weights")
    return graph.add("LayerNormalization", x, weight, bias, axis=-len(normalized_shape), epsilon=float(eps))


def _variance(graph: Nodes, x: str, dim: Any, keepdim: bool = False) -> str:
    """With the number of values, less 1, as torch divides unless it is told otherwise."""
    axes = graph.integers(*([dim] if isinstance(dim, int) else dim))
    off = graph.add("Sub", x, graph.add("ReduceMean", x, axes, keepdims=1))
    counts = graph.add("Gather", graph.add("Shape", x), axes, axis=0)
    count = graph.add("Cast", graph.add("ReduceProd", counts, keepdims=0), to=TensorProto.FLOAT)
    mean = graph.add("ReduceMean", graph.add("Mul", off, off), axes, keepdims=int(keepdim))
    # In fp16 the count of a large picture's pixels is infinite, and the quotient none: so as 1 + 1 / (count - 1).
    return graph.add("Mul", mean, graph.add("Add", graph.value(1.0),
                     graph.add("Reciprocal", graph.add("Sub", count, graph.value(1.0)))))  # fmt: skip


def _adaptive_maximum(graph: Nodes, x: str, output_size: Any, return_indices: bool = False) -> str:
    """Part i of n is from floor(i * length / n) to ceil((i + 1) * length / n): parts overlap, and differ in length."""
    if return_indices:
        raise NotTranslatableError("where a maximum is")
    shape = Sizes(graph.add("Shape", x))
    sizes = output_size if isinstance(output_size, list) else [output_size] * 2
    for axis, parts in zip((2, 3), sizes, strict=True):
        count, length = graph.lengths(parts), item(graph, shape, axis)
        ordinal = _ordinals(graph, count)  # (n,)
        start = graph.add("Div", graph.add("Mul", ordinal, length), count)
        after = graph.add("Mul", graph.add("Add", ordinal, graph.integers(1)), length)
        stop = graph.add("Div", graph.add("Add", after, graph.add("Sub", count, graph.integers(1))), count)
        longest = graph.add("Add", graph.add("Div", length, count), graph.integers(2))
        places = graph.add("Add", graph.add("Unsqueeze", start, graph.integers(1)), _ordinals(graph, longest))
        last = graph.add("Unsqueeze", graph.add("Sub", stop, graph.integers(1)), graph.integers(1))
        taken = graph.add("Gather", x, graph.add("Min", places, last), axis=axis)  # what is beyond counts as the last
        x = graph.add("ReduceMax", taken, graph.integers(axis + 1), keepdims=0)
    return x


def _ordinals(graph: Nodes, count: str) -> str:
    """0, 1, ..., count - 1, where count is a tensor of one number."""
    zero, one = (graph.constant(np.array(value, np.int64)) for value in (0, 1))
    return graph.add("Range", zero, graph.add("Squeeze", count), one)


# Windows that overlap, of ZenoSR and VSCINet


def _window_places(graph: Nodes, like: str, axis: int, window: int) -> str:
    side, one = graph.integers(window), graph.integers(1)
    length = graph.add("Gather", graph.add("Shape", like), graph.integers(axis), axis=0)
    count = graph.add("Div", graph.add("Add", length, graph.integers(window - 1)), side)
    more = graph.add("Max", graph.add("Sub", count, one), one)
    free = graph.add("Max", graph.add("Sub", length, side), graph.integers(0))
    step = graph.add("Div", graph.add("Add", free, graph.add("Sub", more, one)), more)
    starts = graph.add("Min", graph.add("Mul", _ordinals(graph, count), step), free)
    inside = _ordinals(graph, graph.add("Min", length, side))
    return graph.add("Add", graph.add("Unsqueeze", starts, graph.integers(1)), inside)


def _averaged(graph: Nodes, x: str, dim: int, places: str, length: Any) -> str:
    """By a matrix that has a row for each pixel: which places are its own, divided by how many these are."""
    pixels = graph.add("Unsqueeze", _ordinals(graph, graph.lengths(length)), graph.integers(1))
    flat = graph.add("Reshape", places, graph.integers(1, -1))
    own = graph.add("Cast", graph.add("Equal", pixels, flat), to=TensorProto.FLOAT)  # (length, windows * side)
    matrix = graph.add("Div", own, graph.add("ReduceSum", own, graph.integers(1), keepdims=1))
    if dim == 2:
        return graph.add("MatMul", matrix, x)
    return graph.add("MatMul", x, graph.add("Transpose", matrix, perm=[1, 0]))


# Layers


def _linear(graph: Nodes, layer: nn.Linear, x: str) -> str:
    turned = layer.weight.detach().to("cpu", torch.float32).t().contiguous().numpy()
    out = graph.add("MatMul", x, graph.constant(turned))
    return out if layer.bias is None else graph.add("Add", out, graph.weight(layer.bias))


MODULES: Final[Mapping[type[nn.Module], Callable[..., str]]] = {
    nn.Linear: _linear,
    nn.LayerNorm: lambda graph, layer, x: _layer_norm(
        graph, x, layer.normalized_shape, graph.weight(layer.weight), graph.weight(layer.bias), layer.eps
    ),
    nn.Embedding: lambda graph, layer, x: graph.add("Gather", graph.weight(layer.weight), x, axis=0),
}

FUNCTIONS: Final[Mapping[Any, Callable[..., Any]]] = {
    operator.floordiv: _whole("Div"),
    operator.mod: _whole("Mod"),
    operator.neg: _negative,
    operator.getitem: item,
    operator.matmul: lambda graph, a, b: graph.add("MatMul", a, b),
    torch.matmul: lambda graph, a, b: graph.add("MatMul", a, b),
    "chunk": _chunk,
    torch.chunk: _chunk,
    "index_select": _chosen,
    torch.index_select: _chosen,
    "reshape": _reshape,
    "view": _reshape,
    "flatten": _flatten,
    torch.flatten: _flatten,
    "permute": _permute,
    torch.permute: _permute,
    "softmax": _softmax,
    torch.softmax: _softmax,
    F.normalize: _normalised,
    F.layer_norm: _layer_norm,
    "var": _variance,
    F.adaptive_max_pool2d: _adaptive_maximum,
    window_places: _window_places,
    averaged: _averaged,
}
