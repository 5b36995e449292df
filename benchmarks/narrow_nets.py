"""What the bundled nets for real time cost beside each other, by engine and precision, and how near bf16 stays to fp32.

    OMP_NUM_THREADS=1 python -m benchmarks.narrow_nets [--quick]

Processor seconds for 960 x 540 of luma at x2, all threads together, in turn: what else runs on the machine counts for
little in that. The least of all rounds; ratios are to espcn's by the same engine in the same precision.
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from benchmarks.nets import row, trained
from benchmarks.report import photo, write
from upscale_cli.inference import engines_here
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.device import CPU
from upscale_cli.models.interface import Precision
from upscale_cli.models.registry import MODELS

NETS = ("espcn", "swift", "sharp")
SIDES = (540, 960)


def backends() -> dict[str, tuple[Backend, tuple[Precision, ...]]]:
    """Engines that are here, and the precisions that this processor is good at."""
    here = [engine for engine in ("torch", "onnxruntime", "openvino") if engines_here.is_installed(engine)]
    return {engine: (engines_here.backend(engine, requests=1), _good(engine)) for engine in here}


def _good(engine: str) -> tuple[Precision, ...]:
    """Of torch fp32 alone, which computes in the others whether they are slow or not."""
    found: frozenset[Precision] = frozenset({"fp32"}) if engine == "torch" else engines_here.precisions(engine)
    of_cpus: tuple[Precision, ...] = ("fp32", "bf16", "int8")
    return tuple(one for one in of_cpus if one in found)


def decibels(one: torch.Tensor, other: torch.Tensor) -> float:
    return round(-10 * math.log10(float((one - other).square().mean())), 1)


def main() -> None:
    """Writes benchmarks/narrow_nets.json."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="three rounds instead of twelve")
    rounds = 3 if parser.parse_args().quick else 12
    torch.set_num_threads(1)
    lr = torch.from_numpy(photo(*SIDES)[..., 0].copy()).float()[None, None] / 255
    specs = {spec.model: spec for spec in MODELS if spec.model in NETS and spec.scale == 2}
    runs: dict[tuple[str, str, str], Callable[[], torch.Tensor]] = {}
    for (engine, (backend, precisions)), (name, spec) in itertools.product(backends().items(), specs.items()):
        net = replace(trained(row(name, 2)), int8=spec.int8)
        for precision in precisions:
            if precision != "int8" or spec.int8:
                session = backend.load(net, CPU, precision)
                runs[engine, precision, name] = lambda session=session: session.run(lr, {})  # type: ignore[misc]
    exact = {name: runs["torch", "fp32", name]() for name in specs}
    least = dict.fromkeys(runs, math.inf)
    for _, (key, run) in itertools.product(range(rounds), runs.items()):
        begin = time.process_time()
        run()
        least[key] = min(least[key], time.process_time() - begin)
    result: dict[str, Any] = {}
    for key, seconds in least.items():
        way, name = f"{key[0]} {key[1]}", key[2]
        result.setdefault(way, {})[name] = {
            "processor_ms": round(1000 * seconds, 1),
            "to_espcn": round(seconds / least[key[0], key[1], "espcn"], 2),
            **({"db_to_fp32": decibels(runs[key](), exact[name])} if key[1] != "fp32" else {}),
        }
    work = {name: spec.macs for name, spec in specs.items()}
    question = "Processor time of the nets for real time, 960 x 540 of luma at x2, one thread, and nearness to fp32."
    write("narrow_nets", question, {"rounds": rounds, "multiply_adds_per_lr_pixel": work, "engines": result})


if __name__ == "__main__":
    main()
