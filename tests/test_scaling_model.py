"""The simulated cluster against what must hold of any, and against closed forms. Nothing here looks at a clock."""

import json
import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import scaling
from benchmarks.report import REPOSITORY
from benchmarks.scaling_model import Driver, Machines, Outcome, Queue, Store, Work, simulate

WORK = Work(gpu_s=1.0, decode_s=0.2, encode_s=0.5, bytes_in=1e6, bytes_out=1e7, gets=2, puts=3)
QUICK = Driver(request_s=1e-9)
STORE = Store(latency_s=0.1, connection_bytes_s=1e8)


def rate(machines: Machines, driver: Driver = QUICK, store: Store = STORE, jobs: int = 1000) -> Outcome:
    return simulate(WORK, driver, machines, store, jobs)


# Closed forms


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_a_queue_makes_random_callers_wait_as_long_as_m_d_1_says(load: float) -> None:
    """Mean wait of Poisson arrivals at a server of fixed seconds s: load * s / (2 * (1 - load))."""
    queue, chance, now, waited, count = Queue(), random.Random(1), 0.0, 0.0, 200_000
    for _ in range(count):
        now += chance.expovariate(load)
        waited += queue.serve(now, 1.0) - 1.0 - now
    assert waited / count == pytest.approx(load / (2 * (1 - load)), rel=0.1)


def test_a_queue_of_some_width_serves_so_many_at_once() -> None:
    queue = Queue(2)
    assert [queue.serve(0.0, 1.0) for _ in range(5)] == [1.0, 1.0, 2.0, 2.0, 3.0]
    assert queue.busy == 5.0


def test_one_hand_takes_as_long_as_the_parts_of_a_job_together() -> None:
    seconds = 0.2 + 0.01 + 0.2 + 1.0 + 0.5 + 0.3 + 0.1  # two requests, bytes in; decode, net, encode; three, bytes out
    assert rate(Machines(count=1, slots=1)).seconds == pytest.approx(1000 * seconds)


def test_enough_hands_keep_the_gpu_busy_and_no_more() -> None:
    outcome = rate(Machines(count=3, slots=4))
    assert outcome.rate == pytest.approx(3.0, rel=0.01)
    assert outcome.busy["gpu"] == pytest.approx(1.0, abs=0.01)


def test_a_part_that_one_machine_does_bounds_the_speed_up_as_amdahl_says() -> None:
    """Each job takes 0.1 s of the driver and 2.31 s of a slot: no number of machines gets above 10 jobs a second."""
    driver = Driver(request_s=0.1)
    for count in (1, 4, 16, 64, 256):
        found = rate(Machines(count=count, slots=1), driver, jobs=4000).rate
        assert found == pytest.approx(min(count / 2.31, 10.0), rel=0.03)


@pytest.mark.parametrize(
    ("store", "most"),
    [
        (replace(STORE, puts_per_s=60), 20.0),
        (replace(STORE, puts_per_s=60, prefixes=2), 40.0),
        (replace(STORE, gets_per_s=10), 5.0),
        (replace(STORE, bytes_s=1.1e8), 10.0),
    ],
)
def test_a_store_lets_through_what_it_can(store: Store, most: float) -> None:
    assert rate(Machines(count=100), store=store, jobs=10_000).rate == pytest.approx(most, rel=0.05)


# Whatever the numbers are


@given(
    count=st.integers(1, 40), slots=st.integers(1, 4), request_s=st.floats(0, 0.2), batch=st.integers(1, 5),
    spread=st.floats(0, 0.5), deaths=st.sampled_from([0.0, 60.0]), puts_per_s=st.floats(5, 1e4),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_every_job_is_done_once_and_not_faster_than_the_slowest_part_allows(
    count: int, slots: int, request_s: float, batch: int, spread: float, deaths: float, puts_per_s: float
) -> None:
    jobs = 500
    machines = Machines(count=count, slots=slots, spread=spread, deaths_per_hour=deaths, away_s=20.0)
    driver, store = Driver(request_s=request_s, batch=batch), replace(STORE, puts_per_s=puts_per_s)
    outcome = simulate(WORK, driver, machines, store, jobs)
    assert outcome.jobs == jobs
    fastest = max(jobs * WORK.puts / puts_per_s, jobs // batch * request_s)
    if not spread:
        fastest = max(fastest, jobs * WORK.gpu_s / count, jobs * 2.31 / (count * slots))
    assert outcome.seconds >= fastest * (1 - 1e-9)
    assert all(0 <= part <= 1 for part in outcome.busy.values())
    assert bool(outcome.lost) <= bool(outcome.deaths) <= bool(deaths)


def test_more_machines_are_never_slower_until_they_are_no_faster() -> None:
    driver = Driver(request_s=0.02)
    rates = [rate(Machines(count=count), driver, jobs=6000).rate for count in (1, 2, 5, 10, 20, 50, 100, 200)]
    assert all(after >= before * 0.98 for before, after in pairwise(rates))
    assert rates[-1] == pytest.approx(50, rel=0.02)


def test_drivers_with_shares_of_their_own_do_as_many_times_more() -> None:
    one, four = (rate(Machines(count=400), Driver(request_s=0.02, count=count), jobs=20_000).rate for count in (1, 4))
    assert four == pytest.approx(4 * one, rel=0.05)


def test_the_same_seed_gives_the_same_run() -> None:
    machines = Machines(count=7, spread=0.4, deaths_per_hour=30, away_s=5)
    assert rate(machines) == rate(machines)
    assert rate(machines) != simulate(WORK, QUICK, machines, STORE, 1000, seed=1)


def test_a_dead_machine_costs_its_jobs_in_hand_and_its_absence() -> None:
    calm, rough = (rate(Machines(count=10, deaths_per_hour=d, away_s=30), jobs=5000) for d in (0, 60))
    assert rough.deaths > 5
    assert rough.lost <= rough.deaths * 2  # slots
    assert rough.seconds > calm.seconds


def test_a_net_that_all_load_at_once_comes_to_one_after_the_other() -> None:
    machines = Machines(count=100, slots=1, start_s=1, model_bytes=1e8, model_bytes_s=1e9)
    outcome = simulate(Work(gpu_s=100), QUICK, machines, Store(), 100)
    assert outcome.seconds == pytest.approx(1 + 100 * 0.1 + 100)


def test_too_little_for_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match="2 drivers, 1 machines"):
        rate(Machines(count=1), Driver(request_s=0, count=2))
    with pytest.raises(ValueError, match="3 jobs"):
        rate(Machines(count=1), jobs=3)


# What goes in


def test_every_fact_says_how_it_is_known() -> None:
    known = scaling.facts()
    assert {fact.kind for fact in known.values()} == {"measured", "published", "assumed", "ours"}
    assert all(fact.source and fact.value > 0 for fact in known.values())


def test_a_figure_that_is_missing_is_named() -> None:
    with pytest.raises(SystemExit, match=r"no_such.json: a / b: is missing. Run python -m benchmarks.no_such first\."):
        scaling.measured("no_such", "a", "b")


def test_the_facts_in_the_results_are_those_of_the_script() -> None:
    """Published and assumed ones; measured ones change with every run of theirs."""
    written = json.loads((REPOSITORY / "benchmarks/scaling.json").read_text(encoding="utf-8"))["facts"]
    known = {name: fact for name, fact in scaling.facts().items() if fact.kind != "measured"}
    still = [name for name in known if written[name]["kind"] != "measured"]
    assert still
    assert {name: written[name]["value"] for name in still} == {name: known[name].value for name in still}
