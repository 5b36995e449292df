"""Measuring models: what is paired, what is made, what is measured, and what becomes of what does not fit."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import convolve, gaussian_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks import quality, report
from tests.conftest import SHARED
from upscale_cli.errors import InputError, UnknownModelError
from upscale_cli.evaluation.cases import Case, cases_of, find_sets, name_key, pair_cases, pictures_in
from upscale_cli.evaluation.contestants import Contestant, contestants
from upscale_cli.evaluation.evaluate import compare, evaluate, evaluate_blind
from upscale_cli.evaluation.metrics import Shrinking, bicubic, blurred, crop_border, resized, studio_luma, to_8_bit
from upscale_cli.evaluation.reference import Protocol, read_picture, read_reference, shrunk
from upscale_cli.evaluation.rows import AS_IT_IS, Row, means
from upscale_cli.events import Event, Failed, Note, ignore
from upscale_cli.inference.blur_kernels import parse_kernel
from upscale_cli.inference.upscaler import Upscaler

BICUBIC = Contestant(Upscaler("bicubic", device="cpu"), "bicubic")


@pytest.fixture
def events() -> list[Event]:
    """What the listener heard; it listens by `told.append`."""
    return []


def failures(events: list[Event]) -> list[str]:
    return [event.message for event in events if isinstance(event, Failed)]


def save(path: Path, height: int, width: int, mode: str = "RGB") -> Path:
    """A cut of a photograph."""
    picture = Image.fromarray(data.astronaut()[100 : 100 + height, 80 : 80 + width])
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.convert(mode).save(path)
    return path


def row(model: str, psnr: float | None, **changes: Any) -> Row:
    facts: dict[str, Any] = {
        "group": "Set", "scale": 2, "model": model, "picture": "a.png", "pictures": 1, "values": {"psnr_y": psnr},
        "seconds": 0.5, "megapixels": 1.0,
    }  # fmt: skip
    return Row(**{**facts, **changes})


# What to measure


def test_folders_are_sets_and_single_pictures_are_one(tmp_path: Path, events: list[Event]) -> None:
    first, second = save(tmp_path / "Set/b.png", 9, 9), save(tmp_path / "Set/a.JPG", 9, 9)
    alone = save(tmp_path / "alone.png", 9, 9)
    (tmp_path / "Set/notes.md").write_text("no picture")
    save(tmp_path / "Set/inner/c.png", 9, 9)
    save(tmp_path / "Set/.hidden.png", 9, 9)
    sets = find_sets([str(tmp_path / "Set"), str(alone)], events.append)
    assert sets == {"Set": [second, first], "pictures": [alone]}
    assert not events


def test_two_folders_of_one_name_stay_two_sets(tmp_path: Path) -> None:
    folders = [save(tmp_path / name / "HR/a.png", 9, 9).parent for name in "xy"]
    assert list(find_sets(map(str, folders), ignore)) == ["HR", str(folders[1])]


def test_what_is_missing_or_empty_is_told_and_the_rest_found(tmp_path: Path, events: list[Event]) -> None:
    (tmp_path / "empty").mkdir()
    alone = save(tmp_path / "alone.png", 9, 9)
    names = [str(tmp_path / "empty"), str(tmp_path / "missing"), str(alone)]
    assert list(find_sets(names, events.append)) == ["pictures"]
    empty, missing = failures(events)
    assert "holds no pictures" in empty
    assert "no such file or folder" in missing


def test_cases_are_sorted_by_set_and_scale() -> None:
    cases = cases_of({"A": [Path("a"), Path("b")], "B": [Path("c")]}, [2, 3])
    assert [(case.group, case.scale, case.hr and case.hr.name) for case in cases] == [
        ("A", 2, "a"), ("A", 2, "b"), ("A", 3, "a"), ("A", 3, "b"), ("B", 2, "c"), ("B", 3, "c"),
    ]  # fmt: skip
    (blind,) = cases_of({"B": [Path("c")]}, [4], blind=True)
    assert (blind.hr, blind.lr, blind.path) == (None, Path("c"), Path("c"))


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("baby", "baby"),
        ("baby", "babyx4"),
        ("baby_HR", "baby_LR"),
        ("baby_GT", "baby_LRBI_x2"),
        ("0801", "0801x3"),
        ("img_001_SRF_2_HR", "img_001_SRF_2_LR"),
    ],
)
def test_names_match_whatever_the_field_writes_behind_them(hr: str, lr: str) -> None:
    assert name_key(hr) == name_key(lr)


@pytest.mark.parametrize("stem", ["x4", "_HR", "comic", "box", "2x", "max"])
def test_names_that_only_look_like_it_keep_their_letters(stem: str) -> None:
    assert name_key(stem) == stem


def test_different_names_stay_different() -> None:
    stems = ["img_001", "img_002", "0801", "0802x2", "barbara", "baboon_LR"]
    assert len({name_key(stem) for stem in stems}) == len(stems)


def test_pairs_get_the_scale_of_their_sizes(tmp_path: Path, events: list[Event]) -> None:
    for name, height, width in (("a", 60, 44), ("b", 62, 47), ("c", 40, 60)):
        save(tmp_path / f"hr/{name}_HR.png", height, width)
    for name, height, width in (("ax3", 20, 14), ("bx3", 20, 15), ("cx2", 20, 30)):
        save(tmp_path / f"lr/{name}.png", height, width)
    cases = pair_cases(tmp_path / "hr", tmp_path / "lr", [], events.append)
    assert [(case.scale, case.path.name) for case in cases] == [(2, "c_HR.png"), (3, "a_HR.png"), (3, "b_HR.png")]
    assert not events
    assert [case.scale for case in pair_cases(tmp_path / "hr", tmp_path / "lr", [2], events.append)] == [2]
    assert len(failures(events)) == 2
    assert "scale= asks for 2" in failures(events)[0]
    (alone,) = pair_cases(tmp_path / "hr/c_HR.png", tmp_path / "lr/cx2.png", [], ignore)
    assert (alone.group, alone.scale) == ("pictures", 2)


@pytest.mark.parametrize("hr", [(60, 46), (59, 45), (60, 15), (40, 45), (20, 15), (10, 8)])
def test_sizes_that_do_not_fit_are_told(tmp_path: Path, events: list[Event], hr: tuple[int, int]) -> None:
    save(tmp_path / "hr/a.png", *hr)
    save(tmp_path / "lr/a.png", 20, 15)
    fits = hr == (60, 46)  # x3 leaves up to 2 pixels
    assert len(pair_cases(tmp_path / "hr", tmp_path / "lr", [], events.append)) == fits
    if not fits:
        (message,) = failures(events)
        assert f"{hr[1]} x {hr[0]} pixels are no whole multiple of the 15 x 20" in message


def test_one_of_a_pair_missing_or_given_twice_is_told(tmp_path: Path, events: list[Event]) -> None:
    for name in ("a", "only", "twice"):
        save(tmp_path / f"hr/{name}.png", 40, 40)
    for name in ("a", "other", "twicex2", "twice_LR"):
        save(tmp_path / f"lr/{name}.png", 20, 20)
    (case,) = pair_cases(tmp_path / "hr", tmp_path / "lr", [], events.append)
    assert case.path.name == "a.png"
    assert len(events) == 3
    only, twice, other = failures(events)
    assert "only.png: has no LR of its name" in only
    assert "twice.png: 1 HR picture and 2 LR pictures have its name" in twice
    assert "other.png: has no HR of its name" in other


def test_a_folder_of_pairs_that_is_empty_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save(tmp_path / "hr/a.png", 40, 40)
    with pytest.raises(InputError, match="holds no pictures"):
        pair_cases(tmp_path / "hr", tmp_path / "empty", [], ignore)
    with pytest.raises(InputError, match="cannot be read"):
        pictures_in(tmp_path / "missing")


# Reading


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("P", 3), ("1", 1)])
def test_pictures_are_read_as_8_bits_of_gray_or_colour(tmp_path: Path, mode: str, channels: int) -> None:
    picture = read_picture(save(tmp_path / "a.png", 12, 17, mode), pytest.fail)
    assert picture.shape == (12, 17, channels)
    assert picture.dtype == np.uint8


def test_what_is_reduced_is_said(tmp_path: Path) -> None:
    reported: list[str] = []
    deep = np.arange(12 * 17, dtype=np.uint16).reshape(12, 17) * 257
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png", reported.append)[:, :, 0], deep // 257)
    glass = np.full((12, 17, 4), 100, np.uint8)
    glass[:6, :, 3] = 0
    Image.fromarray(glass).save(tmp_path / "glass.png")
    assert read_picture(tmp_path / "glass.png", reported.append)[0, 0].tolist() == [255, 255, 255]
    assert [text.partition(": ")[2] for text in reported] == [
        "has more than 8 bits; measured with 8", "is transparent in places; measured on white",
    ]  # fmt: skip


def test_an_opaque_alpha_is_dropped_in_silence(tmp_path: Path) -> None:
    assert read_picture(save(tmp_path / "a.png", 12, 17, "RGBA"), pytest.fail).shape == (12, 17, 3)


def test_only_the_first_frame_of_several_is_measured(tmp_path: Path) -> None:
    reported: list[str] = []
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert read_picture(tmp_path / "a.tif", reported.append)[0, 0].tolist() == [255, 0, 0]
    assert "only the first of its 2 frames" in reported[0]


def test_inks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is CMYK, and only gray and RGB are measured"):
        read_picture(save(tmp_path / "a.tif", 12, 17, "CMYK"), pytest.fail)


def test_gray_against_colour_is_refused_either_way(tmp_path: Path) -> None:
    hr, lr = save(tmp_path / "hr.png", 40, 40), save(tmp_path / "lr.png", 20, 20, "L")
    with pytest.raises(InputError, match=r"hr.png: is colour, but .*lr.png is gray"):
        read_reference(Case("Set", 2, hr, lr), Protocol(), ignore_text)
    hr, lr = save(tmp_path / "hr.png", 40, 40, "L"), save(tmp_path / "lr.png", 20, 20)
    with pytest.raises(InputError, match=r"hr.png: is gray, but .*lr.png is colour"):
        read_reference(Case("Set", 2, hr, lr), Protocol(), ignore_text)


def ignore_text(_: str) -> None: ...


@pytest.mark.parametrize(("side", "scale", "border"), [(15, 2, None), (18, 4, None), (3, 4, None), (30, 2, 10)])
def test_pictures_smaller_than_the_crop_are_refused(tmp_path: Path, side: int, scale: int, border: int | None) -> None:
    protocol = Protocol(border=border)
    path = save(tmp_path / "a.png", 60, side)
    with pytest.raises(InputError, match=rf"{side} x 60 pixels are too few"):
        read_reference(Case("Set", scale, path), protocol, ignore_text)
    least = 2 * (scale if border is None else border) + 11 + scale
    path = save(tmp_path / "a.png", 60, least)
    assert read_reference(Case("Set", scale, path), protocol, ignore_text).hr.shape[1] >= least - scale


# LR


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lr_is_bicubic_of_each_channel_rounded(tmp_path: Path, mode: str, scale: int) -> None:
    path = save(tmp_path / "a.png", 61, 83, mode)
    reference = read_reference(Case("Set", scale, path), Protocol(), ignore_text)
    hr = np.atleast_3d(np.asarray(Image.open(path)))[: 61 // scale * scale, : 83 // scale * scale]
    np.testing.assert_array_equal(reference.hr, hr)
    np.testing.assert_array_equal(reference.lr[:, :, -1], to_8_bit(bicubic(hr[:, :, -1].astype(float), 1 / scale)))


def test_luma_alone_is_rounded_first_and_comes_back(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 40, 60)
    reference = read_reference(Case("Set", 2, path), Protocol(channels="luma"), ignore_text)
    luma = to_8_bit(studio_luma(np.asarray(Image.open(path))))
    np.testing.assert_array_equal(reference.hr[:, :, 0], luma)
    np.testing.assert_array_equal(reference.lr[:, :, 0], to_8_bit(bicubic(luma, 1 / 2)))
    frame = reference.frame()
    assert frame.pixels.dtype == np.float32
    np.testing.assert_array_equal(reference.picture(frame), reference.lr)


def test_gray_stays_as_it_is_on_luma_alone(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 40, 60, "L")
    for channels in ("rgb", "luma"):
        reference = read_reference(Case("Set", 2, path), Protocol(channels=channels), ignore_text)
        np.testing.assert_array_equal(reference.hr[:, :, 0], np.asarray(Image.open(path)))
        assert (reference.black, reference.white) == (0, 255)


def test_nothing_is_rounded_where_the_protocol_says_so(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 40, 60)
    luma = studio_luma(np.asarray(Image.open(path)))
    reference = read_reference(Case("Set", 2, path), Protocol(channels="luma", exact=True), ignore_text)
    np.testing.assert_allclose(reference.hr[:, :, 0], luma, rtol=0, atol=1e-12)
    np.testing.assert_allclose(reference.lr[:, :, 0], bicubic(luma, 1 / 2), rtol=0, atol=1e-12)
    np.testing.assert_allclose(reference.frame().pixels[:, :, 0] * 219 + 16, reference.lr[:, :, 0], atol=1e-4)
    colour = read_reference(Case("Set", 2, path), Protocol(exact=True), ignore_text)
    assert colour.hr.dtype == np.uint8
    np.testing.assert_allclose(colour.frame().pixels * 255, colour.lr, atol=1e-4)
    np.testing.assert_allclose(colour.picture(colour.frame()), colour.lr.clip(0, 255), atol=1e-4)


def test_luma_of_full_range_is_that_of_jpeg(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 40, 60)
    reference = read_reference(Case("Set", 2, path), Protocol(channels="luma-full"), ignore_text)
    theirs = np.asarray(Image.open(path).convert("YCbCr"))[:, :, 0].astype(int)
    assert np.abs(reference.hr[:, :, 0].astype(int) - theirs).max() <= 1
    np.testing.assert_array_equal(reference.frame().pixels, reference.lr)


def test_a_blur_is_a_convolution_that_continues_on_the_other_side(tmp_path: Path) -> None:

    kernel = np.random.default_rng(0).random((5, 7))
    plane = np.random.default_rng(1).random((20, 30))
    np.testing.assert_allclose(blurred(plane, kernel), convolve(plane, kernel, mode="wrap"), atol=1e-12)
    path = save(tmp_path / "a.png", 40, 60)
    picture = np.asarray(Image.open(path))
    made = shrunk(picture, 2, Protocol(blur=parse_kernel("gauss:1.6"), shrinking="every", exact=True))

    expected = gaussian_filter(picture.astype(float), (1.6, 1.6, 0), mode="wrap", truncate=4)[::2, ::2]
    np.testing.assert_allclose(made, expected, atol=0.01)


def test_noise_is_of_its_sigma_and_the_same_in_every_run(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", 200, 300)
    clean, noisy, again = (
        read_reference(Case("Set", 2, path), Protocol(noise=noise, exact=True), ignore_text).lr for noise in (0, 10, 10)
    )
    np.testing.assert_array_equal(noisy, again)
    assert float(np.std(noisy - clean)) == pytest.approx(10, rel=0.05)
    other = save(tmp_path / "b.png", 200, 300)
    elsewhere = read_reference(Case("Set", 2, other), Protocol(noise=10, exact=True), ignore_text).lr
    assert not np.array_equal(elsewhere, noisy)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_pixels_of_the_corner_grids_lie_on_the_first_ones(scale: int) -> None:
    ramp = np.add.outer(np.arange(12 * scale), 2.0 * np.arange(12 * scale))
    every = resized(ramp, 1 / scale, "every")
    np.testing.assert_allclose(every, ramp[::scale, ::scale], atol=1e-12)
    inside = slice(3, -3)  # cubic convolution keeps a ramp
    made = resized(ramp, 1 / scale, "bicubic-corner")
    np.testing.assert_allclose(made[inside, inside], every[inside, inside], atol=1e-9)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_damages_lr_the_more_the_lower_its_quality(channels: int) -> None:
    hr = data.astronaut()[:200, :200, :channels]
    clean = shrunk(hr, 2, Protocol())
    damage = []
    for jpeg in (95, 60, 20):
        lr = shrunk(hr, 2, Protocol(jpeg=jpeg))
        assert lr.shape == clean.shape == (100, 100, channels)
        damage.append(np.abs(lr.astype(float) - clean).mean())
    assert 0 < damage[0] < damage[1] < damage[2]


# Measuring


def test_figures_are_those_of_scikit_image() -> None:
    hr = data.astronaut()[:200, :180]
    sr = np.clip(hr + np.random.default_rng(1).normal(0, 6, hr.shape), 0, 255).astype(np.uint8)
    values = compare(sr, hr, in_colour=True)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    luma_sr, luma_hr = studio_luma(sr), studio_luma(hr)
    assert values["psnr_y"] == pytest.approx(peak_signal_noise_ratio(luma_hr, luma_sr, data_range=255))
    assert values["ssim_y"] == pytest.approx(structural_similarity(luma_hr, luma_sr, **options))
    assert values["psnr_rgb"] == pytest.approx(peak_signal_noise_ratio(hr, sr))
    assert values["ssim_rgb"] == pytest.approx(structural_similarity(hr, sr, channel_axis=2, **options))
    assert values["ms_ssim_y"] is not None
    assert compare(sr[:170], hr[:170], in_colour=True)["ms_ssim_y"] is None


def test_gray_has_one_figure_for_luma_and_for_its_channel() -> None:
    hr = data.camera()[:60, :60, None]
    values = compare(hr // 2, hr, in_colour=True)
    assert values["psnr_y"] == values["psnr_rgb"]
    assert values["ssim_y"] == values["ssim_rgb"]
    assert "psnr_rgb" not in compare(hr // 2, hr, in_colour=False)


def test_a_row_is_what_the_upscaler_makes_measured_without_its_border(tmp_path: Path) -> None:
    path = save(tmp_path / "Set/a.png", 60, 81)
    (row,) = evaluate(cases_of({"Set": [path]}, [2]), [BICUBIC], Protocol(), ignore)
    hr = np.asarray(Image.open(path))[:, :80]
    lr = shrunk(hr, 2, Protocol())
    sr = Upscaler("bicubic", device="cpu")(lr, scale=2)
    expected = compare(crop_border(sr, 2), crop_border(hr, 2), in_colour=True)
    assert row.values == expected
    assert (row.group, row.scale, row.model, row.picture, row.pictures) == ("Set", 2, "bicubic", "a.png", 1)
    assert row.megapixels == pytest.approx(60 * 80 / 1e6)
    (whole,) = evaluate(cases_of({"Set": [path]}, [2]), [BICUBIC], Protocol(border=0), ignore)
    assert whole.values == compare(sr, hr, in_colour=True)


def test_given_lr_is_upscaled_and_compared_with_hr_as_far_as_it_reaches(tmp_path: Path) -> None:
    hr = save(tmp_path / "hr/a.png", 62, 83)
    picture = np.asarray(Image.open(hr))[:60, :81]
    (tmp_path / "lr").mkdir()
    Image.fromarray(shrunk(picture, 3, Protocol())).save(tmp_path / "lr/a.png")
    given = list(evaluate(pair_cases(tmp_path / "hr", tmp_path / "lr", [], ignore), [BICUBIC], Protocol(), ignore))
    made = list(evaluate(cases_of({"hr": [hr]}, [3]), [BICUBIC], Protocol(), ignore))
    assert [row.values for row in given] == [row.values for row in made]


def test_one_picture_that_fails_leaves_the_others(tmp_path: Path, events: list[Event]) -> None:
    small, good = save(tmp_path / "a.png", 9, 9), save(tmp_path / "b.png", 60, 60)
    (tmp_path / "c.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    cases = cases_of({"Set": [small, good, tmp_path / "c.png"]}, [2])
    assert [row.picture for row in evaluate(cases, [BICUBIC], Protocol(), events.append)] == ["b.png"]
    assert [event.source for event in events if isinstance(event, Failed)] == [str(small), str(tmp_path / "c.png")]


def test_a_model_that_cannot_be_had_is_told_once_and_leaves_the_others(tmp_path: Path, events: list[Event]) -> None:
    paths = [save(tmp_path / name, 60, 60) for name in ("a.png", "b.png")]
    cornered = np.asarray(Image.open(paths[0])).copy()
    cornered[:50, :50] = 255  # a flat part would be upscaled without a net
    Image.fromarray(cornered).save(paths[0])
    models = contestants(["realesrgan"], lambda name: Upscaler(name, device="cpu"), events.append)
    rows = list(evaluate(cases_of({"Set": paths}, [4]), models, Protocol(), events.append))
    assert [row.model for row in rows] == ["bicubic", "bicubic"]
    (message,) = failures(events)
    assert "RealESRGAN_x4plus.pth" in message


def test_a_scale_that_a_model_has_no_net_for_is_said(tmp_path: Path, events: list[Event]) -> None:
    models = contestants(["espcn"], lambda name: Upscaler(name, device="cpu"), events.append)
    path = save(tmp_path / "a.png", 60, 60)
    assert len(list(evaluate(cases_of({"Set": [path]}, [5, 4]), models, Protocol(), events.append))) == 4
    (note,) = [event.text for event in events if isinstance(event, Note)]
    assert note.startswith("espcn has no net for x5: upscaled by x")


def test_bicubic_is_always_there_and_once(tmp_path: Path, events: list[Event]) -> None:
    def make(name: str | None) -> Upscaler:
        return Upscaler(name, device="cpu")

    assert [model.name for model in contestants([], make, events.append)] == ["bicubic"]
    assert [model.name for model in contestants(["lanczos", "bicubic"], make, events.append)] == ["bicubic", "lanczos"]
    assert [model.name for model in contestants([None], make, events.append)] == ["bicubic", "photo-lite"]
    assert [model.name for model in contestants([str(tmp_path / "no.pth")], make, events.append)] == ["bicubic"]
    assert len(failures(events)) == 1
    with pytest.raises(UnknownModelError):
        contestants(["nothing"], make, events.append)


def test_two_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    from upscale_cli.models.store import bundled_folder

    paths = [tmp_path / name / "net.safetensors" for name in "xy"]
    for path in paths:
        path.parent.mkdir()
        path.write_bytes((bundled_folder() / "espcn-x2.safetensors").read_bytes())
    models = contestants(map(str, paths), lambda name: Upscaler(name, device="cpu"), ignore)
    assert [model.name for model in models] == ["bicubic", "net", str(paths[1])]


# Means and records


def test_means_are_over_pictures_and_lack_what_one_of_them_lacks() -> None:
    slow = row("a", 32.0, seconds=1.5, megapixels=2.0)
    rows = [row("a", 30.0), row("b", 20.0), slow, row("b", None), row("a", 1.0, scale=3)]
    first, second, third = means(rows)
    assert (first.model, first.picture, first.pictures, first.values) == ("a", None, 2, {"psnr_y": 31.0})
    assert first.megapixels_per_second == pytest.approx(1.5)  # 3 megapixels in 2 seconds
    assert second.values == {"psnr_y": None}
    assert third.scale == 3


def test_records_hold_nothing_that_json_has_no_word_for() -> None:
    record = row("a", math.inf, seconds=0.0).as_record()
    assert record["psnr_y"] is None
    assert record["megapixels_per_second"] is None
    json.dumps(record, allow_nan=False)
    assert means([row("a", math.inf), row("a", 30.0)])[0].values == {"psnr_y": math.inf}


# Without a reference


def test_pictures_without_reference_are_judged_as_they_are(tmp_path: Path, events: list[Event]) -> None:
    good, small = save(tmp_path / "a.png", 200, 200), save(tmp_path / "b.png", 100, 100)
    cases = cases_of({"Set": [good, small]}, [1], blind=True)
    (row,) = evaluate_blind(cases, [], events.append)
    assert (row.model, row.picture, row.seconds) == (AS_IT_IS, "a.png", 0)
    assert set(row.values) == {"niqe"}
    (message,) = failures(events)
    assert "b.png: NIQE needs 4 blocks" in message


def test_pictures_without_reference_are_judged_as_models_make_them(tmp_path: Path, events: list[Event]) -> None:
    paths = [save(tmp_path / "a.png", 200, 200, "L"), save(tmp_path / "b.png", 100, 100)]
    rows = list(evaluate_blind(cases_of({"Set": paths}, [2], blind=True), [BICUBIC], events.append))
    assert [(row.picture, row.model) for row in rows] == [
        ("a.png", AS_IT_IS), ("a.png", "bicubic"), ("b.png", "bicubic"),
    ]  # fmt: skip
    sharp, soft = (row.values["niqe"] or 0.0 for row in rows[:2])
    assert sharp < soft
    assert not events


# The field's figures


@pytest.fixture(scope="module")
def eval_set() -> Callable[[str], list[Path]]:
    def pictures(name: str) -> list[Path]:
        folder = SHARED / "eval" / name
        if not folder.is_dir():
            pytest.skip("the shared folder with test sets is not here")
        return pictures_in(folder)

    return pictures


PUBLISHED = {"Set5": (33.66, 30.39, 28.42), "Set14": (30.24, 27.55, 26.00)}
"""Bicubic at x2, x3, x4; PSNR on luma in dB, as cited in every paper since VDSR."""


@pytest.mark.slow
@pytest.mark.parametrize("channels", ["rgb", "luma"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_bicubic_is_reproduced(eval_set: Callable[[str], list[Path]], name: str, channels: Any) -> None:
    cases = cases_of({name: eval_set(name)}, [2, 3, 4])
    rows = means(evaluate(cases, [BICUBIC], Protocol(channels=channels), ignore))
    for row, published in zip(rows, PUBLISHED[name], strict=True):
        assert row.values["psnr_y"] == pytest.approx(published, abs=0.03), row.scale


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "scale", "shrinking", "expected"),
    [
        ("espcn-ycbcr-x2", 2, "bicubic", 36.18),
        ("espcn-ycbcr-x3", 3, "bicubic", 31.80),
        ("espcn-ycbcr-x4", 4, "bicubic", 29.09),
        ("espcn-yjn870-x3", 3, "bicubic", 31.90),
        ("espcn-tf-x2", 2, "bicubic", 34.79),
        ("espcn-tf-x2", 2, "bicubic-aliased", 35.94),
        ("espcn-tf-x3", 3, "bicubic-aliased", 30.63),
        ("espcn-tf-x4", 4, "bicubic-aliased", 28.54),
    ],
)
def test_espcn_files_of_others_reach_what_their_cards_say(
    shared_weights: Path,
    eval_set: Callable[[str], list[Path]],
    file: str,
    scale: int,
    shrinking: Any,
    expected: float,
) -> None:
    model = Contestant(Upscaler(shared_weights / f"{file}.safetensors", device="cpu"), file)
    rows = evaluate(cases_of({"Set5": eval_set("Set5")}, [scale]), [model], Protocol(shrinking=shrinking), ignore)
    (mean,) = means(rows)
    assert mean.values["psnr_y"] == pytest.approx(expected, abs=0.02)


def test_each_kernel_makes_other_lr() -> None:
    hr = data.astronaut()[:60, :60]
    made = [shrunk(hr, 2, Protocol(shrinking=name)) for name in get_args(Shrinking)]
    assert all((a != b).any() for a, b in itertools.combinations(made, 2))


# The page


@pytest.mark.slow
def test_the_quality_script_measures_every_model_here_and_fills_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "Set5/a.png", 48, 60)
    quality.main(["--eval", str(tmp_path), "--quick"])
    tables = capsys.readouterr().out
    lines = tables.splitlines()
    nets = [line for line in lines if line.startswith("| espcn | x")]
    assert len(nets) == 6  # three scales, as quality and as size
    assert "| espcn | x3 | 22,729 | 22,624 |" in tables
    in_sets = [line for line in lines if line.startswith("| Set5 x")]
    assert len(in_sets) == 21  # bicubic, and ESPCN, swift and sharp of both kinds, at three scales
    assert any(line.startswith("| Set5 x3 | espcn |") and "| 33.13 | Shi et al." in line for line in lines)
    assert sum(line.startswith("| bicubic-aliased |") for line in lines) == 5
    page = f"before\n{quality.START}old\n{quality.STOP}after\n"
    renewed = report.with_tables(page, "new", quality.START, quality.STOP)
    assert renewed == f"before\n{quality.START}\nnew\n{quality.STOP}after\n"
    assert report.with_tables(renewed, "new", quality.START, quality.STOP) == renewed
    with pytest.raises(ValueError, match="lost its mark <!-- end -->"):
        report.with_tables(page.replace(quality.STOP, ""), "new", quality.START, quality.STOP)


def test_some_nets_measured_anew_leave_the_others_figures_alone() -> None:
    def record(model: str, scale: int, value: float, **way: Any) -> dict[str, Any]:
        return {**way, "model": model, "scale": scale, "set": "Set14", "psnr_y": value, "ssim_y": 0.9}

    jpeg = {"kernel": "area", "jpeg": 30}
    kept = {
        "question": "?",
        "machine": {},
        "on_luma": [record("bicubic", 2, 30.0), record("espcn", 2, 32.0), record("sharp", 2, 1.0)],
        "compressed": [record("bicubic", 2, 28.0, **jpeg), record("espcn", 2, 28.1, **jpeg)],
        "niqe_of_damage": [{"damage": "none", "niqe": 3.0}],
    }
    found = {
        "on_luma": [record("swift", 2, 32.5), record("sharp", 2, 32.9)],
        "compressed": [record("swift", 2, 28.2, **jpeg)],
        "in_8_bits": [{"model": "swift", "scale": 2, "set": "Set14", "fp32": 32.5, "int8": 32.49}],
    }
    result = quality.renewed(kept, found, ["swift", "sharp"])
    assert [(one["model"], one["psnr_y"]) for one in result["on_luma"]] == [
        ("bicubic", 30.0), ("espcn", 32.0), ("swift", 32.5), ("sharp", 32.9)
    ]  # fmt: skip
    assert result["niqe_of_damage"] == kept["niqe_of_damage"]
    assert list(result["renewed"]) == ["swift", "sharp"]
    header, _, row = quality.compressed_table(result["compressed"]).splitlines()
    assert header == "| LR by | JPEG | bicubic | espcn | swift |"
    assert row == "| area | 30 | 28.00 | 28.10 | 28.20 |"
    assert quality.int8_table(result["in_8_bits"]).splitlines()[2] == "| swift x2 | 32.50, 32.49 |"


def test_a_benchmark_stops_where_a_picture_is_missing(tmp_path: Path) -> None:
    save(tmp_path / "Set5/a.png", 9, 9)
    with pytest.raises(RuntimeError, match="too few"):
        quality.main(["--eval", str(tmp_path), "--quick"])
