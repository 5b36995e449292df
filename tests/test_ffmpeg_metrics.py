"""VMAF, XPSNR and SSIM by ffmpeg's filters: against other implementations, and against what is known of them."""

import json
import math
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data
from skimage.metrics import structural_similarity

from upscale_cli.errors import FFmpegError, OptionError
from upscale_cli.evaluation import ffmpeg_metrics
from upscale_cli.evaluation.ffmpeg_metrics import FILTER_METRICS, LEAST_SIDE, FFmpegMeter, check_filters, of_picture
from upscale_cli.evaluation.metrics import bicubic, full_luma, psnr, to_8_bit
from upscale_cli.evaluation.pooling import pooled
from upscale_cli.media.video.ffmpeg.binary import find_ffmpeg

Luma = NDArray[np.uint8]


def luma(height: int, width: int) -> Luma:
    """A cut of a photograph."""
    photo = np.tile(full_luma(data.astronaut()), (1, 2))
    return to_8_bit(photo[:height, 60 : 60 + width]).astype(np.uint8)


def softened(hr: Luma, scale: int = 4) -> Luma:
    """Shrunk and enlarged."""
    return to_8_bit(bicubic(bicubic(hr.astype(float), 1 / scale), scale)).astype(np.uint8)


@pytest.fixture(scope="module")
def pair() -> tuple[Luma, Luma]:
    hr = luma(96, 128)
    return softened(hr), hr


def test_equal_pictures_are_as_good_as_it_gets(pair: tuple[Luma, Luma]) -> None:
    found = of_picture(pair[1], pair[1], FILTER_METRICS)
    assert found["vmaf"] > 97  # of a picture that stands still the model gives no 100
    assert found["vmaf_neg"] > 97
    assert found["xpsnr"] == math.inf
    assert found["ssim_float"] == 1


def test_ssim_is_scikit_images_up_to_its_window(pair: tuple[Luma, Luma]) -> None:
    """Of large pictures too, which libvmaf would shrink first; its window's taps are rounded."""
    large = luma(400, 400)
    for sr, hr in (pair, (softened(large), large)):
        expected = structural_similarity(
            sr.astype(float), hr.astype(float), gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            data_range=255,
        )  # fmt: skip
        assert of_picture(sr, hr, ["ssim_float"]) == {"ssim_float": pytest.approx(expected, abs=5e-4)}


def xpsnr(sr: Luma, hr: Luma) -> float:
    """XPSNR of a still picture between VGA and HD size, by its paper's definition: each block's squared error counts by
    sqrt(a_pic / a_k), a_k the squared mean of what a high-pass leaves of HR there."""
    height, width = hr.shape
    side = 4 * int(32 * math.sqrt(height * width / (3840 * 2160)) + 0.5)
    x = hr.astype(float)
    across = x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:]
    corners = x[:-2, :-2] + x[:-2, 2:] + x[2:, :-2] + x[2:, 2:]
    high = np.full(hr.shape, np.nan)
    high[1:-1, 1:-1] = np.abs(12 * x[1:-1, 1:-1] - 2 * across - corners)
    error = (sr - x) ** 2
    total = 0.0
    for top in range(0, height, side):
        for left in range(0, width, side):
            block = np.s_[top : top + side, left : left + side]
            total += error[block].sum() / max(float(np.nanmean(high[block])), 4.0)
    total *= math.sqrt(16 * 2**7 / math.sqrt(height * width / (3840 * 2160)))
    return 10 * math.log10(height * width * 255**2 / total)


def test_xpsnr_is_what_its_paper_defines_with_weights_by_hr() -> None:
    hr = luma(480, 720)
    sr = softened(hr)
    ours = of_picture(sr, hr, ["xpsnr"])["xpsnr"]
    assert ours == pytest.approx(xpsnr(sr, hr), abs=0.01)
    assert abs(ours - xpsnr(hr, sr)) > 1  # which way round it is matters


def test_more_bits_change_no_value(pair: tuple[Luma, Luma]) -> None:
    eight = of_picture(*pair, ["vmaf", "ssim_float"])
    with FFmpegMeter(["vmaf", "ssim_float"], *pair[1].shape, bits=10) as meter:
        meter.add(*(plane.astype(np.uint16) * 4 for plane in pair))
        ten = meter.values()
    assert {metric: values[0] for metric, values in ten.items()} == pytest.approx(eight, abs=1e-3)


def test_the_smallest_pictures_and_odd_sides_have_values() -> None:
    hr = luma(48, 60)[:LEAST_SIDE, :59]
    sr = softened(luma(48, 60))[:LEAST_SIDE, :59]
    found = of_picture(sr, hr, FILTER_METRICS)
    assert 0 < found["vmaf_neg"] <= found["vmaf"] < 97
    assert 20 < found["xpsnr"] < psnr(sr, hr)  # errors in smooth places weigh more


def test_values_are_those_of_a_plain_ffmpeg_command(tmp_path: Path) -> None:
    """Frame by frame and over the clip, of a clip that moves."""
    scene = luma(96, 160)
    frames = [scene[:, 3 * number : 3 * number + 96] for number in range(4)]
    for name, pictures in (("hr", frames), ("sr", [softened(frame) for frame in frames])):
        (tmp_path / f"{name}.yuv").write_bytes(b"".join(picture.tobytes() + bytes(96 * 48) for picture in pictures))
    raw = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", "96x96", "-r", "24000/1001", "-i")
    graph = "[0:v][1:v]libvmaf=log_fmt=json:log_path=vmaf.json;[1:v][0:v]xpsnr=stats_file=xpsnr.txt"
    command = [find_ffmpeg().path, "-v", "error", *raw, "sr.yuv", *raw, "hr.yuv", "-lavfi", graph, "-f", "null", "-"]
    subprocess.run(command, cwd=tmp_path, check=True)
    theirs = json.loads((tmp_path / "vmaf.json").read_text())
    with FFmpegMeter(FILTER_METRICS, 96, 96, rate=Fraction(24000, 1001)) as meter:
        for frame in frames:
            meter.add(softened(frame), frame)
        ours = meter.values()
    assert ours["vmaf"] == pytest.approx([frame["metrics"]["vmaf"] for frame in theirs["frames"]], abs=1e-4)
    whole = theirs["pooled_metrics"]["vmaf"]
    assert pooled(ours["vmaf"], "mean") == pytest.approx(whole["mean"], abs=1e-4)
    assert pooled(ours["vmaf"], "harmonic") == pytest.approx(whole["harmonic_mean"], abs=1e-4)
    assert pooled(ours["vmaf"], "worst") == pytest.approx(whole["min"], abs=1e-4)
    average = (tmp_path / "xpsnr.txt").read_text().split("average")[1].split("y: ")[1].split()[0]
    assert pooled(ours["xpsnr"], "mean", in_decibels=True) == pytest.approx(float(average), abs=2e-4)


def test_equal_frames_do_not_decide_what_decibels_come_to() -> None:
    assert pooled([math.inf, 30.0], "mean", in_decibels=True) == pytest.approx(30 + 20 * math.log10(2))
    assert pooled([math.inf, math.inf], "mean", in_decibels=True) == math.inf
    assert pooled([math.inf, 30.0], "worst", in_decibels=True) == pytest.approx(30)
    values = [float(number) for number in range(250)]
    assert pooled(values, "worst") == 1  # the mean of 0, 1 and 2


def test_an_ffmpeg_without_the_filter_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg_metrics, "filters_of", lambda _: frozenset({"xpsnr"}))
    check_filters(["xpsnr"], find_ffmpeg())
    with pytest.raises(OptionError, match=r"metrics='vmaf-neg': ffmpeg .* has no filter libvmaf"):
        check_filters(["xpsnr", "vmaf_neg"], find_ffmpeg())


def test_an_ffmpeg_that_fails_is_one_line_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, pair: tuple[Luma, Luma]
) -> None:
    monkeypatch.setitem(ffmpeg_metrics._MODELS, "vmaf", "no_such_model")
    with pytest.raises(FFmpegError, match=r"could not measure frames of 128 x 96") as raised:
        of_picture(*pair, ["vmaf"])
    assert "\n" not in str(raised.value)
