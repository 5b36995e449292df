"""What is done with a net's result: mixed with the input, its colours set right, kept out of what a mask protects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from tests.clips import X264, ffmpeg, moving
from tests.command import Run
from tests.nets import stub
from upscale_cli import Upscaler
from upscale_cli.errors import OptionError
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.frames.rows import Held, Rows, Streamed
from upscale_cli.inference.device import Device
from upscale_cli.inference.finish import CELL, Finish, Mask, finished
from upscale_cli.inference.finish_frames import FrameFinish
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.models.interface import LoadedNet

pytestmark = pytest.mark.usefixtures("stubs")


class Darkens(nn.Module):
    """Doubles pixels, and takes a tenth of the light: more of the blue."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.9, 0.92, 0.8])[:, None, None])

    def forward(self, lr: Tensor) -> Tensor:
        return nn.functional.interpolate(lr, scale_factor=2, mode="nearest") * self.weight


@pytest.fixture
def darkening(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The path of a checkpoint of such a net."""
    (tmp_path / "dark.pth").touch()
    made = stub(Darkens)

    def load(*_: Any, **__: Any) -> LoadedNet:
        return made

    monkeypatch.setattr("upscale_cli.inference.net_file.load_net_file", load)
    return str(tmp_path / "dark.pth")


def photo(height: int, width: int) -> Pixels:
    """Slow waves and some noise, as photos have them."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    waves = np.stack([0.5 + 0.3 * np.sin(5 * x + 3 * y + channel) for channel in range(3)], axis=2)
    codes: Pixels = np.rint(255 * (waves + rng.normal(0, 0.03, waves.shape)).clip(0, 1)).astype(np.uint8)
    return codes


def bicubic(lr: Pixels, height: int, width: int) -> Pixels:
    """By Pillow."""
    return np.asarray(Image.fromarray(lr).resize((width, height), Image.Resampling.BICUBIC))


def upscaled(model: str, lr: Pixels, **options: Any) -> Pixels:
    return np.asarray(Upscaler(model, device="cpu", **options)(lr, 2))


def apart(a: Pixels, b: Pixels) -> int:
    return int(np.abs(a.astype(int) - b.astype(int)).max())


# Blending


@pytest.mark.parametrize("model", ["espcn", "dark"])
def test_a_blend_lies_between_net_and_interpolation(model: str, darkening: str) -> None:
    model = darkening if model == "dark" else model
    lr = photo(30, 44)
    net, enlarged = upscaled(model, lr), bicubic(lr, 60, 88)
    expected = np.rint(0.6 * net.astype(float) + 0.4 * enlarged)
    assert apart(upscaled(model, lr, blend=0.6), expected) <= 1
    assert apart(upscaled(model, lr, blend=0), enlarged) <= 1
    assert apart(upscaled(model, lr, blend=1), net) == 0


def test_depth_and_transparency_are_blended_too(darkening: str) -> None:
    lr = np.concatenate([photo(20, 24), photo(20, 24)[:, :, :1]], axis=2)
    made = upscaled(darkening, lr, blend=0.5)
    assert made.shape == (40, 48, 4)
    deep = np.asarray(Upscaler(darkening, device="cpu", blend=0)(lr[:, :, :3].astype(np.uint16) * 257, 2))
    assert apart(np.rint(deep / 257), bicubic(lr[:, :, :3], 40, 48)) <= 1


# Colours


@pytest.mark.parametrize("scale", [2, 4, 3])
def test_colours_come_back(darkening: str, scale: float) -> None:
    """At 4 the net runs twice and takes twice the light; at 3 its result is made smaller."""
    lr = photo(120, 160)
    as_is = np.asarray(Upscaler(darkening, device="cpu")(lr, scale))
    matched = np.asarray(Upscaler(darkening, device="cpu", match_colour=True)(lr, scale))
    before = np.abs(as_is.mean((0, 1)) - lr.mean((0, 1)))
    assert before.min() > 8
    assert np.abs(matched.mean((0, 1)) - lr.mean((0, 1))).max() < 0.5
    # Not only in the mean: each quarter of the picture has its own colours.
    height, width = lr.shape[0] // 2, lr.shape[1] // 2
    small, large = lr[:height, :width], matched[: int(height * scale), : int(width * scale)]
    assert np.abs(small.mean((0, 1)) - large.mean((0, 1))).max() < 1


def test_detail_stays() -> None:
    """What varies within a few pixels is the net's own."""
    rng = np.random.default_rng(0)
    lr = Held(np.full((64, 64, 3), 0.5, np.float32))
    fine = rng.normal(0, 0.1, (128, 128, 3)).astype(np.float32)
    sr = Held(0.4 + fine)
    made = finished(sr, lambda: lr, Finish(match_colour=True), np.float32, is_colour=True, wrap=False).whole()
    assert np.abs((made - 0.5) - fine).max() < 0.02
    assert abs(float(made.mean()) - 0.5) < 1e-3


def streamed(pixels: Pixels, begun: list[int]) -> Rows:
    """Rows that come in bands of seven, from any row on."""

    def begin(start: int) -> Any:
        begun.append(start)
        return (pixels[top : top + 7] for top in range(start, len(pixels), 7))

    height, width, channels = pixels.shape
    return Streamed(height, width, channels, pixels.dtype, begin)


@pytest.mark.parametrize("step", [1, 10, 64])
def test_bands_are_the_whole_bit_by_bit(noise: Callable[..., Pixels], step: int) -> None:
    lr, sr = noise(45, 30, 3), noise(90, 60, 3, dtype=np.float32, seed=1)
    finish = Finish(0.7, True, Mask.read(noise(45, 30, seed=2)))

    def made(picture: Rows) -> Rows:
        return finished(picture, lambda: Held(lr), finish, np.uint8, is_colour=True, wrap=False)

    whole = made(Held(sr)).whole()
    begun: list[int] = []
    rows = made(streamed(sr, begun))
    cut = np.concatenate([rows.read(top, min(top + step, 90)).copy() for top in range(0, 90, step)])
    np.testing.assert_array_equal(cut, whole)
    # A job that goes on begins further down: the same rows, and the net runs once.
    begun.clear()
    np.testing.assert_array_equal(made(streamed(sr, begun)).read(50, 90), whole[50:])
    assert len(begun) == 1


def test_tiles_leave_no_seams(darkening: str) -> None:
    lr = photo(70, 90)
    whole = upscaled(darkening, lr, match_colour=True, blend=0.8)
    assert apart(upscaled(darkening, lr, match_colour=True, blend=0.8, tile=16), whole) <= 1


def test_a_texture_that_wraps_still_does(darkening: str) -> None:
    lr = photo(32, 48)
    moved = np.roll(lr, (4 * CELL, 3 * CELL), (0, 1))
    made, made_moved = (upscaled(darkening, one, match_colour=True, wrap=True) for one in (lr, moved))
    assert apart(np.roll(made, (8 * CELL, 6 * CELL), (0, 1)), made_moved) <= 1


@pytest.mark.parametrize("wrap", [False, True])
def test_frames_are_finished_as_photos_are(noise: Callable[..., Pixels], wrap: bool) -> None:
    lr, sr = noise(125, 150, 3, dtype=np.float32), noise(250, 300, 3, dtype=np.float32, seed=1)
    finish = Finish(0.7, True, Mask.read(noise(250, 300, seed=2)))
    by_rows = finished(Held(sr), lambda: Held(lr), finish, np.float32, is_colour=True, wrap=wrap).whole()
    on_device = FrameFinish(finish, Device("cpu"), wrap=wrap)(
        *(torch.from_numpy(one.transpose(2, 0, 1)[None].copy()) for one in (lr, sr)), is_colour=True
    )
    by_torch, inner = on_device[0].numpy().transpose(1, 2, 0), slice(96, -96)
    np.testing.assert_allclose(by_torch[inner, inner], by_rows[inner, inner], atol=2e-5)
    # Beyond its border a frame goes on, and a photo ends: that is how each is resampled.
    np.testing.assert_allclose(by_torch, by_rows, atol=2e-5 if wrap else 0.05)


@pytest.mark.parametrize("name", ["yuv420p", "gray", "gbrp"])
def test_clips_keep_their_colours(darkening: str, name: str) -> None:
    form = FORMATS[name]
    y, x = np.mgrid[0 : 1 : 40 * 1j, 0 : 1 : 64 * 1j]
    planes = [np.full(size, 128.0) for size in form.plane_sizes(64, 40)]
    planes[0] = 120 + 40 * np.sin(4 * x + 3 * y)
    lr = np.concatenate([np.rint(plane).ravel() for plane in planes]).astype(form.dtype)

    def luma(**options: Any) -> float:
        upscaler = Upscaler(darkening, device="cpu", **options)
        frames = VideoUpscaler(upscaler, form, 64, 40, ColourTags(matrix="bt709", range="pc"), Target(scale=2))
        sr: NDArray[Any] = frames.collect(frames.submit(lr))
        return float(sr[: 128 * 80].mean())

    mean = float(lr[: 64 * 40].mean())
    assert luma() < mean - 5
    assert abs(luma(match_colour=True) - mean) < 0.5


# Masks


def half(height: int, width: int) -> Pixels:
    """Black on the left, white on the right."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 255
    return mask


@pytest.mark.parametrize("size", [(40, 60), (80, 120), (20, 30), (400, 600)])
def test_a_mask_protects_what_is_black(darkening: str, size: tuple[int, int], tmp_path: Path) -> None:
    lr = photo(40, 60)
    Image.fromarray(half(*size)).save(tmp_path / "mask.png")
    made = upscaled(darkening, lr, mask=tmp_path / "mask.png")
    assert apart(made[:, :50], bicubic(lr, 80, 120)[:, :50]) <= 1
    assert apart(made[:, -50:], upscaled(darkening, lr)[:, -50:]) == 0


def test_a_mask_may_be_an_array_and_in_colour(darkening: str) -> None:
    lr = photo(40, 60)
    gray = upscaled(darkening, lr, mask=half(40, 60))
    np.testing.assert_array_equal(gray, upscaled(darkening, lr, mask=np.stack([half(40, 60)] * 3, axis=2)))
    np.testing.assert_array_equal(gray, upscaled(darkening, lr, mask=(half(40, 60) / 255)))


def test_of_a_folder_each_picture_is_held_against_the_mask(tmp_path: Path, run: Run) -> None:
    lr = tmp_path / "lr"
    lr.mkdir()
    Image.fromarray(photo(40, 60)).save(lr / "fits.png")
    Image.fromarray(photo(40, 40)).save(lr / "other.png")
    Image.fromarray(half(40, 60)).save(tmp_path / "mask.png")
    done = run(lr, "-m", "espcn", "-s", "2", "--mask", tmp_path / "mask.png", "-o", f"{tmp_path / 'sr'}/")
    assert done.code == 1
    assert "the picture is 40 x 40, another shape" in done.err
    assert [path.name for path in (tmp_path / "sr").glob("*.png")] == ["fits_2x.png"]


def test_sides_that_rounding_made_are_no_other_aspect() -> None:
    Mask.read(np.zeros((33, 50))).check(100, 151)
    Mask.read(np.zeros((1080, 1920))).check(135, 240)
    with pytest.raises(OptionError, match="is 50 x 40, and the picture is 100 x 100, another shape"):
        Mask.read(np.zeros((40, 50))).check(100, 100)


# From the command line


def test_photos_from_the_command_line(run: Run, tmp_path: Path) -> None:
    lr = photo(40, 60)
    Image.fromarray(lr).save(tmp_path / "a.png")
    Image.fromarray(half(40, 60)).save(tmp_path / "m.png")
    outcome = run(tmp_path / "a.png", "-m", "espcn", "-s", 2, "--mask", tmp_path / "m.png", "--match-colour",
                  "--blend", 0.9)  # fmt: skip
    assert outcome.code == 0, outcome.err
    made = np.asarray(Image.open(tmp_path / "a_2x.png"))
    assert apart(made[:, :50], bicubic(lr, 80, 120)[:, :50]) <= 1
    assert apart(made[:, -50:], upscaled("espcn", lr)[:, -50:]) > 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--blend", 1.5], "--blend 1.5 is out of range"),
        (["--mask", "nowhere.png"], "--mask nowhere.png: there is no such file"),
        (["--mask", "wide.png"], "is 90 x 30, and the picture is 60 x 40"),
        (["--mask", "c.mp4"], "c.mp4: this is a clip, and a picture is wanted"),
    ],
)
def test_wrong_values_are_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[Any], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photo(40, 60)).save("a.png")
    Image.fromarray(half(30, 90)).save("wide.png")
    Path("c.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isomavc1" + bytes(64))
    outcome = run("a.png", "-m", "espcn", "-s", 2, *options)
    assert outcome.code in (1, 2)
    assert words in outcome.line
    assert not (tmp_path / "a_2x.png").exists()


def test_without_a_net_they_are_said_to_do_nothing(run: Run, tmp_path: Path) -> None:
    Image.fromarray(photo(10, 10)).save(tmp_path / "a.png")
    outcome = run(tmp_path / "a.png", "-m", "bicubic", "-s", 2, "--blend", 0.5, "--match-colour")
    assert outcome.code == 0
    assert "--blend and --match-colour are for nets, and bicubic is none" in " ".join(outcome.err.split())


def test_a_fingerprint_knows_them(darkening: str) -> None:
    def of(**options: Any) -> dict[str, Any]:
        return Upscaler(darkening, device="cpu", **options).identity()

    usual = of()
    assert not {"blend", "match_colour", "mask"} & set(usual)
    each = [of(blend=0.5), of(match_colour=True), of(mask=half(4, 4)), of(mask=half(4, 6)), usual]
    assert len({str(one) for one in each}) == len(each)


@pytest.mark.slow
def test_a_clip_from_the_command_line(run: Run, tmp_path: Path) -> None:
    source, made = tmp_path / "a.mkv", tmp_path / "b.mkv"
    ffmpeg(*moving(64, 40, frames=8), *X264, source)
    Image.fromarray(half(40, 64)).save(tmp_path / "m.png")
    outcome = run(source, "-m", "espcn", "-o", made, "--mask", tmp_path / "m.png", "--match-colour", "--blend", 0.8)
    assert outcome.code == 0, outcome.err
    assert made.is_file()
