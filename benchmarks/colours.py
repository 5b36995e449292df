"""What nets do to the colours of whole pictures, and what `--match-colour` makes of it; in fp32, on a CPU.

    python -m benchmarks.colours [--quick]

HR pictures made four times smaller (bicubic) are upscaled by real weights, as they are and matched. Told are the mean
of each channel beside that of the input, in levels of 255, and how far the result, made as small as the input again, is
from it: the figure that a result is judged by (`inference.likeness`).
"""

import argparse
import json
from typing import Any, Final

import numpy as np
from PIL import Image

from benchmarks.report import SHARED, write
from upscale_cli import Upscaler
from upscale_cli.evaluation.metrics import psnr

WEIGHTS: Final = SHARED / "weights-more/RealESRGAN_x4plus.safetensors"

PICTURES: Final = (
    "Set5/baby", "Set5/bird", "Set5/butterfly", "Set5/head", "Set5/woman", "Set14/baboon", "Set14/comic", "Set14/face",
    "Set14/zebra",
)  # fmt: skip
TWICE: Final = ("Set5/butterfly",)
"""Of them, those that are upscaled by 8, too: the net runs twice."""


def lr_of(name: str, side: int) -> Image.Image:
    with Image.open(SHARED / f"eval/{name}.png") as hr:
        picture = hr.convert("RGB")
    lr = picture.resize((picture.width // 4, picture.height // 4), Image.Resampling.BICUBIC)
    return lr.crop((0, 0, min(side, lr.width), min(side, lr.height)))


def measured(name: str, scale: float, side: int, *, matched: bool) -> dict[str, Any]:
    lr = lr_of(name, side)
    upscaler = Upscaler(WEIGHTS, device="cpu", engine="openvino", precision="fp32", match_colour=matched)
    sr = upscaler(lr, scale)
    shrunk = sr.resize(lr.size, Image.Resampling.BOX)
    before, after = (np.asarray(picture, np.float64).mean((0, 1)) for picture in (lr, sr))
    return {
        "picture": name, "scale": scale, "matched": matched,
        "mean_minus_input": (after - before).round(2).tolist(),
        "psnr_shrunk": round(psnr(np.asarray(shrunk), np.asarray(lr)), 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three pictures, smaller ones; nothing is written")
    quick = parser.parse_args().quick
    pictures, side = (PICTURES[2:5], 48) if quick else (PICTURES, 96)
    rows = [measured(name, 4, side, matched=matched) for name in pictures for matched in (False, True)]
    rows += [measured(name, 8, side // 2, matched=matched) for name in TWICE for matched in (False, True)]
    worst = {
        f"x{scale}{' matched' if matched else ''}": max(
            abs(value)
            for row in rows
            if (row["scale"], row["matched"]) == (scale, matched)
            for value in row["mean_minus_input"]
        )
        for scale in (4, 8)
        for matched in (False, True)
    }
    result = {"weights": WEIGHTS.name, "worst_levels": worst, "rows": rows}
    if quick:
        print(json.dumps(result, indent=2))
    else:
        write("colours", "What a net does to the colours of pictures, and what matching makes of it.", result)


if __name__ == "__main__":
    main()
