"""Half an hour of video with sound: does memory grow, does a process stay behind, does sound drift.

    python -m benchmarks.video_soak [--minutes 30] [--model espcn]

The command line as a process of its own on 96 x 54 pixels, watched as it runs; then both files are read with PyAV.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clips import RATE, Picture, make_clip, packet_times, pan, watch
from benchmarks.report import write

HEIGHT, WIDTH = 54, 96
WARM_UP = 0.2
"""Share of the run that is left out: until then buffers fill and memory is laid out."""

GROWTH_LIMIT_MB = 5.0
"""Over the rest of the run. An SR frame has 31 kB: one kept in a hundred would be 11 MB."""

INDEX_ENTRY_BYTES = 72
"""What ffmpeg's MP4 muxer keeps of each packet until the file ends, for the index: sizeof(MOVIentry) on 64 bits, about.
It is the one thing that has to grow with a clip, in the encoding process alone."""

DRIFT_LIMIT_S = 1e-4
"""Half of the coarsest tick that MP4 is written with here."""


def main() -> None:
    """Writes benchmarks/video_soak.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--model", default="espcn")
    arguments = parser.parse_args()
    frames = round(arguments.minutes * 60 * RATE)
    with tempfile.TemporaryDirectory() as folder:
        source = make_clip(Path(folder, "long.mp4"), scene(frames), sound_seconds=frames / RATE)
        output = source.with_stem("long_sr")
        seen = watch(str(source), "-o", str(output), "-m", arguments.model, "-s", "2", "-q", interval=0.25)
        times = {kind: drift(source, output, kind) for kind in ("video", "audio")}
    growth = {role: growth_mb(samples) for role, samples in seen.samples.items()}
    index_mb = round(sum(kind["packets"] for kind in times.values()) * (1 - WARM_UP) * INDEX_ENTRY_BYTES / 1e6, 2)
    verdicts = {
        "memory_is_flat": max({**growth, "encoder": growth["encoder"] - index_mb}.values()) <= GROWTH_LIMIT_MB,
        "no_process_left": not seen.left,
        "every_packet_on_time": all(
            kind["packets"] == kind["packets_of_source"] and kind["largest_difference_s"] <= DRIFT_LIMIT_S
            for kind in times.values()
        ),
    }
    for name, verdict in verdicts.items():
        print(f"{name:22} {'yes' if verdict else 'NO'}")
    write(
        "video_soak",
        f"{arguments.minutes:g} minutes of {WIDTH}x{HEIGHT} at {RATE} fps with sound, {arguments.model} at scale 2, by "
        "the command line.",
        {
            "frames": frames,
            "seconds": round(seen.seconds, 1),
            "peak_mb": seen.peak_mb,
            "growth_after_warm_up_mb": growth,
            "index_of_the_output_mb": index_mb,
            "processes_left": len(seen.left),
            "timestamps": times,
            "verdicts": verdicts,
        },
    )


def scene(frames: int) -> Iterator[Picture]:
    """Twenty seconds of a moving view, again and again."""
    return itertools.islice(itertools.cycle(pan(HEIGHT, WIDTH, 20 * RATE)), frames)


def growth_mb(samples: list[tuple[float, int]]) -> float:
    """By how much a line through the samples rises from the end of the warm-up to the end of the run."""
    seconds, held = np.array(samples[int(len(samples) * WARM_UP) :], np.float64).T
    slope, _ = np.polyfit(seconds, held / 1e6, 1)
    return round(float(slope * (seconds[-1] - seconds[0])), 2)


def drift(source: Path, output: Path, kind: str) -> dict[str, Any]:
    """First and last packet of both files, how many there are, and the greatest difference between any two."""
    before, after = packet_times(source, kind), packet_times(output, kind)
    return {
        "packets_of_source": len(before),
        "packets": len(after),
        "first_s": [round(times[0], 6) for times in (before, after)],
        "last_s": [round(times[-1], 6) for times in (before, after)],
        "largest_difference_s": round(max(abs(a - b) for a, b in zip(before, after, strict=False)), 6),
    }


if __name__ == "__main__":
    main()
