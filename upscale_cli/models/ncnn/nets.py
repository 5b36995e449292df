"""Which net of ours an ncnn graph is.

The operations that a graph has suggest one (`_CANDIDATES`); whether it is that one is then found out: graph and net get
the same made-up weights, layer by layer in the order they run in, and a few pixels. Only a graph that computes the same
as the net, before each layer and at the end, is taken. So it does not matter how a converter has spelt a residual
connection, and a graph that only has the same shapes is refused.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.errors import printable
from upscale_cli.models.interface import Recognised, SidecarMetadata
from upscale_cli.models.ncnn import layers
from upscale_cli.models.ncnn.blobs import Weights
from upscale_cli.models.ncnn.param import Graph, Layer, NcnnError
from upscale_cli.models.plugins import architecture

PROBE: Final = (8, 12)
"""LR pixels, (height, width), of the picture that a graph is tried on; what `least_side` asks for is added."""

TOLERANCE: Final = 1e-6
"""Of the largest value, by which graph and net may differ in float64; constants in a graph are float32."""

KNOWN: Final = "RRDBNet (ESRGAN, Real-ESRGAN), SRVGGNetCompact, SPAN and Real-CUGAN"

Held = tuple[Tensor, Tensor | None]
"""Weight and bias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A net of ours that a graph may be.

    Attributes:
        arch: its architecture, by name.
        config: of its net.
        stated: what keys and shapes do not show of it, for `recognise`.
        activation: likewise.
        before: what the ncnn tools do to a picture ahead of the graph, and our net does inside.
        after: what they do afterwards: (what the graph makes, LR picture).
    """

    arch: str
    config: Mapping[str, Any]
    stated: Mapping[str, Any] = field(default_factory=dict)
    activation: str | None = None
    before: Callable[[Tensor], Tensor] = lambda lr: lr
    after: Callable[[Tensor, Tensor], Tensor] = lambda sr, _: sr


def recognise(graph: Graph, weights: Mapping[str, Weights], metadata: SidecarMetadata) -> Recognised:
    """The net of ours that the graph is, with its weights under our keys.

    Raises:
        NcnnError: it is none.
    """
    layers.check_layers(graph)
    reasons = []
    for suggest in _CANDIDATES:
        candidate = suggest(graph, weights)
        if candidate is None:
            continue
        try:
            keys = _proved(graph, weights, candidate)
        except NcnnError as error:
            reasons.append(str(error))
            continue
        recognised = _recognised(candidate, _state_dict(candidate, keys, weights), metadata)
        if recognised is not None:
            return recognised
    counts = Counter(layer.kind for layer in layers.weighted(graph))
    held = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no weights"
    raise NcnnError(reasons[0] if reasons else (
        f"is the graph of no net that is known here ({held}); known are {KNOWN}. Use the .pth, .safetensors or .onnx "
        "file of that net"
    ))  # fmt: skip


def _recognised(
    candidate: Candidate, state_dict: Mapping[str, Tensor], metadata: SidecarMetadata
) -> Recognised | None:
    """As the architecture knows it; None where it sees another net in the weights than the graph is."""
    facts = replace(metadata, stated={**metadata.stated, **candidate.stated})
    if candidate.activation == "leakyrelu" or candidate.activation == "relu":
        facts = replace(facts, activation=candidate.activation)
    recognised = architecture(candidate.arch).recognise(state_dict, facts)
    if recognised is None or dict(recognised.descriptor.config) != dict(candidate.config):
        return None
    return recognised


# Proof


def _proved(graph: Graph, weights: Mapping[str, Weights], candidate: Candidate) -> dict[str, Layer]:
    """The graph's layers by the name of our net's module.

    Raises:
        NcnnError: the net does not compute what the graph computes.
    """
    net = architecture(candidate.arch).net(**candidate.config).double().eval().requires_grad_(False)
    side = int(getattr(net, "least_side", 1))
    generator = torch.Generator().manual_seed(0)
    channels = int(candidate.config.get("num_in_ch", 3))
    lr = torch.rand(1, channels, *(length + side for length in PROBE), dtype=torch.float64, generator=generator)
    held = {
        layer.name: _made_up(weights[layer.name], generator) if layer in layers.weighted(graph) else
        (torch.from_numpy(weights[layer.name].weight).double(), None)
        for layer in graph.layers if layer.name in weights
    }  # fmt: skip
    with torch.inference_mode():
        blobs = layers.run(graph, held, candidate.before(lr))
        pairing = _Pairing(graph, held, blobs, net, candidate)
        sr = pairing.run(lr)
        made = candidate.after(blobs[_unclamped(graph)], lr)
    if not _alike(sr, made):
        raise NcnnError(f"looks like {candidate.arch}, but computes something else after its last layer: refused")
    return pairing.keys


def _made_up(real: Weights, generator: torch.Generator) -> Held:
    """Weights of the same shapes that let values through whatever the depth."""
    shape = real.weight.shape
    gain = math.sqrt(2 / math.prod(shape[1:])) if len(shape) == 4 else 0.3
    weight = torch.randn(shape, dtype=torch.float64, generator=generator) * gain
    bias = None if real.bias is None else torch.randn(len(real.bias), dtype=torch.float64, generator=generator) * 0.1
    return weight, bias


def _unclamped(graph: Graph) -> str:
    """The blob that comes out, before it is clamped to [0, 1], which happens to every picture anyway."""
    (last,) = (layer for layer in graph.layers if graph.output in layer.outputs)
    is_clamp = last.kind == "Clip" and (last.real(0), last.real(1)) == (0.0, 1.0)
    return last.inputs[0] if is_clamp else graph.output


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and bool((ours - theirs).abs().max() <= TOLERANCE * theirs.abs().max())


class _Pairing:
    """Our net at work, with each of its layers given the weights of the graph's next one."""

    def __init__(
        self, graph: Graph, held: Mapping[str, Held], blobs: Mapping[str, Tensor], net: nn.Module, candidate: Candidate
    ) -> None:
        self._held, self._blobs, self._net, self._arch = held, blobs, net, candidate.arch
        self._names = {module: name for name, module in net.named_modules() if isinstance(module, LEARNT)}
        self._rest = layers.weighted(graph)
        self.keys: dict[str, Layer] = {}

    def run(self, lr: Tensor) -> Tensor:
        """What the net makes of a picture."""
        hooks = [module.register_forward_pre_hook(self._pair) for module in self._names]
        try:
            sr: Tensor = self._net(lr)
        except RuntimeError as error:
            raise NcnnError(f"looks like {self._arch}, but its layers do not have the shapes of that net") from error
        finally:
            for hook in hooks:
                hook.remove()
        left = next(self._rest, None)
        if left is not None or len(self.keys) != len(self._names):
            raise NcnnError(f"looks like {self._arch}, but has another number of layers: refused")
        return sr

    def _pair(self, module: nn.Module, given: tuple[Tensor, ...]) -> None:
        layer, name = next(self._rest, None), self._names[module]
        if layer is None or name in self.keys:
            raise NcnnError(f"looks like {self._arch}, but has fewer layers: refused")
        weight, bias = _as_ours(module, *self._held[layer.name])
        own_bias = getattr(module, "bias", None)
        fits = weight is not None and weight.shape == module.weight.shape and (bias is None or own_bias is not None)
        if weight is None or not fits:
            raise NcnnError(f"looks like {self._arch}, but {layer.about} is another one than {name} there: refused")
        reached, expected = given[0], self._blobs[layer.inputs[0]]
        if not _alike(reached, expected):
            raise NcnnError(
                f"looks like {self._arch}, but is wired in another way: what {layer.about} takes is not what {name} "
                "takes there: refused"
            )
        module.weight = nn.Parameter(weight, requires_grad=False)
        if own_bias is not None:
            module.bias = nn.Parameter(torch.zeros_like(own_bias) if bias is None else bias, requires_grad=False)
        self.keys[name] = layer


LEARNT: Final = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.PReLU)
"""Modules that hold weights."""


def _as_ours(module: nn.Module, weight: Tensor, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """A layer's weights as a module of torch's has them; None where it is of another kind."""
    match module:
        case nn.ConvTranspose2d():
            return weight.transpose(0, 1).contiguous(), bias
        case nn.Conv2d():
            return (weight, bias) if weight.ndim == 4 else (None, None)
        case nn.Linear():
            return weight.flatten(1), bias
        case _:
            return (weight, bias) if weight.ndim == 1 else (None, None)


def _state_dict(
    candidate: Candidate, keys: Mapping[str, Layer], weights: Mapping[str, Weights]
) -> dict[str, Tensor]:
    """The weights under our net's keys; what the graph has no weights for is as the net makes it."""
    net = architecture(candidate.arch).net(**candidate.config)
    modules = dict(net.named_modules())
    state_dict = dict(net.state_dict())
    for name, layer in keys.items():
        held = weights[layer.name]
        bias = None if held.bias is None else torch.from_numpy(held.bias)
        weight, bias = _as_ours(modules[name], torch.from_numpy(held.weight), bias)
        if weight is not None:
            state_dict[f"{name}.weight"] = weight
        if f"{name}.bias" in state_dict:
            state_dict[f"{name}.bias"] = torch.zeros_like(state_dict[f"{name}.bias"]) if bias is None else bias
    return state_dict


# Candidates


def _srvgg(graph: Graph, weights: Mapping[str, Weights]) -> Candidate | None:
    """A row of convolutions, one sub-pixel layer, the picture added; shrunk again in realesr-animevideov3's x2 and x3."""
    convs, shuffles, resized = graph.of("Convolution"), graph.of("PixelShuffle"), graph.of("Interp")
    if len(convs) < 3 or len(shuffles) != 1 or graph.of("Deconvolution", "InnerProduct", "Concat"):
        return None
    num_feat, num_in_ch = weights[convs[0].name].weight.shape[:2]
    upscale = shuffles[0].whole(0, 1)
    slopes = {layer.real(0) for layer in graph.of("ReLU")} | {
        float((layer.array(10) or (0.0,))[0]) for layer in convs if layer.whole(9) in (1, 2)
    }
    act_type = "prelu" if graph.of("PReLU") else "leakyrelu" if slopes == {0.1} else "relu"
    config = {
        "num_in_ch": num_in_ch, "num_feat": num_feat, "num_conv": len(convs) - 2, "upscale": upscale,
        "act_type": act_type,
    }  # fmt: skip
    shrunk = [layer.real(1) for layer in resized if layer.whole(0) == 3]
    out_scale = round(upscale * shrunk[0]) if len(shrunk) == 1 else upscale
    stated = {"out_scale": out_scale} if out_scale != upscale else {}
    return Candidate(arch="srvgg", config=config | stated, stated=stated, activation=act_type)


def _rrdbnet(graph: Graph, weights: Mapping[str, Weights]) -> Candidate | None:
    """Dense blocks, four concatenations in each, three of them in a block."""
    convs, folds = graph.of("Convolution"), graph.of("Reorg")
    num_block = len(graph.of("Concat")) // 12
    if num_block < 1 or len(convs) < 15 * num_block:
        return None
    config = {
        "num_in_ch": len(weights[convs[-1].name].weight),
        "num_feat": len(weights[convs[0].name].weight),
        "num_block": num_block,
        "num_grow_ch": len(weights[convs[1].name].weight),
        "num_up": len(graph.of("Interp")),
        "unshuffle": folds[0].whole(0, 1) if folds else 1,
    }
    return Candidate(arch="rrdbnet", config=config)


def _realcugan(graph: Graph, _: Mapping[str, Weights]) -> Candidate | None:
    """Two U-nets; padding, and for x4 the picture that is added, are the tools' part."""
    rising = graph.of("Deconvolution")
    if len(rising) != 5 - 1 and len(rising) != 5:
        return None
    scale = 4 if graph.of("PixelShuffle") else 3 if any(layer.whole(1) == 5 for layer in rising) else 2
    net = architecture("realcugan").net
    padding = int(net(scale).padding)

    def before(lr: Tensor) -> Tensor:
        return F.pad(lr, (padding,) * 4, mode="reflect")

    def after(sr: Tensor, lr: Tensor) -> Tensor:
        return sr + F.interpolate(lr, scale_factor=4, mode="nearest") if scale == 4 else sr

    config = {"scale": scale, "se": bool(graph.of("Pooling"))}
    return Candidate(arch="realcugan", config=config, before=before, after=after)


_CANDIDATES: Final[tuple[Callable[[Graph, Mapping[str, Weights]], Candidate | None], ...]] = (
    _rrdbnet, _realcugan, _srvgg,
)  # fmt: skip


def known_parameters(recognised: Recognised) -> Iterator[str]:
    """The keys of a net that came as an ncnn file."""
    return iter(recognised.state_dict)


__all__ = ["KNOWN", "Candidate", "printable", "recognise"]
