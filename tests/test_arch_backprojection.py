"""Nets that go up to SR size and down again, in values of 0 to 255: SRFBN and EBRN."""

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
from upscale_cli.models.archs.backprojection import PROJECTIONS
from upscale_cli.models.archs.ebrn import EBRN
from upscale_cli.models.archs.srfbn import SRFBN
from upscale_cli.models.loading import build_net, load_net

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with weights is not here")
SCALES = pytest.mark.parametrize("scale", [2, 3, 4, 8])


def srfbn(scale: int = 4, **config: Any) -> nn.Module:
    return seeded(lambda: SRFBN(**{"num_features": 4, "num_groups": 2, "upscale_factor": scale, **config}))


def ebrn(scale: int = 4, **config: Any) -> nn.Module:
    net = seeded(lambda: EBRN(**{"num_filters": 4, "num_brms": 2, "scale": scale, **config}))
    assert isinstance(net, EBRN)
    with torch.no_grad():
        net.recon_layer.weight.mul_(30)  # to values of a picture
    return net


@needs_shared
@pytest.mark.parametrize("arch", ["srfbn", "ebrn"])
def test_it_agrees_with_its_reference(arch: str) -> None:
    found, allowed, model = difference(golden(arch))
    assert found <= allowed
    assert model.descriptor.arch == arch
    assert model.descriptor.input_range == model.descriptor.output_range == (0.0, 255.0)
    assert arch_checks.claimed(arch) == {arch}


@SCALES
@pytest.mark.parametrize("make", [srfbn, ebrn])
def test_any_configuration_comes_back(make: Any, scale: int, tmp_path: Path) -> None:
    arch_checks.comes_back(make(scale), tmp_path)


def test_other_depths_and_widths_come_back(tmp_path: Path) -> None:
    arch_checks.comes_back(srfbn(2, num_groups=1, num_features=3), tmp_path)
    arch_checks.comes_back(ebrn(2, num_brms=1, num_filters=3), tmp_path)
    arch_checks.comes_back(ebrn(2, num_brms=5), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("make", [srfbn, ebrn])
def test_tiles_and_other_engines_do_what_it_does(make: Any, tmp_path: Path) -> None:
    net = arch_checks.of(make(), tmp_path)
    arch_checks.tiles_equal_the_whole(net)
    arch_checks.runs_elsewhere(net)


@SCALES
@pytest.mark.parametrize("make", [srfbn, ebrn])
def test_the_halo_is_the_field(make: Any, scale: int, tmp_path: Path) -> None:
    arch_checks.halo_is_the_field(arch_checks.of(make(scale), tmp_path))


@SCALES
def test_a_projection_reaches_as_far_as_it_says(scale: int) -> None:
    projection = PROJECTIONS[scale]
    up, down = projection.up(1, 1), projection.down(1, 1)
    side = 2 * projection.there_and_back + 5
    lr = torch.rand(1, 1, side, side, requires_grad=True)
    middle = side // 2
    assert up(lr).shape == (1, 1, scale * side, scale * side)
    down(up(lr))[0, 0, middle, middle].backward()
    assert lr.grad is not None
    rows = lr.grad[0, 0].abs().sum(dim=1).nonzero()[:, 0]
    assert int((rows - middle).abs().max()) == projection.there_and_back


# SRFBN


def test_without_a_residual_srfbn_is_the_bilinear_enlargement() -> None:
    net = srfbn()
    assert isinstance(net, SRFBN)
    with torch.no_grad():
        for parameter in net.conv_out.parameters():
            parameter.zero_()
        for layer, sign in ((net.sub_mean, -1), (net.add_mean, 1)):
            assert layer.bias is not None
            layer.weight.copy_(torch.eye(3)[..., None, None])
            layer.bias.copy_(sign * torch.tensor([114.4, 111.5, 103.0]))
    lr = torch.rand(1, 3, 6, 7) * 255
    assert torch.allclose(net(lr), F.interpolate(lr, scale_factor=4, mode="bilinear"), atol=1e-3)


def test_the_number_of_steps_is_the_card_s(tmp_path: Path) -> None:
    """Of its `configs` that one counts which the shapes fit."""
    path = arch_checks.saved(srfbn(num_steps=2).state_dict(), tmp_path)
    said: list[str] = []
    assert load_net(path, say=said.append).descriptor.config["num_steps"] == 4
    assert "4 steps" in said[0]
    card = {"configs": {"other": {"num_features": 64, "num_steps": 9}, "weights": {"num_features": 4, "num_steps": 2}}}
    model = load_model(path, card=card, say=pytest.fail)
    assert model.descriptor.config["num_steps"] == 2
    lr = torch.rand(1, 3, 6, 7)
    assert torch.equal(model.net(lr), srfbn(num_steps=2)(lr))


def test_a_small_one_is_called_so(tmp_path: Path) -> None:
    assert arch_checks.of(srfbn(num_features=32, num_groups=3), tmp_path).descriptor.name == "srfbn-s"


# EBRN


def test_the_last_module_s_way_down_has_no_part() -> None:
    net = ebrn()
    lr = torch.rand(1, 3, 6, 7)
    expected = net(lr)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.startswith(("brms.1.down_block", "brms.1.bp_flow")):
                parameter.fill_(7)
    assert torch.equal(net(lr), expected)


def test_the_mean_is_read_from_the_file() -> None:
    net = ebrn()
    assert isinstance(net, EBRN)
    lr = torch.rand(1, 3, 6, 7)
    before = net(lr)
    assert net.mean_inverse_shift.bias is not None
    with torch.no_grad():
        net.mean_inverse_shift.bias.add_(5)
    assert torch.allclose(net(lr), before + 5, atol=1e-3)


# Both


@pytest.mark.parametrize("make", [srfbn, ebrn])
def test_sessions_get_it_from_0_to_1(make: Any, tmp_path: Path) -> None:
    net = arch_checks.of(make(), tmp_path)
    lr = torch.rand(1, 3, 6, 7)
    assert torch.allclose(build_net(net)(lr), make()(lr * 255) / 255, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("make", "key"), [(srfbn, "block.uptranBlocks.0.0.bias"), (ebrn, "fusion_layers.0.bias")])
def test_a_gap_is_named(make: Any, key: str, tmp_path: Path) -> None:
    state_dict = make().state_dict()
    del state_dict[key]
    with pytest.raises(CheckpointError, match=f"lacks {key}"):
        load_net(arch_checks.saved(state_dict, tmp_path))
