"""How much more do more workers of a Ray cluster do, and what does the cluster itself cost.

    python -m benchmarks.ray_scaling [--jobs 16]

One node (raylet) and one worker of one thread for each, all on this machine. So the same work is done in turn by the
workers; by as many plain processes, which shows what the machine's cores allow; and by workers that only wait for as
long as the net took, as if it were computed elsewhere (on a GPU of their own), which shows the scheduler alone.
"""

import argparse
import os
import pickle
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import psutil
from PIL import Image

from benchmarks.report import REPOSITORY, photo, write
from upscale_cli.events import Event, ignore
from upscale_cli.inference.sizing import Target
from upscale_cli.inference.upscaler import Upscaler
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.outputs import Outputs
from upscale_cli.jobs.photo import PhotoJob
from upscale_cli.jobs.prepare import prepare_photo
from upscale_cli.media.image.reader_writer import ImageWriter

WORKERS: Final = (1, 2, 4)
SIDE: Final = 640
SMALL: Final = 64
SMALL_JOBS: Final = 200
REPEATS: Final = 3
MODEL: Final = "photo-lite"
STORE: Final = 80 * 2**20


@dataclass(frozen=True)
class Waiting(PhotoJob):
    """A picture whose worker waits instead of computing it.

    Attributes:
        seconds: for how long.
    """

    seconds: float = 0.0

    def writer(self, info: Any, say: Any) -> ImageWriter:
        time.sleep(self.seconds)
        return super().writer(info, say)


def main() -> None:
    """Writes benchmarks/ray_scaling.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=16)
    count = parser.parse_args().jobs
    os.environ |= {
        "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "UPSCALE_OFFLINE": "1", "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small = sources(folder, "large", SIDE, 4), sources(folder, "small", SMALL, 4)
        alone = one_by_one(large, MODEL, count // 4)
        rates, costs = on_cluster(folder, large, small, count, alone)
    write(
        "ray_scaling",
        f"{count} photos of {SIDE}x{SIDE}, {MODEL} at scale 4, on 1, 2 and 4 workers of one thread each, each on a "
        "raylet of its own; the same jobs in plain processes; the same jobs with a sleep in place of the net. "
        "Medians of three rounds.",
        {
            "cores": f"{os.cpu_count()} processors, {psutil.cpu_count(logical=False)} cores: all workers, and this "
            "process, share them; on a cluster every worker has its own",
            "one_job_alone_s": round(alone, 4),
            **{f"{kind}_jobs_per_s": of_kind for kind, of_kind in rates.items()},
            **{f"{kind}_efficiency": efficiency(of_kind) for kind, of_kind in rates.items()},
            **costs,
        },
    )


def sources(folder: Path, name: str, side: int, count: int) -> list[Path]:
    """Some photos; they are upscaled again and again."""
    made = []
    for number in range(count):
        made.append(folder / f"{name}{number}.png")
        Image.fromarray(photo(side, side, number)).save(made[-1])
    return made


def jobs(given: Sequence[Path], net: Upscaler, count: int) -> list[PhotoJob]:
    """So many jobs, each with an output of its own that is not there yet."""
    made = []
    for number in range(count):
        source = Input(str(given[number % len(given)]))
        output = given[0].parent / f"{time.monotonic_ns()}-{number}.bmp"
        naming = Naming(str(output), None, Target(scale=4))
        made.append(prepare_photo(source, net, naming, Outputs([source], overwrite=False), PhotoOptions()))
    return made


def one_by_one(given: Sequence[Path], model: str, count: int) -> float:
    """Seconds of one job in this process, the median."""
    net, seconds = Upscaler(model, device="cpu"), []
    for job in jobs(given, net, count + 1):
        begin = time.perf_counter()
        job.run(net, ignore)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds[1:])


_net: Upscaler


def _load() -> None:
    global _net
    import torch

    torch.set_num_threads(1)
    _net = Upscaler(MODEL, device="cpu")


def _perform(job: PhotoJob) -> None:
    job.run(_net, ignore)


@contextmanager
def processes(workers: int, warm: Sequence[PhotoJob]) -> Iterator[ProcessPoolExecutor]:
    """Plain processes, their nets loaded."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_load) as pool:
        list(pool.map(_perform, warm))
        yield pool


def on_cluster(
    folder: Path, large: Sequence[Path], small: Sequence[Path], count: int, alone: float
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Jobs per second by kind and workers; and what the cluster itself costs."""
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": STORE, "plasma_directory": str(folder)}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store})
    net, kernel = Upscaler(MODEL, device="cpu"), Upscaler("bicubic", device="cpu")
    rates: dict[str, dict[str, float]] = {"net": {}, "plain_processes": {}, "waiting": {}}
    costs: dict[str, Any] = {}
    try:
        for workers in WORKERS:
            while len(cluster.list_all_nodes()) <= workers:
                cluster.add_node(num_cpus=1, **store)
            with (
                executor_of(cluster, workers, kernel, small) as executor,
                processes(workers, jobs(large, net, 8)) as pool,
            ):
                if workers == 1:
                    costs = costs_of(executor, kernel, small)
                seconds_of(executor, jobs(large, net, 8), net)
                taken: dict[str, list[float]] = {kind: [] for kind in rates}
                for _ in range(REPEATS):
                    taken["net"].append(seconds_of(executor, jobs(large, net, count), net))
                    begin = time.perf_counter()
                    list(pool.map(_perform, jobs(large, net, count)))
                    taken["plain_processes"].append(time.perf_counter() - begin)
                    waiting = [held(job, alone) for job in jobs(small, kernel, count)]
                    taken["waiting"].append(seconds_of(executor, waiting, kernel))
                for kind, seconds in taken.items():
                    rates[kind][str(workers)] = round(count / statistics.median(seconds), 3)
    finally:
        cluster.shutdown()
    return rates, costs


@contextmanager
def executor_of(cluster: Any, workers: int, net: Upscaler, small: Sequence[Path]) -> Iterator[Any]:
    """An executor all of whose workers have been seen at work."""
    from upscale_cli.executors.ray.executor import open_ray_executor

    executor = open_ray_executor(cluster.address, lambda text: print(text, file=sys.stderr))
    try:
        while True:
            begin = time.perf_counter()
            if seconds_of(executor, [held(job, 1.0) for job in jobs(small, net, workers)], net) < 1.9:
                break  # all at once
            print(f"{workers} workers: {time.perf_counter() - begin:.1f} s to get ready", file=sys.stderr)
        yield executor
    finally:
        executor.close()


def held(job: PhotoJob, seconds: float) -> Waiting:
    """The same job, of a worker that waits first."""
    return Waiting(**{one.name: getattr(job, one.name) for one in fields(job)}, seconds=seconds)


def seconds_of(executor: Any, given: Sequence[PhotoJob], net: Upscaler) -> float:
    """How long the executor takes for all, as a run submits them: as many in progress as it wants."""
    begin, room = time.perf_counter(), threading.Semaphore(executor.concurrency)
    futures: list[Future[str]] = []
    for job in given:
        room.acquire()
        futures.append(executor.submit(job, net, ignore))
        futures[-1].add_done_callback(lambda _: room.release())
    for future in futures:
        future.result()
    return time.perf_counter() - begin


def costs_of(executor: Any, kernel: Upscaler, small: Sequence[Path]) -> dict[str, Any]:
    """What one job costs in addition to its own work, on one worker."""
    from upscale_cli.executors.ray.worker import request_for

    seconds_of(executor, jobs(small, kernel, 20), kernel)
    given = jobs(small, kernel, SMALL_JOBS)
    begin = time.perf_counter()
    for job in given:
        job.run(kernel, ignore)
    here = time.perf_counter() - begin
    there = seconds_of(executor, jobs(small, kernel, SMALL_JOBS), kernel)
    starts, reported = [], list[Event]()
    for job in jobs(small, kernel, 30):
        begun = threading.Event()

        def listen(event: Event, begun: threading.Event = begun) -> None:
            reported.append(event)
            begun.set()

        begin = time.perf_counter()
        future = executor.submit(job, kernel, listen)
        begun.wait()
        starts.append(time.perf_counter() - begin)
        future.result()
    return {
        "small_job_here_ms": round(here / SMALL_JOBS * 1000, 2),
        "small_job_on_a_worker_ms": round(there / SMALL_JOBS * 1000, 2),
        "overhead_per_job_ms": round((there - here) / SMALL_JOBS * 1000, 2),
        "from_submit_to_first_event_ms": round(statistics.median(starts) * 1000, 2),
        "bytes_of_an_order": len(pickle.dumps(request_for(given[0], kernel, executor.probes_for(given[0])))),
        "bytes_of_its_events": round(sum(len(pickle.dumps(event)) for event in reported) / 30),
        "events_per_small_job": round(len(reported) / 30, 1),
    }


def efficiency(rates: dict[str, float]) -> dict[str, float]:
    """Jobs per second and worker, of those of one worker."""
    return {workers: round(rate / int(workers) / rates["1"], 3) for workers, rate in rates.items()}


if __name__ == "__main__":
    main()
