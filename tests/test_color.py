"""Colours come back as they went, and transparency leaves no fringe."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from upscale_cli.frames.image import Pixels
from upscale_cli.inference.color import (
    bleed,
    display_to_linear,
    linear_to_display,
    rgb_to_ycbcr,
    to_depth,
    ycbcr_to_rgb,
)


@pytest.mark.parametrize("luma_range", ["full", "studio"])
def test_rgb_comes_back_from_luma_and_chroma(luma_range: str) -> None:
    rgb = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    back = ycbcr_to_rgb(*rgb_to_ycbcr(rgb, luma_range), luma_range)  # type: ignore[arg-type]
    torch.testing.assert_close(back, rgb, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("luma_range", "black", "white"), [("full", 0, 255), ("studio", 16, 235)])
def test_gray_lies_on_the_luma_axis(luma_range: str, black: int, white: int) -> None:
    rgb = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2).expand(1, 3, 1, 2)
    luma, chroma = rgb_to_ycbcr(rgb, luma_range)  # type: ignore[arg-type]
    torch.testing.assert_close(luma.flatten() * 255, torch.tensor([float(black), float(white)]))
    torch.testing.assert_close(chroma, torch.full_like(chroma, 128 / 255))


def test_luma_is_that_of_the_field() -> None:
    skimage_color = pytest.importorskip("skimage.color")
    rgb = np.random.default_rng(0).random((9, 7, 3))
    luma, chroma = rgb_to_ycbcr(torch.from_numpy(rgb).permute(2, 0, 1)[None], "studio")
    expected = skimage_color.rgb2ycbcr(rgb)
    np.testing.assert_allclose(luma[0, 0].numpy() * 255, expected[..., 0], atol=0.01)
    np.testing.assert_allclose(chroma[0].permute(1, 2, 0).numpy() * 255, expected[..., 1:], atol=0.01)


def test_the_linear_curve_is_undone_below_zero_and_above_one_too() -> None:
    values = torch.linspace(-2, 4, 601, dtype=torch.float64)
    torch.testing.assert_close(display_to_linear(linear_to_display(values)), values, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_integer_survives_the_way_to_unit_range_and_back(dtype: type) -> None:
    top = np.iinfo(dtype).max
    values: Pixels = np.arange(top + 1, dtype=dtype)
    unit = torch.from_numpy(values.astype(np.float32) / np.float32(top))
    np.testing.assert_array_equal(to_depth(unit, np.dtype(dtype)).numpy(), values)


def test_what_leaves_the_range_is_clipped_and_floats_are_not() -> None:
    assert to_depth(torch.tensor([-0.5, 1.5]), np.dtype(np.uint8)).tolist() == [0, 255]
    assert to_depth(torch.tensor([-0.5, 1.5]), np.dtype(np.float32)).tolist() == [-0.5, 1.5]


@pytest.mark.parametrize("shape", [(40, 31), (1, 9), (64, 64), (3, 1)])
def test_hidden_pixels_take_the_colour_of_their_surroundings(
    noise: Callable[..., Pixels], shape: tuple[int, int]
) -> None:
    alpha = noise(*shape, 1, seed=3)
    alpha[alpha < 200] = 0
    alpha.flat[0] = 255
    colour = np.where(alpha == 0, 0, np.array([200, 30, 90])).astype(np.uint8)
    np.testing.assert_array_equal(bleed(colour, alpha), np.broadcast_to([200, 30, 90], colour.shape))


def test_visible_pixels_stay_and_an_opaque_picture_is_not_touched(noise: Callable[..., Pixels]) -> None:
    colour, alpha = noise(20, 20, 3), noise(20, 20, 1, seed=1) // 200
    visible = alpha[:, :, 0] > 0
    np.testing.assert_array_equal(bleed(colour, alpha)[visible], colour[visible])
    assert bleed(colour, np.full_like(alpha, 255)) is colour
