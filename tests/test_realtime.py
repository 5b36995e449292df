"""The policy that keeps up with the clock, under a clock of its own. Nothing here takes time."""

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upscale_cli.jobs.realtime import LATENCY_SECONDS, SWITCH_SECONDS, Gate, NetCost, Pacer, advice
from upscale_cli.messages import Message


@dataclass
class Run:
    """One machine that upscales frames one after the other, as a simulation.

    Attributes:
        net, bicubic: seconds a frame takes.
        ahead: how many seconds before its time a frame comes from its source.
        late: by how many seconds each frame missed its time, the first one's being right.
        nets: which way each went.
    """

    net: list[float]
    bicubic: float
    ahead: float = 1.0
    now: float = 100.0
    late: list[float] = field(default_factory=list)
    nets: list[bool] = field(default_factory=list)

    def __call__(self, times: list[float], *, expected: float = 0.0, patience: float | None = None) -> "Run":
        pacer = Pacer(_rate(times), expected=expected, patience=patience, clock=lambda: self.now)
        spent = 0.0
        gate = Gate(pacer, lambda: spent)
        origin: float | None = None
        for number, at in enumerate(times):
            if origin is not None:
                self.now = max(self.now, origin + at - self.ahead)
            by_net = gate.by_net(at)
            took = self.net[number % len(self.net)] if by_net else self.bicubic
            self.now += took
            spent += took
            gate.done()
            origin = self.now - at if origin is None else origin
            self.late.append(self.now - origin - at)
            self.nets.append(by_net)
        return self

    def switches(self, times: list[float]) -> list[float]:
        """When it went from one to the other."""
        return [times[number] for number, (a, b) in enumerate(pairwise(self.nets), 1) if a != b]


def _rate(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


def steady(seconds: float, rate: float = 25.0) -> list[float]:
    return [number / rate for number in range(round(seconds * rate))]


def test_a_fast_net_takes_every_frame() -> None:
    run = Run(net=[0.02], bicubic=0.001)(steady(60))
    assert all(run.nets)


def test_a_net_slower_than_the_clip_gives_way_and_the_clock_is_held() -> None:
    run = Run(net=[0.2], bicubic=0.005)(steady(60))
    assert 0 < sum(run.nets) < len(run.nets) / 2
    assert max(run.late) <= LATENCY_SECONDS


def test_a_net_a_little_slower_than_the_clip_does_what_it_can() -> None:
    times = steady(60)
    run = Run(net=[0.044], bicubic=0.005)(times)
    assert sum(run.nets) > len(run.nets) / 2
    assert max(run.late) <= LATENCY_SECONDS
    assert len(run.switches(times)) > 2


def test_a_net_that_takes_seconds_is_not_even_begun_with_where_that_is_known() -> None:
    run = Run(net=[30.0], bicubic=0.005)(steady(10), expected=30.0)
    assert not any(run.nets)


@pytest.mark.parametrize("patience", [None, 2.0])
def test_a_net_that_could_never_keep_up_is_tried_once_and_not_again(patience: float | None) -> None:
    run = Run(net=[0.8], bicubic=0.005)(steady(60), patience=patience)
    assert 1 <= sum(run.nets) <= 3


def test_a_net_that_is_slow_for_a_while_comes_back() -> None:
    slow = [0.01] * 250 + [0.3] * 20 + [0.01] * 2000
    run = Run(net=slow, bicubic=0.005)(steady(60))
    assert not all(run.nets)
    assert all(run.nets[-250:])


def test_a_pause_of_the_viewer_is_not_counted_against_the_net() -> None:
    now = 0.0
    pacer = Pacer(25.0, clock=lambda: now)
    for number in range(50):
        assert pacer.by_net(number / 25)
        now += 0.01
        pacer.done()
    now += 60
    assert pacer.by_net(2.0), "a clock that far off is set anew"
    pacer.held(30)
    now += 30
    assert pacer.by_net(2.04)


def test_an_impatient_clock_never_waits() -> None:
    now = 0.0
    pacer = Pacer(25.0, patience=None, clock=lambda: now)
    pacer.by_net(0.0)
    pacer.cost.add(0.01)
    pacer.done()
    now += 60
    pacer.held(60)
    assert not pacer.by_net(0.04)


costs = st.floats(0.0005, 0.6)


@given(
    st.lists(costs, min_size=1, max_size=200),
    st.lists(st.floats(0.001, 0.4), min_size=2, max_size=400),
    st.floats(0.0, 2.0),
    st.sampled_from([None, 2.0]),
)
def test_there_is_a_second_between_two_switches_whatever_happens(
    net: list[float], gaps: list[float], ahead: float, patience: float | None
) -> None:
    times = [sum(gaps[:number]) for number in range(len(gaps) + 1)]
    run = Run(net=net, bicubic=0.02, ahead=ahead)(times, patience=patience)
    assert len(run.nets) == len(times), "no frame is dropped"
    assert all(b - a >= SWITCH_SECONDS for a, b in pairwise(run.switches(times)))


@given(st.floats(0.001, 0.45), st.floats(5, 60), st.floats(0.2, 3.0))
def test_the_clock_is_held_for_every_steady_net_and_rate(cost: float, rate: float, ahead: float) -> None:
    run = Run(net=[cost], bicubic=min(0.3 / rate, cost), ahead=ahead)(steady(30, rate))
    settled = 3  # the first frames tell how long the net takes
    assert max(run.late[settled:]) <= LATENCY_SECONDS + settled * cost


@pytest.mark.slow
@given(st.lists(st.sampled_from([0.008, 0.1, 0.25]), min_size=100, max_size=400), st.floats(0.001, 0.2))
def test_the_clock_is_held_with_a_variable_rate(gaps: list[float], cost: float) -> None:
    times = [sum(gaps[:number]) for number in range(len(gaps))]
    run = Run(net=[cost], bicubic=0.002)(times)
    dense = SWITCH_SECONDS / min(gaps) * cost  # a burst that begins right after a switch has to be sat through
    assert max(run.late) <= LATENCY_SECONDS + 3 * cost + max(0.0, dense - SWITCH_SECONDS)


def test_the_estimate_follows_and_is_seldom_exceeded() -> None:
    cost = NetCost(expected=9.0)
    for number in range(200):
        cost.add(0.01 + 0.002 * (number % 3))
    assert 0.014 <= cost.likely < 0.03
    for _ in range(50):
        cost.add(0.1)
    assert cost.likely >= 0.1


@pytest.mark.parametrize(
    ("slowest", "says"),
    [("decode", "hwaccel="), ("encode", "hardware codec="), ("net", "a GPU"), ("download", "smaller scale=")],
)
def test_advice_is_about_the_slowest_stage(slowest: str, says: str) -> None:
    text = advice(slowest, may_fall_back=False, device="cpu", model="swinir", encoder="libx264")
    assert says in Message(text)


@pytest.mark.parametrize(("model", "smaller"), [("espcn", "swift"), ("sharp-robust", "swift-robust")])
def test_advice_names_a_smaller_model_for_the_same_clips(model: str, smaller: str) -> None:
    text = advice("net", may_fall_back=False, device="cpu", model=model, encoder="libx264")
    assert f"(model='{smaller}')" in Message(text)


def test_advice_offers_nothing_that_is_there_already() -> None:
    text = advice("net", may_fall_back=True, device="cuda", model="swift-robust", encoder="libx264")
    assert "GPU" not in text
    assert "smaller model" not in text
    assert "strict" not in text
    assert "hardware" not in advice("encode", may_fall_back=True, device="cuda", model="espcn", encoder="h264_nvenc")
