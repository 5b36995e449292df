#!/usr/bin/env bash
# OpenImageIO 3.2.2.0 refuses a valid JPEG XL file of fewer than 128 bytes, and reads it once zeros are appended.
#
# Seen with openimageio 3.2.2.0 (PyPI wheel, Linux x86_64) and imagecodecs 2026.3.6, which writes the file and reads it
# back: an 8 x 8 picture of one colour, lossless, takes some twenty bytes. OpenImageIO says "Possible corrupt file, JPEG
# XL signature verification failed"; the signature is there. With zeros up to 128 bytes, which a decoder ignores behind
# the codestream, the same file opens, and its pixels are right. Who relies on OpenImageIO to tell whether a file is a
# JPEG XL turns down icons, masks and flat tiles.
#
# Output when it was seen:
#   32 bytes: imagecodecs (8, 8, 3), OpenImageIO refuses it
#   128 bytes: OpenImageIO 8 x 8, pixels equal
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet openimageio==3.2.2.0 imagecodecs==2026.3.6 numpy
cd "$folder"
venv/bin/python - <<'PYTHON'
import imagecodecs
import numpy as np
import OpenImageIO as oiio

picture = np.full((8, 8, 3), (200, 40, 90), np.uint8)
data = imagecodecs.jpegxl_encode(picture, lossless=True)
assert len(data) < 128, len(data)
assert np.array_equal(imagecodecs.jpegxl_decode(data), picture)
with open("small.jxl", "wb") as file:
    file.write(data)
refused = oiio.ImageInput.open("small.jxl") is None
message = oiio.geterror()
print(f"{len(data)} bytes: imagecodecs {picture.shape}, OpenImageIO {'refuses it' if refused else 'reads it'}")
assert refused and "signature" in message, message

with open("padded.jxl", "wb") as file:
    file.write(data + bytes(128 - len(data)))
padded = oiio.ImageInput.open("padded.jxl")
assert padded is not None, oiio.geterror()
pixels = padded.read_image("uint8")
equal = np.array_equal(pixels, picture)
print(f"128 bytes: OpenImageIO {padded.spec().width} x {padded.spec().height}, pixels {'equal' if equal else 'differ'}")
padded.close()
assert equal
PYTHON
echo "as it was seen"
