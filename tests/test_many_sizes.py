"""Pictures of many sizes: the process does not grow with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

SCRIPT = """
import numpy as np, psutil, torch
from upscale_cli import Upscaler

torch.set_num_threads(1)
upscaler, process = Upscaler("espcn", device="cpu", precision="fp32"), psutil.Process()
rng, sizes = np.random.default_rng(0), [(32 + number % 40, 32 + number // 40) for number in range({count})]
rng.shuffle(sizes)
for number, (height, width) in enumerate(sizes):
    if number == 100:
        before = process.memory_info().rss
    upscaler(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), scale=2)
print((process.memory_info().rss - before) / 1e6)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="what is measured is glibc's heap")
def test_memory_does_not_grow_with_the_sizes(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "UPSCALE_OFFLINE": "1"}
    environment.pop("ONEDNN_PRIMITIVE_CACHE_CAPACITY", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(count=1200)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 40
