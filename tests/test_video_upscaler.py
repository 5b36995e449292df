"""Frames on several devices come back in order, whatever becomes of a device."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from torch import Tensor

from tests.clips import Clips
from tests.test_frame_upscaler import TV, TWICE, random_frame
from upscale_cli.api import upscale_video
from upscale_cli.errors import CheckpointError, DeviceError
from upscale_cli.frames.pixel_format import FORMATS
from upscale_cli.inference.device import Device
from upscale_cli.inference.frame_upscaler import FrameUpscaler
from upscale_cli.inference.scheduler import InFlight
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.inference.video_upscaler import VideoUpscaler
from upscale_cli.jobs.video_facts import ClipOptions
from upscale_cli.media.video.encoding import EncodeOptions

SIZE = 24, 16


def frames_on(count: int, reported: list[str], monkeypatch: pytest.MonkeyPatch, model: str = "espcn") -> VideoUpscaler:
    """On so many devices, which are all the CPU."""
    upscaler = Upscaler(model, device="cpu")
    monkeypatch.setattr(upscaler, "devices", [Device("cpu")] * count)
    return VideoUpscaler(upscaler, FORMATS["yuv420p"], *SIZE, TV, TWICE, say=reported.append)


@dataclass(frozen=True, slots=True, eq=False)
class Arriving:
    """A frame that is there once it is waited for, as on a GPU, or that never arrives."""

    frame: InFlight[Tensor] | None
    failure: Exception | None = None

    @property
    def is_done(self) -> bool:
        return False

    def wait(self) -> None:
        if self.failure is not None:
            raise self.failure

    def result(self, place: int) -> Tensor:
        assert self.frame is not None
        return self.frame.result(place)


def as_on_a_gpu(one: FrameUpscaler) -> None:
    """Its frames take their time, so that the next ones are begun meanwhile."""
    launch: Any = one.launch
    one.launch = lambda requests: Arriving(launch(requests))  # type: ignore[method-assign, assignment, return-value]


def failing_after(one: FrameUpscaler, number: int, where: str, failure: Exception) -> None:
    """Its frame of that number does not come about: it fails to begin, or what was begun fails."""
    original, count = one.launch, 0

    def launch(requests: Any) -> Any:
        nonlocal count
        count += 1
        if count <= number:
            return original(requests)
        if where == "launch":
            raise failure
        return Arriving(None, failure)

    one.launch = launch  # type: ignore[method-assign]


def run(frames: VideoUpscaler, samples: list[Any], depth: int) -> list[Any]:
    """As `frame_queue` does it: several in progress, collected in order."""
    in_progress: list[Any] = []
    done: list[Any] = []
    for one in samples:
        in_progress.append(frames.submit(one))
        if len(in_progress) > depth:
            done.append(frames.collect(in_progress.pop(0)))
    return done + [frames.collect(future) for future in in_progress]


def test_frames_go_to_all_devices_and_come_back_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [random_frame("yuv420p", *SIZE, seed=number) for number in range(9)]
    one = VideoUpscaler(Upscaler("espcn", device="cpu"), FORMATS["yuv420p"], *SIZE, TV, TWICE, say=pytest.fail)
    wanted = run(one, samples, 0)
    several = frames_on(3, [], monkeypatch)
    for each in several._frames:
        as_on_a_gpu(each)
    for made, frame in zip(run(several, samples, 5), wanted, strict=True):
        np.testing.assert_array_equal(made, frame)
    assert all(each.seconds["net"] > 0 for each in several._frames)
    assert several.seconds["net"] < sum(each.seconds["net"] for each in several._frames)


def test_the_time_of_a_stage_is_the_mean_of_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    several = frames_on(3, [], monkeypatch)
    for number, one in enumerate(several._frames, start=1):
        one.seconds = {"upload": 1.0, "net": 2.0 * number, "download": 0.0}
    assert several.seconds == {"upload": 1.0, "net": 4.0, "download": 0.0}


@pytest.mark.parametrize("where", ["launch", "wait"])
@pytest.mark.parametrize("number", [0, 2])
def test_a_device_that_fails_hands_its_frames_on(where: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reported: list[str] = []
    samples = [random_frame("yuv420p", *SIZE, seed=seed) for seed in range(12)]
    wanted = run(frames_on(2, [], monkeypatch), samples, 3)
    frames = frames_on(3, reported, monkeypatch)
    failing_after(frames._frames[0], number, where, RuntimeError("CUDA error: the GPU is lost"))
    for made, frame in zip(run(frames, samples, 5), wanted, strict=True):
        np.testing.assert_array_equal(made, frame)
    assert reported == ["cpu has failed (CUDA error: the GPU is lost): going on with cpu, cpu."]
    assert frames.depth == 2


def test_the_last_device_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = frames_on(2, [], monkeypatch)
    for one in frames._frames:
        failing_after(one, 0, "launch", RuntimeError("CUDA error: the GPU is lost"))
    with pytest.raises(DeviceError, match="the GPU is lost"):
        frames.collect(frames.submit(random_frame("yuv420p", *SIZE)))


def test_what_is_wrong_with_the_net_is_no_failure_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = frames_on(2, [], monkeypatch)
    failing_after(frames._frames[0], 0, "launch", CheckpointError("NaN"))
    with pytest.raises(CheckpointError):
        frames.collect(frames.submit(random_frame("yuv420p", *SIZE)))


def test_a_clip_on_several_devices(clips: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From file to file: every frame is that of one device."""
    options = ClipOptions(encode=EncodeOptions(codec="ffv1"))
    files = []
    for count in (1, 3):
        upscaler = Upscaler("espcn", device="cpu")
        monkeypatch.setattr(upscaler, "devices", [Device("cpu")] * count)
        files.append(upscale_video(clips("plain"), tmp_path / f"{count}.mkv", model=upscaler, options=options))
    assert frames_in(files[0]) == frames_in(files[1])


def frames_in(path: Path) -> list[tuple[int | None, int]]:
    with av.open(str(path)) as container:
        return [(frame.pts, hash(frame.to_ndarray().tobytes())) for frame in container.decode(video=0)]
