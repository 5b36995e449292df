"""LPIPS: the distance between two pictures as a trained net sees it. The only file that imports torchmetrics."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from upscale_cli.errors import CheckpointError, OptionError
from upscale_cli.evaluation.reference import Picture
from upscale_cli.messages import option

Perceptual = Callable[[Picture, Picture], float]
"""A distance between SR and HR; 0 for equal ones."""


@functools.cache
def lpips_distance() -> Perceptual:
    """LPIPS on AlexNet: Zhang et al., "The Unreasonable Effectiveness of Deep Features", CVPR 2018.

    By torchmetrics, which brings the layers' weights along. AlexNet's own come from PyTorch; they are never fetched.

    Raises:
        OptionError: torchmetrics or torchvision is not installed.
        CheckpointError: AlexNet's weights are not on this machine.
    """
    try:
        import torchvision
        from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity as Lpips
    except (ImportError, RuntimeError) as error:  # the latter of a torchvision made for another torch
        raise OptionError(
            f"{option('lpips', True)} needs torchmetrics, and torchvision for this torch. Install them: "
            "pip install 'upscale-cli[lpips]'"
        ) from error
    import torch

    url: str = torchvision.models.AlexNet_Weights.IMAGENET1K_V1.url
    place = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not place.is_file():
        raise CheckpointError(
            f"{option('lpips', True)} needs the weights of AlexNet at {place}. Download them from {url}"
        )
    net = Lpips(net_type="alex", normalize=True)

    def tensor(picture: Picture) -> torch.Tensor:
        rgb = np.broadcast_to(picture, (*picture.shape[:2], 3)).transpose(2, 0, 1)
        return torch.from_numpy(rgb.astype(np.float32) / 255)[None]

    def distance(sr: Picture, hr: Picture) -> float:
        net.reset()
        return float(net(tensor(sr), tensor(hr)))

    return distance
