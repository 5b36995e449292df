"""SPAN in all the forms that its checkpoints have."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests import arch_checks
from tests.arch_checks import needs_shared, seeded
from tests.conftest import SHARED
from tests.family import difference, further
from upscale_cli import load_model
from upscale_cli.models.archs.span import SPAN
from upscale_cli.models.archs.span_blocks import DIV2K_MEAN, Normalisation, fused, stated_normalisation
from upscale_cli.models.interface import SidecarMetadata
from upscale_cli.models.loading import load_net

MORE = SHARED / "weights-more"


class Unfolded(nn.Module):
    """Conv3XC as it is in training: three convolutions, the picture padded first, and a shortcut."""

    def __init__(self, c_in: int, c_out: int, gain: int = 2) -> None:
        super().__init__()
        self.sk = nn.Conv2d(c_in, c_out, 1)
        self.conv = nn.Sequential(
            nn.Conv2d(c_in, c_in * gain, 1), nn.Conv2d(c_in * gain, c_out * gain, 3), nn.Conv2d(c_out * gain, c_out, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(F.pad(x, (1, 1, 1, 1))) + self.sk(x)
        return out


def in_training(net: nn.Module) -> dict[str, Tensor]:
    """A state_dict as training leaves it: both forms, what it shall be used by not yet computed anew."""
    state_dict = net.state_dict()
    for key in [key for key in state_dict if key.endswith("eval_conv.weight")]:
        weight, stem = state_dict[key], key.removesuffix(".eval_conv.weight")
        layer = Unfolded(weight.shape[1], weight.shape[0])
        state_dict |= {f"{stem}.{part}": tensor for part, tensor in layer.state_dict().items()}
    return state_dict


@needs_shared
def test_it_agrees_with_its_reference() -> None:
    found, allowed, model = difference(further("span-ntire-x4"))
    assert found <= allowed
    assert model.descriptor.config["num_feat"] == 28


@needs_shared
def test_it_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("span") == {"span-ntire-x4"}


@pytest.mark.parametrize(
    "config",
    [
        {"num_feat": 12, "upscale": 2}, {"num_feat": 8, "upscale": 3, "num_block": 2}, {"num_feat": 6, "upscale": 1},
        {"num_feat": 8, "img_range": None}, {"num_feat": 8, "num_in_ch": 1, "img_range": None, "upscale": 2},
    ],
)  # fmt: skip
def test_any_configuration_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    arch_checks.comes_back(seeded(lambda: SPAN(**config)), tmp_path)


def test_the_form_of_training_is_fused(tmp_path: Path) -> None:
    """And counts more than the fused one that lies beside it. Inside the picture both do the same."""
    torch.manual_seed(0)
    layer = Unfolded(5, 7)
    given = {f"conv_1.{key}": tensor for key, tensor in layer.state_dict().items()}
    stale = {"conv_1.eval_conv.weight": torch.zeros(7, 5, 3, 3), "conv_1.eval_conv.bias": torch.zeros(7)}
    made = fused({**given, **stale})
    assert made.keys() == stale.keys()
    x = torch.rand(1, 5, 9, 11)
    by_one = F.conv2d(x, made["conv_1.eval_conv.weight"], made["conv_1.eval_conv.bias"], padding=1)
    assert torch.allclose(by_one[..., 1:-1, 1:-1], layer(x)[..., 1:-1, 1:-1], atol=1e-5)

    trained = in_training(SPAN(num_feat=8, upscale=2))
    model = load_model(arch_checks.saved(trained, tmp_path))
    expected = SPAN(num_feat=8, upscale=2)
    expected.load_state_dict(fused(trained))
    lr = torch.rand(1, 3, 9, 7)
    assert torch.allclose(model.net(lr), expected(lr), rtol=1e-4, atol=1e-4)


def test_half_a_form_is_no_net() -> None:
    trained = in_training(SPAN(num_feat=8))
    del trained["block_2.c1_r.conv.1.bias"]
    assert "block_2.c1_r.sk.weight" in fused(trained), "what is incomplete stays as it is, and fits nothing"


def passing_on(img_range: float | None) -> SPAN:
    """A SPAN that enlarges by repeating pixels, if it is given what it wants: it adds the mean back, and divides."""
    net = SPAN(num_feat=4, upscale=2, img_range=img_range)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        for channel in range(3):
            net.conv_1.eval_conv.weight[channel, channel, 1, 1] = 1
            net.conv_cat.weight[channel, channel] = 1
            last = net.upsampler[0]
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            last.weight[4 * channel : 4 * channel + 4, channel, 1, 1] = 1 / (img_range or 1)
            last.bias[4 * channel : 4 * channel + 4] = 0 if img_range is None else DIV2K_MEAN[channel]
    return net


@pytest.mark.parametrize("img_range", [255.0, 1.0, None])
def test_a_mean_that_no_tensor_tells_of_is_found_out_and_said(img_range: float | None, tmp_path: Path) -> None:
    net = passing_on(img_range)
    state_dict = {key: tensor for key, tensor in net.state_dict().items() if key != "no_norm"}
    said: list[str] = []
    model = load_model(arch_checks.saved(state_dict, tmp_path), say=said.append)
    assert model.descriptor.config["img_range"] == img_range
    lr = torch.rand(1, 3, 5, 6)
    assert torch.allclose(model.net(lr), F.interpolate(lr, scale_factor=2), atol=1e-6)
    (line,) = said
    expected = "no mean subtracted" if img_range is None else "mean (0.4488, 0.4371, 0.404) subtracted"
    assert expected in line
    assert ("times 255" in line) == (img_range == 255)


def test_what_a_trial_does_not_show_is_taken_as_published(tmp_path: Path) -> None:
    state_dict = seeded(lambda: SPAN(num_feat=4)).state_dict()
    said: list[str] = []
    model = load_model(arch_checks.saved(state_dict, tmp_path), say=said.append)
    assert (model.descriptor.config["img_range"], model.descriptor.config["rgb_mean"]) == (255.0, DIV2K_MEAN)
    assert said
    assert "as a trial shows" not in said[0]


def test_a_card_counts_more_than_a_trial(tmp_path: Path) -> None:
    path = arch_checks.saved(passing_on(255.0).state_dict(), tmp_path)
    said: list[str] = []
    assert load_model(path, card={"norm": False}, say=said.append).descriptor.config["img_range"] is None
    stated = load_model(path, card={"rgb_mean": [0.5, 0.4, 0.3], "img_range": 1}, say=said.append).descriptor.config
    assert (stated["img_range"], stated["rgb_mean"]) == (1.0, (0.5, 0.4, 0.3))
    assert not said


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ({"input": "the net subtracts the mean (0.4488,0.4371,0.4040) and multiplies by 255 itself"}, Normalisation()),
        ({"input": "subtracts the mean (0.5, 0.5, 0.5) itself"}, Normalisation((0.5, 0.5, 0.5), 1.0)),
        ({"input": "RGB 0..1; no mean and no times 255, unlike SPAN"}, None),
        ({"arch": {"img_range": 255.0, "rgb_mean": [0.4488, 0.4371, 0.404]}}, Normalisation()),
        ({"input": "RGB 0..1", "arch": "span"}, ""),
        ({"rgb_mean": "grey"}, ""),
        ({}, ""),
    ],
)
def test_cards_say_it_in_figures_or_in_words(card: dict[str, Any], expected: object) -> None:
    assert stated_normalisation(SidecarMetadata.read(card)) == expected


def test_the_halo_is_its_field(tmp_path: Path) -> None:
    arch_checks.halo_is_the_field(arch_checks.of(seeded(lambda: SPAN(num_feat=4, num_block=2, upscale=2)), tmp_path))


@needs_shared
def test_tiles_equal_the_whole() -> None:
    arch_checks.tiles_equal_the_whole(load_net(MORE / "span-ntire-x4.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize("img_range", [255.0, None])
def test_other_engines_do_the_same(img_range: float | None, tmp_path: Path) -> None:
    arch_checks.runs_elsewhere(arch_checks.of(seeded(lambda: SPAN(num_feat=8, img_range=img_range)), tmp_path))
