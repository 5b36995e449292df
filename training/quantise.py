"""Quantises the bundled real-time checkpoints to int8 and writes them, with a log of what the model card quotes.

    pip install nncf==3.4.0
    python -m training.quantise --data FOLDER --eval FOLDER [--kind espcn-robust]

Nothing is trained: `--data` is only looked at, for the range of each layer's values. Between two layers the channels
are made alike first, which changes nothing of what the net computes and leaves int8 less to round: Xiao et al.,
"SmoothQuant", ICML 2023, https://arxiv.org/abs/2211.10438, equation 4; how far is tried on training pictures. Then each
layer's weights are fitted anew, by least squares, to what it gives in fp32, from the rounded values that it now gets;
and rounded one input after the other, each error being made up for by the weights that are still free: Frantar et al.,
"GPTQ", ICLR 2023, https://arxiv.org/abs/2210.17323. The picture goes in with the steps of studio luma, so that no code
of a clip is rounded.
Weights have all 8 bits, and neighbouring channels are such that processors without VNNI do not overflow
(`neighbours.py`).

    python -m training.quantise --eval FOLDER --again

does that to files that are there, and measures them anew.
NNCF: https://github.com/openvinotoolkit/nncf
"""

import argparse
import hashlib
import itertools
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from training.damage import damaged
from training.espcn import REPOSITORY, WILD, Kind, _folders, _in_the_wild, measure, read_references
from training.neighbours import array, fill, without_overflow
from training.patches import MakeLR, clean, read_lumas
from upscale_cli.evaluation.metrics import Plane, crop_to_multiple
from upscale_cli.inference.backends.base import Session
from upscale_cli.inference.backends.openvino import OpenVino
from upscale_cli.inference.device import CPU
from upscale_cli.models.interface import LoadedNet, OnnxNet, natural_order
from upscale_cli.models.loading import load_net
from upscale_cli.models.onnx_graph import INPUT, onnx_model

NARROWED: Final = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
"""Of the widest range of a layer's values."""

SIDE: Final = 96
"""LR pixels of what is looked at of a picture, at most."""

EXPONENTS: Final = (0.3, 0.5)
"""How much of the difference between channels the weights take over: 0 none, 1 all of it."""

LOOKED_AT: Final = 200
TRIED_ON: Final = 64
"""Training pictures whose values are looked at, and by which exponent and ranges are chosen."""

KINDS: Final = (*get_args(Kind), "swift", "swift-robust", "sharp", "sharp-robust")

STUDIO_BLACK, STUDIO_SPAN = 16, 219
"""Codes of studio luma are (code - black) / span: all of them are steps of the input."""

FITTED_ON: Final = 30_000
"""Windows of a layer's input that its weights are fitted to."""

RIDGE: Final = 1e-3
DAMPING: Final = 1e-2
"""What is added to the diagonal of the inputs' covariance, as a share of its mean: for the fit, which stays near the
weights that were, and for the rounding."""

MEASURED: Final[tuple[str, ...]] = ("JPEG 75",)
"""What is done to LR, of `WILD`, beside nothing."""


def calibration(lumas: Sequence[Plane], scale: int, make_lr: MakeLR) -> list[NDArray[np.float32]]:
    """(1, 1, H, W) in [0, 1] of each picture, and a slope from black to white, so that no level is beyond them."""
    found = [np.linspace(0, 1, SIDE * SIDE, dtype=np.float32).reshape(1, 1, SIDE, SIDE)]
    for hr in lumas:
        lr = make_lr(crop_to_multiple(hr[: SIDE * scale, : SIDE * scale], scale), scale)
        found.append(np.ascontiguousarray(lr[None, None] / 255, np.float32))
    return found


def layers(weights: Mapping[str, Tensor]) -> list[str]:
    """Names of a chain's convolutions, in order."""
    return natural_order({key.rpartition(".")[0] for key in weights})


def smoothed(net: LoadedNet, data: Sequence[NDArray[np.float32]], exponent: float) -> LoadedNet:
    """The same net of ReLUs, whose channels between two layers are more alike."""
    weights = {key: tensor.clone() for key, tensor in net.state_dict.items()}
    names = layers(weights)
    for at, (first, second) in enumerate(itertools.pairwise(names)):
        most = torch.stack([_after(weights, names[: at + 1], torch.from_numpy(lr)).amax((0, 2, 3)) for lr in data])
        values = most.amax(0).clamp(min=1e-3)
        factors = values**exponent / weights[f"{second}.weight"].abs().amax((0, 2, 3)).clamp(min=1e-4) ** (1 - exponent)
        weights[f"{first}.weight"] /= factors[:, None, None, None]
        weights[f"{first}.bias"] /= factors
        weights[f"{second}.weight"] *= factors[None, :, None, None]
    return replace(net, state_dict=weights)


def _after(weights: Mapping[str, Tensor], names: Sequence[str], x: Tensor) -> Tensor:
    for name in names:
        weight = weights[f"{name}.weight"]
        x = F.relu(F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2))
    return x


def quantised(net: LoadedNet, data: Sequence[NDArray[np.float32]]) -> bytes:
    """ONNX whose convolutions take and multiply 8-bit integers; input and output are float32 as ever."""
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    nncf.set_log_level("ERROR")
    model = nncf.quantize(
        onnx_model(net),
        nncf.Dataset(data, lambda lr: {INPUT: lr}),
        subset_size=len(data),
        preset=nncf.QuantizationPreset.MIXED,
        ignored_scope=nncf.IgnoredScope(types=["Add", "Resize"], validate=False),  # a residual goes around the 8 bits
        advanced_parameters=AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.DISABLE,
            disable_bias_correction=True,  # it made espcn x2 worse
            activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        ),
    )
    _fold(model)
    del model.metadata_props[:]
    model.graph.name, model.producer_name, model.doc_string = net.descriptor.name, "upscale-cli", ""
    return bytes(model.SerializeToString(deterministic=True))


def _fold(model: onnx.ModelProto) -> None:
    """Weights are kept as the integers that they become."""
    graph = model.graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] in arrays]:
        weight, step, zero = (arrays[name] for name in node.input)
        shape = [-1] + [1] * (weight.ndim - 1) if step.ndim else []
        step, zero = (np.reshape(value, shape) for value in (step, zero))
        limits = np.iinfo(zero.dtype)
        whole = np.clip(np.rint(weight / step) + zero, limits.min, limits.max).astype(zero.dtype)
        graph.initializer.append(numpy_helper.from_array(whole, node.output[0]))
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(kept)


def by_session(session: Session) -> Callable[[Plane], Plane]:
    """A net at work, which wants full-range luma in [0, 1], as a function from studio luma to studio luma."""

    def upscale(lr: Plane) -> Plane:
        full = torch.from_numpy((lr - 16) / 219).float()[None, None]
        sr: Plane = session.run(full, {})[0, 0].double().numpy() * 219 + 16
        return sr

    return upscale


def _session(net: LoadedNet, model: bytes) -> Session:
    """Of a file that is not in the registry yet."""
    return OpenVino().load(replace(net, graph=OnnxNet(model, "", 0)), CPU, "int8")


def in_int8(net: LoadedNet, model: bytes) -> Callable[[Plane], Plane]:
    return by_session(_session(net, model))


def reached_by(net: LoadedNet, model: bytes, batch: Tensor, hr: Tensor) -> float:
    """PSNR against HR over a batch; see `tuned`."""
    sr = _session(net, model).run(batch, {})
    error = (sr.clamp(0, 1) - hr)[..., 8:-8, 8:-8].square().mean()
    return float(-10 * torch.log10(error))


def tuned(net: LoadedNet, model: bytes, batch: Tensor, hr: Tensor) -> tuple[float, bytes]:
    """The ranges of the two inner layers' values, narrowed where what is cut off costs less than coarse steps do.

    Args:
        batch: (N, 1, H, W) LR in [0, 1].
        hr: (N, 1, scale * H, scale * W).

    Returns:
        PSNR against HR over all of them, and the model.
    """
    graph = onnx.load_from_string(model)
    inner = {node.output[0] for node in graph.graph.node if node.op_type == "Relu"}
    names = [node.input[1] for node in graph.graph.node if node.op_type == "QuantizeLinear" and node.input[0] in inner]
    steps = {tensor.name: tensor for tensor in graph.graph.initializer if tensor.name in names}
    widest = {name: numpy_helper.to_array(tensor) for name, tensor in steps.items()}

    def narrow(name: str, share: float) -> None:
        steps[name].CopyFrom(numpy_helper.from_array((widest[name] * share).astype(np.float32), name))

    def reached() -> float:
        return reached_by(net, graph.SerializeToString(), batch, hr)

    best, shares = reached(), dict.fromkeys(names, 1.0)
    for name, share in itertools.product(names * 2, NARROWED):
        narrow(name, share)
        now = reached()
        if now > best:
            best, shares[name] = now, share
        narrow(name, shares[name])
    return best, bytes(graph.SerializeToString(deterministic=True))


@dataclass(frozen=True, slots=True)
class _Convolution:
    """The tensors of a graph that one convolution in 8 bits is made of."""

    step: onnx.TensorProto
    zero: onnx.TensorProto
    weight: onnx.TensorProto
    weight_step: onnx.TensorProto
    bias: onnx.TensorProto

    def rounded(self, x: Tensor) -> Tensor:
        """Values as the convolution gets them."""
        step, zero = float(array(self.step).item()), int(array(self.zero).item())
        limits = np.iinfo(array(self.zero).dtype)
        return ((x / step).round() + zero).clamp(limits.min, limits.max).sub(zero) * step


def _convolutions(model: onnx.ModelProto) -> list[_Convolution]:
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {node.output[0]: node for node in model.graph.node}
    found = []
    for node in model.graph.node:
        if node.op_type == "Conv":
            x, weight = made_by[node.input[0]].input, made_by[node.input[1]].input
            names = (x[1], x[2], weight[0], weight[1], node.input[2])
            found.append(_Convolution(*(tensors[name] for name in names)))
    return found


def refitted(net: LoadedNet, model: bytes, batch: Tensor) -> bytes:
    """The same graph with weights that make up for what rounding does before and in them.

    Args:
        net: of ReLUs, in fp32, what the graph was made of.
        batch: (N, 1, H, W) LR in [0, 1].
    """
    graph = onnx.load_from_string(model)
    parts = _convolutions(graph)
    fill(parts[0].step, np.full((), 1 / STUDIO_SPAN))
    fill(parts[0].zero, np.full((), STUDIO_BLACK))
    chance = torch.Generator().manual_seed(0)
    exact = now = (batch * STUDIO_SPAN).round() / STUDIO_SPAN
    for name, part in zip(layers(net.state_dict), parts, strict=True):
        weight, bias = net.state_dict[f"{name}.weight"], net.state_dict[f"{name}.bias"]
        side = weight.shape[-1]
        now = part.rounded(now)
        x, wanted = _windows(now, side), _windows(exact, side)
        some = torch.randperm(len(x), generator=chance)[:FITTED_ON]
        x, flat = x[some].double(), weight.flatten(1).double()
        wanted = wanted[some].double() @ flat.T + bias
        centred = x - x.mean(0)
        covariance = centred.T @ centred / len(x)
        even = covariance.diagonal().mean() * torch.eye(len(covariance), dtype=torch.float64)
        both = centred.T @ (wanted - wanted.mean(0)) / len(x)
        fitted = torch.linalg.solve(covariance + RIDGE * even, both + RIDGE * covariance.diagonal().mean() * flat.T).T
        step = fitted.abs().amax(1, keepdim=True) / 127
        whole = _rounded_in_turn(fitted / step, covariance + DAMPING * even)
        fitted = whole * step
        offset = wanted.mean(0) - fitted @ x.mean(0)
        fill(part.weight, whole)
        fill(part.weight_step, step)
        fill(part.bias, offset)
        fitted = fitted.reshape(weight.shape).float()
        now = F.relu(F.conv2d(now, fitted, offset.float(), padding=side // 2))
        exact = F.relu(F.conv2d(exact, weight, bias, padding=side // 2))
    return bytes(graph.SerializeToString(deterministic=True))


def _windows(x: Tensor, side: int) -> Tensor:
    """(N, C, H, W) to (n, C * side * side), the windows that lie within."""
    return F.unfold(x, side).transpose(1, 2).reshape(-1, x.shape[1] * side**2)


def _rounded_in_turn(weights: Tensor, covariance: Tensor) -> Tensor:
    """(outputs, inputs) in steps to whole numbers from -127 to 127: GPTQ, from the input that varies most."""
    order = torch.argsort(covariance.diagonal(), descending=True)
    inverse = torch.linalg.cholesky(torch.linalg.inv(covariance[order][:, order]), upper=True)
    left, whole = weights[:, order].clone(), torch.zeros_like(weights)
    for at, place in enumerate(order.tolist()):
        whole[:, place] = left[:, at].round().clamp(-127, 127)
        error = (left[:, at] - whole[:, place]) / inverse[at, at]
        left[:, at:] -= error[:, None] * inverse[at, at:]
    return whole


def pairs_for_tuning(lumas: Sequence[Plane], scale: int, make_lr: MakeLR) -> tuple[Tensor, Tensor]:
    """LR and HR of the pictures that are large enough, in [0, 1]."""
    side = SIDE // 2
    large = [hr for hr in lumas if min(hr.shape) >= side * scale][:TRIED_ON]
    crops = [np.rint(hr[: side * scale, : side * scale]) for hr in large]
    lr = np.stack([make_lr(hr, scale) for hr in crops])[:, None]
    return (torch.from_numpy(lr / 255).float(), torch.from_numpy(np.stack(crops)[:, None] / 255).float())


def make_file(kind: str, scale: int, arguments: argparse.Namespace) -> None:
    """Quantises one checkpoint, and measures what is lost."""
    source = arguments.weights / f"{kind}-x{scale}.safetensors"
    net = load_net(source)
    lumas = list(read_lumas(arguments.data))
    lumas = lumas[:: max(1, len(lumas) // LOOKED_AT)]
    make_lr = _in_the_wild(seed=1) if kind.endswith("-robust") else clean
    data = calibration(lumas, scale, make_lr)
    batch, hr = pairs_for_tuning(lumas, scale, make_lr)
    tried = []
    for exponent in EXPONENTS:
        smooth = smoothed(net, data, exponent)
        _, model = tuned(net, quantised(smooth, data), batch, hr)
        model = without_overflow(refitted(smooth, model, batch))
        reached = reached_by(net, model, batch, hr)
        print(f"{kind} x{scale}: exponent {exponent}, {reached:.3f} dB on training pictures", flush=True)
        tried.append((reached, exponent, model))
    _, chosen, model = max(tried)
    path = _onnx_file(kind, scale, arguments)
    path.write_bytes(model)
    full, whole = by_session(OpenVino().load(net, CPU, "fp32")), in_int8(net, model)
    log: dict[str, Any] = {
        "kind": kind, "file": path.name, "bytes": len(model), "sha256": hashlib.sha256(model).hexdigest(),
        "scale": scale, "of": hashlib.sha256(source.read_bytes()).hexdigest(),
        "recipe": {"exponent": chosen, "seed": 1, "side": SIDE, "tried_on": len(batch), "refitted": True},
        "data": {"sets": sorted(each.name for each in _folders(arguments.data)), "pictures": len(lumas)},
        "versions": {"python": platform.python_version(), **{name: version(name) for name in (
            "nncf", "openvino", "onnxruntime", "onnx", "numpy")}},
        "scores": scores_of({"fp32": full, "int8": whole}, scale, arguments.eval),
    }  # fmt: skip
    _write(log, _log_file(kind, scale, arguments))


def scores_of(nets: Mapping[str, Callable[[Plane], Plane]], scale: int, sets: Path) -> dict[str, dict[str, Any]]:
    """What nets reach on held-out pictures, by the names that they are given with."""
    wild: dict[str, MakeLR] = {"": clean, **{f", {name}": partial(damaged, damage=WILD[name]) for name in MEASURED}}
    scores = {}
    for folder in _folders(sets):
        planes = read_references(folder, scale)
        for condition, make in wild.items():
            found = {name: asdict(measure(up, planes, scale, make)) for name, up in nets.items()}
            scores[f"{folder.name}{condition}"] = found
            print(f"{folder.name}{condition}", found, flush=True)
    return scores


def make_again(kind: str, scale: int, arguments: argparse.Namespace) -> None:
    """Does to a file that is there what was not done yet when it was made, and measures it; fp32 stays as it was."""
    path = _onnx_file(kind, scale, arguments)
    model = without_overflow(path.read_bytes())
    path.write_bytes(model)
    log = json.loads(_log_file(kind, scale, arguments).read_text(encoding="utf-8"))
    net = load_net(arguments.weights / f"{kind}-x{scale}.safetensors")
    for name, found in scores_of({"int8": in_int8(net, model)}, scale, arguments.eval).items():
        log["scores"][name] |= found
    log |= {"bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    _write(log, _log_file(kind, scale, arguments))


def _onnx_file(kind: str, scale: int, arguments: argparse.Namespace) -> Path:
    return Path(arguments.out / f"{kind}-x{scale}-int8.onnx")


def _log_file(kind: str, scale: int, arguments: argparse.Namespace) -> Path:
    return Path(arguments.logs / f"int8-{kind}-x{scale}.json")


def _write(log: dict[str, Any], path: Path) -> None:
    path.write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of training sets, one folder each")
    parser.add_argument("--eval", type=Path, help="folder of held-out sets (B100, Set5, ...), one folder each")
    parser.add_argument("--scale", type=int, nargs="+", default=[2, 3, 4], help="one file each")
    parser.add_argument("--kind", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--weights", type=Path, default=REPOSITORY / "weights", help="folder of the checkpoints")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "weights", help="folder of what is written")
    parser.add_argument("--logs", type=Path, default=REPOSITORY / "training/logs", help="folder of the JSON logs")
    parser.add_argument("--again", action="store_true", help="see above: only what files that are there still lack")
    arguments = parser.parse_args(argv)
    if arguments.data is None and not arguments.again:
        parser.error("--data is missing. Give the folder of training sets, or --again for files that are there")
    for kind, scale in itertools.product(arguments.kind, arguments.scale):
        if (arguments.weights / f"{kind}-x{scale}.safetensors").exists():
            (make_again if arguments.again else make_file)(kind, scale, arguments)


if __name__ == "__main__":
    main()
