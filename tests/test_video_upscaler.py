"""Frames on several devices come back in order, whatever becomes of a device."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch

from tests.clips import Clips
from tests.test_frame_upscaler import TV, TWICE, random_frame
from upscale_cli.api import upscale_video
from upscale_cli.errors import CheckpointError, DeviceError
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.frame_scheduler import FrameDealer, frames_of
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.video_upscaler import FrameUpscaler
from upscale_cli.jobs.video_job import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions

SIZE = 24, 16


def dealer(count: int, said: list[str], monkeypatch: pytest.MonkeyPatch, model: str = "espcn") -> FrameDealer:
    upscaler = Upscaler(model, device="cpu")
    monkeypatch.setattr(upscaler, "devices", [torch.device("cpu")] * count)
    made = frames_of(upscaler, FORMATS["yuv420p"], *SIZE, TV, TWICE, say=said.append)
    assert isinstance(made, FrameDealer)
    return made


def failing_after(lane: FrameUpscaler, number: int, where: str, failure: Exception) -> None:
    original, count = getattr(lane, where), 0

    def fail(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count > number:
            raise failure
        return original(*arguments, **options)

    setattr(lane, where, fail)


def run(frames: Any, samples: list[Any], depth: int) -> list[Any]:
    """As `flow` does it: several under way, collected in order."""
    under_way, done = [], []
    for one in samples:
        under_way.append(frames.submit(one))
        if len(under_way) > depth:
            done.append(frames.collect(under_way.pop(0)))
    return done + [frames.collect(pending) for pending in under_way]


def test_frames_are_dealt_out_and_come_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [random_frame("yuv420p", *SIZE, seed=number) for number in range(9)]
    one = frames_of(Upscaler("espcn", device="cpu"), FORMATS["yuv420p"], *SIZE, TV, TWICE, say=pytest.fail)
    wanted = run(one, samples, 0)
    several = dealer(3, [], monkeypatch)
    for made, frame in zip(run(several, samples, 5), wanted, strict=True):
        np.testing.assert_array_equal(made, frame)
    assert all(lane.seconds["net"] > 0 for lane in several._all)
    assert several.seconds["net"] < sum(lane.seconds["net"] for lane in several._all)


@pytest.mark.parametrize("where", ["submit", "collect"])
@pytest.mark.parametrize("number", [0, 2])
def test_a_device_that_fails_hands_its_frames_on(where: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    samples = [random_frame("yuv420p", *SIZE, seed=seed) for seed in range(12)]
    wanted = run(dealer(2, [], monkeypatch), samples, 3)
    frames = dealer(3, said, monkeypatch)
    failing_after(frames._all[1], number, where, RuntimeError("CUDA error: the GPU is lost"))
    for made, frame in zip(run(frames, samples, 5), wanted, strict=True):
        np.testing.assert_array_equal(made, frame)
    assert said == ["cpu has failed (CUDA error: the GPU is lost): going on with cpu, cpu."]
    assert len(frames._lanes) == 2


def test_the_last_device_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = dealer(2, [], monkeypatch)
    for lane in frames._all:
        failing_after(lane, 0, "submit", RuntimeError("CUDA error: the GPU is lost"))
    with pytest.raises(DeviceError, match="the GPU is lost"):
        frames.submit(random_frame("yuv420p", *SIZE))


def test_what_is_wrong_with_the_net_is_no_failure_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = dealer(2, [], monkeypatch)
    failing_after(frames._all[0], 0, "submit", CheckpointError("NaN"))
    with pytest.raises(CheckpointError):
        frames.submit(random_frame("yuv420p", *SIZE))


def test_a_clip_on_several_devices(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From file to file: every frame is that of one device."""
    options = ClipOptions(encode=EncodeOptions(codec="ffv1"))
    files = []
    for count in (1, 3):
        upscaler = Upscaler("espcn", device="cpu")
        monkeypatch.setattr(upscaler, "devices", [torch.device("cpu")] * count)
        files.append(upscale_video(clips("plain"), tmp_path / f"{count}.mkv", model=upscaler, options=options))
    assert frames_in(files[0]) == frames_in(files[1])


def frames_in(path: Path) -> list[tuple[int | None, int]]:
    with av.open(str(path)) as container:
        return [(frame.pts, hash(frame.to_ndarray().tobytes())) for frame in container.decode(video=0)]
