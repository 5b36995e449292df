"""What a net costs per LR pixel, found by watching it work on very small pictures."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Final

from upscale_cli.models import known
from upscale_cli.models.interface import Descriptor, LoadedNet, OnnxNet, Scale

_HELD: Final = 1.1
"""What an engine takes beside the tensors: their copies in another layout. Measured by benchmarks/net_memory.py."""


_GRAPH_SIDES: Final = (64, 256)
_GRAPH_HELD: Final = 1.5  # skip connections that outlive the layer that needs them


@dataclass(frozen=True, slots=True)
class Profile:
    """Costs of a picture: per LR pixel, and once.

    Attributes:
        macs: multiply-adds of convolutions and matrix products, per LR pixel.
        elements: activations alive at the worst moment, per LR pixel; times the bytes of the dtype this is the memory
            needed.
        fixed: activations there in addition, of a picture of any size: of what a net pads around it.
    """

    macs: float
    elements: float
    fixed: float = 0.0


_UNKNOWN: Final = Profile(1e6, 2048)
"""Of nets whose shapes do not show: more than most have."""


def profile(net: LoadedNet, scale: Scale) -> Profile:
    """Runs the net, on the CPU in fp32, on a blank picture of 16 x 16 pixels: some milliseconds.

    A net that pads the picture is asked again with larger ones, up to 128 x 128: what the last two differ by is the
    cost of a pixel, and what is left of either is there for any picture.

    (torch's meta device would compute nothing at all, but to start it takes a second of imports.) What came as ONNX is
    not run: its shapes show the same.

    Raises:
        ValueError: it refuses every size.
    """
    if net.parts:
        return _of_parts(net)
    if net.graph is not None:
        return _of_graph(net.graph, net.descriptor)
    name = f"costs-{_HELD}-{scale}".replace("/", "-over-")
    try:
        return Profile(**json.loads(known.fact(net, name) or b"null"))
    except (ValueError, TypeError):
        found = _of_module(net, scale)
    known.keep(net, name, json.dumps(asdict(found)).encode())
    return found


def _of_parts(net: LoadedNet) -> Profile:
    """Of a chain: one net works at a time, on a picture that those before it have made larger."""
    pixels, found = 1.0, Profile(0.0, 0.0)
    for part, scale in net.parts:
        own = profile(part, scale)
        found = Profile(
            found.macs + own.macs * pixels, max(found.elements, own.elements * pixels), max(found.fixed, own.fixed)
        )
        pixels *= float(scale) ** 2
    return found


def _of_module(net: LoadedNet, scale: Scale) -> Profile:
    from upscale_cli.models.loading import build_net
    from upscale_cli.models.watch import Watched, watched

    runs: list[Watched] = []
    for run in watched(build_net(net), net.descriptor, scale):
        runs.append(run)
        if not run.pads:
            break
    if not runs:
        raise ValueError(f"{net.descriptor.name} takes no picture of any size that was tried")
    large = runs[-1]
    small = next((run for run in reversed(runs) if run.macs < large.macs), None)
    if small is None:  # too much, if anything
        return Profile(large.macs / large.side**2, _HELD * large.elements / large.side**2)
    pixels = large.side**2 - small.side**2
    macs, elements = (large.macs - small.macs) / pixels, (large.elements - small.elements) / pixels
    return Profile(macs, _HELD * elements, _HELD * max(0.0, large.elements - elements * large.side**2))


def _of_graph(graph: OnnxNet, facts: Descriptor) -> Profile:
    """By the sizes of its tensors. What a net adds around a picture inside would count too much on a small one, so
    that it is the slope between two sizes which counts."""
    from upscale_cli.models.onnx_shapes import graph_cost

    if facts.fixed_sides:
        pixels = facts.fixed_sides[0] * facts.fixed_sides[1]
        cost = graph_cost(graph.model, *facts.fixed_sides)
        return _UNKNOWN if cost is None else Profile(cost.macs / pixels, cost.elements * _GRAPH_HELD / pixels)
    sides = [math.ceil(max(side, facts.least_side) / facts.multiple_of) * facts.multiple_of for side in _GRAPH_SIDES]
    small, large = (graph_cost(graph.model, side, side) for side in sides)
    if small is None or large is None:
        return _UNKNOWN
    more = sides[1] ** 2 - sides[0] ** 2
    elements = max((large.elements - small.elements) / more, 1.0)
    return Profile((large.macs - small.macs) / more, elements * _GRAPH_HELD)
