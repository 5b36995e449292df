"""Fits the bundled model of good photographs that NIQE measures by.

    python -m training.niqe --data FOLDER...

As the paper does it: of each picture the blocks at least 0.75 times as sharp as its sharpest one; mean and covariance
of their features over all pictures (upscale_cli/niqe.py).
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from training.patches import PICTURE_ENDINGS
from upscale_cli.metrics import Plane, full_luma, to_8_bit
from upscale_cli.niqe import MODEL_FILE, Naturalness, block_features

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


def read_lumas(folders: Iterable[Path]) -> Iterable[Plane]:
    """Full-range luma in 8-bit levels of every picture of some folders."""
    for folder in folders:
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in PICTURE_ENDINGS:
                with Image.open(path) as picture:
                    yield to_8_bit(full_luma(np.asarray(picture.convert("RGB"))))


def write_model(model: Naturalness, path: Path, *, data: str, blocks: int) -> None:
    """float32 safetensors; the same bytes for the same model."""
    tensors = {"mean": model.mean.astype(np.float32), "covariance": model.covariance.astype(np.float32)}
    metadata = {
        "about": "NIQE: mean and covariance of the features of good photographs", "data": data, "blocks": str(blocks),
        "licence": "MIT (fitted here; pictures: see weights/README.md)",
    }  # fmt: skip
    content = save(tensors, metadata=metadata)
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format wants its tensors aligned to 8 bytes
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of good photographs")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "weights" / MODEL_FILE, help="default: %(default)s")
    arguments = parser.parse_args(argv)
    features = pristine_features(read_lumas(arguments.data))
    names = ", ".join(sorted(folder.name for folder in arguments.data))
    write_model(Naturalness.of(features), arguments.out, data=names, blocks=len(features))
    print(f"{arguments.out.name}: {len(features)} blocks of {names}")


if __name__ == "__main__":
    main()
