"""UDVD: agreement with the reference, recognition, its dynamic convolution by hand, how far it looks."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests import arch_checks
from tests.conftest import SHARED
from tests.family import difference, golden
from upscale_cli import load_model
from upscale_cli.models.archs.udvd import UDVD, UpDynamicConv

CONFIG = {
    "codes": 15, "nf": 16, "nres": 2, "upscale": 2, "refinements": 2, "sides": (5, 5), "image": (4, 4, 8),
    "residual": (4, 4),
}  # fmt: skip


def made(**changed: object) -> UDVD:
    torch.manual_seed(0)
    return UDVD(**{**CONFIG, **changed}).eval()  # type: ignore[arg-type]


def test_it_agrees_with_the_reference_after_each_convolution() -> None:
    if not (SHARED / "goldens" / "udvd").is_dir():
        pytest.skip("needs the reference outputs in ../shared/goldens")
    pair = golden("udvd")
    worst, allowed, model = difference(pair)
    assert worst <= allowed
    tensors = pair.tensors()
    net = model.net
    assert isinstance(net, UDVD)
    with torch.inference_mode():
        stages = net.stages(tensors["lr"], tensors["kernel"], tensors["noise"])
    for stage, name in zip(stages, ("out1", "out2", "sr"), strict=True):
        assert float((stage - tensors[name]).abs().max()) <= allowed


@pytest.mark.parametrize(
    "changed",
    [{}, {"nf": 32, "nres": 4}, {"upscale": 4, "nf": 32}, {"refinements": 1, "codes": 10}, {"upscale": 3, "nf": 18},
     {"image": (16, 16, 32), "residual": (16, 16)}],
)  # fmt: skip
def test_widths_and_depths_come_from_the_shapes(tmp_path: Path, changed: dict[str, object]) -> None:
    net = made(**changed)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    model = load_model(tmp_path / "net.safetensors")
    assert model.descriptor.config == {**CONFIG, **changed}
    codes = int(model.descriptor.config["codes"])
    given = torch.rand(2, 3, 13, 17), torch.rand(2, codes, 13, 17), torch.rand(2, 1, 13, 17)
    with torch.inference_mode():
        torch.testing.assert_close(model.net(given[0], kernel=given[1], noise=given[2]), net(*given))


def test_its_kernels_go_column_by_column() -> None:
    block = UpDynamicConv(3, 2, 4, (4, 4, 4), 4)
    picture, kernels = torch.rand(1, 3, 6, 7), torch.rand(1, 36, 6, 7)
    sr = block.applied(picture, kernels)
    for y, x, channel in ((2, 3, 0), (4, 1, 2), (0, 0, 1)):
        for sub in range(4):
            wanted = sum(
                kernels[0, (dx * 3 + dy) * 4 + sub, y, x] * picture[0, channel, y + dy - 1, x + dx - 1]
                for dy in range(3) for dx in range(3) if 0 <= y + dy - 1 < 6 and 0 <= x + dx - 1 < 7
            )  # fmt: skip
            torch.testing.assert_close(sr[0, channel, 2 * y + sub // 2, 2 * x + sub % 2], torch.as_tensor(wanted))


@pytest.mark.parametrize("changed", [{}, {"upscale": 3, "nf": 18, "nres": 1}, {"refinements": 0}, {"nres": 0}])
def test_it_looks_as_far_as_it_says(tmp_path: Path, changed: dict[str, object]) -> None:
    net = made(**changed)
    save_file(net.state_dict(), tmp_path / "net.safetensors")
    halo = load_model(tmp_path / "net.safetensors").descriptor.halo
    side, scale = 2 * halo + 9, net.UpDyConv.upscale
    lr = torch.rand(1, 3, side, side).requires_grad_()
    middle = side // 2
    sr = net(lr, torch.rand(1, 15, side, side), torch.rand(1, 1, side, side))
    reached = torch.zeros(side, side, dtype=torch.bool)
    for y in range(scale):
        for x in range(scale):
            (gradient,) = torch.autograd.grad(sr[0, 0, middle * scale + y, middle * scale + x], lr, retain_graph=True)
            reached |= gradient.abs().amax(dim=(0, 1)) > 0
    rows = reached.any(dim=1).nonzero().flatten()
    reach = max(middle - int(rows[0]), int(rows[-1]) - middle)
    assert halo - 1 <= reach <= halo


@pytest.mark.slow
@pytest.mark.parametrize("changed", [{}, {"upscale": 3, "nf": 18, "nres": 1}])
def test_it_runs_by_other_engines(tmp_path: Path, changed: dict[str, object]) -> None:
    net = arch_checks.of(made(**changed), tmp_path)

    def maps(lr: torch.Tensor) -> dict[str, torch.Tensor]:
        number, _, height, width = lr.shape
        return {"kernel": torch.rand(number, 15, height, width), "noise": torch.rand(number, 1, height, width)}

    arch_checks.runs_elsewhere(net, maps)
