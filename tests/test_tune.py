"""`upscale tune` and `upscale bench`: what is seen, tried, run, and printed."""

import json
import shlex
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.command import Run
from upscale_cli.cli.flags import in_flags
from upscale_cli.errors import OptionError
from upscale_cli.events import Event, Failed, Note, noting_once
from upscale_cli.frames.appearance import Appearance
from upscale_cli.inference.backends import openvino
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.video_facts import chosen_streams
from upscale_cli.media.video.probe import probe
from upscale_cli.messages import option
from upscale_cli.models.resolve import best_clip_model
from upscale_cli.models.suitable import group_of, suitable_model
from upscale_cli.tuning import bench, trial, tune
from upscale_cli.tuning.look import Looked, bars_of, look_at
from upscale_cli.tuning.sheet import CAPTION, MARGIN, write_sheet
from upscale_cli.tuning.trial import most_detailed

pytestmark = pytest.mark.usefixtures("_quick")


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "RUN_SECONDS", 0.2)
    monkeypatch.setattr("upscale_cli.tuning.trial.TRIAL_MACS", 10**7)
    monkeypatch.setattr("upscale_cli.tuning.trial.TRIAL_RUNS", 1)


def scene(height: int, width: int, noise: float = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    picture = 120 + 60 * np.sin(x / 9.0) * np.cos(y / 13.0)
    picture = np.repeat(picture[:, :, None], 3, axis=2) + rng.normal(0, noise, (height, width, 1))
    return np.asarray(picture.clip(0, 255).round().astype(np.uint8))


def film(path: Path, frames: list[NDArray[np.uint8]]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25), options={"qp": "0"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("sigma", [0, 2, 5, 12])
def test_noise_is_estimated(tmp_path: Path, sigma: float) -> None:
    Image.fromarray(scene(300, 400, sigma)).save(tmp_path / "a.png")
    assert abs(look_at(tmp_path / "a.png").noise - sigma) < 0.15 * sigma + 0.5


def seen(bits_per_pixel: float | None, noise: float) -> Looked:
    frame = scene(24, 32)
    return Looked(Path("clip.mp4"), 32, 24, "clip", "h264", 10, 25.0, noise, bits_per_pixel, 0.0, 0.0, frame)


@pytest.mark.parametrize(
    ("bits_per_pixel", "noise", "fast", "balanced"),
    [
        (0.5, 0, "swift", "sharp"),
        (0.01, 0, "swift-robust", "sharp-robust"),
        (0.5, 9, "swift", "sharp"),
        (None, 0, "swift-robust", "sharp-robust"),
    ],
)
def test_a_clip_is_tuned_with_the_models_that_it_would_get(
    bits_per_pixel: float | None, noise: float, fast: str, balanced: str
) -> None:
    models = tune.models_for(seen(bits_per_pixel, noise), 2)
    assert (models["fast"], models["balanced"]) == ((fast, True), (balanced, False))


def test_bars_are_found() -> None:
    luma = np.full((100, 200), 16, np.float32)
    assert bars_of([luma]) == 0  # all dark: a dark picture, no bars
    luma[10:90] = 100
    assert bars_of([luma]) == pytest.approx(0.2)


def test_the_most_detailed_piece() -> None:
    picture = np.zeros((100, 120, 3), np.uint8)
    picture[60:70, 80:90] = np.indices((10, 10)).sum(axis=0)[:, :, None] % 2 * 255
    np.testing.assert_array_equal(most_detailed(picture, 10, 10), picture[60:70, 80:90])
    assert most_detailed(picture, 500, 500).shape == picture.shape


def test_a_sheet(tmp_path: Path) -> None:
    pieces = {"bicubic": scene(40, 50), "espcn": scene(40, 50)[::-1].copy()}
    write_sheet(tmp_path / "a.png", pieces, overwrite=False)
    with Image.open(tmp_path / "a.png") as sheet:
        made = np.asarray(sheet)
    top, left = MARGIN + CAPTION, 2 * MARGIN + 50
    np.testing.assert_array_equal(made[top : top + 40, left : left + 50], pieces["espcn"])
    assert made[MARGIN : MARGIN + CAPTION, left : left + 50].max() > 200  # its name is there


def test_a_photo_is_shown_in_its_colours(tmp_path: Path) -> None:
    ink = np.full((40, 50, 4), (0, 255, 255, 0), np.uint8)
    ink[:, 25:] = 0
    Image.fromarray(ink, "CMYK").save(tmp_path / "a.tif")
    deep = np.full((40, 50), 40_000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "b.png")
    red, white = look_at(tmp_path / "a.tif").sample[20, [10, 40]].astype(int)
    assert red[0] > 150 > 100 > max(red[1:])
    assert min(white) > 250
    assert set(look_at(tmp_path / "b.png").sample.ravel()) == {round(40_000 / 257)}


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.avif", "a.tif", "a.gif", "a.bmp"])
def test_a_photo_of_any_format_is_looked_at(tmp_path: Path, name: str) -> None:
    Image.fromarray(scene(48, 64)).save(tmp_path / name)
    looked = look_at(tmp_path / name)
    assert (looked.sample.shape, looked.appearance.width) == ((48, 64, 3), 64)
    assert looked.appearance.kind is not None


def test_bits_per_pixel_are_those_that_a_run_chooses_by(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [scene(96, 128, noise=9)] * 12)
    stream = chosen_streams(probe(path), None)[0]
    assert stream.bits_per_pixel
    assert look_at(path).bits_per_pixel == stream.bits_per_pixel


def test_a_piece_is_smaller_where_a_pass_follows_a_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TRIAL_MACS", 10**9)
    sample, upscaler = scene(512, 512), Upscaler("espcn", device="cpu")
    sides = [trial.piece_of(sample, upscaler, scale).shape[0] for scale in (4, 16)]
    assert sides[0] > sides[1]


def test_a_look_at_a_clip(tmp_path: Path) -> None:
    still, other = scene(96, 128), scene(96, 128)[::-1].copy()
    still[:12], other[:12] = 0, 0
    looked = look_at(film(tmp_path / "a.mp4", [still] * 20 + [other] * 20))
    assert (looked.width, looked.height, looked.kind, looked.codec) == (128, 96, "clip", "h264")
    assert (looked.frames, looked.fps) == (40, 25)
    assert looked.repeats > 0.6
    assert 0.08 < looked.bars < 0.15
    assert looked.noise < 2


@pytest.mark.parametrize(
    ("appearance", "fast"),
    [(Appearance("PNG", "photograph", noise=9.0), "sharp-robust"), (Appearance("PNG", "photograph"), "swift"),
     (Appearance("JPEG", "photograph", jpeg_quality=30), "sharp-robust")],
)  # fmt: skip
def test_a_photo_is_tuned_with_the_model_that_it_would_get(appearance: Appearance, fast: str) -> None:
    looked = replace(seen(1.0, 0), kind="photo", appearance=appearance)
    models = tune.models_for(looked, 2)
    assert models["fast"] == (fast, False)
    assert models["balanced"] == models["best"] == (suitable_model(group_of(appearance, 2)), False)


def events_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_tune_a_photo(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(80, 100)).save("a b.png")
    outcome = run("tune", "a b.png", "--json")
    assert outcome.code == 0, outcome.err
    looked, *ways = events_of(outcome.out)
    assert (looked["event"], looked["kind"], looked["width"]) == ("looked", "photo", 100)
    assert [way["name"] for way in ways] == ["fast", "balanced"]  # the best that is here is the balanced one
    for way in ways:
        assert way["trials"]
        assert all(trial["lr_megapixels_per_second"] > 0 for trial in way["trials"])
        assert way["seconds"] > 0
        assert Path("a b_tune.png").is_file()
        again = run(*shlex.split(way["command"])[1:], "-o", tmp_path / f"{way['name']}.png")  # it is what it says
        assert again.code == 0, again.err
    outcome = run("tune", "a b.png")
    assert outcome.code == 1
    assert "exists already" in outcome.err


def test_what_is_damaged_and_where_it_would_be_taken(tmp_path: Path, run: Run) -> None:
    whole = tmp_path / "whole.png"
    Image.fromarray(scene(24, 24)).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:-40])
    for words in (("tune", tmp_path / "cut.png", "--no-sheet"), ("eval", tmp_path / "cut.png", "-m", "bicubic")):
        assert "the PNG is truncated. --salvage of `upscale` takes the rows" in run(*words).err
    assert "--salvage takes the rows" in run(tmp_path / "cut.png", "-o", tmp_path / "out.png").err


def test_a_note_is_made_once() -> None:
    told: list[Event] = []
    listener = noting_once(told.append)
    for event in (Note("a"), Note("b"), Failed("x", "a"), Note("a"), Failed("x", "a")):
        listener(event)
    assert told == [Note("a"), Note("b"), Failed("x", "a"), Failed("x", "a")]


@pytest.mark.slow
def test_tune_a_clip(tmp_path: Path, run: Run) -> None:
    source = film(tmp_path / "film.mp4", [np.roll(scene(48, 64), step, axis=1) for step in range(12)])
    outcome = run("tune", source, "--no-sheet")
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    assert "fast upscale" in text
    assert "--realtime" in text
    assert "frames a second" in text
    assert "64 x 48, h264, 12 frames" in " ".join(outcome.err.split())
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["film.mp4"]


def test_what_cannot_be_tuned(tmp_path: Path, run: Run) -> None:
    (tmp_path / "a.txt").write_text("nothing")
    outcome = run("tune", tmp_path / "a.txt", "--no-sheet")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    Image.fromarray(scene(20, 20)).save(tmp_path / "a.png")
    for scale in ("-1", "nan", "400"):
        outcome = run("tune", tmp_path / "a.png", "-s", scale, "--no-sheet")
        assert (outcome.code, outcome.out) == (2, "")
        assert f"--scale {scale}" in outcome.line


@pytest.mark.parametrize("source", ["https://example.com/a.jpg", "s3://bucket/a.png", "rtsp://camera/1"])
def test_an_address_is_told_from_a_file_that_is_not_there(source: str, run: Run) -> None:
    outcome = run("tune", source)
    assert outcome.code == 2
    assert f"{source}: is an address" in outcome.line


@pytest.mark.slow
def test_bench_by_a_process_for_each_row(run: Run) -> None:
    (row,) = bench.rows([("espcn", 2)], ["torch"], "cpu")
    assert (row.engine, row.precision, row.failure) == ("torch", "fp32", "")
    assert row.sr_megapixels_per_second == pytest.approx(4 * row.lr_megapixels_per_second, rel=0.02)
    assert row.start_seconds > 0.1
    assert row.peak_megabytes > 50
    (failed,) = {row.failure for row in bench.rows([("espcn", 2)], ["warp"], "cpu")}
    assert (str(failed).startswith("engine='warp' is"), in_flags(failed).startswith("--engine warp is")) == (True, True)
    outcome = run("bench", "-m", "nosuch")
    assert outcome.code == 2


@pytest.mark.slow
def test_bench_has_a_row_for_every_engine_that_is_here(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(model: str, scale: int, engine: str, precision: str, device: str) -> bench.Row:
        asked = {"model": model, "scale": scale, "engine": engine, "precision": precision, "device": device}
        return bench.measured(asked, begin=0)

    monkeypatch.setattr(bench, "_row", row)  # in this process
    monkeypatch.setattr(bench, "models_here", lambda: [("espcn", 2)])
    outcome = run("bench", "--json", "--device", "cpu")
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert not [row["failure"] for row in rows if row["failure"]]
    assert [*dict.fromkeys(row["engine"] for row in rows)] == [*trial.engines_on("cpu")]


def test_what_cannot_be_timed_is_one_line_and_no_table(run: Run) -> None:
    for words, answer in ((("-m", "bicubic"), "is no net"), (("--device", "foo"), "--device foo is unknown")):
        outcome = run("bench", *words)
        assert (answer in outcome.line, outcome.out, outcome.code) == (True, "", 2)


@pytest.mark.skipif("NPU" in openvino.devices(), reason="there is one")
def test_a_device_that_is_not_here_is_one_line(run: Run, tmp_path: Path) -> None:
    Image.fromarray(scene(20, 20)).save(tmp_path / "a.png")
    for words in (("bench", "-m", "espcn"), ("tune", tmp_path / "a.png", "--no-sheet")):
        outcome = run(*words, "--device", "npu")
        assert (outcome.out, outcome.code) == ("", 1)
        assert "device npu: OpenVINO sees" in outcome.line


def test_a_row_that_fails_speaks_of_flags(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    row = bench.Row("swift", 4, "torch", "fp32", failure=OptionError(f"Choose {option('device', 'cpu')}.").message)
    monkeypatch.setattr(bench, "rows", lambda *_: [row])
    assert "Choose --device cpu." in run("bench").out
    assert json.loads(run("bench", "--json").out)["failure"] == "Choose --device cpu."


def test_a_sheet_is_a_png_and_keeps_what_is_there(run: Run, tmp_path: Path) -> None:
    source, there = tmp_path / "a.png", tmp_path / "sheet.png"
    Image.fromarray(scene(32, 32)).save(source)
    there.write_bytes(b"mine")
    assert (
        "Give --overwrite to replace it, another --sheet, or --no-sheet." in run("tune", source, "--sheet", there).line
    )
    assert "a sheet is a PNG" in run("tune", source, "--sheet", tmp_path / "sheet.jpg").line
    assert there.read_bytes() == b"mine"


def test_a_lossless_clip_gets_the_model_that_a_run_would_take(tmp_path: Path) -> None:
    looked = look_at(film(tmp_path / "film.mkv", [scene(48, 64)] * 2))
    assert looked.lossless
    found = tune.models_for(looked, 2)
    assert found["fast"] == (best_clip_model("h264", lossless=True, hurries=True)[0], True)
    assert found["balanced"] == (best_clip_model("h264", lossless=True)[0], False)
