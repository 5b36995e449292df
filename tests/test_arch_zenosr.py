"""ZenoSR and VSCINet, which share most of their layers."""

import itertools
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
from upscale_cli.models.archs.zeno_layers import GlobalChannel, SpatialAttention, window_slices
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
    taken = window_slices(length, 72)
    assert (taken[0].start, taken[-1].stop) == (0, length)
    assert {one.stop - one.start for one in taken} == {min(length, 72)}
    assert len(taken) == -(-length // 72)
    steps = [after.start - before.start for before, after in itertools.pairwise(taken)]
    assert all(0 < step <= 72 for step in steps)
    assert len(set(steps[:-1])) <= 1


def test_overlapping_windows_are_averaged() -> None:
    """Pixel by pixel, by every window that holds it."""
    torch.manual_seed(0)
    layer = GlobalChannel(2, 6)
    x = torch.rand(1, 2, 9, 15)
    gate, value = layer.project_in(x).chunk(2, dim=1)
    inside = layer.dwconv(gate) * value
    boxes = [(rows, columns) for rows in window_slices(9, 6) for columns in window_slices(15, 6)]
    made = [(box, layer.attended(inside[..., box[0], box[1]])) for box in boxes]
    expected = torch.zeros(1, 2, 9, 15)
    for y in range(9):
        for x_ in range(15):
            values = [out[..., y - rows.start, x_ - columns.start] for (rows, columns), out in made
                      if rows.start <= y < rows.stop and columns.start <= x_ < columns.stop]  # fmt: skip
            expected[..., y, x_] = torch.stack(values).mean(dim=0)
    assert torch.allclose(layer(x), layer.project_out(expected), atol=1e-6)


def test_attention_between_channels_is_what_its_formula_says() -> None:
    torch.manual_seed(0)
    layer = GlobalChannel(3, 72)
    given = torch.randn(1, 6, 4, 5, dtype=torch.float64)
    layer.double()
    query, value = given[0, :3].reshape(3, 20), given[0, 3:].reshape(3, 20)
    expected = torch.zeros(3, 20, dtype=torch.float64)
    for one in range(3):
        likeness = [float(query[one] @ value[other] / query[one].norm() / value[other].norm()) for other in range(3)]
        weights = torch.tensor(likeness, dtype=torch.float64).softmax(dim=0)
        expected[one] = sum((weights[other] * value[other] for other in range(3)), torch.zeros(20).double())
    assert torch.allclose(layer.attended(given)[0].reshape(3, 20), expected)


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
