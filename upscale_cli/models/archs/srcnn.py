"""SRCNN: three convolutions on the picture enlarged by bicubic interpolation, the first net for super-resolution.

Dong et al., "Image Super-Resolution Using Deep Convolutional Networks", ECCV 2014 and IEEE TPAMI 2016,
https://arxiv.org/abs/1501.00092
"""

import itertools
from collections.abc import Mapping
from typing import Final

import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs.colours import colours_of
from upscale_cli.models.interface import Architecture, Descriptor, Recognised, SidecarMetadata, enlarged_halo

SCALES: Final = (2, 3, 4)
"""One net has them all: it sees only the enlarged picture."""

PADDED: Final = (("conv1", "conv2", "conv3"), ("features.0", "map.0", "reconstruction"))
UNPADDED: Final = (
    ("patch_extraction", "nonlinear_map", "recon"),
    ("patch_extraction", "nonlinear_map", "reconstruction"),
)
"""What the layers are called; by that it shows whether a net pads with zeros, or gives a picture that is smaller."""


class SRCNN(nn.Module):
    """f1-f2-f3 are the kernels' sides: 9-1-5 in the paper of 2014, 9-5-5 the best of 2016.

    Args:
        num_channels: 1 or 3.
        widths: feature maps of the first two layers.
        kernels: sides of the three kernels.
        padded: with zeros, as a port has it; the original gives a picture that is smaller by the kernels' reach.

    Shapes: (N, C, H, W) in [0, 1], the picture already enlarged, to (N, C, H, W), not clamped; unpadded to
        (N, C, H - 2 * margin, W - 2 * margin).
    """

    def __init__(
        self,
        num_channels: int = 1,
        widths: tuple[int, int] = (64, 32),
        kernels: tuple[int, int, int] = (9, 5, 5),
        padded: bool = True,
    ) -> None:
        super().__init__()
        pads = [kernel // 2 if padded else 0 for kernel in kernels]
        self.margin = 0 if padded else reach(kernels)
        self.conv1 = nn.Conv2d(num_channels, widths[0], kernels[0], padding=pads[0])
        self.conv2 = nn.Conv2d(widths[0], widths[1], kernels[1], padding=pads[1])
        self.conv3 = nn.Conv2d(widths[1], num_channels, kernels[2], padding=pads[2])

    def forward(self, lr: Tensor) -> Tensor:
        x = self.conv1(lr).relu()  # (N, widths[0], H, W)
        x = self.conv2(x).relu()  # (N, widths[1], H, W)
        sr: Tensor = self.conv3(x)
        return sr


class _Replicated(nn.Module):
    """An unpadded net that gives a picture as large as the one it gets: edges are replicated before."""

    def __init__(self, net: SRCNN) -> None:
        super().__init__()
        self.net = net

    def forward(self, lr: Tensor) -> Tensor:
        sr: Tensor = self.net(F.pad(lr, (self.net.margin,) * 4, mode="replicate"))
        return sr


def reach(kernels: tuple[int, ...]) -> int:
    """Pixels of the enlarged picture on each side that a pixel of the result depends on."""
    return sum(kernel // 2 for kernel in kernels)


def recognise(state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """Three biased convolutions under the names of a known port; the last one gives as many channels as went in."""
    layout = next((names for names in (*PADDED, *UNPADDED) if set(state_dict) == _keys(names)), None)
    if layout is None:
        return None
    weights = [state_dict[f"{name}.weight"] for name in layout]
    if any(weight.ndim != 4 or weight.shape[2] != weight.shape[3] or weight.shape[2] % 2 == 0 for weight in weights):
        return None
    widths = [weight.shape[0] for weight in weights]
    channels = weights[0].shape[1]
    if any(before.shape[0] != after.shape[1] for before, after in itertools.pairwise(weights)):
        return None
    if widths[2] != channels or channels not in (1, 3):
        return None
    colour, luma_range, assumed = colours_of(channels, metadata)
    kernels = (weights[0].shape[2], weights[1].shape[2], weights[2].shape[2])
    descriptor = Descriptor(
        arch=ARCH.name,
        config={
            "num_channels": channels, "widths": (widths[0], widths[1]), "kernels": kernels,
            "padded": layout in PADDED,
        },
        scales=SCALES,
        channels=channels,
        colour=colour,
        luma_range=luma_range,
        halo=enlarged_halo(reach(kernels), min(SCALES)),
        exact=True,
        enlarged=True,
        sr_reach=reach(kernels),
        depth="-".join(map(str, kernels)),
    )  # fmt: skip
    renamed = {
        f"conv{number}.{part}": state_dict[f"{name}.{part}"]
        for number, name in enumerate(layout, start=1)
        for part in ("weight", "bias")
    }
    return Recognised(descriptor, renamed, assumed)


def _keys(names: tuple[str, ...]) -> set[str]:
    return {f"{name}.{part}" for name in names for part in ("weight", "bias")}


def adapt(net: nn.Module, _: Descriptor) -> nn.Module:
    """The net that keeps the size."""
    return _Replicated(net) if isinstance(net, SRCNN) and net.margin else net


ARCH: Final = Architecture(
    name="srcnn", recognise=recognise, net=SRCNN, adapt=adapt,
    about="Dong et al., ECCV 2014, https://arxiv.org/abs/1501.00092",
)  # fmt: skip
