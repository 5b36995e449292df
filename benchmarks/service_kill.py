"""A service that is killed with -9 in the middle of ten jobs, again and again: is each of them finished once.

    python -m benchmarks.service_kill [--rounds 3] [--kills 4] [--seed 0] [--quick]

Eight photos, a clip and a large TIFF, which goes through in bands. In each round a new service gets them all, is killed
after it has worked for random times (its workers have to notice by themselves) and started again on the same folder,
until everything has ended. The results are compared, byte for byte, with those of a service that nobody disturbed.
"""

import argparse
import hashlib
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from PIL import Image

from benchmarks.clips import make_clip, pan
from benchmarks.report import photo, write
from benchmarks.service_process import Client, Served, form

OPTIONS: Final = json.dumps({"model": "espcn", "target": {"scale": 2}})
SERVE: Final = ("--worker", "cpu", "--engine", "torch", "--jobs", "2", "--max-memory", "1", "--min-free", "0")


def main() -> None:
    """Writes benchmarks/service_kill.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="One round, small inputs, and no file is written.")
    arguments = parser.parse_args()
    lot, count = random.Random(arguments.seed), 1 if arguments.quick else arguments.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = made_inputs(folder / "in", small=arguments.quick)
        whole = run(folder / "whole", inputs, [])
        seconds = whole["seconds"]
        rounds = [
            run(folder / str(number), inputs, [lot.uniform(0, seconds / 3) for _ in range(arguments.kills)])
            for number in range(count)
        ]
    verdicts = {
        "every_job_done": all(one["states"] == {"done": len(inputs)} for one in (whole, *rounds)),
        "none_lost_none_twice": all(one["names"] == sorted(inputs) for one in rounds),
        "none_ended_twice": all(one["most_ends_of_a_job"] <= 1 for one in rounds),
        "bytes_equal": all(one["sha256"] == whole["sha256"] for one in rounds),
        "nothing_left_over": all(not one["left_over"] for one in (whole, *rounds)),
        "killed_in_progress": any(sum(kill.values()) for one in rounds for kill in one["in_progress_at_kills"]),
    }
    for one in (whole, *rounds):
        del one["sha256"]
    result = {"undisturbed": whole, "rounds": rounds, "verdicts": verdicts}
    if arguments.quick:
        print(json.dumps(result, indent=2))
        return
    write(
        "service_kill",
        f"Ten jobs (eight photos, a clip, a large TIFF), espcn at scale 2 on a CPU; the service killed with -9 "
        f"{arguments.kills} times a round at random moments and started again; seed {arguments.seed}.",
        result,
    )


def made_inputs(folder: Path, *, small: bool) -> dict[str, Path]:
    """Ten inputs by name."""
    folder.mkdir()
    for number in range(8):
        Image.fromarray(photo(300, 400, seed=number)).save(folder / f"photo {number}.{'png' if number % 2 else 'jpg'}")
    side = (1200, 1600) if small else (3000, 4000)
    Image.fromarray(photo(*side, seed=9)).save(folder / "large.tif", compression="tiff_lzw")
    make_clip(folder / "clip.mp4", pan(96, 160, 60 if small else 300))
    return {path.name: path for path in sorted(folder.iterdir())}


def run(folder: Path, inputs: dict[str, Path], moments: list[float]) -> dict[str, Any]:
    """One service from empty to all ended.

    Args:
        moments: seconds that each process works until it is killed; the last one works to the end.
    """
    folder.mkdir()
    data, log = folder / "data", folder / "log"
    served = Served(data, log, SERVE)
    client = served.wait(until_ready=False)
    for name, path in inputs.items():
        client.send(form(name, path.read_bytes(), OPTIONS))
    kills, begin = [], time.perf_counter()
    for moment in moments:
        while in_progress(client) and "running" not in in_progress(client):
            time.sleep(0.05)
        time.sleep(moment)
        kills.append(in_progress(client))
        client.close()
        served.kill()
        served = Served(data, log, SERVE)
        client = served.wait(until_ready=False)
    while in_progress(client):
        time.sleep(0.2)
    seconds = time.perf_counter() - begin
    jobs = client.jobs()
    digests = {
        job["name"]: hashlib.sha256(client.ask("GET", f"/api/jobs/{job['id']}/result")[1]).hexdigest() for job in jobs
    }
    client.close()
    code = served.stop()
    ends = Counter(line["job"] for line in lines(log) if line.get("message") == "job ended")
    return {
        "seconds": round(seconds, 1),
        "in_progress_at_kills": kills,
        "states": dict(Counter(job["state"] for job in jobs)),
        "names": sorted(job["name"] for job in jobs),
        "messages": sorted({job["message"] for job in jobs if job["message"]}),
        "most_ends_of_a_job": max(ends.values(), default=0),
        "exit_code": code,
        "left_over": left_over(data),
        "sha256": digests,
    }


def in_progress(client: Client) -> dict[str, int]:
    """How many jobs wait and run."""
    return {state: count for state, count in client.counts().items() if state in ("queued", "running") and count}


def lines(log: Path) -> list[dict[str, Any]]:
    """What a service has logged."""
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


def left_over(data: Path) -> list[str]:
    """What lies in the data folder beside inputs and results."""
    found = [path.name for path in (data / "uploads").iterdir()]
    for job in (data / "jobs").iterdir():
        there = [path for path in job.rglob("*") if path.name != "output"]
        kinds = sorted(path.name.partition(".")[0] for path in there)
        if kinds != ["input", "input_2x"]:
            found.extend(path.relative_to(job).as_posix() for path in there)
    return found


if __name__ == "__main__":
    main()
