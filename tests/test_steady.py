"""--steady: less noise along the motion, nothing of what has gone, and the same bytes wherever a run begins."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.clips import Clips
from tests.command import Run
from tests.examine import assert_same_times, examine, planes, ticks
from tests.test_flow import Doubling, Sink, frames
from tests.test_flow import run as run_flow
from tests.test_stretched import FFV1, by_threads, job_for, upscaler
from tests.test_video_resume import done, halted, keep_segments, work_of
from upscale_cli.api import upscale_frames
from upscale_cli.errors import OptionError
from upscale_cli.evaluation.steadiness import comparable, steadiness
from upscale_cli.events import ignore
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.frames.video import VideoFrame
from upscale_cli.inference.device import Device
from upscale_cli.inference.motion import dense, motion
from upscale_cli.inference.steady import LOOKS_BACK, Steady
from upscale_cli.jobs import video_segments
from upscale_cli.jobs.frame_queue import Tally
from upscale_cli.jobs.preview import SteadySide
from upscale_cli.jobs.video import run_clip
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.jobs.video_segments import run_in_segments
from upscale_cli.media.video import segments
from upscale_cli.media.video.reader_arguments import DecodeOptions

HEIGHT, WIDTH, SCALE = 48, 64, 2
CPU = Device("cpu")
GRAY = FORMATS["gray"]

Plane = NDArray[np.float64]


def scene(x: float = 0.0, y: float = 0.0, *, scale: int = 1, seed: int = 0) -> Plane:
    """A view of waves of many lengths, which begins `x` and `y` LR pixels from their origin: known at every place."""
    rng = np.random.default_rng(seed)
    rows, columns = (np.arange(HEIGHT * scale) + 0.5) / scale + y, (np.arange(WIDTH * scale) + 0.5) / scale + x
    view = np.full((len(rows), len(columns)), 128.0)
    for length in (5, 7, 9, 13, 19, 29, 43):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        along = np.cos(angle) * columns[None] + np.sin(angle) * rows[:, None]
        view += 14 * np.cos(2 * np.pi * along / length + phase)
    return view


def noisy(view: Plane, seed: int, sigma: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1000 + seed).normal(0, sigma, view.shape)
    return np.clip(np.rint(view + noise), 0, 255).astype(np.uint8)


def gray() -> Steady:
    return Steady(GRAY, (WIDTH, HEIGHT), (WIDTH * SCALE, HEIGHT * SCALE), CPU)


def steadied(pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> list[NDArray[np.uint8]]:
    """LR and SR planes through one `Steady`."""
    steady = gray()
    return [steady(lr.reshape(-1), sr.reshape(-1)).reshape(sr.shape) for lr, sr in pairs]


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    from skimage.metrics import peak_signal_noise_ratio

    return float(peak_signal_noise_ratio(np.asarray(one, np.float64), np.asarray(other, np.float64), data_range=255))


# Motion


@pytest.mark.parametrize(("x", "y"), [(0, 0), (0.5, 0), (-1.25, 0.75), (3, -2), (-7.3, 4.6)])
def test_a_pan_is_found(x: float, y: float) -> None:
    before, now = (torch.from_numpy(view.astype(np.float32))[None, None] for view in (scene(), scene(x, y)))
    flow = dense(motion(now, before), HEIGHT, WIDTH)[0]
    inner = flow[:, 12:-12, 12:-12]
    for found, wanted in zip(inner, (x, y), strict=True):
        assert float((found - wanted).abs().median()) < 0.03
        assert float((found - wanted).abs().max()) < 0.25
    if not (x or y):
        assert float(flow.abs().max()) < 1e-5


# What becomes of frames


def test_a_still_clip_with_noise_gets_steadier_and_nearer_to_what_was_shown() -> None:
    lr, sr = scene(), scene(scale=SCALE)
    pairs = [(noisy(lr, n, 1.5), noisy(sr, 100 + n, 3)) for n in range(8)]
    out = steadied(pairs)
    shimmer = [
        np.mean([np.abs(b.astype(int) - a).mean() for a, b in itertools.pairwise(clip[LOOKS_BACK:])])
        for clip in ([sr for _, sr in pairs], out)
    ]
    assert shimmer[1] < 0.45 * shimmer[0]
    assert psnr(out[-1], sr) > psnr(pairs[-1][1], sr) + 3.5
    np.testing.assert_array_equal(out[0], pairs[0][1])


def test_a_pan_is_followed() -> None:
    """By parts of LR pixels: to average without moving would smear."""
    steps = [(0.6 * n, -0.35 * n) for n in range(6)]
    clean = [scene(*step, scale=SCALE) for step in steps]
    pairs = [
        (noisy(scene(*step), n, 1), noisy(sr, 100 + n, 3))
        for n, (step, sr) in enumerate(zip(steps, clean, strict=True))
    ]
    inner = slice(16, -16), slice(16, -16)
    out = steadied(pairs)
    assert psnr(out[-1][inner], clean[-1][inner]) > psnr(pairs[-1][1][inner], clean[-1][inner]) + 3


def test_nothing_is_left_of_what_was_before_a_cut() -> None:
    shots = [(scene(seed=seed), scene(scale=SCALE, seed=seed)) for seed in (1, 1, 1, 2, 2)]
    pairs = [(noisy(lr, n, 1), noisy(sr, n, 2)) for n, (lr, sr) in enumerate(shots)]
    out = steadied(pairs)
    np.testing.assert_array_equal(out[3], pairs[3][1])
    np.testing.assert_array_equal(out[4], steadied(pairs[3:])[1])
    assert (out[4] != pairs[4][1]).any()


def test_what_moves_over_a_still_ground_leaves_no_trace() -> None:
    """Without noise, so that whatever differs is a trace."""
    pairs: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]] = []
    for n in range(5):
        lr, sr = scene(), scene(scale=SCALE)
        left = 6 + 7 * n
        lr[16:32, left : left + 14] = 230
        sr[32:64, 2 * left : 2 * left + 28] = 230
        pairs.append((noisy(lr, n, 0), noisy(sr, n, 0)))
    for (_, shown), out in zip(pairs, steadied(pairs), strict=True):
        assert np.abs(out.astype(int) - shown).max() <= 6
        assert np.abs(out.astype(int) - shown).mean() < 0.1


def test_a_frame_depends_on_two_before_it_alone() -> None:
    pairs = [(noisy(scene(0.4 * n), n, 1), noisy(scene(0.4 * n, scale=SCALE), n, 3)) for n in range(6)]
    np.testing.assert_array_equal(steadied(pairs)[5], steadied(pairs[5 - LOOKS_BACK :])[LOOKS_BACK])
    assert (steadied(pairs)[5] != steadied(pairs[5:])[0]).any()


@pytest.mark.parametrize("name", ["yuv420p", "gray10le", "yuv422p10le", "yuv440p", "yuva444p16le", "gbrp12le", "gbrap"])
def test_every_kind_of_planes(name: str) -> None:
    """Odd sides; transparency stays; every plane of colour gets steadier; equal frames stay as they are."""
    format = FORMATS[name]
    lr_size, sr_size = (33, 27), (67, 54)
    step = 1 << (format.bits - 8)

    def frame(size: tuple[int, int], seed: int) -> NDArray[Any]:
        rng = np.random.default_rng(seed)
        samples = rng.normal(100, 3, format.frame_samples(*size)) * step
        return np.rint(samples).astype(format.dtype)

    def parts(samples: NDArray[Any]) -> Iterator[NDArray[Any]]:
        start = 0
        for rows, columns in format.plane_sizes(*sr_size):
            yield samples[start : start + rows * columns]
            start += rows * columns

    steady = Steady(format, lr_size, sr_size, CPU)
    lr = frame(lr_size, 0)
    lr.flags.writeable = False
    shown = [frame(sr_size, seed) for seed in (1, 2, 3)]
    out = [steady(lr, sr) for sr in shown]
    assert out[2].dtype == format.dtype
    for number, (before, after) in enumerate(zip(parts(shown[2]), parts(out[2]), strict=True)):
        if format.alpha and number == 3:
            np.testing.assert_array_equal(before, after)
        else:
            assert after.std() < 0.65 * before.std()
    for _ in range(LOOKS_BACK):
        steady(lr, shown[2])
    np.testing.assert_array_equal(steady(lr, shown[2]), shown[2])
    np.testing.assert_array_equal(steady(lr, shown[1], net=False), shown[1])
    np.testing.assert_array_equal(steady(lr, shown[2]), shown[2])


def test_of_two_side_by_side_the_right_one_is_made_steady() -> None:
    pairs = [(noisy(scene(), n, 1), noisy(scene(scale=SCALE), n, 3)) for n in range(3)]
    side = SteadySide(gray(), GRAY, WIDTH * SCALE, HEIGHT * SCALE)
    for (lr, sr), wanted in zip(pairs, steadied(pairs), strict=True):
        both = np.concatenate((sr, sr), axis=1)
        out = side(lr.reshape(-1), both.reshape(-1), net=True).reshape(both.shape)
        np.testing.assert_array_equal(out, np.concatenate((sr, wanted), axis=1))


# In a clip


def test_repeats_are_finished_too_and_what_leads_is_not_written() -> None:
    seen: list[tuple[int, int, bool]] = []

    def finish(lr: NDArray[Any], sr: NDArray[Any], *, net: bool) -> NDArray[Any]:
        seen.append((int(lr[0]), int(sr[0]), net))
        return sr + np.uint8(len(seen))

    source = [
        VideoFrame(frame.samples, frame.pts, is_lead=frame.pts < 2) for frame in frames(6, value=lambda at: at // 2)
    ]
    sink, tally = Sink(), Tally()
    run_flow(source, sink, pipelines={0: Doubling(2)}, finish={0: finish}, tally=tally)
    assert seen == [(at // 2, at // 2 * 2, True) for at in range(6)]
    assert sink.written == [(0, at, at // 2 * 2 + at + 1) for at in range(2, 6)]
    assert (tally.frames, tally.net, tally.same) == (4, 2, 2)


LENGTH = 5
LOSSLESS = ("--codec", "ffv1", "--steady")


@pytest.fixture
def _short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (segments, video_segments):
        monkeypatch.setattr(module, "segment_length", lambda _: LENGTH)


def assert_same_pictures(one: Path, other: Path) -> None:
    for before, after in zip(planes(one), planes(other), strict=True):
        for plane, again in zip(before, after, strict=True):
            np.testing.assert_array_equal(plane, again)


def test_times_and_number_of_frames_stay(clips: Clips, tmp_path: Path) -> None:
    """Of a variable rate; and something is done."""
    done(clips("vfr_mkv"), tmp_path / "plain.mkv", "--codec", "ffv1")
    done(clips("vfr_mkv"), tmp_path / "steady.mkv", *LOSSLESS)
    source, steady = examine(clips("vfr_mkv")), examine(tmp_path / "steady.mkv")
    assert_same_times(source.picture.pts, steady.picture.pts, ticks(steady.video) / 2)
    with pytest.raises(AssertionError):
        assert_same_pictures(tmp_path / "plain.mkv", tmp_path / "steady.mkv")


@pytest.mark.slow
@pytest.mark.usefixtures("_short_segments")
def test_segments_however_they_are_made_are_what_one_run_makes(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken up behind the first and the second of them, and each by another worker."""
    source, alone, output = clips("long_gop"), tmp_path / "alone.mkv", tmp_path / "out.mkv"
    options = (*LOSSLESS, "--start", "0.3", "--frames", 12)
    done(source, alone, *options)
    for stop in (1, 2):
        keep_segments(halted(source, output, *options, monkeypatch=monkeypatch), stop)
        assert "going on after frame" in done(source, output, "--resume", *options)
        assert_same_pictures(alone, output)
        output.unlink()
    with ThreadPoolExecutor(2) as pool:
        job = job_for(source, output, encode=FFV1, decode=DecodeOptions(start=0.3, frames=12), steady=True)
        run_in_segments(job, upscaler(), by_threads(pool), ignore)
    assert_same_pictures(alone, output)


@pytest.mark.usefixtures("_short_segments")
def test_a_run_that_was_begun_without_is_another_job(
    clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.mkv"
    halted(clips("plain"), output, monkeypatch=monkeypatch)
    with pytest.raises(OptionError, match=r"steady= \(not given then, True now\)"):
        run_clip(job_for(clips("plain"), output, steady=True, resume=True), upscaler())
    assert work_of(output).exists()


def test_frames_for_other_programs_are_those_of_the_file(clips: Clips, tmp_path: Path) -> None:
    done(clips("odd"), tmp_path / "out.mkv", *LOSSLESS)
    given = upscale_frames(clips("odd"), 2, model="bicubic", device="cpu", options=ClipOptions(steady=True))
    for frame, written in zip(given, planes(tmp_path / "out.mkv"), strict=True):
        for plane, again in zip(frame.planes, written, strict=True):
            np.testing.assert_array_equal(plane, again)


def test_on_a_picture_it_has_no_effect_and_says_so(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    outcome = run(tmp_path / "a.png", "-m", "bicubic", "-s", 2, "-o", tmp_path / "b.png", "--steady")
    assert outcome.code == 0
    assert "--steady is for clips, and there is none here: no effect." in outcome.err


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "gbrp"])
def test_what_is_as_light_as_what_it_moves_over_leaves_no_trace(name: str) -> None:
    """A patch of colour that luma does not show, over gray that shimmers a little."""
    format = FORMATS[name]
    steady = Steady(format, (WIDTH, HEIGHT), (WIDTH * SCALE, HEIGHT * SCALE), Device("cpu"))

    def frame(number: int, scale: int) -> NDArray[np.uint8]:
        height, width = HEIGHT * scale, WIDTH * scale
        patch = slice(16 * scale, 40 * scale), slice((8 + 6 * number) * scale, (24 + 6 * number) * scale)
        luma = noisy(scene(scale=scale), number, 1).astype(int)
        green, blue = np.zeros((2, height, width), int)
        if format.model == "rgb":
            green[patch], blue[patch] = -10, 60  # 0.6 * -10 + 0.1 * 60 = 0
            return np.concatenate([luma + green, luma + blue, luma], axis=None).clip(0, 255).astype(np.uint8)
        blue[patch] = 60
        chroma = 128 + np.stack([blue, green])[:, :: 1 << format.shift_y, :: 1 << format.shift_x]
        return np.concatenate([luma.ravel(), chroma.ravel()]).clip(0, 255).astype(np.uint8)

    for number in range(4):
        sr = frame(number, SCALE)
        found = steady(frame(number, 1), sr)
    assert (found != sr).any(), "noise is averaged all the same"
    assert np.abs(found.astype(int) - sr).max() < 12


# The measure


def still(_: NDArray[Any], __: NDArray[Any]) -> NDArray[np.float32]:
    return np.zeros((2, HEIGHT, WIDTH), np.float32)


def test_of_what_stands_still_it_is_the_mean_difference() -> None:
    pairs = [(noisy(scene(), n, 1), noisy(scene(scale=SCALE), 9 + n, 3)) for n in range(3)]
    found = steadiness(pairs, still)
    inner = slice(4 * SCALE, -4 * SCALE), slice(4 * SCALE, -4 * SCALE)
    wanted = np.mean([np.abs(b[1].astype(int) - a[1])[inner].mean() for a, b in itertools.pairwise(pairs)])
    assert found.difference == pytest.approx(wanted, rel=1e-4)
    assert (found.pairs, found.left_out) == (2, 0)
    assert found.seen == pytest.approx((HEIGHT - 8) * (WIDTH - 8) / (HEIGHT * WIDTH))
    assert 0 < found.bicubic < found.difference
    assert found.ratio == found.difference / found.bicubic


def test_a_pan_without_noise_is_steady_and_a_cut_is_left_out() -> None:
    views: Sequence[Callable[..., Plane]] = [
        lambda scale, n=n: scene(0.7 * n, 0.4 * n, scale=scale, seed=int(n > 2)) for n in range(6)
    ]
    found = steadiness((view(1), view(SCALE)) for view in views)
    assert found.difference < 1.0 < np.abs(views[1](SCALE) - views[0](SCALE)).mean()
    assert (found.pairs, found.left_out) == (4, 1)
    assert found.seen > 0.5


def test_what_is_hidden_is_not_compared() -> None:
    there = np.zeros((2, HEIGHT, WIDTH), np.float32)
    there[0, 10:20, 20:30] = 3
    back = -there
    mask = comparable(there, back)
    assert mask[30:-4, 30:-4].all()
    assert not mask[12:18, 28:30].any(), "what lies there moved on from where there is nothing of it"
