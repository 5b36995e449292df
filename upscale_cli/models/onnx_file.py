"""An ONNX file of other people's, safely into memory, and made into what engines here run. Runs nothing.

    file  ->  checked  ->  which input and output are pictures, their types and layouts  ->  a graph from `lr` to `sr`

An ONNX graph is data, but not harmless: it can name other files, operators that load libraries, and loops without end.
What is not needed for a picture is refused before any engine sees it.

ONNX: https://onnx.ai/onnx/intro/concepts.html; external data: https://onnx.ai/onnx/repo-docs/ExternalData.html
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Final, Literal

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from upscale_cli.errors import CheckpointError, printable
from upscale_cli.models.interface import InputSpec
from upscale_cli.models.loading import why_unreadable
from upscale_cli.models.onnx_facts import ABOUT_INPUT

LARGEST_BYTES: Final = 2**31 - 1
"""Of a file, and of all that lies next to it: a protobuf message holds no more."""

MOST_NODES: Final = 100_000
DEEPEST: Final = 8
"""Graphs within graphs."""

OLDEST_OPSET: Final = 7
"""Of ONNX's own operators; before it they did not fit shapes to each other."""

FORBIDDEN: Final = frozenset({"Loop", "Scan", "SequenceMap", "Optional", "OptionalGetElement", "StringNormalizer"})
"""ONNX's own operators that no net of pictures needs, and that may run for ever or are about something else."""

MICROSOFT: Final = frozenset({
    "BiasAdd", "BiasGelu", "BiasSplitGelu", "ConvTransposeWithDynamicPads", "DequantizeLinear", "FastGelu", "FusedConv",
    "FusedGemm", "FusedMatMul", "Gelu", "GroupNorm", "LayerNormalization", "MatMulNBits", "NhwcConv", "NhwcFusedConv",
    "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearConv", "QLinearGlobalAveragePool", "QLinearLeakyRelu",
    "QLinearMul", "QLinearSigmoid", "QuantizeLinear", "QuickGelu", "SkipLayerNormalization",
})  # fmt: skip
"""Of ONNX Runtime's operators those that compute something; others (EPContext) open files of their own."""

WHOLE_FILE: Final = "Get a file with its weights in it, or a copy of them next to it"
_NO_TEXT: Final = "is damaged: it has names that are no text. Get the file again"

OTHER_FILE: Final = "Choose a net that makes pictures of pictures"

Layout = Literal["nchw", "nhwc"]

PICTURE_TYPES: Final = {TensorProto.FLOAT: "fp32", TensorProto.FLOAT16: "fp16", TensorProto.UINT8: "uint8"}


@dataclass(frozen=True, slots=True)
class Port:
    """Where a picture goes into a graph, or comes out of it.

    Attributes:
        name: of the tensor.
        type: "fp32", "fp16" or "uint8".
        channels: 1 or 3.
        height, width: that it must have; None where any will do.
        one_at_a_time: the batch is declared to be one picture.
    """

    name: str
    type: str
    layout: Layout
    channels: int
    height: int | None
    width: int | None
    one_at_a_time: bool


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """What a file holds.

    Attributes:
        model: with its weights in it, wherever they came from.
        sha256: of the file and of the files of its weights.
        conditions: what it takes beside the picture, as our export writes it down.
        stated: its metadata, as text.
        parameters: how many numbers its weights are.
    """

    path: Path
    model: ModelProto
    sha256: str
    picture: Port
    result: Port
    conditions: tuple[InputSpec, ...]
    stated: Mapping[str, str]
    parameters: int


class _RefusedError(Exception):
    """What is wrong with a file; the caller adds its name."""


def read_onnx(path: Path) -> OnnxFile:
    """The net in an ONNX file.

    Raises:
        CheckpointError: missing, no ONNX, damaged, unsafe, or no net from a picture to a picture.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise CheckpointError(f"{path}: has more than 2.1 GB, which no ONNX file has. Get the file again")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {why_unreadable(path, error)}") from error
    digest = hashlib.sha256(data)
    try:
        model = _parsed(data)
        _check_names(model.graph)
        stated = {prop.key: prop.value for prop in model.metadata_props}
        _check_operators(model)
        for part in _fill_in(model, path.parent):
            digest.update(part)
        parameters = _check_weights(model)
        values, conditions = _inputs(model.graph, stated)
        picture, result = _ports(model.graph, values)
    except _RefusedError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:  # when a text is first looked at
        raise CheckpointError(f"{path}: {_NO_TEXT}") from error
    return OnnxFile(path, model, digest.hexdigest(), picture, result, conditions, stated, parameters)


def _parsed(data: bytes) -> ModelProto:
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # bytes of unknown origin: protobuf's own kinds of errors
        raise _RefusedError("is no ONNX file, or is cut off or damaged. Get the file again") from error
    if not model.graph.node or not model.opset_import:
        raise _RefusedError("is no ONNX file, or holds no net. Get the file again")
    return model


# Operators


def _check_operators(model: ModelProto) -> None:
    if model.functions:
        raise _RefusedError("has functions of its own. Write them out first (onnx.inliner.inline_local_functions)")
    versions = {one.domain: one.version for one in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if opset < OLDEST_OPSET:
        raise _RefusedError(
            f"is of operator set {opset}, and only {OLDEST_OPSET} or later is understood. Convert it "
            "(onnx.version_converter)"
        )
    for count, node in enumerate(_nodes(model.graph), start=1):
        if count > MOST_NODES:
            raise _RefusedError(f"has more than {MOST_NODES:,} operators: refused")
        domain = "" if node.domain == "ai.onnx" else node.domain
        known = node.op_type not in FORBIDDEN if not domain else domain == "com.microsoft" and node.op_type in MICROSOFT
        if not known:
            name = printable(f"{domain}.{node.op_type}" if domain else node.op_type)[:80]
            raise _RefusedError(
                f"uses the operator {name}, which may do more than compute a picture: refused, nothing of it was run. "
                "Ask its maker for a file of ONNX's plain operators"
            )


def _nodes(graph: GraphProto, depth: int = 0) -> Iterator[NodeProto]:
    """All of them, those of inner graphs too."""
    if depth > DEEPEST:
        raise _RefusedError(f"has graphs within graphs, more than {DEEPEST} deep: refused")
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in _inner(attribute):
                yield from _nodes(inner, depth + 1)


def _check_names(graph: GraphProto) -> None:
    """Refuses names that are no text: protobuf gives such as bytes, or fails, and only when they are looked at."""
    for node in _nodes(graph):
        names = [node.name, node.op_type, *node.input, *node.output]
        for attribute in node.attribute:
            names.append(attribute.name)
            for inner in _inner(attribute):
                names += [value.name for value in (*inner.input, *inner.output, *inner.initializer)]
        if not all(isinstance(name, str) for name in names):
            raise _RefusedError(_NO_TEXT)
    if not all(isinstance(value.name, str) for value in (*graph.input, *graph.output, *graph.initializer)):
        raise _RefusedError(_NO_TEXT)


def _inner(attribute: AttributeProto) -> list[GraphProto]:
    """The graphs in an attribute, whatever type it claims to have."""
    return [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


# Weights


def _tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Every tensor that a graph holds, wherever."""
    graphs = [graph]
    for node in _nodes(graph):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
                raise _RefusedError("has sparse weights, which are not supported")
            yield from attribute.tensors
            graphs += _inner(attribute)
    for one in graphs:
        if one.sparse_initializer:
            raise _RefusedError("has sparse weights, which are not supported")
        yield from one.initializer


def _fill_in(model: ModelProto, folder: Path) -> Iterator[bytes]:
    """Takes over weights that lie in other files of the same folder; gives what was taken."""
    total = 0
    for tensor in _tensors(model.graph):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        stated = {entry.key: entry.value for entry in tensor.external_data}
        needed = _bytes_of(tensor)
        total += needed
        if total > LARGEST_BYTES:
            raise _RefusedError("claims more than 2.1 GB of weights in other files: refused")
        data = _part_of(_beside(folder, stated.get("location", "")), stated, needed)
        del tensor.external_data[:]
        tensor.data_location = TensorProto.DEFAULT
        tensor.raw_data = data
        yield data


def _bytes_of(tensor: TensorProto) -> int:
    try:
        item = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    except (KeyError, TypeError, ValueError) as error:
        raise _RefusedError("has weights of an unknown type. Get the file again") from error
    count = 1
    for length in tensor.dims:
        if length < 0 or count * length > LARGEST_BYTES:
            raise _RefusedError("claims weights of an impossible size. Get the file again")
        count *= int(length)
    return count * int(item)


def _beside(folder: Path, location: str) -> Path:
    """A file that a net names, if it lies where it may."""
    shown = printable(location)[:80]
    plain = PurePosixPath(location), PureWindowsPath(location)
    if not location or "\0" in location or any(one.is_absolute() or one.drive or ".." in one.parts for one in plain):
        raise _RefusedError(
            f"wants weights from {shown or 'a file without a name'}, outside of its folder: refused. {WHOLE_FILE}"
        )
    path = folder / location
    try:
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
        if inside and stat.S_ISREG(path.stat().st_mode):
            return path
    except (OSError, ValueError):
        raise _RefusedError(f"lacks {shown}, which holds its weights. Put it next to it") from None
    raise _RefusedError(f"wants weights from {shown}, outside of its folder, or no plain file: refused. {WHOLE_FILE}")


def _part_of(path: Path, stated: Mapping[str, str], needed: int) -> bytes:
    try:
        offset, length = int(stated.get("offset", 0)), int(stated.get("length", needed))
        if offset < 0 or length != needed:
            raise ValueError
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(needed)
    except (ValueError, OverflowError, OSError):
        data = b""
    if len(data) != needed:
        raise _RefusedError(f"does not fit {printable(path.name)}, which holds its weights. Get both files again")
    return data


def _check_weights(model: ModelProto) -> int:
    """How many numbers the weights are; refuses those that no net could run with."""
    count = 0
    for tensor in _tensors(model.graph):
        needed = _bytes_of(tensor)
        try:
            values = numpy_helper.to_array(tensor)
        except Exception as error:  # what is claimed and what is there do not fit: any kind
            raise _RefusedError("holds weights that are cut off or damaged. Get the file again") from error
        if values.nbytes > needed or list(values.shape) != list(tensor.dims):
            raise _RefusedError("holds weights that are damaged. Get the file again")
        if values.dtype.kind == "f" and values.size > 1:
            if np.isnan(values).any():
                raise _RefusedError(f"holds weights that are NaN ({printable(tensor.name)[:80]}). Get the file again")
            count += int(values.size)
    return count


# Pictures


def _inputs(graph: GraphProto, stated: Mapping[str, str]) -> tuple[onnx.ValueInfoProto, tuple[InputSpec, ...]]:
    """(the picture's, the others', as far as the metadata say what they are)."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    others = [value for value in inputs if f"{ABOUT_INPUT}{value.name}" in stated]
    pictures = [value for value in inputs if value not in others]
    if len(pictures) != 1:
        named = ", ".join(printable(value.name)[:40] for value in inputs[:4]) or "none"
        raise _RefusedError(
            f"takes {len(inputs)} inputs ({named}), where a net of pictures alone takes one. {OTHER_FILE}"
        )
    return pictures[0], tuple(_condition(value, stated[f"{ABOUT_INPUT}{value.name}"]) for value in others)


def _condition(value: onnx.ValueInfoProto, about: str) -> InputSpec:
    dims = value.type.tensor_type.shape.dim
    if value.type.tensor_type.elem_type != TensorProto.FLOAT or not dims:
        raise _RefusedError(f"takes {printable(value.name)[:40]}, which is no batch of float32")
    shape = tuple(dim.dim_value or None for dim in dims[1:])
    tiled = len(dims) == 4 and [dim.dim_param for dim in dims[2:]] == ["height", "width"]
    try:
        return InputSpec(name=value.name, shape=shape, tiled=tiled, about=printable(about)[:200])
    except ValueError as error:
        raise _RefusedError(f"takes an input of an impossible name ({printable(value.name)[:40]})") from error


def _ports(graph: GraphProto, given: onnx.ValueInfoProto) -> tuple[Port, Port]:
    picture = _port(given, None, _first_channels(graph, given.name))
    outputs = [value for value in graph.output if value.type.tensor_type.elem_type in PICTURE_TYPES]
    outputs = [value for value in outputs if len(value.type.tensor_type.shape.dim) in (0, 4)]
    if not outputs:
        raise _RefusedError(f"gives no picture: none of its outputs is one of four axes. {OTHER_FILE}")
    channels = 1 if picture.layout == "nchw" else 3
    alike = [value for value in outputs if _length(value, channels) in (None, picture.channels)]
    outputs = alike or outputs
    named_so = [value for value in outputs if value.name.lower() in ("sr", "output", "out", "hr")]
    result = _port((named_so or outputs)[0], picture.layout, picture.channels)
    if result.channels != picture.channels:
        raise _RefusedError(
            f"takes {picture.channels} channels and gives {result.channels}, which no picture has. {OTHER_FILE}"
        )
    return picture, result


def _length(value: onnx.ValueInfoProto, axis: int) -> int | None:
    """What is declared of an axis."""
    dims = value.type.tensor_type.shape.dim
    return (dims[axis].dim_value or None) if len(dims) == 4 else None


def _port(value: onnx.ValueInfoProto, usual: Layout | None, channels: int) -> Port:
    """What is declared of a picture; where it is silent, `usual` and `channels` stand in."""
    tensor = value.type.tensor_type
    if tensor.elem_type not in PICTURE_TYPES:
        raise _RefusedError(f"takes or gives something else than float32, float16 or uint8. {OTHER_FILE}")
    dims = [dim.dim_value if dim.dim_value > 0 else None for dim in tensor.shape.dim]
    if not dims and usual is not None:
        dims = [None] * 4
    if len(dims) != 4:
        raise _RefusedError(f"takes an input of {len(dims)} axes, where a batch of pictures has four. {OTHER_FILE}")
    layout: Layout = usual or "nchw"
    if dims[1] not in (1, 3) and dims[3] in (1, 3):
        layout = "nhwc"
    elif dims[1] in (1, 3) and (dims[3] not in (1, 3) or usual is None):
        layout = "nchw"
    batch, *rest = dims
    depth, height, width = rest if layout == "nchw" else (rest[2], rest[0], rest[1])
    depth = depth or channels
    if depth not in (1, 3):
        raise _RefusedError(f"takes or gives {depth} channels, where a picture has 1 (luma) or 3 (RGB). {OTHER_FILE}")
    if batch not in (None, 1):
        raise _RefusedError(f"takes batches of {batch} pictures only. Get a file for one, or for any number")
    return Port(value.name, PICTURE_TYPES[tensor.elem_type], layout, depth, height, width, batch == 1)


def _first_channels(graph: GraphProto, name: str) -> int:
    """Channels of the picture by the first convolution's weights; 3 where there is none."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and name in node.input and len(shapes.get(node.input[1], ())) == 4:
            return int(shapes[node.input[1]][1])
    return 3
