"""ZenoSR and VSCINet, which share most of their layers."""

from collections.abc import Callable
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
from upscale_cli.models.archs.vscinet import VSCINet
from upscale_cli.models.archs.zeno_layers import GlobalChannel, SpatialAttention, window_places
from upscale_cli.models.archs.zenosr import ZenoSR
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.watch import looks_at_the_whole

MORE = SHARED / "weights-more"

each = pytest.mark.parametrize(("arch", "net"), [("zenosr", ZenoSR), ("vscinet", VSCINet)])
Net = Callable[..., nn.Module]


@needs_shared
@each
def test_it_agrees_with_its_reference(arch: str, net: Net) -> None:  # noqa: ARG001  # each has both
    found, allowed, model = difference(further(f"{arch}-x4"))
    assert found <= allowed
    assert model.descriptor.arch == arch


@needs_shared
@each
def test_it_claims_its_own_and_no_others(arch: str, net: Net) -> None:  # noqa: ARG001
    assert arch_checks.claimed(arch) == {f"{arch}-x4"}


@pytest.mark.slow
@each
@pytest.mark.parametrize(
    "config", [{"dim": 8, "num_block": 1, "upscale": 2}, {"dim": 4, "num_block": 3, "upscale": 3}, {"dim": 12}]
)
def test_any_configuration_comes_back(arch: str, net: Net, config: dict[str, Any], tmp_path: Path) -> None:
    model = arch_checks.comes_back(seeded(lambda: net(**config)), tmp_path)
    assert (model.descriptor.arch, model.descriptor.sees_whole) == (arch, True)
    assert config.items() <= model.descriptor.config.items()


@each
def test_a_card_can_state_the_window(arch: str, net: Net, tmp_path: Path) -> None:
    module = seeded(lambda: net(dim=8, num_block=1, upscale=2, window=16))
    model = arch_checks.comes_back(module, tmp_path, card={"arch": {"tlc_kernel": 16}})
    assert (model.descriptor.arch, model.descriptor.config["window"]) == (arch, 16)
    usual = load_model(tmp_path / "net.safetensors")
    lr = torch.rand(1, 3, 37, 45)
    assert not torch.allclose(usual.net(lr), module(lr), rtol=0, atol=1e-6), "no window is without its part"


@pytest.mark.parametrize("length", [5, 72, 73, 100, 143, 144, 145, 200, 333])
def test_windows_cover_an_axis_evenly(length: int) -> None:
    places = window_places(torch.zeros(1, 1, length), 2, 72)
    assert places.shape == (-(-length // 72), min(length, 72))
    assert (int(places[0, 0]), int(places[-1, -1])) == (0, length - 1)
    assert (places.diff(dim=1) == 1).all()
    steps = places[:, 0].diff()
    assert ((steps > 0) & (steps <= 72)).all()
    assert len(set(steps[:-1].tolist())) <= 1


def test_overlapping_windows_are_averaged() -> None:
    """Pixel by pixel, over every window that holds it, each by the formula of attention between channels."""
    torch.manual_seed(0)
    layer = GlobalChannel(2, 6).double()
    x = torch.rand(1, 2, 9, 15, dtype=torch.float64)
    gate, value = layer.project_in(x).chunk(2, dim=1)
    inside = (layer.dwconv(gate) * value)[0]
    total, count = torch.zeros(2, 9, 15, dtype=torch.float64), torch.zeros(9, 15)
    for top in (0, 3):
        for left in (0, 5, 9):
            window = (slice(None), slice(top, top + 6), slice(left, left + 6))
            total[window] += by_formula(inside[window])
            count[window[1:]] += 1
    assert torch.allclose(layer(x), layer.project_out((total / count)[None]))


def by_formula(query_value: Tensor) -> Tensor:
    """(2 * C, H, W) to (C, H, W): each channel a mean of all, weighted by how like they are."""
    query, value = query_value.flatten(1).chunk(2)
    made = torch.zeros_like(value)
    for one in range(len(query)):
        likeness = [query[one] @ other / query[one].norm() / other.norm() for other in value]
        weights = torch.stack(likeness).softmax(dim=0)
        for other, weight in zip(value, weights, strict=True):
            made[one] += weight * other
    return made.reshape(-1, *query_value.shape[1:])


def test_a_region_counts_by_its_maximum() -> None:
    layer = SpatialAttention(4, weighted=True).double()
    with torch.no_grad():
        layer.conv1.weight.fill_(1)
        layer.dwconv.weight.zero_()
        layer.dwconv.weight[:, :, 1, 1] = 1
    seen: list[Tensor] = []
    layer.conv2.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.rand(1, 4, 17, 24, dtype=torch.float64)
    layer(x)
    value = F.normalize(x, dim=1).sum(dim=1, keepdim=True)
    assert seen[0].shape == (1, 2, 2, 3)
    assert torch.allclose(seen[0][:, :1, 0, 0], value[..., :9, :8].amax(dim=(2, 3)))
    assert torch.allclose(seen[0][:, :1, 1, 2], value[..., 8:, 16:].amax(dim=(2, 3)))


@pytest.mark.slow
@each
def test_it_looks_at_the_whole(arch: str, net: Net, tmp_path: Path) -> None:  # noqa: ARG001
    made = arch_checks.of(seeded(lambda: net(dim=4, num_block=1)), tmp_path)
    assert looks_at_the_whole(build_net(made), made.descriptor, 4)


@needs_shared
@each
def test_a_picture_goes_through_whole(arch: str, net: Net) -> None:  # noqa: ARG001
    """The pipeline gives what the net gives: no tile, and none of what is around it."""
    loaded, lr = load_net(MORE / f"{arch}-x4.safetensors"), arch_checks.picture(60, 90)
    by_pipeline = arch_checks.tiled(loaded, lr)
    with torch.inference_mode():
        sr = build_net(loaded)(torch.from_numpy(lr).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).clamp(0, 1)
    assert torch.allclose(torch.from_numpy(by_pipeline), sr, atol=1e-4)


@pytest.mark.slow
@each
def test_other_engines_do_the_same(arch: str, net: Net, tmp_path: Path) -> None:
    """With windows that overlap, and one alone."""
    module = seeded(lambda: net(dim=8, num_block=1, upscale=2, window=16))
    made = arch_checks.of(module, tmp_path, card={"arch": {"tlc_kernel": 16}})
    assert made.descriptor.arch == arch
    arch_checks.runs_elsewhere(made)
    arch_checks.runs_elsewhere(arch_checks.of(module, tmp_path))
