"""What every benchmark shares: the facts about the machine, paired timing, pictures, and the JSON it writes."""

import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
PACKAGES = ("torch", "numpy", "pillow", "spandrel", "imagecodecs", "av")


def write(name: str, question: str, result: Mapping[str, Any]) -> None:
    """Writes benchmarks/NAME.json and shows it.

    Args:
        question: what was measured, in one sentence.
        result: the figures; units are in their names.
    """
    report = {"question": question, "machine": machine(), **result}
    text = json.dumps(report, indent=2)
    (REPOSITORY / "benchmarks" / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def json_of(name: str) -> dict[str, Any]:
    """What a benchmark has written before: benchmarks/NAME.json; empty where there is none."""
    path = REPOSITORY / "benchmarks" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown, each line with its end.

    >>> table(("set", "dB"), [("Set5", 36.9)])
    '| set | dB |\\n| --- | --- |\\n| Set5 | 36.9 |\\n'
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def with_tables(page: str, tables: str, start: str, stop: str) -> str:
    """A page's text with what lies between its two marks renewed.

    Args:
        start, stop: the marks, each a line with its end; the first `stop` after `start` counts.

    Raises:
        ValueError: the page has lost one of them.
    """
    before, found, rest = page.partition(start)
    _, end, after = rest.partition(stop)
    if not (found and end):
        raise ValueError(f"the page has lost its mark {(start if not found else stop).strip()}")
    return f"{before}{start}\n{tables}\n{stop}{after}"


def machine() -> dict[str, Any]:
    """Processor, versions, commit and date; nothing that names the machine or a place on it."""
    status = _git("status", "--porcelain", "--", "upscale_cli", "weights")
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES if _version(package)},
        "commit": _git("rev-parse", "--short", "HEAD") + (" with changes" if status else ""),
        "date": datetime.now(UTC).date().isoformat(),
        "load_before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def alternating(
    candidates: Mapping[str, Callable[[], object]], *, repeats: int, settle: Callable[[], None] = lambda: None
) -> dict[str, list[float]]:
    """Seconds of each candidate, `repeats` times in turn after one unmeasured round, so that all meet the same load.

    Args:
        settle: waits until what was begun is done (a GPU's queue).
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        order = list(candidates) if repeat % 2 else list(candidates)[::-1]
        for name in order:
            settle()
            begin = time.perf_counter()
            candidates[name]()
            settle()
            if repeat:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {
        "median_s": round(statistics.median(seconds), 4),
        "min_s": round(min(seconds), 4),
        "max_s": round(max(seconds), 4),
    }


def ratio(of: list[float], to: list[float]) -> float:
    """The median of the paired ratios: what two neighbours in time took."""
    return round(statistics.median(a / b for a, b in zip(of, to, strict=True)), 3)


def photo(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, 3): clouds of noise at every size, as photos have them. Made in bands, to take little memory."""
    rng = np.random.default_rng(seed)
    out = np.empty((height, width, 3), np.uint8)
    octaves = [(step, rng.random((height // step + 2, width // step + 2, 3))) for step in (4, 16, 64, 256)]
    x = np.arange(width)
    for top in range(0, height, 256):
        y = np.arange(top, min(top + 256, height))
        band = np.zeros((len(y), width, 3))
        for step, cloud in octaves:
            band += step**0.5 * cloud[y // step][:, x // step]
        band += rng.normal(0, 0.3, band.shape)
        out[top : top + len(y)] = np.clip(band / sum(step**0.5 for step, _ in octaves) * 255, 0, 255)
    return out


CPU_FLAGS = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "avx512_fp16", "avx_vnni", "amx_tile", "amx_bf16",
             "amx_int8", "asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve")  # fmt: skip
"""What decides about the speed of convolutions, as Linux names it on x86 and Arm."""


def cpu_flags() -> list[str] | None:
    """Those of CPU_FLAGS that the processor has; None where the system has no /proc/cpuinfo."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return None
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return [flag for flag in CPU_FLAGS if flag in value.split()]
    return []


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
