"""How much host memory a 24-megapixel photo takes at -s 2 with espcn on the CPU, through the command line.

    python -m benchmarks.memory

Each run is a process of its own, watched from outside: its peak, and how much it held when each event came.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from PIL import Image

from benchmarks.report import REPOSITORY, photo, write

WIDTH, HEIGHT = 6000, 4000
LIMIT_GB = 2.5
INTERVAL_S = 0.02


def main() -> None:
    """JPEG to JPEG, as asked for; and PNG to PNG, and what the parts hold by reckoning."""
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        picture = Image.fromarray(photo(HEIGHT, WIDTH))
        for ending in ("jpg", "png"):
            source = folder / f"photo.{ending}"
            picture.save(source, quality=92)
            results[f"{ending}_to_{ending}"] = watched(str(source), "-s", "2", "-m", "espcn", "--json")
        results["torch_alone"] = {"peak_gb": round(peak([sys.executable, "-c", "import torch"])[0], 3)}
    worst = results["jpg_to_jpg"]["peak_gb"]
    lr, sr = HEIGHT * WIDTH * 3, 4 * HEIGHT * WIDTH * 3
    write(
        "memory",
        f"Peak resident memory of the process for {WIDTH}x{HEIGHT} RGB at -s 2 with espcn on the CPU, GB (1e9 bytes).",
        {
            "runs": results,
            "pictures_gb": {"lr_uint8": round(lr / 1e9, 3), "sr_uint8": round(sr / 1e9, 3)},
            "requirement": {"peak_below_gb": LIMIT_GB, "met": worst < LIMIT_GB},
        },
    )


def watched(*arguments: str) -> dict[str, Any]:
    """One run of the command line: its peak, its time, and the greatest amount held between one event and the next."""
    command = [sys.executable, "-m", "upscale_cli", *arguments]
    begin = time.perf_counter()
    highest, stages = peak(command)
    return {
        "peak_gb": round(highest, 3),
        "seconds": round(time.perf_counter() - begin, 1),
        "peak_gb_by_stage": {stage: round(value, 3) for stage, value in stages.items()},
    }


def peak(command: list[str]) -> tuple[float, dict[str, float]]:
    """GB resident at most: in all, and by stage (sampled, so that a short peak may be missing there)."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"}
    stages: dict[str, float] = {}
    stage = ["open"]
    highest = 0
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        reader = threading.Thread(target=follow, args=(process.stdout, stage))
        reader.start()
        watch = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                held = watch.memory_info().rss
                highest = max(highest, held, high_water(process.pid))
            except (psutil.NoSuchProcess, FileNotFoundError):
                break
            stages[stage[0]] = max(stages.get(stage[0], 0.0), held / 1e9)
            time.sleep(INTERVAL_S)
        reader.join()
    assert process.returncode == 0, command
    return highest / 1e9, stages


def high_water(pid: int) -> int:
    """The most that a process ever held, in bytes, where the system remembers it (Linux); else 0."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0
    lines = [line for line in status.read_text(encoding="ascii", errors="replace").splitlines() if "VmHWM" in line]
    return int(lines[0].split()[1]) * 1024 if lines else 0  # none once the process has ended


def follow(lines: Any, stage: list[str]) -> None:
    """Moves the stage on as the events tell: open, read (until the first tile is done), compute, encode."""
    for line in lines:
        event = json.loads(line)
        if event["event"] == "started":
            stage[0] = "read"
        elif event["event"] == "progress":
            stage[0] = "encode" if event["done"] == event["total"] else "compute"


if __name__ == "__main__":
    main()
