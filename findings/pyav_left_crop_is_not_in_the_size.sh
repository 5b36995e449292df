#!/usr/bin/env bash
# H.264 with a crop at its left border: PyAV's codec context tells another width than its frames have.
#
# Seen with av 18.1.0 (PyPI wheel with its own FFmpeg libraries, Linux x86_64). The sequence parameter set of an H.264
# stream may crop any border. libavcodec moves the data pointer for the left crop only if that keeps its alignment; if
# not, it leaves the left part in the picture and the frames are wider than `codec_context.width`, with no warning. With
# the decoder flag "unaligned" the frames have the width that was announced. Who reserves memory by the context's size,
# or checks raw frames against it, fails on valid clips of cameras and capture cards that crop on the left.
#
# Output when it was seen:
#   announced 64 x 64, decoded 72 x 64
#   with flags=+unaligned: decoded 64 x 64
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet av==18.1.0 numpy
cd "$folder"
venv/bin/python - <<'PYTHON'
import av
import numpy as np

with av.open("plain.h264", "w") as out:
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
    for number in range(3):
        picture = np.full((64, 96, 3), 40 * number, np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    out.mux(stream.encode(None))

with av.open("plain.h264") as source, av.open("cropped.h264", "w") as out:
    stream = source.streams.video[0]
    target = out.add_stream_from_template(stream)
    crop = av.bitstream.BitStreamFilterContext("h264_metadata=crop_left=8:crop_right=24", stream, target)
    for packet in source.demux(stream):
        for filtered in crop.filter(packet if packet.size else None):
            filtered.stream = target
            out.mux(filtered)


def decoded(options: dict[str, str]) -> tuple[tuple[int, int], tuple[int, int]]:
    with av.open("cropped.h264") as source:
        stream = source.streams.video[0]
        stream.codec_context.options = options
        announced = stream.codec_context.width, stream.codec_context.height
        frame = next(source.decode(stream))
        return announced, (frame.width, frame.height)


announced, plain = decoded({})
_, unaligned = decoded({"flags": "+unaligned"})
print(f"announced {announced[0]} x {announced[1]}, decoded {plain[0]} x {plain[1]}")
print(f"with flags=+unaligned: decoded {unaligned[0]} x {unaligned[1]}")
assert announced == (64, 64) and plain == (72, 64) and unaligned == (64, 64)
PYTHON
echo "as it was seen"
