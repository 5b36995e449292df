"""Does a net make still pictures flicker: differences between neighbouring SR frames, against bicubic's.

    python -m benchmarks.video_steadiness [--frames 50] [PICTURE ...]

For the harbour of docs/sample and for each PICTURE. All results are lossless, so that what is measured is ours:

- still: a clip of equal frames, with and without comparing neighbours; the difference must be 0.
- coded: the same picture by x264 as on the web, a key frame every half second: coding noise alone.
- grainy: a camera's noise before the same encoder.
- pan: a view that moves by half an LR pixel a frame, by whole SR pixels, that is; compared after moving it back.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.clips import USUAL, Picture, grainy, luma, make_clip, upscaled
from benchmarks.nets import checkpoint, row
from benchmarks.report import REPOSITORY, write
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions

HARBOUR = REPOSITORY / "docs" / "sample" / "harbour.jpg"
MODELS = {"espcn": 2, "realesr-animevideo": 4}
BORDER = 16
"""SR pixels at each side that are not compared after a pan: there the picture comes in and goes out."""

LOSSLESS = ("-c:v", "ffv1", "-pix_fmt", "yuv420p")
KEYS = (*USUAL, "-g", "12")


def main() -> None:
    """Writes benchmarks/video_steadiness.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("pictures", nargs="*", type=Path)
    arguments = parser.parse_args()
    results = {}
    for path in (HARBOUR, *arguments.pictures):
        with Image.open(path) as image:
            picture = np.asarray(image.convert("RGB"))
        results[path.stem] = measured(even(picture), arguments.frames)
        show(path.stem, results[path.stem])
    still = [run["still"][model] for run in results.values() for model in run["still"]]
    write(
        "video_steadiness",
        "Mean absolute difference between neighbouring SR frames, luma, 8-bit code values; nets against bicubic at the "
        "same scale. After a pan: once moved back.",
        {
            "frames": arguments.frames,
            "pictures": results,
            "requirement": {"still_at_most": 0, "met": not any(itertools.chain(*(case.values() for case in still)))},
        },
    )


def even(picture: Picture) -> Picture:
    """Cut to sides that 4 divides, so that LR of half the size is of even sides."""
    height, width, _ = picture.shape
    return picture[: height - height % 4, : width - width % 4]


def measured(picture: Picture, frames: int) -> dict[str, Any]:
    """Every case by every model that is there."""
    models = {model: scale for model, scale in MODELS.items() if checkpoint(row(model, scale))}
    cases: dict[str, tuple[Iterator[Picture], tuple[str, ...]]] = {
        "coded": (itertools.repeat(picture, frames), KEYS),
        "grainy": ((grainy(picture, seed) for seed in range(frames)), KEYS),
        "pan": (half_pixel_pan(picture, frames), LOSSLESS),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        still = make_clip(folder / "still.mkv", itertools.repeat(picture, frames), *LOSSLESS)
        results: dict[str, Any] = {"still": {model: unmoved(still, model, scale) for model, scale in models.items()}}
        for case, (pictures, encoder) in cases.items():
            clip = make_clip(folder / f"{case}.mkv", pictures, *encoder)
            results[case] = {
                model: beside_bicubic(clip, model, scale, moves=case == "pan") for model, scale in models.items()
            }
    return results


def half_pixel_pan(picture: Picture, frames: int) -> Iterator[Picture]:
    """LR views of half the size, each half an LR pixel further right: means of 2 x 2 pixels, as sensors take them."""
    height, width, _ = picture.shape
    frames = min(frames, width // 4)
    view = (width - frames) // 4 * 4
    for left in range(frames):
        blocks = picture[:, left : left + view].reshape(height // 2, 2, view // 2, 2, 3)
        yield np.rint(blocks.mean((1, 3))).astype(np.uint8)


def unmoved(clip: Path, model: str, scale: int) -> dict[str, float]:
    """The difference between equal frames, each computed, and taken over from the one before."""
    return {
        name: difference(clip, model, scale, ClipOptions(reuse=reuse))
        for name, reuse in (("computed_again", False), ("taken_over", True))
    }


def beside_bicubic(clip: Path, model: str, scale: int, *, moves: bool) -> dict[str, float]:
    """What neighbours differ by in LR (0 where the view moves: it says nothing), by the net and by bicubic."""
    shift = scale // 2 if moves else 0
    net, bicubic = (difference(clip, name, scale, ClipOptions(reuse=False), shift) for name in (model, "bicubic"))
    lr = {} if moves else {"lr": round(between(luma(clip)), 4)}
    return {**lr, "net": round(net, 4), "bicubic": round(bicubic, 4), "ratio": round(net / bicubic, 3)}


def difference(clip: Path, model: str, scale: int, options: ClipOptions, shift: int = 0) -> float:
    """Between neighbouring frames of what `model` makes of a clip."""
    output = clip.with_name("sr.mkv")
    lossless = ClipOptions(encode=EncodeOptions(codec="ffv1"), overwrite=True, reuse=options.reuse)
    upscaled(clip, output, Upscaler(model, device="cpu"), lossless, scale)
    return between(luma(output), shift)


def between(frames: Iterator[NDArray[np.uint8]], shift: int = 0) -> float:
    """Mean absolute difference between neighbours, the later one moved right by `shift` pixels."""
    inner = (slice(BORDER, -BORDER), slice(BORDER, -BORDER)) if shift else (slice(None), slice(None))
    values = [
        float(np.abs(before.astype(np.int16) - np.roll(after, shift, axis=1))[inner].mean())
        for before, after in itertools.pairwise(frames)
    ]
    return float(np.mean(values))


def show(name: str, cases: dict[str, Any]) -> None:
    """One line for each case and model."""
    print(name)
    for case, models in cases.items():
        for model, values in models.items():
            print(f"  {case:8} {model:20}", *(f"{key} {value:<8g}" for key, value in values.items()))


if __name__ == "__main__":
    main()
