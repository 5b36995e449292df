"""From one machine to ten thousand, on paper: how long, what is busy, and what breaks first.

    python -m benchmarks.scaling

Simulates (`scaling_model`) what the folder run, the cluster's executor and the object jobs do, with the facts below:
measured ones are read from the JSONs of other benchmarks, published ones have a source, assumed ones a reason.
Takes half a minute, and one thread.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from benchmarks.report import json_of, write
from benchmarks.scaling_model import Driver, Machines, Outcome, Store, Work, simulate
from upscale_cli.files import object_store
from upscale_cli.models.registry import MODELS

# Facts


@dataclass(frozen=True, slots=True)
class Fact:
    """A number, and how we know it.

    Attributes:
        kind: "ours" is a constant of this program.
        source: of a measured one, where it stands in which JSON; else a public document, or the reason.
    """

    value: float
    kind: Literal["measured", "published", "assumed", "ours"]
    source: str


def measured(name: str, *keys: str) -> Fact:
    """A figure of another benchmark.

    Raises:
        SystemExit: it is not there.
    """
    where = f"{name}.json: {' / '.join(keys)}"
    value: Any = json_of(name)
    try:
        for key in keys:
            value = value[key]
    except KeyError as error:
        raise SystemExit(f"{where}: is missing. Run python -m benchmarks.{name} first.") from error
    return Fact(float(value), "measured", where)


def measured_or(value: float, why: str, name: str, *keys: str) -> Fact:
    """A figure of a benchmark that may not have been run; else an assumed one."""
    return measured(name, *keys) if json_of(name) else Fact(value, "assumed", why)


COSTS: Final = "scaling_costs"
NEW: Final = ("runs", "all_new", "requests_per_photo")
BUSY_CALLS: Final = ("ray_call", "16_callers_4_events"), ("ray_call", "16_callers_20_events")
S3_LIMITS: Final = "Amazon S3 User Guide, Best practices design patterns (per partitioned prefix, at least)"
S3_SPEED: Final = "Amazon S3 User Guide, Performance guidelines and design patterns"
RAY_ENVELOPE: Final = "ray-project/ray, release/benchmarks/README.md"


def facts() -> dict[str, Fact]:
    """All numbers that go in. Seconds, bytes, pieces."""
    pictures = "named" if "named" in json_of(COSTS).get("pictures", {}) else "made"
    return {
        # One job
        "decode_s_per_lr_mp": measured(COSTS, "pictures", pictures, "lr_jpg", "decode_s"),
        "encode_s_per_sr_mp": measured(COSTS, "pictures", pictures, "sr_jpg", "encode_s"),
        "bytes_per_lr_mp": measured(COSTS, "pictures", pictures, "lr_jpg", "bytes"),
        "bytes_per_sr_mp": measured(COSTS, "pictures", pictures, "sr_jpg", "bytes"),
        "frame_decode_s": measured(COSTS, "clips", "decode_1080p_cpu_s_per_frame"),
        "frame_encode_s": measured(COSTS, "clips", "scale_and_encode_2160p_cpu_s_per_frame"),
        "lr_frame_bytes": measured(COSTS, "clips", "lr_bytes_per_frame"),
        "frame_bytes": measured(COSTS, "clips", "sr_bytes_per_frame"),
        "join_bytes_s": measured(COSTS, "clips", "join_bytes_per_s"),
        "map_s_per_sr_mp": measured("gigapixel", "runs", MAP, "s_per_megapixel"),
        "map_written_s_per_sr_mp": measured("gigapixel", "runs", MAP.replace("espcn", "bicubic"), "s_per_megapixel"),
        # The driver
        "survey_s": measured(COSTS, "driver", "jobs_under_way", "100", "survey_s_per_job"),
        "held_bytes": measured(COSTS, "driver", "held_bytes_per_job"),
        "manifest_bytes": measured(COSTS, "driver", "jobs_under_way", "100", "manifest_bytes_per_job"),
        "folder_s": measured(COSTS, "waiting_crew", "hands", "128", "work_s_per_job"),
        "call_s": measured(COSTS, *BUSY_CALLS[0], "driver_s_per_order"),
        "call_with_16_more_events_s": measured(COSTS, *BUSY_CALLS[1], "driver_s_per_order"),
        "program_start_s": measured("startup", "picture_64x64", "median_s"),
        # The cluster
        "nodes_tested": Fact(3000, "published", f"{RAY_ENVELOPE}: 3k+ nodes with a trivial workload"),
        "actors_per_s": Fact(
            550, "published", "ray-project/ray, release/perf_metrics/benchmarks/many_actors.json: 10,000 actors"
        ),
        "round_trip_ms": measured_or(5, "of a call", "ray_scaling", "overhead_per_job_ms"),
        # The store
        "puts_per_s": Fact(3500, "published", S3_LIMITS),
        "gets_per_s": Fact(5500, "published", S3_LIMITS),
        "latency_s": Fact(0.1, "published", f"{S3_SPEED}: 100 to 200 ms for small objects"),
        "connection_bytes_s": Fact(85e6, "published", f"{S3_SPEED}: a request for each 85 to 90 MB/s"),
        "gets_per_job": measured_or(1, "by the code", "object_requests", *NEW, "GET"),
        "heads_per_job": measured_or(1, "by the code", "object_requests", *NEW, "HEAD"),
        "listed_per_request": Fact(1000, "published", "Amazon S3 API Reference, ListObjectsV2"),
        "parts_at_once": Fact(object_store.PARTS_AT_ONCE, "ours", "upscale_cli/files/object_store.py: PARTS_AT_ONCE"),
        "part_bytes": Fact(
            object_store.PART_BYTES,
            "ours",
            "upscale_cli/files/object_store.py: PART_BYTES; one request below 2 parts",
        ),
        # A machine
        "gpu_flops": Fact(65e12, "published", "NVIDIA T4 data sheet: FP16 with tensor cores"),
        "fast_gpu_flops": Fact(989e12, "published", "NVIDIA H100 SXM data sheet: FP16 with tensor cores, dense"),
        "gpu_share": Fact(0.3, "assumed", "of the published rate; no GPU was measured"),
        "cores": Fact(4, "assumed", "as small cloud machines with one GPU have; speed as of the cores measured"),
        "network_bytes_s": Fact(1.25e9, "assumed", "10 Gbit/s; also of a file server"),
        "spread": Fact(0.3, "assumed", "standard deviation of the logarithm of what a job takes"),
        "deaths_per_hour": Fact(
            0.01, "assumed", "of a machine; EC2 Spot publishes up to 20 % a month and more, a thirtieth of it"
        ),
        "away_s": Fact(180, "assumed", "until a machine that died is replaced"),
    }


MAP: Final = "20000 x 20000, espcn x4, tif to tif"


# Scenarios

WORKERS: Final = (1, 10, 100, 1_000, 10_000)
JOBS_PER_SLOT: Final = 10
LEAST_JOBS: Final = 4_000
MOST_JOBS: Final = 300_000
"""That are simulated."""
DYING_JOBS: Final = 200_000
"""Some machines have to die."""
FREE: Final = 0.9
"""A resource that is busy for less than this part of the time holds nothing up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Many jobs of one kind, and who does them how.

    Attributes:
        jobs: in all; of many, a part is simulated.
        lr_megapixels: of one job.
        before_s, after_s: on one machine, before the first job and after the last.
        requests: besides those of the jobs.
        held_bytes: of the driver's memory, for every job.
    """

    jobs: int
    lr_megapixels: float
    work: Work
    driver: Driver
    machines: Machines
    store: Store
    before_s: float = 0.0
    after_s: float = 0.0
    requests: Mapping[str, float] = field(default_factory=dict)
    held_bytes: float = 0.0


def macs(model: str, scale: int) -> int:
    """Multiply-adds per LR pixel."""
    return next(spec.macs for spec in MODELS if (spec.model, spec.scale) == (model, scale))


def model_bytes(model: str, scale: int) -> int:
    """Of its checkpoint."""
    return next(spec.size or 0 for spec in MODELS if (spec.model, spec.scale) == (model, scale))


class World:
    """The facts, put together as the program does it."""

    def __init__(self, known: Mapping[str, Fact]) -> None:
        self.known = {name: fact.value for name, fact in known.items()}

    def __getitem__(self, name: str) -> float:
        return self.known[name]

    def gpu_s(self, model: str, scale: int, lr_megapixels: float) -> float:
        """Of one picture."""
        return 2 * macs(model, scale) * lr_megapixels * 1e6 / (self["gpu_flops"] * self["gpu_share"])

    def driver(self) -> Driver:
        """One, in one process: what the folder run and the cluster's calls take of it.

        It waits for no request to a store: those that it makes are a few for a run, or are another thread's. Nor does
        it look at nodes for every request, only every two seconds.
        """
        event_s = max(0.0, self["call_with_16_more_events_s"] - self["call_s"]) / 16
        return Driver(request_s=self["call_s"] - 4 * event_s, job_s=self["folder_s"], event_s=event_s)

    def machines(self, model: str, scale: int) -> Machines:
        """Any number of them."""
        return Machines(
            count=1, slots=2, cores=int(self["cores"]), network_bytes_s=self["network_bytes_s"], spread=self["spread"],
            deaths_per_hour=self["deaths_per_hour"], away_s=self["away_s"], are_ready=True,
            starts_per_s=self["actors_per_s"], start_s=self["program_start_s"], model_bytes=model_bytes(model, scale),
            model_bytes_s=self["network_bytes_s"], round_trip_s=self["round_trip_ms"] / 1000,
        )  # fmt: skip

    def store(self) -> Store:
        """An object store: one prefix in, one out."""
        return Store(
            gets_per_s=self["gets_per_s"], puts_per_s=self["puts_per_s"], latency_s=self["latency_s"],
            connection_bytes_s=self["connection_bytes_s"], connections=int(self["parts_at_once"]),
        )  # fmt: skip

    def puts(self, size: float) -> int:
        """Requests that put an object: one, or those of a multipart upload."""
        parts = math.ceil(size / self["part_bytes"])
        return 1 if parts < 2 else parts + 2

    def photos(self, jobs: int, lr_megapixels: float, model: str = "realesr-general", scale: int = 4) -> Scenario:
        """JPEGs in a store, to JPEGs in a store."""
        sr_megapixels = lr_megapixels * scale**2
        gpu_s = self.gpu_s(model, scale, lr_megapixels)
        bytes_out = sr_megapixels * self["bytes_per_sr_mp"]
        work = Work(
            gpu_s=gpu_s, decode_s=lr_megapixels * self["decode_s_per_lr_mp"],
            encode_s=sr_megapixels * self["encode_s_per_sr_mp"], bytes_in=lr_megapixels * self["bytes_per_lr_mp"],
            bytes_out=bytes_out, gets=round(self["gets_per_job"] + self["heads_per_job"]), puts=self.puts(bytes_out),
            events=4 + 2 * gpu_s,
        )  # fmt: skip
        lists = jobs / self["listed_per_request"]
        return Scenario(
            jobs=jobs, lr_megapixels=lr_megapixels, work=work,
            driver=self.driver(), machines=self.machines(model, scale), store=self.store(),
            before_s=lists * self["latency_s"] + jobs * self["survey_s"], requests={"lists": lists},
            held_bytes=self["held_bytes"],
        )  # fmt: skip

    def film(self, hours: float = 2, rate: int = 24, seconds: int = 5, preroll: int = 10) -> Scenario:
        """1080p by espcn x2 in stretches, from and to a file server.

        Before the first stretch one machine walks over all packets; each stretch is decoded from `preroll` seconds
        before it on; after the last one machine joins all of them.
        """
        megapixels, frames = 1920 * 1080 / 1e6, rate * seconds
        jobs = round(hours * 3600 / seconds)
        gpu_s = frames * self.gpu_s("espcn", 2, megapixels)
        cores = self["cores"]
        encode_s = frames * self["frame_encode_s"] / cores
        size, lr_size = frames * self["frame_bytes"], self["lr_frame_bytes"] * frames
        work = Work(
            gpu_s=gpu_s, decode_s=(frames + rate * preroll) * self["frame_decode_s"] / cores, encode_s=encode_s,
            bytes_in=lr_size * (seconds + preroll) / seconds, bytes_out=size, events=4 + 2 * (gpu_s + encode_s),
        )  # fmt: skip
        machines = replace(self.machines("espcn", 2), cores=1, slots=1, are_ready=False)
        store = Store(bytes_s=self["network_bytes_s"])
        return Scenario(
            jobs=jobs, lr_megapixels=frames * megapixels, work=work, driver=self.driver(), machines=machines,
            store=store, before_s=jobs * lr_size / store.bytes_s,
            after_s=jobs * size * max(1 / self["join_bytes_s"], 1 / store.bytes_s),
        )  # fmt: skip


# Runs


def run(scenario: Scenario, workers: int) -> dict[str, Any]:
    """One scenario on so many machines. Of drivers that share nothing, one is simulated."""
    shards = scenario.driver.count
    driver, store = replace(scenario.driver, count=1), scenario.store
    machines = replace(scenario.machines, count=workers // shards)
    store = replace(store, prefixes=store.prefixes // shards)
    slots, all_jobs = machines.count * machines.slots, scenario.jobs // shards
    jobs = min(all_jobs, MOST_JOBS, max(LEAST_JOBS, JOBS_PER_SLOT * slots * driver.batch))
    outcome = simulate(scenario.work, driver, machines, store, jobs)
    start_s = ready_s(replace(machines, count=workers)) / 2 if machines.are_ready else 0.0  # on average
    rate = all_jobs / outcome.seconds
    if jobs < all_jobs:
        # The window may begin with jobs that were prepared before.
        rate = min(outcome.rate, *limits(scenario).values())
    seconds = start_s + outcome.seconds + (all_jobs - jobs) / rate
    return {
        "jobs_per_s": significant(shards * rate),
        "of_ideal": round(rate * alone(scenario) / machines.count, 3),
        "lr_megapixels_per_s": significant(shards * rate * scenario.lr_megapixels),
        "busy": {name: round(part, 3) for name, part in outcome.busy.items()},
        "first": bottleneck(scenario, outcome, jobs, slots),
        "hours": significant((scenario.before_s + seconds + scenario.after_s) / 3600),
        "seconds": significant(scenario.before_s + seconds + scenario.after_s),
        "seconds_of_it_on_one_machine": significant(scenario.before_s + scenario.after_s),
        "lost": lost(outcome, slots),
    }


def limits(scenario: Scenario) -> dict[str, float]:
    """Jobs per second that one driver and its prefixes never exceed for long."""
    work, store, prefixes = scenario.work, scenario.store, scenario.store.prefixes / scenario.driver.count
    return {
        "driver": 1 / driver_s(scenario),
        **({"store_gets": prefixes * store.gets_per_s / work.gets} if work.gets else {}),
        **({"store_puts": prefixes * store.puts_per_s / work.puts} if work.puts else {}),
    }


def alone(scenario: Scenario) -> float:
    """Seconds per job of one machine that nothing holds up: neither driver nor store nor other machines."""
    unbounded = replace(scenario.store, gets_per_s=1e9, puts_per_s=1e9, bytes_s=1e15, prefixes=1)
    machines = replace(scenario.machines, count=1, are_ready=True, deaths_per_hour=0.0)
    free = replace(scenario.driver, request_s=0.0, job_s=0.0, event_s=0.0, count=1)
    return 1 / simulate(scenario.work, free, machines, unbounded, LEAST_JOBS).rate


def ready_s(machines: Machines) -> float:
    """When the last machine is ready: all start at once, and all load the net from one place."""
    slots = machines.count * machines.slots
    return machines.start_s + slots * max(1 / machines.starts_per_s, machines.model_bytes / machines.model_bytes_s)


def bottleneck(scenario: Scenario, outcome: Outcome, jobs: int, slots: int) -> str:
    """What holds the others up."""
    slowest, rate = min(limits(scenario).items(), key=lambda item: item[1])
    if outcome.rate >= FREE * rate:
        return slowest
    name, part = max(outcome.busy.items(), key=lambda item: item[1])
    if part >= FREE:
        return name
    return "too few jobs" if jobs < 2 * slots else "one thing after the other"


def lost(outcome: Outcome, slots: int) -> dict[str, float]:
    """What deaths cost: as it came in the simulated time."""
    return {
        "deaths": outcome.deaths,
        "jobs_done_again": outcome.lost,
        "part_of_all_hands": significant(outcome.lost_s / (slots * outcome.seconds)),
    }


def significant(value: float) -> float:
    """Three digits, for more are not known."""
    return float(f"{value:.3g}")


# What would move the limit


def variants(scenario: Scenario, world: World) -> dict[str, Scenario]:
    """What would move the limit; from 100 drivers on, each on top of the one before."""
    hundred = sharded(scenario, 100)
    more = replace(hundred, machines=replace(scenario.machines, slots=4))
    batches = replace(more, driver=replace(hundred.driver, batch=16))
    fast_s = scenario.work.gpu_s * world["gpu_flops"] / world["fast_gpu_flops"]
    large = replace(scenario.machines, slots=24, cores=24)
    fast = replace(batches, work=replace(scenario.work, gpu_s=fast_s), machines=large)
    return {
        "as it is": scenario,
        "orders of 16 jobs": replace(scenario, driver=replace(scenario.driver, batch=16)),
        "10 drivers, a prefix each": sharded(scenario, 10),
        "100 drivers, a prefix each": hundred,
        "and 4 jobs in hand": more,
        "and 4 jobs in hand, and orders of 16": batches,
        "and a fast GPU, 24 cores, 24 jobs in hand": fast,
        "and 10 prefixes for each driver": replace(fast, store=replace(fast.store, prefixes=1000)),
    }


def sharded(scenario: Scenario, count: int) -> Scenario:
    """So many drivers, each with jobs, machines and a prefix of its own, which it surveys itself."""
    driver, store = replace(scenario.driver, count=count), replace(scenario.store, prefixes=count)
    return replace(scenario, driver=driver, store=store, before_s=scenario.before_s / count)


def dying(scenario: Scenario, workers: int) -> dict[str, Any]:
    """Machines that die once in an hour, or never: what that costs."""
    machines = replace(scenario.machines, count=workers)
    rough, calm = (
        simulate(scenario.work, scenario.driver, replace(machines, deaths_per_hour=rate), scenario.store, DYING_JOBS)
        for rate in (1.0, 0.0)
    )
    slower = round(rough.seconds / calm.seconds - 1, 3)
    return {"hours": significant(rough.seconds / 3600), "longer_by": slower, **lost(rough, workers * machines.slots)}


def starts(world: World) -> dict[str, dict[str, float]]:
    """Seconds until the last machine has its net, all of them loading it from one file server."""
    found = {}
    for model in ("realesr-general", "realesrgan"):
        machines = world.machines(model, 4)
        found[model] = {str(count): round(ready_s(replace(machines, count=count)), 1) for count in WORKERS}
    return found


# All of it


def main() -> None:
    """Writes benchmarks/scaling.json."""
    known = facts()
    world = World(known)
    archive, thumbnails, film = world.photos(10_000_000, 12), world.photos(100_000_000, 0.05), world.film()
    scenarios = {"archive": archive, "thumbnails": thumbnails, "film": film}
    result = {
        "facts": {name: asdict(fact) for name, fact in known.items()},
        "scenarios": {name: described(scenario) for name, scenario in scenarios.items()},
        "gpu_s_per_lr_megapixel": {
            f"{spec.model} x{spec.scale}": significant(world.gpu_s(spec.model, spec.scale, 1.0)) for spec in MODELS
        },
        "map": gigapixel_map(world),
        "starts_s": starts(world),
        "dying_once_an_hour_100_machines": dying(archive, 100),
        "at_10000_machines": {
            name: {label: picked(run(changed, 10_000)) for label, changed in variants(one, world).items()}
            for name, one in (("archive", archive), ("thumbnails", thumbnails))
        },
        "checks": checks(world),
    }
    write("scaling", "Simulated: 1 to 10,000 machines with a GPU each; see docs/scaling.md.", result)


def described(scenario: Scenario) -> dict[str, Any]:
    """What goes in, what it needs, and how it goes."""
    work, jobs = scenario.work, scenario.jobs
    runs = {str(workers): run(scenario, workers) for workers in WORKERS}
    for one in runs.values():
        one["speed_up"] = significant(runs["1"]["seconds"] / one["seconds"])
    return {
        "jobs": jobs,
        "job": {name: significant(value) for name, value in asdict(work).items()},
        "driver_s_per_job": significant(driver_s(scenario)),
        "before_s": significant(scenario.before_s),
        "after_s": significant(scenario.after_s),
        "needs": {
            "driver_gb": significant(jobs * scenario.held_bytes / 1e9),
            "get_requests": jobs * work.gets,
            "put_requests": jobs * work.puts,
            **scenario.requests,
            "tb_in": significant(jobs * work.bytes_in / 1e12),
            "tb_out": significant(jobs * work.bytes_out / 1e12),
            "gpu_hours": significant(jobs * work.gpu_s / 3600),
            "hours_of_decoding_and_encoding": significant(jobs * (work.decode_s + work.encode_s) / 3600),
        },
        "full_at_machines": full_at(scenario),
        "runs": runs,
    }


def full_at(scenario: Scenario) -> dict[str, int]:
    """From how many machines on a driver, or a prefix, holds them up."""
    seconds = alone(scenario)
    return {name: round(rate * seconds) for name, rate in limits(scenario).items()}


def driver_s(scenario: Scenario) -> float:
    """What a job takes of its driver, however many machines there are."""
    driver = scenario.driver
    return driver.request_s / driver.batch + driver.job_s + scenario.work.events * driver.event_s


def picked(found: dict[str, Any]) -> dict[str, Any]:
    """What tells one variant from another."""
    return {name: found[name] for name in ("jobs_per_s", "of_ideal", "first", "hours")}


def gigapixel_map(world: World) -> dict[str, Any]:
    """One gigapixel to 16 by one machine, as it is done today; and the bound if bands were divided, but one wrote."""
    megapixels = 16_000
    whole, written = world["map_s_per_sr_mp"], world["map_written_s_per_sr_mp"]
    return {
        "sr_megapixels": megapixels,
        "hours_on_any_number_of_machines": significant(megapixels * whole / 3600),
        "speed_up_at_most_if_one_machine_writes": significant(whole / written),
    }


def checks(world: World) -> dict[str, Any]:
    """The simulation against what was measured: folder runs on executors that only wait, here and on a cluster."""
    waited = json_of(COSTS)["waiting_crew"]
    driver = Driver(request_s=0.0, job_s=world["folder_s"], ahead=1)
    threads = {
        slots: compared(one["jobs_per_second"], waited["wait_s"], driver, int(slots), one["jobs"])
        for slots, one in waited["hands"].items()
    }
    waiting = json_of("ray_scaling").get("waiting_jobs_per_s", {})
    nodes = {
        workers: compared(rate, 1 / waiting["1"], world.driver(), int(workers), 200 * int(workers))
        for workers, rate in waiting.items()
        if workers != "1"
    }
    return {"threads_that_wait": threads, **({"nodes_that_wait": nodes} if nodes else {})}


def compared(rate: float, seconds: float, driver: Driver, slots: int, jobs: int) -> dict[str, float]:
    """Jobs per second, measured and simulated."""
    machines = Machines(count=slots, slots=1)
    simulated = jobs / simulate(Work(gpu_s=seconds), driver, machines, Store(), jobs).seconds
    return {"measured": rate, "simulated": significant(simulated), "ratio": round(simulated / rate, 3)}


if __name__ == "__main__":
    main()
