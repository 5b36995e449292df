"""SRMD and SRMDNF: plain convolutions that get blur and noise as further channels; SRMDNF is for no noise.

Zhang, Zuo, Zhang, "Learning a Single Convolutional Super-Resolution Network for Multiple Degradations", CVPR 2018,
https://arxiv.org/abs/1712.06116

The kernel of 15 x 15 pixels becomes 15 codes by a matrix that belongs to no checkpoint: `models.kernel_codes` finds it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from upscale_cli.models.interface import (
    Architecture,
    Descriptor,
    InputSpec,
    Recognised,
    SidecarMetadata,
    natural_order,
)
from upscale_cli.text import counted

KERNEL_SIDE: Final = 15
CODES: Final = 15
MATRIX: Final = "pca"
"""The key of the matrix, (codes, side^2), in a net that is complete."""


class SRMD(nn.Module):
    """`nb` convolutions, the last one to a sub-pixel layer; keys model.0, model.2, ... as in the reference.

    Shapes: lr (N, 3, H, W) in [0, 1], kernel (N or 1, 1, k, k) of sum 1, noise (N or 1,) in 0..255; to
    (N, 3, upscale * H, upscale * W), not clamped. Without `noise` for SRMDNF.
    """

    pca: Tensor

    def __init__(self, in_nc: int, nc: int, nb: int, upscale: int, channels: int = 3) -> None:
        super().__init__()
        self.takes_noise = in_nc == channels + CODES + 1
        layers: list[nn.Module] = [nn.Conv2d(in_nc, nc, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(nb - 2):
            layers += [nn.Conv2d(nc, nc, 3, padding=1), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(nc, channels * upscale**2, 3, padding=1), nn.PixelShuffle(upscale)]
        self.model = nn.Sequential(*layers)
        self.register_buffer(MATRIX, torch.empty(CODES, KERNEL_SIDE**2))

    def forward(self, lr: Tensor, kernel: Tensor, noise: Tensor | None = None) -> Tensor:
        columns = kernel.reshape(-1, KERNEL_SIDE, KERNEL_SIDE).permute(0, 2, 1).flatten(1)  # column by column
        blank = lr.sum(dim=1, keepdim=True) * 0  # (N, 1, H, W): what graphs of any size have no need to look up
        maps = blank + (columns @ self.pca.T).reshape(-1, CODES, 1, 1)
        if self.takes_noise and noise is not None:
            maps = torch.cat((maps, blank + (noise / 255).reshape(-1, 1, 1, 1)), dim=1)
        out: Tensor = self.model(torch.cat((lr, maps), dim=1))
        return out


def recognise(state_dict: Mapping[str, Tensor], _metadata: SidecarMetadata) -> Recognised | None:
    """model.0, model.2, ...: convolutions of one width, the first with 15 or 16 channels more than the picture."""
    stems = natural_order({key.rpartition(".")[0] for key in state_dict if key != MATRIX})
    if len(stems) < 3 or stems != [f"model.{2 * number}" for number in range(len(stems))]:
        return None
    weights = [state_dict.get(f"{stem}.weight") for stem in stems]
    shapes = [tuple(weight.shape) for weight in weights if weight is not None]
    if len(shapes) < len(stems) or any(len(shape) != 4 for shape in shapes):
        return None
    nc, in_nc = shapes[0][:2]
    channels = 3 if in_nc > CODES + 2 else 1
    upscale = math.isqrt(shapes[-1][0] // channels)
    takes_noise = in_nc == channels + CODES + 1
    if in_nc != channels + CODES + takes_noise or channels * upscale**2 != shapes[-1][0]:
        return None
    if any(shape != (nc, nc, 3, 3) for shape in shapes[1:-1]) or shapes[-1][1:] != (nc, 3, 3):
        return None
    kernel = InputSpec(
        name="kernel", kind="kernel", gaussian=True, shape=(1, KERNEL_SIDE, KERNEL_SIDE),
        about="what blurred the picture, of sum 1, in output pixels",
    )  # fmt: skip
    noise = InputSpec(
        name="noise", kind="noise", least=0, most=75, about="standard deviation of the noise, in levels of 255"
    )
    descriptor = Descriptor(
        arch=ARCH.name,
        config={"in_nc": in_nc, "nc": nc, "nb": len(stems), "upscale": upscale, "channels": channels},
        scales=(upscale,),
        channels=channels,
        colour="rgb" if channels == 3 else "luma",
        halo=len(stems),
        exact=True,
        inputs=(kernel, noise) if takes_noise else (kernel,),
        variant="srmd" if takes_noise else "srmdnf",
        depth=counted(len(stems), "convolution"),
    )
    return Recognised(descriptor, dict(state_dict))


def complete(recognised: Recognised, path: Path) -> Recognised:
    """With the matrix, from next to the checkpoint or the search path, where the checkpoint has none.

    Raises:
        CheckpointError: it is nowhere.
    """
    if MATRIX in recognised.state_dict:
        return recognised
    from upscale_cli.models.kernel_codes import matrix

    return replace(
        recognised, state_dict={**recognised.state_dict, MATRIX: torch.from_numpy(matrix(path.parent, path.name))}
    )


ARCH: Final = Architecture(
    name="srmd", recognise=recognise, net=SRMD, complete=complete,
    about="Zhang et al., CVPR 2018, https://arxiv.org/abs/1712.06116",
    inputs=("kernel", "noise"),
)  # fmt: skip
