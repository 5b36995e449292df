"""BSRN and BSRN-S."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests import arch_checks
from tests.arch_checks import seeded
from tests.conftest import SHARED
from tests.family import difference, golden
from upscale_cli.models.archs.bsrn import BSRN, BSConvU, PixelLinear

needs_shared = pytest.mark.skipif(not (SHARED / "goldens").is_dir(), reason="the shared folder is not here")


@pytest.mark.slow
@needs_shared
@pytest.mark.parametrize("arch", ["bsrn", "bsrn-s"])
def test_it_agrees_with_its_reference(arch: str) -> None:
    found, allowed, model = difference(golden(arch))
    assert found <= allowed
    assert model.descriptor.arch == arch


@needs_shared
def test_each_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("bsrn") == {"bsrn-x2", "bsrn-x4"}
    assert arch_checks.claimed("bsrn-s") == {"bsrn-s"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        {"num_feat": 32, "num_block": 3, "upscale": 3}, {"num_feat": 16, "upscale": 2},
        {"num_feat": 24, "num_block": 5, "upscale": 4, "small": True},
        {"num_feat": 8, "num_block": 2, "upscale": 2, "small": True},
    ],
)  # fmt: skip
def test_any_configuration_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    model = arch_checks.comes_back(seeded(lambda: BSRN(**config)), tmp_path)
    assert model.descriptor.config == {"num_block": 8, "small": False, **config}
    assert model.descriptor.sees_whole


def test_a_matrix_for_each_pixel_is_linear_in_the_last_axis() -> None:
    torch.manual_seed(0)
    linear, ours, x = nn.Linear(6, 4), PixelLinear(6, 4), torch.rand(2, 6, 3, 5)
    ours.load_state_dict(linear.state_dict())
    assert torch.allclose(ours(x), linear(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), atol=1e-6)


def test_a_separable_convolution_is_a_plain_one_whose_filters_have_one_shape() -> None:
    """Its filter for a channel out and one in: the channel's own 3x3 filter, by one factor."""
    torch.manual_seed(0)
    separable, x = BSConvU(5, 4), torch.rand(1, 5, 6, 7)
    weights = separable.state_dict()
    filters = weights["pw.weight"] * weights["dw.weight"]  # (4, 5, 1, 1) times (4, 1, 3, 3)
    plain = nn.functional.conv2d(x, filters, weights["dw.bias"], padding=1)
    assert torch.allclose(separable(x), plain, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("small", [False, True])
def test_other_engines_do_the_same(small: bool, tmp_path: Path) -> None:
    arch_checks.runs_elsewhere(
        arch_checks.of(seeded(lambda: BSRN(num_feat=16, num_block=2, upscale=2, small=small)), tmp_path)
    )
