"""NIQE: what it should notice, and what should leave it alone."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data

from tests.conftest import SHARED
from training import niqe as fitting
from training.patches import read_lumas
from upscale_cli.evaluation.metrics import Plane, to_8_bit
from upscale_cli.evaluation.niqe import (
    FEATURES,
    MODEL_FILE,
    Naturalness,
    block_features,
    bundled_model,
    niqe,
    read_model,
)
from upscale_cli.models.store import bundled_folder


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A photograph that scikit-image brings along: an astronaut, 512 x 512, gray."""
    return Image.fromarray(data.astronaut()).convert("L")


def levels(picture: Image.Image) -> Plane:
    return np.asarray(picture).astype(np.float64)


def through_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("L")


def noisy(picture: Image.Image, sigma: float) -> Image.Image:
    noise = np.random.default_rng(1).normal(0, sigma, (picture.height, picture.width))
    return Image.fromarray(np.clip(levels(picture) + noise, 0, 255).astype(np.uint8))


def blurred(picture: Image.Image, radius: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(radius))


@pytest.mark.parametrize(
    ("damage", "amounts"), [(blurred, (0.8, 1.5, 3)), (noisy, (6, 15, 30)), (through_jpeg, (30, 12, 5))]
)
def test_it_rises_with_damage(
    photo: Image.Image, damage: Callable[[Image.Image, float], Image.Image], amounts: tuple[float, ...]
) -> None:
    figures = [niqe(levels(picture)) for picture in (photo, *(damage(photo, amount) for amount in amounts))]
    assert all(less + 0.2 < more for less, more in itertools.pairwise(figures)), figures


def test_a_crop_is_about_as_natural_as_the_whole(photo: Image.Image) -> None:
    whole = niqe(levels(photo))
    assert niqe(levels(photo.crop((13, 29, 512, 512)))) == pytest.approx(whole, rel=0.25)
    assert niqe(levels(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))) == pytest.approx(whole, rel=0.25)


def test_brightness_hardly_counts(photo: Image.Image) -> None:
    assert niqe(levels(photo) * 0.8 + 20) == pytest.approx(niqe(levels(photo)), rel=0.15)


def test_a_picture_is_at_no_distance_from_itself(photo: Image.Image) -> None:
    features, sharpness = block_features(levels(photo))
    assert features.shape == (25, FEATURES)
    assert sharpness.shape == (25,)
    assert niqe(levels(photo), Naturalness.of(features)) == pytest.approx(0, abs=1e-9)


def test_the_shape_of_noise_is_found() -> None:
    """Gaussian noise is normal once more when freed of its mean and contrast: shape 2, give or take."""
    features, _ = block_features(np.random.default_rng(2).normal(128, 30, (192, 192)))
    normal = features[:, 0].mean()
    assert 1.9 < normal < 3.2
    sharp = np.random.default_rng(3).laplace(128, 30, (192, 192))
    assert block_features(sharp)[0][:, 0].mean() < normal


@pytest.mark.parametrize(("height", "width", "blocks"), [(95, 400, 0), (191, 191, 1), (96, 300, 3)])
def test_too_small_pictures_are_refused(height: int, width: int, blocks: int) -> None:
    noise = np.random.default_rng(4).uniform(0, 255, (height, width))
    with pytest.raises(ValueError, match=rf"{width} x {height} pixels has {blocks}$"):
        niqe(noise)


def test_flat_blocks_do_not_count(photo: Image.Image) -> None:
    with pytest.raises(ValueError, match=r"has 0$"):
        niqe(np.full((400, 400), 7.0))
    framed = np.pad(levels(photo)[:480, :480], ((0, 192), (0, 0)), constant_values=0.0)
    assert len(block_features(framed)[0]) < 35
    assert np.isfinite(niqe(framed))


def test_the_bundled_model_is_a_distribution() -> None:
    model = bundled_model()
    assert model.mean.shape == (FEATURES,)
    np.testing.assert_array_equal(model.covariance, model.covariance.T)
    assert np.linalg.eigvalsh(model.covariance).min() > 0


def test_fitting_repeats_itself_and_is_read_back(tmp_path: Path, photo: Image.Image) -> None:
    for number in range(3):
        photo.crop((64 * number, 0, 64 * number + 300, 300)).save(tmp_path / f"{number}.png")
    paths = [tmp_path / "a/model.safetensors", tmp_path / "b/model.safetensors"]  # its name is in a file
    for path in paths:
        fitting.main(["--data", str(tmp_path), "--out", str(path)])
    assert paths[0].read_bytes() == paths[1].read_bytes()
    features = fitting.pristine_features(map(to_8_bit, read_lumas(tmp_path)))
    assert 3 <= len(features) < 27  # only the sharp blocks of each picture
    np.testing.assert_allclose(read_model(paths[0]).mean, features.mean(axis=0), rtol=1e-6)


@pytest.mark.slow
def test_the_bundled_model_is_the_one_that_the_command_makes(tmp_path: Path) -> None:
    folders = [SHARED / "train" / name for name in ("General100", "BSDS200", "BSDS500test")]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip("the shared folder with training pictures is not here")
    fitting.main(["--data", *map(str, folders), "--out", str(tmp_path / "model")])
    made, bundled = read_model(tmp_path / "model"), read_model(bundled_folder() / MODEL_FILE)
    np.testing.assert_allclose(made.mean, bundled.mean, rtol=1e-4)
    np.testing.assert_allclose(made.covariance, bundled.covariance, rtol=1e-3, atol=1e-6)
