"""What layers and functions of torch's are in ONNX: one node or a few for each.

ONNX: https://onnx.ai/onnx/operators/
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

END: Final = 2**63 - 1
"""Of an axis of any length, where a part of it is taken."""


class NotTranslatableError(ValueError):
    """The net does something that has no translation here; the text says what."""


class Name(str):
    """Of a tensor in the graph, told apart from other strings."""

    __slots__ = ()


class Sizes(Name):
    """Of a tensor that is the sizes of another, or some of them."""

    __slots__ = ()


class Length(Sizes):
    """Of a tensor of one size."""

    __slots__ = ()


class Nodes:
    """The nodes of a graph, as they come."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._kept: dict[int, tuple[Tensor, str]] = {}  # weights by identity: layers may share them
        self._constants: dict[Any, str] = {}

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node; gives the name of its output. Inputs that are left out are ""."""
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return Name(name)

    def split(self, x: str, parts: int, axis: int) -> list[str]:
        """A tensor in parts of equal length."""
        names: list[str] = [Name(f"split_{len(self.nodes)}_{number}") for number in range(parts)]
        self.nodes.append(helper.make_node("Split", [x], names, axis=axis, num_outputs=parts))
        return names

    def weight(self, value: Tensor) -> str:
        """A tensor of the net; those that layers share stand in the graph once."""
        if not value.is_floating_point():  # of places, say
            return self.constant(value.detach().cpu().contiguous().numpy())
        if id(value) not in self._kept:
            name = f"weight_{len(self.initializers)}"
            array = value.detach().to("cpu", torch.float32).contiguous().numpy()
            self.initializers.append(numpy_helper.from_array(array, name))
            self._kept[id(value)] = value, name  # it is kept, so that no other gets its identity
        return Name(self._kept[id(value)][1])

    def constant(self, values: NDArray[Any]) -> str:
        """A constant; equal ones stand in the graph once."""
        key = values.dtype.str, values.shape, values.tobytes()
        if key not in self._constants:
            self._constants[key] = f"constant_{len(self.initializers)}"
            self.initializers.append(numpy_helper.from_array(values, self._constants[key]))
        return Name(self._constants[key])

    def value(self, given: Any) -> str:
        """An operand: a tensor of the graph, or a number."""
        if isinstance(given, Name):
            return given
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise NotTranslatableError(f"an operand of type {type(given).__name__}")
        return self.constant(np.array(given, np.float32))

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def lengths(self, given: Any) -> str:
        """One tensor of whole numbers, of those that are known and those that the graph computes."""
        parts = list(given) if isinstance(given, list | tuple) else [given]
        if not all(isinstance(part, int | Sizes) for part in parts):
            raise NotTranslatableError("a size that is no whole number")
        names = [part if isinstance(part, Sizes) else self.integers(part) for part in parts]
        return names[0] if len(names) == 1 else self.add("Concat", *names, axis=0)


# Layers


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _conv(graph: Nodes, layer: nn.Conv2d, x: str) -> str:
    if layer.padding_mode != "zeros":
        raise NotTranslatableError(f"a convolution padded by {layer.padding_mode}")
    if isinstance(layer.padding, str):
        pads = [0, 0]
        if layer.padding == "same":
            pads = [
                dilation * (size - 1) // 2 for dilation, size in zip(layer.dilation, layer.kernel_size, strict=True)
            ]
            if any(size % 2 == 0 for size in layer.kernel_size):
                raise NotTranslatableError("an even kernel with padding 'same'")
    else:
        pads = list(layer.padding)
    weights = [graph.weight(layer.weight)] + ([graph.weight(layer.bias)] if layer.bias is not None else [])
    return graph.add(
        "Conv", x, *weights, kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=pads * 2,
        dilations=list(layer.dilation), group=layer.groups,
    )  # fmt: skip


def _conv2d(
    graph: Nodes, x: str, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1,
    groups: int = 1,
) -> str:  # fmt: skip
    """A convolution whose weights are no layer's own."""
    if isinstance(padding, str):
        raise NotTranslatableError(f"a convolution padded by {padding}")
    return graph.add(
        "Conv", x, weight, *([] if bias is None else [bias]), strides=list(_pair(stride)),
        pads=list(_pair(padding)) * 2, dilations=list(_pair(dilation)), group=groups,
    )  # fmt: skip


def _pad(graph: Nodes, x: str, pad: Any, mode: str = "constant", value: float | None = None) -> str:
    """Of the last axes first, before and behind each, as torch has it."""
    modes = {"constant": "constant", "replicate": "edge", "reflect": "reflect", "circular": "wrap"}
    if len(pad) != 4 or modes[mode] == "wrap":
        raise NotTranslatableError(f"a picture padded by {mode}, or on other sides than four")
    left, right, top, bottom = pad
    amounts = graph.lengths([0, 0, top, left, 0, 0, bottom, right])
    constant = [graph.value(float(value))] if value else []
    return graph.add("Pad", x, amounts, *constant, mode=modes[mode])


def _conv_transpose(graph: Nodes, layer: nn.ConvTranspose2d, x: str) -> str:
    weights = [graph.weight(layer.weight)] + ([graph.weight(layer.bias)] if layer.bias is not None else [])
    return graph.add(
        "ConvTranspose", x, *weights, kernel_shape=list(layer.kernel_size), strides=list(layer.stride),
        pads=list(_pair(layer.padding)) * 2, output_padding=list(_pair(layer.output_padding)),
        dilations=list(layer.dilation), group=layer.groups,
    )  # fmt: skip


def _batch_norm(graph: Nodes, layer: nn.BatchNorm2d, x: str) -> str:
    """As it is after training: by the statistics that the checkpoint holds."""
    values = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
    known = [value for value in values if value is not None]
    if layer.training or len(known) < len(values):
        raise NotTranslatableError("a normalisation by the picture's own statistics")
    return graph.add("BatchNormalization", x, *map(graph.weight, known), epsilon=float(layer.eps))


def _prelu(graph: Nodes, x: str, weight: Tensor) -> str:
    slopes = weight.detach() if weight.numel() == 1 else weight.detach().reshape(-1, 1, 1)
    return graph.add("PRelu", x, graph.constant(slopes.to("cpu", torch.float32).numpy()))


def _shuffle(graph: Nodes, x: str, factor: int) -> str:
    return x if factor == 1 else graph.add("DepthToSpace", x, blocksize=factor, mode="CRD")


def _unshuffle(graph: Nodes, x: str, factor: int) -> str:
    """ONNX's SpaceToDepth has the block's position before the channel, torch the channel before the position.

    So it is written as the reshaping it is. (SpaceToDepth and a Gather that sorts the channels would be shorter, but
    OpenVINO 2026.4.1 computes a convolution after those two on the unsorted ones.)
    """
    if factor == 1:
        return x
    shape = graph.add("Shape", x)
    batch, channels, height, width = (graph.add("Gather", shape, graph.integers(axis), axis=0) for axis in range(4))
    block, rest = graph.integers(factor), graph.integers(-1)
    height, width = graph.add("Div", height, block), graph.add("Div", width, block)
    folded = graph.add("Concat", batch, channels, height, block, width, block, axis=0)
    apart = graph.add("Transpose", graph.add("Reshape", x, folded), perm=[0, 1, 3, 5, 2, 4])
    return graph.add("Reshape", apart, graph.add("Concat", batch, rest, height, width, axis=0))


def _resize(
    graph: Nodes, x: str, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
    align_corners: bool | None = None, recompute_scale_factor: bool | None = None, antialias: bool = False,
) -> str:  # fmt: skip
    if antialias or recompute_scale_factor or not (size is None or isinstance(size, Sizes)):
        raise NotTranslatableError("an interpolation to a size that it computes")
    modes = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}
    if mode not in modes:
        raise NotTranslatableError(f"an interpolation of mode {mode}")
    attributes: dict[str, Any] = {"mode": modes[mode]}
    if mode == "nearest":
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        attributes["coordinate_transformation_mode"] = "align_corners" if align_corners else "half_pixel"
        if mode == "bicubic":
            attributes["cubic_coeff_a"] = -0.75  # torch's
    if size is not None:
        kept = part_of(graph, graph.add("Shape", x), slice(0, 2), 0)  # batch and channels
        return graph.add("Resize", x, "", "", graph.add("Concat", kept, size, axis=0), **attributes)
    factors = [scale_factor] * 2 if isinstance(scale_factor, int | float) else list(scale_factor)
    if not all(isinstance(factor, int | float) for factor in factors):
        raise NotTranslatableError("an interpolation by a factor that it computes")
    return graph.add("Resize", x, "", graph.constant(np.array([1, 1, *factors], np.float32)), **attributes)


def _cat(graph: Nodes, tensors: list[str], dim: int = 0) -> str:
    return graph.add("Concat", *tensors, axis=dim)


def _sum(graph: Nodes, a: Any, b: Any, *, alpha: float = 1) -> str:
    scaled = b if alpha == 1 else graph.add("Mul", graph.value(b), graph.value(float(alpha)))
    return arithmetic("Add")(graph, a, scaled)


def _clamp(graph: Nodes, x: str, min: float | None = None, max: float | None = None) -> str:
    return graph.add("Clip", x, *("" if bound is None else graph.value(float(bound)) for bound in (min, max)))


def _mean(graph: Nodes, x: str, dim: Any = None, keepdim: bool = False) -> str:
    axes = [dim] if isinstance(dim, int) else list(dim or ())
    return graph.add("ReduceMean", x, *([graph.integers(*axes)] if axes else []), keepdims=int(keepdim))


def _total(graph: Nodes, x: str, dim: int, keepdim: bool = False) -> str:
    return graph.add("ReduceSum", x, graph.integers(dim), keepdims=int(keepdim))


def part_of(graph: Nodes, x: str, part: slice, axis: int) -> str:
    """What is between two places of an axis, which may be computed."""
    if part.step not in (None, 1):
        raise NotTranslatableError("every second one, or the like")
    bounds = (graph.lengths(bound) for bound in (part.start or 0, END if part.stop is None else part.stop, axis))
    return type(x)(graph.add("Slice", x, *bounds))


def _attribute(graph: Nodes, x: str, name: str) -> str:
    if name != "shape":
        raise NotTranslatableError(f"attribute {name} is not known")
    return Sizes(graph.add("Shape", x))


def _max_pool(
    graph: Nodes, x: str, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1,
    ceil_mode: bool = False, return_indices: bool = False,
) -> str:  # fmt: skip
    if ceil_mode or return_indices or _pair(dilation) != (1, 1):
        raise NotTranslatableError("a maximum over parts that are not plain")
    return graph.add(
        "MaxPool", x, kernel_shape=list(_pair(kernel_size)), strides=list(_pair(stride or kernel_size)),
        pads=list(_pair(padding)) * 2,
    )  # fmt: skip


def _gelu(graph: Nodes, x: str, approximate: str = "none") -> str:
    """By the error function: the operator itself came with opset 20."""
    if approximate != "none":
        raise NotTranslatableError("an approximate GELU")
    below = graph.add("Erf", graph.add("Mul", x, graph.value(0.5**0.5)))
    return graph.add("Mul", graph.add("Mul", x, graph.value(0.5)), graph.add("Add", below, graph.value(1.0)))


def _adaptive_mean(graph: Nodes, x: str, output_size: Any) -> str:
    if _pair(output_size) != (1, 1):
        raise NotTranslatableError("a mean over parts of the picture")
    return graph.add("GlobalAveragePool", x)


def arithmetic(op: str) -> Callable[..., str]:
    """Between tensors, numbers and lengths, in any order."""

    def translate(graph: Nodes, a: Any, b: Any) -> str:
        if not isinstance(a, Length) and not isinstance(b, Length):
            return graph.add(op, graph.value(a), graph.value(b))
        if op != "Div" and isinstance(a, int | Length) and isinstance(b, int | Length):
            return Length(graph.add(op, graph.lengths(a), graph.lengths(b)))
        return graph.add(op, *(
            graph.add("Cast", one, to=TensorProto.FLOAT) if isinstance(one, Length) else graph.value(one)
            for one in (a, b)
        ))  # fmt: skip

    return translate


def _unary(op: str) -> Callable[..., str]:
    """An activation as a function; `inplace` and the like change nothing of what comes out."""
    return lambda graph, x, *_, **__: graph.add(op, x)


def _leaky(graph: Nodes, x: str, negative_slope: float = 0.01, inplace: bool = False) -> str:  # noqa: ARG001  # torch's
    return graph.add("LeakyRelu", x, alpha=float(negative_slope))


def _silu(graph: Nodes, x: str, inplace: bool = False) -> str:  # noqa: ARG001  # torch's
    return graph.add("Mul", x, graph.add("Sigmoid", x))


MODULES: Final[Mapping[type[nn.Module], Callable[..., str]]] = {
    nn.Conv2d: _conv,
    nn.ConvTranspose2d: _conv_transpose,
    nn.BatchNorm2d: _batch_norm,
    nn.PReLU: lambda graph, layer, x: _prelu(graph, x, layer.weight),
    nn.ReLU: lambda graph, _, x: graph.add("Relu", x),
    nn.LeakyReLU: lambda graph, layer, x: _leaky(graph, x, layer.negative_slope),
    nn.Tanh: lambda graph, _, x: graph.add("Tanh", x),
    nn.Sigmoid: lambda graph, _, x: graph.add("Sigmoid", x),
    nn.SiLU: lambda graph, _, x: _silu(graph, x),
    nn.GELU: lambda graph, layer, x: _gelu(graph, x, layer.approximate),
    nn.Identity: lambda _graph, _layer, x: x,
    nn.Dropout: lambda _graph, _layer, x: x,
    nn.PixelShuffle: lambda graph, layer, x: _shuffle(graph, x, layer.upscale_factor),
    nn.PixelUnshuffle: lambda graph, layer, x: _unshuffle(graph, x, layer.downscale_factor),
    nn.AdaptiveAvgPool2d: lambda graph, layer, x: _adaptive_mean(graph, x, layer.output_size),
    nn.Upsample: lambda graph, layer, x: _resize(
        graph, x, layer.size, layer.scale_factor, layer.mode, layer.align_corners
    ),
}
"""How a layer is written, by its very type: a class derived from one may do something else."""

FUNCTIONS: Final[Mapping[Any, Callable[..., str]]] = {
    operator.add: _sum,
    operator.iadd: _sum,
    torch.add: _sum,
    "add": _sum,
    "add_": _sum,
    operator.sub: arithmetic("Sub"),
    operator.mul: arithmetic("Mul"),
    operator.imul: arithmetic("Mul"),
    torch.mul: arithmetic("Mul"),
    "mul": arithmetic("Mul"),
    operator.truediv: arithmetic("Div"),
    getattr: _attribute,
    torch.cat: _cat,
    torch.tanh: _unary("Tanh"),
    "tanh": _unary("Tanh"),
    torch.sigmoid: _unary("Sigmoid"),
    "sigmoid": _unary("Sigmoid"),
    torch.relu: _unary("Relu"),
    "relu": _unary("Relu"),
    F.relu: _unary("Relu"),
    F.leaky_relu: _leaky,
    F.silu: _silu,
    F.gelu: _gelu,
    F.max_pool2d: _max_pool,
    "square": lambda graph, x: graph.add("Mul", x, x),
    "sqrt": _unary("Sqrt"),
    torch.clamp: _clamp,
    "clamp": _clamp,
    torch.mean: _mean,
    "mean": _mean,
    "sum": _total,
    F.conv2d: _conv2d,
    F.pad: _pad,
    F.interpolate: _resize,
    F.pixel_shuffle: _shuffle,
    F.pixel_unshuffle: _unshuffle,
    F.adaptive_avg_pool2d: _adaptive_mean,
}
"""How a function, or a method of a tensor by its name, is written."""
