"""What a net costs per LR pixel, found by watching it work on a very small picture."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from upscale_cli.models.interface import SCALE_INPUT, Descriptor, LoadedNet, OnnxNet, Scale
from upscale_cli.models.loading import build_net
from upscale_cli.models.onnx_shapes import graph_cost

_SIDES: Final = (16, 64)  # the second for nets that refuse the first; borders cost nothing extra, so small will do
_HELD: Final = 1.5  # skip connections and activations that outlive the layer that needs them
_SAMPLE_SIDE: Final = 15  # of arrays whose sides are free, such as blur kernels


_GRAPH_SIDES: Final = (64, 256)


@dataclass(frozen=True, slots=True)
class Profile:
    """Costs per LR pixel.

    Attributes:
        macs: multiply-adds of the convolutions and linear layers.
        elements: activations alive at the worst moment; times the bytes of the dtype this is the memory needed.
    """

    macs: float
    elements: float


_UNKNOWN: Final = Profile(1e6, 2048)
"""Of nets whose shapes do not show: more than most have."""


def profile(net: LoadedNet, scale: Scale) -> Profile:
    """Runs the net, on the CPU in fp32, on a blank picture of 16 x 16 pixels: some milliseconds.

    (torch's meta device would compute nothing at all, but to start it takes a second of imports.) What came as ONNX is
    not run: its shapes show the same.
    """
    if net.graph is not None:
        return _of_graph(net.graph, net.descriptor)
    facts, module = net.descriptor, build_net(net)
    multiple_of = math.lcm(facts.multiple_of, scale.denominator)
    small, large = (math.ceil(max(side, facts.least_side) / multiple_of) * multiple_of for side in _SIDES)
    try:
        return _watched(module, facts, small, scale)
    except (RuntimeError, ValueError, AssertionError):  # a least size, known to the net alone
        return _watched(module, facts, large, scale)


def _of_graph(graph: OnnxNet, facts: Descriptor) -> Profile:
    """By the sizes of its tensors. What a net adds around a picture inside would count too much on a small one, so
    that it is the slope between two sizes which counts."""
    if facts.fixed_sides:
        pixels = facts.fixed_sides[0] * facts.fixed_sides[1]
        cost = graph_cost(graph.model, *facts.fixed_sides)
        return _UNKNOWN if cost is None else Profile(cost.macs / pixels, cost.elements * _HELD / pixels)
    sides = [math.ceil(max(side, facts.least_side) / facts.multiple_of) * facts.multiple_of for side in _GRAPH_SIDES]
    small, large = (graph_cost(graph.model, side, side) for side in sides)
    if small is None or large is None:
        return _UNKNOWN
    more = sides[1] ** 2 - sides[0] ** 2
    elements = max((large.elements - small.elements) / more, 1.0)
    return Profile((large.macs - small.macs) / more, elements * _HELD)


def blank_conditions(net: Descriptor, side: int, scale: Scale, device: torch.device) -> dict[str, Tensor]:
    """A net's further inputs for a picture of side x side LR pixels: of the right shapes, in a batch of 1, all zero."""
    given = {}
    for spec in net.inputs:
        free = side if spec.tiled else _SAMPLE_SIDE
        shape = (1, *(free if length is None else length for length in spec.shape))
        given[spec.name] = torch.full(shape, float(scale) if spec.name == SCALE_INPUT else 0.0, device=device)
    return given


def _watched(module: nn.Module, facts: Descriptor, side: int, scale: Scale) -> Profile:
    macs = worst = 0
    lr = torch.zeros(1, facts.channels, side, side)
    given = blank_conditions(facts, side, scale, torch.device("cpu"))

    def watch(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs, worst
        if any(True for _ in module.children()) or not isinstance(output, Tensor):
            return
        worst = max(worst, output.numel() + sum(given.numel() for given in inputs if isinstance(given, Tensor)))
        if isinstance(module, nn.Conv2d | nn.Linear):
            macs += output.numel() * module.weight[0].numel()

    handles = [one.register_forward_hook(watch) for one in module.modules()]
    try:
        with torch.no_grad():
            module(lr, **given)
    finally:
        for handle in handles:
            handle.remove()
    pixels = side**2
    return Profile(macs / pixels, worst * _HELD / pixels)
