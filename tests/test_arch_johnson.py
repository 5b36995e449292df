"""The super-resolution net of the paper of perceptual losses."""

from pathlib import Path

import pytest
import torch

from tests import arch_checks
from tests.arch_checks import seeded
from tests.conftest import SHARED
from tests.family import difference, golden
from upscale_cli.models.archs.johnson import JohnsonSR

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with weights is not here")


def johnson(num_feat: int = 8) -> JohnsonSR:
    """Whose tanh is not saturated."""
    net = seeded(lambda: JohnsonSR(num_feat))
    assert isinstance(net, JohnsonSR)
    with torch.no_grad():
        net.conv_out.weight.mul_(0.05)
    return net


@needs_shared
def test_it_agrees_with_its_reference() -> None:
    found, allowed, _ = difference(golden("johnson"))
    assert found <= allowed
    assert arch_checks.claimed("johnson") == {"johnson"}


@pytest.mark.parametrize("num_feat", [4, 12])
def test_it_comes_back(num_feat: int, tmp_path: Path) -> None:
    arch_checks.comes_back(johnson(num_feat), tmp_path)


@pytest.mark.slow
def test_tiles_and_other_engines_do_what_it_does(tmp_path: Path) -> None:
    net = arch_checks.of(johnson(), tmp_path)
    arch_checks.halo_is_the_field(net)
    arch_checks.tiles_equal_the_whole(net)
    arch_checks.runs_elsewhere(net)


def test_a_block_is_used_more_than_once() -> None:
    """Nothing but the residual block and the enlarging one is there four times, and twice."""
    net, calls = johnson(), {"resblock": 0, "upblock": 0}
    for name in calls:

        def count(*_: object, name: str = name) -> None:
            calls[name] += 1

        net.get_submodule(name).register_forward_hook(count)
    net(torch.rand(1, 3, 5, 6))
    assert calls == {"resblock": 4, "upblock": 2}
