"""What every net file offers, and what a checkpoint's keys cannot tell. Knows no particular net.

A file `models/<arch>.py` holds the net, an `nn.Module` with the attributes of `Net`, and a function
`recognise(state_dict, card) -> Recognised | None` that knows its checkpoints by keys and shapes.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from torch import Tensor, nn

Colour = Literal["rgb", "luma", "ycbcr"]

LumaRange = Literal["full", "studio"]
"""Of luma: 0..255, or 16..235 of 255."""


class Net(Protocol):
    """A super-resolution net, as the tiles see it.

    Attributes:
        scale: SR pixels per LR pixel.
        halo: LR pixels around a tile that its SR pixels depend on.
        exact: the halo is the whole receptive field, so that tiles equal the whole picture.
        multiple_of: what LR sides must divide by.
    """

    scale: int
    halo: int
    exact: bool
    multiple_of: int

    def __call__(self, lr: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W), not clamped."""


@dataclass(frozen=True, slots=True)
class Card:
    """What keys and shapes cannot tell; None where nobody said it.

    It comes from a safetensors file's metadata or from NAME.json beside the checkpoint: either these field
    names, or the free text of a model card ("5x5, 1->64, tanh"; "luma only, full range").
    """

    activation: Literal["tanh", "relu", "leakyrelu"] | None = None
    final_activation: Literal["tanh"] | None = None
    luma_range: LumaRange | None = None
    colour: Colour | None = None

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> "Card":
        """Takes what it understands of a card or of safetensors metadata, and leaves the rest."""
        arch = facts.get("arch")
        layers = {str(key): str(text).lower() for key, text in arch.items()} if isinstance(arch, Mapping) else {}
        tail = layers.pop("tail", "")
        between = " ".join([str(facts.get("activation", "")).lower(), layers.get("act_type", ""), *layers.values()])
        given = f"{facts.get('luma_range', '')} {facts.get('colour', '')} {facts.get('input', '')}".lower()
        return cls(
            activation=(
                "tanh" if "tanh" in between
                else "leakyrelu" if "leaky" in between
                else "relu" if re.search(r"\brelu\b", between)
                else None
            ),
            final_activation="tanh" if "tanh" in f"{tail} {facts.get('final_activation', '')}".lower() else None,
            luma_range="studio" if "studio" in given else "full" if "full" in given else None,
            colour=(
                "ycbcr" if "ycbcr" in given or re.search(r"y,\s*cb", given)
                else "rgb" if re.search(r"\brgb\b", given) and "luma" not in given
                else "luma" if "luma" in given
                else None
            ),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Recognised:
    """A state_dict that a net file knows as its own.

    Attributes:
        arch: name of the net file.
        build: makes the untrained net.
        state_dict: the tensors under this project's keys.
        colour: what its channels mean.
        luma_range: of the luma it expects; "full" for RGB nets, where nothing depends on it.
        assumed: what neither keys nor card told and was therefore taken as usual; to be said to the user.
    """

    arch: str
    build: Callable[[], nn.Module]
    state_dict: Mapping[str, Tensor]
    colour: Colour
    luma_range: LumaRange = "full"
    assumed: tuple[str, ...] = ()


def natural_order(names: Iterable[str]) -> list[str]:
    """Names sorted so that body.2 stands before body.10.

    >>> natural_order(["body.10", "body.2"])
    ['body.2', 'body.10']
    """
    return sorted(names, key=lambda name: [(part.isdecimal(), int(part) if part.isdecimal() else 0, part)
                                           for part in re.split(r"(\d+)", name)])  # fmt: skip
