"""The nets and pictures that peers are compared on, as files that every environment can read."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.nets import row
from benchmarks.peers_engines import Net
from benchmarks.report import REPOSITORY, SHARED
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.registry import Spec

Floats = NDArray[np.float32]

OPSET: Final = 17
CALIBRATION: Final = 24
"""Crops that int8 is calibrated on, of CALIBRATION_SIDE; none of them is part of a measured picture's file."""

CALIBRATION_SIDE: Final = 96
MEASURED: Final = ("chelsea.png", "0014.jpg")
"""The sample photos that nets are measured on; the others calibrate."""


@dataclass(frozen=True, slots=True)
class Work:
    """A net and the size of the picture it is measured on, in LR pixels."""

    name: str
    model: str
    scale: int
    height: int
    width: int


WORK: Final = (
    Work("espcn-x2", "espcn", 2, 540, 960),
    Work("photo-lite-x4", "photo-lite", 4, 256, 256),
    Work("realesr-general-x4", "realesr-general", 4, 256, 256),
    Work("x4plus", "realesrgan", 4, 64, 64),
)


def weights(spec: Spec) -> Path | None:
    """The checkpoint of a row: in ../shared, or bundled; None if it is in neither."""
    folders = (REPOSITORY / "weights", SHARED / "weights", SHARED / "weights-more")
    names = dict.fromkeys((spec.file, f"{spec.stem}.safetensors"))
    return next((path for folder in folders for name in names if (path := folder / name).is_file()), None)


def prepared(work: Work, folder: Path) -> tuple[Net, Floats] | None:
    """The files of a net, and what plain torch makes of its picture in fp32; None where its weights are missing."""
    checkpoint = weights(row(work.model, work.scale))
    if checkpoint is None:
        return None
    loaded = load_net(checkpoint)
    module = build_net(loaded).eval().requires_grad_(False)
    luma = loaded.descriptor.channels == 1
    lr = picture(work.height, work.width, luma=luma)
    paths = {kind: folder / f"{work.name}.{kind}" for kind in ("onnx", "input.npy", "calibration.npy")}
    np.save(paths["input.npy"], lr)
    np.save(paths["calibration.npy"], calibration(luma=luma))
    export(module, lr.shape[1], paths["onnx"])
    with torch.inference_mode():
        reference: Floats = module(torch.from_numpy(lr)).numpy()
    net = Net(
        name=work.name, model=work.model, scale=work.scale, checkpoint=str(checkpoint), onnx=str(paths["onnx"]),
        input=str(paths["input.npy"]), calibration=str(paths["calibration.npy"]), folder=str(folder),
    )  # fmt: skip
    return net, reference


def export(module: torch.nn.Module, channels: int, path: Path) -> None:
    """The net as ONNX, with a free height and width."""
    with warnings.catch_warnings():
        # torch's newer exporter needs onnxscript, and writes what pnnx and OpenCV do not read.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.rand(1, channels, 32, 32),), path, dynamo=False, opset_version=OPSET,
            input_names=["lr"], output_names=["sr"],
            dynamic_axes={"lr": {2: "height", 3: "width"}, "sr": {2: "sr_height", 3: "sr_width"}},
        )  # fmt: skip


def picture(height: int, width: int, *, luma: bool) -> Floats:
    """(1, C, height, width): the middle of a sample photo, mirrored to where it does not reach."""
    photos = dict(_photos())
    pixels = next((photos[name] for name in MEASURED if name in photos), None)
    if pixels is None:
        pixels = next(iter(photos.values()))
    pixels = _mirrored(pixels, height, width)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return _as_input(pixels[top : top + height, left : left + width], luma=luma)[None]


def calibration(*, luma: bool) -> Floats:
    """(CALIBRATION, C, side, side) crops of the other sample photos, in turn."""
    photos = dict(_photos())
    others = [pixels for name, pixels in photos.items() if name not in MEASURED] or list(photos.values())
    rng, side, crops = np.random.default_rng(0), CALIBRATION_SIDE, []
    for number in range(CALIBRATION):
        pixels = _mirrored(others[number % len(others)], side, side)
        top, left = (int(rng.integers(0, length - side + 1)) for length in pixels.shape[:2])
        crops.append(_as_input(pixels[top : top + side, left : left + side], luma=luma))
    return np.stack(crops)


def _photos() -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Names and (H, W, 3) of the sample photos; of the bundled one where there are no others."""
    found = sorted((SHARED / "samples/images/photos").glob("*.*")) or [REPOSITORY / "docs/sample/harbour.jpg"]
    for path in found:
        with Image.open(path) as image:
            if image.mode == "RGB":
                yield path.name, np.asarray(image)


def _mirrored(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """At least that large, by mirroring at the borders."""
    missing = [max(0, length - have) for length, have in zip((height, width), pixels.shape[:2], strict=True)]
    return np.pad(pixels, [(0, missing[0]), (0, missing[1]), (0, 0)], "symmetric")


def _as_input(pixels: NDArray[np.uint8], *, luma: bool) -> Floats:
    """(C, H, W) in [0, 1], in steps of 8 bits: what a gray or RGB picture holds."""
    if luma:
        gray = np.asarray(Image.fromarray(pixels).convert("L"), np.float32)
        return np.divide(gray[None], 255, dtype=np.float32)
    return np.divide(pixels.transpose(2, 0, 1), 255, dtype=np.float32)
