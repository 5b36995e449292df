#!/usr/bin/env bash
# A QuickTime file that says when it was made twice comes out of `ffmpeg -c copy` with no date at all.
#
# Seen with FFmpeg n9.0.2, the binary within imageio-ffmpeg 0.8.1 (PyPI wheel, Linux x86_64). A MOV has a creation time
# in its movie header (mvhd), and may have one more among its metadata keys (mdta), as cameras and ffmpeg itself with
# "-movflags use_metadata_tags" write it. The demuxer joins the two by a semicolon into one value of `creation_time`,
# although they are the same moment. Copied to an output, as ffmpeg does unasked, that value is no date for the muxer,
# which writes 0 ("1904-01-01") into mvhd, and says nothing; the key is not copied either. Who archives or converts such
# clips has to give "-metadata creation_time=..." with one of the two.
#
# Output when it was seen:
#   read:   2024-05-01T10:11:12.000000Z;2024-05-01T10:11:12Z
#   mvhd of the source: 3797403072, of the copy: 0, of the copy with one date given: 3797403072
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet imageio-ffmpeg==0.8.1
cd "$folder"
venv/bin/python - <<'PYTHON'
import re
import struct
import subprocess
from pathlib import Path

from imageio_ffmpeg import get_ffmpeg_exe


def ffmpeg(*arguments: str) -> str:
    command = [get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *arguments]
    return subprocess.run(command, capture_output=True, text=True).stderr


def made(name: str) -> int:
    """Seconds since 1904, in the movie header."""
    data = Path(name).read_bytes()
    return struct.unpack_from(">I", data, data.index(b"mvhd") + 8)[0]


date = "creation_time=2024-05-01T10:11:12Z"
source = ("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=0.2")
ffmpeg(*source, "-metadata", date, "-movflags", "use_metadata_tags", "twice.mov")
read = re.findall(r"creation_time +: (\S+)", ffmpeg("-i", "twice.mov"))[0]
ffmpeg("-i", "twice.mov", "-c", "copy", "copy.mov")
ffmpeg("-i", "twice.mov", "-c", "copy", "-metadata", date, "given.mov")
source_date, copy_date, given_date = made("twice.mov"), made("copy.mov"), made("given.mov")
print(f"read:   {read}")
print(f"mvhd of the source: {source_date}, of the copy: {copy_date}, of the copy with one date given: {given_date}")
assert read == "2024-05-01T10:11:12.000000Z;2024-05-01T10:11:12Z", read
assert (source_date, copy_date, given_date) == (3797403072, 0, 3797403072)
PYTHON
echo "as it was seen"
