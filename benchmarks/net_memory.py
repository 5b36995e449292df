"""What nets take of the memory, beside what `inference/profile.py` reckons with.

    python -m benchmarks.net_memory [CHECKPOINT ...]

Each run is a process of its own: a net runs on a tiny window, then on a large one, and the kernel tells the greatest
part of memory that the second took (VmHWM, reset between; Linux). Two sizes give bytes per LR pixel, and what is there
for any window. In fp32, by torch and by OpenVINO where it is installed.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import torch

from benchmarks.nets import checkpoint, row
from benchmarks.report import REPOSITORY, SHARED, write
from upscale_cli.inference.device import Device
from upscale_cli.inference.engines_here import OPENVINO, TORCH, backend, is_installed
from upscale_cli.inference.profile import profile
from upscale_cli.models.loading import load_net

SIDES: Final = {"rrdbnet": (96, 192), "srvgg": (256, 512), "espcn": (512, 1024), "spandrel": (128, 256)}
"""LR pixels of the two windows, by architecture."""

FILES: Final = ("RealESRGAN_x4plus", "RealESRGAN_x4plus_anime_6B", "realcugan-up2x-conservative")
ROWS: Final = (("realesr-general", 4), ("realesr-animevideo", 4), ("photo-lite", 4), ("espcn", 2))
TINY: Final = 32


def main() -> None:
    """Every net that is here."""
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("FILE", "ENGINE", "SIDE"), help="a single run, in this process")
    given = parser.parse_args()
    if given.one:
        file, engine, side = given.one
        print(json.dumps(taken(Path(file), engine, int(side))))
        return
    found = {file.stem: compared(file) for file in given.files or files()}
    write(
        "net_memory",
        "Bytes of memory per LR pixel of a window, fp32, one window at a time; and what is reckoned with.",
        {"nets": {name: facts for name, facts in found.items() if facts}},
    )


def files() -> list[Path]:
    """Of the nets that are on this machine."""
    real = [SHARED / "weights-more" / f"{name}.safetensors" for name in FILES]
    rows = [checkpoint(row(model, scale)) for model, scale in ROWS]
    return [file for file in (*real, *rows) if file is not None and file.is_file()]


def compared(file: Path) -> dict[str, Any]:
    """Measured beside reckoned; nothing for a net that is not known here."""
    try:
        net = load_net(file)
    except ValueError as error:
        print(error)
        return {}
    scale = net.descriptor.only_scale
    assert scale is not None
    cost = profile(net, scale)
    small, large = SIDES.get(net.descriptor.arch, (128, 256))
    facts: dict[str, Any] = {
        "sides": [small, large],
        "reckoned_per_pixel": round(cost.elements * 4), "reckoned_fixed_mb": round(cost.fixed * 4 / 1e6, 1),
    }  # fmt: skip
    for engine in filter(is_installed, (TORCH, OPENVINO)):
        runs = [run_alone(file, engine, side) for side in (small, large)]
        if None in runs:
            continue
        first, second = (run for run in runs if run is not None)
        per_pixel = (second - first) / (large**2 - small**2)
        facts[engine] = {
            "per_pixel": round(per_pixel), "fixed_mb": round((first - per_pixel * small**2) / 1e6, 1),
            "large_mb": round(second / 1e6, 1),
            "reckoned_to_measured": round((cost.elements * large**2 + cost.fixed) * 4 / second, 2),
        }  # fmt: skip
    print(file.stem, facts, flush=True)
    return facts


def run_alone(file: Path, engine: str, side: int) -> int | None:
    """Bytes; None where the engine does not run the net."""
    command = [sys.executable, "-m", "benchmarks.net_memory", "--one", str(file), engine, str(side)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return int(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else None


def taken(file: Path, engine: str, side: int) -> int:
    """Bytes of memory that one window needs at the worst moment, beyond what is there before."""
    torch.set_num_threads(2)
    net = load_net(file)
    session = backend(engine, 1).load(net, Device("cpu"), "fp32")
    with torch.inference_mode():
        session.run(torch.zeros(1, net.descriptor.channels, TINY, TINY), {})
        window = torch.rand(1, net.descriptor.channels, side, side)
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        session.run(window, {})
    return status("VmHWM") - before


def status(name: str) -> int:
    """Bytes, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
