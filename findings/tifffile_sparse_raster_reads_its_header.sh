#!/usr/bin/env bash
# A GeoTIFF of which nothing is stored: tifffile gives the bytes of the file's own header as its pixels.
#
# Seen with tifffile 2026.3.3 and rasterio 1.4.4 (GDAL in its wheel), Linux x86_64. GDAL writes blocks that hold no data
# with an offset and a length of 0 (SPARSE_OK, in its documentation), and reads them as nodata, or 0. tifffile does so
# too, for tiles and strips of which some are stored, and for compressed ones. Where a raster without compression has no
# block at all, offset 0 + length 0 = the next offset 0 looks contiguous, and it reads the samples from the beginning of
# the file: no error where the file is as long as the raster, "failed to read" where it is not.
#
# Output when it was seen:
#   rasterio: 7 to 7
#   tifffile: [73, 73, 42, 0, 8, 0, 0, 0]
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet tifffile==2026.3.3 rasterio==1.4.4
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import rasterio
import tifffile
from rasterio.transform import from_origin

with rasterio.open(
    "empty.tif", "w", driver="GTiff", width=8, height=8, count=1, dtype="uint8", nodata=7, sparse_ok=True,
    crs="EPSG:32632", transform=from_origin(0, 8, 1, 1),
):  # fmt: skip
    pass  # nothing is written
with rasterio.open("empty.tif") as raster:
    pixels = raster.read(1)
print(f"rasterio: {pixels.min()} to {pixels.max()}")
with tifffile.TiffFile("empty.tif") as file:
    page = file.pages[0]
    assert page.nodata == 7 and not any(page.databytecounts)
    found = page.asarray()
print(f"tifffile: {found[0].tolist()}")
assert (pixels == 7).all()
assert found[0].tobytes()[:4] == b"II*\0"
PYTHON
echo "as it was seen"
