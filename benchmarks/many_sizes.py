"""Does a run over thousands of picture sizes keep its memory? Kernels are compiled for each shape; the heap is cut up.

    python -m benchmarks.many_sizes [--pictures 2100] [--model espcn] [--engines torch,openvino,onnxruntime]

One folder, a process for each engine, no two pictures of one size. What counts is the growth after the first hundred.
"""

import argparse
import importlib.util
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from PIL import Image

from benchmarks.report import write
from upscale_cli import upscale_folder
from upscale_cli.events import Event, Finished

FIRST: Final = 100
LIMIT_MB: Final = 40
ENGINES: Final = tuple(name for name in ("torch", "openvino", "onnxruntime") if importlib.util.find_spec(name))
"""Those that are installed here."""

POINTS: Final = 40
"""Of the curve that is kept."""


def main() -> None:
    """Writes benchmarks/many_sizes.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2100)
    parser.add_argument("--model", default="espcn")
    parser.add_argument("--engines", default=",".join(ENGINES))
    given = parser.parse_args()
    engines = {engine: measured(given.pictures, given.model, engine) for engine in given.engines.split(",")}
    write(
        "many_sizes",
        f"{given.pictures} pictures of as many sizes, 24 x 24 and up, {given.model} at scale 2, a process an engine: "
        f"resident memory in MB (1e6 bytes) after the first {FIRST} and at the end.",
        {
            "engines": engines,
            "requirement": {
                "growth_below_mb": LIMIT_MB,
                "met": all(engine["growth_mb"] < LIMIT_MB for engine in engines.values()),
            },
        },
    )


def measured(pictures: int, model: str, engine: str) -> dict[str, Any]:
    """`run` in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(run, (pictures, model, engine))


def run(pictures: int, model: str, engine: str) -> dict[str, Any]:
    """A folder of so many sizes, and what this process holds after each picture."""
    process, resident = psutil.Process(), []

    def listen(event: Event) -> None:
        if isinstance(event, Finished):
            resident.append(process.memory_info().rss / 1e6)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(pictures):
            width, height = 24 + number % 50, 24 + number // 50
            pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"in/{number:04d}.png")
        begin = time.perf_counter()
        upscale_folder(
            folder / "in", folder / "out", 2, model=model, device="cpu", engine=engine, precision="fp32",
            listener=listen,
        )  # fmt: skip
        seconds = time.perf_counter() - begin
    counts = sorted({FIRST, pictures, *np.linspace(1, pictures, POINTS).astype(int).tolist()})
    return {
        "resident_mb": {str(count): round(resident[count - 1], 1) for count in counts},
        "most_mb": round(max(resident), 1),
        "growth_mb": round(resident[-1] - resident[FIRST - 1], 1),
        "pictures_per_second": round(pictures / seconds, 1),
    }


if __name__ == "__main__":
    main()
