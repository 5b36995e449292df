"""`upscale export`: each architecture's net gives torch's answers in ONNX Runtime and in OpenVINO, and says what it is.

The runtimes are asked here by code of the tests' own, at other sizes than the program itself tries.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from tests import toy
from tests.command import Run
from tests.goldens import recipes
from tests.nets import stub
from tests.test_plugins import forget
from upscale_cli import export_model
from upscale_cli.errors import CheckpointError, OptionError, OutputError
from upscale_cli.events import Event, Note
from upscale_cli.export import choice, openvino_ir, verify
from upscale_cli.export.formats import ENDINGS
from upscale_cli.export.onnx_model import exported_model
from upscale_cli.files import atomic_file
from upscale_cli.models.archs import espcn
from upscale_cli.models.interface import InputSpec, Interval, LoadedNet
from upscale_cli.models.loading import build_net, load_net, net_digest
from upscale_cli.models.mixing import interpolate
from upscale_cli.models.store import bundled_folder

Runtime = Literal["onnxruntime", "openvino"]
RUNTIMES: Final[tuple[Runtime, ...]] = ("onnxruntime", "openvino")
SIZES: Final = ((2, 21, 34), (1, 40, 17))
"""Batch, height and width; odd, where the net takes odd sides."""

REAL: Final = {
    "weights": (
        *("espcn-tf-x2", "espcn-tf-x3", "espcn-tf-x4", "espcn-ycbcr-x2", "espcn-yjn870-x3", "espcn-tutorial-x3"),
        *("realesr-animevideov3", "realesr-general-x4v3"),
    ),
    "weights-more": ("RealESRGAN_x4plus_anime_6B", "RealESRGAN_x4plus"),
}
SHARED: Final = Path(__file__).resolve().parents[2] / "shared"


def made_up(folder: Path, name: str) -> Path:
    """A checkpoint of seeded weights, of each architecture and in each of its forms."""
    shapes = {
        "rrdbnet-x4": recipes.rrdbnet(1, num_feat=16),
        "rrdbnet-x2": recipes.rrdbnet(1, num_feat=16, unshuffle=2),
        "rrdbnet-x1": recipes.rrdbnet(1, num_feat=16, unshuffle=4),
        "srvgg-prelu": recipes.srvgg(3, num_feat=16),
        "srvgg-leakyrelu": recipes.srvgg(2, num_feat=16, upscale=3, slopes=False),
        "espcn-tanh": {
            "conv1.weight": (12, 1, 5, 5), "conv1.bias": (12,), "conv2.weight": (8, 12, 3, 3), "conv2.bias": (8,),
            "conv3.weight": (9, 8, 3, 3), "conv3.bias": (9,),
        },
        "espcn-ycbcr": {
            "conv1.weight": (12, 3, 5, 5), "conv1.bias": (12,), "conv2.weight": (8, 12, 3, 3), "conv2.bias": (8,),
            "conv3.weight": (12, 8, 3, 3), "conv3.bias": (12,),
        },
    }[name]  # fmt: skip
    path = folder / f"{name}.safetensors"
    save_file({key: torch.from_numpy(value) for key, value in recipes.seeded(shapes, 0).items()}, path)
    facts = {
        "srvgg-leakyrelu": {"activation": "leakyrelu"},
        "espcn-tanh": {"activation": "tanh", "final_activation": "tanh", "luma_range": "studio"},
        "espcn-ycbcr": {"activation": "relu", "colour": "ycbcr"},
    }.get(name, {})
    about = {"licence": "MIT, of the test", "source": {"repo": "a/b", "path": "c.pth"}}
    path.with_suffix(".json").write_text(json.dumps({**facts, **about}))
    return path


def batches(net: LoadedNet) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Pictures, and what the net wants besides, by name."""
    rng = np.random.default_rng(3)
    facts = net.descriptor
    for number, *sides in SIZES:
        height, width = (-(-side // facts.multiple_of) * facts.multiple_of for side in sides)
        values = {"input": rng.random((number, facts.channels, height, width), dtype=np.float32)}
        for spec in facts.inputs:
            shape = (spec.shape[0], height, width) if spec.tiled else tuple(side or 7 for side in spec.shape)
            if spec.name != "scale":
                values[spec.name] = rng.random((number, *shape), dtype=np.float32)
        yield values


def by_torch(net: LoadedNet, values: Mapping[str, NDArray[np.float32]], scale: float) -> NDArray[np.float32]:
    """The net's own answer."""
    given = {name: torch.from_numpy(value) for name, value in values.items()}
    lr = given.pop("input")
    if any(spec.name == "scale" for spec in net.descriptor.inputs):
        given["scale"] = torch.full((len(lr),), scale)
    return np.asarray(build_net(net)(lr, **given))


def by_runtime(runtime: Runtime, path: Path, values: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """What a runtime makes of an exported file."""
    pytest.importorskip(runtime, reason=f"{runtime} is not installed")
    if runtime == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return np.asarray(session.run(["output"], dict(values))[0])
    import openvino

    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    return np.asarray(core.compile_model(core.read_model(path), "CPU", exact)(dict(values))["output"])


def assert_alike(path: Path, net: LoadedNet, runtime: Runtime, scale: float) -> None:
    for values in batches(net):
        expected, answer = by_torch(net, values, scale), by_runtime(runtime, path, values)
        assert answer.shape == expected.shape
        assert np.abs(answer - expected).max() < 1e-4 * (expected.max() - expected.min())


def psnr(answer: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """dB, of the answer's spread."""
    error = np.mean((answer.astype(np.float64) - expected) ** 2)
    return float(10 * np.log10((expected.max() - expected.min()) ** 2 / error))


def facts_of(path: Path) -> dict[str, str]:
    return {prop.key: prop.value for prop in onnx.load(path).metadata_props}


MADE_UP: Final = (
    *("rrdbnet-x4", "rrdbnet-x2", "rrdbnet-x1", "srvgg-prelu", "srvgg-leakyrelu", "espcn-tanh", "espcn-ycbcr"),
)


# The same answers


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", MADE_UP)
def test_every_architecture_answers_as_torch_does(name: str, runtime: Runtime, tmp_path: Path) -> None:
    checkpoint = made_up(tmp_path, name)
    net = load_net(checkpoint)
    made = export_model(checkpoint, tmp_path / "net.onnx")
    onnx.checker.check_model(onnx.load(made.output), full_check=True)
    assert_alike(made.output, net, runtime, float(net.descriptor.only_scale or 0))


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE_UP)
def test_openvino_s_own_files_do_too(name: str, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    checkpoint = made_up(tmp_path, name)
    made = export_model(checkpoint, tmp_path / "net.xml")
    assert made.files == (tmp_path / "net.xml", tmp_path / "net.bin")
    assert_alike(made.output, load_net(checkpoint), "openvino", 0)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("folder", "name"), [(folder, name) for folder, names in REAL.items() for name in names])
def test_real_weights_do_too(folder: str, name: str, runtime: Runtime, tmp_path: Path) -> None:
    checkpoint = SHARED / folder / f"{name}.safetensors"
    if not checkpoint.is_file():
        pytest.skip("the shared folder with real checkpoints is not here")
    made = export_model(checkpoint, tmp_path / "net.onnx")
    assert_alike(made.output, load_net(checkpoint), runtime, 0)


@pytest.mark.slow
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(("model", "scale"), [("espcn", 2), ("espcn", 3), ("espcn-robust", 4), ("photo-lite", 4)])
def test_models_of_the_registry_do_too(model: str, scale: int, runtime: Runtime, tmp_path: Path) -> None:
    net = load_net(bundled_folder() / f"{model}-x{scale}.safetensors")
    made = export_model(model, tmp_path / "net.onnx", scale=scale)
    assert_alike(made.output, net, runtime, scale)
    half = export_model(model, tmp_path / "half.onnx", scale=scale, fp16=True)
    assert half.size < 0.6 * made.size
    for values in batches(net):
        assert psnr(by_runtime(runtime, half.output, values), by_torch(net, values, scale)) > 50


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rrdbnet-x2", "srvgg-prelu", "espcn-tanh", "espcn-ycbcr"])
def test_in_half_precision_the_answers_are_near(name: str, tmp_path: Path) -> None:
    checkpoint = made_up(tmp_path, name)
    net = load_net(checkpoint)
    graphs = {"onnxruntime": "net.onnx", "openvino": "net.xml"}
    runtime: Runtime
    for runtime in RUNTIMES:
        made = export_model(checkpoint, tmp_path / graphs[runtime], fp16=True)
        assert made.precision == "fp16"
        for values in batches(net):
            answer = by_runtime(runtime, made.output, values)
            assert answer.dtype == np.float32
            assert psnr(answer, by_torch(net, values, 0)) > 50


# What a net wants besides the picture


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_plugin_s_net_with_a_condition(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(toy.install(tmp_path / "site")))
    forget()
    try:
        checkpoint = toy.write_checkpoint(tmp_path / "toy.safetensors")
        made = export_model(checkpoint, tmp_path / "net.onnx")
        assert made.inputs == ("input", "noise_level")
        facts = facts_of(made.output)
        assert facts["scale"] == "1.5"
        assert facts["input.noise_level"] == "how much to smooth, 0 to 1"
        assert_alike(made.output, load_net(checkpoint), runtime, 1.5)
    finally:
        forget()


class Everything(nn.Module):
    """A made-up net of any scale that wants the scale, a map of the picture and an array of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(5, 3, 3, padding=1)

    def forward(self, lr: Tensor, scale: Tensor, level: Tensor, kernel: Tensor) -> Tensor:
        more = self.conv(torch.cat([lr, level], dim=1)) * kernel.mean(dim=1)[:, None, None, None]
        return nn.functional.interpolate(more, scale_factor=float(scale[0]), mode="nearest")


@pytest.mark.usefixtures("stubs")
@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("scale", [2, Fraction(3, 2)])
def test_the_scale_is_that_of_the_file_and_all_else_an_input(runtime: Runtime, scale: Any, tmp_path: Path) -> None:
    inputs = (
        InputSpec(name="scale"), InputSpec(name="level", shape=(2, None, None), tiled=True),
        InputSpec(name="kernel", shape=(None,)),
    )  # fmt: skip
    torch.manual_seed(0)
    module = Everything()
    net = stub(lambda: module, inputs=inputs)
    model = exported_model(net, scale, {})
    assert [value.name for value in model.graph.input] == ["input", "level", "kernel"]
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    assert_alike(path, net, runtime, float(scale))


@pytest.mark.usefixtures("stubs")
def test_a_net_of_any_scale_is_exported_for_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = stub(Everything)
    any_scale = LoadedNet(dataclasses.replace(net.descriptor, scales=Interval(1, 3)), net.state_dict)
    monkeypatch.setattr(choice, "load_net", lambda _path, **_: any_scale)
    path = tmp_path / "any.pth"
    path.touch()
    assert choice.chosen(str(path), None, 4, print).scale == 3
    assert choice.chosen(str(path), 1.5, 4, print).scale == Fraction(3, 2)
    with pytest.raises(OptionError, match="any is x1 to x3 in one pass"):
        choice.chosen(str(path), 4, 4, print)


@pytest.mark.slow
def test_weights_are_blended_for_denoising(shared_weights: Path, tmp_path: Path, run: Run) -> None:
    done = run("export", "realesr-general", "--denoise", 0.25, "-o", tmp_path / "net.onnx")
    assert done.code == 0, done.err
    assert facts_of(tmp_path / "net.onnx")["model"] == "realesr-general-denoise-0.25"
    strong, weak = (
        load_net(shared_weights / f"realesr-general-{name}x4v3.safetensors") for name in ("", "wdn-")
    )  # fmt: skip
    values = next(batches(strong))
    expected = by_torch(interpolate(strong, weak, 0.25), values, 4)
    answer = by_runtime("onnxruntime", tmp_path / "net.onnx", values)
    assert np.abs(answer - expected).max() < 1e-4 * np.ptp(expected)


class Awkward(nn.Module):
    """What stands for a tensor while our own translation looks at it cannot go through it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 1)
        self.names = {4: "four"}

    def forward(self, lr: Tensor) -> Tensor:
        assert self.names[lr.dim()]
        return nn.functional.pixel_shuffle(self.conv(lr), 2)


@pytest.mark.usefixtures("stubs")
def test_what_our_translation_cannot_look_at_is_traced(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Awkward()
    net = stub(lambda: module)
    onnx.save(exported_model(net, 2, {}), tmp_path / "net.onnx")
    assert_alike(tmp_path / "net.onnx", net, "onnxruntime", 2)


# What cannot be exported


class Branching(nn.Module):
    """What it does depends on the size of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, lr: Tensor) -> Tensor:
        larger = nn.functional.interpolate(self.conv(lr), scale_factor=2, mode="nearest")
        return larger if lr.shape[-1] < 25 else -larger


class Unheard(nn.Module):
    """There is no operator in ONNX for what it does."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, lr: Tensor) -> Tensor:
        larger = nn.functional.interpolate(self.conv(lr), scale_factor=2, mode="nearest")
        out: Tensor = torch.special.bessel_j0(larger)
        return out


@pytest.mark.usefixtures("stubs")
def test_a_trace_that_holds_for_one_size_only_is_found_out() -> None:
    pytest.importorskip("onnxruntime")
    net = stub(Branching)
    model = exported_model(net, 2, {})
    with pytest.raises(OutputError, match=r"branching: cannot be exported: its answers differ from the net's by"):
        verify.verified(lambda: verify.onnx_runner(model), net, 2, fp16=False, name="branching")


@pytest.mark.usefixtures("stubs")
def test_what_onnx_has_no_operator_for_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    net = stub(Unheard)
    with pytest.raises(OutputError, match=r"^unheard: cannot be written as ONNX: .*bessel") as refused:
        exported_model(net, 2, {}, name="unheard")
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())
    assert not capfd.readouterr().out, "torch prints its graph"


@pytest.mark.usefixtures("stubs")
def test_a_net_with_a_reference_is_refused() -> None:
    net = stub(Unheard)
    second = InputSpec(name="reference", kind="reference", shape=(3, None, None))
    net = dataclasses.replace(net, descriptor=dataclasses.replace(net.descriptor, inputs=(second,)))
    with pytest.raises(OutputError, match="copies from a second picture"):
        exported_model(net, 2, {}, name="unheard")


# What the file says


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    checkpoint = made_up(tmp_path, "espcn-tanh")
    made = export_model(checkpoint, tmp_path / "net.onnx")
    model = onnx.load(made.output)
    assert facts_of(made.output) == {
        "arch": "espcn", "scale": "3", "colour": "luma", "luma_range": "studio", "value_range": "0..1",
        "precision": "fp32", "halo": "4", "halo_is_exact": "true", "multiple_of": "1", "least_side": "1",
        "sees_whole": "false", "model": "espcn-tanh", "licence": "MIT, of the test",
        "source": '{"repo": "a/b", "path": "c.pth"}', "weights_sha256": net_digest(load_net(checkpoint)),
    }  # fmt: skip
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert model.producer_name == "upscale-cli"
    shape = [axis.dim_param or axis.dim_value for axis in model.graph.input[0].type.tensor_type.shape.dim]
    assert shape == ["batch", 1, "height", "width"]
    assert [value.name for value in model.graph.output] == ["output"]
    assert "MIT" in facts_of(export_model("espcn", tmp_path / "ours.onnx").output)["licence"]


def test_openvino_s_graph_says_it_too(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    made = export_model("espcn", tmp_path / "net.xml", scale=2)
    graph = openvino.Core().read_model(made.output)
    assert graph.get_rt_info(["upscale", "colour"]).astype(str) == "luma"
    assert graph.get_rt_info(["upscale", "scale"]).astype(str) == "2"


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("ending", [".onnx", ".xml"])
def test_a_file_for_one_size_only(runtime: Runtime, ending: str, tmp_path: Path) -> None:
    if (runtime, ending) == ("onnxruntime", ".xml"):
        pytest.skip("is no file for it")
    made = export_model("espcn", tmp_path / f"net{ending}", scale=2, input_size=(34, 21))
    net = load_net(bundled_folder() / "espcn-x2.safetensors")
    lr = np.random.default_rng(0).random((1, 1, 21, 34), dtype=np.float32)
    answer = by_runtime(runtime, made.output, {"input": lr})
    np.testing.assert_allclose(answer, by_torch(net, {"input": lr}, 2), atol=1e-5)
    if runtime == "openvino":
        import openvino

        assert list(openvino.Core().read_model(made.output).input().shape) == [1, 1, 21, 34]
    with pytest.raises(Exception, match=r"(?i)invalid|dimension|shape"):
        by_runtime(runtime, made.output, {"input": lr[:, :, :20]})


# Where it goes


def test_names_and_endings_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert export_model("espcn").output == Path("espcn-x4.onnx")
    assert export_model("espcn", scale=3).output == Path("espcn-x3.onnx")
    assert export_model("espcn", tmp_path, scale=2).output == tmp_path / "espcn-x2.onnx"
    assert export_model("espcn", "net").output == Path("net.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("espcn-x2.onnx", "espcn-x3.onnx", "espcn-x4.onnx", "net.onnx"),
    ]


def test_the_command_line_takes_every_format_by_name(tmp_path: Path, run: Run) -> None:
    usage = run("export", "espcn", "-f", "none")
    assert usage.code == 2
    assert all(name in usage.line for name in ENDINGS)
    assert run("export", "espcn", "-s", 2, "-f", "safetensors", "-o", tmp_path, "--fp16").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["espcn-x2.safetensors"]


def test_a_strength_is_a_mix(tmp_path: Path, run: Run) -> None:
    export_model("photo-lite:0.6,photo-lite-crisp:0.4", tmp_path / "mix.safetensors")
    assert run("export", "photo-lite", "--strength", 0.4, "-o", tmp_path / "strength.safetensors").code == 0
    nets = [load_net(tmp_path / f"{name}.safetensors").state_dict for name in ("mix", "strength")]
    ends = [load_net(bundled_folder() / f"photo-lite{name}-x4.safetensors").state_dict for name in ("", "-crisp")]
    for key in ends[0]:
        torch.testing.assert_close(nets[0][key], 0.6 * ends[0][key] + 0.4 * ends[1][key])
        torch.testing.assert_close(nets[1][key], nets[0][key])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("espcn", "--strength", "0.5"), "--strength does not go with espcn"),
        (("bicubic",), "-m bicubic is no net"),
        (("espcn", "-s", "5"), "--scale 5: espcn is x2, x3, x4 in one pass"),
        (("espcn", "-o", "net.pt"), "-o net.pt: what .pt is to hold is not known"),
        (("espcn", "-o", "net.onnx", "-f", "openvino"), "-o net.onnx does not end as --format openvino does"),
        (("espcn", "--input-size", "big"), "--input-size 'big' is no size"),
        (("espcn", "--input-size", "0x4"), "--input-size 0x4 is no picture"),
        (("espcn", "--input-size", "4x4", "-f", "mpv"), "--input-size is for ONNX and OpenVINO"),
        (("espcn", "--denoise", "0.5"), "--denoise does not go with espcn"),
        (("realesr-general", "--denoise", "2"), "--denoise 2 is beyond 0 to 1"),
        (("espcn", "-o", "-"), "-o -: the result has to be a file"),
        (("esp",), "model 'esp' is neither a name in the registry nor a file"),
        (("nowhere.pth",), "nowhere.pth: no such file"),
        (("espcn", "-o", "nowhere/net.onnx"), "the folder nowhere does not exist"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    arguments: tuple[str, ...], message: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("export", *arguments)
    assert done.code in (1, 2)
    assert message in done.line
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_kept(tmp_path: Path, run: Run) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"mine")
    assert "already exists" in run("export", "espcn", "-o", path).line
    assert path.read_bytes() == b"mine"
    assert run("export", "espcn", "-o", path, "--overwrite").code == 0
    onnx.checker.check_model(onnx.load(path))


def test_a_missing_library_is_one_line(monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "openvino" else name)
    done = run("export", "espcn", "-o", tmp_path / "net.xml")
    assert "--format openvino needs openvino, not installed here" in done.line
    assert "upscale-cli[openvino]" in done.line


def test_a_file_that_was_not_tried_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(verify, "onnx_runner", lambda _: None)
    told: list[Event] = []
    made = export_model("espcn", tmp_path / "net.onnx", listener=told.append)
    assert made.agreement is not None
    assert made.agreement.runtime == ""
    assert any(isinstance(event, Note) and "was not tried" in event.text for event in told)


def test_it_reports_what_was_made(tmp_path: Path, run: Run) -> None:
    done = run("export", "espcn", "-s", 2, "-o", tmp_path / "net.onnx", "--json")
    record = json.loads(done.out.splitlines()[-1])
    assert record["event"] == "exported"
    assert record["model"] == "espcn x2"
    assert record["inputs"] == ["input"]
    assert record["bytes"] == (tmp_path / "net.onnx").stat().st_size
    assert record["error"] < 1e-4
    words = run("export", "espcn", "-s", 2, "-o", tmp_path / "other.onnx").err
    assert "espcn x2, fp32" in words


@pytest.mark.parametrize("overwrite", [False, True])
def test_two_files_appear_both_or_none(overwrite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, weights = tmp_path / "net.xml", tmp_path / "net.bin"
    openvino_ir.write_pair(graph, b"graph", b"weights", overwrite=False)
    assert (graph.read_bytes(), weights.read_bytes()) == (b"graph", b"weights")
    if not overwrite:
        with pytest.raises(OutputError, match="already exists"):
            openvino_ir.write_pair(graph, b"other", b"other", overwrite=False)
        assert (graph.read_bytes(), weights.read_bytes()) == (b"graph", b"weights")
        graph.unlink()
        weights.unlink()

    moved = atomic_file.move_into_place

    def refuse(temporary: Path, path: Path, *, overwrite: bool) -> None:
        if path == graph:
            raise OSError(28, "No space left on device")
        moved(temporary, path, overwrite=overwrite)

    monkeypatch.setattr(atomic_file, "move_into_place", refuse)
    with pytest.raises(OutputError, match="No space left"):
        openvino_ir.write_pair(graph, b"new", b"new", overwrite=overwrite)
    assert not list(tmp_path.iterdir())


def test_an_espcn_of_unusual_shape(tmp_path: Path) -> None:
    """As the tutorial has it: four layers, and relu between them."""
    torch.manual_seed(0)
    layers = (espcn.Layer(1, 8, 5), espcn.Layer(8, 8, 3), espcn.Layer(8, 4, 3))
    path = tmp_path / "deep.safetensors"
    save_file(espcn.ESPCN(2, layers, "relu").state_dict(), path)
    made = export_model(path, tmp_path / "net.onnx")
    assert_alike(made.output, load_net(path), "onnxruntime", 2)


def test_a_damaged_checkpoint_is_refused_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"no net")
    with pytest.raises(CheckpointError, match="no checkpoint"):
        export_model(path)
    with pytest.raises(OptionError):
        export_model("espcn", format="tflite")  # type: ignore[arg-type]
