"""Whether a longer clip takes more memory: the command line on a short and on a long clip of one size.

    python -m benchmarks.video_memory [--short 100] [--long 2000] [--size 960x540] [--repeats 5]

Each run is a process of its own, watched from outside; the two ffmpegs that it starts are counted apart. Peaks of equal
runs differ by how the encoder's threads happened to overlap, so runs alternate and their medians are compared.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.clips import ROLES, make_clip, pan, watch
from benchmarks.report import write

LIMIT = 1.05
"""What the three processes may take together for the longer clip, as a multiple of the shorter one's."""


def main() -> None:
    """Writes benchmarks/video_memory.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", type=int, default=100, help="frames")
    parser.add_argument("--long", type=int, default=2000, help="frames")
    parser.add_argument("--size", default="960x540", help="of the source, in pixels")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    width, height = map(int, arguments.size.split("x"))
    peaks: dict[int, list[dict[str, float]]] = {arguments.short: [], arguments.long: []}
    with tempfile.TemporaryDirectory() as folder:
        clips = {frames: make_clip(Path(folder, f"{frames}.mp4"), pan(height, width, frames)) for frames in peaks}
        for _ in range(arguments.repeats):
            for frames, clip in clips.items():
                seen = watch(
                    str(clip), "-m", "bicubic", "-s", "2", "--preset", "veryfast", "-q", "--overwrite", interval=0.05
                )
                assert all(seen.peak.values()), (
                    f"{frames} frames of {arguments.size} end before one can look: take more"
                )
                peaks[frames].append(seen.peak_mb)
    runs: dict[int, Any] = {frames: _summary(seen) for frames, seen in peaks.items()}
    short, long = (run["median_peak_mb"] for run in runs.values())
    ratios = {role: round(long[role] / short[role], 3) for role in (*ROLES, "all")}
    print(f"{'MB':12}", *(f"{frames:>6} frames" for frames in runs))
    for role in ratios:
        print(f"{role:12}", *(f"{run['median_peak_mb'][role]:13.1f}" for run in runs.values()))
    write(
        "video_memory",
        f"Peak resident memory for {width}x{height} at -s 2 with bicubic, x264 veryfast; MB (1e6 bytes).",
        {
            "repeats": arguments.repeats,
            "runs": {f"{frames}_frames": run for frames, run in runs.items()},
            "long_to_short": ratios,
            "requirement": {"all_long_to_short_at_most": LIMIT, "met": ratios["all"] <= LIMIT},
        },
    )


def _summary(peaks: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each process's peaks, and of their sum in each run."""
    by_role: dict[str, list[float]] = {role: [peak[role] for peak in peaks] for role in ROLES}
    by_role["all"] = [round(sum(peak[role] for role in ROLES), 1) for peak in peaks]
    return {
        "median_peak_mb": {role: round(statistics.median(seen), 1) for role, seen in by_role.items()},
        "min_peak_mb": {role: min(seen) for role, seen in by_role.items()},
        "max_peak_mb": {role: max(seen) for role, seen in by_role.items()},
    }


if __name__ == "__main__":
    main()
