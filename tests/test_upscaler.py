"""One frame to one frame: every layout, every depth, exact sizes, and the Python interface."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from tests.nets import stub
from upscale_cli import Upscaler
from upscale_cli.errors import CheckpointError, OptionError, UnknownModelError
from upscale_cli.events import Event, Note
from upscale_cli.frames.image import Frame, Layout, Pixels, channels_of
from upscale_cli.frames.rows import Held
from upscale_cli.inference.holes import Filled
from upscale_cli.inference.options import Alpha
from upscale_cli.inference.sizing import Target

LAYOUTS: tuple[Layout, ...] = ("L", "LA", "RGB", "RGBA", "CMYK", "LAB")


def upscaled(upscaler: Upscaler, frame: Frame, **target: Any) -> Frame:
    return upscaler.upscale(frame, upscaler.plan(frame.width, frame.height, Target(**target)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("model", ["espcn", "bicubic", "lanczos"])
def test_layout_and_depth_stay(layout: Layout, dtype: type, model: str, noise: Callable[..., Pixels]) -> None:
    frame = Frame(noise(10, 14, channels_of(layout), dtype=dtype), layout, duration_ms=40)
    sr = upscaled(Upscaler(model, device="cpu"), frame, scale=2)
    assert sr.layout == layout
    assert sr.pixels.dtype == dtype
    assert sr.pixels.shape == (20, 28, channels_of(layout))
    assert sr.duration_ms == 40


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bicubic_at_scale_one_changes_nothing(layout: Layout, noise: Callable[..., Pixels]) -> None:
    frame = Frame(noise(10, 14, channels_of(layout)), layout)
    np.testing.assert_array_equal(upscaled(Upscaler("bicubic"), frame, scale=1).pixels, frame.pixels)


@pytest.mark.parametrize(
    ("target", "size"),
    [
        ({"scale": 1}, (21, 13)),
        ({"scale": 3.3}, (69, 43)),
        ({"scale": 0.5}, (10, 6)),
        ({"scale": 6}, (126, 78)),
        ({"box": (100, 100), "stretch": True}, (100, 100)),
        ({"long_side": 50}, (50, 31)),
    ],
)
def test_sizes_are_exact_whatever_the_net_makes(
    target: dict[str, Any], size: tuple[int, int], noise: Callable[..., Pixels]
) -> None:
    sr = upscaled(Upscaler("espcn", device="cpu"), Frame(noise(13, 21, 3), "RGB"), **target)
    assert (sr.width, sr.height) == size


@pytest.mark.usefixtures("stubs")
@pytest.mark.parametrize("size", [(101, 50), (5, 3), (1, 1), (64, 64)])
def test_a_net_of_three_halves_takes_one_pass_for_odd_sides_too(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch, noise: Callable[..., Pixels]
) -> None:
    """1.5 times 101 is 152 in the picture that is wanted and in the one that the net makes."""
    upscaler = Upscaler("espcn", device="cpu")
    monkeypatch.setattr(
        upscaler._model, "_own", stub(partial(nn.Upsample, scale_factor=1.5), scale=Fraction(3, 2), halo=2)
    )
    plan = upscaler.plan(*size, Target(scale=1.5))
    assert plan.passes == (Fraction(3, 2),)
    width, height = size
    assert (plan.width, plan.height) == (round(1.5 * width), round(1.5 * height))
    lr = noise(height, width, 3)
    assert upscaler(lr, scale=1.5).shape == (plan.height, plan.width, 3)
    assert upscaler.plan(*size, Target(scale=2)).passes == (Fraction(3, 2),) * 2


def test_the_kernel_is_that_of_pillow(noise: Callable[..., Pixels]) -> None:
    lr = noise(13, 21, 3) // 2 + 64  # Pillow clips between its two directions, which we do not
    sr = Upscaler("bicubic")(lr, scale=2.5)
    expected = Image.fromarray(lr).resize((52, 32), Image.Resampling.BICUBIC)
    assert np.abs(sr.astype(int) - np.asarray(expected)).max() <= 1


def test_a_net_beats_nothing_it_keeps_the_picture() -> None:
    """A smooth picture comes out as itself, only larger: no shift, no change of colour."""
    y, x = np.mgrid[0:40, 0:60]
    lr = np.stack([x * 4, y * 6, 255 - x * 2 - y], axis=2).astype(np.uint8)
    sr = Upscaler("espcn", device="cpu")(lr, scale=3)
    bicubic = Upscaler("bicubic")(lr, scale=3)
    assert np.abs(sr[9:-9, 9:-9].astype(int) - bicubic[9:-9, 9:-9]).mean() < 1.5


def test_a_transparent_picture_has_no_dark_fringe() -> None:
    lr = np.zeros((30, 30, 4), np.uint8)  # black where nothing is to be seen
    lr[10:20, 10:20] = (250, 120, 60, 255)
    for model in ("espcn", "bicubic", "lanczos"):
        sr = Upscaler(model, device="cpu")(lr, scale=2)[8:-8, 8:-8].astype(int)
        visible = sr[:, :, 3] > 0
        assert np.abs(sr[visible][:, :3] - (250, 120, 60)).max() <= 12, model


@pytest.mark.parametrize("alpha", ["net", "lanczos"])
def test_alpha_is_upscaled(alpha: Alpha) -> None:
    lr = np.full((16, 16, 4), 200, np.uint8)
    lr[:, :8, 3] = 0
    sr = Upscaler("espcn", device="cpu", alpha=alpha)(lr, scale=2)[8:-8, 8:-8]
    assert (sr[:, :4, 3] < 40).all()
    assert (sr[:, 12:, 3] > 170).all()


def test_alpha_can_be_dropped(noise: Callable[..., Pixels]) -> None:
    sr = upscaled(Upscaler("espcn", device="cpu", alpha="drop"), Frame(noise(8, 8, 4), "RGBA"), scale=2)
    assert sr.layout == "RGB"


def test_an_opaque_alpha_stays_opaque(noise: Callable[..., Pixels]) -> None:
    lr = noise(12, 12, 4)
    lr[:, :, 3] = 255
    opaque = Upscaler("espcn", device="cpu")(lr, scale=2)
    assert (opaque[:, :, 3] == 255).all()
    np.testing.assert_array_equal(opaque[:, :, :3], Upscaler("espcn", device="cpu")(lr[:, :, :3].copy(), scale=2))


def test_black_ink_stays_black_ink(noise: Callable[..., Pixels]) -> None:
    cmyk = np.zeros((12, 12, 4), np.uint8)
    cmyk[:, :, 3] = noise(12, 12)
    sr = upscaled(Upscaler("espcn", device="cpu"), Frame(cmyk, "CMYK"), scale=2)
    assert not sr.pixels[:, :, :3].any()
    assert sr.pixels[:, :, 3].std() > 20


def test_gray_of_a_gray_picture_stays_gray(noise: Callable[..., Pixels]) -> None:
    gray = noise(16, 16)
    as_gray = Upscaler("espcn", device="cpu")(gray, scale=2)
    as_rgb = Upscaler("espcn", device="cpu")(np.stack([gray] * 3, axis=2), scale=2)
    assert np.abs(as_rgb.astype(int) - as_gray[:, :, None]).max() <= 1


def test_holes_of_a_float_map_stay_holes(noise: Callable[..., Pixels]) -> None:
    heights = noise(16, 16, 1, dtype=np.float32) * 3000
    heights[4:8, 4:8] = np.nan
    sr = upscaled(Upscaler("espcn", device="cpu"), Frame(heights, "L"), scale=2).pixels
    assert np.isnan(sr[8:16, 8:16]).all()
    assert np.isfinite(sr).sum() == 32 * 32 - 64
    filled = Filled(lambda: Held(heights), None).whole()
    assert np.isfinite(filled).all()


@pytest.mark.usefixtures("shared_weights")
def test_tta_and_denoise_and_wrap_are_passed_on(noise: Callable[..., Pixels]) -> None:
    lr = noise(16, 16, 3)
    plain = Upscaler("realesr-general", device="cpu", precision="fp32")(lr)
    grainy = Upscaler("realesr-general", device="cpu", precision="fp32", denoise=0)(lr)
    second = Upscaler("realesr-general-wdn", device="cpu", precision="fp32")(lr)
    np.testing.assert_array_equal(grainy, second)
    assert np.abs(plain.astype(int) - grainy).max() > 3
    for options in ({"tta": True}, {"wrap": True}):
        other = Upscaler("realesr-general", device="cpu", precision="fp32", **options)(lr)  # type: ignore[arg-type]
        assert np.abs(plain.astype(int) - other).max() > 1


# The Python interface


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 2), (8, 9, 3), (8, 9, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_arrays_come_back_as_they_went(shape: tuple[int, ...], dtype: type, noise: Callable[..., Pixels]) -> None:
    given = noise(*shape, dtype=np.float32).astype(dtype) if dtype is np.float64 else noise(*shape, dtype=dtype)
    before = given.copy()
    sr = Upscaler("espcn", device="cpu")(given, scale=2)
    assert sr.shape == (16, 18, *shape[2:])
    assert sr.dtype == dtype
    np.testing.assert_array_equal(given, before)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "YCbCr", "HSV", "I;16", "F"])
def test_pil_images_come_back_as_pil_images(mode: str) -> None:
    image = Image.linear_gradient("L").resize((9, 8)).convert("RGB")
    if mode == "LAB":
        image = Image.frombytes("LAB", (9, 8), image.tobytes())
    else:
        image = (image.convert("L") if mode in ("I;16", "F", "1") else image).convert(mode)
    image.info["icc_profile"] = b"profile"
    sr = Upscaler("espcn", device="cpu")(image, scale=2)
    assert sr.size == (18, 16)
    assert sr.mode == {"1": "L", "P": "RGB", "YCbCr": "RGB", "HSV": "RGB"}.get(mode, mode)
    assert sr.info["icc_profile"] == b"profile"
    if mode == "LAB":
        at_scale_one = Upscaler("espcn", device="cpu")(image, scale=1)
        assert np.abs(np.asarray(at_scale_one).astype(int) - np.asarray(image)).mean() < 8


@pytest.mark.parametrize("wrong", [np.zeros((4, 4), np.int32), "photo.jpg", None])
def test_what_is_no_image_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected"):
        Upscaler("bicubic")(wrong)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 5), (0, 4, 3), (1, 4, 4, 3)])
def test_what_has_no_image_shape_is_a_value_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected shape"):
        Upscaler("bicubic")(np.zeros(shape, np.uint8))


def test_the_default_scale_is_four_or_the_models_own(shared_weights: Path, noise: Callable[..., Pixels]) -> None:
    assert Upscaler("espcn", device="cpu")(noise(5, 5, 3)).shape == (20, 20, 3)
    assert Upscaler(shared_weights / "espcn-yjn870-x3.safetensors", device="cpu")(noise(5, 5, 3)).shape == (15, 15, 3)


def test_a_progress_bar_for_notebooks(noise: Callable[..., Pixels], capsys: pytest.CaptureFixture[str]) -> None:
    Upscaler("espcn", device="cpu", tile=8, progress=True)(noise(32, 32, 3), scale=2)
    assert "9/9" in capsys.readouterr().err


# Which model


@pytest.mark.usefixtures("shared_weights")
def test_without_a_model_the_best_on_the_machine_is_taken() -> None:
    upscaler = Upscaler(device="cpu")
    assert upscaler.name == "realesr-general"
    assert "best on this machine" in upscaler.why


def test_on_a_fresh_machine_that_is_the_bundled_one() -> None:
    upscaler = Upscaler(device="cpu")
    assert upscaler.name == "photo-lite"
    assert upscaler.why == "the best on this machine"


def test_an_unknown_model_gets_the_nearest_names() -> None:
    with pytest.raises(UnknownModelError, match=r"'realesgan'.*Did you mean realesrgan"):
        Upscaler("realesgan")


def test_the_name_of_an_architecture_is_no_model() -> None:
    with pytest.raises(UnknownModelError, match=r"'usrnet' is an architecture.*Give one: its path or stem"):
        Upscaler("usrnet")


def test_a_missing_checkpoint_offline_says_what_to_do() -> None:
    with pytest.raises(CheckpointError, match=r"RealESRGAN_x4plus\.pth.*4fa0d389"):
        Upscaler("realesrgan", device="cpu")(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"denoise": 1.5}, "denoise 1.5 is out of range"),
        ({"denoise": 0.5}, "denoise= does not go with espcn.*model='realesr-general'"),
        ({"tile": 16, "overlap": 16}, "overlap 16 leaves no room"),
        ({"device": "gpu"}, "device='gpu' is unknown"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Upscaler("espcn", **options)


def test_scale_and_target_exclude_each_other() -> None:
    with pytest.raises(OptionError, match="exclude"):
        Upscaler("bicubic")(np.zeros((4, 4), np.uint8), scale=2, target=Target(scale=2))


def test_what_was_assumed_about_a_file_is_said(shared_weights: Path, tmp_path: Path) -> None:
    """Without its metadata, nothing shows the activation."""
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((shared_weights / "espcn-tf-x2.safetensors").read_bytes())
    events: list[Event] = []
    Upscaler(alone, device="cpu", listener=events.append)
    assert [event for event in events if isinstance(event, Note) and "activation tanh" in event.text]
    events.clear()
    Upscaler(shared_weights / "espcn-tf-x2.safetensors", device="cpu", listener=events.append)
    assert not events


def test_pictures_of_more_than_eight_bits_run_in_fp32() -> None:
    upscaler = Upscaler("espcn", device="cpu")
    plan = replace(upscaler.plan(8, 8, Target(scale=2)))
    assert upscaler.precision_for(plan, bits=16) == "fp32"
    assert Upscaler("espcn", device="cpu", precision="bf16").precision_for(plan, bits=16) == "bf16"


def test_a_lamp_does_not_push_the_room_into_the_dark(noise: Callable[..., Pixels]) -> None:
    room = noise(60, 60, 3, dtype=np.float32)
    lamp = room.copy()
    lamp[0, 0] = 1000
    sr_room, sr_lamp = (Upscaler("espcn", device="cpu", precision="fp32")(picture, scale=2) for picture in (room, lamp))
    np.testing.assert_allclose(sr_lamp[20:, 20:], sr_room[20:, 20:], atol=1e-3)
    assert sr_lamp.max() > 500


def test_a_map_of_heights_keeps_its_range() -> None:
    y, x = np.mgrid[0:40, 0:40].astype(np.float32)
    heights = 200 + 30 * y + 20 * x
    heights[3, 3] = -9999  # no data
    sr = Upscaler("espcn", device="cpu", precision="fp32")(heights, scale=2)
    expected = Upscaler("bicubic")(heights, scale=2)
    assert np.abs(sr - expected)[20:-8, 20:-8].max() < 25
    assert sr.min() < -5000


def test_at_scale_one_a_kernel_gives_a_copy(noise: Callable[..., Pixels]) -> None:
    given = noise(5, 5, 3)
    assert not np.shares_memory(Upscaler("bicubic")(given, scale=1), given)
