"""Fits the bundled model of good photographs that NIQE measures by.

    python -m training.niqe --data FOLDER...

As the paper does it: of each picture the blocks at least 0.75 times as sharp as its sharpest one; mean and covariance
of their features over all pictures (upscale_cli/niqe.py).
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.files import write_safetensors
from training.patches import read_lumas
from upscale_cli.evaluation.metrics import Plane, to_8_bit
from upscale_cli.evaluation.niqe import MODEL_FILE, Naturalness, block_features

REPOSITORY = Path(__file__).parent.parent
SHARPNESS = 0.75
"""Of the sharpest block of a picture: blocks below are out of focus, or have nothing in them."""


def pristine_features(lumas: Iterable[Plane]) -> NDArray[np.float64]:
    """(blocks, 36) features of the sharp blocks of all pictures."""
    kept = []
    for luma in lumas:
        features, sharpness = block_features(luma)
        if len(features):
            kept.append(features[sharpness > SHARPNESS * sharpness.max()])
    return np.concatenate(kept)


def write_model(model: Naturalness, path: Path, *, data: str, blocks: int) -> None:
    """float32 safetensors; the same bytes for the same model."""
    tensors = {"mean": torch.from_numpy(model.mean).float(), "covariance": torch.from_numpy(model.covariance).float()}
    metadata = {
        "about": "NIQE: mean and covariance of the features of good photographs", "data": data, "blocks": str(blocks),
        "licence": "MIT (fitted here; pictures: see weights/README.md)",
    }  # fmt: skip
    write_safetensors(path, tensors, metadata)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of good photographs")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "weights" / MODEL_FILE, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    features = pristine_features(to_8_bit(luma) for folder in arguments.data for luma in read_lumas(folder))
    names = ", ".join(sorted(folder.name for folder in arguments.data))
    write_model(Naturalness.of(features), arguments.out, data=names, blocks=len(features))
    print(f"{arguments.out.name}: {len(features)} blocks of {names}")


if __name__ == "__main__":
    main()
