"""LR as it is met in the wild: each kernel and encoder does what its name says, and nothing moves."""

from typing import get_args

import numpy as np
import pytest

from training.damage import WILD_MIX, Codec, Damage, Kernel, damaged, draw
from upscale_cli.evaluation.metrics import Plane, bicubic, psnr, to_8_bit


def scene(height: int = 120, width: int = 180) -> Plane:
    """Smooth waves, an edge and a fine texture, in 0..255."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    waves = 128 + 50 * np.sin(x / 17) * np.cos(y / 11)
    waves[:, width // 2 :] += 40
    return to_8_bit(waves + 12 * np.sin(2.1 * x) * np.sin(1.7 * y))


def test_a_plain_bicubic_is_the_fields_own() -> None:
    np.testing.assert_array_equal(damaged(scene(), 3, Damage("bicubic")), to_8_bit(bicubic(scene(), 1 / 3)))


@pytest.mark.parametrize("kernel", get_args(Kernel))
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_kernels_shrink_in_place(kernel: Kernel, scale: int) -> None:
    """A shift by half a pixel would make a net that moves the picture."""
    y, x = np.mgrid[:120, :180].astype(np.float64)
    ramp = 20 + x + 0.5 * y  # linear: every symmetric kernel gives the value at the pixel's centre
    lr = damaged(ramp, scale, Damage(kernel))
    assert lr.shape == (120 // scale, 180 // scale)
    expected = ramp.reshape(120 // scale, scale, 180 // scale, scale).mean(axis=(1, 3))
    np.testing.assert_allclose(lr[4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.51)


def test_only_the_sharp_kernel_aliases() -> None:
    y, x = np.mgrid[:120, :120].astype(np.float64)
    grating = 128 + 100 * np.cos(np.pi * (x + y) * 0.6)  # far beyond what LR can hold
    contrast = {kernel: damaged(grating, 4, Damage(kernel))[4:-4, 4:-4].std() for kernel in get_args(Kernel)}
    assert contrast.pop("bicubic-sharp") > 20
    assert max(contrast.values()) < 5


@pytest.mark.parametrize("codec", get_args(Codec))
@pytest.mark.parametrize(("height", "width"), [(120, 180), (66, 102)])
def test_encoders_lose_more_at_lower_quality_and_move_nothing(codec: Codec, height: int, width: int) -> None:
    hr = scene(height, width)  # LR of 33 x 51 in the second case: odd sides
    clean = damaged(hr, 2, Damage("bicubic"))
    low, high = WILD_MIX.qualities[codec]
    best, worst = (high, low) if codec in ("jpeg", "webp") else (low, high)
    good, bad = (damaged(hr, 2, Damage("bicubic", codec, quality)) for quality in (best, worst))
    assert good.shape == bad.shape == clean.shape
    assert psnr(good, clean) > 33  # a shift by one pixel would leave less than 25
    assert psnr(bad, clean) < psnr(good, clean) - 3
    assert set(np.unique(bad % 1)) == {0.0}


def test_a_seed_repeats_the_draw_and_all_kinds_come() -> None:
    first, second = ([draw(random) for _ in range(400)] for random in map(np.random.default_rng, (5, 5)))
    assert first == second
    assert {damage.kernel for damage in first} == set(get_args(Kernel))
    assert {damage.codec for damage in first} == {None, *get_args(Codec)}
    for damage in first:
        if damage.codec is not None:
            low, high = WILD_MIX.qualities[damage.codec]
            assert low <= damage.quality <= high
