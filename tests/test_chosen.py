"""The choice without -m: what a look at a file shows, and which model is taken for it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from benchmarks import chooser_pictures
from tests.clips import Clips
from tests.command import Run
from upscale_cli.api import upscale_file
from upscale_cli.evaluation.metrics import Shrinking
from upscale_cli.evaluation.reference import Protocol, shrunk
from upscale_cli.events import Chosen, Event, Started
from upscale_cli.executors.ray.worker import request_for
from upscale_cli.frames.appearance import NOISE_TOLD, Appearance
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.upscaler import Recipe
from upscale_cli.jobs.chosen_model import choose_model, possible_models
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.media.image import look
from upscale_cli.media.image.jpeg_quality import quality_by_traces, quality_of_tables
from upscale_cli.media.image.look import look_at
from upscale_cli.media.image.measures import noise_of, overshoot_of, steps_of
from upscale_cli.media.video.probe import probe
from upscale_cli.models.registry import MODELS, rows_of
from upscale_cli.models.resolve import (
    CLIP_LIMITS,
    best_clip_model,
)
from upscale_cli.models.suitable import RANKING, Damage, Group, group_of, suitable_model

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def scene() -> Picture:
    """(256, 256, 3): hills of every size, as a photograph has them, with fine texture."""
    random = np.random.default_rng(7)
    field = np.zeros((256, 256))
    for size in (4, 8, 16, 32, 64, 128):
        coarse = random.normal(0, 200 / size**0.7, (size, size)).astype(np.float32)
        field += np.asarray(Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC))
    gray = np.clip(field - field.mean() + 120, 5, 250)
    return np.stack([gray, gray * 0.9 + 10, gray * 0.8 + 20], axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def drawn() -> Picture:
    """(256, 256, 3): shapes of even colours."""
    image = Image.new("RGB", (256, 256), (240, 220, 200))
    canvas = ImageDraw.Draw(image)
    for at in range(12):
        left, top = at * 37 % 200, at * 61 % 200
        canvas.ellipse((left, top, left + 70, top + 50), (at * 20, 200 - at * 15, 90), (10, 10, 10), 3)
    return np.asarray(image)


def encoded(picture: Picture, format: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format, **options)
    return file.getvalue()


def through(picture: Picture, quality: int) -> Picture:
    return np.asarray(Image.open(io.BytesIO(encoded(picture, "JPEG", quality=quality))))


def luma(picture: Picture) -> NDArray[np.float32]:
    return look.luma_of(look.windows_of(picture), "RGB")


@pytest.mark.parametrize("quality", [5, 30, 49, 50, 75, 92, 100])
def test_the_quality_of_a_jpeg_stands_in_its_tables(scene: Picture, quality: int) -> None:
    assert quality_of_tables(io.BytesIO(encoded(scene, "JPEG", quality=quality))) == quality


@pytest.mark.parametrize("quality", [10, 20, 40, 60, 80])
def test_what_was_a_jpeg_shows_of_which_quality_wherever_it_was_cut(scene: Picture, quality: int) -> None:
    before = through(scene, quality)
    for cut in (before, before[3:, 5:]):
        found = quality_by_traces(luma(cut))
        assert found is not None
        assert abs(found - quality) <= 6


def test_what_was_no_jpeg_shows_no_traces(scene: Picture, drawn: Picture) -> None:
    assert quality_by_traces(luma(scene)) is None
    assert quality_by_traces(luma(drawn)) is None


@pytest.mark.parametrize("quality", [10, 15, 40])
def test_a_former_stronger_compression_counts(scene: Picture, quality: int) -> None:
    seen = look_at(encoded(through(scene, quality), "JPEG", quality=95))
    assert seen.by_pixels
    assert seen.jpeg_quality is not None
    assert abs(seen.jpeg_quality - quality) <= 3
    assert str(seen).startswith(f"JPEG, formerly JPEG of quality about {seen.jpeg_quality}")


@pytest.mark.parametrize("sigma", [5, 12])
def test_noise_is_measured(scene: Picture, sigma: int) -> None:
    smooth = np.asarray(Image.fromarray(scene).resize((128, 128)).resize((256, 256), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).normal(0, sigma, smooth.shape[:2])[..., None]
    noisy = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    assert noise_of(luma(noisy)) == pytest.approx(sigma, rel=0.25)
    assert noise_of(luma(smooth)) < 1.5


@pytest.mark.parametrize("sigma", [40, 80])
def test_what_is_nothing_but_noise_is_looked_at(sigma: int) -> None:
    noise = np.random.default_rng(0).normal(128, sigma, (64, 64, 3)).clip(0, 255).astype(np.uint8)
    for data in (encoded(noise), encoded(noise, "JPEG", quality=90), encoded(np.zeros_like(noise))):
        assert look_at(data).kind is not None


def test_fine_texture_is_no_noise(scene: Picture, drawn: Picture) -> None:
    random = np.random.default_rng(0)
    grass = scene.astype(np.int64)
    grass[:, 128:] += np.rint(random.normal(0, 20, (256, 128, 1))).astype(np.int64)
    for picture in (scene, drawn, grass.clip(0, 255).astype(np.uint8)):
        assert noise_of(luma(picture)) < NOISE_TOLD


def test_a_photograph_and_a_drawing_are_told_apart(scene: Picture, drawn: Picture) -> None:
    for picture, kind in ((scene, "photograph"), (drawn, "drawing")):
        for data in (encoded(picture), encoded(picture, "JPEG", quality=40), encoded(picture, "WEBP", quality=60)):
            assert (look_at(data).kind == "photograph") == (kind == "photograph")


def written(ink: int, paper: int, **shrinking: Any) -> Picture:
    """(192, 256, 3): ten lines of writing, drawn twice as large and shrunk."""
    image = Image.new("L", (512, 384), paper)
    canvas = ImageDraw.Draw(image)
    for row in range(10):
        canvas.text((8, 4 + 38 * row), "some words that mean nothing much"[row:], ink, ImageFont.load_default(26))
    return np.repeat(np.asarray(image.resize((256, 192), **shrinking))[..., None], 3, axis=2)


def shrunk_hatching() -> Picture:
    """(192, 256, 3): slanted strokes from edge to edge, and a few curves."""
    image = Image.new("L", (512, 384), 245)
    canvas = ImageDraw.Draw(image)
    for left in range(-400, 512, 24):
        canvas.line((left, 0, left + 390, 384), 20, 3)
    canvas.ellipse((90, 60, 380, 330), 245, 20, 5)
    return np.repeat(np.asarray(image.resize((256, 192), Image.Resampling.BOX))[..., None], 3, axis=2)


def test_writing_is_no_drawing_and_the_reverse() -> None:
    for ink, paper in ((10, 245), (250, 0)):
        assert look_at(encoded(written(ink, paper, resample=Image.Resampling.BOX))).kind == "text"
    assert look_at(encoded(shrunk_hatching())).kind == "drawing"


@pytest.mark.parametrize(("ink", "paper"), [(10, 245), (255, 0)])
def test_of_writing_too_a_blur_is_seen_and_what_it_is(ink: int, paper: int) -> None:
    sharp = written(ink, paper, resample=Image.Resampling.BOX)
    blurred = np.asarray(Image.fromarray(sharp).filter(ImageFilter.GaussianBlur(1)))
    assert [look_at(encoded(one)).is_blurred for one in (sharp, blurred)] == [False, True]
    assert look_at(encoded(blurred)).kind == "text"


def test_steps_on_the_edges_of_a_drawing_are_seen() -> None:
    large = Image.fromarray(shrunk_hatching()).resize((1024, 768), Image.Resampling.BICUBIC)
    rough, smooth = (large.resize((256, 192), way) for way in (Image.Resampling.NEAREST, Image.Resampling.BICUBIC))
    steps = np.asarray(rough.point(lambda level: 245 if level > 128 else 20))
    assert [look_at(encoded(one)).is_jagged for one in (steps, np.asarray(smooth))] == [True, False]


@pytest.mark.parametrize("seed", [6, 7, 9, 10])
def test_drawings_shrunk_by_cubic_kernels_are_told_apart_by_their_edges(seed: int) -> None:
    hr = chooser_pictures.drawing(seed)
    found: dict[Shrinking, Damage] = {"bicubic": "ringing", "bicubic-aliased": "jagged", "area": "none"}
    for kernel, damage in found.items():
        seen = look_at(encoded(shrunk(hr, 2, Protocol(shrinking=kernel))))
        assert group_of(seen, 2) == Group(damage, is_drawn=True), kernel


def test_edges_are_measured_as_what_lies_between_two_pixels() -> None:
    ramp = np.tile(np.repeat(np.array([0, 50, 100, 150, 200], np.float32), [20, 1, 1, 1, 41]), (1, 64, 1))
    step = np.where(ramp < 100, 0, 200).astype(np.float32)
    for windows, share in ((step, 1.0), (ramp, 0.25)):
        found = steps_of(windows, 0)
        assert found is not None
        assert found == pytest.approx((share, share), abs=0.13)
    assert steps_of(np.zeros_like(step), 0) is None


@pytest.mark.parametrize(("ink", "paper"), [(30, 225), (220, 35)])
def test_a_kernel_that_overshoots_is_seen_beside_what_is_drawn(ink: int, paper: int, scene: Picture) -> None:
    for kernel, rings in (("BOX", False), ("BILINEAR", False), ("BICUBIC", True), ("LANCZOS", True)):
        seen = look_at(encoded(written(ink, paper, resample=Image.Resampling[kernel])))
        assert seen.is_ringing == rings, kernel
        assert group_of(seen, 2).damage == ("ringing" if rings else "none")
    assert look_at(encoded(scene)).overshoot is None, "texture beside an edge looks the same"


def test_overshoot_is_measured_in_proportion_to_the_edge() -> None:
    step = np.tile(np.repeat(np.array([40, 30, 210, 200], np.float32), [30, 1, 1, 32]), (1, 64, 1))
    assert overshoot_of(step) == pytest.approx(10 / 160)
    assert overshoot_of(np.where(step < 100, 40, 200).astype(np.float32)) == 0
    assert overshoot_of(np.where(step < 100, 0, 255).astype(np.float32)) is None, "it would be cut off"
    assert overshoot_of(step[:, :, :4]) is None
    rough = step + np.float32(4) * (np.arange(64) % 2)
    assert overshoot_of(rough.astype(np.float32)) is None, "areas are even but nearly, as compression leaves them"


def test_noise_is_seen_on_white_paper_too() -> None:
    page = written(0, 255, resample=Image.Resampling.BOX).astype(np.float64)
    noisy = (page + np.random.default_rng(0).normal(0, 16, page.shape[:2])[..., None]).clip(0, 255).astype(np.uint8)
    assert noise_of(luma(noisy)) >= NOISE_TOLD
    assert noise_of(luma(page.astype(np.uint8))) < 1


def test_measured_data_are_no_picture_to_embellish(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).random((32, 32), np.float32)).save(tmp_path / "heights.tif")
    seen = look_at(tmp_path / "heights.tif")
    assert seen.is_data
    assert suitable_model(group_of(seen, 4)) == suitable_model(Group("none", is_far=True))


@pytest.mark.parametrize("layout", ["L", "LA", "RGBA", "CMYK", "P", "1", "I;16"])
def test_every_layout_is_looked_at(drawn: Picture, layout: str) -> None:
    image = Image.fromarray(drawn)
    if layout == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L"), np.uint16) * 257)
    else:
        image = image.convert(layout)
    file = io.BytesIO()
    image.save(file, "TIFF" if layout == "CMYK" else "PNG")
    assert look_at(file.getvalue()).kind is not None


@pytest.mark.parametrize("removed", [0.0, 0.5, 1.0])
def test_a_separated_photograph_is_one(scene: Picture, removed: float) -> None:
    """Printers put black where all three inks are, and take away some, or none, of these for it."""
    dark = np.asarray(Image.fromarray(scene).point(lambda level: level * 0.4), np.float64)
    ink = 1 - dark / 255
    black = ((ink.min(axis=2, keepdims=True) - 0.2) / 0.8).clip(0, 1)
    colours = (ink - removed * black) / np.maximum(1 - removed * black, 1e-9)
    inks = np.rint(np.dstack([colours, black]).clip(0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(inks, "CMYK").save(file, "TIFF")
    assert look_at(file.getvalue()).kind == "photograph"


def test_what_cannot_be_read_has_shown_nothing(scene: Picture) -> None:
    for data in (b"", b"no picture", encoded(scene)[:2000]):
        assert look_at(data) == Appearance()
    assert suitable_model(group_of(Appearance(), 4)) == suitable_model(Group("unknown", is_far=True))


def test_of_a_large_picture_little_is_decoded(scene: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WHOLE_PIXELS", "SOME_PIXELS"):
        monkeypatch.setattr(look, name, 128 * 256)
    large = np.tile(scene, (4, 4, 1))
    read: list[int] = []
    windows_of = look.windows_of

    def counted(pixels: Picture) -> Picture:
        read.append(pixels[..., 0].size)
        return windows_of(pixels)

    monkeypatch.setattr(look, "windows_of", counted)
    for name in ("a.png", "a.jpg", "a.webp"):
        Image.fromarray(large).save(tmp_path / name, quality=60)
    png = look_at(tmp_path / "a.png")
    assert (png.kind, png.width) == ("photograph", 1024)
    assert png.fineness is None, "the top of a picture may be nothing but sky"
    assert look_at(tmp_path / "a.jpg") == Appearance("JPEG", "photograph", jpeg_quality=60, width=1024, height=1024)
    assert look_at(tmp_path / "a.webp").kind is None, "it is decoded whole or not at all"
    assert len(read) == 2
    assert max(read) <= 128 * 1024


def test_the_table_is_that_of_the_benchmark() -> None:
    path = Path(__file__).parents[1] / "benchmarks" / "chooser.json"
    ranking = json.loads(path.read_text(encoding="utf-8"))["ranking"]
    groups = [Group(one["damage"], one["is_drawn"], one["is_far"]) for one in ranking]
    assert {group: tuple(one["models"]) for group, one in zip(groups, ranking, strict=True)} == dict(RANKING)
    limits = json.loads(path.with_name("chooser_clips.json").read_text(encoding="utf-8"))["limits_bits_per_pixel"]
    assert limits == dict(CLIP_LIMITS)


def test_every_picture_belongs_to_a_group_of_the_table() -> None:
    for kind in (None, "photograph", "drawing", "text", "screen"):
        for quality in (None, 30, 75, 92, 98):
            for noise in (0.0, 9.0):
                for is_lossy in (False, True):
                    seen = Appearance("PNG", kind, quality, is_lossy=is_lossy, noise=noise)
                    assert suitable_model(group_of(seen, 2)) in possible_models(UpscalerOptions())


@pytest.mark.slow
def test_a_folder_gets_a_model_for_each_file_and_what_is_done_is_not_looked_at_again(
    run: Run, tmp_path: Path, scene: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "clean.png").write_bytes(encoded(scene[:64, :64]))
    (folder / "coded.jpg").write_bytes(encoded(scene[:64, :64], "JPEG", quality=30))
    command = (folder, "-o", tmp_path / "out", "-s", "2", "--device", "cpu")
    events = [json.loads(line) for line in run("--json", *command).out.splitlines()]
    chosen = {event["source"]: event for event in events if event["event"] == "chosen"}
    assert {Path(source).name: event["jpeg_quality"] for source, event in chosen.items()} == {
        "clean.png": None, "coded.jpg": 30,
    }  # fmt: skip
    started = {event["source"]: event["model"] for event in events if event["event"] == "started"}
    assert started == {source: event["model"] for source, event in chosen.items()}
    with monkeypatch.context() as blind:
        blind.setattr("upscale_cli.jobs.chosen_model.look_at", lambda *_, **__: pytest.fail("looked at again"))
        again = [json.loads(line)["event"] for line in run("--json", *command).out.splitlines()]
    assert again.count("skipped") == 2
    (folder / "coded.jpg").write_bytes(encoded(scene[:64, :64], "JPEG", quality=40))
    told = run(*command).err
    model = suitable_model(Group("JPEG"))
    assert f"coded.jpg: JPEG of quality about 40, photograph: {model}\n" in told


def test_a_dry_run_says_what_would_be_taken(run: Run, tmp_path: Path, scene: Picture) -> None:
    source = tmp_path / "coded.jpg"
    source.write_bytes(encoded(scene[:64, :64], "JPEG", quality=30))
    events = [json.loads(line) for line in run("--json", "--dry-run", source).out.splitlines()]
    (planned,) = (event for event in events if event["event"] == "planned")
    assert planned["model"] == "photo-lite"
    assert planned["why"] == "chosen for JPEG of quality about 30, photograph"


def test_for_what_cannot_be_read_nothing_was_chosen(run: Run, tmp_path: Path) -> None:
    (tmp_path / "note.png").write_text("no picture")
    for name in ("missing.jpg", "note.png"):
        done = run("--json", tmp_path / name, "-o", tmp_path / "out.png")
        assert ([json.loads(line)["event"] for line in done.out.splitlines()], done.code) == (["failed"], 1)


def test_python_gets_the_same(tmp_path: Path, scene: Picture) -> None:
    source, events = tmp_path / "coded.jpg", list[Event]()
    source.write_bytes(encoded(scene[:64, :64], "JPEG", quality=30))
    upscale_file(source, tmp_path / "sr.png", 2, device="cpu", listener=events.append)
    (chosen,) = (event for event in events if isinstance(event, Chosen))
    (started,) = (event for event in events if isinstance(event, Started))
    assert (chosen.model, chosen.seen) == (started.model, "JPEG of quality about 30, photograph")
    assert started.why == "chosen for JPEG of quality about 30, photograph"


def test_a_worker_is_told_the_model_and_does_not_choose(tmp_path: Path, scene: Picture) -> None:
    source = tmp_path / "coded.jpg"
    source.write_bytes(encoded(scene[:64, :64], "JPEG", quality=30))
    choice = choose_model(Input(str(source)), PhotoOptions(), UpscalerOptions())
    upscaler = Recipe(choice.model, UpscalerOptions(device="cpu")).make(lambda _: None)

    class Work:
        output = None

        def absolute(self) -> "Work":
            return self

    assert request_for(Work(), upscaler).recipe.model == choice.model  # type: ignore[arg-type]


def test_an_object_is_not_looked_into() -> None:
    choice = choose_model(Input("s3://bucket/a.jpg"), PhotoOptions(), UpscalerOptions(), is_remote=True)
    usual = suitable_model(Group("unknown", is_far=True))
    assert (choice.model, choice.why) == (usual, "the usual one for pictures that are not looked into")


@pytest.mark.usefixtures("shared_weights")
def test_who_asks_for_denoising_gets_a_model_that_can(tmp_path: Path, scene: Picture) -> None:
    source = tmp_path / "coded.jpg"
    source.write_bytes(encoded(scene[:64, :64], "JPEG", quality=30))
    assert choose_model(Input(str(source)), PhotoOptions(), UpscalerOptions(denoise=0.5)).model == "realesr-general"


def test_who_asks_for_a_strength_gets_a_model_that_has_one(tmp_path: Path, scene: Picture, run: Run) -> None:
    source = tmp_path / "coded.jpg"
    source.write_bytes(encoded(scene[:32, :32], "JPEG", quality=70))
    done = run(source, "--strength", 0.4, "-o", tmp_path / "large.png", "--device", "cpu")
    assert (done.code, "photo-lite-0.6_photo-lite-crisp-0.4" in done.err) == (0, True), done.err


def test_a_clip_that_has_lost_little_gets_a_net_for_clean_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert best_clip_model("h264", 0.01)[0] == best_clip_model("h264")[0] == "sharp-robust"
    assert best_clip_model("h264", 3.0, lossless=True)[0] == best_clip_model("prores", 2.0)[0] == "sharp"
    monkeypatch.setattr("upscale_cli.models.resolve.CLIP_LIMITS", {"h264": 0.5})
    assert best_clip_model("h264", 0.5) == ("sharp", "chosen for h264 of 0.5 bits per pixel")
    assert best_clip_model("h264", 0.4)[0] == "sharp-robust"


def test_where_speed_counts_a_clip_gets_the_net_with_the_least_work() -> None:
    limit = CLIP_LIMITS["h264"]
    assert limit is not None
    assert best_clip_model("h264", limit, hurries=True)[0] == best_clip_model("prores", hurries=True)[0] == "swift"
    assert best_clip_model("h264", limit / 2, hurries=True)[0] == best_clip_model("h264", hurries=True)[0]
    assert best_clip_model("h264", hurries=True)[0] == "swift-robust"
    least = min(spec.macs for spec in MODELS if spec.bundled and spec.scale == 2)
    assert {spec.macs for net in ("swift", "swift-robust") for spec in rows_of(net) if spec.scale == 2} == {least}


@pytest.mark.parametrize(("options", "model"), [((), "sharp"), (("--realtime",), "swift")])
def test_realtime_takes_it_by_itself(run: Run, clips: Clips, options: tuple[str, ...], model: str) -> None:
    events = [json.loads(line) for line in run("--json", "--dry-run", clips("gray_ffv1"), *options).out.splitlines()]
    (planned,) = (event for event in events if event["event"] == "planned")
    assert (planned["model"], planned["why"]) == (model, "chosen for ffv1, which keeps everything")


def test_how_many_bits_a_pixel_of_a_clip_has(clips: Clips) -> None:
    clip = probe(clips("chapters"))
    (stream,) = clip.video
    assert clip.file_bytes is not None
    assert stream.bits_per_pixel is not None
    whole = 8 * clip.file_bytes / (stream.width * stream.height * float(stream.rate) * (clip.seconds or 0))
    assert 0.2 * whole < stream.bits_per_pixel <= whole
