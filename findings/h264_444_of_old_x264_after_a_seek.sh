#!/usr/bin/env bash
# H.264 4:4:4 by an x264 before build 151: after a seek, libavcodec gives garbage, and no error.
#
# Seen with av 18.1.0 (PyPI wheel with its own FFmpeg libraries, Linux x86_64); the clip is made by the ffmpeg 2.5.3 of
# ffmpeg-static 1.0.0 (npm), with x264 build 144. x264 had a fault in how it chose CABAC contexts in 4:4:4 with
# transforms of 8 x 8 (mended in build 151), and its streams are decoded rightly only with the same fault. libavcodec
# knows it by x264's SEI message, which stands before the first frame of a file and nowhere else. Who seeks passes it
# over: the frames come, in number and time as they should, without an error, and are not the pictures that decoding
# from the start gives. With the decoder's option `x264_build`, of the number in the message, they are.
#
# Output when it was seen:
#   x264 - core 144
#   from the start: 11 frames, 3.3 away from the source in the mean
#   after a seek: 11 frames, 45.1 away from the source in the mean
#   with x264_build=144: 11 frames, 3.3 away from the source in the mean
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet av==18.1.0 numpy
cd "$folder"
npm pack --silent ffmpeg-static@1.0.0 > package.name
tar xzf "$(cat package.name)" package/bin/linux/x64/ffmpeg
picture=mandelbrot=s=64x64:r=8:start_scale=0.4:end_pts=40
package/bin/linux/x64/ffmpeg -loglevel error -f lavfi -i "$picture" -frames:v 24 -pix_fmt yuv444p \
    -c:v libx264 -g 12 -sc_threshold 0 -crf 28 clip.mp4 -frames:v 24 -pix_fmt yuv444p -f rawvideo clip.yuv
venv/bin/python - <<'PYTHON'
import re

import av
import numpy as np


def frames(begin: float, **options: str) -> dict[int, np.ndarray]:
    with av.open("clip.mp4") as container:
        stream = container.streams.video[0]
        stream.codec_context.options = options
        if begin:
            container.seek(round(begin / stream.time_base), stream=stream)
        return {frame.pts: frame.to_ndarray() for frame in container.decode(stream) if frame.time >= begin}


with open("clip.mp4", "rb") as stream:
    note = re.search(rb"x264 - core (\d+)", stream.read())
assert note is not None
print(note[0].decode())
source = np.fromfile("clip.yuv", np.uint8).reshape(24, 3, 64, 64)
errors = []
for name, begin, options in (
    ("from the start", 0, {}),
    ("after a seek", 1.6, {}),
    ("with x264_build=144", 1.6, {"x264_build": "144"}),
):
    found = frames(begin, **options)
    last = [found[pts].astype(int) for pts in sorted(found)][-11:]
    errors.append(np.abs(np.array(last) - source[-11:]).mean())
    print(f"{name}: {len(last)} frames, {errors[-1]:.1f} away from the source in the mean")
    assert len(last) == 11
assert note[1] == b"144" and errors[0] == errors[2] < 5 and errors[1] > 20
PYTHON
echo "as it was seen"
