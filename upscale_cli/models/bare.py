"""`load_model`: any checkpoint as the net that its reference's class makes, for those who compute with it themselves.

model = load_model("srfbn.safetensors", card="card.json")
sr = model.net(lr)  # in the reference's own range of values
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscale_cli.errors import CheckpointError
from upscale_cli.events import Say
from upscale_cli.models.interface import Descriptor, SidecarMetadata
from upscale_cli.models.store import quiet

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class BareModel:
    """A net and what it is.

    Attributes:
        descriptor: what the file holds: architecture, scales, colours, halo, inputs.
        net: called with `lr`, (N, C, H, W) float32 in `descriptor.input_range`, and what `descriptor.inputs` names; it
            gives (N, C, scale * H, scale * W) float32 in `descriptor.output_range`, not clamped unless the reference
            clamps. In eval mode, without gradients, on the CPU.
    """

    descriptor: Descriptor
    net: "nn.Module"


def load_model(
    weights: str | Path, *, card: Mapping[str, Any] | str | Path | None = None, say: Say = quiet
) -> BareModel:
    """The net in a checkpoint file, as its reference has it.

    Args:
        weights: a checkpoint of a known architecture.
        card: what keys and shapes do not show, as values or as a JSON file: `arch`, `configs`, ranges in words. It
            counts more than a NAME.json next to the file.
        say: takes what had to be assumed.

    Raises:
        CheckpointError: the file or the card cannot be read, or no architecture knows it.
    """
    from upscale_cli.models.loading import bare_net, load_net

    facts = _card(Path(card)) if isinstance(card, str | Path) else card
    net = load_net(Path(weights), card=SidecarMetadata.read(_of_file(facts or {}, Path(weights))), say=say)
    if net.graph is not None:
        raise CheckpointError(
            f"{weights}: is an ONNX graph, no checkpoint. Upscale with it as a model, or run it with onnxruntime"
        )
    return BareModel(net.descriptor, bare_net(net))


def _of_file(facts: Mapping[str, Any], weights: Path) -> Mapping[str, Any]:
    """A card that is about several files, with the hyper-parameters (`configs`) of this one only."""
    configs = facts.get("configs")
    its = configs.get(weights.stem) if isinstance(configs, Mapping) else None
    return facts if its is None else {**facts, "configs": {weights.stem: its}}


def _card(path: Path) -> Mapping[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CheckpointError(f"{path}: the card cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: the card is not JSON. Correct it") from error
    if not isinstance(facts, Mapping):
        raise CheckpointError(f"{path}: the card is a {type(facts).__name__}, where names with values are wanted")
    return facts
