"""A service under load against a folder run: how much of its rate is left when pictures come over HTTP.

    python -m benchmarks.service_load [--pictures 200] [--clients 16] [--repeats 3] [--quick]

"service": so many clients on loopback upload all pictures, as fast as they can, and follow the last of their jobs by
its events until every job has ended; a queue on the disk, a result for each. "folder": the run of
`upscale FOLDER -o OUT` on the same pictures, in a process of its own. Both are warm: nets loaded, files in the page
cache; both have as many pictures in progress. In turn. Meanwhile `/health-check` is asked ten times a second. Results
are compared byte for byte. Where the difference goes is shown by the processor's time of each: the server, its workers,
the clients, and the process of the folder run.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.folder import pictures
from benchmarks.report import ratio, summary, write
from benchmarks.service_process import Client, Served, form, processor_of

LEAST_RATE: Final = 0.9
LONGEST_ANSWER: Final = 2.0
MOST_GROWTH: Final = 0.1
SCALE: Final = 4


def main() -> None:
    """Writes benchmarks/service_load.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--model", default="espcn")
    parser.add_argument("--quick", action="store_true", help="40 pictures, one repeat, and no file is written.")
    arguments = parser.parse_args()
    count, repeats = (40, 1) if arguments.quick else (arguments.pictures, arguments.repeats)
    with tempfile.TemporaryDirectory() as name:
        result = compared(Path(name), arguments.model, arguments.side, count, arguments.clients, repeats)
    if arguments.quick:
        print(json.dumps(result, indent=2))
        return
    write(
        "service_load",
        f"{count} JPEGs of {arguments.side}x{arguments.side}, {arguments.model} x{SCALE}, uploaded by "
        f"{arguments.clients} clients on loopback, against a folder run with the same pictures; in turn, both warm.",
        result,
    )


def compared(folder: Path, model: str, side: int, count: int, clients: int, repeats: int) -> dict[str, Any]:
    """Both in turn, so many times after one unmeasured round."""
    files = pictures(folder / "in", side, count)
    options = json.dumps({"model": model, "target": {"scale": SCALE}})
    bodies = [form(file.name, file.read_bytes(), options) for file in files]
    served = Served(folder / "data", folder / "log", ("--worker", "cpu", "--min-free", "0"))
    client = served.wait()
    here, there = multiprocessing.get_context("spawn").Pipe()
    runner = multiprocessing.get_context("spawn").Process(target=folder_runs, args=(there, folder, model))
    runner.start()
    seconds: dict[str, list[float]] = {"service": [], "folder": []}
    memory, health, spent = [], Health(served.port), list[dict[str, float]]()
    folder_process = psutil.Process(runner.pid)

    def processor() -> dict[str, float]:
        own = os.times()
        return {**served.processor(), "clients": own.user + own.system, "folder": processor_of(folder_process)}

    for repeat in range(repeats + 1):
        before = processor()
        for name in ("service", "folder") if repeat % 2 else ("folder", "service"):
            if name == "service":
                with health:
                    taken = uploaded(served.port, bodies, clients, client, count * (repeat + 1))
                memory.append(served.resident())
            else:
                here.send(True)
                taken = here.recv()
            if repeat:
                seconds[name].append(taken)
        after = processor()
        spent += [{name: (after[name] - before[name]) / count for name in after}] if repeat else []
    here.send(False)
    runner.join()
    equal = same(client, folder / "out")
    client.close()
    code = served.stop()
    rate = ratio(seconds["folder"], seconds["service"])
    first, last = memory[0]["server_mb"], memory[-1]["server_mb"]
    return {
        "pictures": count, "clients": clients,
        "seconds": {name: summary(taken) for name, taken in seconds.items()},
        "service_to_folder_rate": rate,
        "processor_ms_per_picture": {
            name: round(1000 * statistics.median(one[name] for one in spent), 2) for name in spent[0]
        },
        "resident_after_each_round": memory,
        "health_check": health.summary(),
        "requirement": {"rate_at_least": LEAST_RATE, "health_check_below_s": LONGEST_ANSWER},
        "verdicts": {
            "rate_met": rate >= LEAST_RATE,
            "memory_flat": last - first <= max(10.0, MOST_GROWTH * first),
            "health_check_met": health.longest < LONGEST_ANSWER,
            "bytes_equal": equal,
            "exit_code_0": code == 0,
        },
    }  # fmt: skip


def folder_runs(connection: Connection, folder: Path, model: str) -> None:
    """A process that runs a folder whenever it is asked to, and says how long that took."""
    from benchmarks.folder import run

    while connection.recv():
        begin = time.perf_counter()
        run(folder, model, "cpu", None)
        connection.send(time.perf_counter() - begin)


def uploaded(port: int, bodies: list[bytes], clients: int, watching: Client, done: int) -> float:
    """Seconds from the first upload until so many jobs are done."""

    def one(first: int) -> str:
        client = Client(port)
        for body in bodies[first::clients]:
            last = client.send(body)
        client.close()
        return last

    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        lasts = list(threads.map(one, range(min(clients, len(bodies)))))
    for last in lasts:  # to ask again and again would be work of its own, twice as many requests as uploads
        watching.follow(last)
    while watching.is_busy():
        time.sleep(0.05)
    seconds = time.perf_counter() - begin
    if watching.counts().get("done", 0) < done:
        raise RuntimeError(watching.jobs()[0]["message"])
    return seconds


def same(client: Client, out: Path) -> bool:
    """Whether the newest jobs' results are those of the folder run."""
    return all(
        client.ask("GET", f"/api/jobs/{job['id']}/result")[1] == (out / job["result_name"]).read_bytes()
        for job in client.jobs()[: len(list(out.glob("*.jpg")))]
    )


class Health:
    """Asks again and again how the service is, within a `with`."""

    def __init__(self, port: int) -> None:
        self._port, self._seconds = port, list[float]()
        self._over = threading.Event()

    def __enter__(self) -> None:
        self._over.clear()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _ask(self) -> None:
        client = Client(self._port)
        while not self._over.wait(0.1):
            begin = time.perf_counter()
            status, _ = client.ask("GET", "/health-check")
            self._seconds.append(time.perf_counter() - begin)
            assert status == 200
        client.close()

    @property
    def longest(self) -> float:
        return max(self._seconds)

    def summary(self) -> dict[str, float]:
        """How often, the median and the longest."""
        return {
            "requests": len(self._seconds), "median_s": round(statistics.median(self._seconds), 4),
            "max_s": round(self.longest, 3),
        }  # fmt: skip


if __name__ == "__main__":
    main()
