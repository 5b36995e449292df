#!/usr/bin/env bash
# Pillow's bicubic resize of 8-bit pictures rounds and cuts to 0..255 between its two passes; of float pictures it does not.
#
# Seen with pillow 13.0.0 and numpy 2.4.6 (PyPI wheels, Linux x86_64). A separable bicubic kernel overshoots beside an
# edge. For mode "L" the horizontal pass is stored in 8 bits, cut off at 0 and 255, before the vertical pass, which then
# has nothing of the overshoot to weigh against. The same kernel on mode "F", rounded and cut once at the end, gives
# other pixels: on noise by up to tens of levels, on photos by a level or two beside hard edges. Who compares a bicubic
# of their own (or a browser's, or torch's) with Pillow's to within one level has to use mode "F".
#
# Output when it was seen:
#   noise: largest difference above 10 levels, rounding alone would be 1
#   middle grays (64..191, no value reaches a limit): at most 1 level
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
from PIL import Image


def difference(low: int, high: int) -> int:
    picture = np.random.default_rng(0).integers(low, high + 1, (64, 64), dtype=np.uint8)
    size = (192, 192)
    eight = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)).astype(int)
    exact = np.asarray(Image.fromarray(picture.astype(np.float32)).resize(size, Image.Resampling.BICUBIC))
    return int(np.abs(eight - np.clip(np.rint(exact), 0, 255).astype(int)).max())


noise, gray = difference(0, 255), difference(64, 191)
print(f"noise: {noise} levels; middle grays: {gray}")
assert noise > 10, noise
assert gray <= 1, gray
PYTHON
echo "as it was seen"
