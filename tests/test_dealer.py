"""Windows are dealt to devices, alike ones together; a device that fails hands its work to the others."""

import gc
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from tests.test_engine import espcn, nothing_said, rrdbnet
from upscale_cli.errors import DeviceError, OptionError
from upscale_cli.frames.image import Pixels
from upscale_cli.inference.backends.torch_eager import DeviceNet, Flight, Window
from upscale_cli.inference.device import choose_devices
from upscale_cli.inference.scheduler import Dealer, Ticket
from upscale_cli.inference.tiled import Engine
from upscale_cli.inference.tiling import Span

CPU = torch.device("cpu")
LOST = RuntimeError("CUDA error: unspecified launch failure\nCompile with TORCH_USE_CUDA_DSA")


class Device(DeviceNet):
    """Stands in for one: adds 1 to every value, and notes what it was given.

    Args:
        fails: on the flight of that number, and on all after it.
        hold: is waited for before a flight is over.
    """

    def __init__(
        self, fails: int | None = None, failure: Exception = LOST, hold: threading.Event | None = None
    ) -> None:
        self.device, self.hands = CPU, 1
        self.sizes: list[int] = []
        self._fails, self._failure, self._hold = fails, failure, hold
        self.begun = threading.Event()

    def launch(self, windows: Sequence[Window]) -> Flight:
        self.begun.set()
        if self._hold is not None:
            self._hold.wait(30)
        if self._fails is not None and len(self.sizes) >= self._fails:
            raise self._failure
        self.sizes.append(len(windows))
        return Flight([torch.from_numpy(window.lr) + 1 for window in windows], torch.zeros(len(windows), 3), None)


class Gpu(Device):
    """One that is told to begin, and is waited for later."""

    def __init__(self, fails: int | None = None) -> None:
        super().__init__(fails)
        self.device, self.hands = torch.device("cuda", 0), 2

    def launch(self, windows: Sequence[Window]) -> Flight:
        self.sizes.append(len(windows))
        kept = [torch.from_numpy(window.lr) + 1 for window in windows]
        event: Any = Event(LOST if self._fails is not None and len(self.sizes) > self._fails else None)
        return Flight(kept, torch.zeros(len(windows), 3), event)


class Event:
    """Of a GPU, which tells of its failures only now."""

    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    def synchronize(self) -> None:
        if self._failure is not None:
            raise self._failure


def window(value: float, side: int = 4) -> Window:
    span = Span(0, side, 0, side)
    return Window(np.full((side, side, 1), value, np.float32), span, span, "display", "fp32")


def values(dealer: Dealer, tickets: Sequence[Ticket]) -> list[float]:
    return [float(dealer.collect(ticket)[0].mean()) for ticket in tickets]


def nine(_: Window) -> int:
    return 9


@pytest.mark.parametrize("device", [Device, Gpu])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_window_comes_back_as_its_own(device: type[Device], count: int) -> None:
    dealer = Dealer([device() for _ in range(count)], nine, nothing_said)
    tickets = [dealer.submit(window(number)) for number in range(20)]
    assert values(dealer, tickets) == [number + 1 for number in range(20)]


def test_a_gpu_begins_at_once_and_all_gpus_are_fed() -> None:
    gpus = [Gpu(), Gpu()]
    dealer = Dealer(gpus, lambda _: 1, nothing_said)
    tickets = [dealer.submit(window(number)) for number in range(6)]
    assert [len(gpu.sizes) for gpu in gpus] == [2, 2]
    assert values(dealer, tickets) == [1, 2, 3, 4, 5, 6]
    assert [len(gpu.sizes) for gpu in gpus] == [3, 3]


def test_alike_windows_that_wait_at_the_same_time_go_together() -> None:
    """Ten threads, as of ten small pictures: while the first is computed, the others gather."""
    hold = threading.Event()
    device = Device(hold=hold)
    dealer = Dealer([device], nine, nothing_said)
    results: dict[int, float] = {}

    def upscale(number: int) -> None:
        results[number] = values(dealer, [dealer.submit(window(number, side=4 if number < 8 else 5))])[0]

    first = threading.Thread(target=upscale, args=(0,))
    first.start()
    assert device.begun.wait(30)
    others = [threading.Thread(target=upscale, args=(number,)) for number in range(1, 10)]
    for thread in others:
        thread.start()
    while len(dealer._waiting) < 9:
        threading.Event().wait(0.01)
    hold.set()
    for thread in (first, *others):
        thread.join(30)
    assert results == {number: number + 1 for number in range(10)}
    assert sorted(device.sizes) == [1, 2, 7]  # the first alone, then the seven like it, and the two others


def test_no_more_go_together_than_are_allowed() -> None:
    device = Device()
    dealer = Dealer([device], lambda _: 3, nothing_said)
    tickets = [dealer.submit(window(number)) for number in range(7)]
    assert values(dealer, tickets) == [1, 2, 3, 4, 5, 6, 7]
    assert device.sizes == [3, 3, 1]


@pytest.mark.parametrize("device", [Device, Gpu])
@pytest.mark.parametrize("fails", [0, 1, 3])
def test_a_device_that_fails_hands_its_work_to_the_others(device: type[Device], fails: int) -> None:
    said: list[str] = []
    dealer = Dealer([device(fails=fails), device()], lambda _: 2, said.append)
    tickets = [dealer.submit(window(number)) for number in range(20)]
    assert values(dealer, tickets) == [number + 1 for number in range(20)]
    name = dealer._seats[0].net.device
    assert said == [f"{name} has failed (CUDA error: unspecified launch failure): going on with {name}."]


def test_the_last_device_is_missed() -> None:
    dealer = Dealer([Device(fails=0), Device(fails=0)], nine, lambda _: None)
    with pytest.raises(DeviceError, match=r"has failed \(CUDA error.*choose another --device"):
        dealer.collect(dealer.submit(window(1)))


def test_a_bug_is_no_failure_of_the_device() -> None:
    dealer = Dealer([Device(fails=0, failure=ValueError("shapes")), Device()], nine, nothing_said)
    with pytest.raises(ValueError, match="shapes"):
        dealer.collect(dealer.submit(window(1)))


def test_memory_that_one_device_lacks_another_may_have() -> None:
    said: list[str] = []
    lacking = Device(fails=0, failure=DeviceError("out of memory on cuda:0 even for a window of 20 pixels. Close it."))
    dealer = Dealer([lacking, Device()], nine, said.append)
    assert values(dealer, [dealer.submit(window(1))]) == [2]
    assert said == ["out of memory on cuda:0 even for a window of 20 pixels: going on with cpu."]


def test_what_nobody_waits_for_is_not_computed() -> None:
    device = Device()
    dealer = Dealer([device], lambda _: 1, nothing_said)
    tickets = [dealer.submit(window(number)) for number in range(3)]
    dealer.forget(tickets[1])
    assert values(dealer, [tickets[0], tickets[2]]) == [1, 3]
    assert device.sizes == [1, 1]


@pytest.mark.parametrize("device", [Device, Gpu])
def test_what_was_collected_is_let_go_of_at_once(device: type[Device]) -> None:
    """Not when Python next looks for circles: in a picture of many tiles that would be gigabytes."""
    dealer = Dealer([device()], nine, nothing_said)
    gc.disable()
    try:
        kept, _ = dealer.collect(dealer.submit(window(1)))
        seen = weakref.ref(kept)
        del kept
        assert seen() is None
    finally:
        gc.enable()


def test_ctrl_c_in_one_thread_does_not_leave_the_others_waiting() -> None:
    dealer = Dealer([Device(fails=0, failure=KeyboardInterrupt())], nine, nothing_said)  # type: ignore[arg-type]
    tickets = [dealer.submit(window(number)) for number in range(2)]
    for ticket in tickets:
        with pytest.raises(KeyboardInterrupt):
            dealer.collect(ticket)


@pytest.mark.parametrize("make", [espcn, rrdbnet])
def test_a_picture_on_several_devices_is_what_it_is_on_one(
    make: Callable[[], Any], noise: Callable[..., Pixels]
) -> None:
    lr = noise(90, 70, 3)
    one = Engine(make(), CPU, "fp32", tile=32, say=nothing_said).upscale(lr, np.float32)
    several = Engine(make(), [CPU, CPU, CPU], "fp32", tile=32, say=nothing_said).upscale(lr, np.float32)
    np.testing.assert_array_equal(several, one)


def test_pictures_in_several_threads_share_the_net(noise: Callable[..., Pixels]) -> None:
    """Whatever batches come about, each picture is what it is alone, to the last bits of a float."""
    pictures = [noise(24, 40 if number % 4 else 41, 3) for number in range(16)]
    engine = Engine(espcn(), CPU, "fp32", say=nothing_said)
    alone = [engine.upscale(lr, np.float32) for lr in pictures]
    made: dict[int, Pixels] = {}

    def upscale(number: int) -> None:
        made[number] = engine.upscale(pictures[number], np.float32)

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
    net = DeviceNet(espcn().eval(), CPU, overlap=0, tta=False, say=nothing_said)
    span = Span(0, 20, 0, 20)
    windows = [Window(noise(20, 20, 3), span, span, "display", "fp32") for _ in range(3)]
    whole, original = net.launch(windows), DeviceNet._ensemble

    def full(self: DeviceNet, module: Any, lr: torch.Tensor, transfer: Any) -> torch.Tensor:
        if len(lr) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, module, lr, transfer)

    monkeypatch.setattr(DeviceNet, "_ensemble", full)
    for one, other in zip(net.launch(windows).kept, whole.kept, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


def test_names_of_several_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [str(device) for device in choose_devices("cuda:0, cuda:2")] == ["cuda:0", "cuda:2"]
    assert [str(device) for device in choose_devices("all")] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [str(device) for device in choose_devices("auto")] == ["cuda:0"]
    for names, message in (
        ("cuda:0,cuda:0", "cuda:0 is named twice"),
        ("cuda:0,cpu", "dealt out to GPUs only"),
        ("cuda:0,", "device '' is unknown"),
    ):
        with pytest.raises(OptionError, match=message):
            choose_devices(names)
    with pytest.raises(DeviceError, match="cuda:0 to cuda:2"):
        choose_devices("cuda:1,cuda:3")


def test_all_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [device.type for device in choose_devices("all")] == [choose_devices("auto")[0].type]
