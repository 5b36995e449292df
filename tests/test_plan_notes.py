"""What is said before and after: a plan that does more than is seen, a result that is another picture."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.command import Run
from tests.nets import stub
from upscale_cli import Upscaler
from upscale_cli.events import Event, Note
from upscale_cli.frames.colour_tags import ColourTags
from upscale_cli.frames.image import Pixels
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.likeness import LEAST_DB, Likeness
from upscale_cli.inference.plan_notes import gain, shrinking
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.messages import Message
from upscale_cli.models import store
from upscale_cli.models.interface import Scale

pytestmark = pytest.mark.usefixtures("stubs")


# Plans


@pytest.mark.parametrize(
    ("passes", "needed", "line"),
    [
        ((4,), 4, ""),
        ((4,), 3, ""),
        ((2, 4), 8, ""),
        ((4,), 2, "net: 2x is made by 4x, which is made smaller."),
        ((4, 4), 8, "net: 8x is made by two passes, 4x and 4x, whose 16x is made smaller."),
        ((2, 2, 3), 10.5, "net: 10.5x is made by three passes, 2x, 2x and 3x, whose 12x is made smaller."),
        ((), 3, ""),
    ],
)
def test_what_is_made_smaller_is_said(passes: tuple[int, ...], needed: float, line: str) -> None:
    assert shrinking("net", passes, needed) == line


def test_what_a_checkpoint_would_gain_is_said() -> None:
    every: dict[Scale, float] = {2: 4.0, 4: 16.0}
    here: dict[Scale, float] = {4: 16.0}
    assert gain("net", every, every, 8) == ""
    assert gain("net", here, every, 4) == ""  # it would be of no use
    # 16 + 16 * 16 against 4 + 4 * 16
    line = Message(gain("net", here, every, 8))
    assert "brings that of net for 2x: 4 times less work." in line


@pytest.mark.parametrize("scale", [2, 8])
def test_a_model_without_its_second_checkpoint_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: int, noise: Callable[..., Pixels]
) -> None:
    """espcn is taken for it: its file for x2 is made to be away, as that of realesrgan often is."""

    def located(spec: Any, **_: Any) -> Any:
        return None if (spec.model, spec.scale) in (("espcn", 2), ("espcn", 3)) else here(spec)

    here = store.locate
    monkeypatch.setattr("upscale_cli.models.resolve.locate", located)
    Image.fromarray(noise(12, 16, 3)).save(tmp_path / "a.png")
    outcome = run(tmp_path / "a.png", "-m", "espcn", "-s", scale)
    said = " ".join(outcome.err.split())
    assert outcome.code == 0, outcome.err
    made = "2x is made by 4x" if scale == 2 else "8x is made by two passes, 4x and 4x, whose 16x"
    assert f"note: espcn: {made}" in said
    assert "`upscale models fetch` brings that of espcn for 2x" in said


def test_the_same_passes_are_told_once() -> None:
    upscaler = Upscaler("photo-lite", device="cpu")
    plan = upscaler.plan(10, 10, Target(scale=2))
    assert upscaler.plan_note(plan, 10, 10)
    assert not upscaler.plan_note(plan, 10, 10)


# Results


def test_likeness_is_the_psnr_of_what_is_shrunk(noise: Callable[..., Pixels]) -> None:
    lr = np.repeat(np.repeat(noise(40, 40, 3), 4, 0), 4, 1)  # so that one pixel in so many is as good as all
    sr = np.repeat(np.repeat(lr, 2, 0), 2, 1)
    likeness = Likeness()
    likeness.add(lr, sr)
    assert likeness.decibels == np.inf
    off = np.clip(sr.astype(int) + 40, 0, 255).astype(np.uint8)
    likeness = Likeness()
    likeness.add(lr, torch.from_numpy(off.astype(np.float32) / 255))
    expected = 10 * np.log10(255**2 / np.mean((off[::2, ::2].astype(float) - lr) ** 2))
    assert likeness.decibels == pytest.approx(expected, abs=0.01)


class Strange(nn.Module):
    """Doubles pixels, and turns light into dark."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Parameter(torch.ones(()))

    def forward(self, lr: Tensor) -> Tensor:
        return self.one - nn.functional.interpolate(lr, scale_factor=2, mode="nearest")


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    (tmp_path / "strange.pth").touch()
    made = stub(Strange)
    monkeypatch.setattr("upscale_cli.inference.net_file.load_net_file", lambda *_, **__: made)
    return str(tmp_path / "strange.pth")


def photo() -> Pixels:
    y, x = np.mgrid[0:1:48j, 0:1:64j]
    waves: Pixels = np.rint(255 * (0.5 + 0.45 * np.stack([np.sin(9 * x + 5 * y + c) for c in range(3)], axis=2)))
    return waves.astype(np.uint8)


@pytest.mark.parametrize("tile", [0, 16])
def test_another_picture_is_told_once(strange: str, tile: int) -> None:
    events: list[Event] = []
    Upscaler(strange, device="cpu", tile=tile, listener=events.append)(photo(), 2)
    told = [event.text for event in events if isinstance(event, Note)]
    assert len(told) == 1
    assert "is far from it" in told[0]


@pytest.mark.parametrize("model", ["espcn", "photo-lite"])
def test_a_healthy_net_is_not_told_of(model: str) -> None:
    events: list[Event] = []
    Upscaler(model, device="cpu", listener=events.append)(photo(), 4)
    assert not [event for event in events if isinstance(event, Note)]


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le", "gbrp"])
def test_another_frame_is_told_once(strange: str, name: str) -> None:
    form, told = FORMATS[name], list[str]()
    planes = [np.full(size, form.white / 2) for size in form.plane_sizes(64, 48)]
    planes[0] = np.rint(photo()[:, :, 0] / 255 * form.white)
    lr = np.concatenate([plane.ravel() for plane in planes]).astype(form.dtype)
    frames = VideoUpscaler(
        Upscaler(strange, device="cpu"), form, 64, 48, ColourTags(matrix="bt709", range="tv"), Target(scale=2),
        reuse=False, say=told.append,
    )  # fmt: skip
    for _ in range(5):
        frames.collect(frames.submit(lr))
    assert len(told) == 1
    assert LEAST_DB == 15  # x4plus, which is healthy, goes down to 17.8
