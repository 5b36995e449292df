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
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscale_cli.models.archs import realcugan
from upscale_cli.models.interface import Recognised, SidecarMetadata
from upscale_cli.models.ncnn import layers
from upscale_cli.models.ncnn.blobs import Weights
from upscale_cli.models.ncnn.param import Graph, Layer, NcnnError
from upscale_cli.models.plugins import architecture

PROBE: Final = (8, 12)
"""LR pixels, (height, width), of the picture that a graph is tried on; what a net needs at least is added."""

TOLERANCE: Final = 1e-6
"""Of the largest value, by which graph and net may differ in float64; constants in a graph are float32."""

MOST_SCALE: Final = 16
"""Of a sub-pixel layer."""

KNOWN: Final = "RRDBNet (ESRGAN, Real-ESRGAN), SRVGGNetCompact, SPAN and Real-CUGAN"

Held = tuple[Tensor, Tensor | None]
"""Weight and bias."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A net of ours that a graph may be.

    Attributes:
        arch: its architecture, by name.
        config: of its net.
        stated: what keys and shapes do not show of it and a card has under `arch`.
        activation: likewise.
        assumed: what neither a graph nor weights show: by what a card calls it, in words.
        least_side: LR pixels that the net must have.
        before: what the ncnn tools do to a picture ahead of the graph, and our net does inside.
        after: what they do afterwards: (what the graph makes, LR picture).
    """

    arch: str
    config: Mapping[str, Any]
    stated: Mapping[str, Any] = field(default_factory=dict)
    activation: Literal["relu", "leakyrelu"] | None = None
    assumed: Mapping[str, str] = field(default_factory=dict)
    least_side: int = 0
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
            net, keys = _proved(graph, weights, candidate)
        except NcnnError as error:
            reasons.append(str(error))
            continue
        recognised = _recognised(candidate, _state_dict(net, keys, weights), metadata)
        if recognised is not None:
            return recognised
    counts = Counter(layer.kind for layer in layers.weighted(graph))
    held = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "no weights"
    raise NcnnError(reasons[0] if reasons else (
        f"is the graph of no net that is known here ({held}); known are {KNOWN}. Use the .pth, .safetensors or .onnx "
        "file of that net"
    ))  # fmt: skip


def _recognised(candidate: Candidate, state_dict: Mapping[str, Tensor], metadata: SidecarMetadata) -> Recognised | None:
    """As the architecture knows it; None where it sees another net in the weights than the graph is."""
    said = metadata.stated.get("arch")
    arch = {**(said if isinstance(said, Mapping) else {}), **candidate.stated}
    facts = replace(
        metadata, stated={**metadata.stated, "arch": arch}, activation=candidate.activation or metadata.activation
    )
    recognised = architecture(candidate.arch).recognise(state_dict, facts)
    if recognised is None or dict(recognised.descriptor.config) != dict(candidate.config):
        return None
    assumed = tuple(words for name, words in candidate.assumed.items() if name not in arch)
    return replace(recognised, assumed=recognised.assumed + assumed)


# Proof


def _proved(graph: Graph, weights: Mapping[str, Weights], candidate: Candidate) -> tuple[nn.Module, dict[str, Layer]]:
    """(our net, the graph's layers by the name of its module).

    Raises:
        NcnnError: the net does not compute what the graph computes.
    """
    make = architecture(candidate.arch).net
    with torch.device("meta"):  # a graph may suggest a net far larger than itself
        needed = sum(module.weight.numel() for _, module in _learnt(make(**candidate.config)))
    given = sum(weights[layer.name].weight.size for layer in layers.weighted(graph))
    if needed != given:
        raise NcnnError(f"looks like {candidate.arch}, but has {given:,} weights, where that has {needed:,}: refused")
    net = make(**candidate.config).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    sides = [length + candidate.least_side for length in PROBE]
    lr = torch.rand(1, candidate.config.get("num_in_ch", 3), *sides, dtype=torch.float64, generator=generator)
    held: dict[str, Held] = {
        layer.name: (torch.from_numpy(weights[layer.name].weight).double(), None) for layer in graph.of("MemoryData")
    }
    held |= {layer.name: _made_up(weights[layer.name], generator) for layer in layers.weighted(graph)}
    with torch.inference_mode():
        blobs = layers.run(graph, held, candidate.before(lr))
        pairing = _Pairing(graph, held, blobs, net, candidate)
        sr = pairing.run(lr)
        made = candidate.after(blobs[_unclamped(graph)], lr)
    if not _alike(sr, made):
        raise NcnnError(f"looks like {candidate.arch}, but computes something else after its last layer: refused")
    return net, pairing.keys


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
        self._names: dict[nn.Module, str] = {module: name for name, module in _learnt(net)}
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


Learnt = nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.PReLU


def _learnt(net: nn.Module) -> Iterator[tuple[str, Learnt]]:
    """The modules that hold weights, by name."""
    return ((name, module) for name, module in net.named_modules() if isinstance(module, Learnt))


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


def _state_dict(net: nn.Module, keys: Mapping[str, Layer], weights: Mapping[str, Weights]) -> dict[str, Tensor]:
    """The weights under our net's keys; what the graph has none for is as the net makes it, and biases are zero."""
    state_dict: dict[str, Tensor] = {}
    for key, made in net.state_dict().items():
        name, _, part = key.rpartition(".")
        if name not in keys:
            state_dict[key] = made.float()
            continue
        held = weights[keys[name].name]
        given = None if held.bias is None else torch.from_numpy(held.bias)
        weight, bias = _as_ours(net.get_submodule(name), torch.from_numpy(held.weight), given)
        ours = weight if part == "weight" else bias
        state_dict[key] = torch.zeros(made.shape) if ours is None else ours
    return state_dict


# Candidates


def _factor(shuffle: Layer) -> int:
    """Of a sub-pixel layer, or of its inverse."""
    factor = shuffle.whole(0, 1)
    if not 1 <= factor <= MOST_SCALE:
        raise NcnnError(f"{shuffle.about} has the factor {factor}, which no net here has: refused")
    return factor


def _srvgg(graph: Graph, weights: Mapping[str, Weights]) -> Candidate | None:
    """A row of convolutions, a sub-pixel layer, the picture added; shrunk again in realesr-animevideov3's x2 and x3."""
    convs, shuffles, resized = graph.of("Convolution"), graph.of("PixelShuffle"), graph.of("Interp")
    if len(convs) < 3 or len(shuffles) != 1 or graph.of("Deconvolution", "InnerProduct", "Concat"):
        return None
    num_feat, num_in_ch = weights[convs[0].name].weight.shape[:2]
    upscale = _factor(shuffles[0])
    slopes = {layer.real(0) for layer in graph.of("ReLU")} | {
        float((layer.array(10) or (0.0,))[0]) for layer in convs if layer.whole(9) in (1, 2)
    }
    activation: Literal["relu", "leakyrelu"] | None = "leakyrelu" if slopes == {0.1} else "relu"
    if graph.of("PReLU"):
        activation = None
    config = {
        "num_in_ch": num_in_ch, "num_feat": num_feat, "num_conv": len(convs) - 2, "upscale": upscale,
        "act_type": activation or "prelu",
    }  # fmt: skip
    shrunk = [layer.real(1) for layer in resized if layer.whole(0) == 3]
    out_scale = round(upscale * shrunk[0]) if len(shrunk) == 1 and 0 < shrunk[0] < 1 else upscale
    stated = {"out_scale": out_scale} if out_scale != upscale else {}
    return Candidate(arch="srvgg", config=config | stated, stated=stated, activation=activation)


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
        "unshuffle": _factor(folds[0]) if folds else 1,
    }
    return Candidate(arch="rrdbnet", config=config)


def _span(graph: Graph, weights: Mapping[str, Weights]) -> Candidate | None:
    """Blocks of three convolutions whose result is an attention map. What is subtracted first is a constant."""
    convs, shuffles = graph.of("Convolution"), graph.of("PixelShuffle")
    if len(graph.of("Concat")) != 1 or len(shuffles) != 1 or len(convs) < 7 or not graph.of("Sigmoid"):
        return None
    num_feat, num_in_ch = weights[convs[0].name].weight.shape[:2]
    config = {
        "num_in_ch": num_in_ch, "num_feat": num_feat, "num_block": (len(convs) - 4) // 3,
        "upscale": _factor(shuffles[0]),
    }  # fmt: skip
    constants = graph.of("MemoryData")
    if not constants:
        return Candidate(arch="span", config=config | {"img_range": None}, stated={"norm": False})
    factors = [layer.real(2) for layer in graph.of("BinaryOp") if layer.whole(0) == 2 and layer.whole(1)]
    normalisation = {
        # As they were before they became float32: 0.4488.
        "rgb_mean": tuple(round(float(value), 7) for value in weights[constants[0].name].weight.flat),
        "img_range": factors[0] if factors else 1.0,
    }
    return Candidate(arch="span", config=config | normalisation, stated=normalisation)


def _realcugan(graph: Graph, _: Mapping[str, Weights]) -> Candidate | None:
    """Two U-nets; padding, and for x4 the picture that is added, are the tools' part."""
    rising = graph.of("Deconvolution")
    if len(rising) != 4:
        return None
    scale = 4 if graph.of("PixelShuffle") else 3 if any(layer.whole(1) == 5 for layer in rising) else 2
    padding = realcugan.PADDING[scale]

    def before(lr: Tensor) -> Tensor:
        return F.pad(lr, (padding,) * 4, mode="reflect")

    def after(sr: Tensor, lr: Tensor) -> Tensor:
        return sr + F.interpolate(lr, scale_factor=4, mode="nearest") if scale == 4 else sr

    config = {"scale": scale, "se": bool(graph.of("Pooling"))}
    # The tools give the graph 0 and 1 whichever it is; the published code does not.
    assumed = {"pro": 'black and white at 0 and 1 (not those of a "pro" model)'} if config["se"] and scale < 4 else {}
    return Candidate(
        arch="realcugan", config=config, assumed=assumed, least_side=4 * (padding // 4 + 1), before=before, after=after
    )


_CANDIDATES: Final[tuple[Callable[[Graph, Mapping[str, Weights]], Candidate | None], ...]] = (
    _rrdbnet, _realcugan, _span, _srvgg,
)  # fmt: skip
