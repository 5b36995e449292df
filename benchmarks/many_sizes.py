"""Does a run over thousands of picture sizes keep its memory? Kernels are compiled for each shape; the heap is cut up.

    python -m benchmarks.many_sizes [--pictures 2100] [--model espcn]

One folder, one process, no two pictures of one size. What counts is the growth after the first hundred.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import psutil
from PIL import Image

from benchmarks.report import write
from upscale_cli import upscale_folder
from upscale_cli.events import Event, Finished

FIRST: Final = 100
LIMIT_MB: Final = 40


def main() -> None:
    """Writes benchmarks/many_sizes.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2100)
    parser.add_argument("--model", default="espcn")
    given = parser.parse_args()
    process, resident = psutil.Process(), []

    def listen(event: Event) -> None:
        if isinstance(event, Finished):
            resident.append(process.memory_info().rss / 1e6)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(given.pictures):
            width, height = 24 + number % 50, 24 + number // 50
            pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"in/{number:04d}.png")
        begin = time.perf_counter()
        upscale_folder(folder / "in", folder / "out", 2, model=given.model, device="cpu", listener=listen)
        seconds = time.perf_counter() - begin
    growth = resident[-1] - resident[FIRST - 1]
    write(
        "many_sizes",
        f"{given.pictures} pictures of as many sizes, 24 x 24 and up, {given.model} at scale 2, one process: resident "
        f"memory in MB (1e6 bytes) after the first {FIRST} and at the end.",
        {
            "resident_mb": {str(count): round(resident[count - 1], 1) for count in (FIRST, 500, 1000, given.pictures)},
            "most_mb": round(max(resident), 1),
            "growth_mb": round(growth, 1),
            "pictures_per_second": round(given.pictures / seconds, 1),
            "requirement": {"growth_below_mb": LIMIT_MB, "met": growth < LIMIT_MB},
        },
    )


if __name__ == "__main__":
    main()
