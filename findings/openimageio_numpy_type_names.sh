#!/usr/bin/env bash
# OpenImageIO takes NumPy's names of types for 8 and 16 bits, and for 32 bits silently makes 8-bit pictures of them.
#
# Seen with openimageio 3.2.2.0, numpy 2.4.6 and tifffile 2026.3.3 (PyPI wheels, Linux x86_64). `ImageSpec(w, h, c,
# str(array.dtype))` works for uint8 and uint16, so one would go on with it. "uint32", "int32", "float32" and "float16"
# are no names of OpenImageIO's (those are "uint", "int", "float" and "half"); the spec's format then is "unknown", with
# no error there, in `ImageOutput.open`, in `write_image` or in `geterror`. A float TIFF written so has 8 bits.
#
# Output when it was seen:
#   uint8 -> uint8, uint16 -> uint16, uint32 -> unknown, int32 -> unknown, float32 -> unknown, float16 -> unknown
#   a TIFF from float32 by its name: opened True, written True, error '', samples are uint8
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet openimageio==3.2.2.0 numpy==2.4.6 tifffile==2026.3.3
cd "$folder"
venv/bin/python - <<'PYTHON'
import numpy as np
import OpenImageIO as oiio
import tifffile

names = ("uint8", "uint16", "uint32", "int32", "float32", "float16")
formats = {name: str(oiio.ImageSpec(4, 4, 1, name).format) for name in names}
print(", ".join(f"{name} -> {format}" for name, format in formats.items()))
assert formats == {name: name if name in ("uint8", "uint16") else "unknown" for name in names}

pixels = np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4, 1)
out = oiio.ImageOutput.create("a.tif")
opened = out.open("a.tif", oiio.ImageSpec(4, 4, 1, str(pixels.dtype)))
written = out.write_image(pixels)
out.close()
error, kind = oiio.geterror(), tifffile.imread("a.tif").dtype
print(f"a TIFF from float32 by its name: opened {opened}, written {written}, error {error!r}, samples are {kind}")
assert opened and written and not error and kind == np.uint8
PYTHON
echo "as it was seen"
