"""The graph of an ncnn file: NAME.param, text, a layer a line.

    7767517                          the magic number
    41 42                            layers, blobs (what flows between them)
    Convolution Conv_0 1 1 in out 0=64 1=3 -23310=1,0.2
    kind        name   |   |      parameters by number; -23300 less the number: an array, its length first
                       inputs, outputs

https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure; numbers of parameters:
https://github.com/Tencent/ncnn/wiki/operation-param-weight-table
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from upscale_cli.errors import printable

MAGIC: Final = "7767517"

MOST_BYTES: Final = 16 * 2**20
"""Of a .param; the largest nets here have 120 kB."""

MOST_LAYERS: Final = 100_000

ARRAY: Final = -23300
"""The parameter `id` as an array is written as `ARRAY - id`."""

_WHOLE: Final = re.compile(r"[+-]?\d{1,18}")
_AGAIN: Final = "Get the file again"

Value = int | float | tuple[int | float, ...]


class NcnnError(Exception):
    """What is wrong with a pair of files, without the file's name."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One line.

    Attributes:
        kind: "Convolution".
        inputs, outputs: blobs by name.
        params: by number.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    params: Mapping[int, Value]

    def whole(self, number: int, default: int = 0) -> int:
        """A parameter that is a whole number.

        Raises:
            NcnnError: it is none.
        """
        value = self.params.get(number, default)
        if isinstance(value, tuple) or value != int(value):
            raise NcnnError(
                f"{self.about} has the parameter {number}={value}, where a whole number is wanted. {_AGAIN}"
            )
        return int(value)

    def real(self, number: int, default: float = 0.0) -> float:
        """A parameter that is a number.

        Raises:
            NcnnError: it is an array.
        """
        value = self.params.get(number, default)
        if isinstance(value, tuple):
            raise NcnnError(f"{self.about} has an array as parameter {number}, where a number is wanted. {_AGAIN}")
        return float(value)

    def array(self, number: int) -> tuple[int | float, ...]:
        """A parameter that is an array; () where it is left out.

        Raises:
            NcnnError: it is a number.
        """
        value = self.params.get(number, ())
        if not isinstance(value, tuple):
            raise NcnnError(f"{self.about} has a number as parameter {number}, where an array is wanted. {_AGAIN}")
        return value

    @property
    def about(self) -> str:
        """For people: "the layer Conv_0 (Convolution)"."""
        return f"the layer {printable(self.name)[:60]} ({printable(self.kind)[:40]})"


@dataclass(frozen=True, slots=True)
class Graph:
    """Layers in the order they are computed in; each blob is made before it is used.

    Attributes:
        input, output: the blob that the picture goes in by, and the one that no layer takes.
    """

    layers: tuple[Layer, ...]
    input: str
    output: str

    def of(self, *kinds: str) -> list[Layer]:
        """The layers of these kinds."""
        return [layer for layer in self.layers if layer.kind in kinds]


def parse_param(data: bytes) -> Graph:
    """The graph in a .param file.

    Raises:
        NcnnError: it is none, is damaged, or has several inputs or outputs.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise NcnnError("is no ncnn graph as text (a .param.bin is not understood). Use the .param file") from error
    lines = [line for line in (line.strip() for line in lines) if line]
    if not lines or lines[0] != MAGIC:
        raise NcnnError(f"is no ncnn graph: it does not begin with {MAGIC}. Get the file again, or another format")
    counts = lines[1].split() if len(lines) > 1 else []
    if len(counts) != 2 or not all(count.isdecimal() and len(count) < 10 for count in counts):
        raise NcnnError(f"is damaged: its second line is not the number of layers and of blobs. {_AGAIN}")
    layer_count, blob_count = map(int, counts)
    if layer_count > MOST_LAYERS:
        raise NcnnError(f"claims {layer_count:,} layers, more than any net has: refused")
    if len(lines) - 2 != layer_count:
        raise NcnnError(f"is damaged: it claims {layer_count} layers and has {len(lines) - 2}. {_AGAIN}")
    return _linked([_layer(line, number) for number, line in enumerate(lines[2:], start=3)], blob_count)


def _layer(line: str, number: int) -> Layer:
    kind, name, *rest = [*line.split(), ""] if len(line.split()) < 2 else line.split()
    counts = rest[:2]
    if len(counts) < 2 or not all(count.isdecimal() and len(count) < 7 for count in counts):
        raise NcnnError(f"is damaged in line {number}: after kind and name stand two counts. {_AGAIN}")
    inputs, outputs = map(int, counts)
    blobs, params = rest[2 : 2 + inputs + outputs], rest[2 + inputs + outputs :]
    if len(blobs) < inputs + outputs or any("=" in one and one.split("=")[0].lstrip("-").isdecimal() for one in blobs):
        raise NcnnError(f"is damaged in line {number}: it has fewer blobs than it claims. {_AGAIN}")
    layer = Layer(kind, name, tuple(blobs[:inputs]), tuple(blobs[inputs:]), {})
    values: dict[int, Value] = {}
    for text in params:
        place, value = _param(text, layer)
        if place in values:
            raise NcnnError(f"is damaged: {layer.about} has the parameter {place} twice. {_AGAIN}")
        values[place] = value
    return Layer(kind, name, layer.inputs, layer.outputs, values)


def _param(text: str, layer: Layer) -> tuple[int, Value]:
    """(number, value) of "0=64", "2=0.5" or "-23310=1,0.2"."""
    place, equals, value = text.partition("=")
    if not equals or not _WHOLE.fullmatch(place):
        raise NcnnError(f"is damaged: {layer.about} has {printable(text)[:40]}, which is no parameter. {_AGAIN}")
    number = int(place)
    if number > ARRAY:
        if number < 0:
            raise NcnnError(f"is damaged: {layer.about} has a parameter of the number {number}. {_AGAIN}")
        return number, _number(value, layer)
    length, *values = value.split(",")
    if not length.isdecimal() or int(length) != len(values):
        raise NcnnError(f"is damaged: {layer.about} has an array of another length than it claims. {_AGAIN}")
    return ARRAY - number, tuple(_number(one, layer) for one in values)


def _number(text: str, layer: Layer) -> int | float:
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NcnnError(f"is damaged: {layer.about} has {printable(text)[:40]}, which is no number. {_AGAIN}")
    return value


def _linked(layers: list[Layer], blob_count: int) -> Graph:
    """The graph, if every blob is made once, before it is used, and one picture goes in and one comes out."""
    made: set[str] = set()
    used: set[str] = set()
    for layer in layers:
        for blob in layer.inputs:
            if blob not in made:
                raise NcnnError(
                    f"is damaged: {layer.about} takes {printable(blob)[:60]}, which no layer before it makes"
                )
            used.add(blob)
        for blob in layer.outputs:
            if blob in made:
                raise NcnnError(f"is damaged: {printable(blob)[:60]} is made twice. {_AGAIN}")
            made.add(blob)
    if len(made) != blob_count:
        raise NcnnError(f"is damaged: it claims {blob_count} blobs and has {len(made)}. {_AGAIN}")
    inputs = [layer.outputs for layer in layers if layer.kind == "Input"]
    outputs = [blob for layer in layers for blob in layer.outputs if blob not in used]
    if len(inputs) != 1 or len(inputs[0]) != 1 or len(outputs) != 1:
        raise NcnnError(
            f"has {len(inputs)} inputs and {len(outputs)} outputs, where a net of pictures has one of each"
        )  # fmt: skip
    return Graph(tuple(layers), inputs[0][0], outputs[0])
