"""The weights of an ncnn graph: NAME.bin, one after the other in the order of the layers, nothing between them.

What a layer multiplies by comes with four bytes that say how it is stored (below), and is padded to four bytes; biases,
slopes and constants are float32 without them. ncnn's own reader: https://github.com/Tencent/ncnn, src/modelbin.cpp
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from upscale_cli.models.ncnn.param import Graph, Layer, NcnnError

FP32: Final = (0, 0x0002C056)
FP16: Final = 0x01306B47
INT8: Final = 0x000D4B38
"""How weights are stored; anything else is a table of 256 values and a byte for each weight."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    """What a layer holds.

    Attributes:
        weight: of convolutions (out, in, height, width), transposed ones too; of PReLU (channels,); of MemoryData
            (channels, height, width).
        bias: (out,); None where there is none.
    """

    weight: Array
    bias: Array | None = None


def read_blobs(graph: Graph, data: bytes) -> dict[str, Weights]:
    """The weights by the name of their layer.

    Raises:
        NcnnError: too short, too long, quantised, or with weights that are NaN or infinite. What a graph claims is
            held against the bytes that are there before memory is taken for it.
    """
    reader = _Reader(data)
    weights: dict[str, Weights] = {}
    for layer in graph.layers:
        held = _read(layer, reader)
        if held is None:
            continue
        if layer.name in weights:
            raise NcnnError(f"is damaged: there are two layers of the name {layer.name[:60]!r}")
        weights[layer.name] = held
    if reader.place != len(data):
        raise NcnnError(
            f"does not fit its weights: the .bin has {len(data):,} bytes, and the graph takes {reader.place:,}. "
            "Get both files again, from one place"
        )
    return weights


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self.place = data, 0

    def tagged(self, count: int, layer: Layer) -> Array:
        """Weights behind the four bytes that say how they are stored."""
        kind = int.from_bytes(self._take(4, layer), "little")
        if kind in FP32:
            return self.plain(count, layer)
        if kind == INT8:
            raise NcnnError(
                f"is quantised to 8 bits ({layer.about}), which is not understood. Use the fp16 or fp32 file"
            )
        if kind != FP16:
            raise NcnnError(
                f"has weights of an unknown kind (0x{kind:08X}, {layer.about}): quantised, or not of this graph. Use "
                "the fp16 or fp32 file, and its own .param"
            )
        values = np.frombuffer(self._take(2 * count, layer), "<f2").astype(np.float32)
        self._take(-2 * count % 4, layer)
        return _finite(values, layer)

    def plain(self, count: int, layer: Layer) -> Array:
        """float32."""
        return _finite(np.frombuffer(self._take(4 * count, layer), "<f4").astype(np.float32), layer)

    def _take(self, count: int, layer: Layer) -> bytes:
        rest = len(self._data) - self.place
        if count > rest:
            raise NcnnError(
                f"lacks weights: {layer.about} takes {count:,} bytes, and the .bin has {rest:,} left. Get both files "
                "again, from one place"
            )
        self.place += count
        return self._data[self.place - count : self.place]


def _finite(values: Array, layer: Layer) -> Array:
    if not np.isfinite(values).all():
        raise NcnnError(f"holds weights that are NaN or infinite ({layer.about}): pictures would come out black")
    return values


def _read(layer: Layer, reader: _Reader) -> Weights | None:
    match layer.kind:
        case "Convolution" | "Deconvolution":
            return _convolution(layer, reader)
        case "InnerProduct":
            out, size = _counted(layer, 0), _counted(layer, 2)
            weight = reader.tagged(size, layer).reshape(_shape(layer, size, out, 1, 1))
            return Weights(weight, reader.plain(out, layer) if layer.whole(1) else None)
        case "PReLU":
            return Weights(reader.plain(_counted(layer, 0), layer))
        case "MemoryData":
            width, height, channels = (layer.whole(number) for number in (0, 1, 2))
            shape = (channels, height, width) if channels else (width, 1, 1)
            if min(shape) < 1 or (height and not channels):
                raise NcnnError(f"has constants of a shape that is not understood ({layer.about})")
            return Weights(reader.plain(math.prod(shape), layer).reshape(shape))
        case _:
            return None


def _convolution(layer: Layer, reader: _Reader) -> Weights:
    if layer.whole(8):
        raise NcnnError(f"is quantised to 8 bits ({layer.about}), which is not understood. Use the fp16 or fp32 file")
    out, width, size = _counted(layer, 0), _counted(layer, 1), _counted(layer, 6)
    height = layer.whole(11, width)
    weight = reader.tagged(size, layer).reshape(_shape(layer, size, out, height, width))
    return Weights(weight, reader.plain(out, layer) if layer.whole(5) else None)


def _counted(layer: Layer, number: int) -> int:
    """A parameter that counts something: at least 1."""
    value = layer.whole(number)
    if value < 1:
        raise NcnnError(f"is damaged: {layer.about} has the parameter {number}={value}, which cannot be")
    return value


def _shape(layer: Layer, size: int, out: int, height: int, width: int) -> tuple[int, int, int, int]:
    """(out, in, height, width) of so many weights."""
    channels, rest = divmod(size, max(out * height * width, 1))
    if channels < 1 or rest or height < 1:
        raise NcnnError(f"is damaged: {layer.about} has {size:,} weights, which its shape does not divide")
    return out, channels, height, width
