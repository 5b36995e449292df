"""Checkpoints as trainers leave them: the generator is found, whatever it is wrapped in."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from upscale_cli.models.archs.srvgg import SRVGGNetCompact
from upscale_cli.models.loading import load_net

KEY = "body.0.weight"

CRITIC = {"conv0.weight": torch.zeros(4, 3, 3, 3), "conv0.bias": torch.zeros(4)}


def under(prefix: str, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{key}": tensor for key, tensor in state_dict.items()}


@pytest.fixture
def weights() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return dict(SRVGGNetCompact(num_feat=8, num_conv=2).state_dict())


WRAPPED = {
    "params": lambda own: {"params": own},
    "state_dict, with an optimiser": lambda own: {"state_dict": own, "epoch": 3, "optimizer": {"state": {"0": CRITIC}}},
    "DataParallel": lambda own: under("module.", own),
    "DataParallel in params_ema": lambda own: {"params_ema": under("module.", own)},
    "compiled": lambda own: under("_orig_mod.", own),
    "generator and discriminator": lambda own: {"generator": own, "discriminator": CRITIC, "iter": 5},
    "generator of a DataParallel": lambda own: {"generator": {"state_dict": under("module.", own)}},
    "generator among all keys": lambda own: {"state_dict": under("generator.", own) | under("discriminator.", CRITIC)},
    "net_g among all keys": lambda own: {"state_dict": under("net_g.", own) | under("net_d.", CRITIC)},
    "g_state_dict": lambda own: {"d_state_dict": CRITIC, "g_state_dict": own},
    "generator_state_dict": lambda own: {"discriminator_state_dict": CRITIC, "generator_state_dict": own},
    "G": lambda own: {"D": CRITIC, "G": own},
    "model_g": lambda own: {"model_d": CRITIC, "model_g": own},
    "model_state": lambda own: {"model_state": own, "optimizer_state": {"exp_avg": {"0": torch.zeros(1)}}},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
@pytest.mark.parametrize("ending", ["ckpt", "pth", "pt"])
def test_the_generator_is_found(wrap: Any, ending: str, weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / f"net.{ending}"
    torch.save(wrap(weights), path)
    net = load_net(path)
    assert net.descriptor.arch == "srvgg"
    assert torch.equal(net.state_dict[KEY], weights[KEY])


def test_averaged_weights_come_before_others(weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save({"params": weights, "params_ema": {key: tensor + 1 for key, tensor in weights.items()}}, path)
    assert torch.equal(load_net(path).state_dict[KEY], weights[KEY] + 1)
