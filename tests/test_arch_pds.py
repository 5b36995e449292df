"""The nets of NTIRE 2026 that SPAN was the model of: PDS and PKDSR, DSCF, DISP, SPANV2. All see a fixed field."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
from tests.test_arch_span import in_training
from upscale_cli import load_model
from upscale_cli.models.archs.disp import DISP
from upscale_cli.models.archs.dscf import DSCF
from upscale_cli.models.archs.pds import PDS
from upscale_cli.models.archs.span_blocks import fused
from upscale_cli.models.archs.spanv2 import SPANV2
from upscale_cli.models.loading import load_net

MORE = SHARED / "weights-more"


@dataclass(frozen=True)
class Case:
    """One of the nets.

    Attributes:
        files: its checkpoints in ../shared; the first has a pair.
        small: quick to run.
        others: further configurations.
    """

    arch: str
    net: Callable[..., nn.Module]
    files: tuple[str, ...]
    small: dict[str, Any]
    others: tuple[dict[str, Any], ...]


CASES = [
    Case("pds", PDS, ("pds-x4", "pkdsr-x4"), {"num_feat": 6, "tail": 5, "num_block": 2, "upscale": 2},
         ({"num_feat": 8, "upscale": 3}, {"num_feat": 4, "tail": 24, "num_in_ch": 1})),
    Case("dscf", DSCF, ("dscf-x4",), {"num_feat": 6, "num_block": 2, "upscale": 2},
         ({"num_feat": 8, "upscale": 3}, {"num_feat": 4, "num_block": 7})),
    Case("disp", DISP, ("disp-x4",), {"num_feat": 6, "num_block": 1, "upscale": 2},
         ({"num_feat": 8, "upscale": 3, "extern": ("0", "1")}, {"num_feat": 4, "extern": (), "num_block": 6})),
    Case("spanv2", SPANV2, ("spanv2-esr-x4",), {"num_feat": 6, "num_block": 2, "upscale": 2},
         ({"num_feat": 8, "upscale": 3}, {"num_feat": 4, "num_block": 6, "num_in_ch": 1})),
]  # fmt: skip

each = pytest.mark.parametrize("case", CASES, ids=lambda case: case.arch)


@needs_shared
@each
def test_it_agrees_with_its_reference(case: Case) -> None:
    found, allowed, model = difference(further(case.files[0]))
    assert found <= allowed
    assert model.descriptor.arch == case.arch


@needs_shared
@each
def test_it_claims_its_own_and_no_others(case: Case) -> None:
    assert arch_checks.claimed(case.arch) == set(case.files)


@each
def test_any_configuration_comes_back(case: Case, tmp_path: Path) -> None:
    for config in (case.small, *case.others):
        model = arch_checks.comes_back(seeded(partial(case.net, **config)), tmp_path)
        assert config.items() <= model.descriptor.config.items()


@each
def test_the_halo_is_its_field(case: Case, tmp_path: Path) -> None:
    arch_checks.halo_is_the_field(arch_checks.of(seeded(lambda: case.net(**case.small)), tmp_path))


@needs_shared
@each
def test_tiles_equal_the_whole(case: Case) -> None:
    arch_checks.tiles_equal_the_whole(load_net(MORE / f"{case.files[0]}.safetensors"))


@pytest.mark.slow
@each
def test_other_engines_do_the_same(case: Case, tmp_path: Path) -> None:
    arch_checks.runs_elsewhere(arch_checks.of(seeded(lambda: case.net(**case.small)), tmp_path))


@pytest.mark.parametrize("case", [case for case in CASES if case.arch != "spanv2"], ids=lambda case: case.arch)
def test_the_form_of_training_is_fused(case: Case, tmp_path: Path) -> None:
    trained = in_training(case.net(**case.small))
    model = load_model(arch_checks.saved(trained, tmp_path))
    expected = case.net(**case.small)
    expected.load_state_dict(fused(trained))
    lr = torch.rand(1, 3, 9, 7)
    assert torch.allclose(model.net(lr), expected(lr), rtol=1e-4, atol=1e-4)


def test_the_tail_of_pds_has_two_names(tmp_path: Path) -> None:
    net = PDS(**CASES[0].small)
    other = {key.replace("conv_cat", "conv_cat_1").replace("conv_2.", "conv_2_1."): tensor
             for key, tensor in net.state_dict().items()}  # fmt: skip
    lr = torch.rand(1, 3, 6, 5)
    assert torch.allclose(load_model(arch_checks.saved(other, tmp_path)).net(lr), net(lr))


def zeroed(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    return net


@pytest.mark.parametrize("net", [PDS(tail=48), SPANV2()], ids=["pds", "spanv2"])
def test_the_near_planes_are_in_the_order_of_the_sub_pixel_layer(net: PDS | SPANV2) -> None:
    """With nothing but a centre in conv_near, and a tail that passes it on, each pixel is repeated."""
    zeroed(net)
    with torch.no_grad():
        net.conv_near.weight[:, 0, 1, 1] = 1
        planes = torch.arange(48)
        if isinstance(net, PDS):
            net.conv_cat.weight[planes, planes] = 1
            net.conv_2.eval_conv.weight[planes, planes, 1, 1] = 1
        else:
            net.depthwise_conv.weight[:48, 0, 1, 1] = 1
            net.pointwise_conv.weight[planes, planes] = 1
    lr = torch.rand(2, 3, 5, 4)
    assert torch.equal(net(lr), F.interpolate(lr, scale_factor=4))


def test_the_first_block_of_spanv2_ends_in_an_activation_and_that_of_pds_does_not() -> None:
    for net, least in ((seeded(SPANV2), 0.0), (seeded(PDS), -1e9)):
        out = net.get_submodule("block_1")(torch.randn(1, 3, 16, 16))
        assert out.min() >= least
        assert (out.min() < 0) == (least < 0)


def test_the_further_convolution_of_disp_stands_third() -> None:
    """Though it comes first in the file: with the two before it zero, what it gives is that of its bias alone."""
    net = seeded(lambda: DISP(num_feat=4))
    block = net.get_submodule("blocks.0")
    zeroed(block.get_submodule("c2_r"))
    seen: list[Tensor] = []
    block.get_submodule("_extern_conv_block.0").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    block(torch.rand(1, 4, 6, 6))
    assert not seen[0].any()
