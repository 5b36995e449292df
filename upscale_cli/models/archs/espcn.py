"""ESPCN: three convolutions at LR size, then the sub-pixel layer. Fast enough for video on a CPU.

Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional
Neural Network", CVPR 2016, https://arxiv.org/abs/1609.05158
"""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from torch import Tensor, nn

from upscale_cli.models.archs.colours import colours_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata, natural_order
from upscale_cli.text import counted

Activation = Literal["tanh", "relu", "identity"]

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "identity": nn.Identity}


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution, by the shape of its weight."""

    channels_in: int
    channels_out: int
    kernel: int


PUBLISHED = (Layer(1, 64, 5), Layer(64, 32, 3))
"""The paper's 5-3-3 net without its last layer, which depends on the scale."""


def reach(layers: Iterable[Layer]) -> int:
    """LR pixels on each side that an SR pixel depends on: the whole receptive field, 4 as published."""
    return sum(layer.kernel // 2 for layer in layers)


class ESPCN(nn.Module):
    """ESPCN of any depth; keys conv1, conv2, ... as in the published net.

    Args:
        scale: SR pixels per LR pixel.
        hidden: the convolutions before the last one.
        activation: between them.
        final_activation: after the sub-pixel layer; the TensorFlow checkpoints end in a tanh.
        last_kernel: side of the last convolution.

    Shapes: (N, C, H, W) in [0, 1] to (N, C, scale * H, scale * W), not clamped; C is `hidden[0].channels_in`.
    """

    def __init__(
        self,
        scale: int,
        hidden: tuple[Layer, ...] = PUBLISHED,
        activation: Activation = "tanh",
        final_activation: Activation = "identity",
        last_kernel: int = 3,
    ) -> None:
        super().__init__()
        last = Layer(hidden[-1].channels_out, hidden[0].channels_in * scale**2, last_kernel)
        self.scale = scale
        self.depth = len(hidden) + 1
        self.halo = reach((*hidden, last))
        for number, layer in enumerate((*hidden, last), start=1):
            conv = nn.Conv2d(layer.channels_in, layer.channels_out, layer.kernel, padding=layer.kernel // 2)
            self.add_module(f"conv{number}", conv)
        self.activation = ACTIVATIONS[activation]()
        self.shuffle = nn.PixelShuffle(scale)
        self.final_activation = ACTIVATIONS[final_activation]()

    def forward(self, lr: Tensor) -> Tensor:
        x = lr  # (N, C, H, W)
        for number in range(1, self.depth):
            x = self.activation(self.get_submodule(f"conv{number}")(x))  # (N, num_feat, H, W)
        x = self.get_submodule(f"conv{self.depth}")(x)  # (N, C * scale ** 2, H, W)
        out: Tensor = self.final_activation(self.shuffle(x))  # (N, C, scale * H, scale * W)
        return out


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """An ESPCN in any of the usual layouts: conv1.., conv_1.., first_part/last_part, feature_maps/sub_pixel.

    They differ in names only: a plain row of biased convolutions with odd kernels, whose last one makes
    `channels * scale ** 2` planes with scale above 1 (scale 1 would be an SRCNN).
    """
    stems = natural_order({key.rpartition(".")[0] for key in state_dict})
    if len(stems) < 3 or set(state_dict) != {f"{stem}.{part}" for stem in stems for part in ("weight", "bias")}:
        return None
    weights = [state_dict[f"{stem}.weight"] for stem in stems]
    if any(weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0 for weight in weights):
        return None
    layers = [Layer(weight.shape[1], weight.shape[0], weight.shape[2]) for weight in weights]
    if any(before.channels_out != after.channels_in for before, after in itertools.pairwise(layers)):
        return None
    channels, planes = layers[0].channels_in, layers[-1].channels_out
    scale = math.isqrt(planes // channels)
    if channels not in (1, 3) or scale < 2 or channels * scale**2 != planes:
        return None

    assumed: list[str] = []
    activation = metadata.activation
    if activation is None:
        activation = "tanh" if len(layers) == 3 else "relu"  # the paper's net; the PyTorch tutorial's four layers
        assumed.append(f"activation {activation}")
    is_deeper = channels == 3 or len(layers) > 3  # the tutorial's net, whose files say nothing, is 0.2 dB better there
    colour, luma_range, more = colours_of(channels, metadata, "studio" if is_deeper else "full")
    final: Activation = "tanh" if metadata.final_activation == "tanh" else "identity"

    descriptor = Descriptor(
        arch=ARCH.name,
        config={
            "scale": scale,
            "hidden": tuple(layers[:-1]),
            "activation": "tanh" if activation == "tanh" else "relu",
            "final_activation": final,
            "last_kernel": layers[-1].kernel,
        },
        scales=(scale,),
        channels=channels,
        colour=colour,
        luma_range=luma_range,
        halo=reach(layers),
        exact=True,
        depth=counted(len(layers), "convolution"),
    )
    return Recognised(
        descriptor,
        state_dict={
            f"conv{number}.{part}": state_dict[f"{stem}.{part}"]
            for number, stem in enumerate(stems, start=1)
            for part in ("weight", "bias")
        },
        assumed=(*assumed, *more),
    )


ARCH: Final = Architecture(
    name="espcn", recognise=recognise, net=ESPCN, about="Shi et al., CVPR 2016, https://arxiv.org/abs/1609.05158"
)
