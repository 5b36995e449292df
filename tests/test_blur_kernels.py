"""Blur kernels by words and files, what nets get of them, and what is found in a picture."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.ndimage import convolve

from upscale_cli import Upscaler
from upscale_cli.errors import InputError, OptionError
from upscale_cli.inference.blur_estimate import kernel_of, noise_of
from upscale_cli.inference.blur_kernels import (
    anisotropic,
    axes_of,
    gaussian,
    motion,
    parse_kernel,
    share_beyond_gaussian,
    spread_of,
    with_bicubic,
)
from upscale_cli.inference.degradation import degradation_of
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.resample import resample
from upscale_cli.jobs.found_kernel import write_kernel
from upscale_cli.models.archs.usrnet import USRNet


@pytest.fixture
def usrnet(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    net = USRNet(n_iter=1, h_nc=8, in_nc=4, out_nc=3, nc=(4, 4, 8, 8), nb=1)
    save_file(net.state_dict(), tmp_path / "usrnet.safetensors")
    return tmp_path / "usrnet.safetensors"


@pytest.mark.parametrize(
    "words", ["gauss:0.3", "gauss:1.6", "aniso:3,0.5,40", "motion:9,30", "motion:1,0", "motion:8,90"]
)
def test_kernels_are_odd_square_and_of_sum_one(words: str) -> None:
    kernel = parse_kernel(words)
    assert kernel.shape[0] == kernel.shape[1]
    assert len(kernel) % 2 == 1
    assert kernel.sum() == pytest.approx(1)
    assert kernel.min() >= 0
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=2e-3)  # a line's parts are counted by points


def test_angles_are_counter_clockwise_as_one_sees_the_picture() -> None:
    for kernel in (motion(9, 30), anisotropic(3, 0.6, 30)):
        xx, xy, yy = spread_of(kernel)[0, 0], spread_of(kernel)[0, 1], spread_of(kernel)[1, 1]
        assert xx > yy
        assert xy < 0  # to the right it goes up, where y is less
    np.testing.assert_allclose(axes_of(anisotropic(3, 0.6, 30)), (3, 0.6, 30), rtol=0.03)


def test_a_line_has_its_length() -> None:
    np.testing.assert_allclose(motion(5, 0)[2], [0.2] * 5, atol=1e-3)
    assert np.sqrt(spread_of(motion(25, 0))[0, 0] * 12) == pytest.approx(25, rel=0.01)


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_blur_then_bicubic_is_one_kernel_and_every_scaleth_pixel(scale: int) -> None:
    picture = np.random.default_rng(0).random((12 * scale, 10 * scale))
    kernel = parse_kernel("aniso:2,0.8,30")
    kernel[0, 1] += 0.01  # of no symmetry
    kernel /= kernel.sum()
    shrunk = np.empty((12, 10, 1), np.float32)
    resample(convolve(picture, kernel, mode="wrap")[..., None].astype(np.float32), shrunk, "bicubic", wrap=True)
    at_once = convolve(picture, with_bicubic(kernel, scale), mode="wrap")[::scale, ::scale]
    np.testing.assert_allclose(shrunk[..., 0], at_once, atol=1e-6)


def test_only_gaussians_are_gaussian() -> None:
    assert share_beyond_gaussian(anisotropic(2.5, 1, 30)) < 0.05
    assert share_beyond_gaussian(gaussian(0.2)) < 0.05
    assert share_beyond_gaussian(motion(9, 45)) > 0.25


@pytest.mark.parametrize("suffix", [".npy", ".txt", ".csv", ".png"])
def test_a_kernel_comes_from_a_file(tmp_path: Path, suffix: str) -> None:
    kernel, path = parse_kernel("aniso:2,1,20"), tmp_path / f"kernel{suffix}"
    match suffix:
        case ".npy":
            np.save(path, 7 * kernel[None])
        case ".png":
            write_kernel(kernel, path)
        case _:
            np.savetxt(path, kernel, delimiter="," if suffix == ".csv" else " ")
    np.testing.assert_allclose(parse_kernel(str(path)), kernel, atol=2e-5)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [("gauss:0", "out of range"), ("gauss:-1", "out of range"), ("gauss:x", "not understood"), ("gauss:1,2", "is not"),
     ("aniso:1,2", "not understood"), ("motion:500,0", "to 100"), ("nothing", "no such file"), ("gauss:1e9", "not")],
)  # fmt: skip
def test_wrong_words_are_one_line(words: str, wrong: str) -> None:
    with pytest.raises(OptionError, match=wrong) as error:
        parse_kernel(words)
    assert "\n" not in str(error.value)
    assert "kernel=" in str(error.value)


@pytest.mark.parametrize(
    ("values", "wrong"),
    [(np.ones((4, 4)), "4 x 4, and one of even side"), (np.zeros((5, 5)), "sum is 0"), (-np.ones((3, 3)), "sum is -9"),
     (np.full((3, 3), np.nan), "sum is nan"), (np.ones(3), "two axes")],
)  # fmt: skip
def test_what_is_no_kernel_is_one_line(tmp_path: Path, values: Any, wrong: str) -> None:
    np.save(tmp_path / "k.npy", values)
    with pytest.raises(InputError, match=wrong) as error:
        parse_kernel(tmp_path / "k.npy")
    assert "\n" not in str(error.value)


def test_an_empty_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "k.npy").touch()
    with pytest.raises(InputError, match="holds no array of numbers"):
        parse_kernel(tmp_path / "k.npy")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [({"noise": -1}, "noise=-1 is out of range"), ({"noise": "loud"}, "noise='loud'"), ({"kernel": "auto:3"}, "auto"),
     ({"kernel": "kernelgan:0"}, "kernelgan:MINUTES"), ({"kernel_sampling": "nearest"}, "bicubic, every"),
     ({"kernel_sampling": "every"}, "none is given")],
)  # fmt: skip
def test_wrong_options_are_one_line(options: Any, wrong: str) -> None:
    with pytest.raises(OptionError, match=wrong):
        degradation_of(UpscalerOptions(**options))


def test_a_net_without_use_for_a_kernel_refuses_it() -> None:
    with pytest.raises(OptionError, match="kernel=: espcn knows nothing of blur kernels"):
        Upscaler("espcn", kernel="gauss:1")
    with pytest.raises(OptionError, match="noise=: espcn knows nothing of noise"):
        Upscaler("espcn", noise=3)


def test_a_net_that_needs_a_kernel_names_the_option(usrnet: Path) -> None:
    with pytest.raises(OptionError, match=r"usrnet needs kernel .*Give kernel='gauss:1.6, aniso:"):
        Upscaler(usrnet)


def test_a_kernel_larger_than_the_picture_is_refused(usrnet: Path) -> None:
    upscaler = Upscaler(usrnet, kernel="gauss:5", engine="torch")
    with pytest.raises(OptionError, match="41 x 41 pixels are more than the picture has, of which 32 x 40 are made"):
        upscaler(np.random.default_rng(0).integers(0, 255, (20, 16, 3), np.uint8), scale=2)
    assert upscaler(np.random.default_rng(0).integers(0, 255, (24, 21, 3), np.uint8), scale=2).shape == (48, 42, 3)


def test_kernel_and_noise_tell_two_runs_apart(usrnet: Path) -> None:
    given: list[dict[str, Any]] = [
        {"kernel": "gauss:1"}, {"kernel": "gauss:2"}, {"kernel": "gauss:1", "noise": 2},
        {"kernel": "gauss:1", "kernel_sampling": "every"}, {"kernel": "auto"}, {"kernel": "kernelgan"},
    ]  # fmt: skip
    known = [str(Upscaler(usrnet, engine="torch", **options).identity()) for options in given]
    assert len(set(known)) == len(known)


def scene(blur: str, noise: float, side: int = 256) -> np.ndarray:
    """Discs and bars, hard edges in all directions, blurred and shrunk by 2, in [0, 1]."""
    random = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side]
    picture = np.full((side, side), 0.5)
    for _ in range(60):
        at, radius, value = random.integers(0, side, 2), random.integers(8, 40), random.random()
        picture[(y - at[0]) ** 2 + (x - at[1]) ** 2 < radius**2] = value
    blurred = convolve(picture, parse_kernel(blur), mode="nearest")
    small = np.empty((side // 2, side // 2, 1), np.float32)
    resample(blurred[..., None].astype(np.float32), small, "bicubic")
    return small[..., 0] + random.normal(0, noise / 255, (side // 2, side // 2))


@pytest.mark.parametrize(("long", "short", "angle"), [(1.6, 1.6, 0), (2.5, 1.0, 30), (2.5, 1.0, 120), (3.0, 3.0, 0)])
def test_blur_is_found_in_a_picture(long: float, short: float, angle: float) -> None:
    found = kernel_of(scene(f"aniso:{long},{short},{angle}", 0), 2)
    assert found is not None
    ours = axes_of(found)
    assert ours[0] == pytest.approx(long, rel=0.25)
    if long == short:
        assert ours[1] == pytest.approx(short, rel=0.3)
    else:
        assert ours[1] < 0.6 * ours[0]
        assert abs((ours[2] - angle + 90) % 180 - 90) < 12


def test_a_picture_without_edges_has_no_kernel() -> None:
    assert kernel_of(np.full((64, 64), 0.5), 2) is None
    assert kernel_of(np.zeros((16, 200)), 2) is None


@pytest.mark.parametrize("noise", [0.5, 3, 10, 25])
def test_noise_is_found_as_scikit_image_finds_it(noise: float) -> None:
    pytest.importorskip("pywt")
    from skimage.restoration import estimate_sigma

    picture = scene("gauss:1.6", noise)
    ours = noise_of(picture[None]) * 255
    assert ours == pytest.approx(noise, rel=0.25, abs=0.3)
    assert ours == pytest.approx(float(estimate_sigma(picture)) * 255, rel=0.05)


def test_noise_of_a_flat_picture_is_none() -> None:
    assert noise_of(np.full((3, 40, 41), 0.3)) == pytest.approx(0, abs=1e-12)


def test_what_is_found_is_told_and_used(usrnet: Path) -> None:
    told: list[str] = []
    picture = (scene("gauss:1.6", 4).clip(0, 1)[..., None].repeat(3, 2) * 255).round().astype(np.uint8)
    upscaler = Upscaler(
        usrnet, kernel="auto", noise="auto", engine="torch", listener=lambda event: told.append(str(event))
    )
    sr = upscaler(picture, scale=2)
    (line,) = [text for text in told if "found in the picture" in text]
    assert "noise of " in line
    assert "aniso:" in line
    other = Upscaler(usrnet, kernel="gauss:0.2", engine="torch")(picture, scale=2)
    assert (sr != other).any()


def test_a_file_goes_through_with_a_kernel_from_a_picture(usrnet: Path, tmp_path: Path) -> None:
    from upscale_cli import upscale_file

    Image.fromarray((scene("gauss:1", 0, 96).clip(0, 1) * 255).astype(np.uint8)).save(tmp_path / "in.png")
    write_kernel(gaussian(1.0), tmp_path / "kernel.png")
    out = upscale_file(tmp_path / "in.png", tmp_path / "out.png", 2, model=usrnet, kernel=tmp_path / "kernel.png",
                       engine="torch")  # fmt: skip
    with Image.open(out) as picture:
        assert picture.size == (96, 96)
