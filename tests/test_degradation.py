"""What happens to pictures on their way to a user: each step does what it says, and a seed repeats it all."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import j1

from training.degradation import (
    CLEAN,
    HEAVY,
    LIGHT,
    Blur,
    Degradation,
    Noise,
    Pixels8,
    Stage,
    blur_kernel,
    convolved,
    degrade,
    gaussian_noise,
    poisson_noise,
    resized,
    sinc_kernel,
    through_jpeg,
)


def scene(height: int = 96, width: int = 128) -> Pixels8:
    """Colour gradients, an edge and a texture."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    planes = [x / width * 200 + 20, y / height * 200 + 20, 128 + 60 * np.sin(x / 5) * np.sin(y / 7)]
    picture = np.stack(planes, axis=-1)
    picture[height // 3 : height // 2, width // 4 : width // 2] = (230, 40, 60)
    return picture.astype(np.uint8)


@pytest.mark.parametrize("degradation", [HEAVY, LIGHT, CLEAN], ids=["heavy", "light", "clean"])
@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131), (40, 36)])
def test_the_size_is_exact_and_a_seed_repeats_the_picture(degradation: Degradation, height: int, width: int) -> None:
    hr = scene(height, width)
    first, again, other = (degrade(hr, degradation, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first.shape == (height // 4, width // 4, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (degradation is CLEAN) == np.array_equal(first, other)  # clean leaves nothing to chance


def test_heavier_is_further_away() -> None:
    hr = scene()
    clean = degrade(hr, CLEAN, np.random.default_rng(0)).astype(float)

    def mean_error(degradation: Degradation) -> float:
        lrs = (degrade(hr, degradation, np.random.default_rng(seed)) for seed in range(20))
        return float(np.mean([np.abs(lr - clean).mean() for lr in lrs]))

    assert mean_error(HEAVY) > 2 * mean_error(LIGHT) > 2


def test_a_picture_below_one_lr_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="no LR pixel"):
        degrade(scene(3, 40), CLEAN, np.random.default_rng(0))


@pytest.mark.parametrize("shape", ["gaussian", "generalised", "plateau"])
@pytest.mark.parametrize("sigma", [(0.4, 0.4), (2.0, 2.0), (3.0, 0.7)])
def test_blur_kernels_sum_to_one_and_are_symmetric(shape: str, sigma: tuple[float, float]) -> None:
    kernel = blur_kernel(15, sigma, angle=0.7, beta=1.3, shape=shape)  # type: ignore[arg-type]
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-7)
    assert kernel.argmax() == kernel.size // 2


def test_gaussian_kernels_have_the_sigma_asked_for_along_the_axis_asked_for() -> None:
    kernel = blur_kernel(41, (3.0, 1.5), angle=math.pi / 2).astype(np.float64)
    y, x = np.mgrid[:41, :41] - 20
    assert math.sqrt((kernel * y**2).sum()) == pytest.approx(3.0, abs=0.02)  # a quarter turn from the rows' direction
    assert math.sqrt((kernel * x**2).sum()) == pytest.approx(1.5, abs=0.02)


def test_beta_one_makes_a_generalised_gaussian_the_plain_one() -> None:
    plain, general = (blur_kernel(13, (1.2, 2.0), 0.3, 1.0, shape) for shape in ("gaussian", "generalised"))
    np.testing.assert_array_equal(plain, general)


@pytest.mark.parametrize("cutoff", [math.pi / 3, 2.0, math.pi])
def test_sinc_kernels_agree_with_scipys_bessel_function(cutoff: float) -> None:
    y, x = np.mgrid[:21, :21] - 10.0
    distance = np.hypot(x, y)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = cutoff * j1(cutoff * distance) / (2 * math.pi * distance)
    expected[10, 10] = cutoff**2 / (4 * math.pi)
    np.testing.assert_allclose(sinc_kernel(21, cutoff), expected / expected.sum(), atol=1e-6)


def test_a_sinc_filter_rings_and_takes_fine_detail() -> None:
    step = torch.zeros(1, 3, 48, 48)
    step[..., 24:] = 1
    assert convolved(step, sinc_kernel(21, 1.2)).max() > 1.05  # an echo next to the edge
    x = torch.arange(48) * 2.5
    wave = torch.cos(x).expand(1, 3, 48, 48)
    middle = convolved(wave, sinc_kernel(21, 1.2))[..., 12:-12, 12:-12]
    assert middle.abs().max() < 0.25


def test_blur_leaves_flat_colours_and_borders_alone() -> None:
    flat = torch.tensor([0.2, 0.5, 0.9])[None, :, None, None].expand(1, 3, 20, 24)
    torch.testing.assert_close(convolved(flat, blur_kernel(21, (3, 3), 0)), flat, rtol=0, atol=1e-5)


def test_noise_has_the_strength_asked_for() -> None:
    picture = torch.full((1, 3, 128, 128), 0.25)
    random = np.random.default_rng(0)
    colour, grey = (gaussian_noise(picture, 10, random, grey=grey) * 255 for grey in (False, True))
    assert colour.std().item() == pytest.approx(10, rel=0.05)
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert not torch.equal(colour[:, 0], colour[:, 2])
    for level, scale in itertools.product((0.25, 1.0), (0.5, 2.0)):
        shot = poisson_noise(torch.full_like(picture, level), scale, random, grey=False) * 255
        assert shot.std().item() == pytest.approx(scale * math.sqrt(255 * level), rel=0.05)
        assert abs(shot.mean().item()) < 0.3


@pytest.mark.parametrize("quality", [30, 95])
def test_jpeg_leaves_blocks_at_low_quality(quality: int) -> None:
    x = torch.linspace(0.1, 0.9, 64)
    ramp = (x[:, None] * x[None])[None, None].expand(1, 3, 64, 64).clone()
    ramp += 0.02 * torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    coded = through_jpeg(ramp, quality)
    assert coded.shape == ramp.shape
    steps = coded.diff(dim=3).abs().mean(dim=(0, 1, 2))
    at_blocks = steps[7::8].mean() / steps[[n for n in range(63) if n % 8 != 7]].mean()
    assert (at_blocks > 1.5) == (quality == 30)


@pytest.mark.parametrize("sampling", ["area", "bilinear", "bicubic"])
def test_resizing_keeps_means_and_places(sampling: str) -> None:
    picture = torch.from_numpy(scene()).permute(2, 0, 1)[None].float() / 255
    small = resized(picture, (48, 64), sampling)  # type: ignore[arg-type]
    assert small.shape == (1, 3, 48, 64)
    torch.testing.assert_close(small.mean(dim=(2, 3)), picture.mean(dim=(2, 3)), rtol=0, atol=5e-3)
    assert resized(picture, (96, 128), sampling) is picture  # type: ignore[arg-type]


def test_shares_decide_what_happens() -> None:
    nothing = Stage(Blur(share=0), enlarge=0, shrink=0, noise=Noise(share=0), jpeg_share=0)
    hr = scene()
    same = degrade(hr, Degradation((nothing,)), np.random.default_rng(0), scale=1)
    np.testing.assert_array_equal(same, hr)
    always = Stage(Blur(share=0), enlarge=0, shrink=0, noise=Noise(share=0), jpeg_share=1, jpeg_quality=(30, 30))
    assert not np.array_equal(degrade(hr, Degradation((always,)), np.random.default_rng(0), scale=1), hr)
