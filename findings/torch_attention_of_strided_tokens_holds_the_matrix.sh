#!/usr/bin/env bash
# torch 2.13.0, CPU: scaled_dot_product_attention holds the whole matrix of scores when the last axis of its inputs is
# not contiguous, as it is after `features.flatten(2).transpose(1, 2)`, the usual way from a picture to its tokens.
#
# What one would expect: the fused kernel, whose memory grows with the number of tokens, as for the same values laid out
# otherwise; or a copy of some megabytes. What happens: another kernel is taken without a word, and memory grows with the
# square of the number of tokens. `.contiguous()` before the call, a copy of a thousandth of the size, brings the fused
# kernel back. The values are alike.
#
# Seen (2026-11, Linux, x86-64), 12,288 tokens of 16 channels, whose matrix has 604 MB: "contiguous: 4 MB more,
# transposed: 1253 MB more", give or take. The script fails if that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.6
cat >"$folder/one.py" <<'PYTHON'
import resource
import sys

import torch
from torch.nn.functional import scaled_dot_product_attention

TOKENS, CHANNELS = 12_288, 16
torch.manual_seed(0)
features = torch.rand(1, CHANNELS, 96, TOKENS // 96)
tokens = features.flatten(2).transpose(1, 2)[:, None]  # (1, 1, TOKENS, CHANNELS)
if sys.argv[1] == "contiguous":
    tokens = tokens.contiguous()
small = tokens[:, :, :64]
scaled_dot_product_attention(small, small, small)  # what a first call loads is no part of it
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
out = scaled_dot_product_attention(tokens, tokens, tokens)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((after - before) / 1024, float(out.double().sum()))
PYTHON
contiguous=$("$folder/venv/bin/python" "$folder/one.py" contiguous)
transposed=$("$folder/venv/bin/python" "$folder/one.py" transposed)
"$folder/venv/bin/python" - "$contiguous" "$transposed" <<'PYTHON'
import sys

import torch

one, other = ([float(number) for number in text.split()] for text in sys.argv[1:])
print(f"contiguous: {one[0]:.0f} MB more, transposed: {other[0]:.0f} MB more")
assert abs(one[1] - other[1]) < 1e-4 * abs(one[1]), "the values were alike"
assert one[0] < 100, "the fused kernel held no matrix"
assert other[0] > 500, "transposed tokens take the fused kernel now: this is mended"
print("as described, with torch", torch.__version__)
PYTHON
