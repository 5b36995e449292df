"""Whether a longer clip takes more memory: the command line on a short and on a long clip of one size.

    python -m benchmarks.video_memory [--short 100] [--long 2000] [--size 960x540]

Each run is a process of its own, watched from outside; the ffmpegs that it starts are counted apart.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.clips import make_clip, pan, watch
from benchmarks.report import write

LIMIT = 1.05
"""What the longer clip may take, as a multiple of the shorter one's peak; peaks of equal runs differ by 2 or 3 %."""


def main() -> None:
    """Writes benchmarks/video_memory.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=int, default=100, help="frames")
    parser.add_argument("--long", type=int, default=2000, help="frames")
    parser.add_argument("--size", default="960x540", help="of the source, in pixels")
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        for frames in (arguments.short, arguments.long):
            clip = make_clip(Path(folder, f"{frames}.mp4"), pan(height, width, frames))
            seen = watch(str(clip), "-m", "bicubic", "-s", "2", "--preset", "veryfast", "-q", interval=0.05)
            runs[f"{frames}_frames"] = {
                "own_peak_mb": round(seen.own_peak / 1e6, 1),
                "ffmpegs_peak_mb": round(seen.children_peak / 1e6, 1),
                "seconds": round(seen.seconds, 1),
            }
    short, long = runs.values()
    own, children = (round(long[key] / short[key], 3) for key in ("own_peak_mb", "ffmpegs_peak_mb"))
    for name, run in runs.items():
        print(f"{name:14} {run['own_peak_mb']:8.1f} MB of ours  {run['ffmpegs_peak_mb']:8.1f} MB of ffmpeg")
    write(
        "video_memory",
        f"Peak resident memory for {width}x{height} at -s 2 with bicubic, x264 veryfast; MB (1e6 bytes).",
        {
            "runs": runs,
            "long_to_short": {"own": own, "ffmpegs": children},
            "requirement": {"long_to_short_at_most": LIMIT, "met": max(own, children) <= LIMIT},
        },
    )


if __name__ == "__main__":
    main()
