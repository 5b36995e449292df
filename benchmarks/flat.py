"""Is it flat? Memory over 2,000 picture sizes, time per megapixel from 0.1 to 100, time per frame from 100 to 10,000.

    python -m benchmarks.flat [--quick] [--engines torch,openvino,onnxruntime] [--only megapixels,frames]

Each engine in a process of its own, in fp32, espcn at scale 2: the fastest net shows best what does not belong to it.
Writes flat.json and draws docs/flat.svg; --quick is a tenth of it and writes flat-quick.json only.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks import many_sizes
from benchmarks.clips import CRF, make_clip, pan, upscaled
from benchmarks.report import REPOSITORY, photo, write
from benchmarks.svg import curves, document, text
from upscale_cli import Upscaler
from upscale_cli.frames.image import Frame
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions

MEGAPIXELS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
FRAMES: Final = (100, 300, 1000, 3000, 10_000)
FRAME_HEIGHT: Final = 108
FRAME_WIDTH: Final = 192
SIZES: Final = 2100
REPEATS: Final = 3
WIDE: Final = 16 / 9

Points = dict[str, float]


def megapixels(engine: str, quick: bool) -> dict[str, Any]:
    """Seconds per LR megapixel of gray pictures, 16 to 9, in memory; SR rows are let go as they come.

    The sizes take turns, so that a busy minute does not hit one of them alone; the least of the turns counts.
    """
    upscaler = Upscaler("espcn", device="cpu", engine=engine, precision="fp32")
    seconds: dict[float, list[float]] = {}
    most = 10 if quick else 100
    for repeat in range(REPEATS):
        for size in (size for size in MEGAPIXELS if size <= most and (size <= 10 or repeat == 0)):
            height = round((size * 1e6 / WIDE) ** 0.5)
            width = round(height * WIDE)
            lr = Frame(np.ascontiguousarray(gray(height, width)), "L")
            plan = upscaler.plan(width, height, upscaler.target(2))
            taken = []
            for _ in range(max(1, round(1 / size))):
                begin = time.perf_counter()
                rows = upscaler.rows(lr, plan)
                for start in range(0, plan.height, 512):
                    rows.read(start, min(start + 512, plan.height))
                taken.append((time.perf_counter() - begin) / (height * width / 1e6))
            seconds.setdefault(size, []).append(min(taken))
    return spread({f"{size:g}": round(min(found), 4) for size, found in seconds.items()})


def gray(height: int, width: int) -> Any:
    """(height, width, 1): a small photo again and again, which takes little memory to make."""
    small = photo(256, 256)[:, :, :1]
    return np.tile(small, (height // 256 + 1, width // 256 + 1, 1))[:height, :width]


def frames(engine: str, quick: bool) -> dict[str, Any]:
    """Milliseconds per frame of clips of different lengths, from file to file, without the start of a run."""
    upscaler = Upscaler("espcn", device="cpu", engine=engine, precision="fp32")
    options = ClipOptions(encode=EncodeOptions(codec="libx264", preset="ultrafast", crf=CRF), overwrite=True)
    found: Points = {}
    lengths = [length for length in FRAMES if not quick or length <= 1000]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        upscaled(make_clip(folder / "warm.mp4", pan(FRAME_HEIGHT, FRAME_WIDTH, 10)), folder / "sr.mp4", upscaler,
                 options)  # fmt: skip
        for length in lengths:
            clip = make_clip(folder / f"{length}.mp4", pan(FRAME_HEIGHT, FRAME_WIDTH, length))
            times = 3 if length <= 1000 else 1
            runs = [upscaled(clip, folder / "sr.mp4", upscaler, options).seconds for _ in range(times)]
            found[str(length)] = round(1000 * min(runs) / length, 3)
    return spread(found)


def sizes(engine: str, quick: bool) -> dict[str, Any]:
    """Memory over picture sizes; see `many_sizes`."""
    return many_sizes.run(SIZES // 10 if quick else SIZES, "espcn", engine)


def spread(points: Points) -> dict[str, Any]:
    """The points, and how far they lie from their median."""
    middle = statistics.median(points.values())
    return {
        "points": points,
        "most_to_median": round(max(points.values()) / middle, 3),
        "last_to_median": round(list(points.values())[-1] / middle, 3),
    }


PARTS: Final[dict[str, Callable[[str, bool], dict[str, Any]]]] = {
    "megapixels": megapixels, "frames": frames, "sizes": sizes,
}  # fmt: skip


def main() -> None:
    """Writes benchmarks/flat.json and docs/flat.svg."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--engines", default=",".join(many_sizes.ENGINES))
    parser.add_argument("--only", default=",".join(PARTS))
    given = parser.parse_args()
    found: dict[str, Any] = {}
    for part in given.only.split(","):
        found[part] = {}
        for engine in given.engines.split(","):
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # what one engine leaves is not the next one's
                found[part][engine] = pool.apply(PARTS[part], (engine, given.quick))
            print(part, engine, found[part][engine], flush=True)
    write(
        "flat-quick" if given.quick else "flat",
        f"espcn at scale 2, fp32: seconds per LR megapixel, ms per frame of {FRAME_WIDTH} x {FRAME_HEIGHT}, and "
        "resident MB after so many pictures of as many sizes.",
        found,
    )
    if not given.quick and set(PARTS) == set(found):
        (REPOSITORY / "docs/flat.svg").write_text(draw(found), encoding="utf-8")


def draw(found: dict[str, Any]) -> str:
    """Three panels beside each other."""

    def named(part: str, key: str = "points") -> dict[str, list[tuple[float, float]]]:
        return {
            engine: [(float(at), value) for at, value in result[key].items()] for engine, result in found[part].items()
        }

    parts = [
        text(16, 22, "Flat: what more pixels, more frames and more sizes cost", size=15, bold=True),
        *curves(8, 34, 280, 220, "seconds per megapixel", "LR megapixels of a picture", named("megapixels")),
        *curves(296, 34, 280, 220, "ms per frame", "frames of a clip", named("frames")),
        *curves(584, 34, 280, 220, "resident MB", "pictures, each of another size", named("sizes", "resident_mb")),
    ]
    return document(872, 262, "Time per megapixel, time per frame, and memory over picture sizes", parts)


if __name__ == "__main__":
    main()
