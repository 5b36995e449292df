"""ncnn's files as text and bytes: what is in them, and one clear line for each way in which they can be wrong."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.command import Run
from tests.ncnn_files import FP16_FLAG, written
from upscale_cli.errors import CheckpointError
from upscale_cli.models.loading import load_net
from upscale_cli.models.ncnn.blobs import read_blobs
from upscale_cli.models.ncnn.param import NcnnError, parse_param

SMALL = """7767517
3 3
Input            in0   0 1 in0
Convolution      conv  1 1 in0 1 0=2 1=3 4=1 5=1 6=54 9=2 -23310=1,1.000000e-01
ReLU             relu  1 1 1 out0 0=2.5e-1
"""


def conv_bytes(kind: int = 0, count: int = 54, biases: int = 2) -> bytes:
    """The weights of `SMALL`."""
    return struct.pack("<I", kind) + np.arange(count, dtype="<f4").tobytes() + np.ones(biases, "<f4").tobytes()


def test_layers_blobs_and_parameters_are_read() -> None:
    graph = parse_param(SMALL.encode())
    assert (graph.input, graph.output) == ("in0", "out0")
    assert [layer.kind for layer in graph.layers] == ["Input", "Convolution", "ReLU"]
    conv = graph.layers[1]
    assert (conv.inputs, conv.outputs) == (("in0",), ("1",))
    assert dict(conv.params) == {0: 2, 1: 3, 4: 1, 5: 1, 6: 54, 9: 2, 10: (0.1,)}
    assert (conv.whole(0), conv.array(10), graph.layers[2].real(0), conv.whole(99, 7)) == (2, (0.1,), 0.25, 7)


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing() -> None:
    assert parse_param(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode()) == parse_param(SMALL.encode())


def test_weights_are_read_as_they_are_stored() -> None:
    graph = parse_param(SMALL.encode())
    plain = read_blobs(graph, conv_bytes())["conv"]
    np.testing.assert_array_equal(plain.weight, np.arange(54, dtype=np.float32).reshape(2, 3, 3, 3))
    np.testing.assert_array_equal(plain.bias, [1, 1])
    half = struct.pack("<I", FP16_FLAG) + np.arange(54, dtype="<f2").tobytes() + np.ones(2, "<f4").tobytes()
    np.testing.assert_array_equal(read_blobs(graph, half)["conv"].weight, plain.weight)


def test_weights_in_fp16_of_an_odd_number_are_padded_to_four_bytes() -> None:
    graph = parse_param(SMALL.replace("0=2 1=3", "0=1 1=3").replace("6=54", "6=27").encode())
    half = struct.pack("<I", FP16_FLAG) + np.arange(27, dtype="<f2").tobytes() + b"\0\0" + np.ones(1, "<f4").tobytes()
    np.testing.assert_array_equal(read_blobs(graph, half)["conv"].bias, [1])
    with pytest.raises(NcnnError, match=r"takes 4 bytes, and the \.bin has 2 left"):
        read_blobs(graph, half[:58] + half[60:])


DAMAGED = {
    "another kind of file": (lambda s: "PNG" + s, "does not begin with 7767517"),
    "nothing": (lambda _: "", "does not begin with 7767517"),
    "no counts": (lambda s: s.replace("3 3\n", ""), "second line"),
    "counts that are none": (lambda s: s.replace("3 3", "3 x"), "second line"),
    "more layers than there are": (lambda s: s.replace("3 3", "4 3"), "claims 4 layers and has 3"),
    "far more layers": (lambda s: s.replace("3 3", "999999999 3"), "999,999,999 layers"),
    "cut off between lines": (lambda s: s[: s.index("ReLU")], "claims 3 layers and has 2"),
    "cut off within a line": (lambda s: s[: s.index(" 1 out0")], "line 5"),
    "a line of one word": (lambda s: s.replace("ReLU             relu  1 1 1 out0 0=2.5e-1", "ReLU"), "line 5"),
    "other blobs": (lambda s: s.replace("3 3", "3 7"), "claims 7 blobs and has 3"),
    "fewer blobs than claimed": (lambda s: s.replace("relu  1 1", "relu  3 9"), "line 5"),
    "a blob from nowhere": (lambda s: s.replace("1 1 1 out0", "1 1 2 out0"), "takes 2, which no layer before it"),
    "a blob made twice": (lambda s: s.replace("1 1 1 out0", "1 1 1 in0"), "in0 is made twice"),
    "a parameter that is none": (lambda s: s.replace("0=2.5e-1", "0:2"), "0:2, which is no parameter"),
    "a number that is none": (lambda s: s.replace("2.5e-1", "2.5.1"), "2.5.1, which is no number"),
    "not a number": (lambda s: s.replace("2.5e-1", "nan"), "nan, which is no number"),
    "no end": (lambda s: s.replace("2.5e-1", "1e999"), "1e999, which is no number"),
    "a parameter twice": (lambda s: s.replace("0=2 1=3", "0=2 0=3"), "the parameter 0 twice"),
    "an array cut short": (lambda s: s.replace("=1,1.0", "=2,1.0"), "an array of another length"),
    "a negative place": (lambda s: s.replace("4=1", "-4=1"), "a parameter of the number -4"),
    "an array for a number": (lambda s: s.replace("6=54", "-23306=1,54"), "whole number is wanted"),
    "a fraction of channels": (lambda s: s.replace("0=2 ", "0=2.5 "), "whole number is wanted"),
    "no channels": (lambda s: s.replace("0=2 ", "0=0 "), "0=0, which cannot be"),
    "weights that no shape divides": (lambda s: s.replace("6=54", "6=53"), "53 weights, which its shape does not"),
    "far more weights": (lambda s: s.replace("6=54", "6=999999999999999"), "has 224 left"),
    "in 8 bits": (lambda s: s.replace("6=54", "6=54 8=1"), "quantised to 8 bits"),
    "two of one name": (
        lambda s: s.replace("3 3", "4 4") + "Convolution conv 1 1 out0 b 0=2 1=3 4=1 5=1 6=36\n", "lacks weights|two"
    ),
    "two inputs": (lambda s: s.replace("3 3", "4 4").replace("Conv", "Input in1 0 1 in1\nConv", 1), "has 2 inputs"),
    "two outputs": (lambda s: s.replace("3 3", "3 4").replace("1 1 1 out0", "1 2 1 out0 x"), "2 outputs"),
}  # fmt: skip
"""What is done to `SMALL`, and what the line about it says."""


@pytest.mark.parametrize(("damage", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_graph_is_one_clear_line(damage: Callable[[str], str], said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_text(damage(SMALL))
    path.with_suffix(".bin").write_bytes(conv_bytes())
    with pytest.raises(CheckpointError, match=said) as caught:
        load_net(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("data", [b"\x9d\x85\x76\x00\x03\x00\x00\x00\xff\xfe", b"7767517\n1 1\n\xff\xfe\n"])
def test_a_graph_that_is_no_text_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="no ncnn graph as text"):
        load_net(path)


WEIGHTS = {
    "short by a bias": (conv_bytes(biases=1), "takes 8 bytes, and the .bin has 4 left"),
    "short by weights": (conv_bytes(count=40, biases=0), "takes 216 bytes, and the .bin has 160 left"),
    "empty": (b"", "takes 4 bytes, and the .bin has 0 left"),
    "too long": (conv_bytes() + b"\0\0\0\0", "has 232 bytes, and the graph takes 228"),
    "in 8 bits": (conv_bytes(0x000D4B38), "quantised to 8 bits"),
    "by a table": (conv_bytes(0x12345678), "unknown kind"),
    "not a number": (conv_bytes().replace(struct.pack("<f", 7), struct.pack("<f", np.nan)), "NaN or infinite"),
    "infinite": (conv_bytes().replace(struct.pack("<f", 7), struct.pack("<f", np.inf)), "NaN or infinite"),
}


@pytest.mark.parametrize(("data", "said"), WEIGHTS.values(), ids=WEIGHTS)
def test_damaged_weights_are_one_clear_line(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.param"
    path.write_text(SMALL)
    path.with_suffix(".bin").write_bytes(data)
    with pytest.raises(CheckpointError, match=said) as caught:
        load_net(path)
    assert "\n" not in str(caught.value)


BOMBS = {
    "enlarged without end": "Interp up 1 1 1 out0 0=1 1=1.0e9 2=1.0e9",
    "padded without end": "Padding up 1 1 1 out0 0=999999999 1=0 2=0 3=0",
    "shuffled without end": "PixelShuffle up 1 1 1 out0 0=999999999",
}


@pytest.mark.parametrize("line", BOMBS.values(), ids=BOMBS)
def test_what_would_take_all_memory_is_refused(line: str, tmp_path: Path) -> None:
    text = SMALL.replace("1 1 1 out0 0=2.5e-1", "1 1 1 r")
    text = text.replace("3 3", "4 4") + line.replace("1 1 1 out0", "1 1 r out0") + "\n"
    path = tmp_path / "net.param"
    path.write_text(text)
    path.with_suffix(".bin").write_bytes(conv_bytes())
    with pytest.raises(CheckpointError, match=r"refused|no net that is known"):
        load_net(path)


def test_blobs_that_grow_from_layer_to_layer_are_refused(tmp_path: Path) -> None:
    """What comes out, joined to itself four times, eleven times over: 4 million times as much."""
    _, path = written("rrdbnet-x4", tmp_path)
    lines = path.read_text().splitlines()
    last = lines[-1].split()[5]
    for number in range(11):
        copies = " ".join(f"c{number}_{copy}" for copy in range(4))
        lines += [f"Split s{number} 1 4 {last} {copies}", f"Concat k{number} 4 1 {copies} d{number}"]
        last = f"d{number}"
    lines[1] = f"{len(lines) - 2} {int(lines[1].split()[1]) + 11 * 5}"
    path.write_text("\n".join(lines))
    with pytest.raises(CheckpointError, match="would make more values than any net does: refused"):
        load_net(path)


def test_a_graph_that_suggests_a_far_larger_net_builds_none(tmp_path: Path) -> None:
    """100,000 channels in the first layer and 1 in all others: as an SRVGGNetCompact it would have 10^12 weights."""
    count, inner = 100_000, 100
    lines = ["Input in 0 1 b", f"Convolution c0 1 1 b b0 0={count} 1=1 6={count * 3}"]
    lines += [f"Convolution c1 1 1 b0 b1 0=1 1=1 6={count}"]
    lines += [f"Convolution c{n} 1 1 b{n - 1} b{n} 0=1 1=1 6=1" for n in range(2, inner)]
    lines += [f"PixelShuffle p 1 1 b{inner - 1} out 0=1"]
    path = tmp_path / "net.param"
    path.write_text("\n".join(["7767517", f"{len(lines)} {len(lines)}", *lines, ""]))
    weights = struct.pack("<I", 0) + bytes(4 * 3 * count) + struct.pack("<I", 0) + bytes(4 * count)
    path.with_suffix(".bin").write_bytes(weights + bytes(8) * (inner - 2))
    with pytest.raises(CheckpointError, match=r"has 400,098 weights, where that has [\d,]{13,}: refused"):
        load_net(path)


def test_the_command_line_says_it_in_one_line_and_leaves_no_output(tmp_path: Path, run: Run) -> None:
    _, path = written("srvgg-x4", tmp_path)
    path.with_suffix(".bin").write_bytes(path.with_suffix(".bin").read_bytes()[:-4])
    photo = tmp_path / "photo.ppm"
    photo.write_bytes(b"P6 4 4 255\n" + bytes(48))
    result = run(photo, "-m", path, "-o", tmp_path / "sr.png")
    assert result.code == 1
    assert re.fullmatch(r"error: .*srvgg-x4\.param: lacks weights: .*\n", result.err)
    assert not (tmp_path / "sr.png").exists()
    path.with_suffix(".bin").unlink()
    assert "lacks srvgg-x4.bin, which holds its weights. Put it next to it" in run("models", "info", path).err
