"""A net computed in strips within one call, so that what lies between two layers stays in the processor's cache.

picture  ->  rows of a strip, and as many around as its layers reach  ->  net  ->  strips put together

Each layer makes only those rows that the layers after it need for the strip: so less is computed twice than in windows,
whose every layer computes the whole halo. At the picture's border all is as it was: a layer pads there, and nowhere
else. The values are those of the whole, bit for bit, where an engine adds up a pixel's products in the same order.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from upscale_cli.inference.backends import libraries

POINTWISE: Final = frozenset((
    "Add", "Clamp", "Convert", "Divide", "Elu", "FakeQuantize", "Gelu", "HSwish", "Identity", "Maximum", "Minimum",
    "Mish", "Multiply", "PRelu", "Relu", "Round", "Sigmoid", "SoftPlus", "Subtract", "Swish", "Tanh",
))  # fmt: skip
"""Operations of which a row depends on the same row of what goes in."""

CONVOLUTIONS: Final = frozenset(("Convolution", "GroupConvolution"))

ROWS: Final = 2
"""The axis of rows in planes, (N, C, H, W)."""

AXES: Final = 4

STRIP_PIXELS: Final = 2**16
"""Of the picture, in a strip. espcn in bfloat16 took a sixth less of the processor so than as a whole, of 960 x 540; in
half and twice as many pixels less was gained."""

MOST_EXTRA: Final = 0.12
"""Which share of multiply-adds may be done twice, around strips; they are made higher for that."""


class Rows(NamedTuple):
    """Of one value, from `start` to before `stop`."""

    start: int
    stop: int

    def joined(self, other: "Rows | None") -> "Rows":
        return self if other is None else Rows(min(self.start, other.start), max(self.stop, other.stop))


class _Indivisible(Exception):  # noqa: N818  # no error: it stays whole
    """Something in the net looks further than a few rows, or is not known here."""


def in_strips(model: Any) -> Any:
    """Another model of the same inputs and outputs, or the same where strips are not possible, or not worth it.

    Args:
        model: openvino's, of one input, with sides that are fixed; stays as it is.
    """
    try:
        net = _Net(model)
    except _Indivisible:
        return model
    whole = net.work([net.needed(Rows(0, net.height))])
    for count in range(math.ceil(net.height * net.width / STRIP_PIXELS), 1, -1):
        strips = [Rows(net.height * place // count, net.height * (place + 1) // count) for place in range(count)]
        ways = [net.needed(strip) for strip in strips]
        if net.work(ways) <= (1 + MOST_EXTRA) * whole:
            made = net.divided(strips, ways)
            is_alike = [one.shape for one in made.outputs] == [one.shape for one in model.outputs]
            return made if is_alike else model  # something in it goes by the size of the picture
    return model


@dataclass(slots=True)
class _Needed:
    """What of each node a strip takes, by its place in the net.

    Attributes:
        made: rows that the node makes; all that is needed of it, or a little more.
        taken: of the values that go into it, by the number of the input.
    """

    made: dict[int, Rows] = field(default_factory=dict)
    taken: dict[int, dict[int, Rows]] = field(default_factory=dict)


class _Net:
    """The nodes of a model that depend on the picture, which is planes, (N, C, height, width).

    Raises:
        _Indivisible: see there.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._nodes: list[Any] = model.get_ordered_ops()
        self._place = {node.get_name(): place for place, node in enumerate(self._nodes)}
        pictures = [place for place, node in enumerate(self._nodes) if node.get_type_name() == "Parameter"]
        if len(pictures) != 1:
            raise _Indivisible
        (self._picture,) = pictures
        self._axis = {self._picture: ROWS}
        *_, self.height, self.width = self._nodes[self._picture].get_output_shape(0)
        for place, node in enumerate(self._nodes):
            sources = self._sources(node)
            if sources and node.get_type_name() != "ShapeOf":  # each strip has its own
                self._axis[place] = self._axis_of(node, sources)
        self._results = [self._place[result.get_name()] for result in model.get_results()]
        ends = [self._end(place) for place in self._results if place in self._axis]
        if not ends or any(self._length(end) % self.height for end in ends):
            raise _Indivisible

    def _sources(self, node: Any) -> dict[int, int]:
        """Places of the nodes that go into one, by the number of the input; of those that depend on the picture."""
        places = (
            (number, self._place[node.input_value(number).get_node().get_name()])
            for number in range(node.get_input_size())
        )
        return {number: place for number, place in places if place in self._axis}

    def _axis_of(self, node: Any, sources: dict[int, int]) -> int:
        """Along which a node's rows lie.

        Raises:
            _Indivisible: it is of an unknown kind.
        """
        kind = node.get_type_name()
        axes = {self._axis[place] for place in sources.values()}
        if len(axes) != 1 or len(node.outputs()) > 1:
            raise _Indivisible
        (axis,) = axes
        if kind in POINTWISE:
            rows = node.get_output_shape(0)[axis]
            is_known = rows > 1 and all(
                self._length(sources[number]) == rows
                if number in sources
                else _rows_from_behind(node.input_value(number).get_shape(), axis) == 1
                for number in range(node.get_input_size())
            )
        elif kind in CONVOLUTIONS:
            is_known = axis == ROWS and list(sources) == [0] and _is_plain(node)
        elif kind == "Interpolate":
            is_known = axis == ROWS and list(sources) == [0] and _repeats(node)
        elif kind == "ReduceMean":
            users = [user.get_node().get_type_name() for user in node.output(0).get_target_inputs()]
            is_known = users == ["Result"] and not node.get_attributes()["keep_dims"]
        else:
            is_known = kind == "Result" or (kind == "DepthToSpace" and axis == ROWS)
        if is_known:
            return axis
        if kind == "Transpose" and list(sources) == [0]:
            order = node.input_value(1).get_node()
            if order.get_type_name() == "Constant":
                return [int(one) for one in order.get_data()].index(axis)
        raise _Indivisible

    def _length(self, place: int) -> int:
        """Rows of a node's value."""
        return int(self._nodes[place].get_output_shape(0)[self._axis[place]])

    def _end(self, result: int) -> int:
        """The node whose rows a result is of, or is the mean of."""
        (source,) = self._sources(self._nodes[result]).values()
        averaged = self._mean_of(source)
        return source if averaged is None else averaged

    def _mean_of(self, place: int) -> int | None:
        """What is averaged there; None for other nodes."""
        node = self._nodes[place]
        return self._sources(node)[0] if node.get_type_name() == "ReduceMean" else None

    def needed(self, strip: Rows) -> _Needed:
        """What a strip takes.

        Args:
            strip: rows of the picture that goes in.
        """
        way = _Needed()
        wanted: dict[int, Rows] = {}
        for place in sorted(self._axis, reverse=True):
            node = self._nodes[place]
            if node.get_type_name() == "Result":
                times = self._length(self._end(place)) // self.height
                made = taken = Rows(strip.start * times, strip.stop * times)
            elif place in wanted:
                made, taken = self._rows(place, wanted[place])
            else:
                continue  # nothing looks at it
            sources = self._sources(node)
            way.made[place] = made
            way.taken[place] = dict.fromkeys(sources, taken)
            for source in sources.values():
                wanted[source] = taken.joined(wanted.get(source))
        return way

    def _rows(self, place: int, wanted: Rows) -> tuple[Rows, Rows]:
        """What a node makes where those rows are wanted of it, and what it takes for that."""
        node = self._nodes[place]
        kind = node.get_type_name()
        if kind in CONVOLUTIONS:
            before, reach = _reach(node)
            length = self._length(self._sources(node)[0])
            return wanted, Rows(max(0, wanted.start - before), min(length, wanted.stop - before + reach))
        if kind in ("DepthToSpace", "Interpolate"):
            times = self._length(place) // self._length(self._sources(node)[0])
            taken = Rows(wanted.start // times, -(-wanted.stop // times))
            return Rows(taken.start * times, taken.stop * times), taken
        return wanted, wanted

    def work(self, ways: Iterable[_Needed]) -> float:
        """Multiply-adds of the convolutions, in rows times what a row takes."""
        total = 0.0
        for way in ways:
            for place, rows in way.made.items():
                node = self._nodes[place]
                if node.get_type_name() in CONVOLUTIONS:
                    kernel = math.prod(node.input_value(1).get_shape()[1:])
                    row = math.prod(node.get_output_shape(0)) / self._length(place)
                    total += (rows.stop - rows.start) * row * kernel
        return total

    def divided(self, strips: Sequence[Rows], ways: Sequence[_Needed]) -> Any:
        """The model, in those strips."""
        openvino = libraries.openvino()
        op = openvino.opset13
        given = self._nodes[self._picture]
        picture = op.parameter(given.get_output_shape(0), given.get_element_type(), name=given.get_friendly_name())
        parts = [self._strip(picture, way) for way in ways]
        results: list[Any] = []
        for number, place in enumerate(self._results):
            made = [part[number] for part in parts]
            if place not in self._axis:  # it is an output so that it stays (`openvino.read`), in each of the strips
                results += map(op.result, made)
                continue
            (source,) = self._sources(self._nodes[place]).values()
            if self._mean_of(source) is not None:
                shares = [np.float32((strip.stop - strip.start) / self.height) for strip in strips]
                weighted = [op.multiply(one, op.constant(share)) for one, share in zip(made, shares, strict=True)]
                whole = weighted[0]
                for one in weighted[1:]:
                    whole = op.add(whole, one)
            else:
                whole = op.concat(made, self._axis[place])
            results.append(op.result(whole))
        model = openvino.Model(results, [picture], self._model.get_friendly_name())
        model.validate_nodes_and_infer_types()
        return model

    def _strip(self, picture: Any, way: _Needed) -> list[Any]:
        """What goes into the results, of one strip."""
        nodes = self._model.clone().get_ordered_ops()
        made = {**way.made, self._picture: Rows(0, self.height)}
        for place, taken in sorted(way.taken.items()):
            node, sources = nodes[place], self._sources(self._nodes[place])
            for number, rows in taken.items():
                source = sources[number]
                value = picture.output(0) if source == self._picture else nodes[source].output(0)
                if rows != made[source]:
                    value = _cut(value, self._axis[source], rows.start - made[source].start, rows.stop - rows.start)
                if source == self._picture or rows != made[source]:
                    node.input(number).replace_source_output(value)
            if node.get_type_name() in CONVOLUTIONS:
                _pad(node, way.made[place], self._length(sources[0]))
        return [nodes[place].input_value(0) for place in self._results]


def _rows_from_behind(shape: Sequence[int], axis: int) -> int:
    """Of a value that is spread over others by its last axes, of which rows lie along `axis` of four."""
    place = len(shape) + axis - AXES
    return int(shape[place]) if place >= 0 else 1


def _is_plain(convolution: Any) -> bool:
    its = convolution.get_attributes()
    return set(its["strides"]) == {1} and its["auto_pad"] == "explicit"


def _reach(convolution: Any) -> tuple[int, int]:
    """(rows that are padded above, rows that it looks at in addition to one)."""
    its = convolution.get_attributes()
    return its["pads_begin"][0], (convolution.input_value(1).get_shape()[-2] - 1) * its["dilations"][0]


def _pad(convolution: Any, made: Rows, length: int) -> None:
    """Has it pad at the picture's border only."""
    before, reach = _reach(convolution)
    its = convolution.get_attributes()
    above, below = max(0, before - made.start), max(0, made.stop - before + reach - length)
    convolution.set_attribute("pads_begin", [above, its["pads_begin"][1]])
    convolution.set_attribute("pads_end", [below, its["pads_end"][1]])


def _repeats(interpolation: Any) -> bool:
    """Whether it repeats each pixel a whole number of times."""
    its = interpolation.get_attributes()
    how = its["mode"], its["coordinate_transformation_mode"], its["nearest_mode"], its["shape_calculation_mode"]
    rows_in, rows_out = (value.get_shape()[ROWS] for value in (interpolation.input_value(0), interpolation.output(0)))
    return how == ("nearest", "asymmetric", "floor", "scales") and rows_out % rows_in == 0


def _cut(value: Any, axis: int, start: int, count: int) -> Any:
    op = libraries.openvino().opset13

    def numbers(*values: int) -> Any:
        return op.constant(np.array(values, np.int64))

    return op.slice(value, numbers(start), numbers(start + count), numbers(1), numbers(axis)).output(0)
