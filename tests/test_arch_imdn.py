"""IMDN and its real-time variant."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import arch_checks
from tests.arch_checks import seeded
from tests.conftest import SHARED
from tests.family import difference, further
from upscale_cli.models.archs.attention_layers import CCALayer
from upscale_cli.models.archs.imdn import IMDN, IMDNRTC, IMDModule
from upscale_cli.models.loading import load_net

MORE = SHARED / "weights-more"
needs_shared = pytest.mark.skipif(not MORE.is_dir(), reason="the shared folder with weights is not here")


@needs_shared
@pytest.mark.parametrize("stem", ["imdn-x4", "imdn-rtc-x2"])
def test_it_agrees_with_its_reference(stem: str) -> None:
    found, allowed, model = difference(further(stem))
    assert found <= allowed
    assert model.descriptor.arch == stem.rpartition("-")[0]


@needs_shared
def test_each_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("imdn") == {"imdn-x4"}
    assert arch_checks.claimed("imdn-rtc") == {"imdn-rtc-x2"}


@pytest.mark.parametrize("config", [{"num_feat": 16, "upscale": 2}, {"num_feat": 32, "num_modules": 2, "upscale": 3}])
def test_any_configuration_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    model = arch_checks.comes_back(seeded(lambda: IMDN(**config)), tmp_path)
    assert model.descriptor.config == {"num_modules": 6, **config}
    assert model.descriptor.sees_whole


@pytest.mark.parametrize("config", [{"upscale": 4}, {"num_feat": 16, "num_modules": 3, "upscale": 3}])
def test_any_configuration_of_the_small_one_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    model = arch_checks.comes_back(seeded(lambda: IMDNRTC(**config)), tmp_path)
    assert model.descriptor.config == {"num_feat": 12, "num_modules": 5, **config}


def test_the_halo_of_the_small_one_is_its_field(tmp_path: Path) -> None:
    arch_checks.halo_is_the_field(arch_checks.of(seeded(lambda: IMDNRTC(num_feat=4, num_modules=2)), tmp_path))


@needs_shared
def test_tiles_of_the_small_one_equal_the_whole() -> None:
    arch_checks.tiles_equal_the_whole(load_net(MORE / "imdn-rtc-x2.safetensors"))


def test_contrast_is_mean_plus_the_population_deviation() -> None:
    """By numpy, whose `std` divides by the number of values."""
    torch.manual_seed(0)
    layer, x = CCALayer(8, reduction=4), torch.rand(2, 8, 5, 7)
    contrast = x.numpy().mean((2, 3)) + x.numpy().std((2, 3))  # (2, 8)
    given = {key: tensor.numpy() for key, tensor in layer.conv_du.state_dict().items()}
    hidden = np.maximum(contrast @ given["0.weight"][..., 0, 0].T + given["0.bias"], 0)
    weights = 1 / (1 + np.exp(-(hidden @ given["2.weight"][..., 0, 0].T + given["2.bias"])))
    assert np.allclose(layer(x).detach().numpy(), x.numpy() * weights[:, :, None, None], atol=1e-6)


def test_a_block_without_weights_is_the_identity() -> None:
    block = IMDModule(8, attention=False)
    for parameter in block.c5.parameters():
        parameter.data.zero_()
    x = torch.rand(1, 8, 4, 4)
    assert torch.equal(block(x), x)


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda: IMDN(num_feat=16, num_modules=2), IMDNRTC], ids=["imdn", "imdn-rtc"])
def test_other_engines_do_the_same(make: Any, tmp_path: Path) -> None:
    arch_checks.runs_elsewhere(arch_checks.of(seeded(make), tmp_path))
