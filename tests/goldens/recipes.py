"""What the goldens are made of: a picture that is drawn and weights that come out of a seed. Needs NumPy only.

`make.py` and the tests both build the nets from here, so that 67 MB of random weights need not be kept. A golden file
has two tensors: `lr` (height, width, channels) uint8, and `sr` (channels, scale * height, scale * width) float32,
rounded from another implementation's float64.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Shapes = dict[str, tuple[int, ...]]
Weights = dict[str, NDArray[np.float32]]

FOLDER = Path(__file__).parent
GROWTH = 32
"""Channels that a dense block adds each time; spandrel knows no other number."""

HEIGHT, WIDTH = 20, 24
"""LR pixels: not square, so that swapped axes show; divisible by 4, as the x1 net wants it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A net with random weights.

    Attributes:
        name: of the golden file.
        shapes: of its state_dict, under the authors' own keys.
        scale: SR pixels per LR pixel.
        seed: of the weights.
        act_type: SRVGGNetCompact only.
    """

    name: str
    shapes: Shapes
    scale: int
    seed: int
    act_type: Literal["prelu", "relu", "leakyrelu"] | None = None

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.name}.golden"  # a safetensors file of pictures: lr and sr, no weights

    def weights(self) -> Weights:
        return seeded(self.shapes, self.seed)


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint with an official name, whose golden needs the very file it was made with."""

    stem: str
    sha256: str

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.stem}.golden"


def rrdbnet(num_block: int, *, num_feat: int = 64, num_up: int = 2, unshuffle: int = 1) -> Shapes:
    """The keys of BasicSR's RRDBNet, which Real-ESRGAN's files have."""
    shapes: Shapes = {}

    def conv(key: str, channels_in: int, channels_out: int) -> None:
        shapes[f"{key}.weight"], shapes[f"{key}.bias"] = (channels_out, channels_in, 3, 3), (channels_out,)

    conv("conv_first", 3 * unshuffle**2, num_feat)
    for block in range(num_block):
        for dense in (1, 2, 3):
            for number in range(1, 6):
                channels_out = num_feat if number == 5 else GROWTH
                conv(f"body.{block}.rdb{dense}.conv{number}", num_feat + (number - 1) * GROWTH, channels_out)
    conv("conv_body", num_feat, num_feat)
    for up in range(1, num_up + 1):
        conv(f"conv_up{up}", num_feat, num_feat)
    conv("conv_hr", num_feat, num_feat)
    conv("conv_last", num_feat, 3)
    return shapes


def srvgg(num_conv: int, *, num_feat: int = 64, upscale: int = 4, slopes: bool = True) -> Shapes:
    """The keys of Real-ESRGAN's SRVGGNetCompact; PReLU has slopes, the other activations have no keys."""
    shapes: Shapes = {}
    widths = [3, *[num_feat] * (num_conv + 1), 3 * upscale**2]
    for number, (channels_in, channels_out) in enumerate(itertools.pairwise(widths)):
        shapes[f"body.{2 * number}.weight"] = (channels_out, channels_in, 3, 3)
        shapes[f"body.{2 * number}.bias"] = (channels_out,)
        if slopes and number <= num_conv:
            shapes[f"body.{2 * number + 1}.weight"] = (num_feat,)
    return shapes


RECIPES = (
    Recipe(name="rrdbnet-x4", shapes=rrdbnet(23), scale=4, seed=1),
    Recipe(name="rrdbnet-x2", shapes=rrdbnet(23, unshuffle=2), scale=2, seed=2),
    Recipe(name="rrdbnet-x1", shapes=rrdbnet(23, unshuffle=4), scale=1, seed=3),
    Recipe(name="rrdbnet-x4-6b", shapes=rrdbnet(6), scale=4, seed=4),
    Recipe(name="rrdbnet-x2-1up", shapes=rrdbnet(2, num_feat=48, num_up=1), scale=2, seed=5),
    Recipe(name="srvgg-x4-prelu", shapes=srvgg(16), scale=4, seed=6, act_type="prelu"),
    Recipe(
        name="srvgg-x2-relu", shapes=srvgg(8, num_feat=48, upscale=2, slopes=False), scale=2, seed=7, act_type="relu"
    ),
    Recipe(
        name="srvgg-x3-leakyrelu", shapes=srvgg(5, num_feat=24, upscale=3, slopes=False), scale=3, seed=8,
        act_type="leakyrelu",
    ),
)  # fmt: skip

TRAINED = (
    Trained("realesr-general-x4v3", "073044f490957894c8909737997158d8e7b5fdf648529123138343be8a8daea7"),
    Trained("realesr-general-wdn-x4v3", "b137f7c422cc6ed1e9328d16d406c818de19a8206e409f8fe2010115b12f9043"),
    Trained("realesr-animevideov3", "e76b293810d04611d2ac63d6e741202ad2b96eda1293ee647755e5769391b632"),
)


def seeded(shapes: Shapes, seed: int) -> Weights:
    """Weights that keep the signal alive through any depth, the same ones on every machine.

    Variance 2 / fan_in, as He et al. (https://arxiv.org/abs/1502.01852) found it for rectifiers: with the small
    weights that GANs are trained from, the body of an RRDBNet would hardly show in its output, nor a fault in it.
    """
    numbers = _uniform(seed)
    weights = {}
    for key, shape in shapes.items():
        values = numbers(int(np.prod(shape))).reshape(shape)
        if len(shape) == 4:
            values *= np.sqrt(6 / np.prod(shape[1:]))
        elif not key.endswith(".bias"):  # the slopes of a PReLU
            values = 0.25 + 0.15 * values
        weights[key] = values.astype(np.float32)
    return weights


def _uniform(seed: int) -> Callable[[int], NDArray[np.float64]]:
    """Numbers in [-1, 1). From the raw bits: NumPy promises these for ever, and not what it makes of them (NEP 19)."""
    bits = np.random.PCG64(seed)

    def draw(count: int) -> NDArray[np.float64]:
        raw: NDArray[np.uint64] = np.asarray(bits.random_raw(count), dtype=np.uint64)
        return (raw >> np.uint64(11)).astype(np.float64) / 2**52 - 1

    return draw


def picture(height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.uint8]:
    """(height, width, 3): a sky, a ball with a shadow, stripes that grow finer, a slanted edge, and a little noise."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    sky = np.stack((0.35 + 0.4 * y, 0.55 + 0.2 * y, 0.9 - 0.3 * x), axis=2)
    stripes = (0.5 + 0.5 * np.sign(np.sin(90 * x * (0.3 + x))))[:, :, None] * np.array([0.9, 0.75, 0.2])
    out = np.where((y > 0.55)[:, :, None], stripes, sky)
    distance = np.hypot(y - 0.38, x - 0.4)
    light = np.clip(1.1 - 2.2 * np.hypot(y - 0.3, x - 0.32), 0.05, 1)[:, :, None]
    out = np.where((distance < 0.22)[:, :, None], light * np.array([0.9, 0.15, 0.1]), out)
    out = np.where((x + 0.4 * y > 1.0)[:, :, None], np.array([0.1, 0.35, 0.2]), out)
    noise = _uniform(0)(out.size).reshape(out.shape)
    levels: NDArray[np.uint8] = np.rint(np.clip(out + 0.03 * noise, 0, 1) * 255).astype(np.uint8)
    return levels


def first_esrgan_keys(weights: dict[str, Any]) -> dict[str, Any]:
    """The same tensors under the names of the first ESRGAN repository (xinntao/ESRGAN), also BSRGAN's and RealSR's."""
    names = [("conv_body", "trunk_conv"), ("body.", "RRDB_trunk."), ("rdb", "RDB"), ("conv_up", "upconv")]
    return dict(_renamed(weights, *names, ("conv_hr", "HRconv")))


def numbered_keys(weights: dict[str, Any]) -> dict[str, Any]:
    """The same tensors under the oldest names, places in one nn.Sequential: "model.1.sub.0.RDB1.conv1.0.weight"."""
    blocks = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("body."))
    ups = sum(key.startswith("conv_up") and key.endswith("weight") for key in weights)
    names = [
        ("conv_first", "model.0"),
        ("conv_body", f"model.1.sub.{blocks}"),
        ("body.", "model.1.sub."),
        ("rdb", "RDB"),
    ]
    names += [(f"conv_up{up}", f"model.{3 * up}") for up in range(1, ups + 1)]
    names += [("conv_hr", f"model.{3 * ups + 2}"), ("conv_last", f"model.{3 * ups + 4}")]
    names += [(f"conv{number}.", f"conv{number}.0.") for number in range(1, 6)]
    return dict(_renamed(weights, *names))


def _renamed(weights: dict[str, Any], *names: tuple[str, str]) -> Iterator[tuple[str, Any]]:
    for key, tensor in weights.items():
        for new, old in names:
            key = key.replace(new, old)
        yield key, tensor
