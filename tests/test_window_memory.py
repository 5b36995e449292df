"""What a window is reckoned to take of memory is what it takes, and a little more."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from upscale_cli.inference.device import CPU
from upscale_cli.inference.profile import Profile
from upscale_cli.inference.tile_layout import TileLayout, geometry_of
from upscale_cli.inference.window_memory import beside_net
from upscale_cli.models.interface import Colour, Descriptor

BUDGET = 2**28


@pytest.mark.parametrize("by_arrays", [True, False])
@pytest.mark.parametrize("colour", ["luma", "rgb"])
def test_the_largest_window_takes_no_more_than_there_is(colour: Colour, *, by_arrays: bool) -> None:
    facts = Descriptor(arch="espcn", scales=(2,), halo=4, exact=True, colour=colour)
    beside = beside_net(facts, 2, by_arrays=by_arrays)
    layout = TileLayout(
        facts, geometry_of(facts, 2, 0, None), tile=0, wrap=False, devices=[CPU], cost=Profile(1e4, 100, 1000),
        precision="fp32", memory=BUDGET, beside=beside,
    )  # fmt: skip
    most = layout.affordable.pixels
    assert layout.window_bytes(1, most) <= BUDGET < layout.window_bytes(1, most + 2)
    assert layout.window_bytes(10, 10) == int(100 * (400 + beside)) + 4000
    assert beside > 4 * 3 * 2**2, "three channels of floats at least, after the net"


TAKEN = """
import json, sys
from pathlib import Path
import numpy as np
from upscale_cli.inference.upscaler import Upscaler

def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

side = 700
upscaler = Upscaler("espcn", device="cpu", engine=sys.argv[1], precision="fp32", tile=side)
lr = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
net = upscaler.net(2, 8)
net.upscale(lr[:32, :32], lr.dtype)
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS")
made = net.upscale(lr, lr.dtype)
print(json.dumps(net.window_bytes(side, side) / (status("VmHWM") - before - made.nbytes)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_what_is_reckoned_for_a_net_of_luma_holds_its_colours_too(engine: str) -> None:
    """By the kernel's account of a process of its own; the former reckoning gave 0.95 by torch."""
    pytest.importorskip(engine)
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("only Linux tells what a process took at most since some moment")
    done = subprocess.run([sys.executable, "-c", TAKEN, engine], capture_output=True, text=True, check=True)
    assert 1.0 <= json.loads(done.stdout) <= 1.4
