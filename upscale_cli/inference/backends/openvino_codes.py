"""A net for luma, rewritten so that 8-bit code values go in and come out: the engine does what is done to every sample.

codes  ->  (code - zero) / span  ->  net  ->  span * value + zero, clipped, rounded half to even  ->  codes
                                          ->  mean, which NaN and Inf reach
"""

from typing import Any

import numpy as np

WHITE = 255


def with_codes(model: Any, zero: float, span: float) -> Any:
    """Another model, of one input, (N, 1, H, W) uint8, and two outputs: (N, 1, H', W') uint8 and (N,) float32.

    Args:
        model: openvino's, of one input and, first among its outputs, the SR picture; stays as it is.
        zero, span: what the codes mean.
    """
    import openvino
    from openvino import opset13 as op

    def number(value: float) -> Any:
        return op.constant(np.float32(value))

    model = model.clone()
    codes = op.parameter([-1, 1, -1, -1], openvino.Type.u8, name="codes")
    values = op.divide(op.subtract(op.convert(codes, "f32"), number(zero)), number(span))
    for user in list(model.input(0).get_target_inputs()):
        user.replace_source_output(values.output(0))
    first, *others = (result.input_value(0) for result in model.get_results())
    mean = op.reduce_mean(first, op.constant(np.array([1, 2, 3])), keep_dims=False)
    sr = op.clamp(op.add(op.multiply(first, number(span)), number(zero)), 0.0, float(WHITE))
    sr = op.convert(op.round(sr, "half_to_even"), "u8")
    # Whatever else was made an output was made one so that it stays (`openvino.read`).
    return openvino.Model([op.result(sr), op.result(mean), *map(op.result, others)], [codes], model.get_friendly_name())
