"""RFDN, whose checkpoints come for values from 0 to 255 and from 0 to 1."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests import arch_checks
from tests.arch_checks import seeded
from tests.conftest import SHARED
from tests.family import difference, further
from upscale_cli import load_model
from upscale_cli.models.archs.attention_layers import ESA, conv1x1, conv3x3
from upscale_cli.models.archs.rfdn import RFDN
from upscale_cli.models.loading import load_net

MORE = SHARED / "weights-more"
needs_shared = pytest.mark.skipif(not MORE.is_dir(), reason="the shared folder with weights is not here")


@needs_shared
def test_it_agrees_with_its_reference() -> None:
    found, allowed, model = difference(further("rfdn-aim-x4"))
    assert found <= allowed
    assert model.descriptor.config == {"num_feat": 50, "num_modules": 4, "upscale": 4, "white": 255.0}


@needs_shared
def test_it_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("rfdn") == {"rfdn-aim-x4"}


@pytest.mark.parametrize(
    "config", [{"num_feat": 12, "upscale": 2}, {"num_feat": 26, "num_modules": 6, "upscale": 3, "white": 1.0}]
)
def test_any_configuration_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    card = {"input": f"RGB 0..{config.get('white', 255):g}"}
    model = arch_checks.comes_back(seeded(lambda: RFDN(**config)), tmp_path, card)
    assert model.descriptor.config == {"num_modules": 4, "white": 255.0, **config}


def passing_on(white: float) -> RFDN:
    """An RFDN that keeps grey as it is in its own range only: what it adds is a hundredth of white there."""
    net = RFDN(num_feat=12, num_modules=1, upscale=2, white=white)
    for parameter in net.parameters():
        parameter.data.zero_()
    last = net.upsampler[0]
    assert isinstance(last, nn.Conv2d)
    assert net.fea_conv.bias is not None
    for channel in range(3):
        net.fea_conv.weight.data[channel, channel, 1, 1] = 0.9
        net.fea_conv.bias.data[channel] = 0.05 * white
        last.weight.data[4 * channel : 4 * channel + 4, channel, 1, 1] = 1
    return net


@pytest.mark.parametrize("white", [255.0, 1.0])
def test_the_range_that_no_key_tells_of_is_found_out(white: float, tmp_path: Path) -> None:
    path = arch_checks.saved(passing_on(white).state_dict(), tmp_path)
    said: list[str] = []
    assert load_model(path, say=said.append).descriptor.config["white"] == white
    assert not said
    other = 256.0 - white
    assert load_model(path, card={"input": f"RGB 0..{other:g}"}).descriptor.config["white"] == other, (
        "a card counts more"
    )


def test_an_untrained_net_is_taken_as_something_and_that_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    load_model(arch_checks.saved(seeded(lambda: RFDN(num_feat=12)).state_dict(), tmp_path), say=said.append)
    assert "values from 0 to" in said[0]


def test_spatial_attention_pools_17_pixels_every_6() -> None:
    """An LR pixel has a part in the pooled values where 17 x 17 pixels at steps of 6 meet it."""
    torch.manual_seed(0)
    layer = ESA(8, conv1x1, conv3x3, conv3x3, torch.relu)
    pooled = []
    layer.conv_max.register_forward_pre_hook(lambda _module, given: pooled.append(given[0]))
    x = torch.rand(1, 8, 41, 29, requires_grad=True)
    layer(x)
    assert pooled[0].shape[-2:] == (5, 3)
    pooled[0][:, :, 1, 1].sum().backward()
    assert x.grad is not None
    rows, columns = x.grad.abs().sum((0, 1)).nonzero(as_tuple=True)
    assert 6 <= int(rows.min()) <= int(rows.max()) < 6 + 17
    assert 6 <= int(columns.min()) <= int(columns.max()) < 6 + 17


@needs_shared
def test_what_is_smaller_than_the_pooling_is_padded() -> None:
    sr = arch_checks.tiled(load_net(MORE / "rfdn-aim-x4.safetensors"), arch_checks.picture(3, 7))
    assert sr.shape == (12, 28, 3)


@pytest.mark.slow
def test_other_engines_do_the_same(tmp_path: Path) -> None:
    card = {"input": "RGB 0..1"}
    arch_checks.runs_elsewhere(arch_checks.of(seeded(lambda: RFDN(num_feat=12, white=1.0)), tmp_path, card))
