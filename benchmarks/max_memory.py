"""Whether a photo keeps to `--max-memory`, and how near what a window is reckoned to take comes to what it takes.

    python -m benchmarks.max_memory [--quick] [--engine torch|openvino]

Each run is a process of its own; Linux tells the greatest part of memory that was resident in it (VmHWM).

- windows: one window of a net, from pixels to pixels, beyond what was resident before; and what
  `TileLayout.window_bytes` says. Of what came before, tiny windows, nothing is as large.
- limits: the command line on a picture that is larger than the limits let it be at once, peak as a share of the limit.

With --engine the rows of that engine take their place in the file, and all others stay.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import tifffile

from benchmarks.net_memory import status
from benchmarks.report import REPOSITORY, json_of, photo, write

NETS: Final = {"espcn": (2, 800), "photo-lite": (4, 400)}
"""Scale, and LR pixels of a window's side: a net for luma, and one for R'G'B'."""

ENGINES: Final = ("torch", "openvino")
DEPTHS: Final = ("uint8", "uint16")
LIMITS_MB: Final = (500, 700, 1000)
HEIGHT, WIDTH = 1500, 2000
SHARES: Final = (1.0, 1.35)
"""Of reckoned to measured: not below what is taken, and not far above; one figure is for all depths."""


def main() -> None:
    """Writes benchmarks/max_memory.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one limit, a smaller picture; nothing is written")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--one", nargs=3, metavar=("NET", "ENGINE", "DEPTH"), help="a single window, in this process")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(window(*given.one)))
        return
    cases = list(itertools.product(NETS, [given.engine] if given.engine else ENGINES, DEPTHS))
    windows = {" ".join(case): alone(*case) for case in cases}
    print(json.dumps(windows, indent=1), flush=True)
    with tempfile.TemporaryDirectory() as name:
        sources = {depth: source(Path(name), depth, 2 if given.quick else 1) for depth in DEPTHS}
        limits = {
            " ".join(case): {str(limit): share_of(limit, *case[:2], sources[case[2]])
                             for limit in (LIMITS_MB[1:2] if given.quick else LIMITS_MB)}
            for case in cases
        }  # fmt: skip
    print(json.dumps(limits, indent=1), flush=True)
    if given.quick:
        return
    if given.engine:
        former = json_of("max_memory")
        windows, limits = former["windows"] | windows, former["limits"] | limits
    ratios = [one["reckoned_to_measured"] for one in windows.values()]
    shares = [one["peak_to_limit"] for each in limits.values() for one in each.values() if "peak_to_limit" in one]
    write(
        "max_memory",
        "What a window is reckoned to take beside what it takes; and the peak of a whole run beside --max-memory.",
        {
            "windows": windows,
            "limits": limits,
            "requirement": {
                "reckoned_to_measured": SHARES,
                "least": min(ratios),
                "most": max(ratios),
                "worst_peak_to_limit": max(shares),
                "met": SHARES[0] <= min(ratios) and max(ratios) <= SHARES[1] and max(shares) <= 1,
            },
        },
    )


def source(folder: Path, depth: str, part: int) -> Path:
    """A TIFF that can be read in bands."""
    path, pixels = folder / f"{depth}.tif", photo(HEIGHT // part, WIDTH // part)
    tifffile.imwrite(path, pixels if depth == "uint8" else pixels.astype(np.uint16) * 257, tile=(256, 256))
    return path


def alone(model: str, engine: str, depth: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.max_memory", "--one", model, engine, depth]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def window(model: str, engine: str, depth: str) -> dict[str, Any]:
    """One window through a net: MB that it takes beyond what is there before, and that it is reckoned to take."""
    from upscale_cli.inference.upscaler import Upscaler

    scale, side = NETS[model]
    upscaler = Upscaler(model, device="cpu", engine=engine, precision="fp32", tile=side)
    lr = photo(side, side) if depth == "uint8" else photo(side, side).astype(np.uint16) * 257
    net = upscaler.net(scale, 8 * lr.itemsize)
    net.upscale(lr[:32, :32], lr.dtype)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    made = net.upscale(lr, lr.dtype)
    taken = status("VmHWM") - before - made.nbytes
    reckoned = net.window_bytes(side, side)
    return {
        "side": side, "measured_mb": round(taken / 1e6, 1), "reckoned_mb": round(reckoned / 1e6, 1),
        "reckoned_to_measured": round(reckoned / taken, 2),
    }  # fmt: skip


def share_of(limit: int, model: str, engine: str, source: Path) -> dict[str, Any]:
    """A run of the command line, its peak as a share of the limit; or what it said."""
    output = source.with_name("out.tif")
    command = [
        sys.executable, "-m", "upscale_cli", str(source), "-s", str(NETS[model][0]), "-m", model, "--device", "cpu",
        "--engine", engine, "--precision", "fp32", "--max-memory", f"{limit}M", "-o", str(output), "--overwrite",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        said = process.stderr.read().decode(errors="replace")
        _, code, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        return {"refused": said.strip().splitlines()[-1].replace(str(source.parent) + os.sep, "")}
    peak = used.ru_maxrss * 1024
    return {"peak_mb": round(peak / 1e6, 1), "peak_to_limit": round(peak / (limit * 2**20), 3)}


if __name__ == "__main__":
    main()
