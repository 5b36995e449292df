"""A folder of pictures against its net alone: how much of the net's own rate is left once files are read and written.

    python -m benchmarks.folder [--pictures 200] [--repeats 2] [--models photo-lite espcn] [--device auto]

"net" upscales the same pictures, held in memory, one after the other on all cores; nothing is read or written.
"net_in_threads" does so as many at a time as the folder, each on its share of the cores. "folder" is the run of
`upscale FOLDER -o OUT` in this process, from files to files; "one_at_a_time" the same with -j 1. All in turn. On a CPU
decoding and encoding are done by the cores that the net needs, and what they take is missing in any order.
"""

import argparse
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from benchmarks.report import alternating, photo, summary, write
from upscale_cli.batch.choice import Choice
from upscale_cli.batch.discovery import find_sources
from upscale_cli.batch.folder import FolderRun
from upscale_cli.batch.options import Rules
from upscale_cli.events import ignore
from upscale_cli.executors.threads import default_concurrency
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.plan import Planner
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.image.reader_writer import ImageReader

SCALE = 4
SIDE, SMALL = 512, 64
LIMIT = 0.9


def main() -> None:
    """Writes benchmarks/folder.json, or folder-cuda.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=["photo-lite", "espcn"])
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    cases = [(model, SIDE) for model in arguments.models] + [(arguments.models[-1], SMALL)]
    with tempfile.TemporaryDirectory() as name:
        results = {
            f"{model}_{side}": compared(
                Path(name) / f"{model}_{side}", model, side, arguments.pictures, arguments.repeats, arguments.device
            )
            for model, side in cases
        }
    device = Upscaler("bicubic", device=arguments.device).device.type
    of_size = [result["folder_to_net"] for key, result in results.items() if key.endswith(f"_{SIDE}")]
    write(
        "folder" if device == "cpu" else f"folder-{device}",
        f"{arguments.pictures} JPEGs, x{SCALE}, JPEG to JPEG at quality 95, against the net alone; page cache warm.",
        {
            "device": device,
            "threads": torch.get_num_threads(),
            "pictures": arguments.pictures,
            "hands": default_concurrency(),
            "cases": results,
            "requirement": {"folder_to_net_at_least": LIMIT, "met": all(rate >= LIMIT for rate in of_size)},
        },
    )


def compared(folder: Path, model: str, side: int, count: int, repeats: int, device: str) -> dict[str, Any]:
    """The net, the folder, and the folder one by one, in turn."""
    files = pictures(folder / "in", side, count)
    upscaler = Upscaler(model, device=device)
    frames = []
    for file in files:
        with ImageReader(file) as reader:
            frames.append(next(iter(reader)))
    plan = upscaler.plan(side, side, Target(scale=SCALE))

    def net() -> None:
        for frame in frames:
            upscaler.upscale(frame, plan)

    def one(number: int) -> None:
        torch.set_num_threads(max(1, threads // concurrency))
        upscaler.upscale(frames[number], plan)

    def net_in_threads() -> None:
        upscaler.share(concurrency)
        with ThreadPoolExecutor(concurrency) as pool:
            list(pool.map(one, range(count)))
        upscaler.share(1)
        torch.set_num_threads(threads)

    threads, concurrency = torch.get_num_threads(), default_concurrency()
    candidates: dict[str, Callable[[], object]] = {
        "net": net,
        "net_in_threads": net_in_threads,
        "folder": lambda: run(folder, model, device, None),
        "one_at_a_time": lambda: run(folder, model, device, 1),
    }
    seconds = alternating(candidates, repeats=repeats)
    megapixels = count * (SCALE * side) ** 2 / 1e6
    rates = {name: round(megapixels / summary(taken)["median_s"], 2) for name, taken in seconds.items()}
    result = {
        "sr_megapixels_per_second": rates,
        "folder_to_net": round(rates["folder"] / rates["net"], 3),
        "folder_to_net_in_threads": round(rates["folder"] / rates["net_in_threads"], 3),
        "one_at_a_time_to_net": round(rates["one_at_a_time"] / rates["net"], 3),
        "seconds": {name: summary(taken) for name, taken in seconds.items()},
    }
    print(model, side, result, flush=True)
    return result


def pictures(folder: Path, side: int, count: int) -> list[Path]:
    """JPEGs, each another picture."""
    folder.mkdir(parents=True)
    files = [folder / f"{number:03}.jpg" for number in range(count)]
    for number, file in enumerate(files):
        Image.fromarray(photo(side, side, seed=number)).save(file, quality=92)
    return files


def run(folder: Path, model: str, device: str, jobs: int | None) -> None:
    """As the command line does it; everything again."""
    naming = Naming(f"{folder / 'out'}/", None, Target(scale=SCALE))
    photos = PhotoOptions(overwrite=True)
    planner = Planner(naming, photos, ClipOptions, UpscalerOptions(device=device), ignore)
    rules = Rules(skip_existing=False, jobs=jobs)
    failed = FolderRun(planner, [model], rules).all(find_sources([str(folder / "in")], (), Choice()))
    assert failed == 0


if __name__ == "__main__":
    main()
