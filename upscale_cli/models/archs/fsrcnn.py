"""FSRCNN: SRCNN's successor that computes at LR size and enlarges by a transposed convolution at the end.

Dong, Loy, Tang, "Accelerating the Super-Resolution Convolutional Neural Network", ECCV 2016,
https://arxiv.org/abs/1608.00367
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from upscale_cli.models.archs.colours import colours_of
from upscale_cli.models.archs.keys import stated_config
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata

Tail = Literal["deconvolution", "shuffle"]

DECONVOLUTION: Final = 9
"""Side of the transposed convolution's kernel."""

LIKELY_SCALES: Final = (2, 3, 4)


class FSRCNN(nn.Module):
    """FSRCNN(d, s, m); FSRCNN-s is d = 32, s = 5, m = 1.

    Args:
        scale_factor: SR pixels per LR pixel.
        num_channels: 1 or 3.
        d, s, m: feature maps, those of the mapping layers, and how many mapping layers there are.
        shared_slope: one slope of PReLU for a layer, not one for each feature map.
        mapping_activated: a PReLU behind each mapping layer, not only behind the last one.
        tail: "shuffle": a 1 x 1 convolution without bias, a sub-pixel layer, and one bias for all pixels.

    Shapes: (N, C, H, W) in [0, 1] to (N, C, scale_factor * H, scale_factor * W), not clamped.
    """

    def __init__(
        self,
        scale_factor: int,
        num_channels: int = 1,
        d: int = 56,
        s: int = 12,
        m: int = 4,
        shared_slope: bool = False,
        mapping_activated: bool = True,
        tail: Tail = "deconvolution",
    ) -> None:
        super().__init__()

        def layer(channels: int, width: int, kernel: int, *, activated: bool = True) -> list[nn.Module]:
            conv = nn.Conv2d(channels, width, kernel, padding=kernel // 2)
            return [conv, nn.PReLU(1 if shared_slope else width)] if activated else [conv]

        mapping = [layer(s, s, 3, activated=mapping_activated or number == m - 1) for number in range(m)]
        self.first_part = nn.Sequential(*layer(num_channels, d, 5))
        self.mid_part = nn.Sequential(*layer(d, s, 1), *itertools.chain(*mapping), *layer(s, d, 1))
        self.last_part: nn.Module
        if tail == "deconvolution":
            self.last_part = nn.ConvTranspose2d(
                d, num_channels, DECONVOLUTION, stride=scale_factor, padding=DECONVOLUTION // 2,
                output_padding=scale_factor - 1,
            )  # fmt: skip
        else:
            self.last_part = _Shuffled(d, num_channels, scale_factor)

    def forward(self, lr: Tensor) -> Tensor:
        x = self.first_part(lr)  # (N, d, H, W)
        x = self.mid_part(x)  # (N, d, H, W)
        sr: Tensor = self.last_part(x)  # (N, C, scale_factor * H, scale_factor * W)
        return sr


class _Shuffled(nn.Module):
    def __init__(self, d: int, num_channels: int, scale_factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(d, num_channels * scale_factor**2, 1, bias=False)
        self.shuffle = nn.PixelShuffle(scale_factor)
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        sr: Tensor = self.shuffle(self.conv(x)) + self.bias
        return sr


@dataclass(frozen=True, slots=True)
class Layout:
    """What a port calls its layers, convolutions and PReLUs alike, in the order in which they are computed.

    Attributes:
        first, mid: of `first_part` and `mid_part`.
        last: what becomes of the tensors of the last part, theirs by our names.
        mapping_activated, tail: see `FSRCNN`.
    """

    first: Sequence[str]
    mid: Sequence[str]
    last: Mapping[str, str]
    mapping_activated: bool = True
    tail: Tail = "deconvolution"

    def renamed(self, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
        """The tensors by the names of `FSRCNN`; None where these are not all of them, or some are missing."""
        ours = {f"first_part.{number}": name for number, name in enumerate(self.first)}
        ours |= {f"mid_part.{number}": name for number, name in enumerate(self.mid)}
        names = {
            f"{our}.{part}": f"{name}.{part}"
            for our, name in ours.items()
            for part in ("weight", "bias")
            if f"{name}.{part}" in state_dict
        } | dict(self.last)
        if set(state_dict) != set(names.values()):
            return None
        return {our: state_dict[name] for our, name in names.items()}


def _layouts(state_dict: Mapping[str, Tensor]) -> list[Layout]:
    """The known ones, for as many mapping layers as the tensors can be."""
    count = len({key.rpartition(".")[0] for key in state_dict})
    last = {"last_part.weight": "last_part.weight", "last_part.bias": "last_part.bias"}
    maps = [f"map_{number}" for number in range(1, count - 7)]  # four other convolutions, and four PReLUs
    convs = sum(key.startswith("conv") and key.endswith(".weight") for key in state_dict)
    numbered = [name for number in range(1, convs) for name in (f"conv{number}", f"prelu{number}")]
    return [
        Layout(("first_part.0", "first_part.1"), [f"mid_part.{number}" for number in range(count - 3)], last),
        Layout(
            ("feature_extract", "activation_1"),
            ("shrink", "activation_2", *maps, "activation_3", "expand", "activation_4"),
            {"last_part.weight": "deconv.weight", "last_part.bias": "deconv.bias"},
            mapping_activated=False,
        ),
        Layout(
            numbered[:2], numbered[2:],
            {"last_part.conv.weight": f"conv{convs}.weight", "last_part.bias": "bias"}, tail="shuffle",
        ),
    ]  # fmt: skip


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """The published layers under the names of one of three ports.

    That of TensorFlow has a sub-pixel layer at its end, and was trained on luma of full range. The scale shows in no
    shape of the others.
    """
    for layout in _layouts(state_dict):
        renamed = layout.renamed(state_dict)
        found = None if renamed is None else described(ARCH.name, renamed, layout, metadata)
        if found is not None:
            return found
    return None


def described(arch: str, renamed: Mapping[str, Tensor], layout: Layout, metadata: SidecarMetadata) -> Recognised | None:
    """The net, if shapes are those of FSRCNN.

    Args:
        arch: the name it goes by.
        renamed: its tensors by our names.
    """
    first, slope, shrinking = (renamed.get(f"{name}.weight") for name in ("first_part.0", "first_part.1", "mid_part.0"))
    if first is None or slope is None or shrinking is None or {first.ndim, shrinking.ndim} != {4}:
        return None
    (d, channels), s = first.shape[:2], shrinking.shape[0]
    per_map = 2 if layout.mapping_activated else 1
    m = (len(layout.mid) - (4 if layout.mapping_activated else 5)) // per_map
    if m < 1 or channels not in (1, 3):
        return None
    config: dict[str, Any] = {
        "num_channels": channels, "d": d, "s": s, "m": m, "mapping_activated": layout.mapping_activated,
        "tail": layout.tail, "shared_slope": slope.numel() == 1 and d > 1,
    }  # fmt: skip
    assumed: list[str] = []
    its = stated_config(metadata, {"num_channels": channels, "n_colors": channels, "d": d, "s": s, "m": m})
    of_this = replace(metadata, stated={**metadata.stated, "configs": {"": its}}) if its else metadata
    stated = of_this.number("scale", "scale_factor", "upscale", "upscale_factor")
    if layout.tail == "shuffle":
        scale = math.isqrt(renamed["last_part.conv.weight"].shape[:1].numel() // channels)
        reach = 0
    else:
        if stated is None and not _fits(config, 2, renamed):
            return None
        scale = stated or flattest_scale(config, renamed)
        if stated is None:
            assumed.append(f"scale {scale}")
        reach = math.ceil((DECONVOLUTION // 2) / scale) if scale else 0
    if not 1 <= scale <= 16 or not _fits(config, scale, renamed):
        return None
    colour, luma_range, more = colours_of(channels, metadata, "full" if layout.tail == "shuffle" else "studio")
    descriptor = Descriptor(
        arch=arch,
        config={"scale_factor": scale, **config},
        scales=(scale,),
        channels=channels,
        colour=colour,
        luma_range=luma_range,
        halo=2 + m + reach,
        exact=True,
        depth=f"d {d}, s {s}, m {m}",
    )
    return Recognised(descriptor, renamed, (*assumed, *more))


def _fits(config: Mapping[str, Any], scale: int, tensors: Mapping[str, Tensor]) -> bool:
    with torch.device("meta"):
        wanted = FSRCNN(scale_factor=scale, **config).state_dict()
    return {key: tensor.shape for key, tensor in wanted.items()} == {key: its.shape for key, its in tensors.items()}


def flattest_scale(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> int:
    """The scale of a net whose shapes do not show it: a flat picture stays what it is only at the stride it was
    trained at. At another one, more taps of the kernel or fewer fall on each of the pixels between two LR pixels.
    """
    if any(tensor.is_meta for tensor in tensors.values()):
        return LIKELY_SCALES[0]
    change: dict[int, float] = {}
    for scale in LIKELY_SCALES:
        with torch.device("meta"):
            net = FSRCNN(scale_factor=scale, **config)
        net.load_state_dict(tensors, assign=True)
        margin = config["m"] + 2 + DECONVOLUTION
        with torch.no_grad():
            flat = net(torch.full((1, config["num_channels"], 2 * margin + 4, 2 * margin + 4), 0.5))
        inner = slice(scale * margin, -scale * margin)
        change[scale] = float((flat[..., inner, inner] - 0.5).square().mean())
    return min(LIKELY_SCALES, key=lambda scale: change[scale])


ARCH: Final = Architecture(
    name="fsrcnn", recognise=recognise, net=FSRCNN,
    about="Dong, Loy, Tang, ECCV 2016, https://arxiv.org/abs/1608.00367",
)  # fmt: skip
