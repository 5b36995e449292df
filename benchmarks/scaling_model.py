"""Machines that take jobs from a driver, simulated event by event. Pure: seconds, bytes and counts in and out.

    driver (begin)  ->  slot: fetch, decode, net, encode, put  ->  driver (end)

A slot is a place for one job on a machine, and a generator: it yields the moment at which it goes on, and a heap wakes
the next one. What is shared (a driver, a GPU, cores, a network card, the rate of a store's prefix) is a queue:
a slot that asks for some seconds of it learns when they will be over. Everything random comes from one seed.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Final

Moments = Generator[float, None, None]
"""When a process goes on, in seconds. One that has to wait for another leaves a fresh one of its kind to be woken."""

WARM: Final = 0.4
DONE: Final = 0.9
"""Between these parts of all jobs the rate is taken: after the start, before the last stragglers."""

LEAST_JOBS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One job, on average.

    Attributes:
        gpu_s, decode_s, encode_s: seconds of a GPU, and of one core.
        bytes_in, bytes_out: of its files.
        gets, puts: requests to the store; a HEAD counts as a GET.
        events: that the driver is told.
    """

    gpu_s: float
    decode_s: float = 0.0
    encode_s: float = 0.0
    bytes_in: float = 0.0
    bytes_out: float = 0.0
    gets: int = 0
    puts: int = 0
    events: float = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What dispatches. Each is one thread.

    Attributes:
        count: drivers, each with a part of the jobs and of the machines.
        request_s, job_s, event_s: of its time, for every request, every job in it, every event.
        batch: jobs in a request, done one after the other.
        ahead: requests in progress for every slot.
    """

    request_s: float
    job_s: float = 0.0
    event_s: float = 0.0
    count: int = 1
    batch: int = 1
    ahead: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """All alike, each with one GPU.

    Attributes:
        count: how many.
        slots: jobs that one has in progress at once.
        cores: that decode and encode.
        network_bytes_s: of its network card, both ways together.
        spread: of the logarithm of what a job takes; the mean stays.
        deaths_per_hour: of each machine.
        away_s: until there is another one in its place.
        are_ready: the first ones are there from the beginning; else they start together.
        starts_per_s: slots that the cluster starts, all machines together.
        start_s: from there until the net may be loaded.
        model_bytes, model_bytes_s: of the net, once for every slot, and the rate that all of them share.
        round_trip_s: between driver and machine.
    """

    count: int
    slots: int = 2
    cores: int = 4
    network_bytes_s: float = 1e12
    spread: float = 0.0
    deaths_per_hour: float = 0.0
    away_s: float = 0.0
    are_ready: bool = False
    starts_per_s: float = 1e9
    start_s: float = 0.0
    model_bytes: float = 0.0
    model_bytes_s: float = 1e12
    round_trip_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where files come from and go to.

    Attributes:
        prefixes: each has its own rates of requests; jobs are spread over them evenly.
        latency_s: until the first byte, or until a request without a body is answered.
        connection_bytes_s: of one connection; `connections` at once for a large file.
        bytes_s: of all of it together.
    """

    gets_per_s: float = 1e9
    puts_per_s: float = 1e9
    prefixes: int = 1
    latency_s: float = 0.0
    connection_bytes_s: float = 1e12
    connections: int = 1
    bytes_s: float = 1e15


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulated run has come to.

    Attributes:
        jobs: done, each once.
        seconds: until the last job is noted.
        rate: jobs per second between `WARM` and `DONE`.
        busy: by resource, the part of that time in which it was busy, over all of its kind.
        deaths, lost: machines that died, and jobs that were in progress on them.
        lost_s: seconds of slots that went into those.
    """

    jobs: int
    seconds: float
    rate: float
    busy: dict[str, float]
    deaths: int
    lost: int
    lost_s: float


class Queue:
    """Something that serves in the order of asking, `width` at a time."""

    def __init__(self, width: int = 1) -> None:
        self._free = [0.0] * width
        self.busy = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """When so many seconds of it, asked for now, will be over."""
        end = max(now, self._free[0]) + seconds
        heapq.heapreplace(self._free, end)
        self.busy += seconds
        return end


@dataclass(eq=False)
class Life:
    """A machine from its start to its death, and what belongs to it."""

    begin: float
    end: float
    cores: Queue
    gpu: Queue
    network: Queue


@dataclass(eq=False)
class Scheduler:
    """A driver, and its jobs."""

    left: int
    limit: int
    queue: Queue = field(default_factory=Queue)
    in_progress: int = 0
    waiting: deque[int] = field(default_factory=deque)
    idle: deque[Moments] = field(default_factory=deque)
    dispatching: Moments | None = None
    """Itself, while it waits for a request to end."""


def simulate(work: Work, driver: Driver, machines: Machines, store: Store, jobs: int, seed: int = 0) -> Outcome:
    """Runs so many jobs.

    Raises:
        ValueError: some drivers have no machine, or there are too few jobs for a rate.
    """
    if driver.count > machines.count or jobs < LEAST_JOBS:
        raise ValueError(f"{jobs} jobs, {driver.count} drivers, {machines.count} machines")
    return _Simulation(work, driver, machines, store, jobs, seed).run()


class _Simulation:
    def __init__(self, work: Work, driver: Driver, machines: Machines, store: Store, jobs: int, seed: int) -> None:
        self._work, self._driver, self._machines, self._store, self._jobs = work, driver, machines, store, jobs
        self._random = random.Random(seed)
        self._now, self._done, self._deaths, self._lost, self._lost_s = 0.0, 0, 0, 0, 0.0
        self._heap: list[tuple[float, int, Moments]] = []
        self._number = itertools.count()
        self._starts, self._models, self._flow = Queue(), Queue(), Queue()
        self._gets, self._puts = ([Queue() for _ in range(store.prefixes)] for _ in range(2))
        self._lives: list[Life] = []
        self._marks: dict[float, tuple[float, dict[str, float]]] = {}
        self._past: dict[str, float] = dict.fromkeys(("gpu", "cores", "network"), 0.0)
        slots = machines.count * machines.slots
        self._schedulers = [
            Scheduler(share, driver.ahead * max(1, slots // driver.count)) for share in _shares(jobs, driver.count)
        ]

    def run(self) -> Outcome:
        for scheduler in self._schedulers:
            self._wake(self._dispatch(scheduler))
        for number in range(self._machines.count):
            self._lives.append(self._life(0.0, is_ready=self._machines.are_ready))
            for _ in range(self._machines.slots):
                self._wake(self._slot(number, self._schedulers[number % len(self._schedulers)]))
        while self._heap and self._done < self._jobs:
            self._now, _, process = heapq.heappop(self._heap)
            until = next(process, None)
            if until is not None:
                heapq.heappush(self._heap, (until, next(self._number), process))
        return self._outcome()

    def _wake(self, process: Moments) -> None:
        heapq.heappush(self._heap, (self._now, next(self._number), process))

    # The driver

    def _dispatch(self, scheduler: Scheduler) -> Moments:
        """Begins requests, as many ahead as slots may want."""
        while scheduler.left:
            if scheduler.in_progress >= scheduler.limit:
                scheduler.dispatching = self._dispatch(scheduler)
                return
            size = min(self._driver.batch, scheduler.left)
            scheduler.left -= size
            scheduler.in_progress += 1
            yield scheduler.queue.serve(self._now, self._half_s(size))
            scheduler.waiting.append(size)
            self._wake_a_slot(scheduler)

    def _half_s(self, size: int) -> float:
        """Half of what a request takes of its driver: before it, and after it."""
        return (self._driver.request_s + size * self._driver.job_s) / 2

    def _wake_a_slot(self, scheduler: Scheduler) -> None:
        if scheduler.idle:
            self._wake(scheduler.idle.popleft())

    def _end(self, scheduler: Scheduler, size: int) -> Moments:
        """Notes a request that has ended; its events have come on the way."""
        events_s = size * self._work.events * self._driver.event_s
        yield scheduler.queue.serve(self._now, self._half_s(size) + events_s)
        scheduler.in_progress -= 1
        self._count(size)
        if scheduler.dispatching is not None:
            self._wake(scheduler.dispatching)
            scheduler.dispatching = None

    def _count(self, size: int) -> None:
        self._done += size
        for part in (WARM, DONE):
            if self._done - size < part * self._jobs <= self._done:
                self._marks[part] = self._now, self._busy()

    # A machine

    def _life(self, begin: float, *, is_ready: bool = False) -> Life:
        """Of a machine that is there from `begin` on: it starts, and then loads its net, with all others that do."""
        machines = self._machines
        if not is_ready:
            begin = self._starts.serve(begin, machines.slots / machines.starts_per_s) + machines.start_s
            begin = self._models.serve(begin, machines.slots * machines.model_bytes / machines.model_bytes_s)
        rate = machines.deaths_per_hour / 3600
        end = begin + self._random.expovariate(rate) if rate else float("inf")
        return Life(begin, end, Queue(machines.cores), Queue(), Queue())

    def _alive(self, number: int) -> Life:
        """The machine as it is now; another one, if it has died."""
        life = self._lives[number]
        if life.end <= self._now:
            self._deaths += 1
            for name, queue in (("gpu", life.gpu), ("cores", life.cores), ("network", life.network)):
                self._past[name] += queue.busy
            self._lives[number] = life = self._life(life.end + self._machines.away_s)
        return life

    def _slot(self, number: int, scheduler: Scheduler) -> Moments:
        """Requests one after the other, for ever."""
        while True:
            life = self._alive(number)
            if life.begin > self._now:
                if scheduler.waiting:
                    self._wake_a_slot(scheduler)  # it was this one that was woken for the request
                yield life.begin
                continue
            if not scheduler.waiting:
                scheduler.idle.append(self._slot(number, scheduler))
                return
            size, begin = scheduler.waiting.popleft(), self._now
            yield from self._request(life, size)
            if self._now >= life.end:
                self._lost, self._lost_s = self._lost + size, self._lost_s + self._now - begin
                scheduler.waiting.appendleft(size)
                self._wake_a_slot(scheduler)
            else:
                self._wake(self._end(scheduler, size))

    def _request(self, life: Life, size: int) -> Moments:
        """The moments of a request, until it is done or the machine has died."""
        if self._machines.round_trip_s:
            yield self._now + self._machines.round_trip_s
        for _ in range(size):
            for until in self._job(life):
                yield min(until, life.end)
                if self._now >= life.end:
                    return

    def _job(self, life: Life) -> Iterator[float]:
        """When its parts are over, each asked for as the one before is."""
        work, spread = self._work, self._machines.spread
        slow = self._random.lognormvariate(-(spread**2) / 2, spread) if spread else 1.0
        if work.gets or work.bytes_in:
            yield self._moved(self._gets, work.gets, 1 / self._store.gets_per_s, work.bytes_in, life)
        yield life.cores.serve(self._now, slow * work.decode_s)
        yield life.gpu.serve(self._now, slow * work.gpu_s)
        yield life.cores.serve(self._now, slow * work.encode_s)
        if work.puts or work.bytes_out:
            yield self._moved(self._puts, work.puts, 1 / self._store.puts_per_s, work.bytes_out, life)

    def _moved(self, prefixes: list[Queue], requests: int, request_s: float, size: float, life: Life) -> float:
        """When a file has come or gone: its requests are let in, then it flows as fast as the slowest part lets it.

        Parts of a large file go at once, so no request waits for more than one before it and one after it.
        """
        prefix = prefixes[self._random.randrange(len(prefixes))] if len(prefixes) > 1 else prefixes[0]
        admitted = prefix.serve(self._now, requests * request_s) + self._store.latency_s * min(requests, 3)
        connections = self._store.connections
        network = life.network.serve(self._now, size / self._machines.network_bytes_s)
        flow = self._flow.serve(self._now, size / self._store.bytes_s)
        return max(admitted + size / (connections * self._store.connection_bytes_s), network, flow)

    # The end

    def _busy(self) -> dict[str, float]:
        """Seconds so far, of everything together, by kind."""
        lives = self._lives
        return {
            "driver": sum(scheduler.queue.busy for scheduler in self._schedulers),
            "gpu": self._past["gpu"] + sum(life.gpu.busy for life in lives),
            "cores": self._past["cores"] + sum(life.cores.busy for life in lives),
            "network": self._past["network"] + sum(life.network.busy for life in lives),
            "store_gets": sum(queue.busy for queue in self._gets),
            "store_puts": sum(queue.busy for queue in self._puts),
            "store_bytes": self._flow.busy,
        }

    def _outcome(self) -> Outcome:
        (begin, before), (end, after) = self._marks[WARM], self._marks[DONE]
        span, machines, prefixes = max(end - begin, 1e-9), self._machines, self._store.prefixes
        width = {
            "driver": len(self._schedulers), "gpu": machines.count, "cores": machines.count * machines.cores,
            "network": machines.count, "store_gets": prefixes, "store_puts": prefixes, "store_bytes": 1,
        }  # fmt: skip
        return Outcome(
            jobs=self._done, seconds=self._now, rate=(DONE - WARM) * self._jobs / span,
            busy={name: min(1.0, (after[name] - before[name]) / span / count) for name, count in width.items()},
            deaths=self._deaths, lost=self._lost, lost_s=self._lost_s,
        )  # fmt: skip


def _shares(jobs: int, count: int) -> list[int]:
    """Jobs divided among so many, as evenly as it goes."""
    return [jobs // count + (number < jobs % count) for number in range(count)]
