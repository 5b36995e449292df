"""One job from file to file: what is reported on the way, and what is refused before it begins."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscale_cli import UpscaleError, Upscaler, upscale_file
from upscale_cli.errors import OutputError
from upscale_cli.events import Estimate, Event, Finished, Progress, Started
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.sizing import Target
from upscale_cli.jobs.photo import memory_needed
from upscale_cli.media.image.formats import FORMATS
from upscale_cli.media.image.reader_writer import ImageReader


@pytest.fixture
def photo(tmp_path: Path, noise: Callable[..., Pixels]) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(noise(40, 60, 4)).save(path)
    return path


def test_progress_counts_every_tile_of_every_plane(photo: Path) -> None:
    events: list[Event] = []
    upscaler = Upscaler("espcn", device="cpu", tile=16)
    output = upscale_file(photo, scale=2, model=upscaler, listener=events.append)
    assert output == photo.parent / "photo_2x.png"
    steps = [event for event in events if isinstance(event, Progress)]
    assert [step.done for step in steps] == list(range(steps[-1].total + 1))
    assert steps[-1].total > 2 * 4, "colour and alpha, several tiles each"
    assert steps[-1].megapixels == pytest.approx(80 * 120 / 1e6)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)


def test_pages_may_differ_in_size(tmp_path: Path) -> None:
    first, second = Image.effect_noise((30, 20), 60), Image.effect_noise((12, 44), 60)
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    with ImageReader(upscale_file(tmp_path / "pages.tif", scale=2, model="espcn")) as reader:
        assert [(page.width, page.height) for page in reader] == [(60, 40), (24, 88)]


def test_a_long_run_is_announced_once(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[Event] = []
    monkeypatch.setattr("upscale_cli.jobs.photo_progress.LONG_RUN_SECONDS", 0)
    monkeypatch.setattr("upscale_cli.inference.tiled.WORTH_TIMING", 0)
    upscale_file(photo, scale=2, model=Upscaler("espcn", device="cpu", tile=16), listener=events.append)
    assert [event.device for event in events if isinstance(event, Estimate)] == ["cpu"]
    assert next(index for index, event in enumerate(events) if isinstance(event, Estimate)) == 1, "before it begins"


def test_a_net_that_fails_leaves_no_file(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> Pixels:
        raise UpscaleError("the net failed")

    monkeypatch.setattr("upscale_cli.inference.upscaler.Upscaler.upscale", fail)
    with pytest.raises(UpscaleError, match="the net failed"):
        upscale_file(photo, photo.parent / "new/out.png", model="espcn")
    assert [path.name for path in photo.parent.iterdir()] == ["photo.png"]


@pytest.mark.parametrize(
    ("model", "scale", "bytes_per_lr_pixel"),
    [
        ("bicubic", 2, 4 + 4 * 4),
        ("espcn", 2, 4 + 4 * 4),  # straight to the result
        ("espcn", 6, 4 + 36 * 4),  # between the two passes, rows only
    ],
)
def test_memory_is_reckoned_at_least_by_what_is_held(
    photo: Path, model: str, scale: float, bytes_per_lr_pixel: int
) -> None:
    with ImageReader(photo) as reader:
        plan = Upscaler(model, device="cpu").plan(10_000, 10_000, Target(scale=scale))
        info = reader.info
    large = type(info)(**{name: getattr(info, name) for name in info.__slots__} | {"width": 10_000, "height": 10_000})
    needed = memory_needed(large, plan, FORMATS["BMP"])
    assert bytes_per_lr_pixel * 10**8 <= needed < 6 * bytes_per_lr_pixel * 10**8 + 2**30
    assert memory_needed(large, plan, FORMATS["AVIF"], frames=9) > 9 * 4 * 10**8, "a sequence is held whole"


def test_an_output_too_large_for_memory_is_refused_before_the_net_is_loaded(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("upscale_cli.inference.model.Model.net", lambda *_: pytest.fail("the net was loaded"))
    with pytest.raises(OutputError, match=r"need 1\.\d GB of memory.*format=.tiff., png or jpg"):
        upscale_file(photo, scale=300, model="espcn", format="bmp", max_memory=600_000_000)


def test_the_whole_way_keeps_the_picture(photo: Path) -> None:
    """Bicubic at scale 1 through a file is the picture itself, alpha included."""
    with Image.open(upscale_file(photo, scale=1, model="bicubic")) as out, Image.open(photo) as source:
        np.testing.assert_array_equal(np.asarray(out), np.asarray(source))
