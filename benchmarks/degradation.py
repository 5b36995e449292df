"""What nets gain that know the blur and the noise: with the right kernel, a wrong one, and one found in the picture.

    python -m benchmarks.degradation CHECKPOINTS... --pictures FOLDER [--quick] [-o benchmarks/degradation.json]

CHECKPOINTS are x2 nets that take a kernel: srmd-x2.safetensors, a USRNet. Every picture is blurred, shrunk by bicubic,
and gets noise; PSNR of luma without a border of 8 pixels, against the picture itself, in dB.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from upscale_cli import Upscaler
from upscale_cli.inference.blur_estimate import OWN, SLOPE, kernel_of
from upscale_cli.inference.blur_kernels import axes_of, parse_kernel
from upscale_cli.inference.resample import resample

SCALE = 2
BORDER = 8
PLAIN = "espcn"

KERNELS = {
    "gauss:1.6": ("gauss:1.0", "gauss:2.2"),
    "aniso:2.5,1,30": ("gauss:1.6", "aniso:2.5,1,120"),
    "motion:5,45": ("gauss:1.0", "motion:5,135"),
    "motion:9,45": ("gauss:1.6", "motion:9,135"),
}
"""What blurs, and what is given instead: two wrong kernels, a mild and a bad one."""

Picture = NDArray[np.uint8]


def pictures(folder: Path, side: int, count: int) -> Iterator[tuple[str, Picture]]:
    """The middles of the pictures of a folder."""
    for path in sorted(folder.glob("*.png"))[:count]:
        with Image.open(path) as opened:
            whole = np.array(opened.convert("RGB"))
        height, width = (min(side, length) // SCALE * SCALE for length in whole.shape[:2])
        top, left = (whole.shape[0] - height) // 2, (whole.shape[1] - width) // 2
        yield path.stem, whole[top : top + height, left : left + width]


def degraded(picture: Picture, words: str, noise: float) -> Picture:
    """Blurred, shrunk, with noise."""
    kernel = parse_kernel(words)
    reach = len(kernel) // 2
    around = np.pad(picture / 255.0, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    size = around.shape[:2]
    spectrum = np.fft.rfft2(kernel, size)[..., None]
    blurred = np.fft.irfft2(np.fft.rfft2(around, axes=(0, 1)) * spectrum, size, axes=(0, 1))[2 * reach :, 2 * reach :]
    small = np.empty((picture.shape[0] // SCALE, picture.shape[1] // SCALE, 3), np.float32)
    resample(blurred.astype(np.float32), small, "bicubic")
    noisy = small + np.random.default_rng(0).normal(0, noise / 255, small.shape)
    return (noisy.clip(0, 1) * 255).round().astype(np.uint8)


def psnr(sr: Picture, hr: Picture) -> float:
    """Of luma (BT.601)."""
    weights = np.array([65.481, 128.553, 24.966]) / 255
    error = ((sr.astype(np.float64) - hr) @ weights)[BORDER:-BORDER, BORDER:-BORDER]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def measured(model: str, lrs: list[Picture], hrs: list[Picture], **options: Any) -> float:
    """The mean over the pictures."""
    upscaler = Upscaler(model, engine="torch", **options)
    return round(float(np.mean([psnr(upscaler(lr, scale=SCALE), hr) for lr, hr in zip(lrs, hrs, strict=True)])), 2)


def calibrated(folder: Path) -> dict[str, Any]:
    """OWN and SLOPE of `blur_estimate`, measured anew on other pictures."""
    from upscale_cli.inference.blur_estimate import _edges

    blurs, seen = [], []
    for path in sorted(folder.glob("*"))[:200:10]:
        with Image.open(path) as opened:
            whole = np.array(opened.convert("RGB"))
        whole = whole[: whole.shape[0] // SCALE * SCALE, : whole.shape[1] // SCALE * SCALE]
        for sigma in (0.2, 0.8, 1.6, 2.4):
            lr = degraded(whole, f"gauss:{sigma}", 0) / 255
            edges = [
                (value, count) for _, value, count in _edges(lr @ np.array([0.299, 0.587, 0.114]), 0) if count >= 30
            ]
            values, counts = (np.array(column) for column in zip(*edges, strict=True))
            seen.append(np.average(values, weights=np.sqrt(counts)))
            blurs.append(sigma**2 / SCALE**2)
    slope, own = np.polyfit(blurs, seen, 1)
    return {"own": round(float(own), 3), "slope": round(float(slope), 3), "in the code": [OWN, SLOPE]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--pictures", type=Path, required=True, help="a folder of PNG files")
    parser.add_argument("--calibrate", type=Path, help="a folder of other pictures: measure the estimator's constants")
    parser.add_argument("--quick", action="store_true", help="two small pictures")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    side, count = (128, 2) if given.quick else (256, 4)
    named = list(pictures(given.pictures, side, count))
    hrs = [picture for _, picture in named]
    rows: list[dict[str, Any]] = []
    for words, (mild, bad) in KERNELS.items():
        for noise in (0, 10):
            lrs = [degraded(hr, words, noise) for hr in hrs]
            row: dict[str, Any] = {"kernel": words, "noise": noise, PLAIN: measured(PLAIN, lrs, hrs)}
            row["bicubic"] = measured("bicubic", lrs, hrs)
            for checkpoint in given.checkpoints:
                said = {"noise": noise}
                of: dict[str, float] = {"right": measured(checkpoint, lrs, hrs, kernel=words, **said)}
                of |= {"mildly wrong": measured(checkpoint, lrs, hrs, kernel=mild, **said)}
                of |= {"wrong": measured(checkpoint, lrs, hrs, kernel=bad, **said)}
                of["auto"] = measured(checkpoint, lrs, hrs, kernel="auto", noise="auto")
                gain = of["right"] - row[PLAIN]
                of["kept"] = round((of["auto"] - row[PLAIN]) / gain, 2) if gain > 0 else 0.0
                row[Path(checkpoint).stem] = of
            rows.append(row)
            print(row, flush=True)
    report: dict[str, Any] = {
        "scale": SCALE, "pictures": [name for name, _ in named], "side": side, "rows": rows,
        "found": [
            {"picture": name, "kernel": words, "found": [round(value, 2) for value in axes_of(found)]}
            for words in KERNELS for name, hr in named
            if (found := kernel_of((degraded(hr, words, 0) / 255) @ np.array([0.299, 0.587, 0.114]), SCALE)) is not None
        ],
    }  # fmt: skip
    if given.calibrate:
        report["calibration"] = calibrated(given.calibrate)
    print(json.dumps(report, indent=1))
    if given.output:
        given.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
