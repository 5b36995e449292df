"""What the layers of an ncnn graph compute, in torch: enough of them for super-resolution nets.

By this a graph is tried, once, on a few pixels (`nets`); pictures are upscaled by our own nets. Blobs are (1, C, H, W);
what ncnn has as a vector of C values is (1, C, 1, 1), which is how ncnn itself spreads it over a picture.

What each computes: https://github.com/Tencent/ncnn/wiki/operators
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from upscale_cli.models.ncnn.param import Graph, Layer, NcnnError

MOST_VALUES: Final = 2**24
"""Of a blob, from a picture of a few hundred pixels: the largest nets here have 100,000."""

HINTS: Final = frozenset({30, 31})
"""Parameters that any layer may have and that change nothing: shapes that were seen, switches of ncnn's own."""

_PARAMS: Final[Mapping[str, frozenset[int]]] = {
    "BinaryOp": frozenset({0, 1, 2}),
    "Clip": frozenset({0, 1}),
    "Concat": frozenset({0}),
    "Convolution": frozenset({0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19}),
    "Crop": frozenset({9, 10, 11}),
    "Deconvolution": frozenset({0, 1, 2, 3, 4, 5, 6, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 28}),
    "Dropout": frozenset(),
    "Eltwise": frozenset({0, 1}),
    "InnerProduct": frozenset({0, 1, 2, 8, 9, 10}),
    "Input": frozenset({0, 1, 2}),
    "Interp": frozenset({0, 1, 2, 3, 4, 5, 6}),
    "MemoryData": frozenset({0, 1, 2}),
    "Noop": frozenset(),
    "PReLU": frozenset({0}),
    "Padding": frozenset({0, 1, 2, 3, 4, 5}),
    "PixelShuffle": frozenset({0, 1}),
    "Pooling": frozenset({0, 4}),
    "ReLU": frozenset({0}),
    "Reorg": frozenset({0, 1}),
    "Sigmoid": frozenset(),
    "Split": frozenset(),
    "Swish": frozenset(),
    "TanH": frozenset(),
}
"""The kinds of layers that are understood, and the numbers of their parameters."""


def check_layers(graph: Graph) -> None:
    """Refuses a graph with layers or parameters that are not understood.

    Raises:
        NcnnError: it has such; the operations are named.
    """
    unknown = list(dict.fromkeys(layer.kind for layer in graph.layers if layer.kind not in _PARAMS))
    if unknown:
        more = f" and {len(unknown) - 4} more" if len(unknown) > 4 else ""
        raise NcnnError(
            f"has operations that no net known here has in its ncnn form: {', '.join(unknown[:4])[:160]}{more}. "
            "Use the .pth, .safetensors or .onnx file of that net"
        )
    for layer in graph.layers:
        strange = sorted(layer.params.keys() - _PARAMS[layer.kind] - HINTS)
        if strange:
            raise NcnnError(f"{layer.about} has the parameter {strange[0]}, which is not understood")


def run(graph: Graph, weights: Mapping[str, tuple[Tensor, Tensor | None]], lr: Tensor) -> dict[str, Tensor]:
    """All blobs of a graph.

    Args:
        weights: (weight, bias) by the layer's name, in the shapes of `blobs.Weights`.
        lr: (1, C, H, W).

    Raises:
        NcnnError: the layers do not fit one another, or would make far more than is there.
    """
    blobs: dict[str, Tensor] = {graph.input: lr}
    for layer in graph.layers:
        if layer.kind == "Input":
            continue
        given = [blobs[name] for name in layer.inputs]
        try:
            made = _made(layer, given, weights.get(layer.name))
        except (RuntimeError, ValueError, IndexError, TypeError) as error:
            raise NcnnError(
                f"does not fit together: {layer.about} cannot take what the layers before it make"
            ) from error
        for name in layer.outputs:
            blobs[name] = made
    return blobs


def _made(layer: Layer, given: Sequence[Tensor], held: tuple[Tensor, Tensor | None] | None) -> Tensor:
    if layer.kind not in ("Split", "Input") and len(layer.outputs) != 1:
        raise NcnnError(f"is damaged: {layer.about} makes {len(layer.outputs)} blobs. Get the file again")
    if held is not None:
        return _WITH_WEIGHTS[layer.kind](layer, given, *held)
    if not given:
        raise NcnnError(f"is damaged: {layer.about} takes nothing. Get the file again")
    return _PLAIN[layer.kind](layer, given)


def _bounded(layer: Layer, *lengths: int) -> None:
    """Refuses a blob before it is made."""
    if functools.reduce(lambda count, length: min(count, MOST_VALUES + 1) * max(length, 1), lengths, 1) > MOST_VALUES:
        raise NcnnError(f"{layer.about} would make more values than any net does: refused")


def _one_of(layer: Layer, number: int, known: Mapping[int, str], default: int = 0) -> str:
    """What a parameter stands for."""
    value = layer.whole(number, default)
    if value not in known:
        raise NcnnError(f"{layer.about} has the parameter {number}={value}, which is not understood")
    return known[value]


# With weights


def _activated(x: Tensor, layer: Layer) -> Tensor:
    """What is fused with a convolution: parameters 9 and 10."""
    values = layer.array(10)
    match _one_of(layer, 9, {0: "none", 1: "relu", 2: "leaky", 3: "clip", 4: "sigmoid"}):
        case "relu":
            return F.relu(x)
        case "leaky":
            return F.leaky_relu(x, float(values[0]))
        case "clip":
            return x.clamp(float(values[0]), float(values[1]))
        case "sigmoid":
            return x.sigmoid()
        case _:
            return x


def _sides(layer: Layer, across: int, down: int, default: int = 1) -> tuple[int, int]:
    """(vertical, horizontal), of which the former is the latter where it is left out."""
    horizontal = layer.whole(across, default)
    vertical = layer.whole(down, horizontal)
    if min(horizontal, vertical) < 1:
        raise NcnnError(f"is damaged: {layer.about} has the parameter {across}={horizontal}, which cannot be")
    return vertical, horizontal


def _pads(layer: Layer) -> tuple[int, int, int, int]:
    """(left, right, top, bottom): parameters 4, 15, 14, 16."""
    left = layer.whole(4)
    top = layer.whole(14, left)
    pads = left, layer.whole(15, left), top, layer.whole(16, top)
    if min(pads) < 0 or layer.whole(19):  # -233 and -234 pad by the size; 19: weights that are computed
        raise NcnnError(f"{layer.about} has the parameter 4={left} or 19, which is not understood")
    return pads


def _convolution(layer: Layer, given: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    (x,), pads = given, _pads(layer)
    _bounded(layer, x.shape[1], x.shape[2] + pads[2] + pads[3], x.shape[3] + pads[0] + pads[1])
    x = F.pad(x, pads, value=layer.real(18))
    _bounded(layer, len(weight), *x.shape[2:])
    _bounded(layer, weight[0].numel(), *x.shape[2:])  # what torch may lay out beside it
    return _activated(F.conv2d(x, weight, bias, _sides(layer, 3, 13), dilation=_sides(layer, 2, 12)), layer)


def _deconvolution(layer: Layer, given: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    (x,), pads, strides = given, _pads(layer), _sides(layer, 3, 13)
    if pads[0] != pads[1] or pads[2] != pads[3] or any(layer.whole(number) for number in (18, 19, 20, 21, 28)):
        raise NcnnError(f"{layer.about} has uneven or computed borders, which are not understood")
    _bounded(layer, len(weight), *(side * stride for side, stride in zip(x.shape[2:], strides, strict=True)))
    turned = weight.transpose(0, 1)  # torch has (in, out, height, width)
    out = F.conv_transpose2d(x, turned, bias, strides, (pads[2], pads[0]), dilation=_sides(layer, 2, 12))
    return _activated(out, layer)


def _inner_product(layer: Layer, given: Sequence[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    return _activated(F.conv2d(given[0].reshape(1, -1, 1, 1), weight, bias), layer)


def _prelu(_: Layer, given: Sequence[Tensor], weight: Tensor, __: Tensor | None) -> Tensor:
    return F.prelu(given[0], weight)


def _constant(_: Layer, __: Sequence[Tensor], weight: Tensor, ___: Tensor | None) -> Tensor:
    return weight[None]


# Without


def _binary(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    operations = {0: "add", 1: "sub", 2: "mul", 3: "div", 7: "rsub", 8: "rdiv"}
    first = given[0]
    second = torch.full((), layer.real(2), dtype=first.dtype) if layer.whole(1) else given[1]
    if second.ndim == 4:
        _bounded(layer, *map(max, zip(first.shape, second.shape, strict=True)))
    match _one_of(layer, 0, operations):
        case "add":
            return first + second
        case "sub":
            return first - second
        case "mul":
            return first * second
        case "div":
            return first / second
        case "rsub":
            return second - first
        case _:
            return second / first


def _eltwise(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    if any(one.shape != given[0].shape for one in given):
        raise ValueError("of one shape")
    if _one_of(layer, 0, {0: "product", 1: "sum"}) == "product":
        return functools.reduce(torch.mul, given)
    factors = layer.array(1) or (1.0,) * len(given)
    return functools.reduce(torch.add, [one * float(f) for one, f in zip(given, factors, strict=True)])


def _concat(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    _one_of(layer, 0, {0: "channels", -3: "channels"})
    _bounded(layer, sum(one.shape[1] for one in given), *given[0].shape[2:])
    return torch.cat(list(given), dim=1)


def _crop(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    x = given[0]
    starts, ends, axes = layer.array(9), layer.array(10), layer.array(11) or (0, 1, 2)
    for start, end, axis in zip(starts, ends, axes, strict=True):
        place = int(axis) + 1 if axis >= 0 else int(axis) + 4  # ncnn has no axis of the batch
        length = x.shape[place]
        stop = length if end in (-233, 2**31 - 1) else int(end) + (length if end < 0 else 0)
        x = x.narrow(place, int(start), min(stop, length) - int(start))
    return x


def _interp(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    x = given[0]
    mode = _one_of(layer, 0, {1: "nearest", 2: "bilinear", 3: "bicubic"})
    height, width = layer.real(1, 1.0), layer.real(2, 1.0)
    if any(layer.whole(number) for number in (3, 4, 5, 6)) or len(given) != 1 or min(height, width) <= 0:
        raise NcnnError(f"{layer.about} enlarges to a fixed size or by corners, which is not understood")
    _bounded(layer, x.shape[1], *(min(int(side * scale) + 1, MOST_VALUES) for side, scale in
                                  zip(x.shape[2:], (height, width), strict=True)))  # fmt: skip
    if mode == "nearest":
        return F.interpolate(x, scale_factor=(height, width), mode=mode)
    return F.interpolate(x, scale_factor=(height, width), mode=mode, align_corners=False)


def _padding(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    x = given[0]
    top, bottom, left, right = (layer.whole(number) for number in range(4))
    if min(top, bottom, left, right) < 0:
        raise NcnnError(f"{layer.about} pads by the size, which is not understood")
    _bounded(layer, x.shape[1], x.shape[2] + top + bottom, x.shape[3] + left + right)
    mode = _one_of(layer, 4, {0: "constant", 1: "replicate", 2: "reflect"})
    return F.pad(x, (left, right, top, bottom), mode, layer.real(5) if mode == "constant" else None)


def _pixel_shuffle(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    _one_of(layer, 1, {0: "channels first"})
    return F.pixel_shuffle(given[0], layer.whole(0, 1))


def _pixel_unshuffle(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    _one_of(layer, 1, {0: "channels first"})
    return F.pixel_unshuffle(given[0], layer.whole(0, 1))


def _pooling(layer: Layer, given: Sequence[Tensor]) -> Tensor:
    if layer.whole(0) != 1 or layer.whole(4) != 1:
        raise NcnnError(f"{layer.about} is no mean of the whole picture, which alone is understood")
    return given[0].mean(dim=(2, 3), keepdim=True)


def _first(_: Layer, given: Sequence[Tensor]) -> Tensor:
    (x,) = given
    return x


_WITH_WEIGHTS: Final[Mapping[str, Callable[[Layer, Sequence[Tensor], Tensor, Tensor | None], Tensor]]] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product,
    "MemoryData": _constant,
    "PReLU": _prelu,
}

_PLAIN: Final[Mapping[str, Callable[[Layer, Sequence[Tensor]], Tensor]]] = {
    "BinaryOp": _binary,
    "Clip": lambda layer, given: given[0].clamp(layer.real(0, -3e38), layer.real(1, 3e38)),
    "Concat": _concat,
    "Crop": _crop,
    "Dropout": _first,
    "Eltwise": _eltwise,
    "Interp": _interp,
    "Noop": _first,
    "Padding": _padding,
    "PixelShuffle": _pixel_shuffle,
    "Pooling": _pooling,
    "ReLU": lambda layer, given: F.leaky_relu(given[0], layer.real(0)),
    "Reorg": _pixel_unshuffle,
    "Sigmoid": lambda _, given: given[0].sigmoid(),
    "Split": _first,
    "Swish": lambda _, given: F.silu(given[0]),
    "TanH": lambda _, given: given[0].tanh(),
}


def weighted(graph: Graph) -> Iterator[Layer]:
    """The layers that hold what was learnt, in the order they are computed in; constants are not."""
    return (layer for layer in graph.layers if layer.kind in _WITH_WEIGHTS and layer.kind != "MemoryData")
