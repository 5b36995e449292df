"""A throw-away package with an architecture of its own: scale 3/2, and a noise level in addition to the picture.

It is what somebody else would write to add a net, and is installed by what makes an installed package one: a folder on
the path, and its metadata with an entry point.
"""

from pathlib import Path

SOURCE = '''
"""A made-up net: interpolates to three halves the size, and smooths by the noise level."""

import torch
import torch.nn.functional as F
from fractions import Fraction
from torch import nn
from upscale_cli.models.interface import Architecture, Descriptor, InputSpec, Recognised


class ToyNet(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, lr, noise_level):
        level = noise_level[:, None, None, None]
        picture = (1 - level) * lr + level * self.smooth(lr)
        return F.interpolate(picture, scale_factor=1.5, mode="bilinear", align_corners=False)


def recognise(state_dict, metadata):
    weight = state_dict.get("smooth.weight")
    if set(state_dict) != {"smooth.weight", "smooth.bias"} or weight.shape[1:] != (1, 3, 3):
        return None
    channels = weight.shape[0]
    if channels not in (1, 3):
        return None
    noise = InputSpec(name="noise_level", least=0, most=1, about="how much to smooth, 0 to 1")
    descriptor = Descriptor(
        arch="toynet", config={"channels": channels}, scales=(Fraction(3, 2),), channels=channels,
        colour="rgb" if channels == 3 else "luma", halo=3, exact=True, precisions=frozenset({"fp32"}), inputs=(noise,),
    )
    return Recognised(descriptor, dict(state_dict))


ARCH = Architecture(name="toynet", recognise=recognise, net=ToyNet, about="a toy")
'''

METADATA = "Metadata-Version: 2.1\nName: toy-upscaler\nVersion: 1.0\n"

ENTRY_POINTS = "[upscale_cli.archs]\ntoynet = toy_upscaler:ARCH\n"


def install(folder: Path, source: str = SOURCE, entry_points: str = ENTRY_POINTS, module: str = "toy_upscaler") -> Path:
    """Writes the package into a folder, which then belongs on the path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    metadata = folder / "toy_upscaler-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(METADATA, encoding="utf-8")
    (metadata / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    return folder


def write_checkpoint(path: Path, channels: int = 3) -> Path:
    """Weights of the toy: a 3 x 3 box."""
    import torch
    from safetensors.torch import save_file

    weight = torch.full((channels, 1, 3, 3), 1 / 9)
    save_file({"smooth.weight": weight, "smooth.bias": torch.zeros(channels)}, path)
    return path
