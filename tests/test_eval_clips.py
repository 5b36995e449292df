"""`upscale eval` of clips: what is compared with what, at which times, in which meaning; and how it is told."""

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from tests.clips import ffmpeg
from tests.command import Run
from upscale_cli.errors import InputError
from upscale_cli.evaluation.clips import compare_clips, evaluate_clip, open_side
from upscale_cli.evaluation.contestants import Contestant
from upscale_cli.evaluation.luma import FrameShrinker, Look, LumaOf, common_bits
from upscale_cli.evaluation.metrics import bicubic, to_8_bit
from upscale_cli.events import Event, Failed, ignore
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.upscaler import Upscaler

WIDTH, HEIGHT, FRAMES = 104, 96, 3
RATE = "24000/1001"
VIDEO = ColourTags(matrix="bt709", primaries="bt709", transfer="bt709", range="tv", chroma_location="left")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """hr.mkv, an RGB clip that moves; and what others make of it."""
    folder = tmp_path_factory.mktemp("clips")
    photo = data.astronaut()[40:, 150:]
    frames = [photo[2 * number :, 3 * number :][:HEIGHT, :WIDTH].tobytes() for number in range(FRAMES)]
    (folder / "raw").write_bytes(b"".join(frames))
    raw = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", RATE, "-i", folder / "raw")

    def make(name: str, filters: str, pixel_format: str, *more: str) -> None:
        ffmpeg(*raw, "-vf", filters, "-pix_fmt", pixel_format, *more, folder / name)

    hd = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int"
    tags = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
    exact = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", *tags)
    make("hr.mp4", hd, "yuv420p", *exact)
    make("same.mkv", hd, "yuv420p", "-c:v", "ffv1", *tags)  # times rounded to milliseconds
    make("deep.mkv", hd, "yuv420p10le", "-c:v", "ffv1", *tags)
    make("full.mkv", hd.replace("range=tv", "range=pc"), "yuv444p", "-c:v", "ffv1", *tags[:-1], "pc")
    make("sd.mkv", hd.replace("bt709", "smpte170m"), "yuv444p", "-c:v", "ffv1", "-colorspace", "smpte170m", *tags[2:])
    make("rgb.mkv", "null", "gbrp", "-c:v", "ffv1")
    make("hdr.mkv", f"{hd},setparams=color_trc=smpte2084", "yuv420p10le", "-c:v", "ffv1")
    make("half.mkv", f"{hd},scale=iw/2:ih/2", "yuv420p", "-c:v", "ffv1", *tags)
    make("late.mkv", f"{hd},setpts='PTS+gte(N,1)/TB/20'", "yuv420p", "-c:v", "ffv1", "-fps_mode", "passthrough", *tags)
    make("short.mkv", hd, "yuv420p", "-c:v", "ffv1", "-frames:v", str(FRAMES - 1), *tags)
    make("small.mkv", "crop=40:40", "yuv420p", "-c:v", "ffv1")
    return folder


# A ready clip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "least"),
    [("same.mkv", 90), ("deep.mkv", 45), ("full.mkv", 45), ("sd.mkv", 45), ("rgb.mkv", 45)],
)
def test_equal_light_is_equal_in_whatever_codes(folder: Path, name: str, least: float) -> None:
    """Frames that differ in the rounding of their codes alone: 45 dB and more; of a wrong matrix or range below 35."""
    row = compare_clips(folder / name, folder / "hr.mp4", ["xpsnr", "ssim_float"], ignore)
    assert row.frames == FRAMES
    assert [float(time) for time in row.times] == pytest.approx([number * 1001 / 24000 for number in range(FRAMES)])
    assert row.luma == ("10 bits, bt709, tv" if name == "deep.mkv" else "8 bits, bt709, tv")
    assert min(row.values["xpsnr"]) > least
    assert min(row.values["ssim_float"]) > 0.99


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("half.mkv", "half.mkv: has 52 x 48 pixels, and its reference hr.mp4 104 x 96. Give clips of one size"),
        ("short.mkv", "short.mkv: has 2 frames, and hr.mp4 has more. Give clips with the same frames."),
        ("late.mkv", "late.mkv: frame 2 is shown after 0.0830 s, that of hr.mp4 after 0.0417 s."),
        ("hdr.mkv", "hdr.mkv: its transfer function is smpte2084, and that of hr.mp4 bt709"),
    ],
)
def test_what_does_not_fit_is_one_line(folder: Path, name: str, message: str) -> None:
    with pytest.raises(InputError) as raised:
        compare_clips(folder / name, folder / "hr.mp4", ["xpsnr"], ignore)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


def test_a_reference_that_is_shorter_is_told_too(folder: Path) -> None:
    with pytest.raises(InputError, match=r"short.mkv: has 2 frames, and hr.mp4 has more"):
        compare_clips(folder / "hr.mp4", folder / "short.mkv", ["xpsnr"], ignore)
    row = compare_clips(folder / "hr.mp4", folder / "short.mkv", ["xpsnr"], ignore, frames=2)
    assert row.frames == 2


def test_a_ready_clip_is_as_steady_as_its_reference_whatever_its_depth(folder: Path) -> None:
    found = []
    for name in ("same.mkv", "deep.mkv"):
        row = compare_clips(folder / name, folder / "hr.mp4", ["steadiness"], ignore)
        assert (row.values, row.frames) == ({}, FRAMES)
        assert row.steadiness
        assert row.steadiness.ratio == pytest.approx(1, abs=0.02)
        found.append(row.steadiness.difference)
    assert found[1] == pytest.approx(found[0], rel=0.03), "levels of 8 bits"


# LR and luma


def samples_of(look: Look, planes: list[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate([plane.astype(look.format.dtype).ravel() for plane in planes])


def test_lr_luma_is_as_that_of_pictures_and_chroma_keeps_its_place() -> None:
    """A slope of chroma, sampled where its siting says, is the same slope in LR."""
    look = Look(FORMATS["yuv420p"], 100, 76, VIDEO)
    luma = to_8_bit(np.random.default_rng(0).normal(128, 40, (76, 100)))
    slope = 60 + np.arange(50) * 2.0  # at luma pixels 0, 2, 4, ... of the left siting
    chroma = np.tile(slope, (38, 1))
    shrinker = FrameShrinker(look, 4)
    assert (shrinker.width, shrinker.height, shrinker.lr.width, shrinker.lr.height) == (96, 72, 24, 18)
    lr = shrinker(samples_of(look, [luma, chroma, chroma]))
    expected = to_8_bit(bicubic(luma[:72, :96], 1 / 4))
    np.testing.assert_array_equal(lr[: 24 * 18].reshape(18, 24)[3:-3, 3:-3], expected[3:-3, 3:-3])
    # LR luma pixel x is at 4 x + 1.5 of HR's; chroma sample j of LR at LR luma pixel 2 j: at 8 j + 1.5.
    ours = lr[24 * 18 :][: 12 * 9].reshape(9, 12).astype(float)
    np.testing.assert_allclose(ours[4, 2:-2], 60 + (8 * np.arange(12) + 1.5)[2:-2], atol=0.51)


def test_luma_is_the_planes_own_where_it_means_the_same() -> None:
    look = Look(FORMATS["yuv420p10le"], 48, 46, VIDEO)
    samples = np.random.default_rng(1).integers(0, 1024, look.format.frame_samples(48, 46)).astype("<u2")
    np.testing.assert_array_equal(LumaOf(look, look, 10)(samples).ravel(), samples[: 48 * 46])
    deep = replace(look, format=FORMATS["yuv420p16le"])
    assert common_bits(look, deep) == 12
    white = np.full(deep.format.frame_samples(48, 46), 235 << 8, "<u2")
    assert np.unique(LumaOf(deep, look, 12)(white)).tolist() == [235 << 4]


# Models


def test_models_are_measured_on_the_clip_made_small(folder: Path) -> None:
    models = [Contestant(Upscaler(name, device="cpu"), name) for name in ("bicubic", "espcn")]
    rows = list(evaluate_clip(folder / "hr.mp4", 2, models, ["xpsnr", "vmaf_neg", "steadiness"], ignore))
    assert [(row.model, row.scale, row.frames) for row in rows] == [("bicubic", 2, FRAMES), ("espcn", 2, FRAMES)]
    bicubics, espcns = rows
    assert all(a > b + 0.3 for a, b in zip(espcns.values["xpsnr"], bicubics.values["xpsnr"], strict=True))
    assert espcns.pooled("vmaf_neg", "mean") > bicubics.pooled("vmaf_neg", "mean")
    assert espcns.frames_per_second
    assert espcns.times[1] == Fraction(1001, 24000)
    assert bicubics.steadiness
    assert espcns.steadiness
    assert bicubics.steadiness.ratio == pytest.approx(1, abs=0.05), (
        "rounded to code values, and bicubic beside it is not"
    )
    assert bicubics.steadiness.pairs == FRAMES - 1
    assert espcns.steadiness.bicubic == bicubics.steadiness.bicubic, "of one LR"
    assert espcns.steadiness.ratio > bicubics.steadiness.ratio


def test_what_cannot_be_measured_is_told_and_the_rest_goes_on(folder: Path) -> None:
    events: list[Event] = []
    bicubic = [Contestant(Upscaler("bicubic", device="cpu"), "bicubic")]
    assert not list(evaluate_clip(folder / "small.mkv", 2, bicubic, ["xpsnr"], events.append))
    (failed,) = events
    assert isinstance(failed, Failed)
    assert "small.mkv: 40 x 40 pixels are too few: the metrics of clips need 45 a side" in failed.message
    assert open_side(folder / "rgb.mkv").look.range == "tv"


# The command line


@pytest.mark.slow
def test_the_table_of_a_clip_has_three_rows_a_model(run: Run, folder: Path) -> None:
    done = run("eval", folder / "hr.mp4", "-m", "espcn", "--metrics", "xpsnr,steadiness")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "hr.mp4 x2, 3 frames"
    assert "model over the frames XPSNR steadiness ratio s frames/s" in lines
    assert "steadiness: mean difference of neighbouring frames along the motion of LR" in done.out
    (bicubics,) = (line.split() for line in lines if line.startswith("bicubic mean"))
    assert float(bicubics[4]) == pytest.approx(1, abs=0.05)
    assert [line.split()[0] for line in lines if "mean" in line][:4] == ["bicubic", "harmonic", "espcn", "harmonic"]
    assert "LR by bicubic of each plane; luma of 8 bits, bt709, tv; mean" in " ".join(lines)


def test_programs_get_a_record_for_the_clip_and_for_each_frame(run: Run, folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "figures.csv"
    done = run("eval", folder / "same.mkv", "--reference", folder / "hr.mp4", "--metrics", "vmaf,xpsnr,steadiness",
               "--json", "--per-picture", "--csv", file)  # fmt: skip
    *frames, clip = [json.loads(line, parse_constant=pytest.fail) for line in done.out.splitlines()]
    assert [(record["event"], record["frame"]) for record in frames] == [("frame", 1), ("frame", 2), ("frame", 3)]
    assert clip["event"] == "clip"
    assert clip["vmaf_worst"] <= clip["vmaf_harmonic"] <= clip["vmaf"]
    assert clip["xpsnr"] is None  # equal
    assert clip["steadiness_ratio"] == pytest.approx(1, abs=0.02)
    assert clip["steadiness"] > 0
    with file.open(newline="", encoding="utf-8") as text:
        assert [row["frame"] for row in csv.DictReader(text)] == ["1", "2", "3", ""]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["hr.mp4", "--metrics", "lpips"], "--metrics lpips is for pictures. Of clips, choose from vmaf, vmaf-neg"),
        (["hr.mp4", "--metrics", "beauty"], "--metrics beauty is not known. Choose from lpips, dists"),
        (["hr.mp4", "--lr-jpeg", "30"], "--lr-jpeg is for pictures: LR of clips is made by bicubic alone"),
        (["hr.mp4", "--no-reference"], "--no-reference is for pictures"),
        (["hr.mp4", "a.png"], "is a clip, and a.png is none. Measure them in two runs"),
        (["a.png", "--frames", "2"], "--frames is for clips"),
        (["a.png", "--metrics", "steadiness"], "--metrics steadiness is for clips. Of pictures, choose from lpips"),
        (["hr.mp4", "--reference", "hr.mp4", "-m", "espcn"], "--model is about upscaling"),
        (["hr.mp4", "--reference", "a.png"], "are not of one kind"),
        (["hr.mp4", "hr.mp4", "--reference", "hr.mp4"], "--reference is compared with one result"),
    ],
)
def test_wrong_usage_is_one_line(run: Run, folder: Path, options: list[str], message: str) -> None:
    given = [folder / option if option == "hr.mp4" else option for option in options]
    done = run("eval", *given)
    assert done.code == 2
    assert message in done.line


def test_an_ffmpeg_that_lacks_a_filter_is_told_or_worked_around(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale_cli.evaluation.ffmpeg_metrics.filters_of", lambda _: frozenset({"xpsnr"}))
    done = run("eval", folder / "hr.mp4", "--metrics", "vmaf")
    assert done.code == 2
    assert "has no filter libvmaf" in done.line
    done = run("eval", folder / "same.mkv", "--reference", folder / "hr.mp4")
    assert "lacks what measures vmaf, vmaf-neg, ssim-float; left out" in done.err
    assert "XPSNR" in done.out
    assert "steadiness" in done.out


def test_a_single_frame_has_no_steadiness_and_that_is_told(run: Run, folder: Path) -> None:
    given = ["--reference", folder / "hr.mp4", "--metrics", "steadiness", "--frames", 1]
    done = run("eval", folder / "same.mkv", *given)
    assert done.code == 0
    assert "same.mkv: no two neighbouring frames can be compared; steadiness is left out" in done.err
    assert "ratio" not in done.out


@pytest.mark.slow
def test_pictures_get_the_metrics_of_clips_as_columns(run: Run, tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()[:200, 100:300]).save(tmp_path / "a.png")
    done = run("eval", tmp_path / "a.png", "-m", "espcn", "-s", "2", "--json", "--metrics", "niqe,vmaf-neg,xpsnr")
    bicubics, espcns = map(json.loads, done.out.splitlines())
    assert list(bicubics)[-5:-2] == ["niqe", "vmaf_neg", "xpsnr"]
    assert espcns["xpsnr"] > bicubics["xpsnr"]
    done = run("eval", tmp_path / "a.png", "--reference", tmp_path / "a.png", "--json", "--metrics", "vmaf-neg")
    (record,) = map(json.loads, done.out.splitlines())
    assert (record["model"], record["psnr_y"]) == ("(as it is)", None)
    assert record["vmaf_neg"] > 97
