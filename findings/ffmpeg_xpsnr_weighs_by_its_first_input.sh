#!/usr/bin/env bash
# ffmpeg's xpsnr: its inputs are called "main" and "reference", and it takes its weights from "main".
#
# Seen with ffmpeg 9.0.2 (imageio-ffmpeg 0.8.1, Linux x86_64). Filters that compare (psnr, ssim, libvmaf) take the
# distorted video first and the reference second; xpsnr names its inputs in the same way. But it looks for texture and
# motion, which decide how much an error counts, in the first one. So the usual order gives other figures: a blurred
# video has less texture, and its errors count more. It wants the reference first. Besides, the first frame is compared
# with a frame of zeros as the one before, so that of equal pairs of frames the first has another figure than the second.
#
# Output when it was seen:
#   distorted first: frame 1 33.0, frame 2 21.3 dB
#   reference first: frame 1 34.8, frame 2 29.0 dB
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet imageio-ffmpeg==0.8.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import re
import subprocess
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe

still = "mandelbrot=size=320x240:rate=10,trim=end_frame=1,loop=1:1,format=yuv420p"
graphs = {
    "distorted first": "[blurred][plain]",
    "reference first": "[plain][blurred]",
}
found = {}
for name, order in graphs.items():
    graph = f"{still},split[plain][b];[b]gblur=sigma=2[blurred];{order}xpsnr=stats_file=log.txt"
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-filter_complex", graph, "-f", "null", "-"], check=True)
    found[name] = [float(value) for value in re.findall(r"^n.*?XPSNR y: +(\S+)", Path("log.txt").read_text(), re.M)]
    print(f"{name}: frame 1 {found[name][0]:.1f}, frame 2 {found[name][1]:.1f} dB")
assert abs(found["distorted first"][1] - found["reference first"][1]) > 0.5, found
assert abs(found["reference first"][0] - found["reference first"][1]) > 0.5, found
PYTHON
echo "as it was seen"
