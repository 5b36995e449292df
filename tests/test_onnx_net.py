"""`-m net.onnx`: other people's nets by their ONNX files, as the same nets give by torch; or one clear line."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tests.clips import Clips
from tests.command import Run
from tests.foreign import KINDS, bundled, checked, foreign, saved
from tests.nets import CPU, loaded, stub
from tests.test_engines import nothing_said, photo
from upscale_cli import Upscaler
from upscale_cli.errors import CheckpointError, OptionError
from upscale_cli.frames.image import Pixels
from upscale_cli.inference import engines, onnx_probe
from upscale_cli.inference.backends.base import Backend
from upscale_cli.inference.backends.onnxruntime import OnnxRuntime, OnnxRuntimeSession
from upscale_cli.inference.backends.openvino import OpenVino
from upscale_cli.inference.net_file import load_onnx
from upscale_cli.inference.profile import profile
from upscale_cli.inference.tiled import TiledNet
from upscale_cli.models.archs.rrdbnet import RRDBNet
from upscale_cli.models.interface import InputSpec, LoadedNet
from upscale_cli.models.loading import net_digest
from upscale_cli.models.onnx_graph import onnx_model

pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is not installed")
pytestmark = pytest.mark.usefixtures("stubs")

BACKENDS: dict[str, Backend] = {"onnxruntime": OnnxRuntime(), "openvino": OpenVino()}


@pytest.fixture(params=["openvino", "onnxruntime"])
def engine(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param, reason="not installed")
    return str(request.param)


def by_torch(net: LoadedNet, lr: Pixels, **options: Any) -> Pixels:
    return TiledNet(net, CPU, "fp32", say=nothing_said, **options).upscale(lr, np.uint8)


def differs(one: Pixels, other: Pixels) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def loaded_from(path: Path, said: list[str] | None = None) -> LoadedNet:
    return load_onnx(path, say=(said if said is not None else []).append)


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [
    (), ("nhwc",), ("levels",), ("signed",), ("uint8",), ("uint8", "nhwc"), ("fp16",), ("fixed",), ("fixed", "nhwc"),
    ("more outputs",), ("cropped",), ("levels", "fixed"),
], ids=lambda kinds: " ".join(kinds) or "plain")  # fmt: skip
@pytest.mark.parametrize("tile", [0, 24])
def test_however_it_is_written_it_gives_what_it_is(
    tmp_path: Path, engine: str, kinds: tuple[str, ...], tile: int
) -> None:
    ours, lr = bundled("espcn", 2), photo(101, 140)
    net = loaded_from(saved(checked(foreign(ours, *kinds)), tmp_path))
    facts = net.descriptor
    assert (facts.scales, facts.colour, facts.multiple_of) == ((2,), "luma", 1)
    assert facts.fixed_sides == ((64, 96) if "fixed" in kinds else None)
    assert facts.halo == ours.descriptor.halo or set(kinds) & {"uint8", "fp16", "cropped"}
    made = TiledNet(net, CPU, "fp32", tile=tile, backend=BACKENDS[engine], say=nothing_said).upscale(lr, np.uint8)
    expected = by_torch(ours, lr)
    if "cropped" in kinds or ("fixed" in kinds and tile):  # what lies beyond the border is another net's business
        made, expected = made[8:-8, 8:-8], expected[8:-8, 8:-8]
    assert differs(made, expected) <= (3 if "uint8" in kinds else 1)  # luma, rounded before the net and after it


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [(), ("uint8", "nhwc"), ("fixed",)], ids=lambda kinds: " ".join(kinds) or "plain")
def test_rgb(tmp_path: Path, engine: str, kinds: tuple[str, ...]) -> None:
    ours, lr, said = bundled("photo-lite", 4), photo(70, 110), list[str]()
    net = loaded_from(saved(foreign(ours, *kinds), tmp_path), said)
    assert any("assumed" in line and "RGB" in line for line in said)
    assert (net.descriptor.scales, net.descriptor.colour) == ((4,), "rgb")
    assert net.descriptor.halo == 14 or "uint8" in kinds
    tile = 0 if "fixed" in kinds else 30
    made = TiledNet(net, CPU, "fp32", tile=tile, backend=BACKENDS[engine], say=nothing_said).upscale(lr, np.uint8)
    assert differs(made, by_torch(ours, lr)) <= 1


def test_sides_that_have_to_divide(tmp_path: Path, engine: str, noise: Callable[..., Pixels]) -> None:
    torch.manual_seed(0)
    ours = loaded(RRDBNet(num_feat=8, num_block=1, num_grow_ch=4, unshuffle=2))
    net = loaded_from(saved(onnx_model(ours), tmp_path))
    facts = net.descriptor
    assert (facts.scales, facts.multiple_of, facts.fixed_sides) == (ours.descriptor.scales, 2, None)
    lr = noise(61, 47, 3)
    made = TiledNet(net, CPU, "fp32", backend=BACKENDS[engine], say=nothing_said).upscale(lr, np.uint8)
    assert differs(made, by_torch(ours, lr)) <= 1


class Pooling(nn.Module):
    """Looks at the whole picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, lr: Tensor) -> Tensor:
        features = self.conv(lr)
        made: Tensor = self.shuffle(features + torch.tanh(4 * self.pool(features)))
        return made


@pytest.mark.slow
def test_a_net_that_looks_at_the_whole_picture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    facts = loaded_from(saved(onnx_model(stub(Pooling, halo=1)), tmp_path)).descriptor
    assert (facts.sees_whole, facts.exact, facts.scales) == (True, False, (2,))


class Chain(nn.Module):
    """Sees `reach` pixels far, the farther the less."""

    def __init__(self, reach: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(reach)))
        self.last = nn.Conv2d(3, 12, 1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, lr: Tensor) -> Tensor:
        made: Tensor = self.shuffle(self.last(self.convs(lr)))
        return made


@pytest.mark.slow
@pytest.mark.parametrize("reach", [1, 7, 20])
def test_the_halo_is_how_far_a_changed_pixel_shows(tmp_path: Path, reach: int) -> None:
    torch.manual_seed(reach)

    def make() -> nn.Module:
        net = Chain(reach)
        for conv in net.convs:
            with torch.no_grad():
                assert isinstance(conv, nn.Conv2d)
                conv.weight.abs_().div_(conv.weight.sum((1, 2, 3), keepdim=True))
        return net

    facts = loaded_from(saved(onnx_model(stub(make, halo=reach)), tmp_path)).descriptor
    assert facts.exact
    assert reach * 0.6 <= facts.halo <= reach  # the farthest corners weigh less than engines round


def test_what_our_export_says_is_believed(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.onnx"
    assert run("export", "espcn", "-s", 2, "-o", path).code == 0
    assert "licence MIT" in run("models", "info", path).words
    monkeypatch.setattr(onnx_probe._Probe, "_halo", lambda *_: pytest.fail("it was stated"))
    net = load_onnx(path, say=nothing_said)
    ours = bundled("espcn", 2).descriptor
    for name in ("scales", "colour", "luma_range", "halo", "exact", "multiple_of", "least_side", "name"):
        assert getattr(net.descriptor, name) == getattr(ours, name), name
    model = onnx.load(path)
    helper.set_model_props(model, {prop.key: prop.value for prop in model.metadata_props} | {"scale": "3"})
    with pytest.raises(CheckpointError, match="is not what its metadata says"):
        loaded_from(saved(model, tmp_path, "lying.onnx"))


class Leveled(nn.Module):
    """Wants a number and a map beside the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1)
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, lr: Tensor, level: Tensor, depth: Tensor) -> Tensor:
        made: Tensor = self.shuffle(self.conv(lr * depth)) * level[:, None, None, None]
        return made


@pytest.mark.parametrize("tile", [0, 16])
def test_conditions_of_our_export(tmp_path: Path, engine: str, tile: int) -> None:
    from upscale_cli.export.onnx_model import exported_model

    torch.manual_seed(0)
    specs = InputSpec(name="level", about="how much"), InputSpec(name="depth", shape=(1, None, None), tiled=True)
    ours = stub(Leveled, inputs=specs, halo=1)
    net = loaded_from(saved(exported_model(ours, 2, {}), tmp_path))
    assert [(spec.name, spec.shape, spec.tiled, spec.about) for spec in net.descriptor.inputs] == [
        ("level", (), False, "how much"), ("depth", (1, None, None), True, "")
    ]  # fmt: skip
    lr = photo(40, 30)
    given: dict[str, Any] = {"level": 0.5, "depth": np.linspace(0, 1, 1200, dtype=np.float32).reshape(1, 40, 30)}
    made = TiledNet(net, CPU, "fp32", tile=tile, backend=BACKENDS[engine], say=nothing_said, given=given)
    assert differs(made.upscale(lr, np.uint8), by_torch(ours, lr, given=given)) <= 1


def test_it_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(foreign(bundled("espcn", 2)), tmp_path)
    first = loaded_from(path)
    monkeypatch.setattr(onnx_probe, "runner", lambda *_: pytest.fail("it was tried already"))
    again = loaded_from(path)
    assert again.descriptor == first.descriptor
    assert net_digest(again) == net_digest(first)
    changed = foreign(bundled("espcn", 2))
    changed.doc_string = "another file"
    with pytest.raises(BaseException, match="tried already"):
        loaded_from(saved(changed, tmp_path, "changed.onnx"))


def test_name_json_can_state_the_colours(tmp_path: Path) -> None:
    path = saved(foreign(bundled("espcn", 2)), tmp_path)
    (tmp_path / "net.json").write_text(json.dumps({"luma_range": "studio"}))
    said: list[str] = []
    assert loaded_from(path, said).descriptor.luma_range == "studio"
    assert not any("assumed" in line for line in said)


@pytest.mark.slow
def test_its_cost_shows_without_running_it(tmp_path: Path) -> None:
    ours = bundled("photo-lite", 4)
    net = loaded_from(saved(foreign(ours), tmp_path))
    by_hooks, by_shapes = profile(ours, 4), profile(net, 4)
    assert by_shapes.macs == pytest.approx(by_hooks.macs, rel=0.02)
    assert by_hooks.elements / 2 < by_shapes.elements < by_hooks.elements * 2


@pytest.mark.slow
@pytest.mark.parametrize("size", [(150, 130), (30, 40), (5, 7)])
def test_windows_of_one_size_turned_and_of_small_pictures(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, lr = bundled("espcn", 2), photo(*size)
    net = loaded_from(saved(foreign(ours, "fixed"), tmp_path))
    shapes = set()
    infer = OnnxRuntimeSession.infer

    def watched(self: OnnxRuntimeSession, inputs: Any) -> Any:
        shapes.add(inputs["lr"].shape)
        return infer(self, inputs)

    monkeypatch.setattr(OnnxRuntimeSession, "infer", watched)
    made = TiledNet(net, CPU, "fp32", backend=OnnxRuntime(), tta=True, say=nothing_said).upscale(lr, np.uint8)
    assert shapes == {(1, 1, 64, 96)}
    expected = by_torch(ours, lr, tta=True)
    inside = slice(8, -8)
    assert differs(made[inside, inside], expected[inside, inside]) <= 1 if min(size) > 16 else made.shape


def test_what_leaves_no_room_in_the_only_window(tmp_path: Path) -> None:
    path = saved(foreign(bundled("espcn", 2), "fixed"), tmp_path)
    upscaler = Upscaler(path, engine="onnxruntime", halo=30)
    with pytest.raises(OptionError, match="windows of 96 x 64 pixels only"):
        upscaler(photo(80, 90), 2)


# By the command line


@pytest.mark.slow
def test_a_picture(tmp_path: Path, run: Run, engine: str) -> None:
    from PIL import Image

    path = saved(foreign(bundled("espcn", 2)), tmp_path)
    Image.fromarray(photo(50, 66)).save(tmp_path / "a.png")
    outcome = run(tmp_path / "a.png", "-m", path, "--engine", engine, "--tta", "-o", tmp_path / "b.png", "--json")
    assert outcome.code == 0, outcome.err
    with Image.open(tmp_path / "b.png") as made:
        expected = Upscaler("espcn", device="cpu", engine="torch", tta=True)(photo(50, 66), 2)
        assert differs(np.asarray(made), expected) <= 1


def test_info_is_a_card(tmp_path: Path, run: Run) -> None:
    path = saved(foreign(bundled("espcn", 2), "fixed"), tmp_path)
    outcome = run("models", "info", path)
    assert outcome.code == 0, outcome.err
    text = " ".join(outcome.out.split())
    for words in ("An ONNX file, x2", "21,284 parameters", "luma, full range", "96 x 64 pixels only"):
        assert words in text, outcome.out
    outcome = run("models", "info", path, "--json")
    facts = json.loads(outcome.out)
    assert (facts["scale"], facts["halo"], facts["fixed_sides"]) == (2, 4, [64, 96])


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [(), ("fixed",)], ids=["plain", "fixed"])
def test_a_clip(tmp_path: Path, run: Run, clips: Clips, kinds: tuple[str, ...]) -> None:
    import av

    path = saved(foreign(bundled("espcn", 2), *kinds), tmp_path)
    made = []
    for number, model in enumerate(("espcn", path)):
        output = tmp_path / f"{number}.mkv"
        engine = "torch" if number == 0 else "onnxruntime"
        outcome = run(clips("plain"), "-m", model, "-s", 2, "--engine", engine, "--codec", "ffv1", "-o", output)
        assert outcome.code == 0, outcome.err
        with av.open(str(output)) as container:
            made.append([frame.to_ndarray() for frame in container.decode(video=0)])
    assert len(made[0]) == len(made[1]) > 1
    assert all(differs(one, other) <= 1 for one, other in zip(*made, strict=True))


@pytest.mark.slow
def test_torch_does_not_run_it(tmp_path: Path) -> None:
    path = saved(foreign(bundled("espcn", 2)), tmp_path)
    with pytest.raises(OptionError, match="does not run ONNX files"):
        Upscaler(path, device="cpu", engine="torch").engines.choice(2, 8)
    upscaler = Upscaler(path)  # UPSCALE_ENGINE=torch, of the tests, is about nets that torch runs
    label = upscaler.engines.labels([2])["2"]
    assert label.split()[0] in ("openvino", "onnxruntime:cpu")
    assert upscaler.engines.keep({"2": label}, [2]) is None


@pytest.mark.slow
def test_a_precision_that_no_engine_for_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(foreign(bundled("espcn", 2)), tmp_path)
    monkeypatch.setattr(engines, "precisions", lambda _: frozenset({"fp32"}))
    with pytest.raises(OptionError, match="is not what an engine for ONNX files has here"):
        Upscaler(path, device="cpu", precision="fp16").engines.choice(2, 8)
    monkeypatch.setattr(engines, "is_installed", lambda _: False)
    with pytest.raises(OptionError, match=r"none is here\. Install one"):
        Upscaler(path, device="cpu").engines.choice(2, 8)


def test_export_has_nothing_to_do(tmp_path: Path, run: Run) -> None:
    path = saved(foreign(bundled("espcn", 2)), tmp_path)
    outcome = run("export", path, "-o", tmp_path / "again.onnx")
    assert outcome.code == 1
    assert "is an ONNX file already" in " ".join(outcome.err.split())


# Refusals


def refused(model: ModelProto | bytes, folder: Path) -> str:
    path = folder / "net.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(CheckpointError) as error:
        loaded_from(path)
    assert "\n" not in str(error.value)
    assert re.search(r"\. (Get|Choose|Ask|Put|Convert|Write) ", str(error.value)), "it ends with what to do"
    return str(error.value)


def a_graph(*nodes: onnx.NodeProto, opsets: tuple[tuple[str, int], ...] = (("", 18),)) -> ModelProto:
    picture = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "h", "w"])
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "sh", "sw"])
    graph = helper.make_graph(list(nodes), "net", [picture], [made])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*one) for one in opsets], ir_version=8)


@pytest.mark.parametrize(("domain", "op"), [
    ("evil.example", "Run"), ("com.microsoft", "EPContext"), ("ai.onnx.ml", "TreeEnsemble"), ("", "Loop"), ("", "Scan"),
])  # fmt: skip
def test_operators_that_may_do_more_than_compute(tmp_path: Path, domain: str, op: str) -> None:
    node = helper.make_node(op, ["x"], ["y"], domain=domain)
    assert f"uses the operator {domain}{'.' if domain else ''}{op}" in refused(
        a_graph(node, opsets=(("", 18), (domain or "other", 1))), tmp_path
    )


def test_operators_within_a_branch(tmp_path: Path) -> None:
    inner = helper.make_graph([helper.make_node("Loop", ["x"], ["z"])], "inner", [], [])
    branch = helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    assert "uses the operator Loop" in refused(a_graph(branch), tmp_path)


def external(location: str, **entries: str) -> ModelProto:
    model = a_graph(helper.make_node("Add", ["x", "w"], ["y"]))
    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[3, 1, 1], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "0", "length": "12", **entries}.items():
        weight.external_data.add(key=key, value=value)
    model.graph.initializer.append(weight)
    return model


@pytest.mark.parametrize(
    "location",
    ["/etc/hosts", "../secret", "sub/../../secret", "C:\\secret", "\\\\host\\share\\secret", "", "a\nb/../../c"],
)
def test_weights_from_outside_its_folder(tmp_path: Path, location: str) -> None:
    (tmp_path / "secret").write_bytes(bytes(12))
    folder = tmp_path / "inner"
    folder.mkdir()
    assert "outside of its folder: refused" in refused(external(location), folder)


def test_weights_through_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(12))
    try:
        (folder / "weights").symlink_to(tmp_path / "secret")
    except OSError:
        pytest.skip("this system makes no links")
    assert "outside of its folder" in refused(external("weights"), folder)


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    assert "lacks weights" in refused(external("weights"), tmp_path)
    (tmp_path / "weights").write_bytes(bytes(12))
    for entries in ({"offset": "8"}, {"offset": "-4"}, {"length": "4"}, {"offset": "x"}):
        assert "does not fit weights" in refused(external("weights", **entries), tmp_path)


def test_weights_next_to_it_are_read(tmp_path: Path) -> None:
    model = foreign(bundled("espcn", 2))
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=64)
    assert (tmp_path / "net.onnx").stat().st_size < 20_000 < (tmp_path / "net.data").stat().st_size
    net = loaded_from(tmp_path / "net.onnx")
    lr = photo(40, 50)
    made = TiledNet(net, CPU, "fp32", backend=OnnxRuntime(), say=nothing_said).upscale(lr, np.uint8)
    assert differs(made, by_torch(bundled("espcn", 2), lr)) <= 1
    first = net_digest(net)
    data = bytearray((tmp_path / "net.data").read_bytes())
    data[100] ^= 1
    (tmp_path / "net.data").write_bytes(data)
    assert net_digest(loaded_from(tmp_path / "net.onnx")) != first  # they are part of what it is


def doubling(times: int) -> ModelProto:
    """A picture, put beside itself again and again."""
    names = ["x", *(f"t{number}" for number in range(times))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=2) for a, b in pairwise(names)]
    return a_graph(*nodes, helper.make_node("Identity", [names[-1]], ["y"]))


def test_what_would_fill_the_memory(tmp_path: Path) -> None:
    assert "numbers of a picture of 64 x 64: refused" in refused(doubling(40), tmp_path)


@pytest.mark.parametrize(("model", "words"), [
    (b"", "is no ONNX file"),
    (b"no net at all", "is no ONNX file"),
    (a_graph(helper.make_node("NoSuchOperator", ["x"], ["y"])), "no engine here takes it"),
    (a_graph(helper.make_node("Relu", ["x"], ["y"]), opsets=(("", 3),)), "operator set 3"),
    (a_graph(helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2])), "no scale from 1 to"),
    (a_graph(helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1], strides=[1, 2])), "no scale from 1 to"),
    (a_graph(helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[4, 3])), "no multiple of its input"),
    (a_graph(helper.make_node("Add", ["x", "w"], ["y"])), "no engine here takes it"),
    (external("weights"), "lacks weights"),
])  # fmt: skip
def test_what_is_no_net_of_pictures(tmp_path: Path, model: ModelProto | bytes, words: str) -> None:
    assert words in refused(model, tmp_path)


def test_more_inputs_and_other_channels(tmp_path: Path) -> None:
    model = a_graph(helper.make_node("Add", ["x", "noise"], ["y"]))
    model.graph.input.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, [1]))
    assert "takes 2 inputs (x, noise)" in refused(model, tmp_path)
    model = a_graph(helper.make_node("Identity", ["x"], ["y"]))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 4
    assert "4 channels" in refused(model, tmp_path)
    model = a_graph(helper.make_node("Identity", ["x"], ["y"]))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    assert "something else than" in refused(model, tmp_path)


def test_weights_that_are_nan(tmp_path: Path) -> None:
    model = foreign(bundled("espcn", 2))
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights.flat[0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, model.graph.initializer[0].name))
    assert "NaN" in refused(model, tmp_path)


@pytest.mark.slow
def test_cut_off_anywhere_it_is_one_clear_line(tmp_path: Path) -> None:
    """Or, where only what was not needed is gone, the net."""
    whole = foreign(bundled("espcn", 2)).SerializeToString()
    path = tmp_path / "net.onnx"
    for length in [*range(0, 64, 9), *range(64, len(whole), len(whole) // 12)]:
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError) as error:
            loaded_from(path)
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_bits_that_flip(tmp_path: Path) -> None:
    whole = foreign(bundled("espcn", 2)).SerializeToString()
    path, rng, refusals = tmp_path / "net.onnx", np.random.default_rng(0), 0
    for _ in range(16):
        data = bytearray(whole)
        for _ in range(int(rng.choice([1, 4, 30]))):
            at = int(rng.integers(len(data)) if rng.random() < 0.5 else len(data) - rng.integers(1, 3000))
            data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(data))
        line = ""
        try:
            assert loaded_from(path).graph is not None
        except CheckpointError as error:
            line = str(error)
            refusals += 1
        assert "\n" not in line
    assert refusals


def test_every_kind_is_tried() -> None:
    assert set(KINDS) == {"nhwc", "levels", "signed", "uint8", "fp16", "fixed", "more outputs", "cropped"}
