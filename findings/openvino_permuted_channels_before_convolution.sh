#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU plugin: a Gather that permutes channels, followed by a Convolution, gives a wrong picture.
#
# What one would expect: the convolution sees the channels in the order that the Gather gives them. What happens: the
# Gather is folded into the weights of the convolution, by the permutation where its inverse is needed. So it is right for
# an order that is its own inverse (reversed, or unchanged), and wrong for any other, by as much as the picture itself;
# no error, no warning. With the Gather's result as a second output of the model it is not folded, and all is right. Such
# a pair is what SpaceToDepth of ONNX needs to become pixel_unshuffle of torch, whose channels have another order.
#
# Seen (2026-11, Linux, x86-64): "own inverse: 0.0000 folded, 0.0000 kept", "another: 9.2699 folded, 0.0000 kept".
# The script fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import openvino as ov
from openvino import opset15 as ops

CHANNELS, PLANES = 12, 8
SETTINGS = {"INFERENCE_PRECISION_HINT": "f32"}
rng = np.random.default_rng(1)
picture = rng.random((1, CHANNELS, 4, 6), dtype=np.float32)
weights = rng.standard_normal((PLANES, CHANNELS, 3, 3)).astype(np.float32)


def expected(order):
    """The convolution by its definition, in float64."""
    sorted_ = np.pad(picture[:, order].astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    total = np.zeros((1, PLANES, 4, 6))
    for y in range(3):
        for x in range(3):
            total += np.einsum("oc,nchw->nohw", weights[:, :, y, x], sorted_[:, :, y : y + 4, x : x + 6])
    return total


def error(order, *, is_kept):
    given = ops.parameter([1, CHANNELS, 4, 6], np.float32)
    permuted = ops.gather(given, ops.constant(np.array(order, np.int64)), ops.constant(np.int64(1)))
    made = ops.convolution(permuted, ops.constant(weights), [1, 1], [1, 1], [1, 1], [1, 1])
    model = ov.Model([made, permuted] if is_kept else [made], [given])
    answer = ov.Core().compile_model(model, "CPU", SETTINGS)(picture)[0]
    return float(np.abs(answer - expected(order)).max())


found = {}
orders = {"own inverse": list(range(CHANNELS))[::-1], "another": list(np.arange(CHANNELS).reshape(4, 3).T.ravel())}
for name, order in orders.items():
    found[name] = error(order, is_kept=False), error(order, is_kept=True)
    print(f"{name}: {found[name][0]:.4f} folded, {found[name][1]:.4f} kept")
assert max(found["own inverse"]) < 1e-4, "reversed channels were right"
assert found["another"][1] < 1e-4, "with the Gather as an output it was right"
assert found["another"][0] > 1, "it was wrong where the Gather is folded: this is mended"
print("as described, with OpenVINO", ov.get_version())
PYTHON
