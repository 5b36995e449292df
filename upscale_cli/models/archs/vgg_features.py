"""The first layers of VGG19, whose features nets of texture transfer compare; with weights that a user has.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
https://arxiv.org/abs/1409.1556
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from upscale_cli.errors import CheckpointError
from upscale_cli.files.names import is_file
from upscale_cli.models.store import SEARCH_PATH_VARIABLE, weights_folders

NAMES: Final = ("vgg19-dcbb9e9d.pth", "vgg19.pth", "vgg19.safetensors")
"""What the file is called: torchvision's own name first."""

ADDRESS: Final = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"

PLACES: Final = (0, 2, 5, 7, 10)
"""Of the convolutions in torchvision's `features`, up to relu3_1."""

CHANNELS: Final = (3, 64, 64, 128, 128, 256)

MEAN: Final = (0.485, 0.456, 0.406)
DEVIATION: Final = (0.229, 0.224, 0.225)
"""Of ImageNet's pictures, which the net takes as 0 and 1."""


class VGGFeatures(nn.Module):
    """(N, 3, H, W) RGB in [0, 1] to relu3_1, relu2_1, relu1_1: 256, 128, 64 channels of a quarter, half, full size."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.ModuleDict({
            str(place): nn.Conv2d(*counts, 3, padding=1)
            for place, counts in zip(PLACES, pairwise(CHANNELS), strict=True)
        })  # fmt: skip
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        convs = list(self.features.values())
        full = torch.relu(convs[0]((picture - self.mean) / self.deviation))
        half = torch.relu(convs[2](nn.functional.max_pool2d(torch.relu(convs[1](full)), 2)))
        quarter = torch.relu(convs[4](nn.functional.max_pool2d(torch.relu(convs[3](half)), 2)))
        return quarter, half, full


def found(wanted_by: str) -> Path:
    """Where the weights are: in a folder of the search path.

    Raises:
        CheckpointError: nowhere.
    """
    for folder in weights_folders():
        for name in NAMES:
            if is_file(folder / name):
                return folder / name
    raise CheckpointError(
        f"{wanted_by} compares pictures by features of VGG19, whose weights are not here. Put {ADDRESS} into a folder "
        f"of {SEARCH_PATH_VARIABLE}"
    )


def load_features(path: Path) -> VGGFeatures:
    """VGG19's first layers, of a file that may hold all of it.

    Raises:
        CheckpointError: it cannot be read, or holds something else.
    """
    from upscale_cli.models.loading import load_state_dict

    state_dict, _ = load_state_dict(path)
    net = VGGFeatures()
    own: Mapping[str, Tensor] = {key: state_dict[key] for key in net.state_dict() if key in state_dict}
    wrong = [key for key, value in net.state_dict().items() if key not in own or own[key].shape != value.shape]
    if wrong:
        raise CheckpointError(f"{path}: is no VGG19: it lacks {wrong[0]}. Get {ADDRESS}")
    net.load_state_dict(own)
    return net.eval().requires_grad_(False)
