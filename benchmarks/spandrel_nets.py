"""Our nets beside spandrel's, one checkpoint after the other: the greatest difference of what they make of one picture.

    python -m benchmarks.spandrel_nets [FOLDER ...]

Needs spandrel, and takes spandrel_extra_arches where it is installed. FOLDERs have checkpoints in safetensors
(../shared/weights, ../shared/weights-more). Both nets compute in fp32 what a part of a photograph becomes, before
anything is clamped. What spandrel does not load is listed by the name that we have for it.
"""

import argparse
import contextlib
import importlib
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import spandrel
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.report import SHARED, write
from upscale_cli.errors import CheckpointError
from upscale_cli.models.loading import build_net, load_net

HEIGHT, WIDTH = 48, 64
"""LR pixels: multiples of what nets of spandrel's ask for."""

ALIKE = 1e-4
"""Of the spread of what comes out: rounding is less."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[SHARED / "weights", SHARED / "weights-more"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    with contextlib.suppress(ImportError):
        importlib.import_module("spandrel_extra_arches").install()
    lr = _picture()
    rows: list[dict[str, Any]] = []
    for path in sorted(path for folder in given.folders for path in folder.glob("*.safetensors")):
        row = compared(path, lr)
        if row is not None:
            rows.append(row)
            print(row, flush=True)
    loaded = [row for row in rows if "spandrel" in row]
    write(
        "spandrel_nets",
        "How far are our nets from spandrel's, for every checkpoint that spandrel loads?",
        {
            "checkpoints": len(rows), "loaded_by_spandrel": len(loaded),
            "alike": [row["checkpoint"] for row in loaded if row.get("difference_of_spread", 1) <= ALIKE],
            "not_alike": [row["checkpoint"] for row in loaded if row.get("difference_of_spread", 1) > ALIKE],
            "rows": loaded,
            "not_loaded_by_spandrel": {row["checkpoint"]: row["ours"] for row in rows if "spandrel" not in row},
        },
    )  # fmt: skip


def compared(path: Path, lr: Tensor) -> dict[str, Any] | None:
    """A checkpoint in both; None for a file that is no net."""
    try:
        net = load_net(path)
    except CheckpointError:
        return None
    scale = net.descriptor.only_scale or net.descriptor.steps(4)[-1]
    row: dict[str, Any] = {"checkpoint": path.stem, "ours": net.descriptor.name}
    theirs = _by_spandrel(load_file(path))
    if theirs is None:
        return row
    channels = int(theirs.input_channels)
    row |= {"spandrel": f"{theirs.architecture.name} x{theirs.scale}", "spandrel_channels": channels}
    if channels != net.descriptor.channels or theirs.scale != scale or net.descriptor.inputs:
        return {**row, "note": "taken for a net of other channels or of another scale"}
    given = lr if channels == 3 else lr.mean(dim=1, keepdim=True)
    with torch.inference_mode():
        ours, other = build_net(net.at(scale))(given), theirs.model(given)
    spread = float(ours.max() - ours.min())
    difference = float((ours - other).abs().max())
    return {**row, "difference": difference, "spread": round(spread, 4), "difference_of_spread": difference / spread}


def _by_spandrel(state_dict: Mapping[str, Tensor]) -> Any:
    """Its descriptor; None where it does not load that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(state_dict))
        except Exception:  # its detectors read hyperparameters out of the keys there are: anything can fail
            return None
    return found.eval() if isinstance(found, spandrel.ImageModelDescriptor) else None


def _picture() -> Tensor:
    """(1, 3, HEIGHT, WIDTH) in [0, 1]."""
    with Image.open(SHARED / "eval" / "Set5" / "butterfly.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))[40 : 40 + HEIGHT, 20 : 20 + WIDTH]
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255)


if __name__ == "__main__":
    main()
