#!/usr/bin/env bash
# torch 2.13.0: Module.to(memory_format=torch.channels_last) fails on a module that holds a 5-D buffer or parameter.
#
# What one would expect: the documentation speaks of "the desired memory format for 4D parameters and buffers in this
# module", so tensors of other ranks are left as they are, as 1-D biases and 3-D ones are. What happens: tensors of five
# dimensions are converted too, to a format that only four can have, and the whole call ends with "required rank 4 tensor
# to use channels_last format". A table of filters that is indexed by three bins and two offsets is such a tensor; the
# module's own convolutions are then not converted either, depending on the order.
#
# Seen (2026-11, Linux, x86-64): "3-D buffer: converted", "5-D buffer: RuntimeError: required rank 4 tensor to use
# channels_last format". The script fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch import nn


def outcome(rank):
    module = nn.Module()
    module.register_buffer("table", torch.zeros([2] * rank))
    module.conv = nn.Conv2d(4, 4, 3)
    try:
        module.to(memory_format=torch.channels_last)
    except RuntimeError as error:
        return f"RuntimeError: {str(error).splitlines()[0]}"
    assert module.conv.weight.is_contiguous(memory_format=torch.channels_last)
    return "converted"


found = {rank: outcome(rank) for rank in (3, 5)}
for rank, text in found.items():
    print(f"{rank}-D buffer: {text}")
assert found[3] == "converted", "others than four dimensions were left alone"
assert "required rank 4 tensor" in found[5], "five dimensions are left alone now: this is mended"
print("as described, with torch", torch.__version__)
PYTHON
