"""ONNX files as other people make them, of nets of ours: other layouts, types, ranges and sizes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from upscale_cli import Upscaler
from upscale_cli.models.interface import LoadedNet
from upscale_cli.models.onnx_graph import INPUT, OUTPUT, onnx_model
from upscale_cli.models.onnx_half import halve


def bundled(model: str, scale: int) -> LoadedNet:
    """A net that comes with the program, with its real weights."""
    return Upscaler(model, device="cpu", engine="torch")._model.net(scale)


def saved(model: ModelProto, folder: Path, name: str = "net.onnx") -> Path:
    path = folder / name
    path.write_bytes(model.SerializeToString())
    return path


def foreign(net: LoadedNet, *kinds: str) -> ModelProto:
    """A net's graph, made different by each of `KINDS` in turn."""
    model = onnx_model(net)
    for kind in kinds:
        KINDS[kind](model)
    return model


def _between(model: ModelProto, before: list[tuple[str, dict[str, Any], list[Any]]],
             after: list[tuple[str, dict[str, Any], list[Any]]]) -> None:  # fmt: skip
    """Puts operators, (name, attributes, constants), before and after the net, whose ends keep their names."""
    graph = model.graph
    level = sum(node.name.startswith("added") for node in graph.node)
    for node in graph.node:
        node.input[:] = [f"in_{level}" if name == INPUT else name for name in node.input]
        node.output[:] = [f"out_{level}" if name == OUTPUT else name for name in node.output]
    nodes = []
    for chain, first, last in ((before, INPUT, f"in_{level}"), (after, f"out_{level}", OUTPUT)):
        at = first
        for number, (op, attributes, constants) in enumerate([*chain, ("Identity", {}, [])]):
            is_end = number == len(chain)
            names = [f"{first}_{level}_{number}_{place}" for place in range(len(constants))]
            graph.initializer.extend(map(numpy_helper.from_array, constants, names))
            made = last if is_end else f"{first}_{level}_{number}"
            nodes.append(
                helper.make_node(op, [at, *names], [made], name=f"added_{first}_{level}_{number}", **attributes)
            )
            at = made
    half = len(before) + 1
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes[:half], *rest, *nodes[half:]])


def _declared(model: ModelProto, kind: int, order: tuple[int, ...]) -> None:
    for value in (model.graph.input[0], model.graph.output[0]):
        dims = value.type.tensor_type.shape.dim
        lengths = [dim.dim_value or dim.dim_param for dim in dims]
        value.CopyFrom(helper.make_tensor_value_info(value.name, kind, [lengths[at] for at in order]))


def _nhwc(model: ModelProto) -> None:
    _between(model, [("Transpose", {"perm": [0, 3, 1, 2]}, [])], [("Transpose", {"perm": [0, 2, 3, 1]}, [])])
    _declared(model, model.graph.input[0].type.tensor_type.elem_type, (0, 2, 3, 1))


def _levels(model: ModelProto) -> None:
    factors = np.float32(1 / 255), np.float32(255)
    _between(model, [("Mul", {}, [np.asarray(factors[0])])], [("Mul", {}, [np.asarray(factors[1])])])


def _signed(model: ModelProto) -> None:
    two, one = np.asarray(np.float32(2)), np.asarray(np.float32(1))
    _between(model, [], [("Mul", {}, [two]), ("Sub", {}, [one])])


def _uint8(model: ModelProto) -> None:
    _levels(model)
    white, black = np.asarray(np.float32(255)), np.asarray(np.float32(0))
    _between(
        model, [("Cast", {"to": TensorProto.FLOAT}, [])],
        [("Round", {}, []), ("Max", {}, [black]), ("Min", {}, [white]), ("Cast", {"to": TensorProto.UINT8}, [])],
    )  # fmt: skip
    _declared(model, TensorProto.UINT8, (0, 1, 2, 3))


def _fp16(model: ModelProto) -> None:
    halve(model)
    _between(model, [("Cast", {"to": TensorProto.FLOAT}, [])], [("Cast", {"to": TensorProto.FLOAT16}, [])])
    _declared(model, TensorProto.FLOAT16, (0, 1, 2, 3))


def _fixed(model: ModelProto) -> None:
    value = model.graph.input[0]
    channels = value.type.tensor_type.shape.dim[1].dim_value
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, [1, channels, 64, 96]))


def _more_outputs(model: ModelProto) -> None:
    first = model.graph.node[0].output[0]
    model.graph.output.insert(0, helper.make_tensor_value_info(first, TensorProto.FLOAT, ["n", "c", "h", "w"]))
    mean = helper.make_node("ReduceMean", [OUTPUT], ["mean"], keepdims=0)
    model.graph.node.append(mean)
    model.graph.output.append(helper.make_tensor_value_info("mean", TensorProto.FLOAT, []))


def _cropped(model: ModelProto) -> None:
    """As nets give that do not pad: 3 LR pixels less on each side, at scale 2."""
    bounds = [np.array(values, np.int64) for values in ([6, 6], [-6, -6], [2, 3])]
    _between(model, [], [("Slice", {}, bounds)])


KINDS: Final[dict[str, Callable[[ModelProto], None]]] = {
    "nhwc": _nhwc, "levels": _levels, "signed": _signed, "uint8": _uint8, "fp16": _fp16, "fixed": _fixed,
    "more outputs": _more_outputs, "cropped": _cropped,
}  # fmt: skip


def checked(model: ModelProto) -> ModelProto:
    """The same, where ONNX's own checker finds nothing."""
    onnx.checker.check_model(model)
    return model
