"""Makes the goldens with spandrel's nets, an implementation that shares no code with ours.

    python -m tests.goldens.make [--weights FOLDER]

Needs torch, numpy, safetensors and spandrel (made with 0.4.2), and for the trained nets the folder with their
safetensors files; without --weights those stay as they are. The tests need none of that: they read what is here.
spandrel computes in float64, so that a difference is ours; the result is kept as float32.
"""

import argparse
import hashlib
from pathlib import Path

import numpy as np
import spandrel
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save
from spandrel.architectures.Compact import Compact
from torch import Tensor, nn

from tests.goldens.recipes import RECIPES, TRAINED, Recipe, first_esrgan_keys, numbered_keys, picture


def main() -> None:
    """Writes every golden that can be made here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="folder with realesr-general-x4v3.safetensors and its like")
    folder: Path | None = parser.parse_args().weights
    lr = picture()
    for recipe in RECIPES:
        _save(recipe.path, lr, _random_net(recipe))
    for trained in TRAINED if folder else ():
        assert folder is not None
        file = folder / f"{trained.stem}.safetensors"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == trained.sha256, f"{file} is another file"
        _save(trained.path, lr, spandrel.ModelLoader(device="cpu").load_from_state_dict(load_file(file)).model)


def _random_net(recipe: Recipe) -> nn.Module:
    """spandrel's net with the recipe's weights; for RRDBNet all three generations of keys must give the same net."""
    weights = {key: torch.from_numpy(array) for key, array in recipe.weights().items()}
    if recipe.act_type is not None:
        first, last = weights["body.0.weight"], list(weights.values())[-1]
        depth = sum(tensor.ndim == 4 for tensor in weights.values()) - 2
        assert len(last) == 3 * recipe.scale**2
        net: nn.Module = Compact(num_feat=len(first), num_conv=depth, upscale=recipe.scale, act_type=recipe.act_type)
        net.load_state_dict(weights)
        return net
    loader = spandrel.ModelLoader(device="cpu")
    nets: list[nn.Module] = [
        loader.load_from_state_dict(keys(weights)).model for keys in (dict, first_esrgan_keys, numbered_keys)
    ]
    states = [net.state_dict() for net in nets]
    assert all(state.keys() == states[0].keys() for state in states)
    assert all(torch.equal(tensor, states[0][key]) for state in states for key, tensor in state.items())
    return nets[0]


def _save(path: Path, lr: NDArray[np.uint8], net: nn.Module) -> None:
    with torch.inference_mode():
        unit = torch.from_numpy(lr).permute(2, 0, 1)[None].double() / 255  # (1, 3, H, W) in [0, 1]
        sr: Tensor = net.double().eval()(unit)[0]
    path.write_bytes(save({"lr": torch.from_numpy(lr), "sr": sr.float().contiguous()}))
    print(f"{path.name}: {tuple(sr.shape)}, {sr.min():.3g} to {sr.max():.3g}, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
