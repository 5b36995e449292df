"""AMCANet."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import arch_checks
from tests.arch_checks import needs_shared, seeded
from tests.conftest import SHARED
from tests.family import difference, further
from upscale_cli.evaluation.metrics import psnr
from upscale_cli.models.archs.amcanet import AMCANet, Head
from upscale_cli.models.loading import load_net

FILE = SHARED / "weights-more/amcanet-x4.safetensors"


@needs_shared
def test_it_agrees_with_its_reference() -> None:
    found, allowed, _ = difference(further("amcanet-x4"))
    assert found <= allowed


@needs_shared
def test_it_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("amcanet") == {"amcanet-x4"}


@pytest.mark.parametrize(
    "config",
    [
        {"dim": 8, "num_block": 2, "hidden": 8, "upscale": 2},
        {"dim": 12, "num_block": 1, "num_heads": 3, "hidden": 5, "upscale": 3},
        {"dim": 4, "num_block": 3, "num_heads": 1, "hidden": 4, "num_in_ch": 1},
    ],
)
def test_any_configuration_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    model = arch_checks.comes_back(seeded(lambda: AMCANet(**config)), tmp_path)
    assert model.descriptor.least_side == {1: 1, 2: 7, 3: 15}[config.get("num_heads", 2)]


@pytest.mark.parametrize("stride", [1, 4, 8])
def test_a_head_pools_as_its_number_says(stride: int) -> None:
    """An impulse reaches as far as the pooling takes it, and the convolutions after it."""
    head = seeded(lambda: Head(4, 2, stride)).double()
    torch.manual_seed(0)
    lr = torch.rand(1, 4, 64, 64, dtype=torch.float64, requires_grad=True)
    head(lr)[..., 32, 32].sum().backward()
    assert lr.grad is not None
    columns = lr.grad.abs().sum(dim=(0, 1, 2)).nonzero()[:, 0]
    reach = int((columns - 32).abs().max())
    assert reach == 3 if stride == 1 else reach > 2 * stride


@needs_shared
def test_tiles_are_near_the_whole() -> None:
    net, lr = load_net(FILE), arch_checks.picture(100, 100)
    whole, cut = arch_checks.tiled(net, lr, tile=arch_checks.WHOLE), arch_checks.tiled(net, lr, tile=40)
    assert psnr(np.rint(cut * 255).astype(np.uint8), np.rint(whole * 255).astype(np.uint8)) > 50


@pytest.mark.slow
def test_other_engines_do_the_same(tmp_path: Path) -> None:
    arch_checks.runs_elsewhere(arch_checks.of(seeded(lambda: AMCANet(dim=8, num_block=1, hidden=8)), tmp_path))
