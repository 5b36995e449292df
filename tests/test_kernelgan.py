"""KernelGAN's pieces: against the reference's, against computations of another kind, and a short training."""

import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import convolve, shift

from tests.conftest import SHARED
from upscale_cli.errors import OptionError
from upscale_cli.frames.image import Frame
from upscale_cli.inference.blur_kernels import axes_of, gaussian
from upscale_cli.inference.degradation import KERNELGAN, Degradation
from upscale_cli.inference.kernelgan import (
    Generator,
    bicubic_half,
    centred,
    estimated,
    implicit_kernel,
    kernel_x4,
    losses,
    penalty_mask,
    postprocessed,
)
from upscale_cli.inference.sizing import Plan
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.found_kernel import FoundKernel

PAIR = SHARED / "goldens" / "kernelgan" / "pair1.safetensors"


def test_its_pieces_agree_with_the_reference() -> None:
    if not PAIR.is_file():
        pytest.skip("needs the reference outputs in ../shared/goldens")
    wanted = load_file(PAIR)
    generator = Generator()
    generator.load_state_dict({key[2:]: value for key, value in wanted.items() if key.startswith("G.")})
    with torch.no_grad():
        shrunk = generator(wanted["input"])
        kernel = implicit_kernel(generator.weights)
        terms = losses(kernel, wanted["input"], shrunk, penalty_mask())
    torch.testing.assert_close(shrunk, wanted["g_output"], rtol=0, atol=1e-5)
    torch.testing.assert_close(kernel, wanted["g_kernel"], rtol=0, atol=1e-6)
    torch.testing.assert_close(penalty_mask(), wanted["penalty_mask"], rtol=0, atol=1e-5)
    for name, value in terms.items():
        rounding = 5e-6 if name == "sum2one" else 1e-6  # a kernel's sum is 1 but for rounding, the processor's own
        assert float(value) == pytest.approx(float(wanted[f"loss.{name}"]), rel=1e-4, abs=rounding), name
    raw = wanted["raw_kernel"].double().numpy()
    np.testing.assert_allclose(postprocessed(raw), wanted["kernel"].numpy(), atol=1e-6)
    np.testing.assert_allclose(kernel_x4(wanted["kernel"].double().numpy()), wanted["kernel_x4"].numpy(), atol=1e-6)


def test_the_kernel_is_what_the_generator_does_to_a_picture() -> None:
    torch.manual_seed(1)
    generator = Generator().double()
    picture = torch.rand(1, 1, 31, 33, dtype=torch.float64)
    with torch.no_grad():
        kernel = implicit_kernel(generator.weights)
        directly = torch.nn.functional.conv2d(picture, kernel[None, None], stride=2)
        torch.testing.assert_close(generator(picture), directly)


def test_shrinking_by_two_keeps_a_slope() -> None:
    slope = torch.arange(32, dtype=torch.float64).expand(1, 3, 32, 32)
    inner = bicubic_half(slope)[..., 2:-2, 2:-2]
    torch.testing.assert_close(inner[0, 0, 0], torch.arange(2, 14, dtype=torch.float64) * 2 + 0.5)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_kernel_is_moved_as_scipy_moves_it(scale: int) -> None:
    kernel = np.roll(gaussian(1.2), (1, -2), axis=(0, 1)) * np.linspace(0.5, 1.5, 11)
    kernel /= kernel.sum()
    ours = centred(kernel, scale)
    y, x = np.mgrid[: kernel.shape[0], : kernel.shape[1]]
    move = [5 + 0.5 * (scale - 1) - (kernel * axis).sum() for axis in (y, x)]
    padded = np.pad(kernel, math.ceil(max(map(abs, move))) + 1)
    theirs = shift(padded, move)
    np.testing.assert_allclose(ours, theirs / theirs.sum(), atol=1e-12)


def test_the_kernel_for_four_is_that_for_two_twice() -> None:
    kernel, random = gaussian(0.9), np.random.default_rng(0)
    picture = random.random((64, 64))
    twice = convolve(convolve(picture, kernel, mode="wrap")[::2, ::2], kernel, mode="wrap")[::2, ::2]
    side = len(kernel)
    apart = np.zeros((2 * side - 1, 2 * side - 1))
    apart[::2, ::2] = kernel
    whole = np.zeros((3 * side - 2, 3 * side - 2))
    for y in range(side):
        for x in range(side):
            whole[y : y + 2 * side - 1, x : x + 2 * side - 1] += kernel[y, x] * apart
    once = convolve(picture, whole, mode="wrap")[::4, ::4]
    np.testing.assert_allclose(once, twice, atol=1e-9)
    cut = side // 2
    inner = whole[cut : len(whole) - cut, cut : len(whole) - cut]
    np.testing.assert_allclose(kernel_x4(kernel), inner / inner.sum(), atol=1e-12)


@pytest.mark.slow
def test_training_ends_in_a_kernel_of_odd_side_and_sum_one() -> None:
    """How good it is after so short a time is not asked; benchmarks/degradation.py has that."""
    picture = np.random.default_rng(0).random((3, 90, 100))
    said: list[str] = []
    kernel = estimated(picture, 2, 0.02, said.append)
    assert len(kernel) % 2 == 1
    assert kernel.sum() == pytest.approx(1)
    assert axes_of(np.clip(kernel, 0, None))[0] > 0
    assert "up to 0.02 minutes" in said[0]


def test_a_small_picture_is_refused_in_one_line() -> None:
    with pytest.raises(OptionError, match=r"kernel='kernelgan': the picture is 80 x 83, and at least 84 x 84"):
        estimated(np.zeros((3, 83, 80)), 2, 1, print)


class Searching:
    """Stands in for an `Upscaler` that searches for minutes."""

    degradation = Degradation(search=KERNELGAN)

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def found(self, _: Frame, plan: Plan) -> Plan:
        self._told.append("searching")
        return replace(plan, degradation=Degradation(kernel=np.full((3, 3), 1 / 9, np.float32)))


@pytest.mark.parametrize("is_there", [False, True])
def test_a_kernel_that_is_there_is_told_of_before_the_search(tmp_path: Path, *, is_there: bool) -> None:
    told, kept = list[str](), tmp_path / "a_kernel.png"
    if is_there:
        kept.write_bytes(b"mine")
    lr = Frame(np.zeros((8, 8, 3), np.uint8), "RGB")
    found = FoundKernel(cast(Upscaler, Searching(told)), tmp_path / "a.png", overwrite=False, say=told.append)
    for _ in range(2):
        assert found.for_page(lr, Plan((2,), 16, 16, "bicubic")).degradation is not None
    assert [text.partition(":")[0] for text in told] == (
        [str(kept), "searching"] if is_there else ["searching", f"the kernel is in {kept}"]
    )
    assert (kept.read_bytes() == b"mine") == is_there
