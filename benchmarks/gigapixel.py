"""How much memory and time pictures take whose SR is larger than --max-memory, and whether they are seamless.

    python -m benchmarks.gigapixel [--quick]

Each run is a process of its own, watched from outside. Out of its result a crop that runs across several rows of tiles
is compared with the same crop made directly, from the LR around it.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile
from PIL import Image

from benchmarks.memory import peak
from benchmarks.report import photo, write
from upscale_cli import Upscaler
from upscale_cli.frames.image import Pixels
from upscale_cli.media.image.reader_writer import ImageReader

BOUND: Final = "1400M"
LIMIT_GB: Final = 1.5
SMALL: Final = 4000
"""SR pixels of the side of the picture that the time per megapixel is compared with."""

CROP_HEIGHT, CROP_WIDTH = 640, 160
"""LR pixels of the crop: higher than any row of tiles."""

AROUND: Final = 24
"""LR pixels around the crop: more than any of these models looks at."""


@dataclass(frozen=True, slots=True)
class Case:
    """One picture: (width, height) of its SR, the model, the scale, and what is read and written."""

    width: int
    height: int
    model: str
    scale: int
    source: str = ".tif"
    output: str = ".tif"

    @property
    def name(self) -> str:
        files = f"{self.source[1:]} to {self.output[1:]}"
        return f"{self.width} x {self.height}, {self.model} x{self.scale}, {files}"


CASES: Final = (
    Case(20_000, 20_000, "bicubic", 4),
    Case(20_000, 20_000, "espcn", 4),
    Case(20_000, 20_000, "bicubic", 2, ".png", ".png"),
    Case(100_000, 10_000, "bicubic", 4),
    Case(100_000, 10_000, "espcn", 4),
)
QUICK: Final = (Case(8_000, 8_000, "bicubic", 4), Case(8_000, 8_000, "espcn", 2, ".png", ".png"))


def main() -> None:
    """All cases; with --quick, two small ones, which are not recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="where the pictures are made; several GB are needed")
    options = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        for case in QUICK if options.quick else CASES:
            results[case.name] = measured(case, Path(name))
            print(case.name, results[case.name], flush=True)
    if options.quick:
        return
    met = all(run["peak_gb"] < LIMIT_GB and not run["crop"]["largest_difference"] for run in results.values())
    write(
        "gigapixel",
        f"Pictures larger than memory: peak resident memory of the process (GB, 1e9 bytes) with --max-memory {BOUND} "
        f"on the CPU; seconds per SR megapixel against those of a picture of {SMALL} x {SMALL}, start of the program "
        "taken off; and a crop across rows of tiles against the same crop made directly.",
        {"runs": results, "requirement": {"peak_below_gb": LIMIT_GB, "crops_equal": True, "met": met}},
    )


def measured(case: Case, folder: Path) -> dict[str, Any]:
    """One case, and the small picture next to it."""
    lr = photo(case.height // case.scale, case.width // case.scale)
    small = photo(SMALL // case.scale, SMALL // case.scale)
    large_run = timed(case, lr, folder / f"large{case.source}")
    small_run = timed(case, small, folder / f"small{case.source}")
    start_s = timed(case, small[:8, :8], folder / f"tiny{case.source}")["seconds"]
    per_megapixel = (large_run["seconds"] - start_s) / (case.width * case.height / 1e6)
    small_per_megapixel = (small_run["seconds"] - start_s) / (SMALL**2 / 1e6)
    result = {
        **large_run,
        "s_per_megapixel": round(per_megapixel, 4),
        "s_per_megapixel_of_a_small_picture": round(small_per_megapixel, 4),
        "crop": compared(case, lr, folder / f"large_sr{case.output}"),
    }
    for file in folder.iterdir():
        file.unlink()
    return result


def timed(case: Case, lr: Pixels, source: Path) -> dict[str, Any]:
    """One run of the command line."""
    save(lr, source)
    output = source.with_name(f"{source.stem}_sr{case.output}")
    command = [
        sys.executable, "-m", "upscale_cli", str(source), "-o", str(output), "-s", str(case.scale), "-m", case.model,
        "--device", "cpu", "--max-memory", BOUND, "--json",
    ]  # fmt: skip
    begin = time.perf_counter()
    highest, _ = peak(command)
    return {"peak_gb": round(highest, 3), "seconds": round(time.perf_counter() - begin, 2)}


def save(lr: Pixels, path: Path) -> None:
    """As scanners do: TIFF in strips; or PNG."""
    if path.suffix == ".tif":
        tifffile.imwrite(
            path, lr, photometric="rgb", compression="adobe_deflate", predictor=True, rowsperstrip=16, metadata=None
        )
    else:
        Image.fromarray(lr).save(path, compress_level=1)


def compared(case: Case, lr: Pixels, output: Path) -> dict[str, int]:
    """The crop in the middle, out of the file and made directly."""
    height, width = min(CROP_HEIGHT, lr.shape[0] // 2), min(CROP_WIDTH, lr.shape[1] // 2)
    top, left, scale = (lr.shape[0] - height) // 2, (lr.shape[1] - width) // 2, case.scale
    direct = Upscaler(case.model, device="cpu")(
        lr[top - AROUND : top + height + AROUND, left - AROUND : left + width + AROUND].copy(), scale=scale
    )[AROUND * scale : -AROUND * scale, AROUND * scale : -AROUND * scale]
    made = rows_of(output, top * scale, height * scale)[:, left * scale : (left + width) * scale]
    difference = np.abs(made.astype(int) - direct)
    return {
        "values": int(difference.size),
        "largest_difference": int(difference.max()),
        "differing": int(np.count_nonzero(difference)),
    }


def rows_of(path: Path, start: int, count: int) -> Pixels:
    """Some rows of a file, which is not decoded as a whole."""
    with ImageReader(path) as reader:
        assert reader.row_reader is not None
        bands, found = [], 0
        for band in reader.row_reader.begin(start):
            bands.append(band)
            found += len(band)
            if found >= count:
                break
        return np.concatenate(bands)[:count]


if __name__ == "__main__":
    main()
