"""LPIPS, DISTS and ARNIQA: pictures as trained nets see them. The only file that imports torchmetrics.

torchmetrics computes them. The weights of the nets are by others and are never fetched: their files lie where torch
keeps what it downloads, or in a folder of UPSCALE_WEIGHTS.
"""

import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from upscale_cli.errors import CheckpointError, OptionError
from upscale_cli.evaluation.reference import Picture
from upscale_cli.messages import option
from upscale_cli.models.store import weights_folders

if TYPE_CHECKING:
    from torch import Tensor

PerceptualMetric = Literal["lpips", "dists", "arniqa"]

Perceptual = Callable[[Picture, Picture], float]
"""What becomes of SR and HR. Distances are 0 for equal pictures; ARNIQA looks at the first alone."""

_ARNIQA: Final = "https://github.com/miccunifi/ARNIQA/releases/download/weights"


@dataclass(frozen=True, slots=True)
class Weights:
    """A file that a metric wants.

    Attributes:
        of: whose weights they are, for messages.
        url: where to get it; its last part is the file's name.
        is_script: it is TorchScript, and holds no pickle that could run code.
    """

    of: str
    url: str
    is_script: bool = False

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


WEIGHTS: Final[dict[PerceptualMetric, tuple[Weights, ...]]] = {
    "lpips": (Weights("AlexNet", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),),
    "dists": (Weights("VGG16", "https://download.pytorch.org/models/vgg16-397923af.pth"),),
    "arniqa": (
        Weights("ARNIQA", f"{_ARNIQA}/ARNIQA.pth"),
        Weights("ARNIQA's regressor", f"{_ARNIQA}/regressor_koniq10k.pth", is_script=True),
    ),
}
"""By metric; what torchvision 0.15 and later and torchmetrics ask for. The layers that LPIPS and DISTS put on top come
with torchmetrics."""


@functools.cache
def perceptual(metric: PerceptualMetric) -> Perceptual:
    """One of:

    - lpips: on AlexNet. Zhang et al., "The Unreasonable Effectiveness of Deep Features", CVPR 2018.
    - dists: on VGG16, of pictures in their own size. Ding et al., "Image Quality Assessment: Unifying Structure and
      Texture Similarity", IEEE TPAMI 2020.
    - arniqa: of SR alone, 0 to 1, higher is better; its regressor is that of KonIQ-10k. Agnolucci et al., "ARNIQA:
      Learning Distortion Manifold for Image Quality Assessment", WACV 2024.

    Raises:
        OptionError: torchmetrics or torchvision is not installed.
        CheckpointError: weights are not on this machine, or are none that can be read safely.
    """
    make = _maker(metric)
    with _torch_hub(_files(metric)):
        try:
            net = make()
        except (RuntimeError, KeyError, AttributeError) as error:  # of another net, or of none
            reason = str(error).partition("\n")[0]
            names = " and ".join(weights.name for weights in WEIGHTS[metric])
            raise CheckpointError(
                f"{option('metrics', metric)}: {names} do not hold its weights ({reason}). Download them again."
            ) from error

    def judged(sr: Picture, hr: Picture) -> float:
        if hasattr(net, "reset"):
            net.reset()
        pictures = (sr,) if metric == "arniqa" else (sr, hr)
        return float(net(*map(_tensor, pictures)).detach())

    return judged


def _maker(metric: PerceptualMetric) -> Callable[[], Any]:
    """What makes torchmetrics' own object.

    Raises:
        OptionError: it cannot be imported.
    """
    try:
        import torchvision  # noqa: F401  # without which torchmetrics brings none of them
        from torchmetrics.functional.image.dists import DISTSNetwork  # its metric loads VGG16 anew for each picture
        from torchmetrics.image.arniqa import ARNIQA
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity as Lpips
    except (ImportError, RuntimeError) as error:  # the latter of a torchvision made for another torch
        raise OptionError(
            f"{option('metrics', metric)} needs torchmetrics, and torchvision for this torch. Install them: "
            "pip install 'upscale-cli[quality]'"
        ) from error
    makers: dict[PerceptualMetric, Callable[[], Any]] = {
        "lpips": lambda: Lpips(net_type="alex", normalize=True),
        "dists": DISTSNetwork,
        "arniqa": lambda: ARNIQA(regressor_dataset="koniq10k", normalize=True),
    }
    return makers[metric]


def _tensor(picture: Picture) -> "Tensor":
    """(1, 3, H, W) float32 in 0..1; gray three times."""
    import torch

    rgb = np.broadcast_to(picture, (*picture.shape[:2], 3)).transpose(2, 0, 1)
    return torch.from_numpy(rgb.astype(np.float32) / 255)[None]


# Weights


def _files(metric: PerceptualMetric) -> list[Path]:
    """Where its weights lie.

    Raises:
        CheckpointError: a file is not there, or is a pickle that could run code.
    """
    import torch

    kept = Path(torch.hub.get_dir()) / "checkpoints"
    files = []
    for weights in WEIGHTS[metric]:
        places = [folder / weights.name for folder in (kept, *weights_folders())]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise CheckpointError(
                f"{option('metrics', metric)} needs the weights of {weights.of} at {places[0]}, or in a folder of "
                f"UPSCALE_WEIGHTS. Download them from {weights.url}"
            )
        _check_safe(found, weights)
        files.append(found)
    return files


def _check_safe(path: Path, weights: Weights) -> None:
    """torchmetrics and torchvision unpickle without a guard; so what they get was seen to hold tensors only.

    Raises:
        CheckpointError: it holds something else.
    """
    import pickle
    import zipfile

    import torch

    try:
        if weights.is_script:
            with zipfile.ZipFile(path) as archive:
                if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                    return
            raise ValueError("no TorchScript")
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, ValueError, EOFError, KeyError, OSError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]
        raise CheckpointError(
            f"{path}: holds no weights of {weights.of} that can be read safely ({reason}). "
            f"Download them again from {weights.url}"
        ) from error


@contextmanager
def _torch_hub(files: Sequence[Path]) -> Iterator[None]:
    """While nets are made, these files are all that torch finds among its downloads."""
    import torch

    before = torch.hub.get_dir()
    if all(file.parent == Path(before) / "checkpoints" for file in files):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="upscale-") as name:
        folder = Path(name) / "checkpoints"
        folder.mkdir()
        for file in files:
            _link(file.resolve(), folder / file.name)
        torch.hub.set_dir(name)
        try:
            yield
        finally:
            torch.hub.set_dir(before)


def _link(file: Path, place: Path) -> None:
    """The same file at another place: half a gigabyte is copied only where links cannot be made."""
    for make in (os.symlink, os.link):
        try:
            make(file, place)
        except OSError:
            continue
        return
    shutil.copyfile(file, place)
