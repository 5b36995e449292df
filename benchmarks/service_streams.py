"""A thousand listeners at once: as many as are allowed get their streams, the others are refused, and work goes on.

python -m benchmarks.service_streams [--streams 1000] [--quick]
"""

import argparse
import json
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from benchmarks.folder import pictures
from benchmarks.report import write
from benchmarks.service_process import Client, Served, form

ALLOWED: Final = 200
LONGEST_ANSWER: Final = 2.0


def main() -> None:
    """Writes benchmarks/service_streams.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="No file is written.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = listened(Path(name), arguments.streams)
    if arguments.quick:
        print(json.dumps(result, indent=2))
        return
    write("service_streams", f"{arguments.streams} connections ask for /api/events at once; {ALLOWED} may.", result)


def listened(folder: Path, count: int) -> dict[str, Any]:
    """Opens them all, does a job, closes them all."""
    (file,) = pictures(folder / "in", 64, 1)
    served = Served(folder / "data", folder / "log", ("--worker", "cpu", "--engine", "torch", "--min-free", "0",
                                                       "--max-streams", str(ALLOWED)))  # fmt: skip
    client = served.wait()
    before = served.resident()
    asking = b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    sockets = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(count)]
    for one in sockets:
        one.sendall(asking)
    statuses = Counter(one.recv(4096)[9:12].decode() for one in sockets)
    client.close()
    client, health = Client(served.port), []
    id = client.send(form(file.name, file.read_bytes(), '{"model": "bicubic", "target": {"scale": 2}}'))
    while True:
        begin = time.perf_counter()
        client.ask("GET", "/health-check")
        health.append(time.perf_counter() - begin)
        job = json.loads(client.ask("GET", f"/api/jobs/{id}")[1])
        if job["state"] not in ("queued", "running"):
            break
        time.sleep(0.05)
    during = served.resident()
    for one in sockets:
        one.close()
    while b"\nupscale_event_streams 0.0\n" not in client.ask("GET", "/metrics")[1]:
        time.sleep(0.05)
    client.close()
    code = served.stop()
    return {
        "statuses": dict(sorted(statuses.items())),
        "health_check_max_s": round(max(health), 3),
        "resident_before": before,
        "resident_with_streams": during,
        "verdicts": {
            "allowed_ones_opened": statuses["200"] == min(count, ALLOWED),
            "others_refused": statuses["503"] == max(0, count - ALLOWED),
            "job_done_meanwhile": job["state"] == "done",
            "health_check_met": max(health) < LONGEST_ANSWER,
            "exit_code_0": code == 0,
        },
    }


if __name__ == "__main__":
    main()
