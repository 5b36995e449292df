"""PISR's student: an FSRCNN that learnt from a teacher who had seen the HR picture.

Lee et al., "Learning with Privileged Information for Efficient Image Super-Resolution", ECCV 2020,
https://arxiv.org/abs/2007.07524
"""

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from upscale_cli.models.archs.fsrcnn import FSRCNN, Layout, described
from upscale_cli.models.interface import Architecture, Recognised, SidecarMetadata

PREFIX: Final = "backbone.network."

TRAINING_ONLY: Final = "vid_module_dict."
"""Tensors of the distillation, which a picture never meets."""


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """FSRCNN's layers under the names of the student; the teacher, who wants the HR picture, has an encoder too."""
    own = {key.removeprefix(PREFIX): value for key, value in state_dict.items() if not key.startswith(TRAINING_ONLY)}
    mapping = sum(key.startswith("mapping.") and key.endswith(".0.weight") for key in own)
    layers = ("shrinking.0", *(f"mapping.{number}" for number in range(mapping)), "expanding.0")
    layout = Layout(
        ("feature_extraction.0.0", "feature_extraction.0.1"),
        [f"{layer}.{part}" for layer in layers for part in (0, 1)],
        {"last_part.weight": "last_layer.0.0.weight", "last_part.bias": "last_layer.0.0.bias"},
    )
    renamed = layout.renamed(own)
    return None if renamed is None else described(ARCH.name, renamed, layout, metadata)


ARCH: Final = Architecture(
    name="pisr", recognise=recognise, net=FSRCNN, about="Lee et al., ECCV 2020, https://arxiv.org/abs/2007.07524"
)
