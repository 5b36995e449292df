"""Nets whose references want other values than [0, 1], or the picture enlarged."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.nets import stub
from upscale_cli.inference.resample import taps
from upscale_cli.models.adapted import CubicEnlargement
from upscale_cli.models.interface import CUBIC_REACH, InputSpec
from upscale_cli.models.loading import bare_net, build_net

pytestmark = pytest.mark.usefixtures("stubs")


class Gain(nn.Module):
    """Doubles the side, and halves what it is given, less 3."""

    def forward(self, lr: Tensor) -> Tensor:
        return nn.functional.interpolate(lr, scale_factor=2, mode="nearest") / 2 - 3


def test_a_net_in_its_own_range_is_run_in_the_unit_range() -> None:
    net = stub(Gain, input_range=(-10.0, 90.0), output_range=(-8.0, 42.0))
    lr = torch.rand(1, 3, 4, 5)
    assert torch.equal(bare_net(net)(lr), Gain()(lr))
    black, grey, white = (build_net(net)(torch.full((1, 3, 2, 2), value)) for value in (0.0, 0.5, 1.0))
    assert torch.allclose(black, torch.zeros(()), atol=1e-6)  # -10 becomes -8
    assert torch.allclose(grey, torch.full((), 0.5), atol=1e-6)
    assert torch.allclose(white, torch.ones(()), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_enlargement_is_the_cubic_one_of_the_benchmarks(scale: int) -> None:
    """As `resample` has it, which Pillow is held against; away from the border, where the two differ by intent."""
    lr = torch.rand(2, 3, 9, 11, dtype=torch.float64)
    ours = CubicEnlargement(scale, 3).double()(lr).numpy()
    expected = lr.numpy()
    for axis in (2, 3):
        first, weights = taps(expected.shape[axis], scale * expected.shape[axis], "bicubic")
        matrix = np.zeros((scale * expected.shape[axis], expected.shape[axis] + weights.shape[1]))
        for row, (start, of_it) in enumerate(zip(first, weights, strict=True)):
            matrix[row, start : start + len(of_it)] += of_it
        expected = np.moveaxis(matrix[:, : expected.shape[axis]] @ np.moveaxis(expected, axis, -2), -2, axis)
    inside = (..., slice(CUBIC_REACH * scale, -CUBIC_REACH * scale), slice(CUBIC_REACH * scale, -CUBIC_REACH * scale))
    assert np.abs(ours[inside] - expected[inside]).max() < 1e-6
    assert ours.shape == expected.shape


def test_a_constant_picture_stays_constant() -> None:
    assert torch.allclose(CubicEnlargement(3, 1)(torch.full((1, 1, 2, 2), 0.7)), torch.full((), 0.7), atol=1e-6)


class Same(nn.Module):
    def forward(self, lr: Tensor) -> Tensor:
        return lr


def test_a_net_that_wants_it_gets_the_picture_enlarged() -> None:
    net = stub(Same, scale=3, enlarged=True)
    lr = torch.rand(1, 3, 4, 5)
    assert torch.equal(build_net(net)(lr), CubicEnlargement(3, 3)(lr))
    assert torch.equal(bare_net(net)(lr), lr)


class Wide(nn.Module):
    """Takes its scale as an input, and values from 0 to 255."""

    def forward(self, lr: Tensor, scale: Tensor) -> Tensor:
        return nn.functional.interpolate(lr, scale_factor=float(scale[0]), mode="nearest") + scale[0]


def test_a_net_in_its_own_range_that_takes_its_scale_is_made_ready_for_one() -> None:
    net = stub(
        Wide, input_range=(0.0, 255.0), output_range=(0.0, 255.0), inputs=(InputSpec(name="scale"),), rounds_up=True
    )
    lr = torch.rand(1, 3, 4, 5)
    expected = (nn.functional.interpolate(lr, scale_factor=2, mode="nearest") * 255 + 2) / 255
    assert torch.allclose(build_net(net)(lr, scale=torch.tensor([2.0])), expected, atol=1e-6)
    assert torch.allclose(build_net(net.at(2))(lr), expected, atol=1e-6)
