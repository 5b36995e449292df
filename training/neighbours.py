"""Nets in 8 bits whose sums of two products fit into 16 bits, for processors that add them up so.

Without VNNI, AVX2 multiplies the values of two neighbouring channels, 0 to 255, by their weights, -127 to 127, and adds
the two products in 16 bits, where they are cut off at 32,767: pictures are then wrong by up to 80 levels, at bright
edges. What the order of the channels between two layers is, nothing depends on. So those become neighbours whose
weights add up to 128 at most, wherever both have the same sign; and where no order is good enough, the weights that
are left give way. https://en.wikipedia.org/wiki/Maximum_weight_matching, by NetworkX
"""

import itertools
from typing import Any, Final

import networkx
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

MOST: Final = 128
"""Of two weights together: 255 times that is the last below 2 ** 15."""

Weights = NDArray[np.int64]


def without_overflow(model: bytes) -> bytes:
    """The same net, with neighbours that fit.

    Args:
        model: ONNX of convolutions, as `quantise.py` makes it, each of which takes what the one before gives.
    """
    graph = onnx.load_from_string(model)
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    made_by = {node.output[0]: node for node in graph.graph.node}
    convolutions = [node for node in graph.graph.node if node.op_type == "Conv"]
    for before, after in itertools.pairwise(convolutions):
        weights, step, *_ = (tensors[name] for name in made_by[after.input[1]].input)
        values = array(weights).astype(np.int64)
        if not overflowing(values):
            continue
        order = _order(values)
        values, coarser = _within(values[:, order])
        fill(weights, values)
        fill(step, array(step) * coarser)
        for name in (*made_by[before.input[1]].input, before.input[2]):
            if array(tensors[name]).ndim:  # of each channel
                fill(tensors[name], array(tensors[name])[order])
    return bytes(graph.SerializeToString(deterministic=True))


def overflowing(weights: Weights) -> int:
    """How many pairs of weights do not fit.

    Args:
        weights: (outputs, inputs, height, width); of the inputs, 0 and 1 are neighbours, 2 and 3, and so on.
    """
    return int(np.count_nonzero(_excess(*_neighbours(weights))))


def _neighbours(weights: Weights) -> tuple[Weights, Weights]:
    """Views of the inputs whose products are added up, (outputs, pairs, height, width) each; an input without a
    neighbour fits, and is in neither."""
    even = weights.shape[1] // 2 * 2
    return weights[:, 0:even:2], weights[:, 1:even:2]


def _excess(one: Weights, other: Weights) -> Weights:
    """By how much two weights of one sign are too large together."""
    above = np.maximum(one, 0) + np.maximum(other, 0)
    below = np.maximum(-one, 0) + np.maximum(-other, 0)
    excess: Weights = np.maximum(np.maximum(above, below) - MOST, 0)
    return excess


def _order(weights: Weights) -> list[int]:
    """Inputs, so that neighbours fit as well as they can: by the least sum of squares of what is too large."""
    inputs = np.moveaxis(weights, 1, 0)
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(inputs)))
    for one, other in itertools.combinations(range(len(inputs)), 2):
        graph.add_edge(one, other, weight=-int(np.square(_excess(inputs[one], inputs[other])).sum()))
    pairs = sorted(map(sorted, networkx.max_weight_matching(graph, maxcardinality=True)))
    paired = [place for pair in pairs for place in pair]
    return paired + sorted(set(range(len(inputs))) - set(paired))


def _within(weights: Weights) -> tuple[Weights, NDArray[np.float64]]:
    """The same, made to fit: of each output in the way that changes its weights least.

    Returns:
        The weights, and how many times as large a step of each output's is: 1 where only what is too large was taken
        off; more where all were divided by it.
    """
    lower = _lowered(weights)
    one, other = _neighbours(weights)
    most = ((np.abs(one) + np.abs(other)) * (_excess(one, other) > 0)).max(axis=(1, 2, 3))
    coarser = np.maximum(1, most / (MOST - 1))  # two that are rounded up may be one more
    per_weight = coarser[:, None, None, None]
    divided = np.rint(weights / per_weight).astype(np.int64)
    changes = [np.square(made - weights).sum(axis=(1, 2, 3)) for made in (lower, divided * per_weight)]
    is_divided = changes[1] < changes[0]
    chosen = np.where(is_divided[:, None, None, None], divided, lower)
    return chosen, np.where(is_divided, coarser, 1.0)


def _lowered(weights: Weights) -> Weights:
    """The same, with what is too large taken off, in equal parts."""
    changed = weights.copy()
    one, other = _neighbours(changed)
    excess = _excess(one, other)
    signs = np.sign(one)  # both have it, where there is an excess
    one -= signs * (excess // 2)
    other -= signs * (excess - excess // 2)
    return changed


def array(tensor: onnx.TensorProto) -> NDArray[Any]:
    """Its values."""
    return np.asarray(numpy_helper.to_array(tensor))


def fill(tensor: onnx.TensorProto, values: Any) -> None:
    """Gives a tensor of a graph other values, of its own shape and dtype."""
    former = array(tensor)
    filled = np.ascontiguousarray(np.asarray(values), former.dtype).reshape(former.shape)
    tensor.CopyFrom(numpy_helper.from_array(filled, tensor.name))
