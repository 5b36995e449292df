"""PSNR, SSIM, luma and the bicubic that makes LR pictures."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from upscale_cli.evaluation.metrics import (
    bicubic,
    crop_border,
    crop_to_multiple,
    full_luma,
    ms_ssim,
    psnr,
    resized,
    ssim,
    studio_luma,
    to_8_bit,
)


@pytest.fixture
def hr() -> np.ndarray:
    """Waves over a slope: detail in every direction, (67, 93) levels of 8 bits."""
    y, x = np.mgrid[:67, :93]
    return to_8_bit(110 + 0.8 * x + 40 * np.sin(x * y / 60) + 20 * np.cos(y / 3))


@pytest.fixture
def sr(hr: np.ndarray) -> np.ndarray:
    return to_8_bit(hr + np.random.default_rng(1).normal(0, 9, hr.shape))


def test_psnr_agrees_with_scikit_image(sr: np.ndarray, hr: np.ndarray) -> None:
    assert psnr(sr, hr) == pytest.approx(peak_signal_noise_ratio(hr, sr, data_range=255), abs=1e-9)


def test_psnr_of_bytes_does_not_wrap_around() -> None:
    black, white = np.zeros((4, 4), np.uint8), np.full((4, 4), 255, np.uint8)
    assert psnr(black, white) == 0
    assert psnr(white, white) == math.inf


@pytest.mark.parametrize("peak", [255.0, 219.0])
def test_ssim_agrees_with_scikit_image(sr: np.ndarray, hr: np.ndarray, peak: float) -> None:
    expected = structural_similarity(
        sr, hr, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=peak
    )
    assert ssim(sr, hr, peak) == pytest.approx(expected, abs=1e-9)
    assert ssim(hr, hr, peak) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(10, 40), (40, 40, 3)])
def test_ssim_refuses_what_it_cannot_measure(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="11x11"):
        ssim(np.zeros(shape), np.zeros(shape))


def large_pair() -> tuple[np.ndarray, np.ndarray]:
    """SR and HR of (208, 256), both divisible by 16."""
    hr = bicubic(np.random.default_rng(6).uniform(0, 255, (52, 64)), 4)
    return hr + np.random.default_rng(7).normal(0, 12, hr.shape), hr


def test_ms_ssim_agrees_with_torchmetrics() -> None:
    """Which averages over the padded border too, at the smallest size alone: that is the tolerance."""
    reference = pytest.importorskip("torchmetrics.functional.image", reason="torchmetrics is not installed")
    sr, hr = large_pair()
    tensors = (torch.from_numpy(plane)[None, None] for plane in (sr, hr))
    expected = reference.multiscale_structural_similarity_index_measure(*tensors, data_range=255.0).item()
    assert ms_ssim(sr, hr) == pytest.approx(expected, abs=1e-4)


def test_ms_ssim_knows_equal_pictures_inverted_ones_and_odd_sides() -> None:
    sr, hr = large_pair()
    assert ms_ssim(hr, hr) == pytest.approx(1)
    assert ms_ssim(255 - hr, hr) == 0  # a negative structure has no real power
    assert ms_ssim(sr[:-1, :-3], hr[:-1, :-3]) == pytest.approx(ms_ssim(sr, hr), abs=0.01)


def test_ms_ssim_refuses_pictures_whose_smallest_size_has_no_window() -> None:
    assert ms_ssim(np.zeros((176, 176)), np.zeros((176, 176))) == 1
    with pytest.raises(ValueError, match="176 pixels"):
        ms_ssim(np.zeros((175, 400)), np.zeros((175, 400)))


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
def test_pictures_of_two_sizes_cannot_be_compared(measure: type) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        measure(np.zeros((20, 20)), np.zeros((20, 21)))


def test_studio_luma_agrees_with_scikit_image() -> None:
    rgb = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    np.testing.assert_allclose(studio_luma(rgb), rgb2ycbcr(rgb)[..., 0], atol=1e-9)


def test_both_lumas_keep_black_white_and_each_other() -> None:
    rgb = np.random.default_rng(3).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    rgb[0, 0], rgb[0, 1] = 0, 255
    full, studio = full_luma(rgb), studio_luma(rgb)
    assert full[0, :2] == pytest.approx([0, 255])
    assert studio[0, :2] == pytest.approx([16, 235])
    np.testing.assert_allclose(studio, full * 219 / 255 + 16, atol=1e-9)


def test_halves_round_up_as_in_matlab() -> None:
    assert to_8_bit(np.array([[-3.0, 0.5, 1.5, 2.49, 300.0]])).tolist() == [[0, 1, 2, 2, 255]]


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 8))
def test_crop_to_multiple_cuts_less_than_the_multiple(height: int, width: int, multiple: int) -> None:
    cropped = crop_to_multiple(np.empty((height, width, 3)), multiple)
    assert all(side % multiple == 0 for side in cropped.shape[:2])
    assert 0 <= height - cropped.shape[0] < multiple
    assert 0 <= width - cropped.shape[1] < multiple


def test_crop_border_cuts_every_side_and_leaves_something(hr: np.ndarray) -> None:
    np.testing.assert_array_equal(crop_border(hr, 3), hr[3:-3, 3:-3])
    assert crop_border(hr, 0).shape == hr.shape
    with pytest.raises(ValueError, match="leaves nothing"):
        crop_border(hr, 34)


@pytest.mark.parametrize("scale", [1 / 2, 1 / 3, 1 / 4, 0.7, 1.5, 2, 3])
def test_bicubic_keeps_flat_pictures_and_slopes(scale: float) -> None:
    y, x = np.mgrid[:60, :48].astype(float)
    np.testing.assert_allclose(bicubic(np.full((60, 48), 7.0), scale), 7, atol=1e-12)
    resized = bicubic(3 * x + 2 * y, scale)
    assert resized.shape == (math.ceil(60 * scale), math.ceil(48 * scale))
    rows, columns = np.mgrid[: resized.shape[0], : resized.shape[1]]
    expected = 3 * ((columns + 0.5) / scale - 0.5) + 2 * ((rows + 0.5) / scale - 0.5)
    border = math.ceil(2 * max(scale, 1)) + 1  # beyond the border MATLAB mirrors, and a mirrored slope is none
    np.testing.assert_allclose(crop_border(resized, border), crop_border(expected, border), atol=0.25)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_equals_torch_inside_the_picture(scale: int) -> None:
    """An independent implementation of the same antialiased kernel; it treats only the borders otherwise."""
    hr = np.random.default_rng(4).uniform(0, 255, (20 * scale, 24 * scale))
    expected = F.interpolate(torch.from_numpy(hr)[None, None], (20, 24), mode="bicubic", antialias=True)[0, 0].numpy()
    np.testing.assert_allclose(crop_border(bicubic(hr, 1 / scale), 2), crop_border(expected, 2), atol=1e-6)


@pytest.mark.parametrize(
    ("shrinking", "filter"),
    [
        ("bicubic", Image.Resampling.BICUBIC),
        ("bilinear", Image.Resampling.BILINEAR),
        ("area", Image.Resampling.BOX),
        ("lanczos", Image.Resampling.LANCZOS),
    ],
)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_antialiased_kernels_equal_pillows_inside_the_picture(shrinking: Any, filter: Any, scale: int) -> None:
    hr = np.random.default_rng(8).uniform(0, 255, (20 * scale, 24 * scale)).astype(np.float32)
    expected = np.asarray(Image.fromarray(hr).resize((24, 20), filter))
    actual = resized(hr.astype(np.float64), 1 / scale, shrinking)
    np.testing.assert_allclose(crop_border(actual, 3), crop_border(expected, 3), atol=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_aliased_bicubic_equals_torchs_up_to_the_border(scale: int) -> None:
    """Which is OpenCV's, a = -0.75, without antialiasing; at these scales no weight reaches beyond the first pixel."""
    hr = np.random.default_rng(9).uniform(0, 255, (20 * scale, 24 * scale))
    expected = F.interpolate(torch.from_numpy(hr)[None, None], (20, 24), mode="bicubic")[0, 0].numpy()
    np.testing.assert_allclose(resized(hr, 1 / scale, "bicubic-aliased"), expected, atol=1e-9)


def test_bicubic_mirrors_at_the_border_as_matlab() -> None:
    """imresize([0 0 0 1 1 1 ...]) by hand: the mirrored picture, resized and cut, is the picture resized."""
    plane = np.random.default_rng(5).uniform(size=(12, 12))
    mirrored = np.pad(plane, 12, mode="symmetric")
    np.testing.assert_allclose(bicubic(plane, 1 / 3), bicubic(mirrored, 1 / 3)[4:-4, 4:-4], atol=1e-12)
    np.testing.assert_allclose(bicubic(plane, 2), bicubic(mirrored, 2)[24:-24, 24:-24], atol=1e-12)


def test_rounding_of_the_size_survives_an_inexact_scale() -> None:
    assert bicubic(np.zeros((90, 147)), 1 / 3).shape == (30, 49)
