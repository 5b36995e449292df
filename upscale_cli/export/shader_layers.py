"""A convolutional net's ONNX graph as what shaders can do: convolutions at the input's size, and one enlargement.

    input  ->  Convolution, Combination, ...  ->  formula of the output pixel (shuffled channels, nearest input, sums)

Pure: NumPy and ONNX in, values out. docs/export.md says which nets fit.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Array = NDArray[np.float32]


class UnshadableError(ValueError):
    """The net does something that has no place in a shader here; the text says what."""


@dataclass(frozen=True, slots=True, eq=False)
class Activation:
    """What is done to each value.

    Attributes:
        kind: "relu", "prelu" (leaky ones, too), "tanh", "sigmoid", "clip" or "affine".
        slopes: prelu: of each channel, or one; affine: (factor, summand); clip: (least, most).
    """

    kind: str
    slopes: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A tensor at the size of the input, (channels, H, W).

    Attributes:
        inputs: numbers of the layers that it is made of; 0 is the input itself.
        channels: of it.
        taps: of a convolution: (dy, dx) -> (channels, channels of the input); what lies outside of the picture is 0.
        bias: of a convolution.
        activations: what follows, in order.
    """

    inputs: tuple[int, ...]
    channels: int
    taps: dict[tuple[int, int], Array]
    bias: Array
    activations: tuple[Activation, ...] = ()

    @property
    def is_sum(self) -> bool:
        """It has no weights: its inputs are added."""
        return not self.taps


@dataclass(frozen=True, slots=True, eq=False)
class Formula:
    """How a channel of an output pixel is computed.

    Attributes:
        kind: "shuffled" (the layer's channel of the pixel's place in its block), "nearest" (the input), "sum",
            or the kind of an activation.
        layer: of the first two.
        parts: of the others.
    """

    kind: str
    layer: int = -1
    parts: tuple["Formula", ...] = ()
    activation: Activation | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ShaderNet:
    """A net for shaders.

    Attributes:
        layers: in order; the first is the input and has no weights.
        output: the same for every channel.
        scale: SR pixels per LR pixel.
        channels: of input and output.
    """

    layers: tuple[Layer, ...]
    output: Formula
    scale: int
    channels: int


Value = int | Formula
"""A layer, by its number, or an enlarged picture."""


def shader_net(model: onnx.ModelProto, scale: int, channels: int) -> ShaderNet:
    """Takes a graph apart.

    Args:
        model: in float32, of one input.

    Raises:
        UnshadableError: it does something else.
    """
    return _Reader(model, scale, channels).net()


class _Reader:
    def __init__(self, model: onnx.ModelProto, scale: int, channels: int) -> None:
        graph = model.graph
        self._scale, self._channels, self._graph = scale, channels, graph
        self._arrays: dict[str, Array] = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
        self._uses = Counter(name for node in graph.node for name in node.input)
        self._layers = [Layer((), channels, {}, np.zeros(channels, np.float32))]
        if len(graph.input) != 1:
            raise UnshadableError("it takes more than the picture")
        self._values: dict[str, Value] = {graph.input[0].name: 0}
        self._open: dict[int, str] = {}  # layers whose only use is still to come, by that name: it can be part of them

    def net(self) -> ShaderNet:
        for node in self._graph.node:
            self._read(node)
        output = self._values[self._graph.output[0].name]
        if not isinstance(output, Formula):
            raise UnshadableError("its output is not larger than its input")
        return ShaderNet(tuple(self._layers), output, self._scale, self._channels)

    def _read(self, node: onnx.NodeProto) -> None:
        if node.op_type == "Constant":
            self._arrays[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            return
        given: dict[str, Any] = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
        if node.op_type in ("Identity", "Dropout"):
            self._values[node.output[0]] = self._values[node.input[0]]
            return
        read = _READERS.get(node.op_type)
        if read is None:
            raise UnshadableError(f"it has a {node.op_type}")
        self._values[node.output[0]] = value = read(self, node, given)
        if isinstance(value, int) and self._uses[node.output[0]] == 1:
            self._open[value] = node.output[0]

    # Values

    def value(self, name: str) -> Value:
        if name not in self._values:
            raise UnshadableError("it computes with constants where pictures are expected")
        return self._values[name]

    def layer(self, name: str) -> int:
        value = self.value(name)
        if not isinstance(value, int):
            raise UnshadableError("it goes on after the enlargement")
        return value

    def array(self, node: onnx.NodeProto, place: int) -> Array | None:
        """A constant input; None where there is none."""
        name = node.input[place] if len(node.input) > place else ""
        if name and name not in self._arrays:
            raise UnshadableError(f"a {node.op_type} whose weights are computed")
        return self._arrays[name] if name else None

    def add(self, layer: Layer) -> int:
        self._layers.append(layer)
        return len(self._layers) - 1

    def apply(self, name: str, activation: Activation) -> Value:
        """An activation: part of the layer before it where nothing else uses that."""
        value = self.value(name)
        if isinstance(value, Formula):
            return Formula(activation.kind, parts=(value,), activation=activation)
        layer = self._layers[value]
        if self._open.pop(value, None) == name:
            self._layers[value] = replace(layer, activations=(*layer.activations, activation))
            return value
        return self.add(Layer((value,), layer.channels, {}, np.zeros(layer.channels, np.float32), (activation,)))

    # Operators

    def convolution(self, node: onnx.NodeProto, given: dict[str, Any]) -> int:
        weight, bias = self.array(node, 1), self.array(node, 2)
        assert weight is not None
        rows, columns = weight.shape[2:]
        dilation = given.get("dilations", [1, 1])
        pads = given.get("pads", [0, 0, 0, 0])
        reach = [dilation[0] * (rows - 1), dilation[1] * (columns - 1)]
        keeps_size = pads[0] + pads[2] == reach[0] and pads[1] + pads[3] == reach[1]
        if given.get("group", 1) != 1 or list(given.get("strides", [1, 1])) != [1, 1] or not keeps_size:
            raise UnshadableError("a convolution in groups, with strides, or that changes the size")
        taps = {
            (y * dilation[0] - pads[0], x * dilation[1] - pads[1]): weight[:, :, y, x]
            for y in range(rows)
            for x in range(columns)
        }
        zeros = np.zeros(len(weight), np.float32)
        return self.add(Layer((self.layer(node.input[0]),), len(weight), taps, zeros if bias is None else bias))

    def transposed(self, node: onnx.NodeProto, given: dict[str, Any]) -> Formula:
        """A transposed convolution whose stride is the scale: one convolution for each pixel of a block."""
        weight, bias = self.array(node, 1), self.array(node, 2)  # (in, out, rows, columns)
        assert weight is not None
        scale, sides = self._scale, weight.shape[2:]
        pads = given.get("pads", [0, 0, 0, 0])
        more = given.get("output_padding", [0, 0])
        fits = all(pads[axis] + pads[axis + 2] == sides[axis] - scale + more[axis] for axis in (0, 1))
        is_plain = given.get("group", 1) == 1 and list(given.get("dilations", [1, 1])) == [1, 1]
        if list(given.get("strides", [1, 1])) != [scale, scale] or not (fits and is_plain):
            raise UnshadableError("a transposed convolution that does not enlarge by the scale")
        channels = weight.shape[1]
        taps: dict[tuple[int, int], Array] = {}
        for row in range(scale):
            for column in range(scale):
                for y in _offsets(row + pads[0], sides[0], scale):
                    for x in _offsets(column + pads[1], sides[1], scale):
                        kernel = weight[:, :, row + pads[0] - scale * y, column + pads[1] - scale * x].T
                        tap = taps.setdefault((y, x), np.zeros((channels * scale**2, weight.shape[0]), np.float32))
                        tap[row * scale + column :: scale**2] = kernel
        biases = np.zeros(channels, np.float32) if bias is None else bias
        made = Layer((self.layer(node.input[0]),), channels * scale**2, taps, np.repeat(biases, scale**2))
        return Formula("shuffled", self.add(made))

    def shuffled(self, node: onnx.NodeProto, given: dict[str, Any]) -> Formula:
        layer = self.layer(node.input[0])
        is_torch_s = given.get("mode", b"DCR") == b"CRD" or self._channels == 1  # with one channel both are the same
        if given.get("blocksize") != self._scale or not is_torch_s:
            raise UnshadableError("it is enlarged in several steps")
        return Formula("shuffled", layer)

    def nearest(self, node: onnx.NodeProto, given: dict[str, Any]) -> Formula:
        scales = self.array(node, 2)
        is_nearest = given.get("mode", b"nearest") == b"nearest"
        is_floor = (
            given.get("nearest_mode") == b"floor" and given.get("coordinate_transformation_mode") == b"asymmetric"
        )
        if scales is None or not (is_nearest and is_floor) or scales.tolist() != [1, 1, self._scale, self._scale]:
            raise UnshadableError("an interpolation other than the nearest pixel by the scale")
        if self.value(node.input[0]) != 0:
            raise UnshadableError("it enlarges a layer by the nearest pixel")
        return Formula("nearest", 0)

    def added(self, node: onnx.NodeProto, given: dict[str, Any]) -> Value:
        constants = [name for name in node.input if name in self._arrays]
        if constants:
            return self.affine(node, given)
        first, second = (self.value(name) for name in node.input)
        if isinstance(first, Formula) and isinstance(second, Formula):
            return Formula("sum", parts=(first, second))
        if isinstance(first, Formula) or isinstance(second, Formula):
            raise UnshadableError("it adds pictures of two sizes")
        channels = self._layers[first].channels
        if self._layers[second].channels != channels:
            raise UnshadableError("it adds layers of different widths")
        return self.add(Layer((first, second), channels, {}, np.zeros(channels, np.float32)))

    def affine(self, node: onnx.NodeProto, _: dict[str, Any]) -> Value:
        """A picture and a number, added or multiplied."""
        names = [name for name in node.input if name not in self._arrays]
        numbers = [self._arrays[name] for name in node.input if name in self._arrays]
        if len(names) != 1 or len(numbers) != 1 or numbers[0].size != 1:
            raise UnshadableError("it multiplies layers by each other")
        number = float(numbers[0].reshape(()))
        pair = (1.0, number) if node.op_type == "Add" else (number, 0.0)
        return self.apply(names[0], Activation("affine", np.array(pair, np.float32)))

    def rectified(self, node: onnx.NodeProto, given: dict[str, Any]) -> Value:
        match node.op_type:
            case "PRelu":
                slopes = self.array(node, 1)
                assert slopes is not None
                return self.apply(node.input[0], Activation("prelu", slopes.reshape(-1)))
            case "LeakyRelu":
                slope = np.array([given.get("alpha", 0.01)], np.float32)
                return self.apply(node.input[0], Activation("prelu", slope))
            case "Clip":
                bounds = [self.array(node, place) for place in (1, 2)]
                least, most = (
                    default if bound is None else float(bound.reshape(()))
                    for bound, default in zip(bounds, (-3e38, 3e38), strict=True)
                )
                return self.apply(node.input[0], Activation("clip", np.array([least, most], np.float32)))
            case _:
                return self.apply(node.input[0], Activation(node.op_type.lower()))


def _offsets(phase: int, side: int, scale: int) -> Iterable[int]:
    """Input pixels, from the one that a block belongs to, that a transposed kernel of `side` reaches from a phase."""
    return range(-((side - 1 - phase) // scale), phase // scale + 1)


_READERS: Final[dict[str, Callable[[_Reader, onnx.NodeProto, dict[str, Any]], Value]]] = {
    "Conv": _Reader.convolution,
    "ConvTranspose": _Reader.transposed,
    "DepthToSpace": _Reader.shuffled,
    "Resize": _Reader.nearest,
    "Add": _Reader.added,
    "Mul": _Reader.affine,
    "Relu": _Reader.rectified,
    "PRelu": _Reader.rectified,
    "LeakyRelu": _Reader.rectified,
    "Clip": _Reader.rectified,
    "Tanh": _Reader.rectified,
    "Sigmoid": _Reader.rectified,
}
