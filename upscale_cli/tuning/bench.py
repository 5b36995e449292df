"""What this machine can do: its models by engine and precision, and what each costs to start and to hold.

Every row is a process of its own, so that one engine's memory is not another's.
"""

import base64
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from upscale_cli.errors import UpscaleError
from upscale_cli.inference.options import Wanted
from upscale_cli.models.registry import MODELS
from upscale_cli.models.store import locate, quiet

ROW_SECONDS: Final = 120
"""A row that takes longer is given up."""


@dataclass(frozen=True, slots=True)
class Row:
    """One model by one engine.

    Attributes:
        model, scale, engine, precision, device: what was run, on what.
        lr_megapixels_per_second, sr_megapixels_per_second: millions of pixels that go in, that come out.
        start_seconds: from the start of the process until the first small picture is done.
        peak_megabytes: the most memory the process held, 10^6 bytes.
        failure: why there are no figures; "" where there are.
    """

    model: str
    scale: int
    engine: str
    precision: str
    device: str = ""
    lr_megapixels_per_second: float = 0.0
    sr_megapixels_per_second: float = 0.0
    start_seconds: float = 0.0
    peak_megabytes: float = 0.0
    failure: str = ""


def models_here() -> list[tuple[str, int]]:
    """(model, scale) of what is on this machine: of a model with several scales, the largest."""
    here = sorted((spec for spec in MODELS if locate(spec, say=quiet)), key=lambda spec: spec.scale)
    return list({spec.model: spec.scale for spec in here}.items())


def rows(models: Sequence[tuple[str, int]], engines: Sequence[str], device: str) -> Iterator[Row]:
    """The table, as it comes: each model by each engine in the precision that it would take, and in fp32."""
    from upscale_cli.tuning.trial import PRECISIONS

    for model, scale in models:
        seen = set()
        for engine in engines:
            done = set[str]()
            for precision in PRECISIONS:
                if precision in done:  # what "auto" has come to
                    continue
                row = _row(model, scale, engine, precision, device)
                done.add(row.precision)
                if (row.engine, row.precision) not in seen:
                    seen.add((row.engine, row.precision))
                    yield row


def _row(model: str, scale: int, engine: str, precision: str, device: str) -> Row:
    asked = json.dumps({"model": model, "scale": scale, "engine": engine, "precision": precision, "device": device})
    try:
        done = subprocess.run(
            [sys.executable, "-m", "upscale_cli.tuning.bench", asked, str(time.time())], capture_output=True,
            text=True, timeout=ROW_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Row(model, scale, engine, precision, failure=f"not done after {ROW_SECONDS} s")
    if done.returncode or not done.stdout.strip():
        why = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        return Row(model, scale, engine, precision, failure=why[-1])
    # Pickled, for a failure is a `Message`, whose options stay marked so; and by a process of our own.
    return Row(**pickle.loads(base64.b64decode(done.stdout.splitlines()[-1])))


def measured(asked: dict[str, Any], begin: float) -> Row:
    """A row, in the process that is there for it alone.

    Args:
        begin: when the process was started, by the clock.
    """
    import numpy as np
    import psutil

    from upscale_cli.inference.upscaler import Upscaler
    from upscale_cli.tuning.trial import tried

    model, scale = str(asked["model"]), int(asked["scale"])
    wanted: Wanted = asked["precision"]
    upscaler = Upscaler(model, engine=asked["engine"], precision=wanted, device=asked["device"])
    sample = np.random.default_rng(0).integers(0, 256, (512, 512, 3), np.uint8)
    upscaler(sample[:64, :64], scale)
    start = time.time() - begin
    trial = tried(upscaler, scale, sample)
    memory = psutil.Process().memory_info()
    peak = getattr(memory, "peak_wset", None) or _peak()
    return Row(
        model, scale, trial.engine, trial.precision, trial.device, round(trial.lr_megapixels_per_second, 3),
        round(trial.sr_megapixels_per_second, 2), round(start, 2), round(peak / 1e6),
    )  # fmt: skip


def _peak() -> int:
    """Bytes; macOS counts in bytes, Linux in kilobytes."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    try:
        made = measured(wanted, float(sys.argv[2]))
    except UpscaleError as error:
        made = Row(wanted["model"], wanted["scale"], wanted["engine"], wanted["precision"], failure=error.message)
    sys.stdout.write(base64.b64encode(pickle.dumps(asdict(made))).decode() + "\n")
