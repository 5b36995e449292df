"""Nets that are not written here, through spandrel (https://github.com/chaiNNer-org/spandrel, MIT), an optional extra.

spandrel gets tensors, never a file: its own loader would unpickle what we refuse to.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from torch import Tensor, nn

from upscale_cli.errors import CheckpointError
from upscale_cli.models.interface import Architecture, Descriptor
from upscale_cli.models.watch import looks_at_the_whole

DEFAULT_HALO: Final = 32
"""LR pixels. Most of these nets see further or attend in windows of 8 to 64; the overlap blends away what remains."""


class SpandrelNet(nn.Module):
    """A model of spandrel's as one of ours.

    Shapes: (N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W), clamped by spandrel, which also pads what is
    smaller than the net's smallest side.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.net: nn.Module = model.model  # registered, so that .to() reaches it
        self._model = model

    def forward(self, lr: Tensor) -> Tensor:
        out: Tensor = self._model(lr)
        return out


def describe(path: Path, state_dict: Mapping[str, Tensor]) -> Descriptor:
    """What a net is that only spandrel knows.

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
    ) as error:  # torchvision comes with it, and fails in many ways with a torch that it was not made for
        raise CheckpointError(
            f"{path}: is for spandrel, which is installed but does not start ({type(error).__name__}). "
            f"Install torch and torchvision versions that belong together"
        ) from error
    try:
        model = _loaded(state_dict)
    except Exception as error:  # its detectors read hyperparameters out of the keys there are: anything can fail
        raise CheckpointError(
            f"{path}: is of no architecture that is known here or to spandrel {spandrel.__version__}"
        ) from error
    if not isinstance(model, spandrel.ImageModelDescriptor) or model.purpose == "FaceSR":
        raise CheckpointError(f"{path}: is a {model.architecture.name} for {model.purpose}, no upscaler")
    if model.input_channels != model.output_channels or model.input_channels not in (1, 3):
        raise CheckpointError(
            f"{path}: turns {model.input_channels} channels into {model.output_channels}; "
            f"grey or RGB pictures need 1 or 3 and the same number out"
        )
    multiple_of = int(model.size_requirements.multiple_of)
    net = Descriptor(
        arch=ARCH.name,
        variant=str(model.architecture.name),
        depth=" ".join(map(str, model.tags)),  # as spandrel writes it: "64nf 23nb"
        scales=(int(model.scale),),
        channels=int(model.input_channels),
        colour="rgb" if model.input_channels == 3 else "luma",
        halo=-(-DEFAULT_HALO // multiple_of) * multiple_of,  # windows of neighbours then coincide
        multiple_of=multiple_of,
        precisions=frozenset({"fp32", "fp16"} if model.supports_half else {"fp32"}),
    )
    return replace(net, sees_whole=looks_at_the_whole(SpandrelNet(model), net, int(model.scale)))


def _loaded(state_dict: Mapping[str, Tensor]) -> Any:
    """spandrel's own descriptor, with the model in it; what it raises is its own."""
    import spandrel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own code: nothing a user could act on
        return spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(state_dict))


def _load(_: Descriptor, state_dict: Mapping[str, Tensor]) -> nn.Module:
    return SpandrelNet(_loaded(state_dict))


ARCH: Final = Architecture(
    name="spandrel",
    recognise=lambda _state_dict, _metadata: None,  # `describe` is asked last, for its errors have more detail
    net=SpandrelNet,
    load=_load,
    about="some forty architectures, https://github.com/chaiNNer-org/spandrel",
)
