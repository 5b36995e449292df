"""`--strength`: the dial between the faithful and the crisp weights of the photo net."""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from safetensors import safe_open

from upscale_cli import Upscaler
from upscale_cli.errors import OptionError
from upscale_cli.models.asked import asked
from upscale_cli.models.registry import rows_of
from upscale_cli.models.strength import with_strength

REPOSITORY = Path(__file__).parent.parent
LOG: dict[str, Any] = json.loads((REPOSITORY / "training/logs/photo-lite-x4.json").read_text(encoding="utf-8"))


def picture(side: int = 24) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (side, side, 3), dtype=np.uint8)


def upscaled(model: str, strength: float | None = None) -> NDArray[np.int16]:
    upscaler = Upscaler(model, device="cpu", engine="torch", precision="fp32", strength=strength)
    return np.asarray(upscaler(picture(), scale=4)).astype(np.int16)


def test_none_is_the_model_and_the_ends_are_the_two_checkpoints() -> None:
    assert with_strength("photo-lite", None) == with_strength("photo-lite", 0) == "photo-lite"
    assert with_strength("photo-lite", 1) == "photo-lite-crisp"
    assert with_strength("some.pth", None) == "some.pth"


def test_between_them_the_weights_are_mixed() -> None:
    faithful, crisp, half = upscaled("photo-lite"), upscaled("photo-lite-crisp"), upscaled("photo-lite", 0.5)
    np.testing.assert_array_equal(half, upscaled("photo-lite:0.5,photo-lite-crisp:0.5"))
    assert 0 < np.abs(half - faithful).mean() < np.abs(crisp - faithful).mean()


@pytest.mark.parametrize("strength", [1e-5, 0.1, 0.9, 1 - 1e-7])
def test_any_number_is_a_mix_of_two_weights(strength: float) -> None:
    (part,) = asked(with_strength("photo-lite", strength))
    assert part.names == ("photo-lite", "photo-lite-crisp")
    assert part.weights == (1 - strength, strength)


def test_another_process_gets_the_mix_itself() -> None:
    recipe = Upscaler("photo-lite", device="cpu", strength=0.25).recipe
    assert (recipe.model, recipe.options.strength) == ("photo-lite:0.75,photo-lite-crisp:0.25", None)
    made = recipe.make(print)
    assert made.name == "photo-lite-0.75_photo-lite-crisp-0.25"
    assert made.pass_names(made.plan(24, 24, made.target(4))) == ("photo-lite-x4 and photo-lite-crisp-x4",)


@pytest.mark.parametrize("wrong", [-0.1, 1.5, float("nan")])
def test_out_of_range_is_one_line(wrong: float) -> None:
    with pytest.raises(OptionError, match=r"is out of range\. Choose 0 \(faithful\) to 1 \(crisp\)\."):
        Upscaler("photo-lite", device="cpu", strength=wrong)


@pytest.mark.parametrize("model", ["espcn", "bicubic"])
def test_a_model_without_crisp_weights_says_which_has_them(model: str) -> None:
    with pytest.raises(OptionError, match=rf"does not go with {model}, .* Choose model='photo-lite', or leave it out"):
        Upscaler(model, device="cpu", strength=0.5)


# The faithful weights


def test_registry_log_and_file_agree() -> None:
    (spec,) = rows_of("photo-lite")
    file = REPOSITORY / "weights" / spec.file
    assert (spec.sha256, spec.size) == (hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size)
    assert (LOG["file"], LOG["sha256"], LOG["bytes"]) == (spec.file, spec.sha256, spec.size)
    assert LOG["curve"][-1]["step"] == LOG["recipe"]["steps"]
    with safe_open(file, framework="pt") as opened:
        metadata = opened.metadata()
    assert metadata["licence"] == spec.licence
    (begun_from,) = rows_of("photo-lite-crisp")
    assert LOG["begun_from"]["sha256"] == begun_from.sha256


def test_it_is_nearer_to_the_truth_than_bicubic_on_clean_and_on_damaged_pictures() -> None:
    """As measured on Kodak24 when it was made: PSNR and MS-SSIM of luma."""
    for damage in ("clean", "JPEG 60", "JPEG 30"):
        trained, bicubic, before = (LOG["Kodak24"][who][damage] for who in ("trained", "bicubic", "begun_from"))
        for metric in ("psnr_y", "ms_ssim"):
            assert trained[metric] > max(bicubic[metric], before[metric])


def test_an_edge_that_was_blurred_and_compressed_comes_nearer_to_what_it_was() -> None:
    """Measured here, on a picture that no training has seen: bars, shrunk by the mean, as JPEG of quality 50."""
    drawn = Image.new("RGB", (384, 384), (180, 140, 120))
    canvas = ImageDraw.Draw(drawn)
    for number in range(12):
        canvas.line((32 * number, 0, 32 * number + 90, 384), fill=(40, 60 + 10 * number, 90), width=9)
    encoded = BytesIO()
    drawn.resize((96, 96), Image.Resampling.BOX).save(encoded, "JPEG", quality=50)
    lr = Image.open(encoded).convert("RGB")
    truth = np.asarray(drawn, dtype=float)
    ours = np.asarray(Upscaler("photo-lite", device="cpu")(lr, scale=4), dtype=float)
    bicubic = np.asarray(lr.resize(drawn.size, Image.Resampling.BICUBIC), dtype=float)
    assert ((ours - truth) ** 2).mean() < 0.9 * ((bicubic - truth) ** 2).mean()
