"""MSRResNet under the keys of mmsr and of BasicSR, and RankSRGAN's generator, which differs by one key."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import arch_checks
from tests.arch_checks import seeded
from tests.conftest import SHARED
from tests.family import difference, golden
from upscale_cli import load_model
from upscale_cli.errors import CheckpointError
from upscale_cli.models.archs.msrresnet import MSRResNet
from upscale_cli.models.archs.ranksrgan import RankSRGAN
from upscale_cli.models.loading import load_net

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with weights is not here")
SMALL: dict[str, Any] = {"nf": 8, "nb": 2}
BOTH = pytest.mark.parametrize("make", [MSRResNet, RankSRGAN])


@needs_shared
@pytest.mark.parametrize("arch", ["msrresnet", "ranksrgan"])
def test_it_agrees_with_its_reference(arch: str) -> None:
    found, allowed, model = difference(golden(arch))
    assert found <= allowed
    assert model.descriptor.arch == arch
    assert arch_checks.claimed(arch) == {arch}


@BOTH
@pytest.mark.parametrize(
    "config", [{"upscale": 2}, {"upscale": 3}, {"upscale": 4, "nf": 6, "nb": 1}, {"in_nc": 1, "out_nc": 1}]
)
def test_any_configuration_comes_back(make: type[nn.Module], config: dict[str, Any], tmp_path: Path) -> None:
    model = arch_checks.comes_back(seeded(lambda: make(**(SMALL | config))), tmp_path)
    assert model.descriptor.arch == make.__name__.lower()


@BOTH
@pytest.mark.slow
def test_tiles_and_other_engines_do_what_it_does(make: type[nn.Module], tmp_path: Path) -> None:
    net = arch_checks.of(seeded(lambda: make(**SMALL)), tmp_path)
    arch_checks.halo_is_the_field(net)
    arch_checks.tiles_equal_the_whole(net)
    arch_checks.runs_elsewhere(net)


@BOTH
@pytest.mark.parametrize("scale", [2, 3])
def test_the_halo_is_the_field_at_other_scales(make: type[nn.Module], scale: int, tmp_path: Path) -> None:
    arch_checks.halo_is_the_field(arch_checks.of(seeded(lambda: make(**SMALL, upscale=scale)), tmp_path))


def test_the_keys_of_basicsr_are_known(tmp_path: Path) -> None:
    net = seeded(lambda: MSRResNet(**SMALL))
    theirs = {
        key.replace("recon_trunk.", "body.").replace("HRconv.", "conv_hr."): tensor
        for key, tensor in net.state_dict().items()
    }
    lr = torch.rand(1, 3, 9, 8)
    assert torch.equal(load_model(arch_checks.saved(theirs, tmp_path)).net(lr), net(lr))


def test_what_msrresnet_adds_to_the_bilinear_enlargement_ranksrgan_makes_alone() -> None:
    lr = torch.rand(1, 3, 9, 8)
    base = F.interpolate(lr, scale_factor=4, mode="bilinear")
    for make, expected in ((MSRResNet, base), (RankSRGAN, torch.zeros_like(base))):
        net = make(**SMALL)
        nn.init.zeros_(net.conv_last.weight)
        assert net.conv_last.bias is not None
        nn.init.zeros_(net.conv_last.bias)
        assert torch.allclose(net(lr), expected, atol=1e-6)


@BOTH
def test_a_gap_is_named(make: type[nn.Module], tmp_path: Path) -> None:
    state_dict = make(**SMALL).state_dict()
    del state_dict["HRconv.bias"]
    with pytest.raises(CheckpointError, match=r"lacks HRconv\.bias"):
        load_net(arch_checks.saved(state_dict, tmp_path))
