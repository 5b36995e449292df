"""8-bit planes enlarged by a whole number, by OpenVINO: a convolution with a kernel for each place between two samples.

planes  ->  border repeated  ->  convolution, rounded half to even, clipped  ->  (sub-pixel layer)

Where a frame's luma goes through the engine as codes, its chroma is half of what is left to do; this takes a third of
what torch takes for it, whose threads wait for each other while the engine's are at work.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from upscale_cli.inference.backends import libraries
from upscale_cli.inference.backends.openvino_codes import CHANNELS_LAST, CODES, WHITE, Coded


def enlarging(kernels: NDArray[np.float32], before: tuple[int, int], after: tuple[int, int]) -> Coded:
    """A model of one input and one output, (N, 1, h, w) uint8 to (N, h, w, scale * scale) uint8.

    Args:
        kernels: (scale * scale, 1, h', w'); the first belongs to the first place of the first row.
        before, after: samples that they reach over, down and across: together one less than their sides.
    """
    openvino = libraries.openvino()
    op = openvino.opset13

    def constant(values: Any) -> Any:
        return op.constant(np.array(values))

    codes = op.parameter([-1, 1, -1, -1], openvino.Type.u8, name=CODES)
    padded = op.pad(op.convert(codes, "f32"), constant([0, 0, *before]), constant([0, 0, *after]), "edge")
    none = [0, 0]
    sr = op.convolution(padded, op.constant(kernels), [1, 1], none, none, [1, 1])
    sr = op.convert(op.round(op.clamp(sr, 0.0, float(WHITE)), "half_to_even"), "u8")
    model = openvino.Model([op.result(op.transpose(sr, constant(CHANNELS_LAST)))], [codes], "planes")
    return Coded(model, round(len(kernels) ** 0.5))
