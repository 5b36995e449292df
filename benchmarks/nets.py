"""Nets to measure: checkpoints on this machine, and random weights for those that need 67 MB of download."""

from pathlib import Path

import torch

from tests.goldens.recipes import Shapes, rrdbnet, seeded
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.interface import LoadedNet, SidecarMetadata
from upscale_cli.models.loading import load_net, recognise
from upscale_cli.models.registry import MODELS, Spec
from upscale_cli.models.store import locate


def row(model: str, scale: int = 4) -> Spec:
    """A row of the registry."""
    return next(spec for spec in MODELS if (spec.model, spec.scale) == (model, scale))


def checkpoint(spec: Spec) -> Path | None:
    """The row's file on this machine (UPSCALE_WEIGHTS, bundled, cache), or None."""
    found = locate(spec)
    return found.path if found else None


def trained(spec: Spec) -> LoadedNet:
    """The row's net.

    Raises:
        FileNotFoundError: it is not on this machine.
    """
    path = checkpoint(spec)
    if path is None:
        raise FileNotFoundError(f"{spec.file}: name its folder in UPSCALE_WEIGHTS")
    return load_net(path)


def random_rrdbnet(num_block: int = 23, unshuffle: int = 1, far_sight: float = 1) -> LoadedNet:
    """realesrgan's net with weights that keep the signal alive (see tests/goldens/recipes.py).

    Its answer is brought to the range of a picture: mean 1/2, spread 1/4.

    Args:
        far_sight: multiplies what each dense block adds to its input, and with it how much far pixels count.
    """
    shapes: Shapes = rrdbnet(num_block, unshuffle=unshuffle)
    net = RRDBNet(num_block=num_block, unshuffle=unshuffle)
    net.load_state_dict({key: torch.from_numpy(array) for key, array in seeded(shapes, seed=0).items()})
    net.eval().requires_grad_(False)
    with torch.inference_mode():
        for name, parameter in net.named_parameters():
            if name.endswith("conv5.weight"):
                parameter.mul_(far_sight)
        sr = net(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        shrink = 0.25 / sr.std()
        weight, bias = net.conv_last.parameters()
        weight.mul_(shrink)
        bias.sub_(sr.mean(dim=(0, 2, 3))).mul_(shrink).add_(0.5)
    recognised = recognise(net.state_dict(), SidecarMetadata())
    assert recognised is not None
    return LoadedNet(recognised.descriptor, recognised.state_dict)
