"""Whether a longer clip takes more memory: the command line on a short and on a long clip of one size.

    python -m benchmarks.video_memory [--short 100] [--long 2000] [--size 960x540]

Each run is a process of its own, watched from outside; the two ffmpegs that it starts are counted apart.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.clips import ROLES, make_clip, pan, watch
from benchmarks.report import write

LIMIT = 1.1
"""What the longer clip may take, as a multiple of the shorter one's peak; peaks of equal runs differ by up to 6 %."""


def main() -> None:
    """Writes benchmarks/video_memory.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=int, default=100, help="frames")
    parser.add_argument("--long", type=int, default=2000, help="frames")
    parser.add_argument("--size", default="960x540", help="of the source, in pixels")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    runs: dict[int, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for frames in (arguments.short, arguments.long):
            clip = make_clip(Path(folder, f"{frames}.mp4"), pan(height, width, frames))
            seen = watch(str(clip), "-m", "bicubic", "-s", "2", "--preset", "veryfast", "-q", interval=0.05)
            assert all(seen.peak.values()), f"{frames} frames of {arguments.size} end before one can look: take more"
            runs[frames] = {"peak_mb": seen.peak_mb, "seconds": round(seen.seconds, 1)}
    short, long = (run["peak_mb"] for run in runs.values())
    ratios = {role: round(long[role] / short[role], 3) for role in ROLES}
    print(f"{'MB':12}", *(f"{frames:>6} frames" for frames in runs))
    for role in ROLES:
        print(f"{role:12}", *(f"{run['peak_mb'][role]:13.1f}" for run in runs.values()))
    write(
        "video_memory",
        f"Peak resident memory for {width}x{height} at -s 2 with bicubic, x264 veryfast; MB (1e6 bytes).",
        {
            "runs": {f"{frames}_frames": run for frames, run in runs.items()},
            "long_to_short": ratios,
            "requirement": {"long_to_short_at_most": LIMIT, "met": max(ratios.values()) <= LIMIT},
        },
    )


if __name__ == "__main__":
    main()
