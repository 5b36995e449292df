"""SRResNet = SRGAN's generator = SROBB's with a fixed slope, in both layouts that checkpoints have."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests import arch_checks
from tests.arch_checks import seeded
from tests.conftest import SHARED
from tests.family import difference, golden
from upscale_cli import load_model
from upscale_cli.errors import CheckpointError
from upscale_cli.models.archs.srgan_leftthomas import Generator
from upscale_cli.models.archs.srresnet import SROBB_SLOPE, SRResNet
from upscale_cli.models.loading import build_net, load_net

needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared folder with weights is not here")
SMALL: dict[str, Any] = {"channels": 8, "num_rcb": 2}


def srresnet(**config: Any) -> nn.Module:
    """Whose answers mostly stay off the clamp."""
    net = seeded(lambda: SRResNet(**(SMALL | config)))
    assert isinstance(net, SRResNet)
    with torch.no_grad():
        net.conv3.weight.mul_(0.05)
        assert net.conv3.bias is not None
        net.conv3.bias.fill_(0.5)
    return net


def generator(**config: Any) -> nn.Module:
    net = seeded(lambda: Generator(**({"num_feat": 8} | config)))
    assert isinstance(net, Generator)
    last = net.block8[-1]
    assert isinstance(last, nn.Conv2d)
    with torch.no_grad():
        last.weight.mul_(0.05)
    return net


@needs_shared
@pytest.mark.parametrize("arch", ["srresnet", "srgan-leftthomas"])
def test_it_agrees_with_its_reference(arch: str) -> None:
    found, allowed, model = difference(golden(arch))
    assert found <= allowed
    assert model.descriptor.arch == arch


@needs_shared
def test_each_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("srresnet") == {"srresnet"}
    assert arch_checks.claimed("srgan-leftthomas") == {"srgan-x2", "srgan-x4", "srgan-x8"}


@pytest.mark.parametrize(
    "config",
    [
        {"upscale": 2}, {"upscale": 3}, {"upscale": 8}, {"channels": 6, "num_rcb": 1},
        {"in_channels": 1, "out_channels": 1}, {"slope": SROBB_SLOPE},
    ],
)  # fmt: skip
def test_any_srresnet_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    model = arch_checks.comes_back(srresnet(**config), tmp_path)
    assert model.descriptor.name == ("srobb" if "slope" in config else "srresnet")


@pytest.mark.parametrize("normalised", [False, True], ids=["of 2017", "of 2019"])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_any_generator_comes_back(scale: int, normalised: bool, tmp_path: Path) -> None:
    arch_checks.comes_back(generator(scale_factor=scale, normalised=normalised), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("make", [srresnet, generator])
def test_tiles_and_other_engines_do_what_it_does(make: Any, tmp_path: Path) -> None:
    net = arch_checks.of(make(), tmp_path)
    arch_checks.halo_is_the_field(net)
    arch_checks.tiles_equal_the_whole(net)
    arch_checks.runs_elsewhere(net)


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_the_halo_is_the_field_at_other_scales(scale: int, tmp_path: Path) -> None:
    arch_checks.halo_is_the_field(arch_checks.of(srresnet(upscale=scale, num_rcb=1), tmp_path))


def test_its_answers_are_clamped_as_in_the_reference() -> None:
    net = seeded(lambda: SRResNet(**SMALL))
    sr: Tensor = net(torch.rand(1, 3, 9, 7))
    assert sr.min() == 0 or sr.max() == 1
    assert 0 <= sr.min() <= sr.max() <= 1


def test_a_net_without_slopes_is_srobb_and_a_card_may_state_the_slope(tmp_path: Path) -> None:
    path = arch_checks.saved(srresnet(slope=0.1).state_dict(), tmp_path)
    said: list[str] = []
    assert load_net(path, say=said.append).descriptor.config["slope"] == SROBB_SLOPE
    assert "LeakyReLU of slope 0.2" in said[0]
    assert load_model(path, card={"slope": 0.1}, say=pytest.fail).descriptor.config["slope"] == 0.1


def test_files_from_before_the_batch_counters_load(tmp_path: Path) -> None:
    net = srresnet()
    plain = {key: tensor for key, tensor in net.state_dict().items() if not key.endswith("num_batches_tracked")}
    again = build_net(load_net(arch_checks.saved(plain, tmp_path)))
    lr = torch.rand(1, 3, 8, 9)
    assert torch.equal(again(lr), net(lr))


@pytest.mark.parametrize(
    ("make", "key"), [(srresnet, "trunk.1.rcb.4.running_var"), (generator, "block5.prelu.weight")]
)  # fmt: skip
def test_a_gap_is_named(make: Any, key: str, tmp_path: Path) -> None:
    state_dict = make().state_dict()
    del state_dict[key]
    with pytest.raises(CheckpointError, match=f"lacks {key}"):
        load_net(arch_checks.saved(state_dict, tmp_path))


@needs_shared
@pytest.mark.parametrize(("name", "scale"), [("weights/srgan-x2", 2), ("weights-more/srgan-x8", 8)])
def test_published_files_of_other_scales_enlarge(name: str, scale: int) -> None:
    """No outputs of the reference are at hand for these; what they make, shrunk, is what they were given."""
    path = SHARED / f"{name}.safetensors"
    assert "block7.1.weight" in load_file(path)
    net = load_model(path).net
    lr = torch.from_numpy(arch_checks.picture(24, 30).copy()).permute(2, 0, 1)[None] / 255
    sr = net(lr)
    assert sr.shape == (1, 3, 24 * scale, 30 * scale)
    assert (nn.functional.avg_pool2d(sr, scale) - lr).abs().mean() < 0.03
