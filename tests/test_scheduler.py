"""Requests are dispatched to devices, alike ones together; a device that fails leaves its work to the others."""

import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.nets import CPU
from tests.test_tiled import espcn, nothing_said, rrdbnet
from tests.waiting import PATIENCE
from upscale_cli.errors import DeviceError, OptionError
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.backends.torch_eager import TORCH_EAGER
from upscale_cli.inference.device import Device as Named
from upscale_cli.inference.device import choose_devices
from upscale_cli.inference.device_net import DeviceNet, SRWindows
from upscale_cli.inference.frame_upscaler import FrameRequest
from upscale_cli.inference.frames_in_flight import DownloadingFrame, SRSamples
from upscale_cli.inference.net_runner import Sessions, Window
from upscale_cli.inference.scheduler import Future, Scheduler
from upscale_cli.inference.tile_layout import geometry_of
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.tiling import Span

LOST = RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")


@dataclass(frozen=True, slots=True, eq=False)
class Number:
    """A request of the least kind there is; `side` is what may go together."""

    value: float
    side: int = 4

    @property
    def kind(self) -> int:
        return self.side


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """A batch of them; on a GPU, which tells of its failures only when it is waited for, `is_done` is False."""

    values: Sequence[torch.Tensor]
    is_done: bool = True
    failure: Exception | None = None

    def wait(self) -> None:
        if self.failure is not None:
            raise self.failure

    def result(self, place: int) -> torch.Tensor:
        return self.values[place]


class Device:
    """Replaces one: adds 1 to every number, and notes what it was given.

    Args:
        fails: on the batch of that number, and on all after it.
        hold: is waited for before a batch is over.
    """

    device, concurrency, begins_at_once = CPU, 1, False

    def __init__(
        self, fails: int | None = None, failure: BaseException = LOST, hold: threading.Event | None = None
    ) -> None:
        self.sizes: list[int] = []
        self._fails, self._failure, self._hold = fails, failure, hold
        self.begun = threading.Event()

    def launch(self, requests: Sequence[Number]) -> Sums:
        self.begun.set()
        if self._hold is not None:
            self._hold.wait(PATIENCE)
        if self._fails is not None and len(self.sizes) >= self._fails:
            raise self._failure
        self.sizes.append(len(requests))
        return Sums([torch.tensor(request.value + 1) for request in requests])


class Gpu(Device):
    """One that is asked to begin, and is waited for later."""

    device, concurrency, begins_at_once = Named("cuda:0"), 2, True

    def launch(self, requests: Sequence[Number]) -> Sums:
        self.sizes.append(len(requests))
        failure = LOST if self._fails is not None and len(self.sizes) > self._fails else None
        return Sums([torch.tensor(request.value + 1) for request in requests], is_done=False, failure=failure)


Numbers = Scheduler[Number, torch.Tensor]


def values(scheduler: Numbers, futures: Sequence[Future[Number, torch.Tensor]]) -> list[float]:
    return [float(scheduler.collect(future)) for future in futures]


def nine(_: object) -> int:
    return 9


@pytest.mark.parametrize("device", [Device, Gpu])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_request_comes_back_as_its_own(device: type[Device], count: int) -> None:
    scheduler: Numbers = Scheduler([device() for _ in range(count)], nine, nothing_said)
    futures = [scheduler.submit(Number(number)) for number in range(20)]
    assert values(scheduler, futures) == [number + 1 for number in range(20)]


def test_a_gpu_begins_at_once_and_all_gpus_are_fed() -> None:
    gpus = [Gpu(), Gpu()]
    scheduler: Numbers = Scheduler(gpus, lambda _: 1, nothing_said)
    futures = [scheduler.submit(Number(number)) for number in range(6)]
    assert [len(gpu.sizes) for gpu in gpus] == [2, 2]
    assert values(scheduler, futures) == [1, 2, 3, 4, 5, 6]
    assert [len(gpu.sizes) for gpu in gpus] == [3, 3]


def test_alike_requests_that_wait_at_the_same_time_go_together() -> None:
    """Ten threads, as of ten small pictures: while the first is computed, the others gather."""
    hold = threading.Event()
    device = Device(hold=hold)
    scheduler: Numbers = Scheduler([device], nine, nothing_said)
    results: dict[int, float] = {}

    def upscale(number: int) -> None:
        results[number] = values(scheduler, [scheduler.submit(Number(number, side=4 if number < 8 else 5))])[0]

    first = threading.Thread(target=upscale, args=(0,))
    first.start()
    assert device.begun.wait(PATIENCE)
    others = [threading.Thread(target=upscale, args=(number,)) for number in range(1, 10)]
    for thread in others:
        thread.start()
    while len(scheduler._waiting) < 9:
        threading.Event().wait(0.01)
    hold.set()
    for thread in (first, *others):
        thread.join(PATIENCE)
    assert results == {number: number + 1 for number in range(10)}
    assert sorted(device.sizes) == [1, 2, 7]  # the first alone, then the seven like it, and the two others


class Turnstile(threading.Condition):
    """Whoever comes back from a launch lets the other thread go first, until that waits or has ended the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.launched_by: threading.Thread | None = None
        self.other_is_through = threading.Event()

    def __enter__(self) -> bool:
        if threading.current_thread() is self.launched_by:
            assert self.other_is_through.wait(PATIENCE)
        return super().__enter__()

    def _passed(self) -> None:
        if self.launched_by not in (None, threading.current_thread()):
            self.other_is_through.set()

    def wait(self, timeout: float | None = None) -> bool:
        self._passed()
        return super().wait(timeout)

    def notify_all(self) -> None:
        self._passed()
        super().notify_all()


def test_a_batch_that_another_thread_sees_first_loses_no_request() -> None:
    """Between the return of `launch` and the lock another thread may look: it must not end what is not yet known."""
    turnstile, hold = Turnstile(), threading.Event()

    class Held(Device):
        def launch(self, requests: Sequence[Number]) -> Sums:
            sums = super().launch(requests)
            turnstile.launched_by = threading.current_thread()
            return sums

    device = Held(hold=hold)
    scheduler: Numbers = Scheduler([device], nine, nothing_said)
    scheduler._changed = turnstile
    mine, others = scheduler.submit(Number(1)), scheduler.submit(Number(2))
    results: list[float] = []
    launching = threading.Thread(target=lambda: results.extend(values(scheduler, [mine])), daemon=True)
    launching.start()
    assert device.begun.wait(PATIENCE)
    waiting = threading.Thread(target=lambda: results.extend(values(scheduler, [others])), daemon=True)
    waiting.start()
    hold.set()
    assert turnstile.other_is_through.wait(PATIENCE)
    for thread in (launching, waiting):
        thread.join(PATIENCE)
    assert sorted(results) == [2, 3]


def test_no_more_go_together_than_are_allowed() -> None:
    device = Device()
    scheduler: Numbers = Scheduler([device], lambda _: 3, nothing_said)
    futures = [scheduler.submit(Number(number)) for number in range(7)]
    assert values(scheduler, futures) == [1, 2, 3, 4, 5, 6, 7]
    assert device.sizes == [3, 3, 1]


@pytest.mark.parametrize("device", [Device, Gpu])
@pytest.mark.parametrize("fails", [0, 1, 3])
def test_a_device_that_fails_hands_its_work_to_the_others(device: type[Device], fails: int) -> None:
    reported: list[str] = []
    scheduler: Numbers = Scheduler([device(fails=fails), device()], lambda _: 2, reported.append)
    futures = [scheduler.submit(Number(number)) for number in range(20)]
    assert values(scheduler, futures) == [number + 1 for number in range(20)]
    name = device.device
    assert reported == [f"{name} has failed (CUDA error: unspecified launch failure): going on with {name}."]


def test_the_last_device_is_missed() -> None:
    scheduler: Numbers = Scheduler([Device(fails=0), Device(fails=0)], nine, lambda _: None)
    with pytest.raises(DeviceError, match=r"has failed \(CUDA error.*choose another device="):
        scheduler.collect(scheduler.submit(Number(1)))


def test_a_bug_is_no_failure_of_the_device() -> None:
    scheduler: Numbers = Scheduler([Device(fails=0, failure=ValueError("shapes")), Device()], nine, nothing_said)
    with pytest.raises(ValueError, match="shapes"):
        scheduler.collect(scheduler.submit(Number(1)))


def test_memory_that_one_device_lacks_another_may_have() -> None:
    reported: list[str] = []
    lacking = Device(fails=0, failure=DeviceError("out of memory on cuda:0 even for a window of 20 pixels. Close it."))
    scheduler: Numbers = Scheduler([lacking, Device()], nine, reported.append)
    assert values(scheduler, [scheduler.submit(Number(1))]) == [2]
    assert reported == ["out of memory on cuda:0 even for a window of 20 pixels: going on with cpu."]


def test_what_is_not_waited_for_is_not_computed() -> None:
    device = Device()
    scheduler: Numbers = Scheduler([device], lambda _: 1, nothing_said)
    futures = [scheduler.submit(Number(number)) for number in range(3)]
    scheduler.forget(futures[1])
    assert values(scheduler, [futures[0], futures[2]]) == [1, 3]
    assert device.sizes == [1, 1]


@pytest.mark.parametrize("device", [Device, Gpu])
def test_what_was_collected_is_let_go_of_at_once(device: type[Device]) -> None:
    """Not when Python next looks for circles: in a picture of many tiles that would be gigabytes."""
    scheduler: Numbers = Scheduler([device()], nine, nothing_said)
    gc.disable()
    try:
        result = scheduler.collect(scheduler.submit(Number(1)))
        seen = weakref.ref(result)
        del result
        assert seen() is None
    finally:
        gc.enable()


def test_ctrl_c_in_one_thread_does_not_leave_the_others_waiting() -> None:
    scheduler: Numbers = Scheduler([Device(fails=0, failure=KeyboardInterrupt())], nine, nothing_said)
    futures = [scheduler.submit(Number(number)) for number in range(2)]
    for future in futures:
        with pytest.raises(KeyboardInterrupt):
            scheduler.collect(future)


# What it is used for


class WindowDevice:
    """Replaces a `DeviceNet`: adds 1 to every value of a window.

    Args:
        device: on "cuda" it is waited for.
        fails: on the batch of that number, and on all after it.
    """

    def __init__(self, device: str, fails: int | None = None) -> None:
        self.device, self.concurrency = Named(device), 2 if device == "cuda" else 1
        self.begins_at_once = device == "cuda"
        self.sizes: list[int] = []
        self._fails = fails

    def launch(self, windows: Sequence[Window]) -> SRWindows:
        self.sizes.append(len(windows))
        waits = waiting(LOST if self._fails is not None and len(self.sizes) > self._fails else None)
        arrived = waits if self.device.type == "cuda" else waits.synchronize()
        return SRWindows(
            [torch.from_numpy(window.lr) + 1 for window in windows], torch.zeros(len(windows), 3), arrived
        )  # fmt: skip


class FrameDevice(WindowDevice):
    """Replaces a `FrameUpscaler`: adds 1 to every sample."""

    def launch(self, requests: Sequence[FrameRequest]) -> SRSamples | DownloadingFrame:  # type: ignore[override]
        (request,) = requests
        self.sizes.append(1)
        sr = torch.from_numpy(request.samples) + 1
        waits = waiting(LOST if self._fails is not None and len(self.sizes) > self._fails else None)
        if self.device.type == "cuda":
            clock: Any = SimpleNamespace(end=waits)
            return DownloadingFrame(torch.zeros_like(sr), clock, check=lambda: sr)
        waits.synchronize()
        return SRSamples(sr)


def waiting(failure: Exception | None) -> Any:
    """An event of a GPU, which tells of its failures only now."""

    def synchronize() -> None:
        if failure is not None:
            raise failure

    return SimpleNamespace(synchronize=synchronize)


def window(value: float, side: int = 4) -> Window:
    span = Span(0, side, 0, side)
    return Window(np.full((side, side, 1), value, np.float32), span, span, "display", "fp32")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("fails", [None, 0, 2])
def test_windows_of_photos(device: str, fails: int | None) -> None:
    """Alike ones together, each with its own SR window and health, whatever becomes of a device."""
    reported: list[str] = []
    devices = [WindowDevice(device, fails), WindowDevice(device), WindowDevice(device)]
    scheduler: Scheduler[Window, tuple[torch.Tensor, torch.Tensor]] = Scheduler(devices, nine, reported.append)
    futures = [scheduler.submit(window(number, side=4 + number % 2)) for number in range(40)]
    for number, future in enumerate(futures):
        kept, health = scheduler.collect(future)
        assert kept.shape == (4 + number % 2, 4 + number % 2, 1)
        assert (kept == number + 1).all()
        assert health.shape == (3,)
    assert len(reported) == (fails is not None)
    assert max(size for one in devices for size in one.sizes) > 1


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("fails", [None, 0, 2])
def test_frames_of_clips(device: str, fails: int | None) -> None:
    """One by one, however many may go together."""
    reported: list[str] = []
    devices = [FrameDevice(device, fails), FrameDevice(device), FrameDevice(device)]
    scheduler: Scheduler[FrameRequest, torch.Tensor] = Scheduler(devices, nine, reported.append)
    futures = [scheduler.submit(FrameRequest(np.full(6, number, np.uint8))) for number in range(40)]
    assert [scheduler.collect(future).tolist() for future in futures] == [[number + 1] * 6 for number in range(40)]
    assert len(reported) == (fails is not None)


@pytest.mark.parametrize("make", [espcn, rrdbnet])
def test_a_picture_on_several_devices_is_what_it_is_on_one(
    make: Callable[[], Any], noise: Callable[..., Pixels]
) -> None:
    lr = noise(90, 70, 3)
    one = TiledNet(make(), CPU, "fp32", tile=32, say=nothing_said).upscale(lr, np.float32)
    several = TiledNet(make(), [CPU, CPU, CPU], "fp32", tile=32, say=nothing_said).upscale(lr, np.float32)
    np.testing.assert_array_equal(several, one)


def test_pictures_in_several_threads_share_the_net(noise: Callable[..., Pixels]) -> None:
    """Whatever batches come about, each picture is what it is alone, to the last bits of a float."""
    pictures = [noise(24, 40 if number % 4 else 41, 3) for number in range(16)]
    net = TiledNet(espcn(), CPU, "fp32", say=nothing_said)
    alone = [net.upscale(lr, np.float32) for lr in pictures]
    made: dict[int, Pixels] = {}

    def upscale(number: int) -> None:
        made[number] = net.upscale(pictures[number], np.float32)

    threads = [threading.Thread(target=upscale, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number, sr in enumerate(alone):
        np.testing.assert_allclose(made[number], sr, atol=1e-6)


def test_a_batch_that_memory_does_not_suffice_for_goes_one_by_one(
    noise: Callable[..., Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    net = DeviceNet(
        Sessions(espcn(), TORCH_EAGER, CPU), geometry_of(espcn().descriptor, 2, 0, None), tta=False, say=nothing_said
    )
    span = Span(0, 20, 0, 20)
    windows = [Window(noise(20, 20, 3), span, span, "display", "fp32") for _ in range(3)]
    whole, original = net.launch(windows), DeviceNet._ensemble

    def full(self: DeviceNet, adapter: Any, lr: torch.Tensor, given: Any, transfer: Any) -> torch.Tensor:
        if len(lr) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sr: torch.Tensor = original(self, adapter, lr, given, transfer)
        return sr

    monkeypatch.setattr(DeviceNet, "_ensemble", full)
    again = net.launch(windows)
    for place in range(3):
        np.testing.assert_allclose(again.result(place)[0].numpy(), whole.result(place)[0].numpy(), atol=1e-6)


def test_names_of_several_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [str(device) for device in choose_devices("cuda:0, cuda:2")] == ["cuda:0", "cuda:2"]
    assert [str(device) for device in choose_devices("all")] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [str(device) for device in choose_devices("auto")] == ["cuda:0"]
    for names, message in (
        ("cuda:0,cuda:0", "cuda:0 is named twice"),
        ("cuda:0,cpu", "divided among GPUs only"),
        ("cuda:0,", "device='' is unknown"),
    ):
        with pytest.raises(OptionError, match=message):
            choose_devices(names)
    with pytest.raises(DeviceError, match="cuda:0 to cuda:2"):
        choose_devices("cuda:1,cuda:3")


def test_all_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [device.type for device in choose_devices("all")] == [choose_devices("auto")[0].type]
