"""What training on one picture finds of its blur: by the usual minutes, by all steps of the paper, beside `auto`.

    python -m benchmarks.kernelgan PICTURE --checkpoint srmd-x2.safetensors [--side 256] [--minutes 5 600] [--quick]

The middle of a picture is blurred and shrunk as `benchmarks.degradation` does it. Of each kernel found: the sigmas and
the angle of its Gaussian, how far it is from the right one (half the sum of absolute differences, 0 to 1), and the PSNR
of luma of the net that gets it. Training is by one thread. With --minutes, the kernel of each of them; a time that is
long enough for all steps is one for all. What is known of other pictures stays in the JSON.
"""

import argparse
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.degradation import PLAIN, SCALE, degraded, measured, pictures
from benchmarks.report import json_of, write
from upscale_cli.inference import kernelgan
from upscale_cli.inference.blur_estimate import kernel_of
from upscale_cli.inference.blur_kernels import Kernel, axes_of, parse_kernel, resized

LUMA = np.array([0.299, 0.587, 0.114])


def distance(found: Kernel, right: Kernel) -> float:
    """Half the sum of absolute differences, of kernels whose middles lie on each other."""
    side = max(len(found), len(right))
    return float(np.abs(resized(found, side) - resized(right, side)).sum() / 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--side", type=int, default=256, help="pixels of the part of it that is taken")
    parser.add_argument("--checkpoint", required=True, help="an x2 net that takes a kernel")
    parser.add_argument("--kernel", default="aniso:2.5,1,30", help="what blurs")
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0, 600.0])
    parser.add_argument("--quick", action="store_true", help="a quarter of a minute")
    given = parser.parse_args()
    torch.set_num_threads(1)
    hr = dict(pictures(given.picture.parent, given.side, 1000))[given.picture.stem]
    lr, right = degraded(hr, given.kernel, 0), parse_kernel(given.kernel)
    rows: list[dict[str, Any]] = []

    def add(how: str, kernel: Kernel, **facts: Any) -> None:
        row = {
            "kernel": how, **facts, "axes": [round(value, 2) for value in axes_of(kernel)],
            "distance": round(distance(kernel, right), 3),
            "psnr_db": measured(given.checkpoint, [lr], [hr], kernel=kernel, noise=0),
        }  # fmt: skip
        rows.append(row)
        print(row, flush=True)

    add("right", right)
    found = kernel_of(lr / 255 @ LUMA, SCALE)
    if found is not None:
        add("auto", found)
    for minutes in [0.25] if given.quick else given.minutes:
        begin, step = time.perf_counter(), kernelgan._Training.step
        with mock.patch.object(kernelgan._Training, "step", autospec=True, side_effect=step) as counted:
            kernel = kernelgan.estimated(np.moveaxis(lr / 255.0, 2, 0), SCALE, minutes, print)
        taken = round((time.perf_counter() - begin) / 60, 1)
        add("kernelgan", kernel, minutes_allowed=minutes, minutes=taken, steps=counted.call_count)
    run = {
        "picture": given.picture.stem, "side": given.side, "scale": SCALE, "blur": given.kernel,
        "checkpoint": Path(given.checkpoint).stem, f"{PLAIN}_db": measured(PLAIN, [lr], [hr]), "rows": rows,
    }  # fmt: skip
    others = [other for other in _known() if (other["picture"], other["side"]) != (run["picture"], run["side"])]
    write(
        "kernelgan",
        "What does training on a picture find of its blur, in the usual minutes and in all its steps, beside auto?",
        {"runs": [*others, run]},
    )


def _known() -> list[dict[str, Any]]:
    """What was measured before."""
    return list(json_of("kernelgan").get("runs", []))


if __name__ == "__main__":
    main()
