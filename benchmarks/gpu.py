"""All that only a GPU can show, in ten minutes: tests, nearness, speed, clips, codecs, streams, memory; one JSON.

    python -m benchmarks.gpu [--only share,clip] [--minutes 10] [--dry-run]

Runs from a plain clone with a CUDA build of torch, the package's dependencies, and pytest. Each part is a process of
its own under a time bound of its own: one that fails, crashes or hangs is recorded, and the next one begins. Real
weights are taken from ../shared or UPSCALE_WEIGHTS; random ones stand in for x4plus where there are none, and the JSON
says so. --dry-run runs the same code on the CPU, with sizes that mean nothing, to see that it still runs; it writes
gpu-dry-run.json, which is not to be kept.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu_setting import DRY, GPU, Setting
from benchmarks.report import REPOSITORY, write

BOUNDS: Final = {
    "tests": 150,
    "nearness": 60,
    "share": 60,
    "alone": 130,
    "clip": 70,
    "codecs": 60,
    "streams": 40,
    "memory": 40,
}
"""Parts, in order, and the seconds that each may take; what a part answers, its function in `gpu_parts` says."""


def main() -> None:
    """Writes benchmarks/gpu.json; ends with 1 where a part failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="parts, separated by commas")
    parser.add_argument("--minutes", type=float, default=10, help="after which no further part begins")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny sizes")
    given = parser.parse_args()
    setting = DRY if given.dry_run else GPU
    chosen = given.only.split(",") if given.only else list(BOUNDS)
    begin = time.monotonic()
    parts: dict[str, Any] = {}
    for name in chosen:
        left = 60 * given.minutes - (time.monotonic() - begin)
        parts[name] = one_part(name, setting, min(BOUNDS[name], left))
        print(f"{name}: {json.dumps(parts[name])}", flush=True)
    failed = [name for name, part in parts.items() if "failed" in part]
    write(
        "gpu-dry-run" if given.dry_run else "gpu",
        "What only a GPU can show." if not given.dry_run else "On the CPU, tiny: figures mean nothing.",
        {"setting": setting.facts(), "seconds": round(time.monotonic() - begin, 1), "failed": failed, "parts": parts},
    )
    sys.exit(1 if failed else 0)


def one_part(name: str, setting: Setting, bound: float) -> dict[str, Any]:
    """What a part found; {"failed": why, "log": its last lines} where it found nothing."""
    if bound <= 0:
        return {"failed": "no time left"}
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.json")
        command = [sys.executable, "-m", "benchmarks.gpu_parts", name, setting.device, str(found)]
        return run(command, found, bound)


def run(command: Sequence[str], found: Path, bound: float) -> dict[str, Any]:
    """Runs a command that writes a JSON object to `found`, within so many seconds."""
    begin = time.monotonic()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            code = process.wait(bound)
            why = f"ended with code {code}" if code or not found.exists() else ""
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            why = f"not done after {bound:.0f} s"
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
    took = {"took_s": round(time.monotonic() - begin, 1)}
    if why:
        return {"failed": why, "log": [line[:200] for line in lines[-6:]], **took}
    result: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return {**result, **took}


if __name__ == "__main__":
    main()
