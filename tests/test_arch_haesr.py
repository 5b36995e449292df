"""HAESR."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests import arch_checks
from tests.arch_checks import needs_shared, seeded
from tests.conftest import SHARED
from tests.family import difference, further
from upscale_cli.models.archs import haesr
from upscale_cli.models.archs.haesr import HAESR, LargeKernel
from upscale_cli.models.archs.haesr_attention import (
    ChannelAttention,
    GridAttention,
    around_windows,
    from_grids,
    from_windows,
    grids,
    windows,
)
from upscale_cli.models.interface import SidecarMetadata
from upscale_cli.models.loading import build_net, load_net
from upscale_cli.models.watch import looks_at_the_whole

FILE = SHARED / "weights-more/haesr-x4.safetensors"
SMALL: dict[str, Any] = {"num_feat": 16, "num_group": 2, "kernel": 5, "esa_feat": 3, "upscale": 2}


def made(**config: Any) -> nn.Module:
    """With places as a file has them."""
    net = seeded(lambda: HAESR(**config))
    inner = (torch.arange(16)[:, None] * 16 + torch.arange(16))[4:12, 4:12].flatten()
    for name, buffer in net.named_buffers():
        if name.endswith("center_indices"):
            buffer.copy_(inner)
        elif name.endswith("sample_indices"):
            buffer.copy_(torch.randperm(256)[: len(buffer)].sort().values)
    return net


@pytest.mark.slow
@needs_shared
def test_it_agrees_with_its_reference() -> None:
    found, allowed, _ = difference(further("haesr-x4"))
    assert found <= allowed


@needs_shared
def test_it_claims_its_own_and_no_others() -> None:
    assert arch_checks.claimed("haesr") == {"haesr-x4"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        {"num_feat": 32, "num_group": 3, "kernel": 7, "esa_feat": 2, "upscale": 3, "num_in_ch": 1},
        {"num_feat": 16, "num_group": 1, "kernel": 31, "esa_feat": 4, "upscale": 4},
    ],
)
def test_any_configuration_comes_back(config: dict[str, Any], tmp_path: Path) -> None:
    model = arch_checks.comes_back(made(**config), tmp_path)
    assert config.items() <= model.descriptor.config.items()


@pytest.mark.parametrize("place", [-1, 256])
def test_places_outside_of_a_window_are_refused(place: int) -> None:
    state_dict = made(**SMALL).state_dict()
    assert haesr.recognise(state_dict, SidecarMetadata()) is not None
    state_dict["block0.residual_layer.0.SLA2.attn.ext_unfold.sample_indices"][3] = place
    assert haesr.recognise(state_dict, SidecarMetadata()) is None


def test_windows_are_pixels_side_by_side() -> None:
    x = torch.rand(2, 3, 24, 16)
    tokens = windows(x)
    assert tokens.shape == (2, 3, 2, 64, 3)
    assert torch.equal(tokens[:, 1, 1, 8 * 2 + 5], x[:, :, 8 + 2, 8 + 5])
    assert torch.equal(from_windows(tokens), x)


def test_grids_are_pixels_far_apart() -> None:
    x = torch.rand(2, 3, 24, 32)  # each eighth of it is 3 x 4
    tokens = grids(x)
    assert tokens.shape == (2, 3, 4, 64, 3)
    assert torch.equal(tokens[:, 2, 1, 8 * 5 + 6], x[:, :, 5 * 3 + 2, 6 * 4 + 1])
    assert torch.equal(from_grids(tokens), x)
    between = grids(x, 7, 8)
    assert torch.equal(between[:, 2, 1, 8 * 5 + 6], x[:, :, 5 * 3 + 2 + 1, 6 * 4 + 1]), "half of 3 is 1, rounded down"
    between = grids(x, 7, 7)
    assert torch.equal(between[:, 2, 3, 7 * 6 + 6], x[:, :, 6 * 3 + 2 + 1, 6 * 4 + 3 + 2])


def test_the_bias_of_a_way_is_that_of_its_steps() -> None:
    layer = GridAttention(4, 0, makes_map=True)
    query, key = 8 * 3 + 1, 8 * 7 + 6
    assert layer.places[query, key] == (3 - 7 + 7) * 15 + (1 - 6 + 7)
    assert len(set(layer.places.flatten().tolist())) == 225


def test_large_convolutions_get_every_fourth_channel() -> None:
    layer = LargeKernel(8, 5)
    seen: list[torch.Tensor] = []
    layer.DWConv_1xK.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.rand(2, 8, 6, 6)
    layer(x)
    chosen = x[:, [0, 4]]
    assert torch.allclose(seen[0], chosen * torch.sigmoid(chosen.mean(dim=(2, 3), keepdim=True)))


@pytest.mark.parametrize("across", [False, True])
def test_channels_attend_within_their_group(across: bool) -> None:
    """A pixel changed is felt in its own window alone; or, across, at its own place in every window."""
    torch.manual_seed(0)
    layer = ChannelAttention(4)
    x = torch.rand(1, 4, 16, 24)
    other = x.clone()
    other[..., 2, 3] += 1
    with torch.inference_mode():
        felt = (layer.attend(x, across=across) - layer.attend(other, across=across)).abs().sum(dim=1)[0] > 1e-7
    touched = torch.zeros(16, 24, dtype=torch.bool)
    touched[1:4, 2:5] = True  # by the 3 x 3 convolution
    where = touched[:8, :8].repeat(2, 3)
    if not across:
        where.zero_()
        where[:8, :8] = True
    assert torch.equal(felt, where)


def test_later_groups_use_the_maps_of_the_first() -> None:
    net = made(**SMALL)
    calls: list[tuple[torch.Tensor | None, torch.Tensor]] = []
    for number in (0, 1):
        name = f"block{number}.residual_layer{'.0' if number == 0 else ''}.SGA2.attn"
        net.get_submodule(name).register_forward_hook(lambda _, given, out: calls.append((given[1], out[1])))
    net(torch.rand(1, 3, 16, 16))
    (given_first, made_first), (given_second, _) = calls
    assert given_first is None
    assert given_second is made_first


def test_it_looks_at_the_whole(tmp_path: Path) -> None:
    net = arch_checks.of(made(**SMALL), tmp_path)
    assert net.descriptor.sees_whole
    assert looks_at_the_whole(build_net(net), net.descriptor, 2)


def test_the_least_picture_passes() -> None:
    net = made(**SMALL)
    assert net(torch.rand(1, 3, 9, 9)).shape == (1, 3, 18, 18)


def test_a_window_sees_what_is_around_it() -> None:
    x = torch.rand(2, 3, 24, 16) + 1
    around = around_windows(x)
    assert around.shape == (2, 3, 2, 256, 3)
    assert torch.equal(around[:, 1, 0, 16 * 4 + 4], x[:, :, 8, 0]), "its own first pixel"
    assert torch.equal(around[:, 1, 0, 16 * 1 + 15], x[:, :, 8 - 3, 11])
    assert not around[:, 0, :, : 16 * 4].any(), "zeros above the picture"
    assert around[:, 1, 1].reshape(2, 16, 16, 3)[:, :, :12].all()


@pytest.mark.slow
def test_other_engines_do_the_same(tmp_path: Path) -> None:
    arch_checks.runs_elsewhere(arch_checks.of(made(**SMALL), tmp_path))


@pytest.mark.slow
@needs_shared
def test_a_picture_goes_through_whole() -> None:
    net, lr = load_net(FILE), arch_checks.picture(37, 52)
    by_pipeline = arch_checks.tiled(net, lr)
    with torch.inference_mode():
        sr = build_net(net)(torch.from_numpy(lr).permute(2, 0, 1)[None] / 255)[0].permute(1, 2, 0).clamp(0, 1)
    assert torch.allclose(torch.from_numpy(by_pipeline), sr, atol=1e-4)
