"""A net rewritten so that 8-bit values go in and come out: the engine does what is done to every sample, on all of its
threads, and what lies between two steps stays in a cache.

codes or pixels  ->  (code - zero) / span  ->  net  ->  span * value + zero, clipped, rounded half to even  ->  codes
                                               ->  mean, which NaN and Inf reach
"""

from typing import Any, Final, NamedTuple

import numpy as np

from upscale_cli.inference.backends import libraries

WHITE: Final = 255

CODES: Final = "codes"
"""The input's name."""

CHANNELS_FIRST: Final = (0, 3, 1, 2)
CHANNELS_LAST: Final = (0, 2, 3, 1)
"""Axes of one order, in the other."""


class Coded(NamedTuple):
    """A net of codes.

    Attributes:
        model: openvino's, of one input, uint8, and two outputs, uint8 and (N,) float32.
        block: side of the sub-pixel layer that the model leaves to be done: of each LR pixel it gives what lies in its
            place, (N, H, W, block * block); 1: none.
    """

    model: Any
    block: int


def with_codes(model: Any, zero: float, span: float, channels_last: int = 0) -> Coded:
    """A net of codes, from one of values.

    Args:
        model: openvino's, of one input and, first among its outputs, the SR picture; stays as it is.
        zero, span: what the codes mean.
        channels_last: pictures are (N, H, W, C) of so many channels on both sides; 0: (N, 1, H, W).
    """
    openvino = libraries.openvino()
    op = openvino.opset13

    def number(value: float) -> Any:
        return op.constant(np.float32(value))

    def in_order(value: Any, order: tuple[int, ...]) -> Any:
        return op.transpose(value, op.constant(np.array(order)))

    model = model.clone()
    shape = [-1, -1, -1, channels_last] if channels_last else [-1, 1, -1, -1]
    codes = op.parameter(shape, openvino.Type.u8, name=CODES)
    values = op.divide(op.subtract(op.convert(codes, "f32"), number(zero)), number(span))
    values = in_order(values, CHANNELS_FIRST) if channels_last else values
    for user in list(model.input(0).get_target_inputs()):
        user.replace_source_output(values.output(0))
    sr, *others = (result.input_value(0) for result in model.get_results())
    shuffled = None if channels_last > 1 else _shuffled(sr)
    block = 1
    if shuffled is not None:  # what is done to every sample is done before, where it belongs to the last convolution
        shuffle, sr = shuffled
        block = shuffle.get_attributes()["block_size"]
    sr = op.add(op.multiply(sr, number(span)), number(zero))
    # Engines compute with the channels last. To add them up in another order they would have to be moved first, as
    # float: so the mean is of what is rounded, in its own order.
    in_place = in_order(sr, CHANNELS_LAST) if block > 1 else sr
    mean = op.reduce_mean(in_place, op.constant(np.array([1, 2, 3])), keep_dims=False)
    sr = op.convert(op.round(op.clamp(sr, 0.0, float(WHITE)), "half_to_even"), "u8")
    if channels_last or block > 1:
        sr = in_order(sr, CHANNELS_LAST)
    # Whatever else was made an output was made one so that it stays (`openvino.read`).
    results = [op.result(sr), op.result(mean), *map(op.result, others)]
    return Coded(openvino.Model(results, [codes], model.get_friendly_name()), block)


def _made_by(output: Any) -> Any:
    """The node that an output is of, those that change nothing left out."""
    node = output.get_node()
    while node.get_type_name() == "Identity":
        node = node.input_value(0).get_node()
    return node


def _shuffled(sr: Any) -> tuple[Any, Any] | None:
    """The sub-pixel layer that one plane ends in, and the values that make `sr` where they go through it instead.

    It may be that each LR pixel is repeated and added after it; then it is added before, to all that will lie in its
    place. None where the plane ends in something else.
    """
    op = libraries.openvino().opset13
    last = _made_by(sr)
    if last.get_type_name() == "DepthToSpace":
        return last, last.input_value(0)
    if last.get_type_name() != "Add":
        return None
    kinds = {node.get_type_name(): node for node in (_made_by(last.input_value(place)) for place in (0, 1))}
    shuffle, repeated = kinds.get("DepthToSpace"), kinds.get("Interpolate")
    if shuffle is None or repeated is None:
        return None
    its = repeated.get_attributes()
    how = its["mode"], its["coordinate_transformation_mode"], its["nearest_mode"]
    if how != ("nearest", "asymmetric", "floor"):
        return None
    return shuffle, op.add(shuffle.input_value(0), repeated.input_value(0))
