"""Nets in 8 bits: what they lose, who runs them, and how they are named in a job's record."""

import hashlib
import json
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.clips import Clips
from tests.command import Run
from tests.conftest import SHARED
from tests.nets import CPU
from tests.test_engines import decibels, photo
from upscale_cli import Upscaler
from upscale_cli.errors import CheckpointError, OptionError
from upscale_cli.events import ignore
from upscale_cli.inference import engine_trial, engines
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.device import cpu_multiplies_int8
from upscale_cli.inference.engines import Choice, int8_name, parsed
from upscale_cli.inference.engines_here import precisions
from upscale_cli.inference.options import UpscalerOptions
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.inference.upscaler import Recipe
from upscale_cli.jobs.inputs import Input
from upscale_cli.jobs.job import PhotoOptions
from upscale_cli.jobs.naming import Naming
from upscale_cli.jobs.plan import Planner
from upscale_cli.jobs.video_facts import ClipOptions, Realtime
from upscale_cli.models.interface import LoadedNet
from upscale_cli.models.loading import load_net
from upscale_cli.models.quantised import int8_model
from upscale_cli.models.registry import MODELS, Spec
from upscale_cli.models.store import bundled_folder

pytest.importorskip("openvino", reason="OpenVINO has no wheel for this machine")
needs_int8 = pytest.mark.skipif("int8" not in precisions("openvino"), reason="this processor has neither VNNI nor AVX2")
needs_vnni = pytest.mark.skipif(not cpu_multiplies_int8(), reason="ONNX Runtime needs VNNI or AMX for it")

REPOSITORY = Path(__file__).parents[1]
ROWS = [spec for spec in MODELS if spec.int8]
B100 = SHARED / "eval" / "B100"
MOST_LOST = 0.1
"""dB against HR."""


def name_of(spec: Spec) -> str:
    return f"{spec.model}-x{spec.scale}"


def net_of(spec: Spec) -> LoadedNet:
    return replace(load_net(bundled_folder() / spec.file), int8=spec.int8)


def nothing_said(text: str) -> None:
    raise AssertionError(f"unexpected: {text}")


def openvino(requests: int = 1) -> Backend:
    from upscale_cli.inference.backends.openvino import OpenVino

    return OpenVino(requests=requests)


def onnxruntime() -> Backend:
    pytest.importorskip("onnxruntime")
    from upscale_cli.inference.backends.onnxruntime import OnnxRuntime

    return OnnxRuntime()


# The files


def test_the_files_are_what_the_registry_and_the_card_say() -> None:
    assert {(spec.model, spec.scale) for spec in ROWS} >= {
        (model, scale) for model in ("espcn", "espcn-robust") for scale in (2, 3, 4)
    }
    page = (bundled_folder() / "README.md").read_text(encoding="utf-8")
    for spec in ROWS:
        assert spec.int8 is not None
        data = (bundled_folder() / spec.int8.file).read_bytes()
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (spec.int8.sha256, spec.int8.size)
        assert spec.int8.sha256 in page
        log = json.loads((Path(__file__).parents[1] / f"training/logs/int8-{name_of(spec)}.json").read_text())
        assert log["sha256"] == spec.int8.sha256
        assert log["of"] == spec.sha256
        lost = log["scores"]["B100"]["fp32"]["psnr"] - log["scores"]["B100"]["int8"]["psnr"]
        assert spec.int8.loss == pytest.approx(lost, abs=0.0051)
        assert lost <= MOST_LOST


def test_the_convolutions_of_the_files_are_in_8_bits() -> None:
    import onnx

    for spec in ROWS:
        assert spec.int8 is not None
        model = onnx.load_from_string(int8_model(spec.int8))
        onnx.checker.check_model(model)
        weights = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        made_by = {node.output[0]: node for node in model.graph.node}
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        depth = spec.config.get("num_conv", 1)
        assert len(convolutions) == int(depth) + 2
        for node in convolutions:
            assert [made_by[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
            assert weights[made_by[node.input[1]].input[0]] == onnx.TensorProto.INT8


def weights_of(model: bytes) -> list[np.ndarray[Any, Any]]:
    """Of a file's convolutions, (outputs, inputs, height, width) int8."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(model).graph
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    made_by = {node.output[0]: node for node in graph.node}
    return [tensors[made_by[node.input[1]].input[0]] for node in graph.node if node.op_type == "Conv"]


@pytest.mark.parametrize("spec", ROWS, ids=name_of)
def test_two_neighbours_fit_into_16_bits(spec: Spec) -> None:
    """As processors without VNNI add them up; (outputs, inputs, height, width)."""
    assert spec.int8 is not None
    for weights in weights_of(int8_model(spec.int8)):
        values = weights.astype(int)
        one, other = values[:, 0:-1:2], values[:, 1::2]  # none of the picture's one plane
        for sign in (1, -1):
            sums = 255 * (np.maximum(sign * one, 0) + np.maximum(sign * other, 0))
            assert sums.max(initial=0) < 2**15


def changed(model: bytes, change: Callable[[str, np.ndarray[Any, Any]], np.ndarray[Any, Any]]) -> bytes:
    """A file whose tensors are what `change` makes of them, by the tensors of its first two convolutions.

    Args:
        change: gets "made", of each channel between the two, or "taken", (outputs, channels, height, width).
    """
    import onnx
    from onnx import numpy_helper

    from training.neighbours import fill

    graph = onnx.load_from_string(model)
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    made_by = {node.output[0]: node for node in graph.graph.node}
    before, after = [node for node in graph.graph.node if node.op_type == "Conv"][:2]
    kinds = dict.fromkeys((*made_by[before.input[1]].input, before.input[2]), "made")
    for name, kind in (kinds | {made_by[after.input[1]].input[0]: "taken"}).items():
        values = numpy_helper.to_array(tensors[name])
        if values.ndim:
            fill(tensors[name], change(kind, values))
    return bytes(graph.SerializeToString())


def channels_of(model: bytes) -> list[bytes]:
    """What makes each channel between the first two convolutions, and what is made of it, in any order."""
    first, second, *_ = weights_of(model)
    return sorted(first[place].tobytes() + second[:, place].tobytes() for place in range(len(first)))


@pytest.mark.parametrize("spec", ROWS[:1], ids=name_of)
def test_channels_are_ordered_until_neighbours_fit(spec: Spec) -> None:
    from training.neighbours import overflowing, without_overflow

    assert spec.int8 is not None
    model = int8_model(spec.int8)
    order = np.random.default_rng(0).permutation(len(weights_of(model)[0]))
    mixed = changed(model, lambda kind, values: values[order] if kind == "made" else values[:, order])
    assert overflowing(weights_of(mixed)[1].astype(int)) > 0
    made = without_overflow(mixed)
    assert overflowing(weights_of(made)[1].astype(int)) == 0
    assert channels_of(made) == channels_of(model), "nothing but the order is another"
    assert without_overflow(made) == made


@pytest.mark.parametrize("sign", [1, -1])
def test_weights_are_divided_where_no_order_fits(sign: int) -> None:
    from training.neighbours import without_overflow

    assert ROWS[0].int8 is not None
    model = int8_model(ROWS[0].int8)
    large = changed(model, lambda kind, values: values if kind == "made" else np.full_like(values, sign * 127))
    assert set(weights_of(without_overflow(large))[1].flatten()) == {sign * 64}, "half of them, in steps twice as large"


def test_few_weights_are_lowered_instead() -> None:
    from training.neighbours import overflowing, without_overflow

    assert ROWS[0].int8 is not None
    small = np.random.default_rng(0).integers(-60, 60, weights_of(int8_model(ROWS[0].int8))[1].shape)
    small[:, :40, 0, 0] = 65  # of 64 channels: at least eight pairs are too large by two

    def with_some(kind: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return values if kind == "made" else small

    made = weights_of(without_overflow(changed(int8_model(ROWS[0].int8), with_some)))[1].astype(int)
    assert overflowing(made) == 0
    assert set(made[made > 60]) == {64, 65}
    small[:, :, 0, 0] = made[:, :, 0, 0] = 0
    assert sorted(made.flatten()) == sorted(small.flatten()), "nothing else is another"


@needs_int8
@pytest.mark.slow
@pytest.mark.parametrize("spec", ROWS, ids=name_of)
def test_sums_do_not_overflow_on_this_processor(spec: Spec) -> None:
    """What overflows differs by 20 levels and more from the same file's graph in float32, which rounds as it does."""
    onnxruntime = pytest.importorskip("onnxruntime")
    assert spec.int8 is not None
    model = int8_model(spec.int8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # else it computes in int8
    plain = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    session = openvino().load(net_of(spec), CPU, "int8")
    chance = np.random.default_rng(0)
    for side in (1, 4):
        blocks = chance.integers(0, 2, (1, 1, 96 // side, 128 // side)).astype(np.float32)
        lr = np.kron(blocks, np.ones((1, 1, side, side), np.float32))
        (expected,) = plain.run(None, {"lr": lr})
        made = session.run(torch.from_numpy(lr), {}).numpy()
        assert np.abs(made - expected).max() * 255 < 4  # a value on the border of two steps falls to either


@needs_int8
@pytest.mark.slow
@pytest.mark.parametrize("make", [openvino, pytest.param(onnxruntime, marks=needs_vnni)])
@pytest.mark.parametrize("spec", ROWS, ids=name_of)
def test_int8_is_near_fp32_and_tiles_are_the_whole(spec: Spec, make: Callable[[], Backend]) -> None:
    net, lr = net_of(spec), photo(150, 200)
    exact = TiledNet(net, CPU, "fp32", say=nothing_said).upscale(lr, np.float32)
    whole = TiledNet(net, CPU, "int8", tile=4096, backend=make(), say=nothing_said).upscale(lr, np.float32)
    assert 36 < decibels(whole, exact) < 70, "70 would be that of bf16: 8 bits were not used"
    tiles = TiledNet(net, CPU, "int8", tile=48, backend=make(), say=nothing_said).upscale(lr, np.uint8)
    assert np.abs(tiles.astype(int) - np.rint(whole * 255).astype(int)).max() <= 1


@needs_int8
@pytest.mark.slow
@pytest.mark.parametrize("spec", ROWS, ids=name_of)
def test_a_tenth_of_a_decibel_is_lost_against_hr_at_most(spec: Spec) -> None:
    if not B100.is_dir():
        pytest.skip("B100 is not on this machine")
    from training.espcn import measure, read_references
    from training.quantise import by_session, in_int8

    net = net_of(spec)
    assert net.int8 is not None
    model = int8_model(net.int8)
    planes = read_references(B100, spec.scale, every=5)
    full = measure(by_session(openvino().load(net, CPU, "fp32")), planes, spec.scale)
    whole = measure(in_int8(net, model), planes, spec.scale)
    assert full.psnr - whole.psnr <= MOST_LOST + 0.01  # a fifth of the pictures


# Who runs them


@needs_int8
@pytest.mark.parametrize("engine", ["openvino", pytest.param("onnxruntime", marks=needs_vnni)])
def test_asked_for_by_name(engine: str) -> None:
    pytest.importorskip(engine)
    upscaler = Upscaler("espcn", device="cpu", engine=engine, precision="int8")
    choice = upscaler.engines.choice(3, 8)
    assert choice.engine.startswith(engine)
    assert choice.precision == "int8"
    assert choice.label.endswith(f" int8:{int8_name(upscaler._model.net(3))}")
    lr = photo(60, 80)
    plain = Upscaler("espcn", device="cpu", engine="torch", precision="fp32")(lr, scale=3)
    assert decibels(np.asarray(upscaler(lr, scale=3)) / 255, np.asarray(plain) / 255) > 36


def test_torch_does_not_run_them() -> None:
    upscaler = Upscaler("espcn", device="cpu", engine="torch", precision="int8")
    with pytest.raises(OptionError, match=r"precision='int8' runs on a CPU, by engine='openvino'"):
        upscaler(photo(20, 20), scale=3)


def test_nets_without_one_say_which_have_one() -> None:
    upscaler = Upscaler("photo-lite", device="cpu", precision="int8")
    with pytest.raises(
        OptionError, match=r"photo-lite x4 has none\. Those that have one are espcn x2, espcn x3"
    ) as told:
        upscaler(photo(20, 20), scale=4)
    assert "\n" not in str(told.value)


def test_on_the_command_line_a_refusal_is_one_line_and_leaves_nothing(run: Run, tmp_path: Path) -> None:
    Image.fromarray(photo(20, 20)).save(tmp_path / "a.png")
    given = tmp_path / "a.png", "-o", tmp_path / "b.png", "--device", "cpu", "--precision", "int8"
    assert "Those that have one are espcn x2, espcn x3, " in run(*given, "-m", "photo-lite", "-s", 4).line
    told = run(*given, "-m", "espcn", "-s", 3, "--engine", "torch")
    assert "--precision int8 runs on a CPU, by --engine openvino or --engine onnxruntime." in told.line
    assert told.code != 0
    assert not (tmp_path / "b.png").exists()


@needs_int8
@pytest.mark.slow
def test_on_the_command_line(run: Run, tmp_path: Path) -> None:
    Image.fromarray(photo(20, 20)).save(tmp_path / "a.png")
    given = tmp_path / "a.png", "-o", tmp_path / "b.png", "--device", "cpu", "--precision", "int8", "-m", "espcn"
    assert run(*given, "-s", 3, "--engine", "openvino").code == 0
    assert np.asarray(Image.open(tmp_path / "b.png")).shape == (60, 60, 3)


def test_a_file_that_is_gone_or_another_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    its = ROWS[0].int8
    assert its is not None
    monkeypatch.setattr("upscale_cli.models.quantised.bundled_folder", lambda: tmp_path)
    with pytest.raises(CheckpointError, match="Install upscale-cli again"):
        int8_model(its)
    (tmp_path / its.file).write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="is not the file that came with upscale-cli"):
        int8_model(its)


def test_wheels_have_the_files() -> None:
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]
    assert build["targets"]["wheel"]["force-include"]["weights"] == "upscale_cli/weights"
    ignored = subprocess.run(
        ["git", "check-ignore", *(str(path) for path in (REPOSITORY / "weights").glob("*.onnx"))],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert not ignored, "what git ignores hatch leaves out"


@needs_int8
def test_a_file_by_its_path_is_its_row_if_its_sum_is(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    data = (bundled_folder() / "espcn-x3.safetensors").read_bytes()
    path.write_bytes(data)
    assert Upscaler(path, device="cpu", engine="openvino", precision="int8").engines.choice(3, 8).precision == "int8"
    changed = bytearray(data)
    changed[-1] ^= 1  # one bit of one weight
    path.write_bytes(changed)
    with pytest.raises(OptionError, match="mine x3 has none"):
        Upscaler(path, device="cpu", engine="openvino", precision="int8").engines.choice(3, 8)
    assert Upscaler(path, device="cpu", engine="openvino").engines.choice(3, 8).precision == "fp32"


# Jobs that go on


@needs_int8
def test_a_job_keeps_the_file_that_it_was_begun_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSCALE_ENGINE", "auto")
    label = Upscaler("espcn", device="cpu", engine="openvino", precision="int8").engines.labels([3])["3"]
    before = parsed(label)
    assert before is not None
    assert (before.precision, before.label) == ("int8", label)
    going_on = Upscaler("espcn", device="cpu")
    assert going_on.engines.keep({"3": label}, [3]) is None
    assert going_on.engines.choice(3, 8).label == label
    other = replace(before, int8="0" * 12).label
    assert Upscaler("espcn", device="cpu").engines.keep({"3": other}, [3]) == other


@needs_int8
def test_in_a_hurry_it_is_taken_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by others, nor for a net that has none, nor where a precision was asked for."""
    tried: list[str] = []

    def fastest(_net: LoadedNet, _scale: int, others: list[Choice], *_: object, **__: object) -> Choice:
        tried[:] = [one.label for one in others]
        return others[-1]

    monkeypatch.setattr(engines, "_fastest", fastest)
    spec = next(spec for spec in ROWS if spec.model == "espcn-robust" and spec.scale == 2)
    name = int8_name(net_of(spec))

    def chosen(**options: Any) -> Choice:
        choice = Upscaler("espcn-robust", device="cpu", engine="openvino", **options).engines.choice(2, 8)
        assert isinstance(choice, Choice)
        return choice

    assert chosen(hurry=True).label.endswith(f"int8:{name}")
    assert any("int8" not in label for label in tried)
    assert chosen(hurry=True).int8 == name  # as remembered
    assert chosen().precision != "int8"
    assert all("int8" not in label for label in tried)
    assert chosen(hurry=True, precision="fp32").precision == "fp32"
    deep = Upscaler("espcn-robust", device="cpu", engine="openvino", hurry=True).engines.choice(2, 10)
    assert isinstance(deep, Choice)
    assert (deep.precision, deep.int8) == ("fp32", "")


@needs_int8
def test_where_compiling_is_slow_only_more_of_the_same_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, int]] = []

    def paced(session: Any, _sample: object, callers: int) -> float:
        tried.append((session._precision, callers))
        return 1.0

    monkeypatch.setattr(engines, "SLOW_COMPILE", -1.0)
    monkeypatch.setattr(engine_trial, "paced", paced)
    ways = [Choice("openvino", "", precision, count) for precision in ("fp32", "int8") for count in (1, 2)]
    engines._fastest(net_of(ROWS[0]), 2, ways, Choice("torch", "", "fp32"), is_wanted=True, say=nothing_said)
    assert list(dict.fromkeys(tried)) == [("fp32", 1), ("int8", 1)]


@pytest.mark.parametrize(("realtime", "expected"), [(None, False), ("file", True)])
def test_a_clip_in_real_time_asks_for_it(
    realtime: Realtime | None, expected: bool, clips: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    make = Recipe.make

    def made(recipe: Recipe, *given: Any) -> Upscaler:
        asked.append(recipe.options.hurry)
        return make(recipe, *given)

    monkeypatch.setattr(Recipe, "make", made)
    options = ClipOptions(realtime=realtime)
    planner = Planner(Naming(None, None, None), PhotoOptions(), lambda: options, UpscalerOptions(device="cpu"), ignore)
    for wanted in planner.order([Input(str(clips("plain")))], ["espcn"]):
        planner.open(wanted)
    assert asked == [expected]


def test_labels_with_a_file_are_understood() -> None:
    assert parsed("openvino 2026.4.1 int8:0123456789ab") == Choice("openvino", "2026.4.1", "int8", int8="0123456789ab")


# What int8 spoils


@needs_int8
def test_what_int8_spoils_is_computed_again_in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx
    from onnx import numpy_helper

    net = net_of(ROWS[0])
    assert net.int8 is not None
    model = onnx.load_from_string(int8_model(net.int8))
    last = [node for node in model.graph.node if node.op_type == "Conv"][-1]
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name == last.input[2])
    bias.CopyFrom(numpy_helper.from_array(np.full_like(numpy_helper.to_array(bias), np.nan), bias.name))
    monkeypatch.setattr("upscale_cli.models.graph_cache.int8_model", lambda _: model.SerializeToString())
    reported: list[str] = []
    spoilt = TiledNet(net, CPU, "int8", backend=openvino(), say=reported.append)
    lr = photo(40, 40)
    made = spoilt.upscale(lr, np.uint8)
    assert spoilt.precision == "fp32"
    assert "int8 is too coarse for this net" in reported[0]
    exact = TiledNet(net, CPU, "fp32", backend=openvino(), say=nothing_said).upscale(lr, np.uint8)
    np.testing.assert_array_equal(made, exact)
