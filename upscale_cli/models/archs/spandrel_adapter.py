"""Nets that are not written here, through spandrel (https://github.com/chaiNNer-org/spandrel, MIT), an optional extra.

spandrel gets tensors, never a file: its own loader would unpickle what we refuse to.
"""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from upscale_cli.errors import CheckpointError

DEFAULT_HALO: Final = 32
"""LR pixels. Most of these nets see further or attend in windows of 8 to 64; the overlap blends away what remains."""


class ForeignNet(nn.Module):
    """A spandrel model with the attributes of `net.Net`.

    Shapes: (N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W), clamped by spandrel, which also pads what is
    smaller than the net's smallest side.
    """

    exact = False

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.net: nn.Module = descriptor.model  # registered, so that .to() reaches it
        self.scale = int(descriptor.scale)
        self.channels = int(descriptor.input_channels)
        self.multiple_of = int(descriptor.size_requirements.multiple_of)
        self.halo = -(-DEFAULT_HALO // self.multiple_of) * self.multiple_of  # windows of neighbours then coincide
        self.fp16 = bool(descriptor.supports_half)
        self.arch = str(descriptor.architecture.name)
        self._descriptor = descriptor

    def forward(self, lr: Tensor) -> Tensor:
        out: Tensor = self._descriptor(lr)
        return out


def load(path: Path, state_dict: Mapping[str, Tensor]) -> ForeignNet:
    """A net that only spandrel knows.

    Raises:
        CheckpointError: spandrel is not installed, broken, or does not know it; or it does not make one picture of one.
    """
    try:
        import spandrel
    except ImportError as error:
        raise CheckpointError(
            f"{path}: is of none of the architectures written here. "
            f'More of them come with spandrel: pip install "upscale-cli[spandrel]"'
        ) from error
    except (
        Exception
    ) as error:  # torchvision comes with it, and fails in many ways beside a torch that it was not made for
        raise CheckpointError(
            f"{path}: is for spandrel, which is installed but does not start ({type(error).__name__}). "
            f"Install torch and torchvision versions that belong together"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own code: nothing a user could act on
            descriptor = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(state_dict))
    except Exception as error:  # its detectors read hyperparameters out of whatever keys there are: anything can fail
        raise CheckpointError(
            f"{path}: is of no architecture that is known here or to spandrel {spandrel.__version__}"
        ) from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or descriptor.purpose == "FaceSR":
        raise CheckpointError(f"{path}: is a {descriptor.architecture.name} for {descriptor.purpose}, no upscaler")
    if descriptor.input_channels != descriptor.output_channels or descriptor.input_channels not in (1, 3):
        raise CheckpointError(
            f"{path}: turns {descriptor.input_channels} channels into {descriptor.output_channels}; "
            f"grey or RGB pictures need 1 or 3 and the same number out"
        )
    return ForeignNet(descriptor)
